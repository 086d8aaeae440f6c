//! Functions of the program that helpers call back: what they are given, and may return (`set_*_callback_state`).

use super::super::checker::Checker;
use super::super::func::CallbackTime;
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::{DynptrKind, Flags, Kind, MapRef, Reg, TypeRef};
use super::super::rules::Era;
use super::super::state::{Frame, RetvalRange};
use super::meta::Meta;
use crate::errno::Errno;
use crate::kernel::helpers;
use crate::object::MapType;

/// 0 or 1: go on, or end the loop.
const GO_ON_OR_END: RetvalRange = RetvalRange { min: 0, max: 1, wide: true };
/// 0 alone.
const ZERO: RetvalRange = RetvalRange { min: 0, max: 0, wide: true };

/// Nothing is in the argument registers but these, from r1 on.
pub(super) fn set_arguments<const N: usize>(callee: &mut Frame, arguments: [Reg; N]) {
    for (at, reg) in callee.regs[1..6].iter_mut().enumerate() {
        *reg = arguments.get(at).copied().unwrap_or_else(Reg::not_init);
    }
}

impl Checker<'_, '_> {
    /// The helper calls a function back, if it does.
    ///
    /// # Errors
    /// As [`Self::push_callback`].
    pub(super) fn call_back(&mut self, meta: &Meta) -> Step {
        let Some(subprog) = meta.subprog else { return Ok(()) };
        let now = CallbackTime::Now;
        match meta.helper.name {
            "for_each_map_elem" => {
                let Some((map, _)) = meta.map else { return Err(Stop::unmodelled("elements of no map")) };
                self.push_callback(subprog, now, |checker, caller, callee| {
                    checker.check_has_elements(map)?;
                    let uid = checker.element_uid(&caller.regs[1]);
                    let [key, value] = checker.element(map, uid);
                    set_arguments(callee, [caller.regs[1], key, value, caller.regs[3]]);
                    Ok(GO_ON_OR_END)
                })
            }
            "timer_set_callback" => {
                let later = CallbackTime::Later { sleepable: false };
                self.push_callback(subprog, later, |checker, caller, callee| {
                    checker.set_element_arguments(&caller.regs[1], callee)?;
                    Ok(ZERO)
                })
            }
            "find_vma" => {
                let vma = self.kernel_struct("vm_area_struct")?;
                self.push_callback(subprog, now, |_, caller, callee| {
                    let vma = Reg::new(Kind::BtfId(vma), Flags::NONE);
                    set_arguments(callee, [caller.regs[1], vma, caller.regs[4]]);
                    Ok(GO_ON_OR_END)
                })
            }
            "user_ringbuf_drain" => self.push_callback(subprog, now, |checker, caller, callee| {
                let mut dynptr = Reg::new(Kind::Dynptr(DynptrKind::Local), Flags::NONE);
                dynptr.id = checker.new_id();
                callee.regs[0] = Reg::not_init();
                set_arguments(callee, [dynptr, caller.regs[3]]);
                Ok(GO_ON_OR_END)
            }),
            _ if meta.helper.id == helpers::LOOP => self.call_loop(subprog),
            _ => Err(Stop::unmodelled(format!("callbacks of bpf_{}", meta.helper.name))),
        }
    }

    /// `bpf_loop` calls its function as often as r1 says at most.
    fn call_loop(&mut self, subprog: usize) -> Step {
        self.note_loop(subprog)?;
        self.mark_precise(1)?;
        let most = self.reg(1).value.umax();
        if u64::from(self.state.frame().callback_depth) >= most {
            self.state.frame_mut().callback_depth = 0;
            return Ok(());
        }
        self.push_callback(subprog, CallbackTime::Now, |_, caller, callee| {
            set_arguments(callee, [Reg::unknown(), caller.regs[3]]);
            Ok(GO_ON_OR_END)
        })
    }

    /// Whether the loop can be put in line matters to what r4 was known from (`update_loop_inline_state`).
    fn note_loop(&mut self, subprog: usize) -> Step {
        let known = self.aux[self.insn].loop_callback;
        if known == Some(None) {
            return Ok(());
        }
        let mut fits = self.reg(4).is_null();
        if fits {
            self.mark_precise(4)?;
        }
        if let Some(Some(known)) = known {
            fits &= known == subprog;
        }
        self.aux[self.insn].loop_callback = Some(fits.then_some(subprog));
        Ok(())
    }

    /// The map, key and value that a field of a map's value calls back with: of timers, work and task work.
    ///
    /// # Errors
    /// It is neither a field of a map's value nor the map, which task work is given beside it.
    pub fn set_element_arguments(&mut self, field: &Reg, callee: &mut Frame) -> Step {
        let (Kind::MapValue(map) | Kind::MapPtr(map)) = field.kind else {
            return Err(Stop::unmodelled("a callback of no map"));
        };
        let mut pointer = Reg::new(Kind::MapPtr(map), Flags::NONE);
        pointer.map_uid = self.element_uid(field);
        let [key, value] = self.element(map, pointer.map_uid);
        set_arguments(callee, [pointer, key, value]);
        Ok(())
    }

    /// Which inner map a callback is told that its element is in: before 7.2 it was told none.
    fn element_uid(&self, given: &Reg) -> u32 {
        if self.rules.since(Era::V7_2) { given.map_uid } else { 0 }
    }

    /// Key and value of an element that a callback is given.
    fn element(&mut self, map: MapRef, uid: u32) -> [Reg; 2] {
        let (mut key, mut value) =
            (Reg::new(Kind::MapKey(map), Flags::NONE), Reg::new(Kind::MapValue(map), Flags::NONE));
        (key.map_uid, value.map_uid) = (uid, uid);
        if self.rules.since(Era::V7_3) {
            value.id = self.new_id();
        }
        [key, value]
    }

    fn check_has_elements(&self, map: MapRef) -> Step {
        let map_type = self.map(map)?.map_type;
        let has = [
            MapType::ARRAY,
            MapType::PERCPU_ARRAY,
            MapType::HASH,
            MapType::PERCPU_HASH,
            MapType::LRU_HASH,
            MapType::LRU_PERCPU_HASH,
            MapType::RHASH,
        ];
        if has.contains(&map_type) {
            return Ok(());
        }
        Err(Stop::refused(Why::Map, Errno::ENOTSUPP, "callback function not allowed for map"))
    }
}

/// A pointer to a type, as it is handed out.
pub(super) fn pointer(ty: TypeRef, flags: Flags) -> Reg {
    Reg::new(Kind::BtfId(ty), flags)
}
