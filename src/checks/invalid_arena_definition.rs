//! `invalid-arena-definition`.

use super::context::Context;
use super::shared::member_arenas;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::{Kernel, Lookup, USUAL_PAGE, map_types};
use crate::object::{F_MMAPABLE, Map};
use crate::rule::Phase;

rule! {
    /// An arena map that the kernel will not create, or that is too small for a scheduler.
    ///
    /// ## Why it matters
    /// An arena needs BPF_F_MMAPABLE, no key and no value, between one page and 4 GiB, and, with an address in `map_extra`,
    /// page alignment and one 4 GiB window, all in pages of the machine: on arm64 they may have 16 or 64 KiB. The kernel itself takes at least 4 pages from the arena of a cid-form scheduler: with
    /// fewer, the attach call succeeds and the scheduler is disabled at once.
    /// ## Example
    /// ```c
    /// __uint(type, BPF_MAP_TYPE_ARENA); __uint(max_entries, 100);    /* no map_flags */
    /// ```
    /// ## Fix
    /// `__uint(map_flags, BPF_F_MMAPABLE);` and a `max_entries` (pages) of 4 or more.
    /// ## Sources
    /// kernel `arena_map_alloc` (6.12 to 7.3), `scx_arena_grow` (7.2, 7.3).
    pub INVALID_ARENA_DEFINITION: "invalid-arena-definition", family: Arena, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    let (page, unknown) = match cx.kernel.map(Kernel::page_size) {
        Some(Lookup::Found(page)) => (page, None),
        Some(Lookup::Unknown(reason)) => (USUAL_PAGE, Some(reason)),
        _ => (USUAL_PAGE, None),
    };
    for arena in object.arenas() {
        let map = &object[arena];
        let subject = Subject::map(object, arena);
        let found = problem(map, cx.arena_flag(), page);
        if let Some(reason) = &unknown
            && found.is_some() != problem(map, cx.arena_flag(), LARGEST_PAGE).is_some()
        {
            out.undecided(
                &INVALID_ARENA_DEFINITION,
                subject,
                reason.within(|why| format!("counts pages, and {why}")),
            );
            continue;
        }
        let Some((problem, errno)) = found else { continue };
        if map.max_entries == 0 && cx.load.is_edited() {
            out.undecided(
                &INVALID_ARENA_DEFINITION,
                subject,
                "max_entries is 0, which the loader may set before load",
            );
            continue;
        }
        out.found(&INVALID_ARENA_DEFINITION, subject, format!("arena '{}': {problem}", map.name))
            .errno(errno)
            .quote(match errno {
                Errno::EFAULT => format!("map '{}': failed to mmap arena: -{errno}", map.name),
                _ => format!("map '{}': failed to create: -{errno}", map.name),
            })
            .help("see 'scx-lint explain invalid-arena-definition' for what an arena needs")
            .at(Site::Map(arena), problem);
    }
    for found in member_arenas::of(cx) {
        for &arena in &found.arenas {
            let map = &object[arena];
            // Globals lie in pages of their own, which are taken before the kernel asks.
            let globals = object.arena_globals.div_ceil(page);
            let left = u64::from(map.max_entries).checked_sub(globals);
            if map.max_entries > 0
                && left.is_some_and(|left| left < 4)
                && problem(map, cx.arena_flag(), page).is_none()
            {
                let taken = match globals {
                    0 => String::new(),
                    _ => format!(", {globals} of them taken by globals,"),
                };
                let message = format!(
                    "arena '{}' of {} pages{taken} is too small for cid-form scheduler '{}': the kernel takes at least 4",
                    map.name, map.max_entries, found.name
                );
                out.found(&INVALID_ARENA_DEFINITION, Subject::struct_ops(object, found.ops), message)
                    .phase(Phase::Attach)
                    .errno(Errno::ENOMEM)
                    .quote("scx_root_enable() failed (-12)")
                    .help("raise max_entries: it counts pages")
                    .at(Site::Map(arena), format!("max_entries is {}", map.max_entries));
            }
        }
    }
}

/// Pages of the largest size that a machine has.
const LARGEST_PAGE: u64 = 64 << 10;

/// End of the address space of user programs with 5-level paging, which no x86-64 or arm64 machine exceeds.
const USER_END: u64 = 1 << 56;

/// What the kernel's `arena_map_alloc` refuses, in its order, and then libbpf's mmap. `always` is the bit of
/// `BPF_F_ARENA_MAP_ALWAYS`, which another rule judges; pages have `page` bytes.
fn problem(map: &Map<'_>, always: u32, page: u64) -> Option<(String, Errno)> {
    let known = map_types::of(map.map_type).flags.unwrap_or(0) | always;
    let size = u64::from(map.max_entries) * page;
    let last = map.map_extra.wrapping_add(size).wrapping_sub(1);
    let invalid = |text: String| Some((text, Errno::EINVAL));
    if map.key_size != 0 || map.value_size != 0 {
        return invalid(format!("key size {} and value size {}, expected 0", map.key_size, map.value_size));
    }
    if map.max_entries == 0 {
        return invalid("max_entries is 0, expected a number of pages".into());
    }
    if map.flags & F_MMAPABLE == 0 {
        return invalid(format!("map_flags {:#x} lack BPF_F_MMAPABLE", map.flags));
    }
    if map.flags & !known != 0 {
        return invalid(format!(
            "map_flags {:#x} hold bits that no arena takes: {:#x}",
            map.flags,
            map.flags & !known
        ));
    }
    if !map.map_extra.is_multiple_of(page) {
        return invalid(format!("map_extra {:#x} is not page aligned", map.map_extra));
    }
    if size > 1 << 32 {
        return Some((format!("{} pages are more than 4 GiB", map.max_entries), Errno::E2BIG));
    }
    if map.map_extra >> 32 != last >> 32 {
        return Some((format!("{:#x} to {last:#x} crosses a 4 GiB boundary", map.map_extra), Errno::ERANGE));
    }
    if last >= USER_END {
        return Some((
            format!(
                "map_extra {:#x} is no address of a user program: libbpf maps the arena there",
                map.map_extra
            ),
            Errno::EFAULT,
        ));
    }
    None
}
