//! Calls of kfuncs (`check_kfunc_call`).

mod arguments;
mod meta;
mod objects;
mod permission;
mod returns;
mod special;

pub use arguments::Call;
pub use meta::{Kfuncs, Meta};
pub use special::Special;

use super::checker::{Checker, Next};
use super::func::CallbackTime;
use super::hook::Program;
use super::refusal::{Step, Stop, Why};
use super::reg::Reg;
use super::rules::Era;
use super::state::RetvalRange;
use crate::btf::Kind as BtfKind;
use crate::errno::Errno;
use crate::kernel::kfunc_flags::KfuncFlags;
use crate::kernel::{Kfunc, Lookup};
use crate::object::ExternIdx;

impl Checker<'_, '_> {
    /// A call of a kfunc.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_kfunc_call(&mut self, index: ExternIdx, kfunc: Kfunc) -> Step<Next> {
        let meta = self.kfunc_meta(index, kfunc)?;
        let meta = &*meta;
        self.check_may_call(meta)?;
        if meta.special.is_some_and(Special::takes_res_spin_lock) {
            self.push_failed_lock()?;
        }
        if meta.is(Special::Trap) {
            let message = "unexpected __bpf_trap() due to uninitialized variable?";
            return Err(Stop::refused(Why::UninitializedRegister, Errno::EFAULT, message));
        }
        let sleeps = meta.has(KfuncFlags::SLEEPABLE);
        if sleeps && !self.state.in_sleepable {
            let message = format!("program must be sleepable to call sleepable kfunc {}", meta.name);
            return Err(Stop::eacces(Why::Sleep, message));
        }
        let mut call = Call::default();
        self.check_kfunc_args(meta, &mut call)?;
        if meta.special.is_some_and(Special::is_drop) {
            self.check_dropped(meta, &call)?;
        }
        self.push_kfunc_callback(meta, &call)?;
        self.change_sections(meta, sleeps)?;
        if self.needs_rcu(meta)? && !self.in_rcu() {
            let message = format!("kernel func {} requires RCU critical section protection", meta.name);
            return Err(Stop::eacces(Why::Rcu, message));
        }
        self.release_argument(meta, &call)?;
        if meta.special.is_some_and(|special| special.is_list_push() || special == Special::RbtreeAdd) {
            let id = self.reg(2).ref_obj_id;
            self.convert_to_non_owning(id)?;
        }
        if meta.is(Special::Throw) {
            return self.throw(kfunc);
        }
        self.clear_caller_saved();
        self.kfunc_returns(meta, &call)?;
        if meta.is(Special::XdpPullData) {
            return Err(Stop::unmodelled("packets"));
        }
        if meta.has(KfuncFlags::ITER_NEXT) {
            let Some((frame, slot)) = call.iter else { return Err(Stop::unmodelled("no iterator")) };
            self.iter_next(frame, slot)?;
        }
        Ok(Next::Falls)
    }

    /// A lock that is not had: a path of its own, on which an error is returned.
    fn push_failed_lock(&mut self) -> Step {
        let mut failed = self.state.clone();
        let regs = &mut failed.frame_mut().regs;
        regs[..6].fill(Reg::not_init());
        regs[0] = self.error_code();
        self.push(failed, self.insn + 1)
    }

    /// An object with fields that are not safe where anything may be interrupted.
    fn check_dropped(&mut self, meta: &Meta, call: &Call) -> Step {
        let program = self.hook.program;
        let interrupts = program.is_tracing() && program != Program::Iter && !self.hook.sleepable;
        let asks = (program.traces() || interrupts) && self.rules.since(Era::V6_16);
        let Some(ty) = call.object.filter(|_| asks) else { return Ok(()) };
        let name = &meta.name;
        if !self.type_record(ty)?.has(|kind| !kind.is_nmi_safe()) {
            return Ok(());
        }
        if !self.rules.since(Era::V7_2) {
            return Err(Stop::unmodelled(format!(
                "{name} of an object with special fields in a tracing program"
            )));
        }
        let message = format!("{name} cannot be used in tracing programs on types with NMI unsafe fields");
        Err(Stop::einval(Why::Kfunc, message))
    }

    fn push_kfunc_callback(&mut self, meta: &Meta, call: &Call) -> Step {
        let (register, range) = match meta.special {
            Some(Special::RbtreeAdd) => return self.push_rbtree_callback(call),
            Some(Special::WqSetCallback) => (1, RetvalRange { min: 0, max: 0, wide: true }),
            Some(Special::TaskWorkSchedule) => (3, RetvalRange { min: i32::MIN, max: i32::MAX, wide: true }),
            _ => return Ok(()),
        };
        let Some(subprog) = call.callback else { return Err(Stop::unmodelled("no callback")) };
        let value = *self.reg(register);
        let when = CallbackTime::Later { sleepable: true };
        self.push_callback(subprog as usize, when, |checker, _, callee| {
            checker.set_element_arguments(&value, callee)?;
            Ok(range)
        })
    }

    /// RCU read locks and sections without preemption begin and end; nothing may sleep in them.
    fn change_sections(&mut self, meta: &Meta, sleeps: bool) -> Step {
        let (locks, unlocks) = (meta.is(Special::RcuReadLock), meta.is(Special::RcuReadUnlock));
        let name = &meta.name;
        let nests = self.rules.since(Era::V6_19);
        let callback = if locks || unlocks { self.in_rbtree_callback() } else { false };
        let in_callback =
            || Stop::eacces(Why::Rcu, "Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback");
        // Before 6.19 locks do not nest, and the callback of a tree is looked at first.
        if !nests && self.state.active_rcu_locks > 0 {
            if callback {
                return Err(in_callback());
            }
            if locks {
                let message = format!("nested rcu read lock (kernel function {name})");
                return Err(Stop::einval(Why::Rcu, message));
            }
        }
        if locks {
            self.state.active_rcu_locks += 1;
        } else if unlocks {
            if self.state.active_rcu_locks == 0 {
                let message = format!("unmatched rcu read unlock (kernel function {name})");
                return Err(Stop::einval(Why::Rcu, message));
            }
            self.state.active_rcu_locks -= 1;
            let leaves = match self.rules.since(Era::V7_3) {
                true => !self.in_rcu(),
                false => self.state.active_rcu_locks == 0,
            };
            if leaves {
                self.invalidate_rcu();
            }
        } else if meta.is(Special::PreemptDisable) {
            self.state.active_preempt_locks += 1;
        } else if meta.is(Special::PreemptEnable) {
            if self.state.active_preempt_locks == 0 {
                let message = format!("unmatched attempt to enable preemption (kernel function {name})");
                return Err(Stop::einval(Why::Preemption, message));
            }
            self.state.active_preempt_locks -= 1;
            if self.rules.since(Era::V7_3) && !self.in_rcu() {
                self.invalidate_rcu();
            }
        }
        if sleeps && !self.may_sleep_here() {
            let context = self.non_sleepable_context();
            let message = format!("kernel func {name} is sleepable within {context}");
            // Under a lock nothing that sleeps may be called at all.
            return Err(Stop::eacces(Why::Sleep, message));
        }
        if nests && callback {
            return Err(in_callback());
        }
        Ok(())
    }

    /// What a release function gives back.
    fn release_argument(&mut self, meta: &Meta, call: &Call) -> Step {
        let Some(register) = call.released else { return Ok(()) };
        let reg = *self.reg(register);
        if reg.is_null() {
            return Ok(());
        }
        if meta.is(Special::DynptrFileDiscard) {
            return self.release_dynptr(&reg);
        }
        if call.dynptr.is_some() {
            return Err(Stop::unmodelled("a dynptr that is given back"));
        }
        if self.is_referenced(&reg) {
            return self.release_reference(reg.ref_obj_id);
        }
        Err(Stop::unmodelled("a reference that is not held"))
    }

    /// `bpf_throw`: the program ends here.
    fn throw(&mut self, kfunc: Kfunc) -> Step<Next> {
        // The stack is unwound with ORC (`bpf_jit_supports_exceptions`).
        match self.kernel.lookup("orc_entry", BtfKind::Struct) {
            Lookup::Found(_) => {}
            Lookup::Absent => {
                let message = format!("JIT does not support calling kfunc bpf_throw#{}", kfunc.func.0);
                return Err(Stop::refused(Why::Exception, Errno::ENOTSUPP, message));
            }
            Lookup::Unknown(reason) => return Err(Stop::Unknown(reason)),
        }
        if self.has_exception_callback() {
            return Err(Stop::unmodelled("exception callbacks"));
        }
        if self.state.frame().subprog > 0 {
            return Err(Stop::unmodelled("bpf_throw in a function"));
        }
        self.check_return_code(1)?;
        self.clear_caller_saved();
        self.check_resource_leak(true, true, "bpf_throw")?;
        Ok(Next::Ends)
    }

    /// The program says what is called when it throws.
    pub(super) fn has_exception_callback(&self) -> bool {
        let (Some(btf), Some(entry)) = (self.object.btf.as_ref(), self.prog.subprogs.first()) else {
            return false;
        };
        let func = btf.find(&self.object[entry.function].name, BtfKind::Func);
        let mut tags = btf.decl_tags().filter(|(_, _, text)| text.starts_with("exception_callback:"));
        tags.any(|(of, ..)| Some(of) == func)
    }
}
