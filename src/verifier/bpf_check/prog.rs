//! A program as the kernel gets it: the code of its functions in a row, each reference resolved as libbpf resolves it.

use super::reg::MapRef;
use crate::btf::TypeId;
use crate::btf::core::POISON_IMM;
use crate::insn::{Callee, Insn, Op};
use crate::kernel::{Home, Kfunc, Reason};
use crate::load::{CoreFact, ExternFate, Knowledge, Load};
use crate::object::{ExternIdx, ExternKind, FuncIdx, InsnIdx, MapIdx, Object, Ref, Referent};
use rustc_hash::FxHashMap;

/// What an instruction's immediate stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Itself.
    None,
    /// The address of a map (`BPF_PSEUDO_MAP_FD`).
    Map(MapIdx),
    /// An address in the value of a map (`BPF_PSEUDO_MAP_VALUE`).
    MapValue(MapIdx, u64),
    /// A variable of the kernel (`BPF_PSEUDO_BTF_ID`): its VAR.
    Variable(Home, TypeId),
    /// A function of the kernel by its address (`BPF_PSEUDO_BTF_ID`): its FUNC.
    KernelFunction(Home, TypeId),
    /// A weak extern that is not there: the number 0.
    Null,
    /// A subprogram, called or by its address.
    Subprog(usize),
    /// A kfunc that is called.
    Kfunc(ExternIdx, Kfunc),
    /// A call to a helper that is none: what libbpf makes of a relocation that found nothing (`invalid func unknown#`).
    Poison(i32),
    /// A jump table of so many bytes.
    JumpTable {
        /// Where it starts in `.jumptables`, bytes.
        offset: u32,
        /// Its size, bytes.
        size: u32,
    },
    /// Not known.
    Unknown(Reason),
}

/// An instruction slot.
#[derive(Debug, Clone)]
pub struct Slot {
    /// What it does; the offset or immediate is as CO-RE left it.
    pub op: Op,
    /// The instruction itself, so.
    pub insn: Insn,
    /// The upper half of a 64-bit immediate.
    pub high: i32,
    /// What it refers to.
    pub link: Link,
    /// Where it stands.
    pub at: (FuncIdx, InsnIdx),
}

/// A function of the program.
#[derive(Debug, Clone)]
pub struct Subprog {
    /// Which function of the object.
    pub function: FuncIdx,
    /// Its first slot.
    pub start: usize,
    /// The slot after its last.
    pub end: usize,
    /// The verifier looks at it by itself (`subprog_is_global`).
    pub is_global: bool,
}

/// A program.
#[derive(Debug, Clone)]
pub struct Prog {
    /// Its slots, all functions in a row, the second slots of 64-bit immediates included.
    pub slots: Vec<Slot>,
    /// Its functions, the entry first.
    pub subprogs: Vec<Subprog>,
    /// The subprogram that each slot belongs to.
    pub owner: Vec<usize>,
}

/// Where libbpf puts the numbers of calls to kfuncs that are not there (`POISON_CALL_KFUNC_BASE`).
const POISON_KFUNC: i32 = 2_002_000_000;

impl Prog {
    /// Links a program (libbpf `bpf_object__relocate`, `bpf_program_fixup_func_info` and what they call).
    pub fn link(load: &Load<'_, '_>, knowledge: &Knowledge, program: FuncIdx) -> Self {
        let object = load.object;
        let mut starts = FxHashMap::default();
        let mut subprogs = Vec::new();
        let mut at = 0;
        for (number, (index, function)) in object.code_of(program).enumerate() {
            starts.insert(index, number);
            let end = at + function.code.len();
            let is_global = number > 0 && function.is_global;
            subprogs.push(Subprog { function: index, start: at, end, is_global });
            at = end;
        }
        let mut slots = Vec::with_capacity(at);
        let mut owner = Vec::with_capacity(at);
        for (number, subprog) in subprogs.iter().enumerate() {
            let function = &object[subprog.function];
            let ops = function.ops();
            let mut is_poisoned = false;
            for (slot, insn) in function.code.slots() {
                let at = (subprog.function, InsnIdx(slot));
                let mut made = Slot { op: ops[slot], insn, high: 0, link: Link::None, at };
                if insn.is_ld_imm64() {
                    made.high = function.code.get(slot + 1).map_or(0, |next| next.imm);
                }
                relocate(load, object, &starts, &mut made);
                // Both slots of a 64-bit immediate are poisoned.
                match is_poisoned {
                    true => poison(&mut made),
                    false => patch(knowledge, &mut made),
                }
                is_poisoned = !is_poisoned && insn.is_ld_imm64() && made.link == Link::Poison(POISON_IMM);
                slots.push(made);
                owner.push(number);
            }
        }
        Self { slots, subprogs, owner }
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// The address of a value of a map.
pub fn map_ref(map: MapIdx) -> MapRef {
    MapRef { map, inner: false }
}

/// What a relocation makes of an instruction.
fn relocate(load: &Load<'_, '_>, object: &Object<'_>, starts: &FxHashMap<FuncIdx, usize>, slot: &mut Slot) {
    let (function, insn) = slot.at;
    if let Some(target) = object[function].call_at(insn) {
        slot.link = match target.and_then(|target| starts.get(&target)) {
            Some(&number) => Link::Subprog(number),
            None => Link::Unknown("the function that is called is not known".into()),
        };
        return;
    }
    let Some(&Ref { target, value, is_data, .. }) = object[function].refs_at(insn).first() else { return };
    slot.link = match target {
        Referent::Map(map) if !is_data => Link::Map(map),
        // The sum goes into an immediate.
        Referent::Map(map) => {
            Link::MapValue(map, u64::from((value as u32).wrapping_add(slot.insn.imm.cast_unsigned())))
        }
        Referent::JumpTable { offset, size } => Link::JumpTable { offset, size },
        Referent::Extern(index) => external(load, object, index, slot.op),
    };
    // The object calls it as it calls a function; libbpf says what it is (`BPF_PSEUDO_KFUNC_CALL`).
    if let Link::Kfunc(..) = slot.link {
        slot.op = Op::Call(Callee::Kfunc);
    }
}

/// What an extern makes of an instruction.
fn external(load: &Load<'_, '_>, object: &Object<'_>, index: ExternIdx, op: Op) -> Link {
    let is_call = matches!(op, Op::Call(_));
    match load.external(index) {
        ExternFate::Kfunc(kfunc) if is_call => Link::Kfunc(index, *kfunc),
        ExternFate::Kfunc(kfunc) => Link::KernelFunction(kfunc.home, kfunc.func),
        ExternFate::Variable(home, id) => Link::Variable(*home, *id),
        ExternFate::Null | ExternFate::NullMismatched(_) if is_call => {
            Link::Poison(POISON_KFUNC + index.0 as i32)
        }
        ExternFate::Null | ExternFate::NullMismatched(_) if object[index].kind != ExternKind::Kconfig => {
            Link::Null
        }
        _ if object[index].kind == ExternKind::Kconfig => match object.kconfig_place(index) {
            Some((map, offset)) => Link::MapValue(map, offset),
            None => Link::Unknown("there is no .kconfig map".into()),
        },
        ExternFate::Unknown(reason) => Link::Unknown(reason.clone()),
        _ => Link::Unknown("the extern is not resolved".into()),
    }
}

/// What becomes of an instruction whose CO-RE record found nothing (`bpf_core_poison_insn`).
fn poison(slot: &mut Slot) {
    slot.insn = Insn::call(POISON_IMM);
    slot.op = slot.insn.op();
    slot.link = Link::Poison(POISON_IMM);
}

/// What CO-RE makes of an instruction (`bpf_core_patch_insn`).
fn patch(knowledge: &Knowledge, slot: &mut Slot) {
    let Some(fact) = knowledge.core.get(&slot.at) else { return };
    match *fact {
        CoreFact::Unknown => {
            slot.link = Link::Unknown("what CO-RE makes of the instruction is not known".into())
        }
        CoreFact::Poison => poison(slot),
        CoreFact::Value(value) => {
            match slot.op {
                Op::Load { .. } | Op::Store { .. } | Op::Atomic { .. } => slot.insn.off = value as i16,
                Op::LoadImm64 { .. } => {
                    slot.insn.imm = value as i32;
                    slot.high = (value >> 32) as i32;
                }
                _ => slot.insn.imm = value as i32,
            }
            slot.op = slot.insn.op();
        }
    }
}
