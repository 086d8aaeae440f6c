//! `kfunc-outside-its-ops`.

use super::context::Context;
use super::shared::{callers, kfunc_calls};
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::kernel::cpu_name;
use crate::kernel::kfuncs::{self, Caller, Permission, permission};
use crate::load::ExternFate;
use crate::rule::Phase;

rule! {
    /// A program calls a kfunc that belongs to other callbacks, or to other types of programs.
    ///
    /// ## Why it matters
    /// `scx_bpf_dsq_insert` may be called from `select_cpu`, `enqueue` and `dispatch`, `scx_bpf_dsq_move_to_local` from `dispatch`,
    /// `scx_bpf_create_dsq` from `init` and others that may sleep, and so on. From 7.1 the verifier refuses such a call where it comes to it. Before,
    /// the program loads, and the scheduler is ejected the moment the call is made. Programs of other types have fewer kfuncs still: tracing programs
    /// those of the `any` and `idle` sets, kprobes none. Other parts of the kernel have kfuncs for their own programs: no callback of a scheduler may call
    /// `bpf_dynptr_from_skb`, `bpf_path_d_path` or `bpf_crypto_ctx_create`, on any kernel.
    /// ## Example
    /// ```c
    /// void BPF_STRUCT_OPS(demo_running, struct task_struct *p) { scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 0, 0); }
    /// ```
    /// ## Fix
    /// Move the call into a callback that may make it.
    /// ## Sources
    /// kernel `scx_kfunc_context_filter` (7.1 to 7.3), `scx_kf_allowed` (6.12 to 7.0), `register_btf_kfunc_id_set` and its callers (6.12, 7.2, 7.3).
    pub KFUNC_OUTSIDE_ITS_OPS: "kfunc-outside-its-ops", family: Kfunc, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (program, function, _) in cx.loaded() {
        let roles = callers::roles(cx, program);
        if roles.is_empty() {
            continue;
        }
        let calls = kfunc_calls::of(cx, program).into_iter();
        let calls = calls.filter(|call| matches!(call.fate, ExternFate::Kfunc(_)));
        // Most calls are allowed: look at the flow for the others only.
        let doubtful = calls.filter(|call| {
            roles.iter().any(|role| permission(kernel, call.name, role.caller) != Permission::Granted)
        });
        for answer in kfunc_calls::surest(cx, program, doubtful) {
            let Some(&call) = answer.found() else { continue };
            for role in &roles {
                let name = call.name;
                let place = match role.caller {
                    Caller::Op { member, .. } => format!("from '{member}'"),
                    _ => format!("from a program of section '{}'", function.section_name),
                };
                let is_init_task =
                    matches!(role.caller, Caller::Op { member, .. } if cpu_name(member) == "init_task");
                let subject = Subject::program(cx.object, program);
                let (phase, text, what) = match permission(kernel, name, role.caller) {
                    Permission::Granted | Permission::CpuOnly => continue,
                    Permission::Refused => (
                        Phase::Load,
                        format!("calling kernel function {name} is not allowed"),
                        format!("may not be called {place}"),
                    ),
                    Permission::Ejected(text) => (
                        // This one is called for every task while the scheduler is enabled.
                        if is_init_task { Phase::Attach } else { Phase::Run },
                        text,
                        format!("gets the scheduler ejected when it is called {place}"),
                    ),
                    Permission::Unknown(reason) => {
                        out.undecided(&KFUNC_OUTSIDE_ITS_OPS, subject, reason).via(
                            call.site(),
                            program,
                            "this call",
                        );
                        continue;
                    }
                };
                // A timer's callback runs when no callback of the scheduler does.
                if phase != Phase::Load && kfunc_calls::is_in_callback(cx, &call) {
                    let reason = format!(
                        "kfunc '{name}' {what}, and this call is in a callback, which may run elsewhere"
                    );
                    let open = out.undecided_at(&KFUNC_OUTSIDE_ITS_OPS, phase, subject, reason);
                    open.via(call.site(), program, "this call");
                    continue;
                }
                // What the verifier walks may never run: an ejection is sure only where nothing leads past the call.
                let answer = if phase == Phase::Load { answer } else { cx.runs(program, call.at(), call) };
                let calls = |_: &_| format!("kfunc '{name}' {what}");
                let rule = &KFUNC_OUTSIDE_ITS_OPS;
                let Some(call) = answer.or_undecided_at(out, rule, phase, subject.clone(), calls) else {
                    continue;
                };
                let finding = out
                    .found(&KFUNC_OUTSIDE_ITS_OPS, subject, format!("kfunc '{name}' {what}"))
                    .phase(phase)
                    .quote(text)
                    .help(match kfuncs::is_known(name) {
                        true => "move the call into a callback that may make it",
                        false => "do without: the kfunc is for programs of other types",
                    })
                    .via(call.site(), program, format!("called in program '{}'", function.name));
                if phase == Phase::Load {
                    finding.errno(Errno::EACCES);
                }
            }
        }
    }
}
