//! `arena-globals-without-arena`.

use super::context::Context;
use super::shared::refusal;
use crate::finding::Outcome;
use crate::object::Cause;

rule! {
    /// Global `__arena` variables, and no arena map to hold them.
    ///
    /// ## Why it matters
    /// Such variables live in section `.addr_space.1`, which libbpf places in the object's ARENA map.
    /// ## Fix
    /// Declare an ARENA map in `SEC(".maps")`.
    /// ## Sources
    /// libbpf `bpf_object__init_user_btf_maps`, `bpf_program__record_reloc`.
    pub ARENA_GLOBALS_WITHOUT_ARENA: "arena-globals-without-arena", family: Arena, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(
        cx,
        out,
        &ARENA_GLOBALS_WITHOUT_ARENA,
        Cause::ArenaGlobalsWithoutArena,
        "declare an ARENA map in SEC(\".maps\") to hold the __arena variables",
    );
}
