//! Calls to kfuncs in programs that load, with what the extern resolves to and whether the verifier comes there.

use super::super::context::Context;
use super::surely::{self, Surely};
use crate::finding::Site;
use crate::kernel::kfuncs;
use crate::load::ExternFate;
use crate::object::{Extern, ExternIdx, ExternKind, FuncIdx, InsnIdx, Object, Referent};
use crate::verifier::At;

/// A call, not merely an address taken.
#[derive(Clone, Copy)]
pub(in crate::checks) struct KfuncCall<'a, 'd> {
    /// The program that makes it, in its own code or in a function appended to it.
    pub(in crate::checks) program: FuncIdx,
    /// The function that holds the instruction.
    pub(in crate::checks) function: FuncIdx,
    /// The call.
    pub(in crate::checks) insn: InsnIdx,
    /// Which extern it calls.
    pub(in crate::checks) index: ExternIdx,
    /// The same.
    pub(in crate::checks) external: &'a Extern<'d>,
    /// Name without flavour: the kfunc that libbpf looks for.
    pub(in crate::checks) name: &'a str,
    /// What libbpf found.
    pub(in crate::checks) fate: &'a ExternFate,
}

impl KfuncCall<'_, '_> {
    /// The instruction.
    pub(in crate::checks) fn at(&self) -> At {
        (self.function, self.insn)
    }

    /// Where it is.
    pub(in crate::checks) fn site(&self) -> Site {
        Site::Insn(self.function, self.insn)
    }
}

/// Every call to a kfunc that a program's final code holds, in its order.
pub(in crate::checks) fn of<'a, 'd>(cx: &Context<'a, 'd>, program: FuncIdx) -> Vec<KfuncCall<'a, 'd>> {
    let object = cx.object;
    let mut calls = Vec::new();
    for (function, reference) in object.refs_of(program) {
        let Referent::Extern(index) = reference.target else { continue };
        let external = &object.externs[index.0];
        let is_call = object[function].code.get(reference.insn.0).is_some_and(crate::insn::Insn::is_call);
        if external.kind == ExternKind::Kfunc && is_call {
            let (name, fate) = (Object::essential_name(external.name), cx.load.external(index));
            calls.push(KfuncCall { program, function, insn: reference.insn, index, external, name, fate });
        }
    }
    calls
}

/// Is the call in code that runs as a callback only: of a timer or work queue, that is not while the program runs, or of
/// a loop.
pub(in crate::checks) fn is_in_callback(cx: &Context<'_, '_>, call: &KfuncCall<'_, '_>) -> bool {
    !cx.walk(call.program).calls(call.function)
}

/// May a function of a program sleep though the program may not: it runs as a callback only, and the object has callbacks of work
/// queues or task work, which sleep (kernel `in_sleepable`).
pub(in crate::checks) fn may_sleep_as_work(
    cx: &Context<'_, '_>,
    program: FuncIdx,
    function: FuncIdx,
) -> bool {
    let has_work = || cx.object.externs.iter().any(|known| kfuncs::schedules_work(known.name));
    function != program && !cx.walk(program).calls(function) && has_work()
}

/// For each kfunc, the call that the verifier is surest to walk; the first of equals.
pub(in crate::checks) fn surest<'a, 'd>(
    cx: &Context<'a, 'd>,
    program: FuncIdx,
    calls: impl IntoIterator<Item = KfuncCall<'a, 'd>>,
) -> Vec<Surely<KfuncCall<'a, 'd>>> {
    surely::surest(cx, program, calls.into_iter().map(|call| (call.at(), call)), |call| call.index)
}
