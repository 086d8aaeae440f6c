//! Loads from and stores to the stack (`check_stack_read`, `check_stack_write`, `check_stack_range_initialized`).

use super::checker::Checker;
use super::mem::Access;
use super::names::register_name;
use super::refusal::{Step, Stop, Why};
use super::reg::{Byte, Kind, MAX_VAR_OFF, Reg, Slot};
use super::rules::Era;
use super::scalar::Scalar;
use super::state::MAX_STACK;
use crate::errno::Errno;

/// The slot and the byte in it that lie at an offset from the frame pointer.
fn place(off: i64) -> (usize, usize) {
    // SANITY: offsets were found to lie between -512 and -1.
    let at = (-off - 1) as usize;
    (at / 8, at % 8)
}

/// Bits of a number that may be set (`get_reg_width`).
fn bits(value: &Scalar) -> i64 {
    i64::from(64 - value.umax().leading_zeros())
}

/// Something may have been stored over a byte of a register (`scrub_spilled_slot`).
fn scrub(byte: &mut Byte) {
    if !matches!(*byte, Byte::Invalid | Byte::Poison) {
        *byte = Byte::Misc;
    }
}

/// What a slot held as a whole is gone (`scrub_special_slot`).
fn scrub_special(slot: &mut Slot) {
    slot.reg.kind = Kind::NotInit;
    if matches!(slot.bytes[7], Byte::Spill | Byte::Dynptr | Byte::Iter | Byte::Irq) {
        slot.bytes.iter_mut().for_each(scrub);
    }
}

/// A register is stored in a slot (`save_register_state`).
fn save(slot: &mut Slot, reg: &Reg, size: i64) {
    slot.reg = *reg;
    let kept = (8 - size) as usize;
    slot.bytes[kept..].fill(Byte::Spill);
    for byte in &mut slot.bytes[..kept] {
        if !matches!(*byte, Byte::Zero | Byte::Invalid | Byte::Poison) {
            *byte = Byte::Misc;
        }
    }
}

/// Who takes a piece of stack, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StackUse {
    /// An instruction loads from somewhere in it.
    Load,
    /// A helper or kfunc reads it.
    Read,
    /// A helper or kfunc may write to it, and reads it.
    Write,
    /// A helper or kfunc writes to it, whatever is there.
    Fill,
}

impl Checker<'_, '_> {
    /// The frame that a pointer to the stack points into.
    fn frame_of(&self, reg: &Reg) -> Step<usize> {
        match reg.kind {
            Kind::Stack(frame) if usize::from(frame) < self.state.frames.len() => Ok(frame.into()),
            _ => Err(Stop::unmodelled("a pointer to the stack of a function that has returned")),
        }
    }

    /// An access lies within a frame's stack, which grows to hold it (`check_stack_access_within_bounds`). `of_helper` gives the words
    /// that older kernels have for helpers.
    fn check_stack_bounds(
        &mut self,
        reg: &Reg,
        name: &str,
        off: i64,
        size: i64,
        write: bool,
        of_helper: bool,
    ) -> Step {
        let way = match (of_helper, write) {
            (true, _) => " indirect access to",
            (_, false) => " read from",
            (_, true) => " write to",
        };
        let fixed = reg.offset();
        let (min, max) = match fixed {
            Some(fixed) => (fixed.saturating_add(off), fixed.saturating_add(off).saturating_add(size)),
            None => {
                if reg.value.smax() >= MAX_VAR_OFF || reg.value.smin() <= -MAX_VAR_OFF {
                    let message = format!("invalid unbounded variable-offset{way} stack {name}");
                    return Err(Stop::eacces(Why::OutOfBounds, message));
                }
                (reg.value.smin() + off, reg.value.smax() + off + size)
            }
        };
        let errno = if !(-MAX_STACK..=-1).contains(&min) {
            Errno::EACCES
        } else if max > 0 {
            Errno::EINVAL
        } else if size < 0 {
            Errno::EFAULT
        } else {
            let frame = self.frame_of(reg)?;
            self.state.frames[frame].grow(-min);
            return Ok(());
        };
        let message = match fixed {
            Some(_) => format!("invalid{way} stack {name} off={min} size={size}"),
            None => {
                let var_off = reg.value.var_off();
                format!("invalid variable-offset{way} stack {name} var_off={var_off} off={off} size={size}")
            }
        };
        Err(Stop::refused(Why::OutOfBounds, errno, message))
    }

    /// A load from or store to the stack by an instruction.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_stack(&mut self, base: &Reg, access: Access) -> Step {
        let off = i64::from(access.off);
        let name = register_name(access.base);
        self.check_stack_bounds(base, name, off, access.size(), access.write, false)?;
        let frame = self.frame_of(base)?;
        let lowest = base.offset().unwrap_or_else(|| base.value.smin()).saturating_add(off);
        self.check_fastcall_contract(self.state.frames[frame].subprog, lowest);
        match (base.offset(), access.write) {
            (Some(fixed), true) => self.write_fixed(frame, fixed + off, access),
            (None, true) => self.write_variable(frame, base, off, access),
            (Some(fixed), false) => self.read_fixed(frame, fixed + off, access),
            (None, false) => match access.value {
                None => {
                    let message = format!(
                        "variable offset stack pointer cannot be passed into helper function; var_off={} off={off} size={}",
                        base.value.var_off(),
                        access.size()
                    );
                    Err(Stop::eacces(Why::OutOfBounds, message))
                }
                Some(register) => {
                    self.check_range(base, name, (off, access.size()), false, StackUse::Load)?;
                    let (min, max) = (base.value.smin() + off, base.value.smax() + off + access.size());
                    self.read_bytes(frame, min, max, register)
                }
            },
        }
    }

    /// A store at a known place (`check_stack_write_fixed_off`).
    fn write_fixed(&mut self, frame: usize, off: i64, access: Access) -> Step {
        let size = access.size();
        let (at, byte) = place(off);
        self.destroy_dynptr_at(frame, at)?;
        let stored = access.value.map(|register| *self.reg(register));
        let aligned = off % 8 == 0;
        match (stored, access.imm) {
            (Some(mut reg), _) if reg.is_scalar() && aligned => {
                let fits = bits(&reg.value) <= 8 * size;
                if fits && let Some(register) = access.value {
                    self.give_id(register);
                    reg = *self.reg(register);
                }
                let slot = &mut self.state.frames[frame].stack[at];
                save(slot, &reg, size);
                if !fits {
                    slot.reg.clear_id();
                }
            }
            (None, Some(imm)) if aligned => {
                let reg = Reg::known(i64::from(imm).cast_unsigned());
                save(&mut self.state.frames[frame].stack[at], &reg, size);
            }
            (Some(reg), _) if reg.is_pointer() && self.is_spillable(reg.kind) => {
                if size != 8 {
                    return Err(Stop::eacces(Why::Spill, "invalid size of register spill"));
                }
                if frame != self.state.current() && matches!(reg.kind, Kind::Stack(_)) {
                    let message = "cannot spill pointers to stack into stack frame of the caller";
                    return Err(Stop::einval(Why::Spill, message));
                }
                save(&mut self.state.frames[frame].stack[at], &reg, size);
            }
            _ => {
                scrub_special(&mut self.state.frames[frame].stack[at]);
                let is_zero = match (stored, access.imm) {
                    (Some(reg), _) => reg.is_null(),
                    (None, imm) => imm == Some(0),
                };
                if is_zero && let Some(register) = access.value {
                    self.mark_precise(register)?;
                }
                let kind = if is_zero { Byte::Zero } else { Byte::Misc };
                let slot = &mut self.state.frames[frame].stack[at];
                for step in 0..size as usize {
                    // SANITY: an access is aligned, so it stays in its slot; the address grows downwards in a slot.
                    slot.bytes[byte.wrapping_sub(step) % 8] = kind;
                }
                return Ok(());
            }
        }
        self.note_stack_access(frame, at);
        Ok(())
    }

    /// A pointer that is stored is still one when it is loaded again (`is_spillable_regtype`, up to 7.2).
    fn is_spillable(&self, kind: Kind) -> bool {
        self.rules.since(Era::V7_3) || !matches!(kind, Kind::TpBuffer | Kind::Dynptr(_))
    }

    /// A store somewhere in a range (`check_stack_write_var_off`).
    fn write_variable(&mut self, frame: usize, base: &Reg, off: i64, access: Access) -> Step {
        let (min, max) = (base.value.smin() + off, base.value.smax() + off + access.size());
        let is_zero = match access.value {
            Some(register) => self.reg(register).is_null(),
            None => access.imm == Some(0),
        };
        for off in min..max {
            self.destroy_dynptr_at(frame, place(off).0)?;
        }
        let mut zero_kept = false;
        // 6.18.15 leaves the other bytes of a slot as parts of a register that is gone; 6.12.118, 6.18.44 and 7.1 do not.
        let scrubs = self.rules.since(Era::V7_1) || self.rules.era == Era::V6_12;
        let mut places = (min..max).map(|off| place(off).0);
        if !scrubs && places.any(|at| self.state.frames[frame].stack[at].is_spilled()) {
            return Err(Stop::unmodelled("a write over what was spilled at no fixed place"));
        }
        for off in min..max {
            let (at, byte) = place(off);
            let slot = &mut self.state.frames[frame].stack[at];
            if is_zero && slot.bytes[byte] == Byte::Spill && slot.is_spilled_scalar() && slot.reg.is_null() {
                zero_kept = true;
                continue;
            }
            if scrubs {
                scrub_special(slot);
            } else {
                slot.reg.kind = Kind::NotInit;
            }
            let kept = is_zero && slot.bytes[byte] == Byte::Zero;
            zero_kept |= kept;
            slot.bytes[byte] = if kept { Byte::Zero } else { Byte::Misc };
        }
        match access.value {
            Some(register) if zero_kept => self.mark_precise(register),
            _ => Ok(()),
        }
    }

    /// What is loaded from bytes that hold no register as a whole (`mark_reg_stack_read`).
    fn read_bytes(&mut self, frame: usize, min: i64, max: i64, register: u8) -> Step {
        let spilled_zeros = self.rules.since(Era::V7_3);
        let mut precise = Vec::new();
        let all_zero = (min..max).all(|off| {
            let (at, byte) = place(off);
            let slot = &self.state.frames[frame].stack[at];
            match slot.bytes[byte] {
                Byte::Zero => true,
                Byte::Spill if spilled_zeros && slot.reg.is_null() => {
                    if !precise.contains(&at) {
                        precise.push(at);
                    }
                    true
                }
                _ => false,
            }
        });
        if !all_zero {
            *self.reg_mut(register) = Reg::unknown();
            return Ok(());
        }
        *self.reg_mut(register) = Reg::known(0);
        if precise.is_empty() { Ok(()) } else { self.mark_slots_precise(frame, &precise) }
    }

    /// Bytes may be read (uninitialized ones too: the program is privileged), but for those of dynptrs and the like.
    fn check_bytes(&self, frame: usize, off: i64, size: i64) -> Step {
        for step in 0..size {
            let (at, byte) = place(off + step);
            match self.state.frames[frame].stack[at].bytes[byte] {
                Byte::Misc | Byte::Zero | Byte::Invalid => {}
                Byte::Poison => {
                    let message = format!(
                        "reading from stack off {off}+{step} size {size}, slot poisoned by dead code elimination"
                    );
                    return Err(Stop::eacces(Why::UninitializedStack, message));
                }
                Byte::Spill if self.state.frames[frame].stack[at].is_spilled() => {}
                _ => {
                    let message = format!("invalid read from stack off {off}+{step} size {size}");
                    return Err(Stop::eacces(Why::UninitializedStack, message));
                }
            }
        }
        Ok(())
    }

    /// A load from a known place (`check_stack_read_fixed_off`).
    fn read_fixed(&mut self, frame: usize, off: i64, access: Access) -> Step {
        let size = access.size();
        let (at, _) = place(off);
        let slot = self.state.frames[frame].stack[at];
        if !slot.is_spilled() {
            self.check_bytes(frame, off, size)?;
            return match access.value {
                Some(register) => self.read_bytes(frame, off, off + size, register),
                None => Ok(()),
            };
        }
        let spilled = slot.bytes.iter().rev().take_while(|byte| **byte == Byte::Spill).count() as i64;
        let fill_ids = self.rules.since(Era::V7_0);
        if size == 8 && spilled == 8 {
            if let Some(register) = access.value {
                if fill_ids {
                    self.give_slot_id(frame, at);
                }
                *self.reg_mut(register) = self.state.frames[frame].stack[at].reg;
            }
            self.note_stack_access(frame, at);
            return Ok(());
        }
        if !slot.reg.is_scalar() {
            return Err(Stop::eacces(Why::Spill, "invalid size of register fill"));
        }
        let Some(register) = access.value else { return Ok(()) };
        if size <= spilled && off % 8 == 0 {
            if fill_ids && size == 4 && spilled == 4 && bits(&slot.reg.value) <= 32 {
                self.give_slot_id(frame, at);
            }
            let mut reg = self.state.frames[frame].stack[at].reg;
            if bits(&reg.value) > 8 * size {
                reg.clear_id();
            }
            *self.reg_mut(register) = reg;
            self.note_stack_access(frame, at);
            return Ok(());
        }
        self.check_bytes(frame, off, size)?;
        let count = |kind| {
            let is = |step: &i64| {
                let (at, byte) = place(off + *step);
                self.state.frames[frame].stack[at].bytes[byte] == kind
            };
            (0..size).filter(is).count() as i64
        };
        if count(Byte::Spill) == size && slot.reg.is_null() {
            *self.reg_mut(register) = Reg::known(0);
            self.note_stack_access(frame, at);
        } else if count(Byte::Zero) == size {
            *self.reg_mut(register) = Reg::known(0);
        } else if self.rules.since(Era::V7_3) {
            self.read_bytes(frame, off, off + size, register)?;
        } else {
            *self.reg_mut(register) = Reg::unknown();
        }
        Ok(())
    }

    /// A number gets an id, so that what is found out of a copy is found out of it too (`assign_scalar_id_before_mov`).
    pub fn give_id(&mut self, register: u8) {
        let mut reg = *self.reg(register);
        self.id_for(&mut reg);
        *self.reg_mut(register) = reg;
    }

    /// The same for a number in a slot of the stack.
    fn give_slot_id(&mut self, frame: usize, at: usize) {
        let mut reg = self.state.frames[frame].stack[at].reg;
        self.id_for(&mut reg);
        self.state.frames[frame].stack[at].reg = reg;
    }

    fn id_for(&mut self, reg: &mut Reg) {
        if !reg.is_scalar() {
            return;
        }
        if reg.linked != super::reg::Linked::Equal {
            reg.clear_id();
        }
        if reg.id == 0 && reg.value.constant().is_none() {
            reg.id = self.new_id();
        }
    }

    /// A helper or kfunc reads or writes the stack (`check_stack_range_initialized`). With `raw` what it reads may be
    /// uninitialized: the caller stores something there afterwards.
    ///
    /// # Errors
    /// It lies outside the stack, or is not initialized.
    #[expect(clippy::too_many_arguments, reason = "what a call gives away about a piece of memory")]
    pub fn check_stack_range(
        &mut self,
        reg: &Reg,
        name: &str,
        off: i64,
        size: i64,
        zero_ok: bool,
        write: bool,
        raw: bool,
    ) -> Step {
        let used = match (raw, write) {
            (true, _) => StackUse::Fill,
            (_, true) => StackUse::Write,
            _ => StackUse::Read,
        };
        self.check_range(reg, name, (off, size), zero_ok, used)
    }

    fn check_range(
        &mut self,
        reg: &Reg,
        name: &str,
        (off, size): (i64, i64),
        zero_ok: bool,
        used: StackUse,
    ) -> Step {
        if size == 0 && !zero_ok {
            return Err(Stop::eacces(Why::OutOfBounds, "invalid zero-sized read"));
        }
        // Before 6.16 nothing said what a helper does with the stack: each was taken to write.
        let older = !self.rules.since(Era::V6_16) && used != StackUse::Load;
        let clobber = used == StackUse::Write || older;
        let raw = used == StackUse::Fill;
        let writes = clobber || raw;
        self.check_stack_bounds(reg, name, off, size, writes, older)?;
        let frame = self.frame_of(reg)?;
        let fixed = reg.offset();
        let (min, max) = match fixed {
            Some(fixed) => (fixed + off, fixed + off + size),
            None => (reg.value.smin() + off, reg.value.smax() + off + size),
        };
        if raw && fixed.is_some() {
            if older {
                for off in min..max {
                    let (at, byte) = place(off);
                    if self.state.frames[frame].stack[at].bytes[byte] == Byte::Dynptr {
                        let message = format!("potential write to dynptr at off={off} disallowed");
                        return Err(Stop::eacces(Why::Dynptr, message));
                    }
                }
            }
            return Ok(());
        }
        for off in min..max {
            let (at, byte) = place(off);
            let slot = &mut self.state.frames[frame].stack[at];
            match slot.bytes[byte] {
                Byte::Misc => {}
                Byte::Zero | Byte::Invalid => {
                    if clobber {
                        slot.bytes[byte] = Byte::Misc;
                    }
                }
                _ if slot.is_spilled() => {
                    if clobber {
                        slot.reg = Reg::unknown();
                        slot.bytes.iter_mut().for_each(scrub);
                    }
                }
                Byte::Poison if clobber => {}
                kind => {
                    let (why, words) = match kind {
                        Byte::Poison => (Why::UninitializedStack, "reading from stack"),
                        _ if older => (Why::Dynptr, "invalid indirect read from stack"),
                        _ => (Why::Dynptr, "invalid read from stack"),
                    };
                    let end =
                        if kind == Byte::Poison { ", slot poisoned by dead code elimination" } else { "" };
                    let message = match fixed {
                        Some(_) => format!("{words} {name} off {min}+{} size {size}{end}", off - min),
                        None => {
                            let var_off = reg.value.var_off();
                            format!("{words} {name} var_off {var_off}+{} size {size}{end}", off - min)
                        }
                    };
                    return Err(Stop::eacces(why, message));
                }
            }
        }
        Ok(())
    }
}
