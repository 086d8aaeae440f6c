//! Fields of instructions that must be 0, or of a certain kind (`check_and_resolve_insns`, `check_insn_fields`).

use super::super::checker::Checker;
use super::super::prog::Link;
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::Kind;
use super::super::rules::Era;
use crate::insn::{Class, FRAME_POINTER, Insn, Op, validate};

fn refused(message: impl Into<String>) -> Stop {
    Stop::einval(Why::Instruction, message)
}

fn reserved(kind: &str) -> Stop {
    refused(format!("{kind} uses reserved fields"))
}

impl Checker<'_, '_> {
    /// What all code is looked at for, walked or not: from 7.1 on every field, before a few.
    pub(super) fn check_insns(&self) -> Step {
        let all = self.rules.since(Era::V7_1);
        let slots = &self.prog.slots;
        let mut at = 0;
        while let Some(slot) = slots.get(at) {
            let insn = slot.insn;
            if all {
                self.check_registers(insn)?;
            }
            if insn.is_ld_imm64() {
                if !slots.get(at + 1).is_some_and(|next| next.insn.is_second_half()) {
                    return Err(refused("invalid bpf_ld_imm64 insn"));
                }
                if all && insn.off != 0 {
                    return Err(reserved("BPF_LD_IMM64"));
                }
                if slot.link == Link::None && insn.src != 0 {
                    return Err(Stop::unmodelled("a 64-bit immediate that stands for something not told"));
                }
                at += 2;
                continue;
            }
            if !all
                && insn.class() == Class::Ldx
                && (mode(insn) != 0x60 && mode(insn) != 0x80 || insn.imm != 0)
            {
                return Err(reserved("BPF_LDX"));
            }
            let is_table = matches!(slot.op, Op::JumpTable { .. });
            if slot.op == Op::Unknown || is_table && !self.rules.since(Era::V6_19) {
                return Err(refused(format!("unknown opcode {:02x}", insn.opcode())));
            }
            if all {
                check_fields(insn)?;
            }
            at += 1;
        }
        Ok(())
    }

    /// Registers that there are.
    fn check_registers(&self, insn: Insn) -> Step {
        for reg in [insn.dst, insn.src] {
            if reg == FRAME_POINTER + 1 && self.rules.since(Era::V7_2) && !insn.is_ld_imm64() {
                return Err(Stop::unmodelled("arguments on the stack"));
            }
            if reg > FRAME_POINTER {
                return Err(refused(format!("R{reg} is invalid")));
            }
        }
        Ok(())
    }

    /// What is looked at where an instruction is walked, before 7.1.
    ///
    /// # Errors
    /// A field is not as it must be.
    pub fn check_walked_fields(&self) -> Step {
        if self.rules.since(Era::V7_1) {
            return Ok(());
        }
        let slot = self.slot();
        // The first register of a condition is read before.
        if matches!(slot.op, Op::Branch { .. })
            && self.reg(slot.insn.dst.min(FRAME_POINTER)).kind == Kind::NotInit
        {
            return Ok(());
        }
        if let Some(kind) = validate::reserved_field(slot.insn, slot.op) {
            return Err(reserved(kind));
        }
        match validate::invalid_register(slot.op) {
            Some(reg) => Err(refused(format!("R{reg} is invalid"))),
            None => Ok(()),
        }
    }
}

fn mode(insn: Insn) -> u8 {
    insn.opcode() & 0xe0
}

/// `check_insn_fields`.
fn check_fields(insn: Insn) -> Step {
    let Insn { dst, src, off, imm, .. } = insn;
    let code = insn.opcode();
    let is_reg = insn.takes_register();
    match insn.class() {
        Class::Alu | Class::Alu64 => check_alu(insn),
        Class::Ldx if mode(insn) != 0x60 && mode(insn) != 0x80 || imm != 0 => Err(reserved("BPF_LDX")),
        Class::Stx if mode(insn) == 0xc0 => Ok(()),
        Class::Stx if mode(insn) != 0x60 || imm != 0 => Err(reserved("BPF_STX")),
        Class::St if mode(insn) != 0x60 || src != 0 => Err(reserved("BPF_ST")),
        Class::Ldx | Class::Stx | Class::St => Ok(()),
        Class::Jmp | Class::Jmp32 => {
            let wide = insn.class() == Class::Jmp;
            match code >> 4 {
                0x8 if is_reg || src != 2 && off != 0 || src > 2 || dst != 0 || !wide => {
                    Err(reserved("BPF_CALL"))
                }
                0x0 if is_reg && (src != 0 || imm != 0 || off != 0) => Err(reserved("BPF_JA|BPF_X")),
                0x0 if !is_reg && (src != 0 || dst != 0 || if wide { imm != 0 } else { off != 0 }) => {
                    Err(reserved("BPF_JA"))
                }
                0x9 if is_reg || imm != 0 || src != 0 || dst != 0 || !wide => Err(reserved("BPF_EXIT")),
                0xe if code != 0xe5 || src != 0 || dst != 0 || imm != 0 => {
                    Err(refused(format!("invalid may_goto imm {imm}")))
                }
                0x8 | 0x0 | 0x9 | 0xe => Ok(()),
                _ if if is_reg { imm != 0 } else { src != 0 } => Err(reserved("BPF_JMP/JMP32")),
                _ => Ok(()),
            }
        }
        Class::Ld => match mode(insn) {
            0x20 | 0x40 => {
                let is_absolute = mode(insn) == 0x20;
                if dst != 0 || off != 0 || code & 0x18 == 0x18 || is_absolute && src != 0 {
                    return Err(reserved("BPF_LD_[ABS|IND]"));
                }
                Ok(())
            }
            0x00 => Ok(()),
            _ => Err(refused("invalid BPF_LD mode")),
        },
    }
}

/// `check_alu_fields`.
fn check_alu(insn: Insn) -> Step {
    let Insn { src, off, imm, .. } = insn;
    let wide = insn.class() == Class::Alu64;
    let is_reg = insn.takes_register();
    match insn.opcode() >> 4 {
        0x8 if is_reg || src != 0 || off != 0 || imm != 0 => Err(reserved("BPF_NEG")),
        0xd if src != 0 || off != 0 || !matches!(imm, 16 | 32 | 64) || wide && is_reg => {
            Err(reserved("BPF_END"))
        }
        0xb if is_reg && wide && off == 1 => match imm {
            1 | 0x1_0000 => Ok(()),
            _ => Err(refused("addr_space_cast insn can only convert between address space 1 and 0")),
        },
        0xb if is_reg && (!matches!(off, 0 | 8 | 16) && (off != 32 || !wide) || imm != 0) => {
            Err(reserved("BPF_MOV"))
        }
        0xb if !is_reg && (src != 0 || off != 0) => Err(reserved("BPF_MOV")),
        0x8 | 0xb | 0xd => Ok(()),
        op => {
            let has_form = matches!(op, 0x3 | 0x9);
            let other = if is_reg { imm != 0 } else { src != 0 };
            if other || !matches!(off, 0 | 1) || off == 1 && !has_form {
                return Err(reserved("BPF_ALU"));
            }
            Ok(())
        }
    }
}
