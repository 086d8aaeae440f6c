//! `arena-globals-too-large`.

use super::context::Context;
use super::shared::refusal;
use crate::finding::Outcome;
use crate::object::Cause;

rule! {
    /// The global `__arena` variables do not fit into the arena.
    ///
    /// ## Why it matters
    /// `max_entries` of an arena counts pages; libbpf refuses globals that take more. Opening fails with E2BIG.
    /// ## Fix
    /// Raise `max_entries`.
    /// ## Sources
    /// libbpf `init_arena_map_data`.
    pub ARENA_GLOBALS_TOO_LARGE: "arena-globals-too-large", family: Arena, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(
        cx,
        out,
        &ARENA_GLOBALS_TOO_LARGE,
        Cause::ArenaGlobalsTooLarge,
        "raise max_entries of the arena: it counts pages",
    );
}
