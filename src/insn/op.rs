//! One instruction as a typed operation: the only place that takes opcodes apart.
//!
//! By Documentation/bpf/standardization/instruction-set.rst and, for what it leaves out (`may_goto`, `addr_space_cast`, jumps
//! through tables), include/uapi/linux/bpf.h and kernel/bpf/verifier.c of 7.3.

use super::slot::{Class, Insn, PSEUDO_CALL, PSEUDO_KFUNC_CALL};
use super::width::Width;

/// The frame pointer, r10.
pub const FRAME_POINTER: u8 = 10;

/// `BPF_SRC`: the operand is a register.
const SRC_X: u8 = 0x08;
/// `BPF_MODE`.
const MODE: u8 = 0xe0;
const MODE_ABS: u8 = 0x20;
const MODE_IND: u8 = 0x40;
const MODE_MEM: u8 = 0x60;
const MODE_MEMSX: u8 = 0x80;
const MODE_ATOMIC: u8 = 0xc0;

/// The second operand of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// A register (`BPF_X`).
    Reg(u8),
    /// The immediate (`BPF_K`), which 64-bit operations extend by its sign.
    Imm(i32),
}

impl Operand {
    /// The register, if it is one.
    pub fn reg(self) -> Option<u8> {
        match self {
            Self::Reg(reg) => Some(reg),
            Self::Imm(_) => None,
        }
    }
}

/// Memory that an operation takes: a register's value plus an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The register that holds the address.
    pub base: u8,
    /// What is added to it, bytes.
    pub off: i16,
    /// How much is read or written.
    pub width: Width,
}

/// What a load does beside loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadMode {
    /// The upper bits of the register become 0 (`BPF_MEM`).
    Plain,
    /// They become copies of the sign (`BPF_MEMSX`).
    SignExtend,
    /// `BPF_LOAD_ACQ` (6.15): a plain load that is an atomic instruction.
    Acquire,
}

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum AluOp {
    Add,
    Sub,
    Mul,
    Div,
    SDiv,
    Or,
    And,
    Lsh,
    Rsh,
    Mod,
    SMod,
    Xor,
    Arsh,
}

impl AluOp {
    /// A division: there is one of signed numbers beside that of unsigned ones.
    pub fn has_signed_form(self) -> bool {
        matches!(self, Self::Div | Self::SDiv | Self::Mod | Self::SMod)
    }
}

/// What an atomic instruction does to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtomicOp {
    /// `BPF_ADD`.
    Add,
    /// `BPF_OR`.
    Or,
    /// `BPF_AND`.
    And,
    /// `BPF_XOR`.
    Xor,
    /// `BPF_XCHG`, always with the old value.
    Xchg,
    /// `BPF_CMPXCHG`, always with the old value, in r0.
    CmpXchg,
    /// An immediate that no kernel knows.
    Unknown,
}

/// The condition of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// `BPF_JEQ`.
    Eq,
    /// `BPF_JGT`, unsigned.
    Gt,
    /// `BPF_JGE`, unsigned.
    Ge,
    /// `BPF_JSET`: some bit is set in both.
    Set,
    /// `BPF_JNE`.
    Ne,
    /// `BPF_JSGT`, signed.
    Sgt,
    /// `BPF_JSGE`, signed.
    Sge,
    /// `BPF_JLT`, unsigned.
    Lt,
    /// `BPF_JLE`, unsigned.
    Le,
    /// `BPF_JSLT`, signed.
    Slt,
    /// `BPF_JSLE`, signed.
    Sle,
}

/// Whom a call calls, as far as the instruction says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callee {
    /// A helper, by `enum bpf_func_id`.
    Helper(i32),
    /// A function of the same program (`BPF_PSEUDO_CALL`), so many slots after the next one.
    Function(i32),
    /// A kfunc (`BPF_PSEUDO_KFUNC_CALL`): what the immediate means is the loader's.
    Kfunc,
    /// Nothing that a kernel knows.
    Unknown,
}

/// What an instruction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A 64-bit immediate in two slots: the lower half here, the upper in the next slot.
    LoadImm64 {
        /// Where it goes.
        dst: u8,
        /// What it stands for (`BPF_PSEUDO_*`); 0 for a number.
        pseudo: u8,
        /// The lower half.
        low: i32,
    },
    /// A load from the packet into r0; r6 holds the context, and `index` an offset to be added.
    LoadPacket {
        /// A register for the indirect form.
        index: Option<u8>,
    },
    /// A load from memory.
    Load {
        /// Where it goes.
        dst: u8,
        /// From where.
        from: Memory,
        /// What becomes of the upper bits.
        mode: LoadMode,
    },
    /// A store to memory.
    Store {
        /// To where.
        to: Memory,
        /// What is stored.
        value: Operand,
        /// `BPF_STORE_REL` (6.15): an atomic instruction.
        release: bool,
    },
    /// A change of memory at once.
    Atomic {
        /// The memory.
        at: Memory,
        /// The change.
        op: AtomicOp,
        /// The operand.
        operand: u8,
        /// The old value goes into a register (`BPF_FETCH`): `operand`, or r0 for [`AtomicOp::CmpXchg`].
        fetch: bool,
    },
    /// `dst = dst op src`.
    Alu {
        /// What is done.
        op: AluOp,
        /// With 64 bits; else with the lower 32, and the upper become 0.
        wide: bool,
        /// The first operand and the result.
        dst: u8,
        /// The second operand.
        src: Operand,
    },
    /// `dst = -dst`.
    Neg {
        /// With 64 bits.
        wide: bool,
        /// The operand and the result.
        dst: u8,
    },
    /// `dst = src`.
    Mov {
        /// With 64 bits.
        wide: bool,
        /// Where it goes.
        dst: u8,
        /// What goes there.
        src: Operand,
        /// The part of a register that is extended by its sign.
        sign: Option<Width>,
    },
    /// A pointer changes its address space.
    AddrSpaceCast {
        /// Where it goes.
        dst: u8,
        /// The pointer.
        src: u8,
        /// The target space in the upper half, the source space in the lower.
        spaces: i32,
    },
    /// The bytes of a register change their order (`BPF_END`).
    Swap {
        /// The operand and the result.
        dst: u8,
        /// Width in bits, as encoded.
        bits: i32,
    },
    /// A jump, of so many slots after the next one.
    Jump(i32),
    /// A jump through a table, to an address in a register (`gotox`, 6.19).
    JumpTable {
        /// The register.
        to: u8,
    },
    /// `may_goto`: jumps once its budget is spent, and not before.
    MayGoto(i16),
    /// A jump on a condition.
    Branch {
        /// The condition.
        condition: Condition,
        /// All 64 bits are compared.
        wide: bool,
        /// The first operand.
        left: u8,
        /// The second operand.
        right: Operand,
        /// Slots after the next one.
        off: i16,
    },
    /// A call.
    Call(Callee),
    /// Returns.
    Exit,
    /// No operation that a kernel from 6.12 on knows, or the second slot of a 64-bit immediate.
    Unknown,
}

/// Where control goes after an instruction. A slot before the start of the function reads as `usize::MAX`, which lies
/// outside any function as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successors {
    /// To this slot, the one after.
    Next(usize),
    /// To this slot.
    Jump(usize),
    /// To either.
    Branch {
        /// The slot after.
        falls: usize,
        /// Where it leads if it is taken.
        taken: usize,
    },
    /// To either, and the verifier walks both ways (`may_goto`).
    MayGoto {
        /// The slot after.
        falls: usize,
        /// Where it leads in the end.
        taken: usize,
    },
    /// Through a table.
    Table,
    /// Back to the caller.
    Exit,
}

impl Successors {
    /// The slots, that after the instruction first, and whether a jump leads there; none are known of a table.
    pub fn edges(self) -> impl Iterator<Item = (usize, bool)> {
        let (next, jump) = match self {
            Self::Next(next) => (Some(next), None),
            Self::Jump(to) => (None, Some(to)),
            Self::Branch { falls, taken } | Self::MayGoto { falls, taken } => (Some(falls), Some(taken)),
            Self::Table | Self::Exit => (None, None),
        };
        next.map(|next| (next, false)).into_iter().chain(jump.map(|jump| (jump, true)))
    }

    /// The slots alone.
    pub fn slots(self) -> impl Iterator<Item = usize> {
        self.edges().map(|(slot, _)| slot)
    }

    /// Where it jumps, always or on a condition.
    pub fn jump(self) -> Option<usize> {
        match self {
            Self::Jump(to) | Self::Branch { taken: to, .. } | Self::MayGoto { taken: to, .. } => Some(to),
            Self::Next(_) | Self::Table | Self::Exit => None,
        }
    }
}

/// A set of registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registers(u16);

impl Registers {
    /// r0 to r9.
    pub const ALL: Self = Self(0x3ff);
    /// r0 to r5, which a call leaves without a value.
    pub const CALL_CLOBBERED: Self = Self(0x3f);
    /// r1 to r5.
    pub const ARGUMENTS: Self = Self(0x3e);

    /// These registers; one that does not exist is none.
    pub fn of(registers: impl IntoIterator<Item = u8>) -> Self {
        Self(registers.into_iter().filter(|register| *register < 16).fold(0, |set, reg| set | 1 << reg))
    }

    /// Is a register among them.
    pub fn has(self, register: u8) -> bool {
        register < 16 && self.0 & 1 << register != 0
    }

    /// Those of both.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that the other has not.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Insn {
    /// What it does.
    pub fn op(self) -> Op {
        let Self { code, dst, src, off, imm } = self;
        let operand = if code & SRC_X != 0 { Operand::Reg(src) } else { Operand::Imm(imm) };
        let memory = |base| Memory { base, off, width: Width::in_code(code) };
        match self.class() {
            Class::Ld => match code {
                0x18 => Op::LoadImm64 { dst, pseudo: src, low: imm },
                // Packets have no 64-bit loads.
                _ if code & 0x18 == 0x18 => Op::Unknown,
                _ => match code & MODE {
                    MODE_ABS => Op::LoadPacket { index: None },
                    MODE_IND => Op::LoadPacket { index: Some(src) },
                    _ => Op::Unknown,
                },
            },
            Class::Ldx => match code & MODE {
                MODE_MEM => Op::Load { dst, from: memory(src), mode: LoadMode::Plain },
                MODE_MEMSX if memory(src).width != Width::B8 => {
                    Op::Load { dst, from: memory(src), mode: LoadMode::SignExtend }
                }
                _ => Op::Unknown,
            },
            Class::St => match code & MODE {
                MODE_MEM => Op::Store { to: memory(dst), value: Operand::Imm(imm), release: false },
                _ => Op::Unknown,
            },
            Class::Stx => match code & MODE {
                MODE_MEM => Op::Store { to: memory(dst), value: Operand::Reg(src), release: false },
                MODE_ATOMIC => atomic(dst, src, imm, memory),
                _ => Op::Unknown,
            },
            class @ (Class::Alu | Class::Alu64) => alu(class == Class::Alu64, code, dst, operand, off, imm),
            class @ (Class::Jmp | Class::Jmp32) => jump(class == Class::Jmp, code, dst, operand, self),
        }
    }
}

/// An atomic instruction, by its immediate.
fn atomic(dst: u8, src: u8, imm: i32, memory: impl Fn(u8) -> Memory) -> Op {
    let op = match imm {
        0x100 => return Op::Load { dst, from: memory(src), mode: LoadMode::Acquire },
        0x110 => return Op::Store { to: memory(dst), value: Operand::Reg(src), release: true },
        0x00 | 0x01 => AtomicOp::Add,
        0x40 | 0x41 => AtomicOp::Or,
        0x50 | 0x51 => AtomicOp::And,
        0xa0 | 0xa1 => AtomicOp::Xor,
        0xe1 => AtomicOp::Xchg,
        0xf1 => AtomicOp::CmpXchg,
        _ => AtomicOp::Unknown,
    };
    Op::Atomic { at: memory(dst), op, operand: src, fetch: imm & 1 != 0 }
}

fn alu(wide: bool, code: u8, dst: u8, src: Operand, off: i16, imm: i32) -> Op {
    let signed = off == 1;
    let op = match code >> 4 {
        0x0 => AluOp::Add,
        0x1 => AluOp::Sub,
        0x2 => AluOp::Mul,
        0x3 if signed => AluOp::SDiv,
        0x3 => AluOp::Div,
        0x4 => AluOp::Or,
        0x5 => AluOp::And,
        0x6 => AluOp::Lsh,
        0x7 => AluOp::Rsh,
        0x8 if src.reg().is_none() => return Op::Neg { wide, dst },
        0x9 if signed => AluOp::SMod,
        0x9 => AluOp::Mod,
        0xa => AluOp::Xor,
        0xb => {
            return match (src, off) {
                (Operand::Reg(src), 1) if wide => Op::AddrSpaceCast { dst, src, spaces: imm },
                _ => {
                    let sign = match (src, off) {
                        (Operand::Reg(_), 8) => Some(Width::B1),
                        (Operand::Reg(_), 16) => Some(Width::B2),
                        (Operand::Reg(_), 32) => Some(Width::B4),
                        _ => None,
                    };
                    Op::Mov { wide, dst, src, sign }
                }
            };
        }
        0xc => AluOp::Arsh,
        // In the 32-bit class either order, in the 64-bit class a swap whatever the order.
        0xd if !wide || src.reg().is_none() => return Op::Swap { dst, bits: imm },
        _ => return Op::Unknown,
    };
    Op::Alu { op, wide, dst, src }
}

fn jump(wide: bool, code: u8, left: u8, right: Operand, insn: Insn) -> Op {
    let condition = match (code >> 4, right) {
        (0x0, Operand::Reg(_)) if wide => return Op::JumpTable { to: left },
        (0x0, Operand::Imm(_)) if wide => return Op::Jump(insn.off.into()),
        (0x0, Operand::Imm(imm)) => return Op::Jump(imm),
        (0x1, _) => Condition::Eq,
        (0x2, _) => Condition::Gt,
        (0x3, _) => Condition::Ge,
        (0x4, _) => Condition::Set,
        (0x5, _) => Condition::Ne,
        (0x6, _) => Condition::Sgt,
        (0x7, _) => Condition::Sge,
        (0x8, Operand::Imm(imm)) if wide => {
            return Op::Call(match insn.src {
                0 => Callee::Helper(imm),
                PSEUDO_CALL => Callee::Function(imm),
                PSEUDO_KFUNC_CALL => Callee::Kfunc,
                _ => Callee::Unknown,
            });
        }
        (0x9, Operand::Imm(_)) if wide => return Op::Exit,
        (0xa, _) => Condition::Lt,
        (0xb, _) => Condition::Le,
        (0xc, _) => Condition::Slt,
        (0xd, _) => Condition::Sle,
        (0xe, Operand::Imm(_)) if wide => return Op::MayGoto(insn.off),
        _ => return Op::Unknown,
    };
    Op::Branch { condition, wide, left, right, off: insn.off }
}

impl Op {
    /// Where control goes after the instruction at a slot.
    pub fn successors(self, at: usize) -> Successors {
        let after = at.saturating_add(1);
        let to = |distance: i32| after.checked_add_signed(distance as isize).unwrap_or(usize::MAX);
        match self {
            Self::LoadImm64 { .. } => Successors::Next(at.saturating_add(2)),
            Self::Jump(distance) => Successors::Jump(to(distance)),
            Self::JumpTable { .. } => Successors::Table,
            Self::MayGoto(off) => Successors::MayGoto { falls: after, taken: to(off.into()) },
            Self::Branch { off, .. } => Successors::Branch { falls: after, taken: to(off.into()) },
            Self::Exit => Successors::Exit,
            _ => Successors::Next(after),
        }
    }

    /// Slots after the next one that it jumps over, always or on a condition.
    pub fn distance(self) -> Option<i32> {
        match self {
            Self::Jump(distance) => Some(distance),
            Self::MayGoto(off) | Self::Branch { off, .. } => Some(off.into()),
            _ => None,
        }
    }

    /// The memory that it reads or writes.
    pub fn memory(self) -> Option<Memory> {
        match self {
            Self::Load { from: memory, .. }
            | Self::Store { to: memory, .. }
            | Self::Atomic { at: memory, .. } => Some(memory),
            _ => None,
        }
    }

    /// The helper that it calls.
    pub fn helper(self) -> Option<i32> {
        match self {
            Self::Call(Callee::Helper(id)) => Some(id),
            _ => None,
        }
    }

    /// Writes to memory: a store, or an atomic instruction that does not merely load.
    pub fn is_store(self) -> bool {
        matches!(self, Self::Store { .. } | Self::Atomic { .. })
    }

    /// A store of a register or number, no atomic instruction.
    pub fn is_plain_store(self) -> bool {
        matches!(self, Self::Store { release: false, .. })
    }

    /// A load that is no atomic instruction.
    pub fn is_plain_load(self) -> bool {
        matches!(self, Self::Load { mode: LoadMode::Plain | LoadMode::SignExtend, .. })
    }

    /// An atomic instruction (`BPF_ATOMIC`), load-acquire and store-release among them.
    pub fn is_atomic(self) -> bool {
        matches!(
            self,
            Self::Atomic { .. }
                | Self::Load { mode: LoadMode::Acquire, .. }
                | Self::Store { release: true, .. }
        )
    }

    /// A 64-bit move of a register as it is: from which one, and to which.
    pub fn copies(self) -> Option<(u8, u8)> {
        match self {
            Self::Mov { wide: true, dst, src: Operand::Reg(src), sign: None } => Some((src, dst)),
            _ => None,
        }
    }

    /// The branch tests a register for 0 or NULL: the register, and whether it jumps where that is 0.
    pub fn null_test(self) -> Option<(u8, bool)> {
        match self {
            Self::Branch { condition, wide: true, left, right: Operand::Imm(0), .. } => match condition {
                Condition::Eq => Some((left, true)),
                Condition::Ne => Some((left, false)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Registers that it reads. A call reads all that may be arguments.
    pub fn reads(self) -> Registers {
        let and = |register: u8, source: Operand| {
            Registers::of([Some(register), source.reg()].into_iter().flatten())
        };
        match self {
            Self::LoadPacket { index } => Registers::of([Some(6), index].into_iter().flatten()),
            Self::Load { from, .. } => Registers::of([from.base]),
            Self::Store { to, value, .. } => and(to.base, value),
            Self::Atomic { at, op, operand, .. } => {
                let compared = matches!(op, AtomicOp::CmpXchg | AtomicOp::Unknown).then_some(0);
                Registers::of([Some(at.base), Some(operand), compared].into_iter().flatten())
            }
            Self::Alu { dst, src, .. } => and(dst, src),
            Self::Neg { dst, .. } | Self::Swap { dst, .. } => Registers::of([dst]),
            Self::Mov { src, .. } => Registers::of(src.reg()),
            Self::AddrSpaceCast { src, .. } => Registers::of([src]),
            Self::JumpTable { to } => Registers::of([to]),
            Self::Branch { left, right, .. } => and(left, right),
            Self::Call(_) => Registers::ARGUMENTS,
            Self::Exit => Registers::of([0]),
            Self::LoadImm64 { .. } | Self::Jump(_) | Self::MayGoto(_) | Self::Unknown => Registers::default(),
        }
    }

    /// Registers that it writes, or leaves without a value.
    pub fn writes(self) -> Registers {
        match self {
            Self::LoadImm64 { dst, .. }
            | Self::Load { dst, .. }
            | Self::Alu { dst, .. }
            | Self::Neg { dst, .. }
            | Self::Swap { dst, .. }
            | Self::Mov { dst, .. }
            | Self::AddrSpaceCast { dst, .. } => Registers::of([dst]),
            Self::Atomic { op: AtomicOp::CmpXchg, .. } => Registers::of([0]),
            Self::Atomic { operand, fetch: true, .. } => Registers::of([operand]),
            Self::LoadPacket { .. } | Self::Call(_) => Registers::CALL_CLOBBERED,
            Self::Store { .. }
            | Self::Atomic { .. }
            | Self::Jump(_)
            | Self::JumpTable { .. }
            | Self::MayGoto(_)
            | Self::Branch { .. }
            | Self::Exit
            | Self::Unknown => Registers::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Op {
        Insn::new(code, dst, src, off, imm).op()
    }

    #[test]
    fn loads_and_stores_name_their_memory() {
        let at = |base, off, width| Memory { base, off, width };
        let plain = LoadMode::Plain;
        assert_eq!(op(0x79, 1, 2, 8, 0), Op::Load { dst: 1, from: at(2, 8, Width::B8), mode: plain });
        assert_eq!(op(0x71, 1, 2, -8, 0), Op::Load { dst: 1, from: at(2, -8, Width::B1), mode: plain });
        assert_eq!(
            op(0x81, 1, 2, 0, 0),
            Op::Load { dst: 1, from: at(2, 0, Width::B4), mode: LoadMode::SignExtend }
        );
        assert_eq!(op(0x99, 1, 2, 0, 0), Op::Unknown);
        let store = |value, release| Op::Store { to: at(10, -8, Width::B8), value, release };
        assert_eq!(op(0x7a, 10, 0, -8, 5), store(Operand::Imm(5), false));
        assert_eq!(op(0x7b, 10, 3, -8, 0), store(Operand::Reg(3), false));
        assert_eq!(op(0xdb, 10, 3, -8, 0x110), store(Operand::Reg(3), true));
    }

    #[test]
    fn a_load_acquire_is_a_load() {
        let acquire = op(0xdb, 1, 2, 16, 0x100);
        let from = Memory { base: 2, off: 16, width: Width::B8 };
        assert_eq!(acquire, Op::Load { dst: 1, from, mode: LoadMode::Acquire });
        assert!(!acquire.is_store() && acquire.is_atomic() && !acquire.is_plain_load());
        assert_eq!((acquire.reads(), acquire.writes()), (Registers::of([2]), Registers::of([1])));
    }

    #[test]
    fn atomic_instructions_say_where_the_old_value_goes() {
        let writes = |imm| op(0xdb, 1, 2, 0, imm).writes();
        assert_eq!(writes(0x00), Registers::default());
        assert_eq!(writes(0x01), Registers::of([2]));
        assert_eq!(writes(0xe1), Registers::of([2]));
        assert_eq!(writes(0xf1), Registers::of([0]));
        assert_eq!(op(0xdb, 1, 2, 0, 0xf1).reads(), Registers::of([0, 1, 2]));
        assert_eq!(writes(0x110), Registers::default());
        for imm in [0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0x77] {
            assert!(matches!(op(0xc3, 1, 2, 0, imm), Op::Atomic { .. }), "{imm:#x}");
        }
    }

    #[test]
    fn moves_are_told_from_casts_and_extensions() {
        assert_eq!(op(0xbf, 1, 2, 0, 0).copies(), Some((2, 1)));
        for other in [op(0xbc, 1, 2, 0, 0), op(0xb7, 1, 0, 0, 7), op(0xbf, 1, 2, 8, 0), op(0xbf, 1, 2, 1, 1)]
        {
            assert_eq!(other.copies(), None, "{other:?}");
        }
        assert_eq!(op(0xbf, 1, 2, 1, 0x1_0000), Op::AddrSpaceCast { dst: 1, src: 2, spaces: 0x1_0000 });
        for (off, sign) in [(8, Width::B1), (16, Width::B2), (32, Width::B4)] {
            let mov = Op::Mov { wide: true, dst: 1, src: Operand::Reg(2), sign: Some(sign) };
            assert_eq!(op(0xbf, 1, 2, off, 0), mov);
        }
        assert_eq!(op(0xb4, 1, 0, 0, -1), Op::Mov { wide: false, dst: 1, src: Operand::Imm(-1), sign: None });
    }

    #[test]
    fn control_goes_where_the_instruction_says() {
        let after = |code, off, imm| op(code, 1, 2, off, imm).successors(10);
        assert_eq!(after(0xb7, 0, 0), Successors::Next(11));
        assert_eq!(after(0x18, 0, 0), Successors::Next(12));
        assert_eq!(after(0x05, -3, 0), Successors::Jump(8));
        assert_eq!(after(0x06, 0, 100), Successors::Jump(111));
        assert_eq!(after(0x05, -12, 0), Successors::Jump(usize::MAX));
        assert_eq!(after(0x15, 4, 0), Successors::Branch { falls: 11, taken: 15 });
        assert_eq!(after(0xe5, 4, 0), Successors::MayGoto { falls: 11, taken: 15 });
        assert_eq!(after(0x0d, 0, 0), Successors::Table);
        assert_eq!(after(0x85, 0, 1), Successors::Next(11));
        assert_eq!(after(0x95, 0, 0), Successors::Exit);
        assert_eq!(after(0x15, 4, 0).slots().collect::<Vec<_>>(), [11, 15]);
        assert_eq!(after(0x15, 4, 0).jump(), Some(15));
    }

    #[test]
    fn branches_compare_what_they_say() {
        let branch = op(0x15, 3, 0, 4, 0);
        assert_eq!(branch.null_test(), Some((3, true)));
        assert_eq!(op(0x55, 3, 0, 4, 0).null_test(), Some((3, false)));
        for other in [op(0x55, 3, 0, 4, 1), op(0x16, 3, 0, 4, 0), op(0x1d, 3, 0, 4, 0), op(0x25, 3, 0, 4, 0)]
        {
            assert_eq!(other.null_test(), None, "{other:?}");
        }
        let Op::Branch { condition, wide, left, right, .. } = op(0xce, 1, 2, 0, 0) else { panic!() };
        assert_eq!((condition, wide, left, right), (Condition::Slt, false, 1, Operand::Reg(2)));
    }

    #[test]
    fn signed_division_is_told_by_its_offset() {
        let of = |off| match op(0x3f, 1, 2, off, 0) {
            Op::Alu { op, .. } => op,
            other => panic!("{other:?}"),
        };
        assert_eq!((of(0), of(1)), (AluOp::Div, AluOp::SDiv));
    }
}
