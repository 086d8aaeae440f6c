//! `cpu-form-kfunc`.

use super::context::Context;
use super::shared::callers;
use super::shared::kfunc_calls::{self, KfuncCall};
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::kernel::kfuncs::{Permission, permission, row_of};
use crate::load::ExternFate;

rule! {
    /// A cid-form scheduler calls a kfunc that deals in CPU numbers.
    ///
    /// ## Why it matters
    /// cid-form schedulers speak of cids. The verifier refuses the kfuncs that take or give CPU numbers and cpumasks there, those for idle CPUs among
    /// them, wherever it comes to such a call.
    /// ## Example
    /// ```c
    /// scx_bpf_kick_cpu(cpu, 0);   /* cid-form: scx_bpf_kick_cid(cid, 0) */
    /// ```
    /// ## Fix
    /// Use the counterpart for cids: `scx_bpf_kick_cid`, `scx_bpf_task_cid`, `scx_bpf_cid_curr`, `scx_bpf_cidperf_set` and so on.
    /// ## Sources
    /// kernel `scx_kfunc_context_filter`, `scx_kfunc_ids_cpu_only` (7.2, 7.3).
    pub CPU_FORM_KFUNC: "cpu-form-kfunc", family: Kfunc, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (program, function, _) in cx.loaded() {
        let roles = callers::roles(cx, program);
        let refused = |name: &str| {
            roles.iter().any(|role| permission(kernel, name, role.caller) == Permission::CpuOnly)
        };
        let calls = kfunc_calls::of(cx, program).into_iter();
        let calls = calls.filter(|call| matches!(call.fate, ExternFate::Kfunc(_)) && refused(call.name));
        for call in kfunc_calls::surest(cx, program, calls) {
            let subject = Subject::program(cx.object, program);
            let what = |call: &KfuncCall<'_, '_>| {
                format!("calls '{}', which cid-form schedulers may not", call.name)
            };
            let Some(call) = call.or_undecided(out, &CPU_FORM_KFUNC, subject.clone(), what) else { continue };
            let name = call.name;
            let help = match row_of(name).and_then(|row| row.for_cids) {
                Some(other) => format!("use {other}"),
                None => {
                    "there is no counterpart for cids: keep idle state and topology in the scheduler itself"
                        .to_owned()
                }
            };
            let message = format!(
                "program '{}' of a cid-form scheduler calls '{name}', which deals in CPUs",
                function.name
            );
            out.found(&CPU_FORM_KFUNC, subject, message)
                .errno(Errno::EACCES)
                .quote(format!("calling kernel function {name} is not allowed"))
                .help(help)
                .via(call.site(), program, "this call");
        }
    }
}
