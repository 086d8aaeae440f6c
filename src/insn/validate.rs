//! Instructions that the verifier refuses for what they are made of, before it looks at what they do
//! (`check_and_resolve_insns`, `check_insn_fields`; up to 7.0 `resolve_pseudo_ldimm64` and `do_check`).

use super::{Class, Code, FRAME_POINTER, Insn, LoadMode, Memory, Op, Operand, Width};

/// What is wrong with an instruction that every kernel looks at, walked or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsnFault {
    /// No kernel from 6.12 on knows the opcode.
    UnknownOpcode(u8),
    /// A load with something in its immediate.
    LoadWithImmediate,
    /// A 64-bit immediate without its second slot.
    NoSecondHalf,
}

/// What is wrong with the instruction at a slot.
pub fn fault(code: Code<'_>, at: usize, insn: Insn, op: Op) -> Option<InsnFault> {
    match op {
        Op::Unknown => Some(InsnFault::UnknownOpcode(insn.code)),
        Op::LoadImm64 { .. } => {
            let whole = code.get(at + 1).is_some_and(Insn::is_second_half);
            (!whole).then_some(InsnFault::NoSecondHalf)
        }
        _ if op.is_plain_load() && insn.imm != 0 => Some(InsnFault::LoadWithImmediate),
        _ => None,
    }
}

/// The kind of instruction, as the verifier calls it, if a field is not 0 that every kernel wants to be. Left out are fields
/// that some kernel does not look at.
pub fn reserved_field(insn: Insn, op: Op) -> Option<&'static str> {
    let Insn { dst, src, off, imm, .. } = insn;
    // The field that the other kind of source leaves unused.
    let unused = |source: Operand| match source {
        Operand::Reg(_) => imm != 0,
        Operand::Imm(_) => src != 0,
    };
    match op {
        Op::LoadImm64 { .. } => (off != 0).then_some("BPF_LD_IMM64"),
        Op::Store { value: Operand::Imm(_), .. } => (src != 0).then_some("BPF_ST"),
        Op::Store { release: false, .. } => (imm != 0).then_some("BPF_STX"),
        Op::Neg { .. } => (src != 0 || off != 0 || imm != 0).then_some("BPF_NEG"),
        Op::Swap { bits, .. } => (src != 0 || off != 0 || !matches!(bits, 16 | 32 | 64)).then_some("BPF_END"),
        Op::Mov { wide, src: source @ Operand::Reg(_), .. } => {
            let extends = matches!(off, 0 | 8 | 16) || wide && off == 32;
            (unused(source) || !extends).then_some("BPF_MOV")
        }
        Op::Mov { src: source, .. } => (unused(source) || off != 0).then_some("BPF_MOV"),
        Op::Alu { op, src: source, .. } => {
            let most = i16::from(op.has_signed_form());
            (unused(source) || off > most).then_some("BPF_ALU")
        }
        Op::Jump(_) => {
            let other = if insn.class() == Class::Jmp { imm != 0 } else { off != 0 };
            (src != 0 || dst != 0 || other).then_some("BPF_JA")
        }
        // A kfunc has its module in `off`.
        Op::Call(_) => {
            let helper = src == 0 && (dst != 0 || off != 0);
            (helper || src > 2).then_some("BPF_CALL")
        }
        Op::Exit => (src != 0 || dst != 0 || imm != 0).then_some("BPF_EXIT"),
        Op::Branch { right, .. } => unused(right).then_some("BPF_JMP/JMP32"),
        // Loads are looked at before, in all code.
        Op::Load { .. }
        | Op::Store { .. }
        | Op::LoadPacket { .. }
        | Op::Atomic { .. }
        | Op::AddrSpaceCast { .. }
        | Op::JumpTable { .. }
        | Op::MayGoto(_)
        | Op::Unknown => None,
    }
}

/// The first register above r10 that an instruction reads or writes, as far as its fields name them; r11 as the base of a
/// 64-bit load or store is left out, which is an argument on the stack from 7.2 on.
pub fn invalid_register(op: Op) -> Option<u8> {
    registers(op).into_iter().flatten().find(|&register| register > FRAME_POINTER)
}

fn registers(op: Op) -> [Option<u8>; 2] {
    let base = |memory: Memory| (memory.base != 11 || memory.width != Width::B8).then_some(memory.base);
    match op {
        Op::LoadImm64 { dst, .. } | Op::Neg { dst, .. } | Op::Swap { dst, .. } => [Some(dst), None],
        Op::LoadPacket { index } => [None, index],
        Op::Load { dst, from, mode: LoadMode::Plain } => [Some(dst), base(from)],
        Op::Load { dst, from, .. } => [Some(dst), Some(from.base)],
        Op::Store { to, value, release: false } => [base(to), value.reg()],
        Op::Store { to, value, .. } => [Some(to.base), value.reg()],
        Op::Atomic { at, operand, .. } => [Some(at.base), Some(operand)],
        Op::Alu { dst, src, .. } | Op::Mov { dst, src, .. } => [Some(dst), src.reg()],
        Op::AddrSpaceCast { dst, src, .. } => [Some(dst), Some(src)],
        Op::JumpTable { to } => [Some(to), None],
        Op::Branch { left, right, .. } => [Some(left), right.reg()],
        // Calls, exits and may_goto name none; the source of a call says what is called.
        Op::Jump(_) | Op::Call(_) | Op::Exit | Op::MayGoto(_) | Op::Unknown => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::ByteOrder;

    #[test]
    fn registers_are_those_that_the_instruction_uses() {
        let of = |code, registers_byte| {
            registers(Insn::decode(&[code, registers_byte, 0, 0, 0, 0, 0, 0], ByteOrder::Little).op())
        };
        // Moves by value and by register, a byte swap, a negation.
        assert_eq!(of(0xb7, 0xfb), [Some(11), None]);
        assert_eq!(of(0xbf, 0xfb), [Some(11), Some(15)]);
        assert_eq!(of(0xdc, 0xfb), [Some(11), None]);
        assert_eq!(of(0x87, 0xfb), [Some(11), None]);
        // Loads and stores; r11 as the base of a 64-bit one is an argument on the stack.
        assert_eq!(of(0x79, 0xb0), [Some(0), None]);
        assert_eq!(of(0x79, 0xc0), [Some(0), Some(12)]);
        assert_eq!(of(0x61, 0xb0), [Some(0), Some(11)]);
        assert_eq!(of(0x7b, 0x0b), [None, Some(0)]);
        assert_eq!(of(0x7a, 0xfb), [None, None]);
        assert_eq!(of(0x63, 0x0b), [Some(11), Some(0)]);
        // Calls, exit, jumps.
        assert_eq!(of(0x85, 0xfb), [None, None]);
        assert_eq!(of(0x95, 0xfb), [None, None]);
        assert_eq!(of(0x05, 0xfb), [None, None]);
        assert_eq!(of(0x0d, 0xfb), [Some(11), None]);
        assert_eq!(of(0x15, 0xfb), [Some(11), None]);
        assert_eq!(of(0x1d, 0xfb), [Some(11), Some(15)]);
        // 64-bit immediate: the source says what it is.
        assert_eq!(of(0x18, 0xfb), [Some(11), None]);
        assert_eq!(of(0x40, 0xfb), [None, Some(15)]);
        assert_eq!(of(0x20, 0xfb), [None, None]);
    }

    #[test]
    fn fields_that_an_instruction_does_not_use_are_0() {
        let of = |bytes| {
            let insn = Insn::decode(&bytes, ByteOrder::Little);
            reserved_field(insn, insn.op())
        };
        for (bytes, kind) in [
            ([0x18, 1, 8, 0, 0, 0, 0, 0], "BPF_LD_IMM64"),
            ([0xb7, 0x20, 0, 0, 0, 0, 0, 0], "BPF_MOV"),
            ([0xbf, 0x10, 2, 0, 0, 0, 0, 0], "BPF_MOV"),
            ([0xbc, 0x10, 32, 0, 0, 0, 0, 0], "BPF_MOV"),
            ([0x07, 0x10, 0, 0, 1, 0, 0, 0], "BPF_ALU"),
            ([0x0f, 0x10, 1, 0, 0, 0, 0, 0], "BPF_ALU"),
            ([0x87, 0, 0, 0, 1, 0, 0, 0], "BPF_NEG"),
            ([0xdc, 0, 0, 0, 8, 0, 0, 0], "BPF_END"),
            ([0x7a, 0x1a, 0xf8, 0xff, 0, 0, 0, 0], "BPF_ST"),
            ([0x7b, 0x1a, 0xf8, 0xff, 1, 0, 0, 0], "BPF_STX"),
            ([0x05, 0, 1, 0, 1, 0, 0, 0], "BPF_JA"),
            ([0x15, 0x10, 1, 0, 0, 0, 0, 0], "BPF_JMP/JMP32"),
            ([0x85, 1, 0, 0, 5, 0, 0, 0], "BPF_CALL"),
            ([0x95, 0, 0, 0, 1, 0, 0, 0], "BPF_EXIT"),
        ] {
            assert_eq!(of(bytes), Some(kind), "{bytes:x?}");
        }
        for bytes in [
            // Sign-extending moves, a cast, signed division, an atomic, a far jump, may_goto, calls of each kind.
            [0xbf, 0x10, 32, 0, 0, 0, 0, 0],
            [0xbc, 0x10, 8, 0, 0, 0, 0, 0],
            [0xbf, 0x11, 1, 0, 1, 0, 0, 0],
            [0x3f, 0x10, 1, 0, 0, 0, 0, 0],
            [0x97, 0, 1, 0, 3, 0, 0, 0],
            [0xdb, 0x10, 0, 0, 1, 0, 0, 0],
            [0x06, 0, 0, 0, 7, 0, 0, 0],
            [0xe5, 0, 3, 0, 0, 0, 0, 0],
            [0x85, 0, 0, 0, 5, 0, 0, 0],
            [0x85, 0x10, 0, 0, 5, 0, 0, 0],
            [0x85, 0x20, 1, 0, 5, 0, 0, 0],
            [0xdc, 0, 0, 0, 64, 0, 0, 0],
        ] {
            assert_eq!(of(bytes), None, "{bytes:x?}");
        }
    }

    fn is_opcode(code: u8) -> bool {
        Insn::new(code, 0, 0, 0, 0).op() != Op::Unknown
    }

    #[test]
    fn the_table_knows_what_compilers_emit_and_nothing_else() {
        for code in [
            0x18, 0x61, 0x79, 0x7b, 0x63, 0xdb, 0xc3, 0x07, 0x0f, 0xbf, 0x87, 0xd7, 0xd4, 0xdc, 0x05, 0x06,
            0x85, 0x95, 0x1d, 0xe5, 0x91,
        ] {
            assert!(is_opcode(code), "{code:#04x}");
        }
        for code in [0x00, 0x8f, 0xff, 0xef, 0x9d, 0x99, 0xf5, 0x38, 0xe7] {
            assert!(!is_opcode(code), "{code:#04x}");
        }
    }
}
