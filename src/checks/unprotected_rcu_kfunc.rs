//! `unprotected-rcu-kfunc`.

use super::context::Context;
use super::shared::kfunc_calls::{self, KfuncCall};
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::kernel::{helpers, kfuncs};
use crate::object::FuncIdx;

rule! {
    /// A sleepable program calls a kfunc that needs an RCU read lock, and takes none.
    ///
    /// ## Why it matters
    /// `scx_bpf_cpu_curr`, `scx_bpf_cid_curr`, `scx_bpf_dsq_peek`, `scx_bpf_tid_to_task` and, from 6.18, the iterator over a DSQ give out
    /// tasks that RCU protects. Callbacks that may not sleep hold an RCU read lock throughout; sleepable ones and `SEC("syscall")` programs
    /// must take it, and the verifier refuses the call where they did not. A program that takes a lock somewhere is not looked at.
    /// ## Example
    /// ```c
    /// SEC("syscall") int show(void *ctx) { struct task_struct *p = scx_bpf_cpu_curr(0); ... }
    /// ```
    /// ## Fix
    /// `bpf_rcu_read_lock()` before the call, `bpf_rcu_read_unlock()` behind the last use of the task.
    /// ## Sources
    /// kernel `check_kfunc_call` (KF_RCU_PROTECTED), `check_kfunc_args`; guests of 6.18, 7.1, 7.2 and 7.3.
    pub UNPROTECTED_RCU_KFUNC: "unprotected-rcu-kfunc", family: Kfunc, level: Error, phase: Load, since: "0.1.0";
}

/// Whether the program's code takes any lock.
fn locks(cx: &Context<'_, '_>, program: FuncIdx) -> bool {
    let mut code = cx.object.code_of(program).flat_map(|(_, function)| function.code.insns());
    kfunc_calls::of(cx, program).iter().any(|call| kfuncs::locks(call.name).is_some())
        || code.any(|(_, insn)| insn.helper() == Some(helpers::SPIN_LOCK))
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, _) in cx.loaded().filter(|(_, _, entry)| entry.sleepable) {
        let calls =
            kfunc_calls::of(cx, program).into_iter().filter(|call| kfuncs::needs_rcu(cx.kernel, call.name));
        // Callbacks of timers and work queues do not sleep, or are looked at on their own.
        let calls = calls.filter(|call| !kfunc_calls::is_in_callback(cx, call));
        let resolved: Vec<_> = calls.filter(|call| cx.has_kfunc(call.index)).collect();
        if resolved.is_empty() || locks(cx, program) {
            continue;
        }
        for call in kfunc_calls::surest(cx, program, resolved) {
            let subject = Subject::program(cx.object, program);
            let what = |call: &KfuncCall<'_, '_>| format!("calls '{}' without an RCU read lock", call.name);
            let call = call.or_undecided(out, &UNPROTECTED_RCU_KFUNC, subject.clone(), what);
            let Some(call) = call else { continue };
            let name = call.name;
            let message =
                format!("program '{}' may sleep and calls '{name}' without an RCU read lock", function.name);
            out.found(&UNPROTECTED_RCU_KFUNC, subject, message)
                .errno(Errno::EACCES)
                .quote(format!("kernel func {name} requires RCU critical section protection"))
                .help("call bpf_rcu_read_lock() before, and bpf_rcu_read_unlock() behind the last use of the task")
                .via(call.site(), program, "this call");
        }
    }
}
