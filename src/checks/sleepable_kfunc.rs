//! `sleepable-kfunc`.

use super::context::Context;
use super::shared::{callers, kfunc_calls};
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::kernel::kfuncs::{Permission, must_sleep, permission};

rule! {
    /// A program that may not sleep calls a kfunc that may.
    ///
    /// ## Why it matters
    /// `scx_bpf_create_dsq` and `scx_bpf_cid_override` may sleep: the verifier takes calls to them in sleepable programs only.
    /// Before 7.0 so may the kfuncs that allocate, free and reserve pages of an arena.
    /// ## Example
    /// ```c
    /// s32 BPF_STRUCT_OPS(demo_init) { return scx_bpf_create_dsq(0, -1); }   /* BPF_STRUCT_OPS_SLEEPABLE */
    /// ```
    /// ## Fix
    /// `SEC("struct_ops.s/init")`, that is `BPF_STRUCT_OPS_SLEEPABLE`, for callbacks that may sleep.
    /// ## Sources
    /// kernel `check_kfunc_call` (KF_SLEEPABLE).
    pub SLEEPABLE_KFUNC: "sleepable-kfunc", family: Kfunc, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, entry) in cx.loaded().filter(|(_, _, entry)| !entry.sleepable) {
        let roles = callers::roles(cx, program);
        let calls = kfunc_calls::of(cx, program)
            .into_iter()
            .filter(|call| must_sleep(cx.kernel, call.name) == Some(true));
        // Without a kernel: a strong extern resolves or fails the load, so that the call is refused either way.
        let resolved = calls.filter(|call| cx.has_kfunc(call.index));
        let resolved = resolved.filter(|call| !kfunc_calls::may_sleep_as_work(cx, program, call.function));
        for call in kfunc_calls::surest(cx, program, resolved) {
            let Some(name) = call.found().map(|call| call.name) else { continue };
            let refused_before = |kernel| {
                let refused =
                    |role: &callers::Role<'_>| permission(kernel, name, role.caller) == Permission::Refused;
                !roles.is_empty() && roles.iter().all(refused)
            };
            if cx.kernel.is_some_and(refused_before) {
                continue;
            }
            let subject = Subject::program(cx.object, program);
            let what = |_: &_| format!("calls '{name}', which may sleep");
            let Some(call) = call.or_undecided(out, &SLEEPABLE_KFUNC, subject.clone(), what) else {
                continue;
            };
            let message =
                format!("program '{}' is not sleepable and calls '{name}', which may sleep", function.name);
            out.found(&SLEEPABLE_KFUNC, subject, message)
                .errno(Errno::EACCES)
                .quote(format!("program must be sleepable to call sleepable kfunc {name}"))
                .help(format!("SEC(\"{}.s/...\"), that is BPF_STRUCT_OPS_SLEEPABLE", entry.kind.as_str()))
                .via(call.site(), program, "this call");
        }
    }
}
