//! `malformed-btf`.

use super::context::Context;
use super::shared::refusal;
use crate::finding::Outcome;
use crate::object::Cause;

rule! {
    /// The `.BTF` or `.BTF.ext` section does not hold together.
    ///
    /// ## Why it matters
    /// libbpf refuses to open an object that needs types and whose types, variables or line records are corrupted.
    /// ## Fix
    /// Compile again; look for a tool that rewrote sections after the compiler (objcopy, a custom linker step).
    /// ## Sources
    /// libbpf `btf__new`, `btf_ext__new`, `btf_fixup_datasec` (which fails without printing a word).
    pub MALFORMED_BTF: "malformed-btf", family: Object, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(
        cx,
        out,
        &MALFORMED_BTF,
        Cause::MalformedBtf,
        "compile again with a current clang and leave .BTF and .BTF.ext as they come out",
    );
}
