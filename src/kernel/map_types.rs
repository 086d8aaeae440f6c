//! The map types: what the kernel takes in a definition of each, and who may use it.
//!
//! The same in every built-in release that has the type, but for the facts named. Sources: kernel `map_create` and the
//! `*_alloc` and `*_alloc_check` functions of each type, `check_map_prog_compatibility`; each flag with each type in guests.

use crate::object::{
    F_CLONE, F_INNER_MAP, F_MMAPABLE, F_NO_COMMON_LRU, F_NO_PREALLOC, F_NO_USER_CONV, F_NUMA_NODE,
    F_PRESERVE_ELEMS, F_RB_OVERWRITE, F_RDONLY, F_RDONLY_PROG, F_SEGV_ON_FAULT, F_STACK_BUILD_ID, F_WRONLY,
    F_WRONLY_PROG, F_ZERO_SEED, MapType,
};
use marks::{
    ANY_ENTRIES, EAGER, EXTRA, LAZY, LOCAL_STORAGE, NO_ENTRIES, NO_INNER, PER_CPU, PER_CPU_STORAGE, SLEEPABLE,
};

/// `BPF_F_RDONLY` and `BPF_F_WRONLY`: for user space.
const USER_ACCESS: u32 = F_RDONLY | F_WRONLY;
/// `BPF_F_ACCESS_MASK`: the same, for user space or for programs.
const ACCESS: u32 = USER_ACCESS | F_RDONLY_PROG | F_WRONLY_PROG;
/// Largest value of a per-CPU map, bytes: one allocation (`PCPU_MIN_UNIT_SIZE`).
const PERCPU_VALUE: u64 = 32 << 10;
/// Largest allocation in one piece, bytes (`KMALLOC_MAX_SIZE`), with pages of 4096 bytes.
const ALLOCATION: u64 = 4 << 20;
/// Largest key of a hash of sockets, bytes (`MAX_BPF_STACK`).
const SOCKHASH_KEY: u64 = 512;
/// Most CPUs that a kernel can be built for on x86-64 (`NR_CPUS`).
const CPUS: u64 = 8192;

/// A map type.
#[derive(Debug, Clone, Copy)]
pub struct MapTypeRow {
    /// Which.
    pub map_type: MapType,
    /// The flags that it takes; `None` where that is not known.
    pub flags: Option<u32>,
    /// What the size of a key may be.
    pub key: Size,
    /// What the size of a value may be.
    pub value: Size,
    /// What is too large to be allocated.
    pub limit: Limit,
    /// Bits of [`marks`].
    pub marks: u16,
}

/// What a size may be, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// This one.
    Is(u32),
    /// One of two.
    Either(u32, u32),
    /// Not less than the first, not more than the second.
    Between(u32, u32),
    /// Any but 0.
    Some,
    /// A multiple of 8, or with `BPF_F_STACK_BUILD_ID` of 32.
    Frames,
    /// That is not known, or another rule's.
    Any,
}

/// What is too large to be allocated, and the most that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Nothing is known.
    None,
    /// A value of more bytes.
    Value(u64),
    /// A key of more bytes.
    Key(u64),
    /// A key and a value that are not smaller together than the first; the second is what fits with all that goes with them.
    Element(u64, u64),
    /// More entries.
    Entries(u64),
}

/// What else is so of a map type.
pub mod marks {
    /// One value for each CPU; the storage of cgroups is not looked at where the others are.
    pub const PER_CPU: u16 = 1;
    /// The storage of cgroups with one value for each CPU.
    pub const PER_CPU_STORAGE: u16 = 1 << 1;
    /// Local storage: it wants to know its types, and a key that is an int (`bpf_local_storage_map_check_btf`).
    pub const LOCAL_STORAGE: u16 = 1 << 2;
    /// It must have `BPF_F_NO_PREALLOC`.
    pub const LAZY: u16 = 1 << 3;
    /// It takes no `BPF_F_NO_PREALLOC`, and answers with an error number of its own.
    pub const EAGER: u16 = 1 << 4;
    /// `max_entries` must be 0.
    pub const NO_ENTRIES: u16 = 1 << 5;
    /// `max_entries` may be 0: an arena has a rule of its own, libbpf fills in the number of CPUs for the array of perf events, and of
    /// others it is not known.
    pub const ANY_ENTRIES: u16 = 1 << 6;
    /// `map_extra` says something.
    pub const EXTRA: u16 = 1 << 7;
    /// No map of it can be in a map: it lacks what they are compared by (`map_meta_equal`).
    pub const NO_INNER: u16 = 1 << 8;
    /// Sleepable programs may use it, everywhere.
    pub const SLEEPABLE: u16 = 1 << 9;
}

/// Every map type up to 7.3, by number.
pub static MAP_TYPES: &[MapTypeRow] = &[
    row(MapType::UNSPEC, None, Size::Any, Size::Any, Limit::None, 0),
    row(
        MapType::HASH,
        Some(F_NUMA_NODE | ACCESS | F_NO_PREALLOC | F_ZERO_SEED),
        Size::Some,
        Size::Some,
        HASHED,
        SLEEPABLE,
    ),
    row(
        MapType::ARRAY,
        Some(F_NUMA_NODE | ACCESS | F_MMAPABLE | F_INNER_MAP),
        Size::Is(4),
        Size::Some,
        Limit::Value(i32::MAX as u64),
        SLEEPABLE,
    ),
    row(
        MapType::PROG_ARRAY,
        Some(F_NUMA_NODE | USER_ACCESS),
        Size::Is(4),
        Size::Is(4),
        Limit::None,
        NO_INNER,
    ),
    row(
        MapType::PERF_EVENT_ARRAY,
        Some(F_NUMA_NODE | USER_ACCESS | F_PRESERVE_ELEMS),
        Size::Is(4),
        Size::Is(4),
        Limit::None,
        ANY_ENTRIES,
    ),
    row(
        MapType::PERCPU_HASH,
        Some(F_NUMA_NODE | ACCESS | F_NO_PREALLOC | F_ZERO_SEED),
        Size::Some,
        Size::Some,
        HASHED,
        PER_CPU | SLEEPABLE,
    ),
    row(
        MapType::PERCPU_ARRAY,
        Some(F_NUMA_NODE | ACCESS),
        Size::Is(4),
        Size::Some,
        Limit::None,
        PER_CPU | SLEEPABLE,
    ),
    row(
        MapType::STACK_TRACE,
        Some(F_NUMA_NODE | USER_ACCESS | F_STACK_BUILD_ID),
        Size::Is(4),
        Size::Frames,
        Limit::None,
        0,
    ),
    row(MapType::CGROUP_ARRAY, Some(F_NUMA_NODE | USER_ACCESS), Size::Is(4), Size::Is(4), Limit::None, 0),
    row(
        MapType::LRU_HASH,
        Some(F_NUMA_NODE | ACCESS | F_NO_PREALLOC | F_NO_COMMON_LRU | F_ZERO_SEED),
        Size::Some,
        Size::Some,
        HASHED,
        EAGER | SLEEPABLE,
    ),
    row(
        MapType::LRU_PERCPU_HASH,
        Some(F_NUMA_NODE | ACCESS | F_NO_PREALLOC | F_NO_COMMON_LRU | F_ZERO_SEED),
        Size::Some,
        Size::Some,
        HASHED,
        PER_CPU | EAGER | SLEEPABLE,
    ),
    row(
        MapType::LPM_TRIE,
        Some(F_NUMA_NODE | ACCESS | F_NO_PREALLOC),
        Size::Between(5, 260),
        Size::Some,
        Limit::None,
        LAZY,
    ),
    row(
        MapType::ARRAY_OF_MAPS,
        Some(F_NUMA_NODE | USER_ACCESS),
        Size::Is(4),
        Size::Is(4),
        Limit::None,
        SLEEPABLE,
    ),
    row(
        MapType::HASH_OF_MAPS,
        Some(F_NUMA_NODE | ACCESS | F_NO_PREALLOC | F_ZERO_SEED),
        Size::Some,
        Size::Is(4),
        HASHED,
        SLEEPABLE,
    ),
    row(MapType::DEVMAP, Some(F_NUMA_NODE | USER_ACCESS), Size::Is(4), Size::Either(4, 8), Limit::None, 0),
    row(MapType::SOCKMAP, Some(F_NUMA_NODE | USER_ACCESS), Size::Is(4), Size::Either(4, 8), Limit::None, 0),
    row(MapType::CPUMAP, Some(F_NUMA_NODE), Size::Is(4), Size::Either(4, 8), Limit::Entries(CPUS), 0),
    row(MapType::XSKMAP, Some(F_NUMA_NODE | USER_ACCESS), Size::Is(4), Size::Is(4), Limit::None, 0),
    row(
        MapType::SOCKHASH,
        Some(F_NUMA_NODE | USER_ACCESS),
        Size::Some,
        Size::Either(4, 8),
        Limit::Key(SOCKHASH_KEY),
        0,
    ),
    row(
        MapType::CGROUP_STORAGE,
        Some(F_NUMA_NODE | ACCESS),
        Size::Either(8, 16),
        Size::Some,
        Limit::Value(u16::MAX as u64),
        NO_ENTRIES | NO_INNER,
    ),
    row(
        MapType::REUSEPORT_SOCKARRAY,
        Some(F_NUMA_NODE | ACCESS),
        Size::Is(4),
        Size::Either(4, 8),
        Limit::None,
        0,
    ),
    row(
        MapType::PERCPU_CGROUP_STORAGE,
        Some(F_NUMA_NODE | ACCESS),
        Size::Either(8, 16),
        Size::Some,
        Limit::None,
        PER_CPU_STORAGE | NO_ENTRIES | NO_INNER,
    ),
    row(
        MapType::QUEUE,
        Some(F_NUMA_NODE | ACCESS),
        Size::Is(0),
        Size::Some,
        Limit::Value(ALLOCATION),
        SLEEPABLE,
    ),
    row(
        MapType::STACK,
        Some(F_NUMA_NODE | ACCESS),
        Size::Is(0),
        Size::Some,
        Limit::Value(ALLOCATION),
        SLEEPABLE,
    ),
    storage(MapType::SK_STORAGE),
    row(
        MapType::DEVMAP_HASH,
        Some(F_NUMA_NODE | USER_ACCESS),
        Size::Is(4),
        Size::Either(4, 8),
        Limit::None,
        0,
    ),
    row(MapType::STRUCT_OPS, None, Size::Any, Size::Any, Limit::None, ANY_ENTRIES),
    row(
        MapType::RINGBUF,
        Some(F_NUMA_NODE | F_RB_OVERWRITE),
        Size::Is(0),
        Size::Is(0),
        Limit::None,
        SLEEPABLE,
    ),
    storage(MapType::INODE_STORAGE),
    storage(MapType::TASK_STORAGE),
    row(
        MapType::BLOOM_FILTER,
        Some(F_NUMA_NODE | ACCESS | F_ZERO_SEED),
        Size::Is(0),
        Size::Some,
        Limit::None,
        EXTRA,
    ),
    row(MapType::USER_RINGBUF, Some(F_NUMA_NODE), Size::Is(0), Size::Is(0), Limit::None, SLEEPABLE),
    storage(MapType::CGRP_STORAGE),
    // Flags besides, sizes and entries are `invalid-arena-definition`.
    row(
        MapType::ARENA,
        Some(F_MMAPABLE | F_SEGV_ON_FAULT | F_NO_USER_CONV),
        Size::Any,
        Size::Any,
        Limit::None,
        ANY_ENTRIES | EXTRA | SLEEPABLE,
    ),
    row(MapType::INSN_ARRAY, Some(0), Size::Is(4), Size::Is(16), Limit::None, NO_INNER | SLEEPABLE),
    row(
        MapType::RHASH,
        Some(F_NUMA_NODE | ACCESS | F_NO_PREALLOC),
        Size::Some,
        Size::Some,
        Limit::None,
        LAZY | EXTRA,
    ),
];

/// The limit of hash tables: an element is one allocation.
const HASHED: Limit = Limit::Element(ALLOCATION, ALLOCATION - 49);

const fn row(
    map_type: MapType,
    flags: Option<u32>,
    key: Size,
    value: Size,
    limit: Limit,
    marks: u16,
) -> MapTypeRow {
    MapTypeRow { map_type, flags, key, value, limit, marks }
}

/// A type of local storage.
const fn storage(map_type: MapType) -> MapTypeRow {
    row(
        map_type,
        Some(F_NO_PREALLOC | F_CLONE),
        Size::Is(4),
        Size::Some,
        Limit::Value(u16::MAX as u64),
        LOCAL_STORAGE | LAZY | NO_ENTRIES | SLEEPABLE,
    )
}

/// A type that no kernel up to 7.3 has: nothing is known of it.
static UNKNOWN: MapTypeRow = row(MapType::UNSPEC, None, Size::Any, Size::Any, Limit::None, 0);

/// The row of a type.
pub fn of(map_type: MapType) -> &'static MapTypeRow {
    MAP_TYPES.get(map_type.0 as usize).unwrap_or(&UNKNOWN)
}

impl MapTypeRow {
    /// Is it marked so.
    pub fn is(&self, mark: u16) -> bool {
        self.marks & mark != 0
    }

    /// The limits of its sizes, the strictest first.
    pub fn limits(&self) -> impl Iterator<Item = Limit> {
        let per_cpu = self.is(PER_CPU | PER_CPU_STORAGE);
        per_cpu.then_some(Limit::Value(PERCPU_VALUE)).into_iter().chain([self.limit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::builtin::{LATEST, RELEASES};
    use crate::kernel::{Kernel, Lookup, target};
    use crate::object::flag_names;

    #[test]
    fn every_type_of_a_release_has_a_row() {
        for (at, row) in MAP_TYPES.iter().enumerate() {
            assert_eq!(row.map_type.0 as usize, at);
            assert!(row.map_type.name().is_some());
        }
        assert!(MapType(MAP_TYPES.len() as u32).name().is_none());
        for release in RELEASES {
            let target = target::load(release.name).unwrap().remove(0);
            let kernel = Kernel::new(&target).unwrap();
            let Lookup::Found(types) = kernel.map_types() else { panic!() };
            assert!(types as usize <= MAP_TYPES.len(), "{}", release.name);
            for row in &MAP_TYPES[..types as usize] {
                let name = row.map_type.name().unwrap().to_uppercase();
                let found = kernel.enumerator("bpf_map_type", &format!("BPF_MAP_TYPE_{name}"));
                assert_eq!(found, Lookup::Found(row.map_type.0.into()), "{name} of {}", release.name);
            }
        }
        // The newest has them all.
        let target = target::load(LATEST).unwrap().remove(0);
        assert_eq!(Kernel::new(&target).unwrap().map_types(), Lookup::Found(MAP_TYPES.len() as u64));
    }

    #[test]
    fn flags_have_the_values_of_the_kernels() {
        let target = target::load(LATEST).unwrap().remove(0);
        let kernel = Kernel::new(&target).unwrap();
        for bit in 0..20 {
            let [name] = flag_names(1 << bit)[..] else { panic!("bit {bit}") };
            assert_eq!(kernel.map_flag(name), Some(1 << bit), "{name}");
        }
    }
}
