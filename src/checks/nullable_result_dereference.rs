//! `nullable-result-dereference`.

use super::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::{Class, Insn};
use crate::load::ExternFate;
use crate::object::{ExternIdx, FuncIdx, InsnIdx, Target};
use crate::reach::Base;

rule! {
    /// A program dereferences what a kfunc returned without testing it for NULL.
    ///
    /// ## Why it matters
    /// Kfuncs such as `scx_bpf_cpu_curr`, `scx_bpf_tid_to_task` or `bpf_task_from_pid` may return NULL. The verifier wants a test before the first
    /// access, on every path to it.
    /// ## Example
    /// ```c
    /// sink = scx_bpf_cpu_curr(0)->pid;
    /// ```
    /// ## Fix
    /// `p = scx_bpf_cpu_curr(0); if (p) { ... }`
    /// ## Sources
    /// kernel `check_kfunc_call` (`KF_RET_NULL`), `check_mem_access`; guests of 6.18, 7.1 and 7.3.
    pub NULLABLE_RESULT_DEREFERENCE: "nullable-result-dereference", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, _) in cx.loaded() {
        // Most programs call no such kfunc, and to follow them takes time.
        let may = object.refs_of(program).any(|(_, reference)| match reference.target {
            Target::Extern(index) => crate::reach::may_return_null(object[index].name) && is_there(cx, index),
            _ => false,
        });
        if !may {
            continue;
        }
        let Some((site, at, register, kfunc)) = untested(cx, program) else { continue };
        let message = format!("program '{}' dereferences what '{kfunc}' returns without testing it for NULL", function.name);
        out.found(&NULLABLE_RESULT_DEREFERENCE, Subject::program(object, program), message)
            .errno(Errno::EACCES)
            .quote(format!("R{register} invalid mem access"))
            .help("test the result first: if (p) ...")
            .via(Site::Insn(site, at), program, "this access");
    }
}

/// The kernel has the kfunc, or is not known.
fn is_there(cx: &Context<'_, '_>, kfunc: ExternIdx) -> bool {
    cx.kernel.is_none() || matches!(cx.load.external(kfunc), ExternFate::Kfunc(_))
}

/// The first access through the result of a call, on a path that the verifier is sure to walk and on which nothing has told yet
/// that it is not NULL; with the register that holds it and the kfunc.
fn untested<'a>(cx: &Context<'a, '_>, program: FuncIdx) -> Option<(FuncIdx, InsnIdx, u8, &'a str)> {
    let reach = cx.analysis.program(program);
    let object = cx.object;
    let kfunc = |(function, insn): (FuncIdx, InsnIdx)| {
        object[function].code.get(insn.0).filter(|call: &Insn| call.is_call())?;
        object[function].refs.iter().find_map(|reference| match reference.target {
            Target::Extern(index) if reference.insn == insn && is_there(cx, index) => Some(object[index].name),
            _ => None,
        })
    };
    for (function, code) in object.code_of(program) {
        for (at, insn) in code.code.insns() {
            let register = match insn.class() {
                Class::Ldx => insn.src,
                Class::St | Class::Stx => insn.dst,
                _ => continue,
            };
            if let Some(Base::Object { made, offset: 0, nullable: true }) = reach.base(function, InsnIdx(at))
                && let Some(kfunc) = kfunc(made)
            {
                return Some((function, InsnIdx(at), register, kfunc));
            }
        }
    }
    None
}
