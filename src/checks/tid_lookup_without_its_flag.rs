//! `tid-lookup-without-its-flag`.

use super::context::Context;
use super::shared::kfunc_calls;
use super::shared::ops_values::OpsValue;
use super::shared::surely::Surely;
use crate::finding::{Outcome, Subject};
use crate::kernel::kfuncs;
use crate::kernel::ops_flags::TID_TO_TASK;
use crate::object::OpsIdx;

rule! {
    /// Looks a task up by its number, which the scheduler has not asked the kernel to keep.
    ///
    /// ## Why it matters
    /// `scx_bpf_tid_to_task` needs `SCX_OPS_TID_TO_TASK`: without the flag the kernel keeps no table of tasks, and the call gets the scheduler
    /// ejected. What a sub-scheduler finds depends on its root scheduler, so of those this rule says nothing.
    /// ## Example
    /// ```c
    /// struct task_struct *p = scx_bpf_tid_to_task(tid);   /* and no SCX_OPS_TID_TO_TASK in .flags */
    /// ```
    /// ## Fix
    /// `.flags = SCX_OPS_TID_TO_TASK`
    /// ## Sources
    /// kernel `scx_bpf_tid_to_task` (7.2, 7.3).
    pub TID_LOOKUP_WITHOUT_ITS_FLAG: "tid-lookup-without-its-flag", family: Kfunc, level: Error, phase: Run, since: "0.1.0";
}

/// Is it a root scheduler without the flag, by what is in the file: surely so, or unless user space changes that.
fn lacks_table(cx: &Context<'_, '_>, ops: OpsIdx) -> Option<bool> {
    let (flags, cgroup) = (cx.ops_flags(ops), cx.ops_value(ops, "sub_cgroup_id"));
    if flags.has(TID_TO_TASK) || matches!(cgroup, OpsValue::Stands(2..)) {
        return None;
    }
    Some(flags.lacks(TID_TO_TASK) && cgroup.known().is_some())
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, _) in cx.schedulers() {
        let Some(lacks) = lacks_table(cx, index) else { continue };
        let mut seen = Vec::new();
        for (_, program) in cx.load.callbacks(index) {
            if seen.contains(&program) {
                continue;
            }
            seen.push(program);
            let mut calls = kfunc_calls::of(cx, program);
            calls.retain(|call| call.name == kfuncs::TID_TO_TASK);
            // Without a kernel only a strong extern is sure to be called where the object loads.
            calls.retain(|call| cx.has_kfunc(call.index));
            let calls = kfunc_calls::surest(cx, program, calls);
            for call in calls.iter().filter_map(Surely::found) {
                let subject = Subject::program(cx.object, program);
                if !lacks || !matches!(cx.runs(program, call.at(), ()), Surely::Sure(())) {
                    let flags = cx.flags_in_words(index);
                    let reason = format!(
                        "looks a task up by its number, which would get the scheduler ejected: {flags}, without SCX_OPS_TID_TO_TASK"
                    );
                    let question = out.undecided(&TID_LOOKUP_WITHOUT_ITS_FLAG, subject, reason);
                    question.via(call.site(), program, "this call");
                    if cx.told(index, "flags").is_none() {
                        question.decided_by_member(cx.object, index, "flags");
                    }
                    continue;
                }
                let program_name = &cx.object[program].name;
                let message = format!(
                    "program '{program_name}' calls '{}': the flags lack SCX_OPS_TID_TO_TASK",
                    call.name
                );
                out.found(&TID_LOOKUP_WITHOUT_ITS_FLAG, subject, message)
                    .quote("scx_bpf_tid_to_task() called without SCX_OPS_TID_TO_TASK")
                    .help("set SCX_OPS_TID_TO_TASK in .flags")
                    .via(call.site(), program, "this call");
            }
        }
    }
}
