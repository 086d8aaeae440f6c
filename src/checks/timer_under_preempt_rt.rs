//! `timer-under-preempt-rt`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::exceptions::Fact;
use crate::kernel::{Lookup, helpers, kfuncs};

rule! {
    /// A program uses a timer, which no program may on a kernel for real time.
    ///
    /// ## Why it matters
    /// On kernels with CONFIG_PREEMPT_RT the verifier refuses every `bpf_timer_*` call that it comes to, and with it the object. Distributions have
    /// such kernels beside their usual ones (Debian's `-rt-amd64`).
    /// ## Example
    /// ```c
    /// bpf_timer_init(&slot->timer, &timers, CLOCK_MONOTONIC);
    /// ```
    /// ## Fix
    /// Put the timer behind a `.rodata` variable that the loader clears where the kernel is for real time (`/sys/kernel/realtime` reads 1): the
    /// verifier does not walk what a constant keeps out. Or do the work from a callback such as `tick`, or with `bpf_wq`.
    /// ## Sources
    /// kernel `process_timer_func` (verifier.c).
    pub TIMER_UNDER_PREEMPT_RT: "timer-under-preempt-rt", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    let known = kernel.knows(Fact::PreemptRt);
    if known == Lookup::Absent {
        return;
    }
    let object = cx.object;
    for (program, function, _) in cx.loaded() {
        let subject = Subject::program(object, program);
        let by_kfunc: Vec<_> = kfunc_calls::of(cx, program)
            .iter()
            .filter(|call| kfuncs::is_timer(call.name))
            .map(kfunc_calls::KfuncCall::at)
            .collect();
        let slots = object.code_of(program).flat_map(|(function, code)| {
            let ops = code.ops().iter().enumerate();
            ops.map(move |(at, op)| ((function, crate::object::InsnIdx(at)), *op))
        });
        let uses =
            slots.filter(|(at, op)| op.helper().is_some_and(helpers::is_timer) || by_kfunc.contains(at));
        let call = cx.walks(program, uses.map(|(at, _)| (at, at)));
        if let (Some((code, at)), Lookup::Unknown(reason)) = (call.found(), &known) {
            let reason =
                reason.within(|why| format!("uses a timer, which a kernel for real time refuses; {why}"));
            let open = out.undecided(&TIMER_UNDER_PREEMPT_RT, subject, reason);
            open.via(Site::Insn(*code, *at), program, "this call");
            continue;
        }
        let what = |_: &_| "uses a timer, which a kernel for real time refuses".to_owned();
        let call = call.or_undecided(out, &TIMER_UNDER_PREEMPT_RT, subject.clone(), what);
        let Some((code, at)) = call else { continue };
        let message = format!("program '{}' uses a timer, and the kernel is for real time", function.name);
        out.found(&TIMER_UNDER_PREEMPT_RT, subject, message)
            .errno(Errno::EOPNOTSUPP)
            .quote("bpf_timer cannot be used for PREEMPT_RT.")
            .help(
                "keep timers behind a .rodata variable that the loader clears on such kernels, or use bpf_wq",
            )
            .via(Site::Insn(code, at), program, "this call");
    }
}
