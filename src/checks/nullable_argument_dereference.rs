//! `nullable-argument-dereference`.

use super::context_use::{Holds, Tested, accesses};
use super::{Context, Reached};
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Class;
use crate::object::InsnIdx;

rule! {
    /// `dispatch` or `yield` dereferences an argument that may be NULL.
    ///
    /// ## Why it matters
    /// `prev` of dispatch and `to` of yield may be NULL. The verifier wants a test before the first access, on every path to it.
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

/// Members with such an argument; it is the second in both.
const MEMBERS: [(&str, &str); 2] = [("dispatch", "prev"), ("yield", "to")];

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    let mut seen = Vec::new();
    for (_, ops) in cx.schedulers() {
        for (member, argument) in MEMBERS {
            let Some(program) = ops.callback(member).filter(|program| !seen.contains(program)) else { continue };
            seen.push(program);
            let access = accesses(object[program].code).into_iter().filter(|access| {
                access.base == Holds::Argument(1)
                    && access.tested.is_unsafe()
                    && cx.reached(program, program, InsnIdx(access.at)) != Reached::Never
            });
            let sure = |at| cx.reached(program, program, InsnIdx(at)) == Reached::Certain;
            let Some(access) = access.min_by_key(|access| (!sure(access.at), access.at)) else { continue };
            let subject = Subject::program(object, program);
            if !sure(access.at) {
                let reason = format!("dereferences '{argument}' without testing it for NULL, behind a branch");
                out.undecided(&NULLABLE_ARGUMENT_DEREFERENCE, subject, reason);
                continue;
            }
            let insn = access.insn;
            let register = if insn.class() == Class::Ldx { insn.src } else { insn.dst };
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
