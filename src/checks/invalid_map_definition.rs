//! `invalid-map-definition`: maps that the kernel refuses to create, on every version.

use super::context::Context;
use super::shared::refusal;
use crate::btf::{Btf, Kind};
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::map_types::{self, Limit, Size, marks};
use crate::kernel::{Lookup, USUAL_PAGE};
use crate::object::{Cause, F_NO_PREALLOC, F_NUMA_NODE, F_STACK_BUILD_ID, Map, MapType};
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
            if let Some(bytes) = queued(declared.map) {
                let reason = format!(
                    "{} takes {bytes} bytes: 4 GiB and more are refused since a stable release of 7.3 (E2BIG), and ask others for that much memory at once",
                    declared.words()
                );
                out.undecided(&INVALID_MAP_DEFINITION, subject.clone(), reason);
            }
            if let Some(node) = distant_node(declared.map) {
                let reason = format!("whether the machine has NUMA node {node} is in no file");
                out.undecided(&INVALID_MAP_DEFINITION, subject, reason);
            }
            continue;
        };
        if by_loader && cx.load.is_edited() {
            out.undecided(
                &INVALID_MAP_DEFINITION,
                subject,
                format!("{problem}, which the loader may set before load"),
            );
            continue;
        }
        if errno == Errno::E2BIG
            && cx.kernel.is_some_and(|kernel| kernel.page_size() != Lookup::Found(USUAL_PAGE))
        {
            let reason = format!("{problem} where pages have 4 KiB, and more with larger ones");
            out.undecided(&INVALID_MAP_DEFINITION, subject, reason);
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

/// Sizes of key and value that do not fit the type.
fn wrong_size(map: &Map<'_>, name: &str) -> Option<Problem> {
    let row = map_types::of(map.map_type);
    let check = |what: &str, got: u32, size: Size| {
        let (fits, needs) = match size {
            Size::Is(size) => (got == size, size.to_string()),
            Size::Either(one, other) => (got == one || got == other, format!("{one} or {other}")),
            Size::Between(least, most) => ((least..=most).contains(&got), format!("{least} to {most}")),
            Size::Some => (got > 0, "at least 1".to_owned()),
            Size::Frames => {
                let of = if map.flags & F_STACK_BUILD_ID == 0 { 8 } else { 32 };
                (got > 0 && got.is_multiple_of(of), format!("a multiple of {of}"))
            }
            Size::Any => (true, String::new()),
        };
        if fits {
            None
        } else {
            Problem::new(Errno::EINVAL, format!("{what} size {got}, {name} needs {needs}"))
        }
    };
    check("key", map.key_size, row.key).or_else(|| check("value", map.value_size, row.value))
}

/// Entries, flags, a node and what else does not fit the type.
fn wrong_option(map: &Map<'_>, name: &str) -> Option<Problem> {
    let (ty, row) = (map.map_type, map_types::of(map.map_type));
    let invalid = |text: String| Problem::new(Errno::EINVAL, text);
    let by_loader =
        |text: &str| Some(Problem { text: text.to_owned(), errno: Errno::EINVAL, by_loader: true });
    if map.map_extra != 0 && !row.is(marks::EXTRA) {
        return invalid(format!("map_extra {:#x}, {name} takes none", map.map_extra));
    }
    if ty == MapType::BLOOM_FILTER && map.map_extra > 15 {
        return invalid(format!("map_extra {:#x}, {name} takes 15 hash functions at most", map.map_extra));
    }
    if row.is(marks::LAZY) && map.flags & F_NO_PREALLOC == 0 {
        return invalid(format!("map_flags {:#x}, {name} needs BPF_F_NO_PREALLOC", map.flags));
    }
    let numbered = map.flags & F_NUMA_NODE != 0 && map.numa_node != u32::MAX;
    if numbered && row.is(marks::PER_CPU) {
        return invalid(format!("NUMA node {}, {name} takes none", map.numa_node));
    }
    match map.max_entries {
        0 if !row.is(marks::NO_ENTRIES | marks::ANY_ENTRIES) => return by_loader("max_entries 0"),
        1.. if row.is(marks::NO_ENTRIES) => {
            return invalid(format!("max_entries {}, {name} needs 0", map.max_entries));
        }
        _ => {}
    }
    match &map.inner {
        None if ty.is_map_in_map() => by_loader("no inner map"),
        Some(inner) if map_types::of(inner.map_type).is(marks::NO_INNER) => {
            let name = inner.map_type.name()?;
            Problem::new(Errno::ENOTSUPP, format!("maps of type {name} cannot be in a map"))
        }
        _ => None,
    }
}

/// Local storage wants to know its types, and a key that is an int.
fn wrong_type(btf: &Btf<'_>, map: &Map<'_>, name: &str) -> Option<Problem> {
    if !map_types::of(map.map_type).is(marks::LOCAL_STORAGE) {
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
    let row = map_types::of(map.map_type);
    if row.is(marks::EAGER) && map.flags & F_NO_PREALLOC != 0 {
        let text = format!("map_flags {:#x}, {name} takes no BPF_F_NO_PREALLOC", map.flags);
        return Problem::new(Errno::ENOTSUPP, text);
    }
    let (key, value) = (u64::from(map.key_size), u64::from(map.value_size));
    row.limits().find_map(|limit| match limit {
        Limit::Value(most) if value > most => large("value size", value, most),
        Limit::Key(most) if key > most => large("key size", key, most),
        Limit::Element(end, most) if key + value >= end => large("key and value of size", key + value, most),
        Limit::Entries(most) if u64::from(map.max_entries) > most => {
            large("max_entries", map.max_entries.into(), most)
        }
        _ => None,
    })
}

/// Bytes of a queue or stack that newer kernels find too large, whatever memory there is.
fn queued(map: &Map<'_>) -> Option<u64> {
    let is_queue = matches!(map.map_type, MapType::QUEUE | MapType::STACK);
    let limit = u32::MAX.checked_div(map.value_size)?;
    (is_queue && map.max_entries >= limit).then(|| u64::from(map.max_entries) * u64::from(map.value_size))
}

/// A NUMA node that a machine need not have.
fn distant_node(map: &Map<'_>) -> Option<u32> {
    (map.flags & F_NUMA_NODE != 0 && map.numa_node != 0 && map.numa_node != u32::MAX).then_some(map.numa_node)
}
