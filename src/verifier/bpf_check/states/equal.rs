//! Whether one state says all that another says (`states_equal`).

use super::super::liveness::Liveness;
use super::super::reg::{Byte, Kind, Linked, Reg, Slot, packed};
use super::super::rules::{Era, Rules};
use super::super::scalar::Scalar;
use super::super::state::{Frame, HeldKind, State};
use super::checkpoints::Checkpoint;

/// How closely states are compared (`enum exact_level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What did not matter may differ.
    NotExact,
    /// Nothing may differ.
    Exact,
    /// Numbers may be less, whether they mattered or not.
    RangeWithin,
}

/// Ids of the old state and what they are in the current one (`struct bpf_idmap`).
#[derive(Debug, Default)]
pub struct IdMap {
    pairs: Vec<(u64, u64)>,
    /// The last id given to a number of the current state that has none.
    made: u64,
}

/// Marks an id of which registers differ by a constant.
fn compound(reg: &Reg) -> u64 {
    match reg.linked {
        Linked::Equal => u64::from(reg.id),
        Linked::Add64(_) => u64::from(reg.id) | 1 << 41,
        Linked::Add32(_) => u64::from(reg.id) | 1 << 40,
    }
}

impl IdMap {
    /// Nothing is known; ids up to the last one that was given are taken.
    pub fn reset(&mut self, last_id: u32) {
        self.pairs.clear();
        self.made = u64::from(last_id);
    }

    fn check(&mut self, old: impl Into<u64>, cur: impl Into<u64>) -> bool {
        let (old, cur) = (old.into(), cur.into());
        if (old == 0) != (cur == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        for &(known, is) in &self.pairs {
            if known == old {
                return is == cur;
            }
            if is == cur {
                return false;
            }
        }
        self.pairs.push((old, cur));
        true
    }

    fn check_scalars(&mut self, old: &Reg, cur: &Reg) -> bool {
        if old.id == 0 {
            return true;
        }
        let mut base = u64::from(cur.id);
        let mut whole = compound(cur);
        if whole == 0 {
            self.made += 1;
            base = self.made;
            whole = self.made;
        }
        self.check(compound(old), whole) && (old.linked == Linked::Equal || self.check(old.id, base))
    }
}

/// They are of one type; what goes with it may differ.
fn same_type(old: &Reg, cur: &Reg) -> bool {
    std::mem::discriminant(&old.kind) == std::mem::discriminant(&cur.kind) && old.flags == cur.flags
}

/// All but ids is the same (`memcmp` up to `id`).
fn same_but_ids(old: &Reg, cur: &Reg) -> bool {
    old.kind == cur.kind && old.flags == cur.flags && old.value == cur.value && delta(old) == delta(cur)
}

fn delta(reg: &Reg) -> i32 {
    match reg.linked {
        Linked::Equal => 0,
        Linked::Add64(delta) | Linked::Add32(delta) => delta,
    }
}

/// The ids of pointers agree.
fn same_ids(rules: &Rules, old: &Reg, cur: &Reg, ids: &mut IdMap) -> bool {
    if rules.since(Era::V7_2) {
        ids.check(compound(old), compound(cur))
            && ids.check(old.parent_id, cur.parent_id)
            && ids.check(old.map_uid, cur.map_uid)
    } else {
        old.map_uid == cur.map_uid
            && old.parent_id == cur.parent_id
            && ids.check(compound(old), compound(cur))
            && ids.check(old.ref_obj_id, cur.ref_obj_id)
    }
}

fn regs_exact(rules: &Rules, old: &Reg, cur: &Reg, ids: &mut IdMap) -> bool {
    same_but_ids(old, cur) && same_ids(rules, old, cur, ids)
}

/// Every number that is possible now was possible then.
fn within(old: &Scalar, cur: &Scalar) -> bool {
    old.contains(cur)
}

/// What was safe with the old register is so with the current one.
fn regsafe(rules: &Rules, old: &Reg, cur: &Reg, ids: &mut IdMap, exact: Level) -> bool {
    if exact == Level::Exact {
        return regs_exact(rules, old, cur, ids);
    }
    let is_unused = rules.since(Era::V6_18) || exact == Level::NotExact || !cur.is_init();
    if !old.is_init() && is_unused {
        return true;
    }
    if !same_type(old, cur) {
        return false;
    }
    match old.kind {
        Kind::Scalar => {
            if !old.precise && exact == Level::NotExact {
                return true;
            }
            if old.id != 0 && std::mem::discriminant(&old.linked) != std::mem::discriminant(&cur.linked) {
                return false;
            }
            if old.linked != Linked::Equal && delta(old) != delta(cur) {
                return false;
            }
            ids.check_scalars(old, cur) && within(&old.value, &cur.value)
        }
        Kind::MapKey(_) | Kind::MapValue(_) | Kind::Mem(_) | Kind::Buf | Kind::TpBuffer => {
            old.kind == cur.kind && within(&old.value, &cur.value) && same_ids(rules, old, cur, ids)
        }
        Kind::Arena => true,
        _ => regs_exact(rules, old, cur, ids),
    }
}

/// What stack is read as from a byte on: a number that was stored, or anything.
fn scalar_of(slot: &Slot, from: usize, unbound: &'static Reg) -> Option<Reg> {
    if slot.bytes[from] == Byte::Spill && slot.reg.is_scalar() {
        return Some(slot.reg);
    }
    let is_misc = |byte: &Byte| matches!(byte, Byte::Misc | Byte::Invalid | Byte::Poison);
    slot.bytes[from..].iter().all(is_misc).then_some(*unbound)
}

/// Poison is no different from what was never written.
fn plain(byte: Byte) -> Byte {
    if byte == Byte::Poison { Byte::Invalid } else { byte }
}

fn stacksafe(rules: &Rules, old: &Frame, cur: &Frame, ids: &mut IdMap, exact: Level) -> bool {
    let unbound = unbound();
    // "bpf: allow states pruning for misc/invalid slots in iterator loops" (7.0); 6.18.15 walks such a loop to its limit.
    let compares_bytes = exact == Level::Exact || exact != Level::NotExact && !rules.since(Era::V7_0);
    for (number, slot) in old.stack.iter().enumerate() {
        let now = cur.stack.get(number);
        // What most slots are: nothing, or whole registers.
        if !compares_bytes {
            let bytes = packed(slot.bytes);
            if bytes == packed([Byte::Invalid; 8])
                || bytes == packed([Byte::Poison; 8])
                || bytes == packed([Byte::Misc; 8])
            {
                continue;
            }
            if bytes == packed([Byte::Spill; 8])
                && let Some(now) = now
                && packed(now.bytes) == bytes
            {
                if !regsafe(rules, &slot.reg, &now.reg, ids, exact) {
                    return false;
                }
                continue;
            }
        }
        let mut at = 0;
        while at < 8 {
            if compares_bytes {
                let same = now.is_some_and(|now| plain(slot.bytes[at]) == plain(now.bytes[at]));
                if !same {
                    return false;
                }
            }
            let byte = slot.bytes[at];
            if matches!(byte, Byte::Invalid | Byte::Poison | Byte::Misc) {
                at += 1;
                continue;
            }
            let Some(now) = now else { return false };
            if at == 0 || at == 4 && rules.since(Era::V7_1) {
                let scalars = scalar_of(slot, at, unbound).zip(scalar_of(now, at, unbound));
                if let Some((old, cur)) = scalars {
                    if !regsafe(rules, &old, &cur, ids, exact) {
                        return false;
                    }
                    break;
                }
            }
            if byte != now.bytes[at] {
                return false;
            }
            if at == 7 && !slots_safe(rules, slot, now, ids, exact) {
                return false;
            }
            at += 1;
        }
    }
    true
}

/// What lies in two slots of the same type.
fn slots_safe(rules: &Rules, slot: &Slot, now: &Slot, ids: &mut IdMap, exact: Level) -> bool {
    let (old, cur) = (&slot.reg, &now.reg);
    let new_ids = rules.since(Era::V7_2);
    match slot.bytes[7] {
        Byte::Spill => regsafe(rules, old, cur, ids, exact),
        Byte::Dynptr => {
            old.kind == cur.kind
                && if new_ids {
                    ids.check(old.id, cur.id) && ids.check(old.parent_id, cur.parent_id)
                } else {
                    ids.check(old.ref_obj_id, cur.ref_obj_id)
                }
        }
        Byte::Iter => {
            let same = match (old.kind, cur.kind) {
                (Kind::StackIter { ty, state, .. }, Kind::StackIter { ty: ty_now, state: state_now, .. }) => {
                    ty == ty_now && state == state_now
                }
                _ => false,
            };
            let id = |reg: &Reg| if new_ids { reg.id } else { reg.ref_obj_id };
            // Whether RCU still protects it was not compared before 7.2.
            same && (old.flags == cur.flags || !new_ids) && ids.check(id(old), id(cur))
        }
        Byte::Irq => {
            let id = |reg: &Reg| if new_ids { reg.id } else { reg.ref_obj_id };
            ids.check(id(old), id(cur)) && old.kind == cur.kind
        }
        Byte::Misc | Byte::Zero | Byte::Invalid | Byte::Poison => true,
    }
}

/// A number of which nothing is known.
fn unbound() -> &'static Reg {
    static UNBOUND: Reg = Reg::unknown();
    &UNBOUND
}

/// The same is held.
fn refsafe(rules: &Rules, old: &State, cur: &State, ids: &mut IdMap) -> bool {
    if old.held.len() != cur.held.len()
        || old.active_locks != cur.active_locks
        || old.active_preempt_locks != cur.active_preempt_locks
        || old.active_rcu_locks != cur.active_rcu_locks
        || !ids.check(old.active_irq_id, cur.active_irq_id)
    {
        return false;
    }
    let lock = |state: &State| state.active_lock.map_or((0, None), |(id, place)| (id, Some(place)));
    let ((old_id, old_place), (cur_id, cur_place)) = (lock(old), lock(cur));
    if !ids.check(old_id, cur_id) || old_place != cur_place {
        return false;
    }
    old.held.iter().zip(&cur.held).all(|(old, cur)| {
        ids.check(old.id, cur.id)
            && old.kind == cur.kind
            && match old.kind {
                HeldKind::Pointer => !rules.since(Era::V7_2) || ids.check(old.parent_id, cur.parent_id),
                HeldKind::Irq => true,
                HeldKind::Lock | HeldKind::ResLock | HeldKind::ResLockIrq => old.place == cur.place,
            }
    })
}

/// Does a checkpoint say all that the current state says.
pub fn states_equal(
    rules: &Rules,
    liveness: &Liveness,
    node: &Checkpoint,
    cur: &State,
    ids: &mut IdMap,
    exact: Level,
) -> bool {
    let old = &node.state;
    if old.frames.len() != cur.frames.len()
        || old.in_sleepable != cur.in_sleepable
        || !same_callsites(old, cur)
        || !refsafe(rules, old, cur, ids)
    {
        return false;
    }
    for (number, (frame, now)) in old.frames.iter().zip(&cur.frames).enumerate() {
        if frame.callsite != now.callsite || frame.callback_depth > now.callback_depth {
            return false;
        }
        let insn = old.frames.get(number + 1).map_or(node.insn, |above| above.callsite);
        // Before 6.16 what is dead was told by marks on states that were walked to their end alone.
        let unfinished = exact != Level::NotExact && !rules.since(Era::V6_16);
        let live = if unfinished { u16::MAX } else { liveness.live_regs(insn) };
        for (reg, (old, cur)) in frame.regs.iter().zip(&now.regs).enumerate() {
            if live & 1 << reg != 0 && !regsafe(rules, old, cur, ids, exact) {
                return false;
            }
        }
        if !stacksafe(rules, frame, now, ids, exact) {
            return false;
        }
    }
    true
}

/// They came by the same calls (`same_callsites`).
pub fn same_callsites(one: &State, other: &State) -> bool {
    one.frames.len() == other.frames.len()
        && one.frames.iter().zip(&other.frames).all(|(one, other)| one.callsite == other.callsite)
}

/// The registers of the current frame are the same to the last bit, ids included (`states_maybe_looping`).
pub fn states_maybe_looping(rules: &Rules, old: &State, cur: &State) -> bool {
    let same = |old: &Reg, cur: &Reg| {
        same_but_ids(old, cur)
            && compound(old) == compound(cur)
            && old.ref_obj_id == cur.ref_obj_id
            && (!rules.since(Era::V7_2) || old.parent_id == cur.parent_id)
            && old.map_uid == cur.map_uid
    };
    old.frames.len() == cur.frames.len()
        && old.frame().regs.iter().zip(&cur.frame().regs).all(|(old, cur)| same(old, cur))
}

/// A number that is not what it was a round before, and did not matter, is forgotten (`maybe_widen_reg`).
pub fn widen(old: &Reg, cur: &mut Reg) {
    if old.is_scalar() && cur.is_scalar() && !old.precise && !cur.precise && !same_but_ids(old, cur) {
        *cur = Reg::unknown();
    }
}
