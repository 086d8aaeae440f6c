//! An object as a whole, and questions about more than one of its parts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Index;
use std::sync::OnceLock;

use super::debug::Debug;
use super::external::{Extern, ExternKind};
use super::function::{Entry, Function, MapUse, Ref, Referent};
use super::indexes::{ExternIdx, FuncIdx, InsnIdx, MapIdx, OpsIdx};
use super::map::{Map, MapOrigin};
use super::map_type::MapType;
use super::ops::{Form, StructOps};
use super::own_lines::OwnLines;
use super::refusal::Refusal;
use crate::btf::{Btf, BtfExt, LineInfo};
use crate::elf::{Elf, SectionIdx};
use crate::libbpf::Libbpf;

/// A BPF object as libbpf holds it after `bpf_object__open`.
#[derive(Debug)]
pub struct Object<'d> {
    /// The libbpf that it is opened and loaded with.
    pub libbpf: Libbpf,
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
    pub(super) text: Option<SectionIdx>,
    /// The line records, read when the first line is asked for.
    pub(super) lines: OnceLock<HashMap<Cow<'d, str>, Vec<LineInfo>>>,
    /// By function: which lines are its own. Worked out when a place is asked for.
    pub(super) own_lines: OnceLock<Vec<Option<OwnLines>>>,
    /// DWARF, read when a place is asked for.
    pub(super) debug: OnceLock<Option<Debug>>,
}

impl<'d> Object<'d> {
    /// The first function that refers to an extern, and the instruction there.
    pub fn first_use(&self, index: ExternIdx) -> Option<(FuncIdx, InsnIdx)> {
        self.functions.iter().enumerate().find_map(|(function, code)| {
            let found = code.refs.iter().find(|used| used.target == Referent::Extern(index))?;
            Some((FuncIdx(function), found.insn))
        })
    }

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
    pub(super) fn find_uses(&self, program: FuncIdx) -> Vec<MapUse> {
        let kconfig = self.kconfig_map();
        let mut seen = vec![false; self.maps.len()];
        let mut uses = Vec::new();
        for (function, reference) in self.refs_of(program) {
            let map = match reference.target {
                Referent::Map(map) => Some(map),
                Referent::Extern(index) if self.externs[index.0].kind == ExternKind::Kconfig => kconfig,
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

    pub(super) fn maps_where<'a>(
        &'a self,
        keep: impl Fn(&Map<'d>) -> bool + 'a,
    ) -> impl Iterator<Item = MapIdx> + 'a {
        self.maps.iter().enumerate().filter(move |(_, map)| keep(map)).map(|(i, _)| MapIdx(i))
    }

    /// The maps that come from there.
    pub fn maps_from(&self, origin: MapOrigin) -> impl Iterator<Item = MapIdx> + '_ {
        self.maps_where(move |map| map.origin == origin)
    }

    /// The arena maps of the object, in declaration order.
    pub fn arenas(&self) -> impl Iterator<Item = MapIdx> + '_ {
        self.maps_where(|map| map.map_type == MapType::ARENA && map.origin == MapOrigin::Declared)
    }

    /// Where a configuration value lies: its map, and the first byte there (libbpf `bpf_object__collect_externs`).
    pub(crate) fn kconfig_place(&self, index: ExternIdx) -> Option<(MapIdx, u64)> {
        let map = self.kconfig_map()?;
        let mut end = 0u64;
        for (at, external) in self.externs.iter().enumerate().filter(|(_, e)| e.kind == ExternKind::Kconfig) {
            let (align, size) = external.layout;
            let start = end.next_multiple_of(u64::from(align.max(1)));
            if at == index.0 {
                return Some((map, start));
            }
            end = start + u64::from(size);
        }
        None
    }

    pub(super) fn kconfig_map(&self) -> Option<MapIdx> {
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
            if let Referent::Extern(index) = reference.target
                && self.externs[index.0].kind == ExternKind::Kfunc
                && !std::mem::replace(&mut seen[index.0], true)
            {
                kfuncs.push(&self.externs[index.0]);
            }
        }
        kfuncs
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
