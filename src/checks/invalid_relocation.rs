//! `invalid-relocation`.

use super::context::Context;
use super::shared::refusal;
use crate::finding::Outcome;
use crate::object::Cause;

rule! {
    /// An instruction refers to something that libbpf cannot give it.
    ///
    /// ## Why it matters
    /// Code may refer to maps, global variables, externs and subprograms in `.text`. The address of an ops variable
    /// or of another entry program, or a call to one, is refused at open.
    /// ## Fix
    /// Move shared code into a function without `SEC()`; reach ops state through a map.
    /// ## Sources
    /// libbpf `bpf_program__record_reloc`.
    pub INVALID_RELOCATION: "invalid-relocation", family: Object, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(
        cx,
        out,
        &INVALID_RELOCATION,
        Cause::Relocation,
        "code may refer to maps, global variables, externs and functions without SEC() only",
    );
}
