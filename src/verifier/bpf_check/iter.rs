//! Iterators on the stack: made, asked for the next element, ended (`process_iter_arg`, `process_iter_next_call`).

use super::checker::Checker;
use super::dynptr::NoSlot;
use super::kfunc::{Call, Meta};
use super::refusal::{Step, Stop, Why};
use super::reg::{BtfOf, Byte, Flags, IterState, Kind, Reg, Slot, TypeRef};
use crate::btf::Kind as BtfKind;
use crate::errno::Errno;
use crate::kernel::kfunc_flags::KfuncFlags;

/// How the struct of an iterator is named (`ITER_PREFIX`).
const PREFIX: &str = "bpf_iter_";

/// An iterator's struct as an argument asks for it.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    ty: TypeRef,
    slots: usize,
}

/// What is where an iterator should be (`is_iter_reg_valid_init`).
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Iter(usize, usize),
    None,
    /// RCU protected it and does not any more.
    Unprotected,
}

impl Checker<'_, '_> {
    /// An iterator argument of a kfunc.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub(super) fn process_iter(&mut self, meta: &Meta, call: &mut Call, register: u8) -> Step {
        let reg = *self.reg(register);
        let refused = |message: String| Err(Stop::einval(Why::Iterator, message));
        if !matches!(reg.kind, Kind::Stack(_)) {
            return refused(format!(
                "{} expected pointer to an iterator on stack",
                self.argument_name(register)
            ));
        }
        let name = self.argument_number(register);
        let at = usize::from(register) - 1;
        let pointee = meta.params.get(at).and_then(|param| param.pointee.as_ref());
        let pointee =
            pointee.filter(|pointee| pointee.kind == BtfKind::Struct && pointee.name.starts_with(PREFIX));
        let Some(pointee) = pointee else {
            return refused(format!("expected valid iter pointer as {name}"));
        };
        let type_name = pointee.name[PREFIX.len()..].to_owned();
        let slots = usize::try_from(pointee.size.unwrap_or(0) / 8).unwrap_or(0);
        let ty = TypeRef { btf: BtfOf::Kernel(meta.home), id: pointee.id };
        let wanted = Wanted { ty, slots };
        if slots == 0 {
            return Err(Stop::unmodelled("an iterator without a size"));
        }
        if meta.has(KfuncFlags::ITER_NEW) {
            if !self.is_free_for_iter(&reg, slots)? {
                return refused(format!("expected uninitialized iter_{type_name} as {name}"));
            }
            self.write_slots(register, &reg, (slots * 8) as i32)?;
            return self.make_iter(meta, &reg, wanted);
        }
        let (frame, slot) = match self.initialized_iter(&reg, wanted)? {
            Found::Iter(frame, slot) => (frame, slot),
            Found::None => return refused(format!("expected an initialized iter_{type_name} as {name}")),
            Found::Unprotected => {
                let message = format!("expected an RCU CS when using {}", meta.name);
                return Err(Stop::refused(Why::Rcu, Errno::EPROTO, message));
            }
        };
        call.iter = Some((frame, slot));
        let iter = self.state.frames[frame].stack[slot].reg;
        call.reference(&iter);
        if meta.has(KfuncFlags::ITER_DESTROY) {
            self.end_iter(frame, slot, slots)?;
        }
        Ok(())
    }

    /// Nothing there is an iterator (`is_iter_reg_valid_uninit`).
    fn is_free_for_iter(&self, reg: &Reg, slots: usize) -> Step<bool> {
        let (frame, first) = match self.stack_object(reg, "iter", slots) {
            Ok(place) => place,
            Err(NoSlot::Beyond) => return Ok(true),
            Err(other) => return Err(other.into_stop(Why::Iterator)),
        };
        let stack = &self.state.frames[frame].stack;
        Ok(stack[first + 1 - slots..=first].iter().all(|slot| !slot.bytes.contains(&Byte::Iter)))
    }

    fn initialized_iter(&self, reg: &Reg, wanted: Wanted) -> Step<Found> {
        let (frame, first) = match self.stack_object(reg, "iter", wanted.slots) {
            Ok(place) => place,
            Err(NoSlot::Beyond) => return Ok(Found::None),
            Err(other) => return Err(other.into_stop(Why::Iterator)),
        };
        let stack = &self.state.frames[frame].stack;
        for at in 0..wanted.slots {
            let slot = &stack[first - at];
            // The kernel looks at the flags first, whatever the slot holds; only iterators are marked so, or pointers that were
            // stored and are not to be trusted.
            if slot.bytes[7] == Byte::Iter && slot.reg.flags.has(Flags::UNTRUSTED) {
                return Ok(Found::Unprotected);
            }
            if slot.bytes[7] != Byte::Iter && slot.is_spilled() && slot.reg.flags.has(Flags::UNTRUSTED) {
                return Err(Stop::unmodelled("a pointer where an iterator should be"));
            }
            let is_same = matches!(slot.reg.kind, Kind::StackIter { ty, .. } if ty == wanted.ty);
            if (slot.reg.ref_obj_id != 0) != (at == 0) || !is_same || slot.bytes != [Byte::Iter; 8] {
                return Ok(Found::None);
            }
        }
        Ok(Found::Iter(frame, first))
    }

    /// `mark_stack_slots_iter`.
    fn make_iter(&mut self, meta: &Meta, reg: &Reg, wanted: Wanted) -> Step {
        let place = self.stack_object(reg, "iter", wanted.slots);
        let (frame, first) = place.map_err(|error| error.into_stop(Why::Iterator))?;
        let id = self.acquire_reference(0);
        let flags = match meta.has(KfuncFlags::RCU_PROTECTED) {
            false => Flags::NONE,
            true if self.in_rcu() => Flags::RCU,
            true => Flags::UNTRUSTED,
        };
        let kind = Kind::StackIter { ty: wanted.ty, state: IterState::Active, depth: 0 };
        for at in 0..wanted.slots {
            let mut iter = Reg::new(kind, flags);
            if at == 0 {
                (iter.id, iter.ref_obj_id) = (id, id);
            }
            self.state.frames[frame].stack[first - at] = Slot { bytes: [Byte::Iter; 8], reg: iter };
        }
        Ok(())
    }

    /// `unmark_stack_slots_iter`.
    fn end_iter(&mut self, frame: usize, first: usize, slots: usize) -> Step {
        let id = self.state.frames[frame].stack[first].reg.ref_obj_id;
        self.release_reference(id)?;
        for at in 0..slots {
            self.state.frames[frame].stack[first - at] = Slot::invalid();
        }
        Ok(())
    }

    /// An iterator was asked for the next element: there is one, on a path that waits, or there is none, on this one
    /// (`process_iter_next_call`).
    ///
    /// # Errors
    /// Too many paths wait.
    pub(super) fn iter_next(&mut self, frame: usize, slot: usize) -> Step {
        let iter = self.state.frames[frame].stack[slot].reg;
        let Kind::StackIter { ty, state, depth } = iter.kind else {
            return Err(Stop::unmodelled("no iterator"));
        };
        if state == IterState::Active {
            let mut queued = self.state.clone();
            let waits = &mut queued.frames[frame].stack[slot].reg;
            waits.kind = Kind::StackIter { ty, state: IterState::Active, depth: depth + 1 };
            self.widen_imprecise(&mut queued, self.insn, true);
            let r0 = &mut queued.frame_mut().regs[0];
            r0.flags = r0.flags.without(Flags::MAYBE_NULL);
            self.push(queued, self.insn + 1)?;
        }
        let reg = &mut self.state.frames[frame].stack[slot].reg;
        reg.kind = Kind::StackIter { ty, state: IterState::Drained, depth };
        *self.reg_mut(0) = Reg::known(0);
        Ok(())
    }
}
