//! Spills around calls that are inlined, which do not count as stack (`mark_fastcall_patterns`).

use super::super::checker::Checker;
use super::super::liveness::calls;
use crate::insn::{LoadMode, Op, Operand, Width};

/// Keeps every offset out (`S16_MIN`).
const NEVER: i32 = i16::MIN as i32;

impl Checker<'_, '_> {
    /// Finds spills and fills around calls.
    pub(super) fn mark_fastcall_patterns(&mut self) {
        let summaries = calls::summaries(self);
        for number in 0..self.prog.subprogs.len() {
            let code = self.prog.subprogs[number].start..self.prog.subprogs[number].end;
            let lowest = code.clone().filter_map(|at| self.spill(at)).map(|(_, off)| off).min().unwrap_or(0);
            let lowest = lowest.min(0);
            for at in code {
                if matches!(self.prog.slots[at].op, Op::Call(_)) {
                    self.mark_pattern(number, at, lowest, &summaries[at]);
                }
            }
        }
    }

    /// A register that an instruction stores in the stack with all its bits, and where.
    fn spill(&self, at: usize) -> Option<(u8, i32)> {
        match self.prog.slots.get(at)?.op {
            Op::Store { to, value: Operand::Reg(reg), release: false } => {
                (to.base == 10 && to.width == Width::B8).then_some((reg, to.off.into()))
            }
            _ => None,
        }
    }

    /// A register that an instruction loads from the stack with all its bits, and from where.
    fn fill(&self, at: usize) -> Option<(u8, i32)> {
        match self.prog.slots.get(at)?.op {
            Op::Load { dst, from, mode: LoadMode::Plain } => {
                (from.base == 10 && from.width == Width::B8).then_some((dst, from.off.into()))
            }
            _ => None,
        }
    }

    fn mark_pattern(&mut self, subprog: usize, call: usize, lowest: i32, summary: &calls::Call) {
        let Some(params) = summary.params(self) else { return };
        let clobbered = (1_u32 << (params + 1).min(31)) - 1;
        let clobbered = if summary.is_void(self) { clobbered & !1 } else { clobbered };
        let mut expected = 0x3f & !clobbered;
        let mut off = lowest;
        let mut pairs = 0;
        for distance in 1..=6 {
            let Some(before) = call.checked_sub(distance) else { break };
            let after = call + distance;
            if self.is_jump_target(before + 1) || self.is_jump_target(after) {
                break;
            }
            let Some((reg, place)) = self.spill(before).filter(|spill| self.fill(after) == Some(*spill))
            else {
                break;
            };
            if expected & 1 << reg == 0 || place != off {
                break;
            }
            expected &= !(1 << reg);
            self.aux[before].is_fastcall = true;
            self.aux[after].is_fastcall = true;
            pairs += 1;
            off += 8;
        }
        if pairs == 0 {
            return;
        }
        let info = &mut self.subprogs[subprog];
        if summary.is_fastcall() {
            self.aux[call].fastcall_pairs = pairs;
        } else {
            info.keeps_fastcall = true;
        }
        info.fastcall_off = info.fastcall_off.min(off);
    }

    /// A jump leads to an instruction.
    fn is_jump_target(&self, at: usize) -> bool {
        self.liveness.is_jump_target(at)
    }

    /// An access to the stack of a function, at an offset from its frame pointer: what spills around inlined calls use is
    /// theirs alone (`check_fastcall_stack_contract`).
    pub fn check_fastcall_contract(&mut self, subprog: usize, off: i64) {
        let Some(info) = self.subprogs.get_mut(subprog) else { return };
        if i64::from(info.fastcall_off) <= off || self.aux[self.insn].is_fastcall {
            return;
        }
        info.fastcall_off = NEVER;
        let found = &self.prog.subprogs[subprog];
        for aux in &mut self.aux[found.start..found.end] {
            aux.is_fastcall = false;
            aux.fastcall_pairs = 0;
        }
    }

    /// Spills around inlined calls are taken out (`bpf_remove_fastcall_spills_fills`).
    pub(super) fn remove_fastcall_spills(&mut self) {
        for (subprog, info) in self.prog.subprogs.iter().zip(&mut self.subprogs) {
            let is_changed = self.aux[subprog.start..subprog.end].iter().any(|aux| aux.fastcall_pairs > 0);
            if is_changed && !info.keeps_fastcall {
                info.stack_depth = -i64::from(info.fastcall_off);
            }
        }
    }
}
