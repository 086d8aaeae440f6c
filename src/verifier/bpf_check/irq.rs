//! Interrupt flags on the stack (`process_irq_flag`), and the locks that save them.

use super::args::Argument;
use super::checker::Checker;
use super::dynptr::NoSlot;
use super::kfunc::{Meta, Special};
use super::refusal::{Step, Stop, Why};
use super::reg::{Byte, Flags, Kind, Reg, Slot};
use super::rules::Era;
use super::state::HeldKind;
use crate::errno::Errno;

impl Checker<'_, '_> {
    /// An argument that points to interrupt flags, which are saved or restored.
    ///
    /// # Errors
    /// They are not where they should be.
    pub(super) fn process_irq_flag(&mut self, meta: &Meta, register: u8) -> Step {
        let reg = *self.reg(register);
        let refused = |message: String| Err(Stop::einval(Why::Interrupts, message));
        if !matches!(reg.kind, Kind::Stack(_)) {
            return refused(format!(
                "{} doesn't point to an irq flag on stack",
                self.argument_name(register)
            ));
        }
        let (saves, of_lock) = match meta.special {
            Some(Special::LocalIrqSave) => (true, false),
            Some(Special::ResSpinLockIrqsave) => (true, true),
            Some(Special::LocalIrqRestore) => (false, false),
            Some(Special::ResSpinUnlockIrqrestore) => (false, true),
            _ => return Err(Stop::unmodelled("interrupt flags")),
        };
        let name = if self.rules.names_registers {
            self.argument_name(register)
        } else {
            format!("arg#{}", register - 1)
        };
        let place = self.stack_object(&reg, "irq_flag", 1);
        let bytes = |place: (usize, usize)| self.state.frames[place.0].stack[place.1].bytes;
        if saves {
            match place {
                Ok(place) if bytes(place).contains(&Byte::Irq) => {
                    return refused(format!("expected uninitialized irq flag as {name}"));
                }
                Ok(_) | Err(NoSlot::Beyond) => {}
                Err(other) => return Err(other.into_stop(Why::Interrupts)),
            }
            self.write_slots(register, &reg, 8)?;
            let place = self.stack_object(&reg, "irq_flag", 1);
            let (frame, slot) = place.map_err(|error| error.into_stop(Why::Interrupts))?;
            let mut saved = Reg::new(Kind::StackIrq { of_lock }, Flags::NONE);
            saved.id = self.acquire_irq();
            self.state.frames[frame].stack[slot] = Slot { bytes: [Byte::Irq; 8], reg: saved };
            return Ok(());
        }
        let (frame, slot) = match place {
            Ok(place) if bytes(place) == [Byte::Irq; 8] => place,
            Ok(_) | Err(NoSlot::Beyond) => {
                return refused(format!("expected an initialized irq flag as {name}"));
            }
            Err(other) => return Err(other.into_stop(Why::Interrupts)),
        };
        let saved = self.state.frames[frame].stack[slot].reg;
        let Kind::StackIrq { of_lock: was_of_lock } = saved.kind else {
            return Err(Stop::unmodelled("interrupt flags"));
        };
        if was_of_lock != of_lock {
            let class = |of_lock| if of_lock { "lock" } else { "native" };
            let (was, is) = (class(was_of_lock), class(of_lock));
            return refused(format!("irq flag acquired by {was} kfuncs cannot be restored with {is} kfuncs"));
        }
        if !self.release_irq(saved.id) {
            let active = self.state.active_irq_id;
            let found = self.state.held.iter().find(|held| held.id == active);
            let insn = found.map_or(0, |held| held.insn);
            let message = format!(
                "cannot restore irq state out of order, expected id={active} acquired at insn_idx={insn}"
            );
            return Err(Stop::refused(Why::Interrupts, Errno::EACCES, message));
        }
        self.state.frames[frame].stack[slot] = Slot::invalid();
        if self.rules.since(Era::V7_3) && !self.in_rcu() {
            self.invalidate_rcu();
        }
        Ok(())
    }

    /// A `bpf_res_spin_lock` is taken or given back.
    ///
    /// # Errors
    /// It is none, or not the one that may be taken or given back here.
    pub(super) fn process_res_spin_lock(&mut self, meta: &Meta, register: u8) -> Step {
        if self.in_rbtree_callback() {
            let message = "can't res_spin_{lock,unlock} in rbtree cb";
            return Err(Stop::eacces(Why::Lock, message));
        }
        let reg = *self.reg(register);
        let is_object = matches!(reg.kind, Kind::BtfId(_)) && reg.flags == Flags::ALLOC;
        let is_value = matches!(reg.kind, Kind::MapValue(_)) && reg.flags == Flags::NONE;
        if !is_object && !is_value {
            let name = self.argument_name(register);
            let message = format!("{name} doesn't point to map value or allocated object");
            return Err(Stop::einval(Why::Lock, message));
        }
        let (kind, takes) = match meta.special {
            Some(Special::ResSpinLock) => (HeldKind::ResLock, true),
            Some(Special::ResSpinUnlock) => (HeldKind::ResLock, false),
            Some(Special::ResSpinLockIrqsave) => (HeldKind::ResLockIrq, true),
            Some(Special::ResSpinUnlockIrqrestore) => (HeldKind::ResLockIrq, false),
            _ => return Err(Stop::unmodelled("a lock of another kind")),
        };
        self.process_spin_lock(Argument::in_register(register, &reg), kind, takes)
    }
}
