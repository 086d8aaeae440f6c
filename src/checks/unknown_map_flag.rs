//! `unknown-map-flag`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::KernelArenaRule;
use crate::object::{F_MMAPABLE, MapType, flag_names};

rule! {
    /// A map flag that the kernel does not know, or does not take for this type of map.
    ///
    /// ## Why it matters
    /// The kernel refuses to create a map with a flag that its type does not take, and says nothing more than EINVAL. Stock 7.2 and 7.3 refuse an
    /// arena with `BPF_F_ARENA_MAP_ALWAYS`; `BPF_F_RB_OVERWRITE` is in kernels from 6.19 on. `BPF_F_MMAPABLE` is for plain arrays and arenas alone.
    /// ## Fix
    /// Set the flag in the loader where the kernel has it (`bpf_map__set_map_flags`), or drop it.
    /// ## Sources
    /// kernel `arena_map_alloc`, `ringbuf_map_alloc`, `htab_map_alloc_check`, `array_map_alloc_check`, `fd_array_map_alloc_check`, `trie_alloc`,
    /// `queue_stack_map_alloc_check`, `bloom_map_alloc`, `stack_map_alloc`, `bpf_local_storage_map_alloc_check`, `cpu_map_alloc`, `dev_map_alloc`,
    /// `xsk_map_alloc`, `sock_map_alloc`, `sock_hash_alloc`, `reuseport_array_alloc_check`, `cgroup_storage_map_alloc`; each bit with each type in
    /// guests.
    pub UNKNOWN_MAP_FLAG: "unknown-map-flag", family: Map, level: Error, phase: Load, since: "0.1.0";
}

/// `BPF_F_RB_OVERWRITE`.
const RB_OVERWRITE: u32 = 1 << 19;
/// All that the built-in releases and the RFC have a name for.
const NAMED: u32 = (1 << 21) - 1;

/// Bits of a map's flags that the kernel refuses.
fn refused(cx: &Context<'_, '_>, map_type: MapType, flags: u32) -> u32 {
    let always = match cx.arena_rule() {
        KernelArenaRule::Always(bit) => bit,
        // Without a kernel, or with a rule that the user chose: whether the bit is known is then not the question.
        _ if cx.kernel.is_none() => cx.arena_flag(),
        _ => 0,
    };
    let overwrite = match cx.kernel {
        Some(kernel) => kernel.map_flag("BPF_F_RB_OVERWRITE").unwrap_or(0),
        None => RB_OVERWRITE,
    };
    match map_type {
        MapType::RINGBUF => flags & !(NUMA_NODE | RB_OVERWRITE & overwrite),
        // Bits that no arena takes on any kernel are `invalid-arena-definition`.
        MapType::ARENA => flags & cx.arena_flag() & !always,
        _ => flags & taken(map_type).map_or(!NAMED | cx.arena_flag(), |taken| !taken),
    }
}

/// `BPF_F_NO_PREALLOC`.
pub(super) const NO_PREALLOC: u32 = 1;
/// `BPF_F_NUMA_NODE`.
pub(super) const NUMA_NODE: u32 = 1 << 2;
/// `BPF_F_ACCESS_MASK`: read only or write only, for user space or for programs.
const ACCESS: u32 = 0x198;
/// The part of it that is about user space.
const USER_ACCESS: u32 = 0x18;

/// The flags that a type of map may have, the same in every built-in release. That per-CPU maps take BPF_F_NUMA_NODE with no node
/// alone is `invalid-map-definition`.
fn taken(map_type: MapType) -> Option<u32> {
    const NO_COMMON_LRU: u32 = 1 << 1;
    const STACK_BUILD_ID: u32 = 1 << 5;
    const ZERO_SEED: u32 = 1 << 6;
    const CLONE: u32 = 1 << 9;
    const PRESERVE_ELEMS: u32 = 1 << 11;
    const INNER_MAP: u32 = 1 << 12;
    Some(match map_type {
        MapType::HASH | MapType::PERCPU_HASH | MapType::HASH_OF_MAPS => {
            NUMA_NODE | ACCESS | NO_PREALLOC | ZERO_SEED
        }
        // That they take no BPF_F_NO_PREALLOC is `invalid-map-definition`: the error is another.
        MapType::LRU_HASH | MapType::LRU_PERCPU_HASH => {
            NUMA_NODE | ACCESS | NO_PREALLOC | NO_COMMON_LRU | ZERO_SEED
        }
        MapType::ARRAY => NUMA_NODE | ACCESS | F_MMAPABLE | INNER_MAP,
        MapType::PERCPU_ARRAY
        | MapType::QUEUE
        | MapType::STACK
        | MapType::REUSEPORT_SOCKARRAY
        | MapType::CGROUP_STORAGE
        | MapType::PERCPU_CGROUP_STORAGE => NUMA_NODE | ACCESS,
        MapType::PROG_ARRAY
        | MapType::CGROUP_ARRAY
        | MapType::ARRAY_OF_MAPS
        | MapType::DEVMAP
        | MapType::DEVMAP_HASH
        | MapType::XSKMAP
        | MapType::SOCKMAP
        | MapType::SOCKHASH => NUMA_NODE | USER_ACCESS,
        MapType::PERF_EVENT_ARRAY => NUMA_NODE | USER_ACCESS | PRESERVE_ELEMS,
        MapType::STACK_TRACE => NUMA_NODE | USER_ACCESS | STACK_BUILD_ID,
        MapType::LPM_TRIE | MapType::RHASH => NUMA_NODE | ACCESS | NO_PREALLOC,
        MapType::BLOOM_FILTER => NUMA_NODE | ACCESS | ZERO_SEED,
        MapType::USER_RINGBUF | MapType::CPUMAP => NUMA_NODE,
        MapType::TASK_STORAGE | MapType::CGRP_STORAGE | MapType::INODE_STORAGE | MapType::SK_STORAGE => {
            NO_PREALLOC | CLONE
        }
        MapType::INSN_ARRAY => 0,
        _ => return None,
    })
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for declared in cx.declared_maps() {
        let map = declared.map;
        let bits = refused(cx, map.map_type, map.flags);
        if bits == 0 {
            continue;
        }
        let names = flag_names(bits);
        let name = if names.is_empty() { format!("{bits:#x}") } else { names.join(" | ") };
        let message = format!("{} is created with {name}, which the kernel does not take", declared.words());
        let help = match map.map_type {
            MapType::ARENA => {
                "kernels without the always-mapped rule refuse the flag: set it in the loader where the kernel has it"
            }
            _ => "set the flag in the loader where the kernel has it, or drop it",
        };
        let type_name = map.map_type.name().unwrap_or("?");
        out.found(&UNKNOWN_MAP_FLAG, Subject::map(cx.object, declared.index), message)
            .errno(Errno::EINVAL)
            .quote(declared.failure(Errno::EINVAL))
            .help(help)
            .at(Site::Map(declared.index), format!("{type_name}, map_flags {:#x}", map.flags));
    }
}
