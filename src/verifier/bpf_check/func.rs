//! Calls of functions of the program, callbacks, and returns.

use super::checker::{Checker, Next, Pending};
use super::refusal::{Step, Stop, Why};
use super::reg::{Kind, Reg};
use super::rules::Era;
use super::state::{Frame, HeldKind, RetvalRange, State};
use super::states::Trace;
use crate::errno::Errno;
use crate::insn::{Callee, Op};
use crate::kernel::Lookup;
use crate::kernel::helpers;
use crate::kernel::kfunc_flags::KfuncFlags;

/// When a callback runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackTime {
    /// Before the call returns, any number of times.
    Now,
    /// Later, by itself; it may sleep then.
    Later {
        /// It may sleep.
        sleepable: bool,
    },
}

impl Checker<'_, '_> {
    /// r0 to r5 hold nothing after a call (`clear_caller_saved_regs`).
    pub fn clear_caller_saved(&mut self) {
        self.regs()[..6].fill(Reg::not_init());
    }

    /// A call of a function of the program (`check_func_call`).
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_func_call(&mut self, subprog: usize) -> Step<Next> {
        if self.prog.subprogs[subprog].is_global {
            self.call_global(subprog)?;
            // It may throw instead of returning: then the program ends here.
            if self.rules.since(Era::V7_2) && self.liveness.effects(subprog).might_throw {
                let state = self.state.clone();
                self.push(state, self.insn + 1)?;
                self.check_resource_leak(true, true, "bpf_throw")?;
                return Ok(Next::Ends);
            }
            return Ok(Next::Falls);
        }
        // What the prototype says of a static function's arguments is looked at, and forgiven.
        match self.check_arguments_match(subprog) {
            Err(Stop::Unknown(reason)) => return Err(Stop::Unknown(reason)),
            Ok(()) | Err(Stop::Refused { .. }) => {}
        }
        let frame = self.new_frame(&self.state, subprog)?;
        let mut frame = frame;
        frame.regs[1..6].copy_from_slice(&self.state.frame().regs[1..6]);
        self.clear_caller_saved();
        self.state.frames.push(frame);
        Ok(Next::To(self.prog.subprogs[subprog].start))
    }

    /// The frame of a function that is called in a state (`setup_func_entry`).
    fn new_frame(&self, state: &State, subprog: usize) -> Step<Frame> {
        let frames = state.frames.len();
        if frames >= self.rules.most_frames as usize {
            let message = format!("the call stack of {} frames is too deep", frames + 1);
            return Err(Stop::refused(Why::StackDepth, Errno::E2BIG, message));
        }
        Ok(Frame::new(subprog, self.insn, frames))
    }

    /// A call of a global function: it is walked by itself, so that only its prototype counts.
    fn call_global(&mut self, subprog: usize) -> Step {
        let matched = self.check_arguments_match(subprog);
        if let Err(Stop::Unknown(reason)) = matched {
            return Err(Stop::Unknown(reason));
        }
        let name = self.object[self.prog.subprogs[subprog].function].name.to_string();
        let state = &self.state;
        if state.active_locks > 0 {
            let message = "global function calls are not allowed while holding a lock,";
            return Err(Stop::einval(Why::Lock, message));
        }
        if !self.rules.since(Era::V6_16) && state.active_preempt_locks > 0 {
            let message = "global function calls are not allowed with preemption disabled,";
            return Err(Stop::einval(Why::Preemption, message));
        }
        if self.rules.since(Era::V6_16) && !self.may_sleep_here() && self.might_sleep(subprog)? {
            return Err(self.sleeping_global(&name));
        }
        matched?;
        let sleeps = self.rules.since(Era::V7_3) && self.may_sleep_here();
        let context = if self.rules.since(Era::V7_3) { sleeps } else { self.hook.sleepable };
        self.called[subprog][usize::from(context)] = true;
        self.called_surely[subprog] |= !self.state.on_knob;
        let is_void = self.is_void(subprog)?;
        self.clear_caller_saved();
        if !is_void {
            *self.reg_mut(0) = Reg::unknown();
        }
        Ok(())
    }

    /// A global function that may sleep is called where nothing may.
    fn sleeping_global(&self, name: &str) -> Stop {
        if self.rules.since(Era::V7_1) {
            let place = self.non_sleepable_context();
            let message = format!("sleepable global function {name}() called in {place}");
            return Stop::einval(Why::Sleep, message);
        }
        let message = "global functions that may sleep are not allowed in non-sleepable context,";
        Stop::einval(Why::Sleep, message)
    }

    /// A function, or one that it calls, calls something that may sleep (`might_sleep`).
    fn might_sleep(&self, subprog: usize) -> Step<bool> {
        let mut seen = vec![false; self.prog.subprogs.len()];
        let mut todo = vec![subprog];
        while let Some(subprog) = todo.pop() {
            if std::mem::replace(&mut seen[subprog], true) {
                continue;
            }
            let (start, end) = (self.prog.subprogs[subprog].start, self.prog.subprogs[subprog].end);
            for slot in &self.prog.slots[start..end] {
                match (slot.op, &slot.link) {
                    (Op::Call(Callee::Helper(id)), _) => {
                        let helper = helpers::get(id);
                        if helper.is_some_and(helpers::Helper::may_sleep) {
                            return Ok(true);
                        }
                        if helper.is_some_and(helpers::Helper::may_sleep_somewhere) && self.hook.sleepable {
                            return Err(Stop::unmodelled("a helper that may sleep on some kernels"));
                        }
                    }
                    (_, super::prog::Link::Kfunc(index, _)) => {
                        let name = crate::btf::essential_name(self.object[*index].name);
                        match self.kernel.kfunc_has(name, KfuncFlags::SLEEPABLE) {
                            Lookup::Found(true) => return Ok(true),
                            Lookup::Unknown(reason) => return Err(Stop::Unknown(reason)),
                            _ => {}
                        }
                    }
                    (Op::Call(Callee::Function(_)), super::prog::Link::Subprog(callee)) => todo.push(*callee),
                    _ => {}
                }
            }
        }
        Ok(false)
    }

    /// A helper or kfunc calls a function of the program back (`push_callback_call`). `arguments` fills the registers r1 to r5
    /// of the new frame from the caller's, and gives what the callback may return.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn push_callback(
        &mut self,
        subprog: usize,
        when: CallbackTime,
        arguments: impl FnOnce(&mut Self, &Frame, &mut Frame) -> Step<RetvalRange>,
    ) -> Step {
        match self.check_arguments_match(subprog) {
            Err(Stop::Unknown(reason)) => return Err(Stop::Unknown(reason)),
            Ok(()) | Err(Stop::Refused { .. }) => {}
        }
        let caller = self.state.frame().clone();
        let start = self.prog.subprogs[subprog].start;
        self.subprogs[subprog].is_cb = true;
        self.subprogs[subprog].is_async_cb |= when != CallbackTime::Now;
        match when {
            CallbackTime::Later { sleepable } => {
                let mut frame = Frame::new(subprog, usize::MAX, 0);
                frame.async_entry = caller.async_entry + 1;
                frame.callback_range = Some(arguments(self, &caller, &mut frame)?);
                frame.in_async_callback = true;
                let mut state = State::new(frame, sleepable);
                state.on_knob = self.state.on_knob;
                self.push_later(state, start)
            }
            CallbackTime::Now => {
                let mut waiting = self.state.clone();
                let mut frame = self.new_frame(&waiting, subprog)?;
                frame.callback_range = Some(arguments(self, &caller, &mut frame)?);
                frame.in_callback = true;
                waiting.callback_unroll_depth += 1;
                waiting.frame_mut().callback_depth += 1;
                waiting.frames.push(frame);
                self.push(waiting, start)?;
                self.state.frame_mut().callback_depth = 0;
                Ok(())
            }
        }
    }

    /// A callback that runs by itself will be walked (`push_async_cb`).
    fn push_later(&mut self, state: State, start: usize) -> Step {
        self.pending.push(Pending { state, trace: Trace::start(start), insn: start, prev: self.insn });
        if self.pending.len() > super::checker::MAX_PENDING {
            let message =
                format!("The sequence of {} jumps is too complex for async cb.", self.pending.len());
            return Err(Stop::refused(Why::TooComplex, Errno::E2BIG, message));
        }
        Ok(())
    }

    /// A return, of a function or of the program (`process_bpf_exit_full`).
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_exit(&mut self) -> Step<Next> {
        let outermost = self.state.current() == 0;
        let what = if self.rules.since(Era::V6_16) {
            "BPF_EXIT instruction in main prog"
        } else {
            "BPF_EXIT instruction"
        };
        self.check_resource_leak(false, outermost, what)?;
        if !outermost {
            return self.return_to_caller();
        }
        self.check_return_code(0)?;
        Ok(Next::Ends)
    }

    /// A function returns to its caller (`prepare_func_exit`).
    ///
    /// # Errors
    /// What it returns is refused.
    pub fn return_to_caller(&mut self) -> Step<Next> {
        let callee = self.state.frame();
        let r0 = callee.regs[0];
        let (in_callback, callsite, range) = (callee.in_callback, callee.callsite, callee.callback_range);
        if matches!(r0.kind, Kind::Stack(_)) {
            let message = "cannot return stack pointer to the caller";
            return Err(Stop::einval(Why::ReturnValue, message));
        }
        if in_callback {
            if !r0.is_scalar() {
                return Err(Stop::eacces(Why::ReturnValue, "R0 not a scalar value"));
            }
            self.mark_precise(0)?;
            if let Some(range) = range
                && !range_has(range, &r0)
            {
                return Err(Stop::einval(Why::ReturnValue, bad_range(0, &r0, range, "At callback return")));
            }
        }
        self.state.frames.pop();
        if !in_callback {
            *self.reg_mut(0) = r0;
            return Ok(Next::To(callsite + 1));
        }
        self.insn = callsite;
        self.widen_after_callback(callsite)?;
        Ok(Next::To(callsite))
    }

    /// Nothing is held that must be given back first (`check_resource_leak`); `what` names what would leave it behind.
    ///
    /// # Errors
    /// Something is held.
    pub fn check_resource_leak(&mut self, exception_exit: bool, check_lock: bool, what: &str) -> Step {
        if check_lock && self.state.active_locks > 0 {
            let message = format!("{what} cannot be used inside bpf_spin_lock-ed region");
            return Err(Stop::einval(Why::Lock, message));
        }
        self.check_reference_leak(exception_exit)?;
        if !check_lock {
            return Ok(());
        }
        let state = &self.state;
        let refuse = |why, region: &str| {
            Err(Stop::einval(why, format!("{what} cannot be used inside {region}-ed region")))
        };
        if state.active_irq_id > 0 {
            return refuse(Why::Interrupts, "bpf_local_irq_save");
        }
        if state.active_rcu_locks > 0 {
            return refuse(Why::Rcu, "bpf_rcu_read_lock");
        }
        if state.active_preempt_locks > 0 {
            return refuse(Why::Preemption, "bpf_preempt_disable");
        }
        Ok(())
    }

    /// Every reference was given back (`check_reference_leak`).
    fn check_reference_leak(&self, exception_exit: bool) -> Step {
        let frame = self.state.frame();
        let inner = self.state.current() > 0;
        if !exception_exit && inner {
            if !self.rules.since(Era::V6_16) && frame.in_callback && self.state.references() > 0 {
                return Err(Stop::unmodelled("references in callbacks before 6.16"));
            }
            return Ok(());
        }
        let r0 = self.reg(0);
        let handed_back = |id: u32| {
            self.rules.since(Era::V6_16)
                && self.hook.is_struct_ops()
                && !exception_exit
                && r0.ref_obj_id == id
        };
        let mut held = self.state.held.iter().filter(|held| held.kind == HeldKind::Pointer);
        match held.find(|held| !handed_back(held.id)) {
            Some(held) => {
                let message = format!("Unreleased reference id={} alloc_insn={}", held.id, held.insn);
                Err(Stop::einval(Why::UnreleasedReference, message))
            }
            None => Ok(()),
        }
    }

    /// Global functions that were called are walked by themselves (`do_check_subprogs`).
    ///
    /// # Errors
    /// One is refused, or not modelled.
    pub fn check_global_subprogs(&mut self) -> Step {
        let mut done = vec![[false; 2]; self.prog.subprogs.len()];
        // What is called where the program throws is called in any case.
        for subprog in 1..self.prog.subprogs.len() {
            if self.prog.subprogs[subprog].is_global && self.is_exception_callback(subprog) {
                self.called[subprog][usize::from(self.hook.sleepable)] = true;
                self.called_surely[subprog] = true;
            }
        }
        loop {
            let mut any = false;
            for (subprog, done) in done.iter_mut().enumerate().skip(1) {
                for (sleeps, done) in done.iter_mut().enumerate() {
                    if self.called[subprog][sleeps] && !std::mem::replace(done, true) {
                        self.check_subprog(subprog, sleeps == 1)?;
                        any = true;
                    }
                }
            }
            if !any {
                return Ok(());
            }
        }
    }
}

/// A number lies in a range (`retval_range_within`).
pub fn range_has(range: RetvalRange, reg: &Reg) -> bool {
    let (min, max) = if range.wide {
        (reg.value.smin(), reg.value.smax())
    } else {
        (reg.value.s32_min().into(), reg.value.s32_max().into())
    };
    i64::from(range.min) <= min && max <= i64::from(range.max)
}

/// What the kernel says of a register's number that does not (`verbose_invalid_scalar`).
pub fn bad_range(register: u8, reg: &Reg, range: RetvalRange, when: &str) -> String {
    let (smin, smax) = (reg.value.smin(), reg.value.smax());
    let mut known = String::new();
    if smin > i64::MIN {
        known.push_str(&format!(" smin={smin}"));
    }
    if smax < i64::MAX {
        known.push_str(&format!(" smax={smax}"));
    }
    let what = if known.is_empty() { " unknown scalar value" } else { known.as_str() };
    format!("{when} the register R{register} has{what} should have been in [{}, {}]", range.min, range.max)
}
