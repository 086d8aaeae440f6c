//! `several-arenas-in-object`.

use super::context::Context;
use super::shared::refusal;
use crate::finding::Outcome;
use crate::object::Cause;

rule! {
    /// Two arena maps are declared in one object.
    ///
    /// ## Why it matters
    /// libbpf takes one ARENA map per object, used or not; opening fails with EINVAL.
    /// ## Fix
    /// Keep one arena and carve it up, or split the object.
    /// ## Sources
    /// libbpf `bpf_object__init_user_btf_maps`.
    pub SEVERAL_ARENAS_IN_OBJECT: "several-arenas-in-object", family: Arena, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(
        cx,
        out,
        &SEVERAL_ARENAS_IN_OBJECT,
        Cause::SeveralArenas,
        "keep one ARENA map per object",
    );
}
