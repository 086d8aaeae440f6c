//! `invalid-map-definition`: maps that the kernel refuses to create, on every version.

use super::context::Context;
use super::shared::refusal;
use super::unknown_map_flag::{NO_PREALLOC, NUMA_NODE};
use crate::btf::{Btf, Kind};
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::object::{Cause, Map, MapType};
use crate::rule::Phase;

rule! {
    /// A map definition that libbpf or the kernel refuses.
    ///
    /// ## Why it matters
    /// libbpf refuses unknown fields, sizes that contradict each other and static maps at open. The kernel refuses sizes that do
    /// not fit the map type when the map is created, which fails the load of the whole object. The same goes for the template of the maps in a map.
    /// ## Example
    /// An array whose key is not 4 bytes wide.
    /// ## Fix
    /// Correct the definition in `SEC(".maps")`.
    /// ## Sources
    /// libbpf `parse_btf_map_def`; kernel `map_create` (map_extra, numa_node), `bpf_map_meta_alloc`, `array_map_alloc_check`,
    /// `fd_array_map_alloc_check`, `htab_map_alloc_check`, `ringbuf_map_alloc`, `trie_alloc`, `bloom_map_alloc`, `stack_map_alloc`,
    /// `insn_array_alloc_check` (6.19), `queue_stack_map_alloc_check`, `bpf_local_storage_map_alloc_check`, `bpf_local_storage_map_check_btf`,
    /// `cpu_map_alloc`, `dev_map_init_map`, `xsk_map_alloc`, `sock_map_alloc`, `sock_hash_alloc`, `reuseport_array_alloc_check`,
    /// `cgroup_storage_map_alloc`.
    pub INVALID_MAP_DEFINITION: "invalid-map-definition", family: Map, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(
        cx,
        out,
        &INVALID_MAP_DEFINITION,
        Cause::MapDefinition,
        "correct the definition in SEC(\".maps\")",
    );
    for declared in cx.declared_maps() {
        let subject = Subject::map(cx.object, declared.index);
        let Some(Problem { text: problem, errno, by_loader }) = problem(cx.object.btf.as_ref(), declared.map)
        else {
            if let Some(node) = distant_node(declared.map) {
                let reason = format!("whether the machine has NUMA node {node} is in no file");
                out.undecided(&INVALID_MAP_DEFINITION, subject, reason);
            }
            continue;
        };
        if by_loader && cx.load.edited {
            out.undecided(
                &INVALID_MAP_DEFINITION,
                subject,
                format!("{problem}, which the loader may set before load"),
            );
            continue;
        }
        out.found(&INVALID_MAP_DEFINITION, subject, format!("{}: {problem}", declared.words()))
            .phase(Phase::Load)
            .errno(errno)
            .quote(declared.failure(errno))
            .help("correct the definition in SEC(\".maps\"), or set the size between open and load")
            .at(Site::Map(declared.index), problem);
    }
}

/// Largest value of a per-CPU map, bytes: one allocation (`PCPU_MIN_UNIT_SIZE`).
const PERCPU_VALUE: u32 = 32 << 10;
/// Largest allocation in one piece, bytes (`KMALLOC_MAX_SIZE`), with pages of 4096 bytes.
const ALLOCATION: u64 = 4 << 20;
/// Largest key of a hash of sockets, bytes (`MAX_BPF_STACK`).
const SOCKHASH_KEY: u32 = 512;
/// Most CPUs that a kernel can be built for on x86-64 (`NR_CPUS`).
const CPUS: u32 = 8192;
/// `BPF_F_STACK_BUILD_ID`.
const STACK_BUILD_ID: u32 = 1 << 5;

/// What the kernel will not take.
struct Problem {
    text: String,
    errno: Errno,
    /// User space commonly sets it between open and load.
    by_loader: bool,
}

impl Problem {
    fn new(errno: Errno, text: String) -> Option<Self> {
        Some(Self { text, errno, by_loader: false })
    }
}

/// The first thing that the kernel will not take: what it answers with EINVAL comes before what is too large.
fn problem(btf: Option<&Btf<'_>>, map: &Map<'_>) -> Option<Problem> {
    let name = map.map_type.name()?;
    wrong_size(map, name)
        .or_else(|| wrong_option(map, name))
        .or_else(|| wrong_type(btf?, map, name))
        .or_else(|| too_large(map, name))
}

fn is_storage(ty: MapType) -> bool {
    matches!(ty, MapType::TASK_STORAGE | MapType::CGRP_STORAGE | MapType::INODE_STORAGE | MapType::SK_STORAGE)
}

/// Has one value for each CPU; those of the storage of cgroups are not looked at where the others are.
fn is_percpu(ty: MapType) -> bool {
    matches!(ty, MapType::PERCPU_ARRAY | MapType::PERCPU_HASH | MapType::LRU_PERCPU_HASH)
}

/// Sizes of key and value that do not fit the type.
fn wrong_size(map: &Map<'_>, name: &str) -> Option<Problem> {
    /// What a size may be.
    enum Size {
        Is(u32),
        Either(u32, u32),
        Between(u32, u32),
        Some,
        Multiple(u32),
        Any,
    }
    let (key, value) = match map.map_type {
        MapType::ARRAY | MapType::PERCPU_ARRAY => (Size::Is(4), Size::Some),
        MapType::PROG_ARRAY
        | MapType::PERF_EVENT_ARRAY
        | MapType::CGROUP_ARRAY
        | MapType::ARRAY_OF_MAPS
        | MapType::XSKMAP => (Size::Is(4), Size::Is(4)),
        MapType::HASH
        | MapType::LRU_HASH
        | MapType::PERCPU_HASH
        | MapType::LRU_PERCPU_HASH
        | MapType::RHASH => (Size::Some, Size::Some),
        MapType::HASH_OF_MAPS => (Size::Some, Size::Is(4)),
        MapType::LPM_TRIE => (Size::Between(5, 260), Size::Some),
        MapType::BLOOM_FILTER | MapType::QUEUE | MapType::STACK => (Size::Is(0), Size::Some),
        MapType::STACK_TRACE => {
            (Size::Is(4), Size::Multiple(if map.flags & STACK_BUILD_ID == 0 { 8 } else { 32 }))
        }
        MapType::INSN_ARRAY => (Size::Is(4), Size::Is(16)),
        MapType::RINGBUF | MapType::USER_RINGBUF => (Size::Is(0), Size::Is(0)),
        MapType::CPUMAP
        | MapType::DEVMAP
        | MapType::DEVMAP_HASH
        | MapType::SOCKMAP
        | MapType::REUSEPORT_SOCKARRAY => (Size::Is(4), Size::Either(4, 8)),
        MapType::SOCKHASH => (Size::Some, Size::Either(4, 8)),
        MapType::CGROUP_STORAGE | MapType::PERCPU_CGROUP_STORAGE => (Size::Either(8, 16), Size::Some),
        ty if is_storage(ty) => (Size::Is(4), Size::Some),
        _ => (Size::Any, Size::Any),
    };
    let check = |what: &str, got: u32, size: Size| {
        let (fits, needs) = match size {
            Size::Is(size) => (got == size, size.to_string()),
            Size::Either(one, other) => (got == one || got == other, format!("{one} or {other}")),
            Size::Between(least, most) => ((least..=most).contains(&got), format!("{least} to {most}")),
            Size::Some => (got > 0, "at least 1".to_owned()),
            Size::Multiple(of) => (got > 0 && got.is_multiple_of(of), format!("a multiple of {of}")),
            Size::Any => (true, String::new()),
        };
        if fits {
            None
        } else {
            Problem::new(Errno::EINVAL, format!("{what} size {got}, {name} needs {needs}"))
        }
    };
    check("key", map.key_size, key).or_else(|| check("value", map.value_size, value))
}

/// Entries, flags, a node and what else does not fit the type.
fn wrong_option(map: &Map<'_>, name: &str) -> Option<Problem> {
    let ty = map.map_type;
    let invalid = |text: String| Problem::new(Errno::EINVAL, text);
    let by_loader =
        |text: &str| Some(Problem { text: text.to_owned(), errno: Errno::EINVAL, by_loader: true });
    if map.map_extra != 0 && !matches!(ty, MapType::ARENA | MapType::BLOOM_FILTER | MapType::RHASH) {
        return invalid(format!("map_extra {:#x}, {name} takes none", map.map_extra));
    }
    if ty == MapType::BLOOM_FILTER && map.map_extra > 15 {
        return invalid(format!("map_extra {:#x}, {name} takes 15 hash functions at most", map.map_extra));
    }
    let lazy = is_storage(ty) || matches!(ty, MapType::LPM_TRIE | MapType::RHASH);
    if lazy && map.flags & NO_PREALLOC == 0 {
        return invalid(format!("map_flags {:#x}, {name} needs BPF_F_NO_PREALLOC", map.flags));
    }
    let numbered = map.flags & NUMA_NODE != 0 && map.numa_node != u32::MAX;
    if numbered && is_percpu(ty) {
        return invalid(format!("NUMA node {}, {name} takes none", map.numa_node));
    }
    let unnumbered = is_storage(ty) || matches!(ty, MapType::CGROUP_STORAGE | MapType::PERCPU_CGROUP_STORAGE);
    // An arena has a rule of its own, libbpf fills in the number of CPUs for the array of perf events, and about the others
    // nothing is known.
    let counted =
        !unnumbered && !matches!(ty, MapType::ARENA | MapType::PERF_EVENT_ARRAY | MapType::STRUCT_OPS);
    match map.max_entries {
        0 if counted => return by_loader("max_entries 0"),
        1.. if unnumbered => return invalid(format!("max_entries {}, {name} needs 0", map.max_entries)),
        _ => {}
    }
    match &map.inner {
        None if ty.is_map_in_map() => by_loader("no inner map"),
        Some(inner) if !may_be_inner(inner.map_type) => {
            let name = inner.map_type.name()?;
            Problem::new(Errno::ENOTSUPP, format!("maps of type {name} cannot be in a map"))
        }
        _ => None,
    }
}

/// Has the type what maps in a map are compared by (`map_meta_equal`).
fn may_be_inner(ty: MapType) -> bool {
    !matches!(
        ty,
        MapType::PROG_ARRAY | MapType::CGROUP_STORAGE | MapType::PERCPU_CGROUP_STORAGE | MapType::INSN_ARRAY
    )
}

/// Local storage wants to know its types, and a key that is an int.
fn wrong_type(btf: &Btf<'_>, map: &Map<'_>, name: &str) -> Option<Problem> {
    if !is_storage(map.map_type) {
        return None;
    }
    for (what, ty) in [("key", map.key_type), ("value", map.value_type)] {
        if ty.0 == 0 {
            return Problem::new(
                Errno::EINVAL,
                format!("no type of the {what}, {name} needs __type({what}, ...)"),
            );
        }
    }
    let (_, key) = btf.resolve(map.key_type)?;
    let is_int = key.kind() == Kind::Int;
    if is_int {
        None
    } else {
        Problem::new(Errno::EINVAL, format!("key of kind {}, {name} needs an int", key.kind().as_str()))
    }
}

/// What is too large to be allocated, and the one flag that gets an error number of its own.
fn too_large(map: &Map<'_>, name: &str) -> Option<Problem> {
    let large = |what: &str, got: u64, most: u64| {
        Problem::new(Errno::E2BIG, format!("{what} {got}, {name} takes {most} at most"))
    };
    let (ty, value) = (map.map_type, u64::from(map.value_size));
    let entry = u64::from(map.key_size) + value;
    match ty {
        MapType::LRU_HASH | MapType::LRU_PERCPU_HASH if map.flags & NO_PREALLOC != 0 => Problem::new(
            Errno::ENOTSUPP,
            format!("map_flags {:#x}, {name} takes no BPF_F_NO_PREALLOC", map.flags),
        ),
        MapType::PERCPU_CGROUP_STORAGE if map.value_size > PERCPU_VALUE => {
            large("value size", value, PERCPU_VALUE.into())
        }
        _ if is_percpu(ty) && map.value_size > PERCPU_VALUE => {
            large("value size", value, PERCPU_VALUE.into())
        }
        MapType::ARRAY if map.value_size > i32::MAX as u32 => large("value size", value, i32::MAX as u64),
        MapType::HASH
        | MapType::LRU_HASH
        | MapType::PERCPU_HASH
        | MapType::LRU_PERCPU_HASH
        | MapType::HASH_OF_MAPS
            if entry >= ALLOCATION =>
        {
            large("key and value of size", entry, ALLOCATION - 49)
        }
        MapType::QUEUE | MapType::STACK if value > ALLOCATION => large("value size", value, ALLOCATION),
        MapType::SOCKHASH if map.key_size > SOCKHASH_KEY => {
            large("key size", map.key_size.into(), SOCKHASH_KEY.into())
        }
        MapType::CPUMAP if map.max_entries > CPUS => {
            large("max_entries", map.max_entries.into(), CPUS.into())
        }
        MapType::CGROUP_STORAGE if value > u16::MAX.into() => large("value size", value, u16::MAX.into()),
        _ if is_storage(ty) && value > u16::MAX.into() => large("value size", value, u16::MAX.into()),
        _ => None,
    }
}

/// A NUMA node that a machine need not have.
fn distant_node(map: &Map<'_>) -> Option<u32> {
    (map.flags & NUMA_NODE != 0 && map.numa_node != 0 && map.numa_node != u32::MAX).then_some(map.numa_node)
}
