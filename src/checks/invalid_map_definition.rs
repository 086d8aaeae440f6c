//! `invalid-map-definition`: maps that the kernel refuses to create, on every version.

use super::{Context, refusal};
use crate::errno::Errno;
use crate::finding::{Outcome, Phase, Site, Subject};
use crate::object::{Cause, Map, MapIdx, MapOrigin, MapType};

rule! {
    /// A map definition that libbpf or the kernel refuses.
    ///
    /// ## Why it matters
    /// libbpf refuses unknown fields, sizes that contradict each other and static maps at open. The kernel refuses sizes that do
    /// not fit the map type when the map is created, which fails the load of the whole object.
    /// ## Example
    /// An array whose key is not 4 bytes wide.
    /// ## Fix
    /// Correct the definition in `SEC(".maps")`.
    /// ## Sources
    /// libbpf `parse_btf_map_def`; kernel `array_map_alloc_check`, `htab_map_alloc_check`, `ringbuf_map_alloc`,
    /// `queue_stack_map_alloc_check`, `map_create` (map_extra), `bpf_local_storage_map_alloc_check`.
    pub INVALID_MAP_DEFINITION: "invalid-map-definition", family: Map, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(cx, out, &INVALID_MAP_DEFINITION, Cause::MapDefinition, "correct the definition in SEC(\".maps\")");
    for (index, map) in cx.object.maps.iter().enumerate() {
        if map.origin != MapOrigin::Declared {
            continue;
        }
        let Some((problem, by_loader)) = problem(map) else { continue };
        let subject = Subject::map(cx.object, MapIdx(index));
        if by_loader && cx.edited {
            out.undecided(&INVALID_MAP_DEFINITION, subject, format!("{problem}, which the loader may set before load"));
            continue;
        }
        out.found(&INVALID_MAP_DEFINITION, subject, format!("map '{}': {problem}", map.name))
            .phase(Phase::Load)
            .errno(Errno::EINVAL)
            .quote(format!("map '{}': failed to create: -EINVAL", map.name))
            .help("correct the definition in SEC(\".maps\"), or set the size between open and load")
            .at(Site::Map(MapIdx(index)), problem);
    }
}

/// Largest value of a per-CPU map, bytes: one allocation (`PCPU_MIN_UNIT_SIZE`).
const PERCPU_VALUE: u32 = 32 << 10;

/// What the kernel will not take, and whether user space commonly sets it between open and load.
fn problem(map: &Map<'_>) -> Option<(String, bool)> {
    let ty = map.map_type;
    let name = ty.name()?;
    let no_entries = map.max_entries == 0;
    let wrong = |what: &str, got: u32, expected: &str| Some((format!("{what} {got}, {name} needs {expected}"), false));
    if map.map_extra != 0 && !matches!(ty, MapType::ARENA | MapType::BLOOM_FILTER | MapType::RHASH) {
        return Some((format!("map_extra {:#x}, {name} takes none", map.map_extra), false));
    }
    match ty {
        MapType::ARRAY | MapType::PERCPU_ARRAY | MapType::PROG_ARRAY | MapType::ARRAY_OF_MAPS => {
            if map.key_size != 4 {
                return wrong("key size", map.key_size, "4");
            }
            if map.value_size == 0 {
                return wrong("value size", 0, "at least 1");
            }
            if ty == MapType::PERCPU_ARRAY && map.value_size > PERCPU_VALUE {
                return wrong("value size", map.value_size, "32768 at most");
            }
            if matches!(ty, MapType::PROG_ARRAY) && map.value_size != 4 {
                return wrong("value size", map.value_size, "4");
            }
        }
        MapType::HASH | MapType::LRU_HASH | MapType::PERCPU_HASH | MapType::LRU_PERCPU_HASH => {
            if map.key_size == 0 {
                return wrong("key size", 0, "at least 1");
            }
            if map.value_size == 0 {
                return wrong("value size", 0, "at least 1");
            }
        }
        MapType::RINGBUF | MapType::USER_RINGBUF => {
            if map.key_size != 0 {
                return wrong("key size", map.key_size, "0");
            }
            if map.value_size != 0 {
                return wrong("value size", map.value_size, "0");
            }
        }
        MapType::QUEUE | MapType::STACK => {
            if map.key_size != 0 {
                return wrong("key size", map.key_size, "0");
            }
            if map.value_size == 0 {
                return wrong("value size", 0, "at least 1");
            }
        }
        MapType::TASK_STORAGE | MapType::CGRP_STORAGE | MapType::INODE_STORAGE | MapType::SK_STORAGE => {
            if map.key_size != 4 {
                return wrong("key size", map.key_size, "4");
            }
            if map.value_size == 0 {
                return wrong("value size", 0, "at least 1");
            }
            if map.max_entries != 0 {
                return wrong("max_entries", map.max_entries, "0");
            }
            if map.flags & 1 == 0 {
                return Some((format!("map_flags {:#x}, {name} needs BPF_F_NO_PREALLOC", map.flags), false));
            }
            return None;
        }
        _ => return None,
    }
    no_entries.then(|| ("max_entries 0".to_owned(), true))
}
