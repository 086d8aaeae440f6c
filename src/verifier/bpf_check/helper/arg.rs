//! The arguments of a helper, one after the other (`check_func_arg`).

use super::super::args::{Argument, Use};
use super::super::checker::Checker;
use super::super::dynptr::{DynptrUse, NoSlot};
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::{Byte, DynptrKind, Kind, MapRef, Reg};
use super::super::rules::Era;
use super::super::state::HeldKind;
use super::meta::{Meta, always_has_elements};
use super::proto::argument_size;
use crate::kernel::helpers;
use crate::kernel::helpers::kinds::{Arg, ArgKind, flags};
use crate::object::{F_INNER_MAP, MapType};

impl Checker<'_, '_> {
    /// An argument.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub(super) fn check_helper_arg(&mut self, number: u8, meta: &mut Meta) -> Step {
        let Some(mut asked) = self.helper_arg(meta.helper, number, meta.caller) else { return Ok(()) };
        self.read(number)?;
        if asked.kind == ArgKind::Anything {
            return Ok(());
        }
        let reg = *self.reg(number);
        if reg.kind == Kind::Packet {
            return Err(Stop::unmodelled("packets passed to helpers"));
        }
        let arg = Argument::in_register(number, &reg);
        if asked.kind == ArgKind::PtrToMapValue {
            asked = self.map_value_arg(asked, meta)?;
        }
        if reg.is_null() && asked.flags & flags::MAYBE_NULL != 0 {
            self.mark_precise(number)?;
        } else {
            self.check_reg_type(arg, asked, meta)?;
            self.check_arg_offset(arg, asked)?;
        }
        let releases = asked.flags & flags::RELEASE != 0;
        if releases && asked.kind != ArgKind::PtrToDynptr && !self.is_referenced(&reg) && !reg.is_null() {
            let message = match self.rules.since(Era::V7_2) {
                true => format!(
                    "release helper bpf_{} expects referenced PTR_TO_BTF_ID passed to {}",
                    meta.helper.name, arg.name
                ),
                false => format!("{} must be referenced when passed to release function", arg.name),
            };
            return Err(Stop::einval(Why::UnownedRelease, message));
        }
        if self.is_referenced(&reg) && asked.kind != ArgKind::KptrXchgDest {
            if meta.reference.is_some() && !self.rules.since(Era::V7_2) {
                return Err(Stop::unmodelled("two references passed to a helper"));
            }
            meta.reference = Some(reg.ref_obj_id);
        }
        self.process_arg(arg, number, asked, meta)
    }

    /// What the type of an argument asks of it.
    fn process_arg(&mut self, arg: Argument<'_>, number: u8, asked: Arg, meta: &mut Meta) -> Step {
        let reg = arg.reg;
        let writes = if asked.flags & flags::WRITE != 0 { Use::Write } else { Use::Read };
        let is_raw = asked.flags & flags::UNINIT != 0;
        match asked.kind {
            ArgKind::ConstMapPtr => self.take_map(arg, meta)?,
            ArgKind::PtrToMapKey => {
                let Some((map, _)) = meta.map else { return Err(no_map()) };
                let key_size = self.map(map)?.key_size;
                self.check_helper_mem_access(arg, key_size.into(), false, false, false)?;
                if self.elides_null(map)? {
                    meta.key = self.constant_key(reg, key_size)?;
                }
            }
            ArgKind::PtrToMapValue => {
                if asked.flags & flags::MAYBE_NULL != 0 && reg.is_null() {
                    return Ok(());
                }
                let Some((map, _)) = meta.map else { return Err(no_map()) };
                let found = self.map(map)?;
                let size = i64::from(found.value_size);
                let is_bloom = found.map_type == MapType::BLOOM_FILTER && meta.is("map_peek_elem");
                let raw = is_raw && !(is_bloom && self.rules.since(Era::V7_3));
                if self.check_helper_mem_access(arg, size, writes == Use::Write, false, raw)? {
                    meta.raw = Some((number, size));
                }
            }
            ArgKind::PtrToPercpuBtfId => {
                let Kind::BtfId(ty) = reg.kind else { return Err(Stop::unmodelled("per-CPU data")) };
                meta.ret = Some(ty);
            }
            ArgKind::PtrToSpinLock => {
                if self.in_tree_callback() {
                    let message = "can't spin_{lock,unlock} in rbtree cb";
                    return Err(Stop::eacces(Why::Lock, message));
                }
                let takes = meta.helper.id == helpers::SPIN_LOCK;
                self.process_spin_lock(arg, HeldKind::Lock, takes)?;
            }
            ArgKind::PtrToTimer => meta.map = Some((self.check_timer(arg)?, reg.map_uid)),
            ArgKind::PtrToFunc => {
                let Kind::Func(subprog) = reg.kind else { return Err(Stop::unmodelled("no function")) };
                meta.subprog = Some(subprog as usize);
            }
            ArgKind::PtrToMem if asked.flags & flags::FIXED_SIZE != 0 => {
                let size = argument_size(meta.helper, number)?;
                if self.rules.since(Era::V7_3) {
                    if self.check_mem(arg, size, writes, is_raw)? {
                        meta.raw = Some((number, size.into()));
                    }
                } else {
                    let write = writes == Use::Write;
                    if self.check_helper_mem_access(arg, size.into(), write, false, is_raw)? {
                        meta.raw = Some((number, size.into()));
                    }
                }
                if asked.flags & flags::ALIGNED != 0 {
                    self.check_aligned(reg, size)?;
                }
            }
            ArgKind::MemSize | ArgKind::MemSizeOrZero => {
                let mem_number = number - 1;
                let mem = self.helper_arg(meta.helper, mem_number, meta.caller);
                let has = |flag: u16| mem.is_some_and(|mem| mem.flags & flag != 0);
                let used = if has(flags::WRITE) { Use::Write } else { Use::Read };
                let mem = *self.reg(mem_number);
                let mem = Argument::in_register(mem_number, &mem);
                meta.max_size = reg.value.umax();
                let zero_ok = asked.kind == ArgKind::MemSizeOrZero;
                if self.check_mem_size(mem, arg, used, zero_ok, has(flags::UNINIT))? {
                    meta.raw = Some((mem_number, meta.max_size as i64));
                }
            }
            ArgKind::PtrToDynptr => self.take_dynptr(reg, number, asked, meta)?,
            ArgKind::ConstAllocSizeOrZero => {
                let Some(size) = reg.constant() else {
                    return Err(match self.rules.since(Era::V7_3) {
                        true => Stop::einval(Why::WrongArgument, format!("{} is not a const", arg.name)),
                        false => {
                            let message = format!("{} is not a known constant'", arg.name);
                            Stop::eacces(Why::WrongArgument, message)
                        }
                    });
                };
                if size > u32::MAX.into() {
                    return Err(match self.rules.since(Era::V7_3) {
                        true => {
                            let message = format!("{} allocation size exceeds u32 max", arg.name);
                            Stop::einval(Why::WrongArgument, message)
                        }
                        false => Stop::unmodelled("an allocation of 4 GiB"),
                    });
                }
                self.mark_precise(number)?;
                meta.mem_size = size;
            }
            ArgKind::PtrToConstStr => {
                self.check_const_str(arg)?;
            }
            ArgKind::KptrXchgDest => self.take_kptr(arg, meta)?,
            _ => {}
        }
        Ok(())
    }

    /// The map that a call is about; the one that a timer lies in must be the same.
    fn take_map(&mut self, arg: Argument<'_>, meta: &mut Meta) -> Step {
        let Kind::MapPtr(map) = arg.reg.kind else { return Err(no_map()) };
        let uid = arg.reg.map_uid;
        if let Some((known, known_uid)) = meta.map
            && (known, known_uid) != (map, uid)
        {
            let message = format!(
                "timer pointer in R1 map_uid={known_uid} doesn't match map pointer in R2 map_uid={uid}"
            );
            return Err(Stop::einval(Why::Timer, message));
        }
        meta.map = Some((map, uid));
        Ok(())
    }

    /// A dynptr is made, used or given back.
    fn take_dynptr(&mut self, reg: &Reg, number: u8, asked: Arg, meta: &mut Meta) -> Step {
        let has = |flag: u16| asked.flags & flag != 0;
        let kind = match () {
            () if has(flags::DYNPTR_LOCAL) => Some(DynptrKind::Local),
            () if has(flags::DYNPTR_RINGBUF) => Some(DynptrKind::Ringbuf),
            () => None,
        };
        let usage = match kind {
            Some(kind) if has(flags::UNINIT) => DynptrUse::Makes(kind),
            _ if has(flags::UNINIT) => return Err(Stop::unmodelled("a dynptr of no kind is made")),
            _ if has(flags::RELEASE) => {
                self.check_released_dynptr(reg, number)?;
                DynptrUse::Releases(kind)
            }
            _ => DynptrUse::Reads(kind),
        };
        meta.dynptr = self.process_dynptr(number, usage, 0, None)?;
        Ok(())
    }

    /// What is given back is a dynptr that holds something; kernels from 7.2 on look for that elsewhere.
    fn check_released_dynptr(&self, reg: &Reg, number: u8) -> Step {
        if self.rules.since(Era::V7_2) {
            return Ok(());
        }
        let refused = |message: String| Err(Stop::einval(Why::Dynptr, message));
        if !matches!(reg.kind, Kind::Stack(_)) {
            return refused("cannot release unowned const bpf_dynptr".to_owned());
        }
        let holds = |(frame, slot): (usize, usize)| self.state.frames[frame].stack[slot].reg.ref_obj_id != 0;
        match self.stack_object(reg, "dynptr", 2) {
            Ok(place) if holds(place) => Ok(()),
            Err(NoSlot::Misplaced(message)) => refused(message),
            Err(NoSlot::Unclear) => Err(Stop::unmodelled("where a dynptr is")),
            _ => refused(format!("arg {number} is an unacquired reference")),
        }
    }

    /// What is taken for the value of a map (`resolve_map_arg_type`).
    fn map_value_arg(&self, asked: Arg, meta: &Meta) -> Step<Arg> {
        let Some((map, _)) = meta.map else { return Err(no_map()) };
        match self.map(map)?.map_type {
            MapType::SOCKMAP | MapType::SOCKHASH if asked.flags == 0 => {
                Ok(Arg { kind: ArgKind::PtrToBtfIdSockCommon, flags: 0 })
            }
            MapType::SOCKMAP | MapType::SOCKHASH => {
                Err(Stop::einval(Why::Map, "invalid arg_type for sockmap/sockhash"))
            }
            MapType::BLOOM_FILTER if meta.is("map_peek_elem") => {
                Ok(Arg { kind: ArgKind::PtrToMapValue, flags: 0 })
            }
            _ => Ok(asked),
        }
    }

    /// Lookups with a constant key give no NULL (`can_elide_value_nullness`).
    pub(super) fn elides_null(&self, map: MapRef) -> Step<bool> {
        let found = self.map(map)?;
        if !self.rules.since(Era::V6_16) || !always_has_elements(found.map_type) {
            return Ok(false);
        }
        if found.flags & F_INNER_MAP == 0 {
            return Ok(true);
        }
        match self.rules.since(Era::V7_2) {
            true => Ok(false),
            false => Err(Stop::unmodelled("a lookup in an array whose size may differ")),
        }
    }

    /// The key in the stack, where it is a constant (`get_constant_map_key`); what it is known from mattered then.
    fn constant_key(&mut self, key: &Reg, size: u32) -> Step<Option<u64>> {
        let (Kind::Stack(frame), Some(off)) = (key.kind, key.offset()) else { return Ok(None) };
        let frame = usize::from(frame);
        let Ok(place) = usize::try_from(-1 - off) else { return Ok(None) };
        let (at, byte) = (place / 8, place % 8);
        let slot = self.state.frames.get(frame).and_then(|frame| frame.stack.get(at)).copied();
        let Some(slot) = slot else { return Ok(None) };
        let run = |kind: Byte| slot.bytes[..=byte].iter().rev().take_while(|found| **found == kind).count();
        let size = size as usize;
        if run(Byte::Zero) >= size {
            return Ok(Some(0));
        }
        if !slot.is_spilled_scalar() || run(Byte::Spill) != size {
            return Ok(None);
        }
        let Some(value) = slot.reg.constant() else { return Ok(None) };
        self.mark_slots_precise(frame, &[at])?;
        Ok(Some(value))
    }

    /// A pointer to memory is aligned, whatever the machine asks for (`check_ptr_alignment`).
    fn check_aligned(&self, reg: &Reg, size: u32) -> Step {
        let size = u64::from(size);
        let var_off = reg.value.var_off();
        if !var_off.is_aligned(size) {
            return Err(Stop::unmodelled("an argument that is not aligned"));
        }
        Ok(())
    }

    /// The code is what a tree's kfunc calls to compare nodes (`in_rbtree_lock_required_cb`).
    fn in_tree_callback(&self) -> bool {
        let calls_tree = |callsite: usize| {
            let link = self.prog.slots.get(callsite).map(|slot| &slot.link);
            let Some(super::super::prog::Link::Kfunc(index, _)) = link else { return false };
            self.object[*index].name.starts_with("bpf_rbtree_")
        };
        self.state.frames.iter().skip(1).any(|frame| frame.in_callback && calls_tree(frame.callsite))
    }
}

fn no_map() -> Stop {
    Stop::unmodelled("a helper without its map")
}
