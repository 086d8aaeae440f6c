//! Fields of instructions that must be 0, or of a certain kind, as kernels from 7.1 on look at them (`check_insn_fields`).

use super::slot::{Class, Insn};

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldFault {
    /// One that is reserved is set, in an instruction of this kind, as the verifier calls it.
    Reserved(&'static str),
    /// A `may_goto` with something in its immediate.
    MayGoto,
    /// A pointer is cast between spaces that there are not.
    AddressSpaces,
    /// A load of no known kind.
    Mode,
}

fn mode(insn: Insn) -> u8 {
    insn.code & 0xe0
}

/// A load from memory of no known kind, or with something in its immediate.
pub fn is_odd_load(insn: Insn) -> bool {
    insn.class() == Class::Ldx && (mode(insn) != 0x60 && mode(insn) != 0x80 || insn.imm != 0)
}

/// The first field that is not as it must be (`check_insn_fields`, from 7.1 on).
pub fn fault(insn: Insn) -> Option<FieldFault> {
    check_fields(insn).err()
}

fn check_fields(insn: Insn) -> Result<(), FieldFault> {
    let Insn { dst, src, off, imm, .. } = insn;
    let code = insn.code;
    let is_reg = insn.takes_register();
    match insn.class() {
        Class::Alu | Class::Alu64 => check_alu(insn),
        Class::Ldx if mode(insn) != 0x60 && mode(insn) != 0x80 || imm != 0 => {
            Err(FieldFault::Reserved("BPF_LDX"))
        }
        Class::Stx if mode(insn) == 0xc0 => Ok(()),
        Class::Stx if mode(insn) != 0x60 || imm != 0 => Err(FieldFault::Reserved("BPF_STX")),
        Class::St if mode(insn) != 0x60 || src != 0 => Err(FieldFault::Reserved("BPF_ST")),
        Class::Ldx | Class::Stx | Class::St => Ok(()),
        Class::Jmp | Class::Jmp32 => {
            let wide = insn.class() == Class::Jmp;
            match code >> 4 {
                0x8 if is_reg || src != 2 && off != 0 || src > 2 || dst != 0 || !wide => {
                    Err(FieldFault::Reserved("BPF_CALL"))
                }
                0x0 if is_reg && (src != 0 || imm != 0 || off != 0) => {
                    Err(FieldFault::Reserved("BPF_JA|BPF_X"))
                }
                0x0 if !is_reg && (src != 0 || dst != 0 || if wide { imm != 0 } else { off != 0 }) => {
                    Err(FieldFault::Reserved("BPF_JA"))
                }
                0x9 if is_reg || imm != 0 || src != 0 || dst != 0 || !wide => {
                    Err(FieldFault::Reserved("BPF_EXIT"))
                }
                0xe if code != 0xe5 || src != 0 || dst != 0 || imm != 0 => Err(FieldFault::MayGoto),
                0x8 | 0x0 | 0x9 | 0xe => Ok(()),
                _ if if is_reg { imm != 0 } else { src != 0 } => Err(FieldFault::Reserved("BPF_JMP/JMP32")),
                _ => Ok(()),
            }
        }
        Class::Ld => match mode(insn) {
            0x20 | 0x40 => {
                let is_absolute = mode(insn) == 0x20;
                if dst != 0 || off != 0 || code & 0x18 == 0x18 || is_absolute && src != 0 {
                    return Err(FieldFault::Reserved("BPF_LD_[ABS|IND]"));
                }
                Ok(())
            }
            0x00 => Ok(()),
            _ => Err(FieldFault::Mode),
        },
    }
}

/// `check_alu_fields`.
fn check_alu(insn: Insn) -> Result<(), FieldFault> {
    let Insn { src, off, imm, .. } = insn;
    let wide = insn.class() == Class::Alu64;
    let is_reg = insn.takes_register();
    match insn.code >> 4 {
        0x8 if is_reg || src != 0 || off != 0 || imm != 0 => Err(FieldFault::Reserved("BPF_NEG")),
        0xd if src != 0 || off != 0 || !matches!(imm, 16 | 32 | 64) || wide && is_reg => {
            Err(FieldFault::Reserved("BPF_END"))
        }
        0xb if is_reg && wide && off == 1 => match imm {
            1 | 0x1_0000 => Ok(()),
            _ => Err(FieldFault::AddressSpaces),
        },
        0xb if is_reg && (!matches!(off, 0 | 8 | 16) && (off != 32 || !wide) || imm != 0) => {
            Err(FieldFault::Reserved("BPF_MOV"))
        }
        0xb if !is_reg && (src != 0 || off != 0) => Err(FieldFault::Reserved("BPF_MOV")),
        0x8 | 0xb | 0xd => Ok(()),
        op => {
            let has_form = matches!(op, 0x3 | 0x9);
            let other = if is_reg { imm != 0 } else { src != 0 };
            if other || !matches!(off, 0 | 1) || off == 1 && !has_form {
                return Err(FieldFault::Reserved("BPF_ALU"));
            }
            Ok(())
        }
    }
}
