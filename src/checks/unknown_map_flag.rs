//! `unknown-map-flag`.

use super::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::KernelArenaRule;
use crate::object::{MapIdx, MapOrigin, MapType, flag_names};

rule! {
    /// A map flag that the kernel does not know, or does not take for this type of map.
    ///
    /// ## Why it matters
    /// The kernel refuses to create a map with a flag that its type does not take, and says nothing more than EINVAL. Stock 7.2 and 7.3 refuse an
    /// arena with `BPF_F_ARENA_MAP_ALWAYS`; `BPF_F_RB_OVERWRITE` is in kernels from 6.19 on.
    /// ## Fix
    /// Set the flag in the loader where the kernel has it (`bpf_map__set_map_flags`), or drop it.
    /// ## Sources
    /// kernel `arena_map_alloc`, `ringbuf_map_alloc`, `htab_map_alloc_check`, `array_map_alloc_check`, `bpf_local_storage_map_alloc_check`.
    pub UNKNOWN_MAP_FLAG: "unknown-map-flag", family: Map, level: Error, phase: Load, since: "0.1.0";
}

/// `BPF_F_RB_OVERWRITE`.
const RB_OVERWRITE: u32 = 1 << 19;
/// All that 7.3 and the RFC have a name for.
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
        // Bits that no arena takes on any kernel are `invalid-arena-definition`.
        MapType::ARENA => flags & cx.arena_flag() & !always,
        MapType::RINGBUF | MapType::USER_RINGBUF => flags & RB_OVERWRITE & !overwrite | flags & !NAMED,
        _ => flags & (!NAMED | cx.arena_flag()),
    }
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, map) in cx.object.maps.iter().enumerate() {
        if map.origin != MapOrigin::Declared || !map.autocreate {
            continue;
        }
        let bits = refused(cx, map.map_type, map.flags);
        if bits == 0 {
            continue;
        }
        let names = flag_names(bits);
        let name = if names.is_empty() { format!("{bits:#x}") } else { names.join(" | ") };
        let message = format!("map '{}' is created with {name}, which the kernel does not take", map.name);
        let help = match map.map_type {
            MapType::ARENA => {
                "kernels without the always-mapped rule refuse the flag: set it in the loader where the kernel has it"
            }
            _ => "set the flag in the loader where the kernel has it, or drop it",
        };
        let type_name = map.map_type.name().unwrap_or("?");
        out.found(&UNKNOWN_MAP_FLAG, Subject::map(cx.object, MapIdx(index)), message)
            .errno(Errno::EINVAL)
            .quote(format!("map '{}': failed to create: -EINVAL", map.name))
            .help(help)
            .at(Site::Map(MapIdx(index)), format!("{type_name}, map_flags {:#x}", map.flags));
    }
}
