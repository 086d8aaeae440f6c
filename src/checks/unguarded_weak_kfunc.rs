//! `unguarded-weak-kfunc`.

use super::context::Context;
use super::shared::declared::Sides;
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
    /// `if (bpf_ksym_exists(scx_bpf_kick_cid)) ...`. Where the kernel has it with another prototype, declare that; where kernels differ, once per
    /// flavour (`name___old`).
    /// ## Sources
    /// libbpf `bpf_program__fixup_func_info`, `poison_kfunc_call`; kernel `fixup_kfunc_call`.
    pub UNGUARDED_WEAK_KFUNC: "unguarded-weak-kfunc", family: Kfunc, level: Error, phase: Load, since: "0.1.0";
}

/// The function that libbpf's `poison_kfunc_call` calls in place of the first extern.
const POISON_CALL_KFUNC_BASE: usize = 2_002_000_000;

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (program, function, _) in cx.loaded() {
        let calls = kfunc_calls::of(cx, program).into_iter().filter(|call| call.external.weak);
        for answer in kfunc_calls::surest(cx, program, calls) {
            let Some(&call) = answer.found() else { continue };
            let name = call.name;
            let test = format!("test it first: if (bpf_ksym_exists({}))", call.external.name);
            let (why, help) = match call.fate {
                ExternFate::Null => ("which the kernel lacks".to_owned(), test),
                ExternFate::NullMismatched(kfunc) => {
                    let sides = Sides::of_kfunc(cx.object, call.external, kernel, *kfunc);
                    let Some(sides) = sides else { continue };
                    let why = format!("which is declared as {}", sides.words());
                    (why, format!("declare it as the kernel does: extern {} __ksym __weak;", sides.kernel))
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
                .logged(format!("invalid func unknown#{}", POISON_CALL_KFUNC_BASE + call.index.0))
                .help(help)
                .via(call.site(), program, "this call");
        }
    }
}
