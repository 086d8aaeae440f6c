//! `nullable-result-dereference`.

use std::borrow::Cow;

use super::context::Context;
use super::shared::accesses;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Insn;
use crate::kernel::helpers::{self, Helper};
use crate::object::{FuncIdx, Referent};
use crate::verifier::{self, At, Base};

rule! {
    /// A program dereferences what a kfunc or helper returned without testing it for NULL.
    ///
    /// ## Why it matters
    /// Kfuncs such as `scx_bpf_cpu_curr`, `scx_bpf_tid_to_task` or `bpf_task_from_pid` may return NULL, and so may `bpf_map_lookup_elem`,
    /// `bpf_task_storage_get` and `bpf_ringbuf_reserve`. The verifier wants a test before the first access, on every path to it. It waives the test for
    /// lookups in arrays with a constant key, from 6.14 on, so of lookups in arrays nothing is said.
    /// ## Example
    /// ```c
    /// sink = scx_bpf_cpu_curr(0)->pid;
    /// ```
    /// ## Fix
    /// `p = scx_bpf_cpu_curr(0); if (p) { ... }`
    /// ## Sources
    /// kernel `check_kfunc_call` (`KF_RET_NULL`), `check_helper_call` (`PTR_MAYBE_NULL`), `check_mem_access`; guests of 6.18, 7.1 and 7.3.
    pub NULLABLE_RESULT_DEREFERENCE: "nullable-result-dereference", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, _) in cx.loaded() {
        // To follow programs that call nothing of the kind takes time.
        let kfunc = |(_, reference): (_, crate::object::Ref)| match reference.target {
            Referent::Extern(index) => verifier::may_return_null(object[index].name) && cx.has_kfunc(index),
            _ => false,
        };
        let helper = |(_, insn): (_, Insn)| insn.helper().is_some_and(|id| nullable(id).is_some());
        if !object.refs_of(program).any(kfunc)
            && !object.code_of(program).any(|(_, code)| code.code.insns().any(helper))
        {
            continue;
        }
        let Some(((site, at), register, kfunc)) = untested(cx, program) else { continue };
        let message = format!(
            "program '{}' dereferences what '{kfunc}' returns without testing it for NULL",
            function.name
        );
        out.found(&NULLABLE_RESULT_DEREFERENCE, Subject::program(object, program), message)
            .errno(Errno::EACCES)
            .quote(format!("R{register} invalid mem access"))
            .help("test the result first: if (p) ...")
            .via(Site::Insn(site, at), program, "this access");
    }
}

/// A helper that may return NULL in place of memory, of those that sched_ext offers: [`Base::Untested`] is told of them.
fn nullable(id: i32) -> Option<&'static Helper> {
    let known = helpers::get(id);
    known.filter(|known| known.may_return_null() && known.returns_memory() && known.is_for_sched_ext(false))
}

/// The first access through the result of a call, on a path that the verifier is sure to walk and on which nothing has told yet
/// that it is not NULL; with the register that holds it and what was called.
fn untested<'a>(cx: &Context<'a, '_>, program: FuncIdx) -> Option<(At, u8, Cow<'a, str>)> {
    let object = cx.object;
    let kfunc = |(function, insn): At| {
        object[function].code.get(insn.0).filter(|call: &Insn| call.is_call())?;
        object[function].refs_at(insn).iter().find_map(|reference| match reference.target {
            Referent::Extern(index) if cx.has_kfunc(index) => Some(object[index].name),
            _ => None,
        })
    };
    let helper = |(function, insn): At| {
        object[function].code.get(insn.0).and_then(|call: Insn| call.helper()).and_then(nullable)
    };
    accesses(object, program).find_map(|(at, memory)| {
        let callee = match cx.walk(program).regs_at(at).base()? {
            Base::Object { made, offset: 0, nullable: true } => kfunc(made).map(Cow::Borrowed),
            Base::Untested { made } => helper(made).map(|known| known.full_name().into()),
            _ => None,
        };
        Some((at, memory.base, callee?))
    })
}
