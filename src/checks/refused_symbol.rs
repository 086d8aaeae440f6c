//! `refused-symbol`.

use super::context::Context;
use super::shared::refusal;
use crate::finding::Outcome;
use crate::object::Cause;

rule! {
    /// A function symbol that libbpf cannot take as a program.
    ///
    /// ## Why it matters
    /// Entry programs must be global, have a size in whole instructions, and lie inside their section.
    /// A `static` function with a `SEC()` of its own is refused with EOPNOTSUPP.
    /// ## Example
    /// ```c
    /// SEC("struct_ops/enqueue") static void demo_enqueue(unsigned long long *ctx) { }
    /// ```
    /// ## Fix
    /// Drop `static` from the program, or drop its `SEC()` if it is a subprogram.
    /// ## Sources
    /// libbpf `bpf_object__add_programs`, `bpf_object__init_prog`.
    pub REFUSED_SYMBOL: "refused-symbol", family: Object, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(
        cx,
        out,
        &REFUSED_SYMBOL,
        Cause::Symbol,
        "programs must be global functions: drop 'static', or drop SEC() if it is a subprogram",
    );
}
