//! `direct-task-write`.

use super::{Context, Reached, core_uses};
use crate::btf::core::RelocationKind;
use crate::errno::Errno;
use crate::finding::{Level, Outcome, Site, Subject};
use crate::insn::Class;
use crate::kernel::{KernelArenaRule, Lookup};
use crate::load::CoreFate;
use crate::object::Form;

rule! {
    /// A callback writes to a task directly.
    ///
    /// ## Why it matters
    /// Of a task only `scx.slice`, `scx.dsq_vtime` and `scx.disallow` may be written, and from 7.3 on in cid-form only the last. 7.1 and 7.2 warn of
    /// writes to the first two.
    /// ## Example
    /// ```c
    /// p->scx.slice = SCX_SLICE_DFL;   /* cid-form on 7.3 */
    /// ```
    /// ## Fix
    /// `scx_bpf_task_set_slice(p, slice)`, `scx_bpf_task_set_dsq_vtime(p, vtime)`; they are in kernels from 6.19 on.
    /// ## Sources
    /// kernel `bpf_scx_btf_struct_access`, `bpf_scx_cid_btf_struct_access` (7.3).
    pub DIRECT_TASK_WRITE: "direct-task-write", family: Program, level: Error, phase: Load, since: "0.1.0";
}

/// May the field be written: freely, at the price of a warning, or not.
fn verdict(cx: &Context<'_, '_>, form: Form, field: &str) -> Option<Level> {
    match field {
        "task_struct.scx.disallow" => None,
        "task_struct.scx.slice" | "task_struct.scx.dsq_vtime" => {
            let kernel = cx.kernel?;
            let split = kernel.function("bpf_scx_cid_btf_struct_access") == Lookup::Found(());
            match form {
                Form::Cid if split => Some(Level::Error),
                // The kfuncs to use in its place came first (6.19); the warning with the verifier's filter (7.1).
                _ if !split && kernel.kfunc_gate() == Lookup::Found(crate::kernel::KfuncGate::Verifier) => {
                    Some(Level::Warning)
                }
                _ => None,
            }
        }
        _ => Some(Level::Error),
    }
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, _) in cx.loaded() {
        let Some(form) = cx.callbacks_of(program).first().map(|(_, ops, _)| ops.form()) else { continue };
        let mut seen: Vec<&str> = Vec::new();
        for used in core_uses::of(cx, program) {
            let field = used.subject.as_str();
            let insn = cx.object[used.function].code.get(used.insn.0);
            let is_store = insn.is_some_and(|insn| matches!(insn.class(), Class::St | Class::Stx));
            let poisoned = matches!(used.fate, CoreFate::Poison(_) | CoreFate::Refused { .. });
            if used.kind != Some(RelocationKind::FieldByteOffset)
                || !is_store
                || poisoned
                || !field.starts_with("task_struct.")
                || seen.contains(&field)
            {
                continue;
            }
            let Some(level) = verdict(cx, form, field) else { continue };
            let reached = cx.reached(program, used.function, used.insn);
            if reached == Reached::Never {
                continue;
            }
            seen.push(field);
            let subject = Subject::program(cx.object, program);
            if reached == Reached::Possible && level == Level::Error {
                let reason = format!("writes {field}, which the verifier refuses, behind a branch that it may prune");
                out.undecided(&DIRECT_TASK_WRITE, subject, reason);
                continue;
            }
            let help = match field {
                "task_struct.scx.slice" => "call scx_bpf_task_set_slice(p, slice) where the kernel has it (6.19)",
                "task_struct.scx.dsq_vtime" => {
                    "call scx_bpf_task_set_dsq_vtime(p, vtime) where the kernel has it (6.19)"
                }
                _ => "keep the value in task local storage",
            };
            let message = match level {
                Level::Error => format!("program '{}' writes {field}, which it may not", function.name),
                _ => format!("program '{}' writes {field} directly, which is deprecated", function.name),
            };
            let finding = out
                .found(&DIRECT_TASK_WRITE, subject, message)
                .level(level)
                .help(help)
                .via(Site::Insn(used.function, used.insn), program, "this write");
            if level == Level::Error {
                finding.errno(Errno::EACCES);
                if cx.kernel.is_none_or(|kernel| kernel.arena_rule() != KernelArenaRule::None) {
                    finding.quote("cannot write into ptr_task_struct");
                }
            } else {
                finding.quote(
                    "sched_ext: Writing directly to p->scx.slice/dsq_vtime is deprecated, use scx_bpf_task_set_slice/dsq_vtime()",
                );
            }
        }
    }
}
