//! What is forgotten of a state before it is compared or kept.

use super::super::checker::Checker;
use super::super::reg::{Byte, Reg};
use super::super::state::{Frame, State};

impl Checker<'_, '_> {
    /// What is never read again is forgotten (`clean_verifier_state`).
    pub(super) fn clean_state(&mut self) {
        let last = self.state.current();
        let query = self.liveness.stack_query(&self.state, self.insn);
        for number in 0..=last {
            let at = if number == last { self.insn } else { self.state.frames[number + 1].callsite };
            let live = self.liveness.live_regs(at);
            let frame = &mut self.state.frames[number];
            for reg in 0..10 {
                if live & 1 << reg == 0 {
                    frame.regs[reg] = Reg::not_init();
                }
            }
            for slot in 0..frame.stack.len() {
                let low = self.liveness.is_stack_alive(&query, number, slot * 2);
                let high = self.liveness.is_stack_alive(&query, number, slot * 2 + 1);
                if !low || !high {
                    clean_slot(frame, slot, low, high);
                }
            }
        }
    }
}

/// Halves of a slot that are never read again are forgotten.
fn clean_slot(frame: &mut Frame, slot: usize, low: bool, high: bool) {
    let slot = &mut frame.stack[slot];
    let last = slot.bytes[7];
    if matches!(last, Byte::Dynptr | Byte::Iter | Byte::Irq) {
        return;
    }
    if !high {
        if low && last == Byte::Spill {
            if !slot.reg.is_scalar() || slot.reg.is_null() {
                return;
            }
            for byte in &mut slot.bytes[..4] {
                if *byte == Byte::Spill {
                    *byte = Byte::Misc;
                }
            }
        }
        slot.reg = Reg::not_init();
    }
    let start = if low { 4 } else { 0 };
    let end = if high { 4 } else { 8 };
    slot.bytes[start..end].fill(Byte::Poison);
}

impl State {
    /// No state, which stands in for one that was taken out.
    pub(super) fn empty() -> Self {
        let mut state = Self::new(Frame::new(0, usize::MAX, 0), false);
        state.frames.clear();
        state
    }

    /// No number matters yet to what comes after this state (`mark_all_scalars_imprecise`).
    pub(super) fn forget_precision(&mut self) {
        self.each_reg(|reg| {
            if reg.is_scalar() {
                reg.precise = false;
            }
        });
    }

    /// Numbers whose id nothing shares have none (`bpf_clear_singular_ids`).
    pub(super) fn clear_singular_ids(&mut self) {
        let mut ids: Vec<(u32, bool)> = Vec::new();
        self.each_reg(|reg| {
            if reg.is_scalar() && reg.id != 0 {
                match ids.iter_mut().find(|(id, _)| *id == reg.id) {
                    Some((_, is_shared)) => *is_shared = true,
                    None => ids.push((reg.id, false)),
                }
            }
        });
        if ids.iter().all(|(_, is_shared)| *is_shared) {
            return;
        }
        self.each_reg(|reg| {
            if reg.is_scalar() && reg.id != 0 && ids.contains(&(reg.id, false)) {
                reg.clear_id();
            }
        });
    }
}
