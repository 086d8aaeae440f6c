//! `missing-kfunc`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::kernel::kfuncs::{Successor, row_of};
use crate::load::ExternFate;
use crate::object::{ExternIdx, ExternKind, Object};

rule! {
    /// Refers to a kfunc that the kernel does not have.
    ///
    /// ## Why it matters
    /// libbpf resolves every strong extern before it loads anything: one that is missing fails the load, even if only dead code or a program
    /// that is never loaded refers to it.
    /// ## Example
    /// ```c
    /// extern struct rq *scx_bpf_cpu_rq(s32 cpu) __ksym;   /* gone in 7.3 */
    /// ```
    /// ## Fix
    /// Declare it `__ksym __weak` and test it with `bpf_ksym_exists()` before the call.
    /// ## Sources
    /// libbpf `bpf_object__resolve_ksym_func_btf_id`.
    pub MISSING_KFUNC: "missing-kfunc", family: Kfunc, level: Error, phase: Load, since: "0.1.0";
}

/// When a kfunc went away, and what came in its place.
fn departure(name: &str) -> Option<String> {
    let gone = row_of(name)?.gone?;
    Some(match gone.successor {
        Some(Successor::Renamed(other, since)) => {
            format!("it was renamed {other} in {since} and went away after {}", gone.last)
        }
        Some(Successor::Others(others, since)) => {
            let others = others.join(" and ");
            format!("it went away in {}; {others} are in kernels from {since} on", gone.first_without())
        }
        None => format!("it went away in {}", gone.first_without()),
    })
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    if cx.kernel.is_none() {
        return;
    }
    for (number, external) in cx.object.externs.iter().enumerate() {
        let index = ExternIdx(number);
        if external.kind != ExternKind::Kfunc {
            continue;
        }
        let subject = Subject::external(external.name);
        match cx.load.external(index) {
            ExternFate::Missing => {
                let name = Object::essential_name(external.name);
                let message = match departure(name) {
                    Some(what) => format!("kfunc '{name}' is not in the kernel: {what}"),
                    None => format!("kfunc '{name}' is not in the kernel"),
                };
                out.found(&MISSING_KFUNC, subject, message)
                    .errno(Errno::EINVAL)
                    .quote(format!(
                        "extern (func ksym) '{}': not found in kernel or module BTFs",
                        external.name
                    ))
                    .help("declare it __ksym __weak and test it with bpf_ksym_exists() before the call");
            }
            ExternFate::Unknown(reason) if !external.weak => {
                out.undecided(&MISSING_KFUNC, subject, reason.clone());
            }
            _ => {}
        }
    }
}
