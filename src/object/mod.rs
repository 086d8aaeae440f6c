//! What libbpf would build out of a file: maps, programs, struct_ops maps, externs, and which maps each program uses.
//!
//! Follows `bpf_object__open` of libbpf 1.7 step by step. Every reason for which libbpf would
//! refuse the file is kept as a [`Refusal`]; reading goes on past those that leave something to read.

mod externs;
mod map_flags;
mod maps;
mod open;
mod programs;
mod relocs;
mod sec;
mod struct_ops;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Index;
use std::sync::OnceLock;

use crate::btf::{Btf, BtfExt, LineInfo, TypeId};
use crate::elf::{Elf, SectionIdx};
use crate::errno::Errno;
use crate::insn::Code;

pub use map_flags::*;
pub use maps::MapType;
pub use sec::ProgramKind;

/// Page size of the machine that loads the object, bytes; x86-64's.
pub const PAGE_SIZE: u64 = 4096;

/// Index into [`Object::functions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FuncIdx(pub usize);

/// Index into [`Object::maps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapIdx(pub usize);

/// Index into [`Object::struct_ops`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpsIdx(pub usize);

/// Index into [`Object::externs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternIdx(pub usize);

/// Instruction slot of a function, counted from the function's start. Not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InsnIdx(pub usize);

/// A BPF object as libbpf holds it after `bpf_object__open`.
#[derive(Debug)]
pub struct Object<'d> {
    /// Object name: file name up to the first dot, at most 15 bytes (`bpf_object__new`).
    pub name: String,
    /// What the `license` section says; empty without one.
    pub license: String,
    /// The file.
    pub elf: Elf<'d>,
    /// Its types; `None` where `.BTF` is absent or broken.
    pub btf: Option<Btf<'d>>,
    /// Its line and function info; `None` where `.BTF.ext` is absent or broken.
    pub ext: Option<BtfExt<'d>>,
    /// Entry programs and `.text` functions, by section and offset.
    pub functions: Vec<Function<'d>>,
    /// Maps in libbpf's order: declared, data sections, `.kconfig`, struct_ops.
    pub maps: Vec<Map<'d>>,
    /// The struct_ops maps among them.
    pub struct_ops: Vec<StructOps<'d>>,
    /// Externs in libbpf's order: kconfig first, then ksyms by name.
    pub externs: Vec<Extern<'d>>,
    /// Size of the `.addr_space.1` section, bytes; 0 without one.
    pub arena_globals: u64,
    /// Why libbpf would refuse to open the file, in the order in which it would notice.
    pub refusals: Vec<Refusal>,
    /// Section index of `.text`.
    text: Option<SectionIdx>,
    /// The line records, read when the first line is asked for.
    lines: OnceLock<HashMap<Cow<'d, str>, Vec<LineInfo>>>,
}

/// A function of the object: an entry program, or a subprogram in `.text`.
#[derive(Debug)]
pub struct Function<'d> {
    /// Symbol name.
    pub name: Cow<'d, str>,
    /// The section that holds it.
    pub section: SectionIdx,
    /// Section name, with a leading `?` dropped.
    pub section_name: String,
    /// First instruction, in slots from the section's start.
    pub start: usize,
    /// Its instructions.
    pub code: Code<'d>,
    /// The symbol is global or weak.
    pub global: bool,
    /// The symbol is hidden: the verifier is told that the function is static.
    pub hidden: bool,
    /// What an entry program is; `None` for a subprogram.
    pub entry: Option<Entry>,
    /// Relocated instructions, in order.
    pub refs: Vec<Ref>,
    /// Functions that it calls or whose address it takes, in instruction order; `None` for a target
    /// that is no function of `.text`.
    pub calls: Vec<(InsnIdx, Option<FuncIdx>)>,
}

impl Function<'_> {
    /// What an instruction refers to; more than one thing in a malformed object alone.
    pub fn refs_at(&self, insn: InsnIdx) -> &[Ref] {
        let start = self.refs.partition_point(|known| known.insn < insn);
        let len = self.refs[start..].partition_point(|known| known.insn == insn);
        &self.refs[start..start + len]
    }

    /// Whether an instruction calls a function or takes its address, and which one.
    pub fn call_at(&self, insn: InsnIdx) -> Option<Option<FuncIdx>> {
        let at = self.calls.partition_point(|(known, _)| *known < insn);
        self.calls.get(at).filter(|(known, _)| *known == insn).map(|(_, target)| *target)
    }
}

/// What only entry programs have.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Program type, by the section name.
    pub kind: ProgramKind,
    /// Loaded with `BPF_F_SLEEPABLE` (`.s` section names).
    pub sleepable: bool,
    /// libbpf would load it: the section has no `?`, or an ops map that will be created uses it.
    pub autoload: bool,
    /// Subprograms that libbpf appends, in its order (`bpf_object__reloc_code`).
    pub linked: Vec<FuncIdx>,
    /// What [`Object::maps_of`] gives: several rules and the report ask for it.
    uses: Vec<MapUse>,
}

/// A relocated instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ref {
    /// Which instruction.
    pub insn: InsnIdx,
    /// What it refers to.
    pub target: Target,
    /// Value of the symbol that the relocation names. For a variable in a data section the instruction's own
    /// immediate, plus this, is the byte offset in the map.
    pub value: u64,
}

/// What an instruction refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A map (`RELO_LD64`), or a variable in one (`RELO_DATA`).
    Map(MapIdx),
    /// A kfunc, ksym or kconfig value.
    Extern(ExternIdx),
    /// A jump table: libbpf makes a map of its own for it and each program that uses it.
    JumpTable {
        /// Where it starts in `.jumptables`, bytes.
        offset: u32,
        /// Its size, bytes.
        size: u32,
    },
}

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
}

/// An ops variable.
#[derive(Debug)]
pub struct StructOps<'d> {
    /// Its map.
    pub map: MapIdx,
    /// Name of the ops type, a `___flavour` cut off.
    pub type_name: String,
    /// The section had `.link`: attached through a BPF link.
    pub link: bool,
    /// The section was `?.struct_ops*`.
    pub optional_section: bool,
    /// Members of the type, in its order.
    pub members: Vec<Member<'d>>,
}

/// A member of an ops variable.
#[derive(Debug, Clone)]
pub struct Member<'d> {
    /// Name.
    pub name: &'d str,
    /// Byte offset in the object's own struct.
    pub offset: u32,
    /// Its type is a pointer, to a function or to data.
    pub pointer: bool,
    /// Its value in the file.
    pub value: Value<'d>,
}

/// The value of an ops member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'d> {
    /// A callback.
    Program(FuncIdx),
    /// A pointer that is NULL.
    Null,
    /// An integer, enum or bool, zero-extended. The flag says that the type is signed.
    Scalar(u64),
    /// Anything else, as bytes.
    Bytes(&'d [u8]),
}

/// What kind of ops a struct_ops type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `sched_ext_ops`.
    Cpu,
    /// `sched_ext_ops_cid`.
    Cid,
    /// Another subsystem's.
    Other,
}

impl<'d> StructOps<'d> {
    /// The form of scheduler, if it is one.
    pub fn form(&self) -> Form {
        match self.type_name.as_str() {
            "sched_ext_ops" => Form::Cpu,
            "sched_ext_ops_cid" => Form::Cid,
            _ => Form::Other,
        }
    }

    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&Member<'d>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The program of the callback of that name; `None` where it is NULL or not a member.
    pub fn callback(&self, name: &str) -> Option<FuncIdx> {
        match self.member(name)?.value {
            Value::Program(program) => Some(program),
            _ => None,
        }
    }

    /// The integer member of that name; 0 where the type has none.
    pub fn scalar(&self, name: &str) -> u64 {
        match self.member(name).map(|member| member.value) {
            Some(Value::Scalar(value)) => value,
            _ => 0,
        }
    }

    /// Callbacks that are set: member name and program, in member order.
    pub fn callbacks(&self) -> impl Iterator<Item = (&'d str, FuncIdx)> + '_ {
        self.members.iter().filter_map(|member| match member.value {
            Value::Program(program) => Some((member.name, program)),
            _ => None,
        })
    }
}

/// How an extern is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExternKind {
    /// A kernel configuration value, in the `.kconfig` map.
    Kconfig,
    /// A kernel variable.
    Ksym,
    /// A kernel function.
    Kfunc,
}

/// An undefined symbol that libbpf resolves at load.
#[derive(Debug)]
pub struct Extern<'d> {
    /// Name, with its flavour.
    pub name: &'d str,
    /// Which kind.
    pub kind: ExternKind,
    /// May be missing.
    pub weak: bool,
    /// VAR or FUNC in the object's BTF.
    pub type_id: TypeId,
    /// Index in the ELF symbol table.
    symbol: usize,
    /// Alignment and size of a kconfig value, bytes.
    layout: (u32, u32),
}

/// A reason for which libbpf refuses to open the object.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What is wrong.
    pub cause: Cause,
    /// What `bpf_object__open` returns.
    pub errno: Errno,
    /// libbpf's words, without prefix; empty where it fails without a warning.
    pub text: String,
    /// What it is about.
    pub item: Item,
}

/// Causes of refusals, one for each rule that reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cause {
    MissingBtf,
    MalformedBtf,
    LegacyMaps,
    Symbol,
    Extern,
    MapDefinition,
    SeveralArenas,
    ArenaGlobalsWithoutArena,
    ArenaGlobalsTooLarge,
    StructOps,
    Relocation,
}

/// What a refusal is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Item {
    Object,
    Section(String),
    Symbol(String),
    Map(String),
    Insn(FuncIdx, InsnIdx),
    Extern(String),
    Member(String, String),
}

/// A C line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceLine<'a> {
    /// Path as the compiler was given it.
    pub file: &'a str,
    /// Line, 1-based.
    pub line: u32,
    /// Column, 1-based; 0 where unknown.
    pub column: u32,
    /// The line's text as the compiler recorded it.
    pub text: &'a str,
}

/// A use of a map by the code of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapUse {
    /// Which map.
    pub map: MapIdx,
    /// The function that holds the instruction: the program itself or a linked subprogram.
    pub function: FuncIdx,
    /// The first instruction that uses it there.
    pub insn: InsnIdx,
}

impl<'d> Object<'d> {
    /// Entry programs.
    pub fn programs(&self) -> impl Iterator<Item = (FuncIdx, &Function<'d>, &Entry)> {
        self.functions
            .iter()
            .enumerate()
            .filter_map(|(i, function)| Some((FuncIdx(i), function, function.entry.as_ref()?)))
    }

    /// The program itself and the subprograms that libbpf appends to it, in the order of the final code.
    pub fn code_of(&self, program: FuncIdx) -> impl Iterator<Item = (FuncIdx, &Function<'d>)> {
        let linked = self[program].entry.as_ref().map_or(&[][..], |entry| &entry.linked);
        std::iter::once(program).chain(linked.iter().copied()).map(|function| (function, &self[function]))
    }

    /// Everything that the final code of a program refers to, in its order.
    pub fn refs_of(&self, program: FuncIdx) -> impl Iterator<Item = (FuncIdx, Ref)> {
        self.code_of(program).flat_map(|(index, function)| function.refs.iter().map(move |&r| (index, r)))
    }

    /// The maps that a program uses, each at its first use, in order of first use: what the kernel
    /// will list for it, less what libbpf binds afterwards. None for a subprogram.
    pub fn maps_of(&self, program: FuncIdx) -> &[MapUse] {
        self[program].entry.as_ref().map_or(&[], |entry| &entry.uses)
    }

    /// Finds what [`maps_of`](Self::maps_of) gives.
    fn find_uses(&self, program: FuncIdx) -> Vec<MapUse> {
        let kconfig = self.kconfig_map();
        let mut seen = vec![false; self.maps.len()];
        let mut uses = Vec::new();
        for (function, reference) in self.refs_of(program) {
            let map = match reference.target {
                Target::Map(map) => Some(map),
                Target::Extern(index) if self.externs[index.0].kind == ExternKind::Kconfig => kconfig,
                _ => None,
            };
            let Some(map) = map.filter(|&map| self[map].autocreate) else { continue };
            if !std::mem::replace(&mut seen[map.0], true) {
                uses.push(MapUse { map, function, insn: reference.insn });
            }
        }
        uses
    }

    /// The maps that libbpf binds to every program after it has loaded: all `.rodata*` ones, whether
    /// used or not (`BPF_PROG_BIND_MAP`). Only those that the program does not use are given.
    pub fn bound_maps(&self, uses: &[MapUse]) -> Vec<MapIdx> {
        self.maps_where(|map| map.origin == MapOrigin::Rodata)
            .filter(|map| !uses.iter().any(|used| used.map == *map))
            .collect()
    }

    fn maps_where<'a>(&'a self, keep: impl Fn(&Map<'d>) -> bool + 'a) -> impl Iterator<Item = MapIdx> + 'a {
        self.maps.iter().enumerate().filter(move |(_, map)| keep(map)).map(|(i, _)| MapIdx(i))
    }

    /// The arena maps of the object, in declaration order.
    pub fn arenas(&self) -> impl Iterator<Item = MapIdx> + '_ {
        self.maps_where(|map| map.map_type == MapType::ARENA && map.origin == MapOrigin::Declared)
    }

    fn kconfig_map(&self) -> Option<MapIdx> {
        self.maps_where(|map| map.origin == MapOrigin::Kconfig).next()
    }

    /// All ops variables with their index.
    pub fn ops(&self) -> impl Iterator<Item = (OpsIdx, &StructOps<'d>)> {
        self.struct_ops.iter().enumerate().map(|(i, ops)| (OpsIdx(i), ops))
    }

    /// Ops variables of sched_ext that libbpf creates.
    pub fn schedulers(&self) -> impl Iterator<Item = (OpsIdx, &StructOps<'d>)> {
        self.ops().filter(|(_, ops)| ops.form() != Form::Other && self[ops.map].autocreate)
    }

    /// The kfuncs that the final code of a program refers to, in order of first reference.
    pub fn kfuncs_of(&self, program: FuncIdx) -> Vec<&Extern<'d>> {
        let mut seen = vec![false; self.externs.len()];
        let mut kfuncs = Vec::new();
        for (_, reference) in self.refs_of(program) {
            if let Target::Extern(index) = reference.target
                && self.externs[index.0].kind == ExternKind::Kfunc
                && !std::mem::replace(&mut seen[index.0], true)
            {
                kfuncs.push(&self.externs[index.0]);
            }
        }
        kfuncs
    }

    /// The C line of an instruction: the last record with a line at or before it, inside its function.
    pub fn source_line(&self, function: FuncIdx, insn: InsnIdx) -> Option<SourceLine<'d>> {
        let (btf, function) = (self.btf.as_ref()?, &self[function]);
        let section = &self.elf.section_at(function.section.0)?.name;
        let lines = self.lines.get_or_init(|| self.lines_by_section()).get(section)?;
        let bytes = |slot: usize| u64::try_from(slot).unwrap_or(u64::MAX).saturating_mul(8);
        let (first, at) = (bytes(function.start), bytes(function.start.saturating_add(insn.0)));
        let after = lines.partition_point(|line| u64::from(line.insn_off) <= at);
        let mut here = lines[..after].iter().rev().take_while(|line| u64::from(line.insn_off) >= first);
        // Line 0 stands for code that the compiler made; the line before it led there.
        let line = here.find(|line| line.line > 0)?;
        Some(SourceLine {
            file: btf.str(line.file),
            line: line.line,
            column: line.column,
            text: btf.str(line.text),
        })
    }

    /// The line records of every section that holds functions, by offset; of equal ones the last counts.
    /// Sections of one name share their records, as `.BTF.ext` knows them by name only.
    fn lines_by_section(&self) -> HashMap<Cow<'d, str>, Vec<LineInfo>> {
        let mut sections = HashMap::new();
        let (Some(btf), Some(ext)) = (&self.btf, &self.ext) else { return sections };
        for function in &self.functions {
            let Some(section) = self.elf.section_at(function.section.0) else { continue };
            sections.entry(section.name.clone()).or_insert_with(|| {
                let mut lines: Vec<_> = ext.lines(btf, &section.name).collect();
                lines.sort_by_key(|line| line.insn_off);
                lines
            });
        }
        sections
    }

    /// The `.text` function that contains an instruction slot of that section
    /// (libbpf `find_prog_by_sec_insn`).
    pub(crate) fn function_at(&self, section: SectionIdx, slot: usize) -> Option<FuncIdx> {
        let after = self.functions.partition_point(|f| (f.section, f.start) <= (section, slot));
        let index = after.checked_sub(1)?;
        let function = &self.functions[index];
        (function.section == section && slot - function.start < function.code.len()).then_some(FuncIdx(index))
    }
}

macro_rules! index {
    ($($index:ty => $field:ident: $item:ty),+ $(,)?) => {$(
        impl<'d> Index<$index> for Object<'d> {
            type Output = $item;
            fn index(&self, index: $index) -> &Self::Output {
                &self.$field[index.0]
            }
        }
    )+};
}

index! {
    FuncIdx => functions: Function<'d>,
    MapIdx => maps: Map<'d>,
    OpsIdx => struct_ops: StructOps<'d>,
    ExternIdx => externs: Extern<'d>,
}
