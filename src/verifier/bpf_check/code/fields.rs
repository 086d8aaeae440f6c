//! Fields of instructions that must be 0, or of a certain kind (`check_and_resolve_insns`, `check_insn_fields`).

use super::super::checker::Checker;
use super::super::prog::Link;
use super::super::refusal::{Step, Stop, Why};
use super::super::rules::Era;
use crate::insn::fields::{self, FieldFault};
use crate::insn::{FRAME_POINTER, Insn, Op, validate};

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
            if !all && fields::is_odd_load(insn) {
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
        if matches!(slot.op, Op::Branch { .. }) && !self.reg(slot.insn.dst.min(FRAME_POINTER)).is_init() {
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

/// `check_insn_fields`.
fn check_fields(insn: Insn) -> Step {
    match fields::fault(insn) {
        None => Ok(()),
        Some(FieldFault::Reserved(kind)) => Err(reserved(kind)),
        Some(FieldFault::MayGoto) => Err(refused(format!("invalid may_goto imm {}", insn.imm))),
        Some(FieldFault::AddressSpaces) => {
            Err(refused("addr_space_cast insn can only convert between address space 1 and 0"))
        }
        Some(FieldFault::Mode) => Err(refused("invalid BPF_LD mode")),
    }
}
