//! A function, and what its instructions refer to.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::indexes::{ExternIdx, FuncIdx, InsnIdx, MapIdx};
use super::kind::ProgramKind;
use super::section_name::SectionName;
use crate::elf::SectionIdx;
use crate::insn::{Code, Insn, Op};
use crate::libbpf::Libbpf;

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
    /// The verifier takes it for global (`subprog_is_global`): as its FUNC says, unless its symbol is hidden.
    pub is_global: bool,
    /// What an entry program is; `None` for a subprogram.
    pub entry: Option<Entry>,
    /// Relocated instructions, in order.
    pub refs: Vec<Ref>,
    /// Functions that it calls or whose address it takes, in instruction order; `None` for a target
    /// that is no function of `.text`.
    pub calls: Vec<(InsnIdx, Option<FuncIdx>)>,
    /// What each slot does.
    pub(super) ops: OnceLock<Vec<Op>>,
}

impl Function<'_> {
    /// Its section's name taken apart.
    pub fn section(&self) -> SectionName<'_> {
        SectionName::new(&self.section_name)
    }

    /// It is called wherever the kernel happens to be: a program that traces, iterators aside.
    pub fn traces(&self) -> bool {
        match self.entry.as_ref().map_or("", |entry| entry.kind.as_str()) {
            "kprobe" | "tracepoint" | "perf_event" | "raw_tracepoint" => true,
            "tracing" => self.section().class != "iter",
            _ => false,
        }
    }

    /// What each slot does, the second half of an `ld_imm64` nothing; worked out when it is first asked for.
    pub fn ops(&self) -> &[Op] {
        self.ops.get_or_init(|| self.code.ops())
    }

    /// Instructions in order with their index and what they do, the second slots of `ld_imm64` left out.
    pub fn steps(&self) -> impl Iterator<Item = (usize, Insn, Op)> {
        let ops = self.ops();
        self.code.insns().map(|(at, insn)| (at, insn, ops[at]))
    }

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
    /// The first libbpf that knows the section name; the type is unspecified to those before.
    pub since: Libbpf,
    /// libbpf would load it: the section has no `?`, or an ops map that will be created uses it.
    pub autoload: bool,
    /// Subprograms that libbpf appends, in its order (`bpf_object__reloc_code`).
    pub linked: Vec<FuncIdx>,
    /// What [`Object::maps_of`](super::Object::maps_of) gives: several rules and the report ask for it.
    pub(super) uses: Vec<MapUse>,
}

/// A relocated instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ref {
    /// Which instruction.
    pub insn: InsnIdx,
    /// What it refers to.
    pub target: Referent,
    /// Value of the symbol that the relocation names. For a variable in a data section the instruction's own
    /// immediate, plus this, is the byte offset in the map.
    pub value: u64,
    /// A map: an address in its value is meant (`RELO_DATA`), not the map itself.
    pub is_data: bool,
}

/// What an instruction refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Referent {
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
