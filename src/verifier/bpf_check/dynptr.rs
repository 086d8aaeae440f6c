//! Dynptrs: on the stack, made, read and given back (`process_dynptr_func` and what it calls).

use super::checker::Checker;
use super::mem::Access;
use super::refusal::{Step, Stop, Why};
use super::reg::{Byte, DynptrKind, Flags, Kind, Reg, Slot};
use super::rules::Era;
use crate::errno::Errno;
use crate::insn::Width;

/// Bytes of a dynptr (`BPF_DYNPTR_SIZE`).
const DYNPTR_SIZE: i32 = 16;
/// Slots that a dynptr takes (`BPF_DYNPTR_NR_SLOTS`).
const DYNPTR_SLOTS: usize = 2;

/// Why an object on the stack is not where it should be (`stack_slot_obj_get_spi`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSlot {
    /// It cannot be there; the kernel's words.
    Misplaced(String),
    /// The stack does not reach there yet (`-ERANGE`).
    Beyond,
    /// What this kernel does there is not known.
    Unclear,
}

/// What a call does with a dynptr that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynptrUse {
    /// Makes one (`MEM_UNINIT`).
    Makes(DynptrKind),
    /// Uses one that was made, of any kind or of that kind.
    Reads(Option<DynptrKind>),
    /// Gives one back (`OBJ_RELEASE`), of any kind or of that kind.
    Releases(Option<DynptrKind>),
}

/// A dynptr that a call was given (`struct bpf_dynptr_desc`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenDynptr {
    /// What it points to.
    pub kind: DynptrKind,
    /// Its id, which slices name.
    pub id: u32,
    /// What it is derived from.
    pub parent_id: u32,
    /// The reference that it holds, up to 7.1.
    pub ref_obj_id: u32,
}

impl DynptrKind {
    /// Is there something to give back (`dynptr_type_referenced`).
    pub fn is_referenced(self) -> bool {
        matches!(self, Self::Ringbuf | Self::File)
    }

    /// The flag of slices (`get_dynptr_type_flag`).
    pub fn flag(self) -> Flags {
        match self {
            Self::Local => Flags::DYNPTR_LOCAL,
            Self::Ringbuf => Flags::DYNPTR_RINGBUF,
            Self::Skb => Flags::DYNPTR_SKB,
            Self::Xdp => Flags::DYNPTR_XDP,
            Self::SkbMeta => Flags::DYNPTR_SKB_META,
            Self::File => Flags::DYNPTR_FILE,
        }
    }

    /// As messages name it (`dynptr_type_str`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Ringbuf => "ringbuf",
            Self::Skb => "skb",
            Self::Xdp => "xdp",
            Self::SkbMeta => "skb_meta",
            Self::File => "file",
        }
    }
}

impl Checker<'_, '_> {
    /// The slot of an object on the stack that a register points to (`stack_slot_obj_get_spi`): the one at the lowest address, and
    /// those that follow it have lower numbers.
    ///
    /// # Errors
    /// It cannot be there.
    pub fn stack_object(&self, reg: &Reg, what: &str, slots: usize) -> Result<(usize, usize), NoSlot> {
        let Kind::Stack(frame) = reg.kind else { return Err(NoSlot::Unclear) };
        let Some(off) = reg.offset() else {
            return Err(NoSlot::Misplaced(format!("{what} has to be at a constant offset")));
        };
        // The kernel takes 32 bits of it.
        let off = i64::from(off as i32);
        let misplaced = || NoSlot::Misplaced(format!("cannot pass in {what} at an offset={off}"));
        if off % 8 != 0 {
            return Err(misplaced());
        }
        if off >= 0 {
            return Err(if self.rules.since(Era::V7_2) { misplaced() } else { NoSlot::Unclear });
        }
        let slot = usize::try_from((-off - 1) / 8).unwrap_or(usize::MAX);
        if slot.saturating_add(1) < slots {
            return Err(misplaced());
        }
        let frame = usize::from(frame);
        let has = self.state.frames.get(frame).map_or(0, |frame| frame.stack.len());
        if slot >= has {
            return Err(NoSlot::Beyond);
        }
        Ok((frame, slot))
    }

    fn dynptr_at(&self, reg: &Reg) -> Result<(usize, usize), NoSlot> {
        self.stack_object(reg, "dynptr", DYNPTR_SLOTS)
    }

    /// Bytes of a slot are overwritten: a dynptr that had part of it is gone (`destroy_if_dynptr_stack_slot`).
    ///
    /// # Errors
    /// It holds a reference that nothing else would give back.
    pub fn destroy_dynptr_at(&mut self, frame: usize, slot: usize) -> Step {
        let stack = self.state.frames.get(frame).map_or(&[][..], |frame| &frame.stack);
        let Some(found) = stack.get(slot).filter(|slot| slot.bytes[0] == Byte::Dynptr) else { return Ok(()) };
        let Kind::StackDynptr { first: is_first, .. } = found.reg.kind else { return Ok(()) };
        let first = if is_first { slot } else { slot + 1 };
        let Some(reg) = stack.get(first).map(|slot| slot.reg) else { return Ok(()) };
        let Kind::StackDynptr { kind, .. } = reg.kind else { return Ok(()) };
        let later = self.rules.since(Era::V7_2);
        if kind.is_referenced() {
            let clones = self.dynptrs_of(if later { reg.parent_id } else { reg.ref_obj_id });
            if clones > 1 && !later && self.rules.since(Era::V6_16) {
                return Err(Stop::unmodelled("a dynptr that is overwritten while there is a clone of it"));
            }
            if clones <= 1 || !later {
                return Err(Stop::einval(Why::Dynptr, "cannot overwrite referenced dynptr"));
            }
        }
        self.invalidate_dynptr(frame, first);
        if later {
            return self.release_reference(reg.id);
        }
        // Slices of kfuncs have flags that the kernel does not look for.
        let is_meant = |slice: &Reg| {
            let is_plain =
                matches!(slice.kind, Kind::Mem(_)) && slice.flags.without(Flags::MAYBE_NULL) == Flags::NONE;
            is_plain && slice.parent_id == reg.id
        };
        self.state.change_regs(is_meant, |slice| *slice = Reg::unknown());
        Ok(())
    }

    /// How many dynptrs on the stack hold a reference (`dynptr_ref_cnt`).
    fn dynptrs_of(&self, reference: u32) -> usize {
        let later = self.rules.since(Era::V7_2);
        let slots = self.state.frames.iter().flat_map(|frame| &frame.stack);
        let holds = |slot: &&Slot| {
            let of = if later { slot.reg.parent_id } else { slot.reg.ref_obj_id };
            matches!(slot.reg.kind, Kind::StackDynptr { first: true, .. })
                && slot.bytes[0] == Byte::Dynptr
                && of == reference
        };
        slots.filter(holds).count()
    }

    /// Both halves of a dynptr hold nothing any more (`invalidate_dynptr`).
    fn invalidate_dynptr(&mut self, frame: usize, first: usize) {
        let Some(frame) = self.state.frames.get_mut(frame) else { return };
        for slot in [Some(first), first.checked_sub(1)].into_iter().flatten() {
            if let Some(slot) = frame.stack.get_mut(slot) {
                *slot = Slot::invalid();
            }
        }
    }

    /// A dynptr argument of a call (`process_dynptr_func`); what was given, where it was made before. A dynptr that is made
    /// belongs to `parent`, a reference or 0, or shares what `clone_of` has.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn process_dynptr(
        &mut self,
        register: u8,
        usage: DynptrUse,
        parent: u32,
        clone_of: Option<GivenDynptr>,
    ) -> Step<Option<GivenDynptr>> {
        let reg = *self.reg(register);
        let name = self.argument_name(register);
        let is_const = matches!(reg.kind, Kind::Dynptr(_));
        if !is_const && !matches!(reg.kind, Kind::Stack(_)) {
            let message = format!("{name} expected pointer to stack or const struct bpf_dynptr");
            return Err(Stop::einval(Why::Dynptr, message));
        }
        match usage {
            DynptrUse::Makes(kind) => {
                self.make_dynptr(register, &reg, kind, parent, clone_of)?;
                return Ok(None);
            }
            DynptrUse::Releases(_) if is_const && self.rules.since(Era::V7_2) => {
                return Err(Stop::einval(Why::Dynptr, "CONST_PTR_TO_DYNPTR cannot be released"));
            }
            _ => {}
        }
        let expected = match usage {
            DynptrUse::Reads(kind) | DynptrUse::Releases(kind) => kind,
            DynptrUse::Makes(kind) => Some(kind),
        };
        let found = self.initialized_dynptr(&reg)?;
        let name = self.argument_number(register);
        let Some(given) = found else {
            let message = format!("Expected an initialized dynptr as {name}");
            return Err(Stop::einval(Why::Dynptr, message));
        };
        if let Some(expected) = expected.filter(|expected| *expected != given.kind) {
            let message = format!("Expected a dynptr of type {} as {name}", expected.as_str());
            return Err(Stop::einval(Why::Dynptr, message));
        }
        Ok(Some(given))
    }

    /// The dynptr that a register points to, if there is one (`is_dynptr_reg_valid_init`).
    ///
    /// # Errors
    /// It cannot be there, which has words of its own.
    pub fn initialized_dynptr(&self, reg: &Reg) -> Step<Option<GivenDynptr>> {
        let given = |reg: &Reg, kind| GivenDynptr {
            kind,
            id: reg.id,
            parent_id: reg.parent_id,
            ref_obj_id: reg.ref_obj_id,
        };
        if let Kind::Dynptr(kind) = reg.kind {
            return Ok(Some(given(reg, kind)));
        }
        let (frame, first) = match self.dynptr_at(reg) {
            Ok(place) => place,
            Err(NoSlot::Beyond) => return Ok(None),
            Err(other) => return Err(other.into_stop(Why::Dynptr)),
        };
        let stack = &self.state.frames[frame].stack;
        let whole = |slot: usize| stack.get(slot).is_some_and(|slot| slot.bytes == [Byte::Dynptr; 8]);
        let slot = &stack[first];
        Ok(match slot.reg.kind {
            Kind::StackDynptr { kind, first: true } if whole(first) && first > 0 && whole(first - 1) => {
                Some(given(&slot.reg, kind))
            }
            _ => None,
        })
    }

    /// A dynptr is made on the stack (`is_dynptr_reg_valid_uninit`, `mark_stack_slots_dynptr`).
    fn make_dynptr(
        &mut self,
        register: u8,
        reg: &Reg,
        kind: DynptrKind,
        parent: u32,
        clone_of: Option<GivenDynptr>,
    ) -> Step {
        if matches!(reg.kind, Kind::Dynptr(_)) {
            if !self.rules.since(Era::V7_2) {
                return Err(Stop::unmodelled("a constant dynptr that is to be made"));
            }
            return Err(Stop::einval(Why::Dynptr, "Dynptr has to be an uninitialized dynptr"));
        }
        match self.dynptr_at(reg) {
            Ok(_) | Err(NoSlot::Beyond) => {}
            Err(other) => return Err(other.into_stop(Why::Dynptr)),
        }
        self.write_slots(register, reg, DYNPTR_SIZE)?;
        let place = self.dynptr_at(reg);
        let (frame, first) = place.map_err(|error| error.into_stop(Why::Dynptr))?;
        self.destroy_dynptr_at(frame, first)?;
        self.destroy_dynptr_at(frame, first - 1)?;
        let mut made = Reg::new(Kind::StackDynptr { kind, first: true }, Flags::NONE);
        if self.rules.since(Era::V7_2) {
            made.parent_id = match clone_of {
                Some(original) => original.parent_id,
                None if kind.is_referenced() => self.acquire_reference(parent),
                None => parent,
            };
            made.id = self.new_id();
        } else {
            made.id = self.new_id();
            if kind.is_referenced() {
                made.ref_obj_id = match clone_of {
                    Some(original) => original.ref_obj_id,
                    None => self.acquire_reference(0),
                };
            }
        }
        let stack = &mut self.state.frames[frame].stack;
        stack[first] = Slot { bytes: [Byte::Dynptr; 8], reg: made };
        made.kind = Kind::StackDynptr { kind, first: false };
        stack[first - 1] = Slot { bytes: [Byte::Dynptr; 8], reg: made };
        Ok(())
    }

    /// A call writes an object of its own to the stack, slot by slot.
    ///
    /// # Errors
    /// It lies outside the stack, or something there must not be overwritten.
    pub fn write_slots(&mut self, register: u8, reg: &Reg, bytes: i32) -> Step {
        for off in (0..bytes).step_by(8) {
            let access = Access {
                base: register,
                off,
                width: Width::B8,
                write: true,
                value: None,
                imm: None,
                sign: false,
                strict: false,
            };
            self.check_mem_access(reg, access)?;
        }
        Ok(())
    }

    /// A dynptr on the stack is given back, with what is derived from it (`unmark_stack_slots_dynptr`).
    ///
    /// # Errors
    /// Something that is held belongs to it.
    pub fn release_dynptr(&mut self, reg: &Reg) -> Step {
        let (frame, first) = self.dynptr_at(reg).map_err(|error| error.into_stop(Why::Dynptr))?;
        let dynptr = self.state.frames[frame].stack[first].reg;
        let Kind::StackDynptr { kind, .. } = dynptr.kind else { return Ok(()) };
        match (self.rules.since(Era::V7_2), kind.is_referenced()) {
            (true, true) => self.release_reference(dynptr.parent_id),
            (true, false) => {
                self.invalidate_dynptr(frame, first);
                self.release_reference(dynptr.id)
            }
            (false, true) => self.release_reference(dynptr.ref_obj_id),
            (false, false) => {
                self.invalidate_dynptr(frame, first);
                Ok(())
            }
        }
    }

    /// How messages name an argument: `R1`, or up to 7.1 `arg#0`.
    pub fn argument_name(&self, register: u8) -> String {
        if self.rules.names_registers {
            format!("R{register}")
        } else {
            format!("arg#{}", register.saturating_sub(1))
        }
    }

    /// How other messages name an argument: `R1`, or up to 7.1 `arg #0`.
    pub fn argument_number(&self, register: u8) -> String {
        if self.rules.names_registers {
            format!("R{register}")
        } else {
            format!("arg #{}", register.saturating_sub(1))
        }
    }
}

impl NoSlot {
    /// The refusal, where the object has to be there.
    pub fn into_stop(self, why: Why) -> Stop {
        match self {
            Self::Misplaced(message) => Stop::refused(why, Errno::EINVAL, message),
            Self::Beyond => Stop::unmodelled("an object beyond the stack"),
            Self::Unclear => Stop::unmodelled("an object above the stack"),
        }
    }
}
