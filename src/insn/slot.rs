//! One instruction slot as it is encoded.

use super::width::Width;
use crate::elf::ByteOrder;

/// Bytes of one instruction slot.
pub const INSN_SIZE: usize = 8;

/// `BPF_PSEUDO_CALL`: `src_reg` of a call to a function of the same program.
pub const PSEUDO_CALL: u8 = 1;
/// `BPF_PSEUDO_KFUNC_CALL`: `src_reg` of a call to a kernel function.
pub const PSEUDO_KFUNC_CALL: u8 = 2;

/// One 8-byte instruction slot, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    /// Opcode: class, operation and mode.
    pub(super) code: u8,
    /// Destination register number, 0 to 15 as encoded.
    pub dst: u8,
    /// Source register number or pseudo tag, 0 to 15 as encoded.
    pub src: u8,
    /// Signed offset: branch distance in slots, or byte offset of a load or store.
    pub off: i16,
    /// Signed immediate.
    pub imm: i32,
}

/// Instruction classes, the low three bits of an opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Class {
    Ld,
    Ldx,
    St,
    Stx,
    Alu,
    Jmp,
    Jmp32,
    Alu64,
}

impl Insn {
    /// An instruction out of its fields.
    pub const fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Self {
        Self { code, dst, src, off, imm }
    }

    /// Decodes one slot in the byte order of its file.
    pub fn decode(raw: &[u8; INSN_SIZE], order: ByteOrder) -> Self {
        let (off, imm) = ([raw[2], raw[3]], [raw[4], raw[5], raw[6], raw[7]]);
        // The two register nibbles swap places on big-endian targets.
        match order {
            ByteOrder::Little => Self {
                code: raw[0],
                dst: raw[1] & 0xf,
                src: raw[1] >> 4,
                off: i16::from_le_bytes(off),
                imm: i32::from_le_bytes(imm),
            },
            ByteOrder::Big => Self {
                code: raw[0],
                dst: raw[1] >> 4,
                src: raw[1] & 0xf,
                off: i16::from_be_bytes(off),
                imm: i32::from_be_bytes(imm),
            },
        }
    }

    /// The instruction class.
    pub fn class(self) -> Class {
        match self.code & 7 {
            0 => Class::Ld,
            1 => Class::Ldx,
            2 => Class::St,
            3 => Class::Stx,
            4 => Class::Alu,
            5 => Class::Jmp,
            6 => Class::Jmp32,
            _ => Class::Alu64,
        }
    }

    /// `BPF_LD | BPF_IMM | BPF_DW`: a 64-bit immediate in two slots.
    pub fn is_ld_imm64(self) -> bool {
        self.code == 0x18
    }

    /// `BPF_JMP | BPF_CALL`, whatever it calls.
    pub fn is_call(self) -> bool {
        self.code == 0x85
    }

    /// A call to a helper by number: no pseudo tag.
    pub fn helper(self) -> Option<i32> {
        (self.is_call() && self.src == 0).then_some(self.imm)
    }

    /// A call to a function of the same program (libbpf `insn_is_subprog_call`).
    pub fn is_subprog_call(self) -> bool {
        self.is_call() && self.src == PSEUDO_CALL && self.dst == 0 && self.off == 0
    }

    /// `BPF_JMP | BPF_EXIT`.
    pub fn is_exit(self) -> bool {
        self.code == 0x95
    }

    /// The opcode, for messages that print it; what it means is [`Self::op`].
    pub fn opcode(self) -> u8 {
        self.code
    }

    /// The second slot of an `ld_imm64`: nothing but the upper half.
    pub fn is_second_half(self) -> bool {
        (self.code, self.dst, self.src, self.off) == (0, 0, 0, 0)
    }

    /// Bytes that a load or store moves; what its opcode says at that place for others.
    pub fn width(self) -> Width {
        Width::in_code(self.code)
    }

    /// The same load or store of another width.
    pub fn with_width(self, width: Width) -> Self {
        Self { code: self.code & !Width::B8.code() | width.code(), ..self }
    }

    /// The operand is a register (`BPF_X`), of an operation or a jump.
    pub fn takes_register(self) -> bool {
        self.code & 0x08 != 0
    }

    /// A call to a helper, whether there is one of that number or not.
    pub const fn call(helper: i32) -> Self {
        Self::new(0x85, 0, 0, 0, helper)
    }
}
