//! `timer-under-preempt-rt`.

use super::context::Context;
use super::shared::kernel_refuses::{self, Deed};
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::exceptions::Fact;
use crate::kernel::{helpers, kfuncs};
use crate::object::InsnIdx;

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
    let object = cx.object;
    let words = "uses a timer, which a kernel for real time refuses";
    let deed = Deed { refused: words, unknown: words };
    let uses = |program| {
        let by_kfunc: Vec<_> = kfunc_calls::of(cx, program)
            .iter()
            .filter(|call| kfuncs::is_timer(call.name))
            .map(kfunc_calls::KfuncCall::at)
            .collect();
        let slots = object.code_of(program).flat_map(|(function, code)| {
            let ops = code.ops().iter().enumerate();
            ops.map(move |(at, op)| ((function, InsnIdx(at)), *op))
        });
        let uses =
            slots.filter(|(at, op)| op.helper().is_some_and(helpers::is_timer) || by_kfunc.contains(at));
        cx.walks(program, uses.map(|(at, op)| (at, (at, op))))
    };
    let refuses = kernel.knows(Fact::PreemptRt);
    for (program, (code, at), _) in
        kernel_refuses::surely(cx, out, &TIMER_UNDER_PREEMPT_RT, &refuses, &deed, uses)
    {
        let name = &object[program].name;
        let message = format!("program '{name}' uses a timer, and the kernel is for real time");
        out.found(&TIMER_UNDER_PREEMPT_RT, Subject::program(object, program), message)
            .errno(Errno::EOPNOTSUPP)
            .quote("bpf_timer cannot be used for PREEMPT_RT.")
            .help(
                "keep timers behind a .rodata variable that the loader clears on such kernels, or use bpf_wq",
            )
            .via(Site::Insn(code, at), program, "this call");
    }
}
