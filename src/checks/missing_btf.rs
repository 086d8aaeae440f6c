//! `missing-btf`.

use super::context::Context;
use super::shared::refusal;
use crate::finding::Outcome;
use crate::object::Cause;

rule! {
    /// The object has maps or an ops variable, and no `.BTF` section to describe them.
    ///
    /// ## Why it matters
    /// libbpf reads map definitions and ops variables out of BTF. Without it `bpf_object__open` fails with ENOENT.
    /// ## Fix
    /// Compile with `-g`; strip with `llvm-strip -g`, which keeps BTF, and not with `strip`.
    /// ## Sources
    /// libbpf `bpf_object__init_btf`.
    pub MISSING_BTF: "missing-btf", family: Object, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(
        cx,
        out,
        &MISSING_BTF,
        Cause::MissingBtf,
        "compile with -g, and strip with 'llvm-strip -g', which keeps BTF",
    );
}
