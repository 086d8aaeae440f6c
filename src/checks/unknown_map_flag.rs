//! `unknown-map-flag`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::{KernelArenaRule, map_types};
use crate::object::{F_RB_OVERWRITE, MapType, NAMED_FLAGS, flag_names};

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
        None => F_RB_OVERWRITE,
    };
    match map_types::of(map_type).flags {
        // Bits that no arena takes on any kernel are `invalid-arena-definition`.
        Some(_) if map_type == MapType::ARENA => flags & cx.arena_flag() & !always,
        // That per-CPU maps take BPF_F_NUMA_NODE with no node alone, and LRU hashes no BPF_F_NO_PREALLOC, is `invalid-map-definition`.
        Some(taken) => flags & !(taken & (!F_RB_OVERWRITE | overwrite)),
        None => flags & (!NAMED_FLAGS | cx.arena_flag()),
    }
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
