//! A map as libbpf would create it.

use std::borrow::Cow;

use super::indexes::FuncIdx;
use super::map_type::MapType;
use crate::btf::TypeId;
use crate::elf::SectionIdx;

/// Page size of the machine that loads the object, bytes; x86-64's.
pub const PAGE_SIZE: u64 = 4096;

/// Where a map comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapOrigin {
    /// Declared in `.maps`.
    Declared,
    /// `.data` and `.data.*`.
    Data,
    /// `.rodata` and `.rodata.*`; frozen before programs load.
    Rodata,
    /// `.bss` and `.bss.*`.
    Bss,
    /// `.percpu` and `.percpu.*`, since libbpf 1.8: one copy for each CPU.
    Percpu,
    /// Values of `__kconfig` externs; frozen.
    Kconfig,
    /// An ops variable.
    StructOps,
}

/// A map as libbpf would create it.
#[derive(Debug, Clone)]
pub struct Map<'d> {
    /// C name, or the section's name for an internal map.
    pub name: Cow<'d, str>,
    /// The name that the kernel gets, at most 15 bytes.
    pub kernel_name: String,
    /// Where it comes from.
    pub origin: MapOrigin,
    /// `enum bpf_map_type`.
    pub map_type: MapType,
    /// `map_flags`.
    pub flags: u32,
    /// `numa_node`; it counts only with `BPF_F_NUMA_NODE`.
    pub numa_node: u32,
    /// Key size, bytes.
    pub key_size: u32,
    /// Value size, bytes.
    pub value_size: u32,
    /// Number of entries; for an arena pages, for a ring buffer bytes.
    pub max_entries: u32,
    /// `map_extra`; for an arena the user-space address.
    pub map_extra: u64,
    /// `btf_key_type_id`: the type that `__type(key, ...)` names; void where only a size is given.
    pub key_type: TypeId,
    /// `btf_value_type_id`: the type that `__type(value, ...)` names, the data section of an internal map; void where only a
    /// size is given.
    pub value_type: TypeId,
    /// libbpf creates it at load.
    pub autocreate: bool,
    /// The ELF section that holds it.
    pub section: SectionIdx,
    /// Byte offset in that section.
    pub offset: u64,
    /// Type of its definition.
    pub type_id: TypeId,
    /// The template of a map in map, or `None`.
    pub inner: Option<Box<Map<'d>>>,
    /// Programs that libbpf puts into slots of a program array once all are loaded.
    pub programs: Vec<ProgramSlot>,
}

/// A slot of a program array that libbpf fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramSlot {
    /// Its number.
    pub slot: u64,
    /// The program.
    pub program: FuncIdx,
}
