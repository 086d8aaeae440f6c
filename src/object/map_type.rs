//! Map types by number and name.

use std::fmt;

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

/// The type's name, or its number where no kernel knows it.
impl fmt::Display for MapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
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
