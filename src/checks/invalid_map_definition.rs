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
    /// libbpf `parse_btf_map_def`; kernel `array_map_alloc_check`, `fd_array_map_alloc_check`, `htab_map_alloc_check`,
    /// `ringbuf_map_alloc`, `trie_alloc`, `bloom_map_alloc`, `stack_map_alloc`, `insn_array_alloc_check` (6.19), `queue_stack_map_alloc_check`,
    /// `map_create` (map_extra), `bpf_local_storage_map_alloc_check`.
    pub INVALID_MAP_DEFINITION: "invalid-map-definition", family: Map, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(cx, out, &INVALID_MAP_DEFINITION, Cause::MapDefinition, "correct the definition in SEC(\".maps\")");
    for (index, map) in cx.object.maps.iter().enumerate() {
        if map.origin != MapOrigin::Declared {
            continue;
        }
        let Some(Problem { text: problem, errno, by_loader }) = problem(map) else { continue };
        let subject = Subject::map(cx.object, MapIdx(index));
        if by_loader && cx.edited {
            out.undecided(&INVALID_MAP_DEFINITION, subject, format!("{problem}, which the loader may set before load"));
            continue;
        }
        out.found(&INVALID_MAP_DEFINITION, subject, format!("map '{}': {problem}", map.name))
            .phase(Phase::Load)
            .errno(errno)
            .quote(format!("map '{}': failed to create: -{errno}", map.name))
            .help("correct the definition in SEC(\".maps\"), or set the size between open and load")
            .at(Site::Map(MapIdx(index)), problem);
    }
}

/// Largest value of a per-CPU map, bytes: one allocation (`PCPU_MIN_UNIT_SIZE`).
const PERCPU_VALUE: u32 = 32 << 10;
/// Largest allocation in one piece, bytes (`KMALLOC_MAX_SIZE`), with pages of 4096 bytes.
const ALLOCATION: u64 = 4 << 20;
/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;
/// `BPF_F_STACK_BUILD_ID`.
const STACK_BUILD_ID: u32 = 1 << 5;

/// What the kernel will not take.
struct Problem {
    text: String,
    errno: Errno,
    /// User space commonly sets it between open and load.
    by_loader: bool,
}

/// The first thing that the kernel will not take.
fn problem(map: &Map<'_>) -> Option<Problem> {
    let ty = map.map_type;
    let name = ty.name()?;
    let refused = |text: String| Some(Problem { text, errno: Errno::EINVAL, by_loader: false });
    let wrong = |what: &str, got: u32, expected: &str| refused(format!("{what} {got}, {name} needs {expected}"));
    let large = |what: &str, got: u64, most: u64| {
        let text = format!("{what} {got}, {name} takes {most} at most");
        Some(Problem { text, errno: Errno::E2BIG, by_loader: false })
    };
    if map.map_extra != 0 && !matches!(ty, MapType::ARENA | MapType::BLOOM_FILTER | MapType::RHASH) {
        return refused(format!("map_extra {:#x}, {name} takes none", map.map_extra));
    }
    // Sizes first, as the kernel has them; what is too large it looks at in the end.
    match ty {
        MapType::ARRAY
        | MapType::PERCPU_ARRAY
        | MapType::PROG_ARRAY
        | MapType::PERF_EVENT_ARRAY
        | MapType::CGROUP_ARRAY
        | MapType::ARRAY_OF_MAPS => {
            if map.key_size != 4 {
                return wrong("key size", map.key_size, "4");
            }
            if map.value_size == 0 {
                return wrong("value size", 0, "at least 1");
            }
            if !matches!(ty, MapType::ARRAY | MapType::PERCPU_ARRAY) && map.value_size != 4 {
                return wrong("value size", map.value_size, "4");
            }
        }
        MapType::HASH
        | MapType::LRU_HASH
        | MapType::PERCPU_HASH
        | MapType::LRU_PERCPU_HASH
        | MapType::HASH_OF_MAPS
        | MapType::RHASH => {
            if map.key_size == 0 {
                return wrong("key size", 0, "at least 1");
            }
            if map.value_size == 0 {
                return wrong("value size", 0, "at least 1");
            }
            if ty == MapType::HASH_OF_MAPS && map.value_size != 4 {
                return wrong("value size", map.value_size, "4");
            }
            if ty == MapType::RHASH && map.flags & NO_PREALLOC == 0 {
                return refused(format!("map_flags {:#x}, {name} needs BPF_F_NO_PREALLOC", map.flags));
            }
        }
        MapType::LPM_TRIE => {
            if !(5..=260).contains(&map.key_size) {
                return wrong("key size", map.key_size, "5 to 260");
            }
            if map.value_size == 0 {
                return wrong("value size", 0, "at least 1");
            }
            if map.flags & NO_PREALLOC == 0 {
                return refused(format!("map_flags {:#x}, {name} needs BPF_F_NO_PREALLOC", map.flags));
            }
        }
        MapType::BLOOM_FILTER => {
            if map.key_size != 0 {
                return wrong("key size", map.key_size, "0");
            }
            if map.value_size == 0 {
                return wrong("value size", 0, "at least 1");
            }
            if map.map_extra > 15 {
                return refused(format!("map_extra {:#x}, {name} takes 15 hash functions at most", map.map_extra));
            }
        }
        MapType::STACK_TRACE => {
            if map.key_size != 4 {
                return wrong("key size", map.key_size, "4");
            }
            let frame = if map.flags & STACK_BUILD_ID == 0 { 8 } else { 32 };
            if map.value_size == 0 || !map.value_size.is_multiple_of(frame) {
                return wrong("value size", map.value_size, &format!("a multiple of {frame}"));
            }
        }
        MapType::INSN_ARRAY => {
            if map.key_size != 4 {
                return wrong("key size", map.key_size, "4");
            }
            if map.value_size != 16 {
                return wrong("value size", map.value_size, "16");
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
            if map.flags & NO_PREALLOC == 0 {
                return refused(format!("map_flags {:#x}, {name} needs BPF_F_NO_PREALLOC", map.flags));
            }
        }
        _ => return None,
    }
    let storage = matches!(
        ty,
        MapType::TASK_STORAGE | MapType::CGRP_STORAGE | MapType::INODE_STORAGE | MapType::SK_STORAGE
    );
    // libbpf fills in the number of CPUs for the array of perf events.
    if map.max_entries == 0 && !storage && ty != MapType::PERF_EVENT_ARRAY {
        return Some(Problem { text: "max_entries 0".to_owned(), errno: Errno::EINVAL, by_loader: true });
    }
    let value = u64::from(map.value_size);
    match ty {
        MapType::LRU_HASH | MapType::LRU_PERCPU_HASH if map.flags & NO_PREALLOC != 0 => {
            let text = format!("map_flags {:#x}, {name} takes no BPF_F_NO_PREALLOC", map.flags);
            Some(Problem { text, errno: Errno::ENOTSUPP, by_loader: false })
        }
        MapType::PERCPU_ARRAY | MapType::PERCPU_HASH | MapType::LRU_PERCPU_HASH if map.value_size > PERCPU_VALUE => {
            large("value size", value, PERCPU_VALUE.into())
        }
        MapType::ARRAY if map.value_size > i32::MAX as u32 => large("value size", value, i32::MAX as u64),
        MapType::HASH | MapType::LRU_HASH | MapType::PERCPU_HASH | MapType::LRU_PERCPU_HASH | MapType::HASH_OF_MAPS
            if u64::from(map.key_size) + value >= ALLOCATION =>
        {
            large("key and value of size", u64::from(map.key_size) + value, ALLOCATION - 49)
        }
        MapType::QUEUE | MapType::STACK if value > ALLOCATION => large("value size", value, ALLOCATION),
        _ if storage && map.value_size > u32::from(u16::MAX) => large("value size", value, u16::MAX.into()),
        _ => None,
    }
}
