//! `arena-globals-too-large`.

use super::context::Context;
use super::shared::refusal;
use crate::finding::Outcome;
use crate::kernel::{Kernel, Lookup};
use crate::object::Cause;

rule! {
    /// The global `__arena` variables do not fit into the arena.
    ///
    /// ## Why it matters
    /// `max_entries` of an arena counts pages, of the size that the machine has (4 KiB, on arm64 up to 64 KiB); libbpf refuses globals that take more. Opening fails with E2BIG.
    /// ## Fix
    /// Raise `max_entries`.
    /// ## Sources
    /// libbpf `init_arena_map_data`.
    pub ARENA_GLOBALS_TOO_LARGE: "arena-globals-too-large", family: Arena, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    // libbpf counts in the pages of the machine; the object was opened with the usual ones.
    if let Some(Lookup::Found(page)) = cx.kernel.map(Kernel::page_size)
        && let Some(arena) = cx.object.arenas().next()
        && cx.object.arena_globals <= u64::from(cx.object[arena].max_entries).saturating_mul(page)
    {
        return;
    }
    refusal::report(
        cx,
        out,
        &ARENA_GLOBALS_TOO_LARGE,
        Cause::ArenaGlobalsTooLarge,
        "raise max_entries of the arena: it counts pages",
    );
}
