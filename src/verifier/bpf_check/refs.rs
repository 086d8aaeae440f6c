//! What is held and given back: references, locks, interrupt flags.

use super::checker::Checker;
use super::refusal::{Step, Stop, Why};
use super::reg::{Byte, Flags, Kind, Reg, Slot};
use super::rules::Era;
use super::state::{Held, HeldKind, LockPlace};

impl Checker<'_, '_> {
    /// A reference is taken (`acquire_reference`); its id.
    pub fn acquire_reference(&mut self, parent_id: u32) -> u32 {
        let id = self.new_id();
        let insn = self.insn;
        self.state.held.push(Held { kind: HeldKind::Pointer, id, insn, parent_id, place: None });
        id
    }

    /// A register holds a reference, or belongs to one (`reg_is_referenced`; before 7.2 `reg->ref_obj_id`).
    pub fn is_referenced(&self, reg: &Reg) -> bool {
        if self.rules.since(Era::V7_2) { self.state.holds(reg.ref_obj_id) } else { reg.ref_obj_id != 0 }
    }

    /// A lock is taken (`acquire_lock_state`).
    pub fn acquire_lock(&mut self, kind: HeldKind, id: u32, place: LockPlace) {
        let insn = self.insn;
        self.state.held.push(Held { kind, id, insn, parent_id: 0, place: Some(place) });
        self.state.active_locks += 1;
        self.state.active_lock = Some((id, place));
    }

    /// A lock is given back (`release_lock_state`); whether it was held.
    pub fn release_lock(&mut self, kind: HeldKind, id: u32, place: LockPlace) -> bool {
        let mut before = None;
        for at in 0..self.state.held.len() {
            let held = self.state.held[at];
            if held.kind == kind && held.id == id && held.place == Some(place) {
                self.state.held.remove(at);
                self.state.active_locks -= 1;
                self.state.active_lock = before;
                return true;
            }
            if held.kind.is_lock() {
                before = held.place.map(|place| (held.id, place));
            }
        }
        false
    }

    /// Interrupt flags are saved (`acquire_irq_state`); their id.
    pub fn acquire_irq(&mut self) -> u32 {
        let id = self.new_id();
        let insn = self.insn;
        self.state.held.push(Held { kind: HeldKind::Irq, id, insn, parent_id: 0, place: None });
        self.state.active_irq_id = id;
        id
    }

    /// Interrupt flags are restored (`release_irq_state`); false where they are not the innermost ones.
    pub fn release_irq(&mut self, id: u32) -> bool {
        if id != self.state.active_irq_id {
            return false;
        }
        let mut before = 0;
        for at in 0..self.state.held.len() {
            let held = self.state.held[at];
            if held.kind == HeldKind::Irq {
                if held.id == id {
                    self.state.held.remove(at);
                    self.state.active_irq_id = before;
                    return true;
                }
                before = held.id;
            }
        }
        false
    }

    /// A reference is given back without a look at registers (`release_reference_nomark`); whether it was held.
    pub fn forget_reference(&mut self, id: u32) -> bool {
        let held = &mut self.state.held;
        let found = held.iter().position(|held| held.kind == HeldKind::Pointer && held.id == id);
        found.map(|at| held.remove(at)).is_some()
    }

    /// A reference is given back: what belongs to it holds nothing any more (`release_reference`).
    ///
    /// # Errors
    /// Something that is held belongs to it.
    pub fn release_reference(&mut self, id: u32) -> Step {
        self.forget_reference(id);
        let later = self.rules.since(Era::V7_2);
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let child = |held: &&Held| held.kind == HeldKind::Pointer && held.parent_id == id;
            if let Some(held) = self.state.held.iter().find(child) {
                let message =
                    format!("Leaking reference id={} alloc_insn={}. Release it first.", held.id, held.insn);
                return Err(Stop::einval(Why::UnreleasedReference, message));
            }
            let mut derived = Vec::new();
            let mut belongs = |reg: &Reg| {
                let is_child = reg.parent_id == id;
                if is_child && reg.id != 0 && !derived.contains(&reg.id) {
                    derived.push(reg.id);
                }
                is_child || reg.ref_obj_id == id || later && reg.id == id
            };
            for frame in &mut self.state.frames {
                for reg in frame.regs.iter_mut().filter(|reg| reg.is_init()) {
                    if belongs(reg) {
                        *reg = Reg::unknown();
                    }
                }
                for at in 0..frame.stack.len() {
                    let slot = frame.stack[at];
                    match slot.bytes[7] {
                        Byte::Spill if belongs(&slot.reg) => frame.stack[at].reg = Reg::unknown(),
                        Byte::Dynptr if belongs(&slot.reg) => {
                            // Both halves go; the first one is at the lower address.
                            let other = match slot.reg.kind {
                                Kind::StackDynptr { first: true, .. } => at.checked_sub(1),
                                _ => Some(at + 1),
                            };
                            frame.stack[at] = Slot::invalid();
                            if let Some(other) = other.and_then(|other| frame.stack.get_mut(other)) {
                                *other = Slot::invalid();
                            }
                        }
                        _ => {}
                    }
                }
            }
            todo.extend(derived.into_iter().filter(|derived| *derived != id));
        }
        Ok(())
    }

    /// References that were never owned are gone where the lock is given back (`invalidate_non_owning_refs`).
    pub fn invalidate_non_owning(&mut self) {
        self.state.change_regs(|reg| reg.flags.has(Flags::NON_OWN_REF), |reg| *reg = Reg::unknown());
    }

    /// What RCU protected is not to be trusted any more.
    pub fn invalidate_rcu(&mut self) {
        let is_protected = |reg: &Reg| reg.flags.has(Flags::RCU);
        let mut lost = Flags::RCU.with(Flags::MAYBE_NULL);
        if self.rules.since(Era::V7_2) {
            lost = lost.with(Flags::NON_OWN_REF);
        }
        self.state.change_regs(is_protected, |reg| {
            reg.flags = reg.flags.without(lost).with(Flags::UNTRUSTED);
        });
        let is_unlocked = |slot: &Slot| slot.bytes[7] == Byte::Iter && slot.reg.flags.has(Flags::RCU);
        self.state.each_slot(|slot| {
            if is_unlocked(slot) {
                slot.reg.flags = slot.reg.flags.without(Flags::RCU).with(Flags::UNTRUSTED);
            }
        });
    }

    /// Code that runs here is protected by RCU (`in_rcu_cs`).
    pub fn in_rcu(&self) -> bool {
        let state = &self.state;
        // Sections without preemption or interrupts count since 7.3.
        let by_section = state.active_preempt_locks > 0 || state.active_irq_id != 0;
        state.active_rcu_locks > 0
            || state.active_locks > 0
            || !state.in_sleepable
            || by_section && self.rules.since(Era::V7_3)
    }

    /// Code that runs here may sleep (`in_sleepable_context`).
    pub fn may_sleep_here(&self) -> bool {
        let state = &self.state;
        state.active_rcu_locks == 0
            && state.active_preempt_locks == 0
            && state.active_locks == 0
            && state.active_irq_id == 0
            && state.in_sleepable
    }
}
