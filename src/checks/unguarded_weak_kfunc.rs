//! `unguarded-weak-kfunc`.

use super::context::Context;
use super::shared::kfunc_calls;
use super::shared::surely::Surely;
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::load::ExternFate;

rule! {
    /// Calls a weak kfunc that the kernel lacks, without a test.
    ///
    /// ## Why it matters
    /// libbpf gives a weak kfunc that it does not find the address 0 and makes calls to it invalid. `bpf_ksym_exists()` is then a constant, and
    /// the verifier drops the branch. Without the test it comes to the call and refuses the program. A weak extern whose prototype is another in the
    /// kernel counts as missing.
    /// ## Example
    /// ```c
    /// extern void scx_bpf_kick_cid(s32 cid, u64 flags) __ksym __weak;
    /// scx_bpf_kick_cid(cid, 0);   /* on 7.1 */
    /// ```
    /// ## Fix
    /// `if (bpf_ksym_exists(scx_bpf_kick_cid)) ...`
    /// ## Sources
    /// libbpf `bpf_program__fixup_func_info`, `poison_kfunc_call`; kernel `fixup_kfunc_call`.
    pub UNGUARDED_WEAK_KFUNC: "unguarded-weak-kfunc", family: Kfunc, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (program, function, _) in cx.loaded() {
        let calls = kfunc_calls::of(cx, program).into_iter().filter(|call| call.external.weak);
        for answer in kfunc_calls::surest(cx, program, calls) {
            let Some(&call) = answer.found() else { continue };
            let name = call.name;
            let why = match call.fate {
                ExternFate::Null => "which the kernel lacks".to_owned(),
                ExternFate::NullMismatched(kfunc) => {
                    format!("which has another prototype in the kernel: {}", kernel.signature(name, *kfunc))
                }
                ExternFate::Unknown(reason) => {
                    if matches!(answer, Surely::Sure(_)) {
                        out.undecided(
                            &UNGUARDED_WEAK_KFUNC,
                            Subject::program(cx.object, program),
                            reason
                                .within(|why| format!("calls weak kfunc '{name}' without a test, and {why}")),
                        )
                        .via(call.site(), program, "this call");
                    }
                    continue;
                }
                _ => continue,
            };
            let subject = Subject::program(cx.object, program);
            let what = |_: &_| format!("calls kfunc '{name}', {why}");
            let answer = answer.or_undecided(out, &UNGUARDED_WEAK_KFUNC, subject.clone(), what);
            let Some(call) = answer else { continue };
            let message = format!("program '{}' calls kfunc '{name}', {why}", function.name);
            out.found(&UNGUARDED_WEAK_KFUNC, subject, message)
                .errno(Errno::EINVAL)
                .quote(format!("kfunc '{}' is referenced but wasn't resolved", call.external.name))
                .help(format!("test it first: if (bpf_ksym_exists({}))", call.external.name))
                .via(call.site(), program, "this call");
        }
    }
}
