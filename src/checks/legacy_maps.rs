//! `legacy-maps`.

use super::context::Context;
use super::shared::refusal;
use crate::finding::Outcome;
use crate::object::Cause;

rule! {
    /// Maps are declared the old way, in a section `maps`.
    ///
    /// ## Why it matters
    /// libbpf 1.0 dropped `struct bpf_map_def`; opening fails with EOPNOTSUPP.
    /// ## Fix
    /// Declare each map as an anonymous struct in `SEC(".maps")`.
    /// ## Sources
    /// libbpf `bpf_object__elf_collect`.
    pub LEGACY_MAPS: "legacy-maps", family: Object, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(
        cx,
        out,
        &LEGACY_MAPS,
        Cause::LegacyMaps,
        "declare each map as an anonymous struct in SEC(\".maps\")",
    );
}
