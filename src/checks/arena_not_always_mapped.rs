//! `arena-not-always-mapped`.

use super::context::Context;
use super::shared::member_arenas;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::KernelArenaRule;

rule! {
    /// The arena of a cid-form scheduler lacks BPF_F_ARENA_MAP_ALWAYS.
    ///
    /// ## Why it matters
    /// Kernels with the rule of the RFC series "bpf/arena: Direct kernel-side access" write into the arena themselves and
    /// refuse one whose pages may be unmapped: EINVAL at attach. Released kernels 7.2 and 7.3 neither want nor
    /// accept the flag: they refuse an arena that sets it when the map is created.
    /// ## Example
    /// ```c
    /// __uint(map_flags, BPF_F_MMAPABLE);
    /// ```
    /// ## Fix
    /// For kernels with the rule: `__uint(map_flags, BPF_F_MMAPABLE | BPF_F_ARENA_MAP_ALWAYS);`. For 7.2 and 7.3:
    /// leave the flag out and lint with `--arena-rule one`.
    /// ## Sources
    /// The RFC series named above (April 2026); kernel `arena_map_alloc` (7.2, 7.3).
    pub ARENA_NOT_ALWAYS_MAPPED: "arena-not-always-mapped", family: Arena, level: Error, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let KernelArenaRule::Always(bit) = cx.arena_rule() else { return };
    for found in member_arenas::of(cx) {
        let &[arena] = &found.arenas[..] else { continue };
        let map = &cx.object[arena];
        if map.flags & bit != 0 {
            continue;
        }
        let message = format!(
            "arena '{}' of cid-form scheduler '{}' is created without BPF_F_ARENA_MAP_ALWAYS",
            map.name, found.name
        );
        let finding = out
            .found(&ARENA_NOT_ALWAYS_MAPPED, Subject::struct_ops(cx.object, found.ops), message)
            .errno(Errno::EINVAL)
            .quote("sched_ext: arena map requires BPF_F_ARENA_MAP_ALWAYS for cid-form")
            .help(format!(
                "add BPF_F_ARENA_MAP_ALWAYS to map_flags of '{}' for kernels with that rule. Stock 7.2 and 7.3 neither want nor accept the flag: for them lint with --kernel 7.3 or --arena-rule one",
                map.name
            ));
        found.show(finding, cx);
        finding.at(Site::Map(arena), format!("map_flags are {:#x}, without bit {bit:#x}", map.flags));
    }
}
