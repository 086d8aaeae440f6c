//! What is forgotten of a state before it is compared or kept.

use super::super::checker::Checker;
use super::super::liveness::Liveness;
use super::super::reg::{Byte, Reg, Slot};
use super::super::rules::Era;
use super::super::state::{Frame, State};
use super::equal::same_callsites;

impl Checker<'_, '_> {
    /// What is never read again is forgotten: from 7.1 on of the current state (`clean_verifier_state`), before of those that it
    /// will be compared with, once all paths from them were walked (`clean_live_states`).
    pub(super) fn clean_states(&mut self, bucket: usize) {
        let insn = self.insn;
        if self.rules.since(Era::V7_1) {
            clean(&self.liveness, &mut self.state, insn, Byte::Poison, clean_slot);
            return;
        }
        for at in 0..self.checkpoints.buckets[bucket].len() {
            let number = self.checkpoints.buckets[bucket][at];
            let node = self.checkpoints.get(number);
            let is_final = node.insn == insn
                && node.branches == 0
                && !node.cleaned
                && same_callsites(&node.state, &self.state)
                && !self.has_incomplete_marks(number);
            if is_final {
                let node = &mut self.checkpoints.nodes[number as usize];
                node.cleaned = true;
                clean(&self.liveness, &mut node.state, insn, Byte::Invalid, clean_whole_slot);
            }
        }
    }
}

/// Forgets what is never read again of a state before an instruction; `gone` is what becomes of bytes of the stack. A frame of
/// which nothing is left to forget stays shared with other states.
fn clean(
    liveness: &Liveness,
    state: &mut State,
    insn: usize,
    gone: Byte,
    clean_slot: impl Fn(&mut Frame, usize, bool, bool),
) {
    let last = state.current();
    let query = liveness.stack_query(state, insn);
    for number in 0..=last {
        let at = if number == last { insn } else { state.frames[number + 1].callsite };
        let live = liveness.live_regs(at);
        let live_stack = liveness.live_stack(&query, number);
        let held = &state.frames[number];
        let is_dead = |(reg, held): (usize, &Reg)| live & 1 << reg == 0 && held.is_init();
        let regs_clean = !held.regs[..10].iter().enumerate().any(is_dead);
        let mut dead =
            dead_slots(live_stack, held.stack.len()).filter(|(slot, ..)| !held.stack[*slot].is_all(gone));
        let first_dead = dead.next().map(|(slot, ..)| slot);
        drop(dead);
        if regs_clean && first_dead.is_none() {
            continue;
        }
        let frame = &mut state.frames[number];
        for (reg, held) in frame.regs[..10].iter_mut().enumerate() {
            if live & 1 << reg == 0 {
                *held = Reg::not_init();
            }
        }
        let Some(first_dead) = first_dead else { continue };
        for (slot, low, high) in dead_slots(live_stack, frame.stack.len()) {
            if slot >= first_dead && !frame.stack[slot].is_all(gone) {
                clean_slot(frame, slot, low, high);
            }
        }
    }
}

/// The slots of which a half, or both, are never read again, with whether its low and its high half are.
fn dead_slots(mut live: u128, slots: usize) -> impl Iterator<Item = (usize, bool, bool)> {
    (0..slots).filter_map(move |slot| {
        let halves = live as u8 & 3;
        live >>= 2;
        (halves != 3).then_some((slot, halves & 1 != 0, halves & 2 != 0))
    })
}

/// A slot that is never read again is forgotten.
fn clean_whole_slot(frame: &mut Frame, slot: usize, low: bool, high: bool) {
    if !low && !high {
        frame.stack[slot] = Slot::invalid();
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
        self.change_regs(|reg| reg.precise && reg.is_scalar(), |reg| reg.precise = false);
    }

    /// Numbers whose id nothing shares have none (`bpf_clear_singular_ids`).
    pub(super) fn clear_singular_ids(&mut self) {
        let mut ids: Vec<(u32, bool)> = Vec::new();
        for reg in self.all_regs().filter(|reg| reg.id != 0 && reg.is_scalar()) {
            match ids.iter_mut().find(|(id, _)| *id == reg.id) {
                Some((_, is_shared)) => *is_shared = true,
                None => ids.push((reg.id, false)),
            }
        }
        if ids.iter().all(|(_, is_shared)| *is_shared) {
            return;
        }
        let is_alone = |reg: &Reg| reg.id != 0 && reg.is_scalar() && ids.contains(&(reg.id, false));
        self.change_regs(is_alone, Reg::clear_id);
    }
}
