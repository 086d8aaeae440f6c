//! `unresolved-extern`.

use super::context::Context;
use super::shared::refusal;
use crate::finding::Outcome;
use crate::object::Cause;

rule! {
    /// An undefined symbol that is no kfunc, ksym or kconfig value.
    ///
    /// ## Why it matters
    /// libbpf resolves externs that carry `__ksym` or `__kconfig`. Any other undefined symbol fails the open.
    /// ## Fix
    /// Define it, link the object that defines it (`bpftool gen object`), or mark it `__ksym`.
    /// ## Sources
    /// libbpf `bpf_object__collect_externs`.
    pub UNRESOLVED_EXTERN: "unresolved-extern", family: Object, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(
        cx,
        out,
        &UNRESOLVED_EXTERN,
        Cause::Extern,
        "define the symbol, link the object that does, or mark it __ksym or __kconfig",
    );
}
