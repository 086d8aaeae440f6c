//! `nullable-argument-dereference`.

use super::context::Context;
use super::shared::accesses;
use super::shared::surely::Surely;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Memory;
use crate::kernel::{Lookup, NULLABLE_ARGUMENTS};
use crate::object::{FuncIdx, InsnIdx, MemberInit, OpsIdx};
use crate::verifier::{At, Base, Holds, Tested};

rule! {
    /// A callback dereferences an argument that may be NULL.
    ///
    /// ## Why it matters
    /// `prev` of dispatch and `to` of yield may be NULL, and what else the kernel marks so. The verifier wants a test before the first access, on every path to it.
    /// ## Example
    /// ```c
    /// void BPF_STRUCT_OPS(demo_dispatch, s32 cpu, struct task_struct *prev) { bpf_printk("%d", prev->pid); }
    /// ```
    /// ## Fix
    /// `if (prev) { ... }`
    /// ## Sources
    /// kernel: `__nullable` stub parameters (6.16 to 7.3), `set_arg_maybe_null` (6.12).
    pub NULLABLE_ARGUMENT_DEREFERENCE: "nullable-argument-dereference", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    let mut seen = Vec::new();
    for (index, ops) in cx.schedulers() {
        for (at, member) in ops.members.iter().enumerate() {
            let MemberInit::Program(program) = member.value else { continue };
            let Some(number) = cx.verifier.nullable_argument(index, at).filter(|_| !seen.contains(&program))
            else {
                continue;
            };
            seen.push(program);
            let (member, argument) = (member.name, name_of(cx, index, member.name, number));
            let held = u8::try_from(number).map(Holds::Argument);
            let unsafe_uses = cx
                .walk(program)
                .accesses()
                .iter()
                .filter(|access| held == Ok(access.base) && access.tested.is_unsafe());
            let access = cx.walks(program, unsafe_uses.map(|access| (access.at(program), access)));
            let subject = Subject::program(object, program);
            if !matches!(access, Surely::Sure(_))
                && let Some(((function, at), register)) = untested(cx, program, number)
            {
                let message =
                    format!("'{member}' dereferences '{argument}' on a path that does not test it for NULL");
                out.found(&NULLABLE_ARGUMENT_DEREFERENCE, subject, message)
                    .errno(Errno::EACCES)
                    .quote(format!("R{register} invalid mem access 'trusted_ptr_or_null_'"))
                    .help(format!("test it first: if ({argument}) ..."))
                    .via(Site::Insn(function, at), program, "this access");
                continue;
            }
            let what = |_: &_| format!("dereferences '{argument}' without testing it for NULL");
            let rule = &NULLABLE_ARGUMENT_DEREFERENCE;
            let Some(access) = access.or_undecided(out, rule, subject.clone(), what) else { continue };
            let Some(Memory { base: register, .. }) = access.insn.op().memory() else { continue };
            // The verifier takes a pointer found to be NULL for a number.
            let (how, kind) = match access.tested {
                Tested::NOT => ("without testing it for NULL", "'trusted_ptr_or_null_'"),
                Tested::NULL => ("where it is NULL", "'scalar'"),
                _ => ("where it may be NULL", ""),
            };
            let message = format!("'{member}' dereferences '{argument}' {how}");
            out.found(&NULLABLE_ARGUMENT_DEREFERENCE, subject, message)
                .errno(Errno::EACCES)
                .quote(format!("R{register} invalid mem access {kind}").trim_end().to_owned())
                .help(format!("test it first: if ({argument}) ..."))
                .at(Site::Insn(program, InsnIdx(access.at)), "this access");
        }
    }
}

/// What an argument of a callback is called: by the kernel's stub, or as every release calls it.
fn name_of(cx: &Context<'_, '_>, ops: OpsIdx, member: &str, argument: usize) -> String {
    let kernels = || {
        let Lookup::Found(ops_type) = &cx.load.ops[ops.0].ops_type else { return None };
        ops_type.member(member)?.argument_name(cx.kernel?, argument)
    };
    let usual = NULLABLE_ARGUMENTS.iter().find(|(known, _)| *known == member).map(|(_, name)| *name);
    kernels().or(usual).map_or_else(|| format!("argument {}", argument + 1), str::to_owned)
}

/// The first access through an argument, in the program or in a function that it calls, on a path that the verifier
/// is sure to walk and on which nothing has told yet that it is not NULL; with the register that holds it.
fn untested(cx: &Context<'_, '_>, program: FuncIdx, argument: usize) -> Option<(At, u8)> {
    // An argument stands in the context at 8 times its number; what calls return may be NULL too, and is no argument.
    let is_argument = |(function, insn): At| {
        let load = cx.object[function].code.get(insn.0);
        load.is_some_and(|load| load.op().is_plain_load() && usize::try_from(load.off) == Ok(8 * argument))
    };
    accesses(cx.object, program).find_map(|(at, memory)| match cx.walk(program).regs_at(at).base() {
        Some(Base::Object { made, offset: 0, nullable: true }) if is_argument(made) => {
            Some((at, memory.base))
        }
        _ => None,
    })
}
