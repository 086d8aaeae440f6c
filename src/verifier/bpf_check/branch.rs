//! Jumps (`check_cond_jmp_op`, `check_indirect_jump`).

use super::checker::{Checker, Next};
use super::refusal::{Step, Stop, Why};
use super::reg::{Flags, Kind, Linked, MAX_VAR_OFF, MapRef, Reg};
use super::rules::Era;
use super::scalar::{self, Branch, Scalar};
use super::state::{Frame, State};
use super::states::LinkedReg;
use crate::insn::{Condition, Op, Operand};
use crate::object::MapType;

impl Checker<'_, '_> {
    /// A `may_goto` has fields that it does not use; from 7.1 on they were looked at before.
    fn has_odd_may_goto(&self) -> bool {
        let insn = self.slot().insn;
        insn.src != 0 || insn.dst != 0 || insn.imm != 0
    }

    /// A jump on a condition.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_branch(&mut self, op: Op) -> Step<Next> {
        match op {
            Op::Branch { condition, wide, left, right, off } => {
                let falls = self.insn + 1;
                let taken = falls.wrapping_add_signed(off.into());
                self.compare(condition, wide, left, right, (falls, taken))
            }
            Op::MayGoto(0) if !self.rules.since(Era::V6_16) => {
                let imm = self.slot().insn.imm;
                Err(Stop::einval(Why::Instruction, format!("invalid may_goto off 0 imm {imm}")))
            }
            Op::MayGoto(off) if self.has_odd_may_goto() => {
                let imm = self.slot().insn.imm;
                let off = if self.rules.since(Era::V6_16) { String::new() } else { format!("off {off} ") };
                Err(Stop::einval(Why::Instruction, format!("invalid may_goto {off}imm {imm}")))
            }
            Op::MayGoto(off) => {
                let falls = self.insn + 1;
                let mut waiting = self.state.clone();
                waiting.may_goto_depth += 1;
                self.widen_for_may_goto(&mut waiting);
                self.push(waiting, falls)?;
                Ok(Next::To(falls.wrapping_add_signed(off.into())))
            }
            _ => Err(Stop::unmodelled("a jump of another kind")),
        }
    }

    /// A jump through a table.
    ///
    /// # Errors
    /// It is not modelled.
    pub fn check_indirect_jump(&mut self, _to: u8) -> Step<Next> {
        Err(Stop::unmodelled("jumps through a table"))
    }

    fn compare(
        &mut self,
        condition: Condition,
        wide: bool,
        left: u8,
        right: Operand,
        (falls, taken): (usize, usize),
    ) -> Step<Next> {
        self.read(left)?;
        self.read_operand(right)?;
        let one = *self.reg(left);
        let two = match right {
            Operand::Reg(register) => *self.reg(register),
            Operand::Imm(imm) => Reg::known(i64::from(imm).cast_unsigned()),
        };
        let on_stack = |reg: &Reg| matches!(reg.kind, Kind::Stack(_));
        if on_stack(&one) || right.reg().is_some() && on_stack(&two) {
            self.note_stack_operands(on_stack(&one), on_stack(&two));
        }
        if one.kind == Kind::Packet || two.kind == Kind::Packet {
            return Err(Stop::unmodelled("comparisons of pointers to packets"));
        }
        let early = self.rules.since(Era::V7_1);
        let mut linked = Vec::new();
        if early {
            linked = self.collect_linked(left, right);
        }
        let branch = self.decide(condition, wide, (left, &one), (right, &two));
        if let Branch::Taken | Branch::Falls = branch {
            if one.is_scalar() {
                self.mark_precise(left)?;
            }
            if let Operand::Reg(register) = right
                && two.is_scalar()
            {
                self.mark_precise(register)?;
            }
        }
        let (there, here) = match branch {
            Branch::Taken => return Ok(Next::To(taken)),
            Branch::Falls => return Ok(Next::To(falls)),
            Branch::Both { taken, falls } => (taken, falls),
        };
        if !early {
            linked = self.collect_linked(left, right);
        }
        if linked.len() > 1 {
            self.note_linked(&linked);
        }
        let mut other = self.state.clone();
        set_operands(&mut self.state, left, right, here);
        set_operands(&mut other, left, right, there);
        if let Operand::Reg(register) = right {
            self.sync_linked(&mut other, register, &linked);
        }
        self.sync_linked(&mut other, left, &linked);
        self.learn_of_pointers(&mut other, condition, wide, left, right)?;
        self.push(other, taken)?;
        Ok(Next::To(falls))
    }

    /// Which ways a branch goes (`is_branch_taken`), with what is known of numbers on each.
    fn decide(
        &self,
        condition: Condition,
        wide: bool,
        (left, one): (u8, &Reg),
        (right, two): (Operand, &Reg),
    ) -> Branch {
        let both = {
            let same = (one.value, two.value);
            Branch::Both { taken: same, falls: same }
        };
        if one.is_scalar() && two.is_scalar() {
            let rules = &self.rules.scalar;
            if right == Operand::Reg(left) {
                return scalar::branch_of_one(condition, wide, &one.value, rules);
            }
            return scalar::branch(condition, wide, &one.value, &two.value, rules);
        }
        // The lower half of an address may be 0.
        if !wide {
            return both;
        }
        let (pointer, number, condition) = match two.constant() {
            Some(number) => (one, number, condition),
            None => match one.constant() {
                Some(number) => (two, number, scalar::flip(condition)),
                None => return both,
            },
        };
        if number != 0 || !self.is_not_null(pointer) {
            return both;
        }
        match condition {
            Condition::Eq => Branch::Falls,
            Condition::Ne => Branch::Taken,
            _ => both,
        }
    }

    /// A pointer is known not to be NULL (`reg_not_null`).
    fn is_not_null(&self, reg: &Reg) -> bool {
        if reg.may_be_null() || reg.value.smin() <= -MAX_VAR_OFF || reg.value.smax() >= MAX_VAR_OFF {
            return false;
        }
        match reg.kind {
            Kind::Socket
            | Kind::TcpSock
            | Kind::XdpSock
            | Kind::SockCommon
            | Kind::Buf
            | Kind::MapValue(_)
            | Kind::MapKey(_)
            | Kind::MapPtr(_) => true,
            Kind::BtfId(_) => self.is_trusted(reg),
            Kind::Mem(_) => !reg.flags.has(Flags::UNTRUSTED) || !self.rules.since(Era::V6_17),
            _ => false,
        }
    }

    /// What a comparison of pointers says: with NULL, or with another (the end of `check_cond_jmp_op`).
    fn learn_of_pointers(
        &mut self,
        other: &mut State,
        condition: Condition,
        wide: bool,
        left: u8,
        right: Operand,
    ) -> Step {
        let is_equality = matches!(condition, Condition::Eq | Condition::Ne);
        if !wide || !is_equality {
            return Ok(());
        }
        let one = *self.reg(left);
        if let Operand::Reg(register) = right {
            let two = *self.reg(register);
            let is_struct = |reg: &Reg| matches!(reg.kind, Kind::BtfId(_));
            if one.is_pointer() && two.is_pointer() && !is_struct(&one) && !is_struct(&two) {
                let (learn_two, learn_one) = (self.is_not_null(&one), self.is_not_null(&two));
                let equal = if condition == Condition::Eq { &mut *other } else { &mut self.state };
                let regs = &mut equal.frame_mut().regs;
                for (learns, at) in [(learn_two, register), (learn_one, left)] {
                    let reg = &mut regs[usize::from(at)];
                    if learns && reg.may_be_null() {
                        reg.flags = reg.flags.without(Flags::MAYBE_NULL);
                    }
                }
            }
        }
        if !one.may_be_null() {
            return Ok(());
        }
        let with_null = match right {
            Operand::Imm(imm) => imm == 0,
            Operand::Reg(register) => self.reg(register).is_null(),
        };
        if !with_null {
            return Ok(());
        }
        if let Operand::Reg(register) = right
            && self.rules.since(Era::V7_3)
        {
            self.mark_precise(register)?;
        }
        let keeps_id = self.rules.since(Era::V7_2);
        let id = one.id;
        let mut here = std::mem::replace(&mut self.state, State::new(Frame::new(0, 0, 0), false));
        let mut not_null = |reg: &mut Reg| {
            reg.flags = reg.flags.without(Flags::MAYBE_NULL);
            if let Kind::MapValue(map) = reg.kind
                && !self.rules.since(Era::V7_3)
            {
                self.looked_up(reg, map);
            }
            if !keeps_id && !self.may_hold_lock(reg) {
                reg.id = 0;
            }
        };
        mark_null(&mut here, id, condition == Condition::Ne, &mut not_null);
        mark_null(other, id, condition == Condition::Eq, &mut not_null);
        self.state = here;
        Ok(())
    }

    /// What was looked up in a map is no value of it but what that stands for (`mark_ptr_not_null_reg`; from 7.3 on it is so from the
    /// lookup on).
    fn looked_up(&self, reg: &mut Reg, map: MapRef) {
        use super::record::FieldKind;
        let info = &self.object[map.map];
        if map.inner {
            return;
        }
        if info.inner.is_some() {
            let inner = MapRef { inner: true, ..map };
            reg.kind = Kind::MapPtr(inner);
            let later = |kind| matches!(kind, FieldKind::Timer | FieldKind::Workqueue | FieldKind::TaskWork);
            if self.records.of_map(inner).is_none_or(|record| record.has(later)) {
                reg.map_uid = reg.id;
            }
        } else if info.map_type == MapType::XSKMAP {
            reg.kind = Kind::XdpSock;
        } else if matches!(info.map_type, MapType::SOCKMAP | MapType::SOCKHASH) {
            reg.kind = Kind::Socket;
        }
    }

    /// A pointer's object may have a lock in it, so that its id is kept (`reg_may_point_to_spin_lock`).
    fn may_hold_lock(&self, reg: &Reg) -> bool {
        use super::record::FieldKind;
        let is_lock = |kind| matches!(kind, FieldKind::SpinLock | FieldKind::ResSpinLock);
        match reg.kind {
            Kind::MapValue(map) => self.records.of_map(map).is_none_or(|record| record.has(is_lock)),
            Kind::BtfId(_) => reg.flags.has(Flags::ALLOC),
            _ => false,
        }
    }

    /// Registers that hold the same number as one that is compared (`collect_linked_regs`).
    fn collect_linked(&mut self, left: u8, right: Operand) -> Vec<LinkedReg> {
        let most = self.rules.most_linked();
        let mut found = Vec::new();
        let ids = [right.reg(), Some(left)].into_iter().flatten().map(|register| {
            let reg = self.reg(register);
            if reg.is_scalar() { reg.id } else { 0 }
        });
        let ids: Vec<u32> = ids.filter(|id| *id != 0).collect();
        let filters = self.rules.since(Era::V7_1);
        for id in ids {
            let last = self.state.current();
            for number in (0..=last).rev() {
                let at = if number == last { self.insn } else { self.state.frames[number + 1].callsite };
                let live = &self.liveness;
                if !self.state.frames[number].all_regs().any(|reg| reg.id == id && reg.is_scalar()) {
                    continue;
                }
                let frame = &mut self.state.frames[number];
                let mut take = |reg: &mut Reg, linked: LinkedReg| {
                    if !reg.is_scalar() || reg.id != id {
                        return;
                    }
                    if found.contains(&linked) {
                        return;
                    }
                    if found.len() < most {
                        found.push(linked);
                    } else {
                        reg.clear_id();
                    }
                };
                for register in 0..10 {
                    if !filters || live.is_live(at, register) {
                        let linked = LinkedReg { frame: number, is_reg: true, at: register.into() };
                        take(&mut frame.regs[usize::from(register)], linked);
                    }
                }
                for (at, slot) in frame.stack.iter_mut().enumerate().filter(|(_, slot)| slot.is_spilled()) {
                    take(&mut slot.reg, LinkedReg { frame: number, is_reg: false, at });
                }
            }
        }
        found
    }

    /// What a branch says of a number, it says of those that are linked to it, on both ways (`sync_linked_regs`).
    fn sync_linked(&mut self, other: &mut State, register: u8, linked: &[LinkedReg]) {
        let rules = self.rules;
        for state in [&mut self.state, other] {
            let known = state.frame().regs[usize::from(register)];
            if !known.is_scalar() || known.id == 0 {
                continue;
            }
            let current = state.current();
            for link in linked {
                if link.is_reg && link.frame == current && link.at == usize::from(register) {
                    continue;
                }
                let reg = if link.is_reg {
                    &mut state.frames[link.frame].regs[link.at]
                } else {
                    &mut state.frames[link.frame].stack[link.at].reg
                };
                if !reg.is_scalar() || reg.id != known.id {
                    continue;
                }
                let delta = |linked| match linked {
                    Linked::Equal => 0,
                    Linked::Add64(delta) | Linked::Add32(delta) => i64::from(delta),
                };
                let (to, from) = (reg.linked, known.linked);
                let mixed = matches!(
                    (to, from),
                    (Linked::Add64(_), Linked::Add32(_)) | (Linked::Add32(_), Linked::Add64(_))
                );
                if mixed {
                    continue;
                }
                if to == Linked::Equal && from == Linked::Equal || delta(to) == delta(from) {
                    *reg = known;
                    continue;
                }
                let low = matches!(to, Linked::Add32(_)) || matches!(from, Linked::Add32(_));
                let distance = delta(to) - delta(from);
                let value = if rules.since(Era::V7_0) {
                    known.value.linked(distance, low, &rules.scalar)
                } else {
                    {
                        let mut value = known.value;
                        value.plus(Scalar::known(distance.cast_unsigned()), &rules.scalar);
                        value
                    }
                };
                *reg = Reg { value, linked: to, ..known };
            }
        }
    }
}

/// What is known of the operands of a branch.
fn set_operands(state: &mut State, left: u8, right: Operand, (one, two): (Scalar, Scalar)) {
    let regs = &mut state.frame_mut().regs;
    let mut set = |register: u8, value| {
        let reg = &mut regs[usize::from(register)];
        if reg.is_scalar() {
            reg.value = value;
        }
    };
    set(left, one);
    if let Operand::Reg(register) = right {
        set(register, two);
    }
}

/// Pointers of an id are NULL on this way, or are not (`mark_ptr_or_null_regs`).
fn mark_null(state: &mut State, id: u32, is_null: bool, not_null: &mut impl FnMut(&mut Reg)) {
    if is_null {
        let held = |held: &super::state::Held| held.kind == super::state::HeldKind::Pointer && held.id == id;
        if let Some(at) = state.held.iter().position(held) {
            state.held.remove(at);
        }
    }
    let is_meant = |reg: &Reg| reg.id == id && reg.may_be_null();
    match is_null {
        true => state.change_regs(is_meant, |reg| *reg = Reg::known(0)),
        false => state.change_regs(is_meant, not_null),
    }
}
