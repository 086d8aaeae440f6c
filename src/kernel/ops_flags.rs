//! Flags of a scheduler (`enum scx_ops_flags`) and numbers of its DSQs (`enum scx_dsq_id_flags`): the same in every kernel that has them.

/// `SCX_OPS_KEEP_BUILTIN_IDLE`.
pub const KEEP_BUILTIN_IDLE: u64 = 1 << 0;
/// `SCX_OPS_ENQ_LAST`.
pub const ENQ_LAST: u64 = 1 << 1;
/// `SCX_OPS_BUILTIN_IDLE_PER_NODE`.
pub const BUILTIN_IDLE_PER_NODE: u64 = 1 << 6;
/// `SCX_OPS_TID_TO_TASK`.
pub const TID_TO_TASK: u64 = 1 << 8;
/// `SCX_OPS_HAS_CGROUP_WEIGHT`.
pub const HAS_CGROUP_WEIGHT: u64 = 1 << 16;

/// `SCX_OPS_ALL_FLAGS` as the built-in releases have it, oldest first.
pub const ALL_FLAGS: [u64; 4] = [0x1_000f, 0x1_007f, 0xff, 0x1ff];

/// `SCX_DSQ_FLAG_BUILTIN`.
pub const DSQ_BUILTIN: u64 = 1 << 63;
/// `SCX_DSQ_GLOBAL`.
pub const DSQ_GLOBAL: u64 = DSQ_BUILTIN | 1;
/// `SCX_DSQ_LOCAL`.
pub const DSQ_LOCAL: u64 = DSQ_BUILTIN | 2;
/// The bits that make up `SCX_DSQ_LOCAL_ON`.
pub const DSQ_LOCAL_ON: u64 = 3 << 62;
/// `__SCX_ENQ_INTERNAL_MASK`.
pub const ENQ_INTERNAL: u64 = 0xff << 56;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::builtin::RELEASES;
    use crate::kernel::{Kernel, Lookup, target};

    #[test]
    fn numbers_are_those_of_the_kernels() {
        let mut seen = [false; 10];
        let mut all = Vec::new();
        for release in RELEASES {
            let target = target::load(release.name).unwrap().remove(0);
            let kernel = Kernel::new(&target).unwrap();
            let Lookup::Found(flags) = kernel.ops_flags() else { panic!("{}", release.name) };
            if all.last() != Some(&flags) {
                all.push(flags);
            }
            for (at, (name, value)) in [
                ("SCX_OPS_KEEP_BUILTIN_IDLE", KEEP_BUILTIN_IDLE),
                ("SCX_OPS_ENQ_LAST", ENQ_LAST),
                ("SCX_OPS_BUILTIN_IDLE_PER_NODE", BUILTIN_IDLE_PER_NODE),
                ("SCX_OPS_TID_TO_TASK", TID_TO_TASK),
                ("SCX_OPS_HAS_CGROUP_WEIGHT", HAS_CGROUP_WEIGHT),
                ("SCX_DSQ_FLAG_BUILTIN", DSQ_BUILTIN),
                ("SCX_DSQ_GLOBAL", DSQ_GLOBAL),
                ("SCX_DSQ_LOCAL", DSQ_LOCAL),
                ("SCX_DSQ_LOCAL_ON", DSQ_LOCAL_ON),
                ("__SCX_ENQ_INTERNAL_MASK", ENQ_INTERNAL),
            ]
            .into_iter()
            .enumerate()
            {
                if let Some(found) = kernel.any_enumerator(name) {
                    assert_eq!(found, value, "{name} of {}", release.name);
                    seen[at] = true;
                }
            }
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(all, ALL_FLAGS);
    }
}
