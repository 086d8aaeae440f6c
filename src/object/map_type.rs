//! Map types and map flags by number and name.

/// `BPF_F_RDONLY_PROG`.
pub const F_RDONLY_PROG: u32 = 1 << 7;
/// `BPF_F_MMAPABLE`.
pub const F_MMAPABLE: u32 = 1 << 10;
/// `BPF_F_LINK`.
pub const F_LINK: u32 = 1 << 13;
/// `BPF_F_SEGV_ON_FAULT`.
pub const F_SEGV_ON_FAULT: u32 = 1 << 17;
/// `BPF_F_NO_USER_CONV`.
pub const F_NO_USER_CONV: u32 = 1 << 18;
/// `BPF_F_ARENA_MAP_ALWAYS` where no kernel says otherwise: the first map flag free after
/// `BPF_F_RB_OVERWRITE`, as in the RFC series "bpf/arena: Direct kernel-side access" (April 2026).
pub const F_ARENA_MAP_ALWAYS: u32 = 1 << 20;

/// `enum bpf_map_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MapType(pub u32);

macro_rules! map_types {
    ($($konst:ident = $value:literal $name:literal),+ $(,)?) => {
        #[allow(missing_docs)]
        impl MapType {
            $(pub const $konst: Self = Self($value);)+

            /// The name that bpftool prints; `None` for a number that no built-in release knows.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($name),)+
                    _ => None,
                }
            }
        }
    };
}

map_types! {
    UNSPEC = 0 "unspec",
    HASH = 1 "hash",
    ARRAY = 2 "array",
    PROG_ARRAY = 3 "prog_array",
    PERF_EVENT_ARRAY = 4 "perf_event_array",
    PERCPU_HASH = 5 "percpu_hash",
    PERCPU_ARRAY = 6 "percpu_array",
    STACK_TRACE = 7 "stack_trace",
    CGROUP_ARRAY = 8 "cgroup_array",
    LRU_HASH = 9 "lru_hash",
    LRU_PERCPU_HASH = 10 "lru_percpu_hash",
    LPM_TRIE = 11 "lpm_trie",
    ARRAY_OF_MAPS = 12 "array_of_maps",
    HASH_OF_MAPS = 13 "hash_of_maps",
    DEVMAP = 14 "devmap",
    SOCKMAP = 15 "sockmap",
    CPUMAP = 16 "cpumap",
    XSKMAP = 17 "xskmap",
    SOCKHASH = 18 "sockhash",
    CGROUP_STORAGE = 19 "cgroup_storage",
    REUSEPORT_SOCKARRAY = 20 "reuseport_sockarray",
    PERCPU_CGROUP_STORAGE = 21 "percpu_cgroup_storage",
    QUEUE = 22 "queue",
    STACK = 23 "stack",
    SK_STORAGE = 24 "sk_storage",
    DEVMAP_HASH = 25 "devmap_hash",
    STRUCT_OPS = 26 "struct_ops",
    RINGBUF = 27 "ringbuf",
    INODE_STORAGE = 28 "inode_storage",
    TASK_STORAGE = 29 "task_storage",
    BLOOM_FILTER = 30 "bloom_filter",
    USER_RINGBUF = 31 "user_ringbuf",
    CGRP_STORAGE = 32 "cgrp_storage",
    ARENA = 33 "arena",
    INSN_ARRAY = 34 "insn_array",
    RHASH = 35 "rhash",
}

impl MapType {
    pub(crate) fn is_map_in_map(self) -> bool {
        matches!(self, Self::ARRAY_OF_MAPS | Self::HASH_OF_MAPS)
    }
}

/// The kernel's names of the flag bits that are set; bits without a name are left out.
pub fn flag_names(flags: u32) -> Vec<&'static str> {
    const NAMES: [(u32, &str); 21] = [
        (1 << 0, "BPF_F_NO_PREALLOC"),
        (1 << 1, "BPF_F_NO_COMMON_LRU"),
        (1 << 2, "BPF_F_NUMA_NODE"),
        (1 << 3, "BPF_F_RDONLY"),
        (1 << 4, "BPF_F_WRONLY"),
        (1 << 5, "BPF_F_STACK_BUILD_ID"),
        (1 << 6, "BPF_F_ZERO_SEED"),
        (F_RDONLY_PROG, "BPF_F_RDONLY_PROG"),
        (1 << 8, "BPF_F_WRONLY_PROG"),
        (1 << 9, "BPF_F_CLONE"),
        (F_MMAPABLE, "BPF_F_MMAPABLE"),
        (1 << 11, "BPF_F_PRESERVE_ELEMS"),
        (1 << 12, "BPF_F_INNER_MAP"),
        (1 << 13, "BPF_F_LINK"),
        (1 << 14, "BPF_F_PATH_FD"),
        (1 << 15, "BPF_F_VTYPE_BTF_OBJ_FD"),
        (1 << 16, "BPF_F_TOKEN_FD"),
        (F_SEGV_ON_FAULT, "BPF_F_SEGV_ON_FAULT"),
        (F_NO_USER_CONV, "BPF_F_NO_USER_CONV"),
        (1 << 19, "BPF_F_RB_OVERWRITE"),
        (F_ARENA_MAP_ALWAYS, "BPF_F_ARENA_MAP_ALWAYS"),
    ];
    NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_bits_have_the_kernels_names() {
        assert_eq!(flag_names(0x10_0400), ["BPF_F_MMAPABLE", "BPF_F_ARENA_MAP_ALWAYS"]);
        assert!(flag_names(1 << 31).is_empty());
    }
}
