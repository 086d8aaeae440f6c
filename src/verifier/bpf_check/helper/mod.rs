//! Calls of helpers (`check_helper_call`).

mod arg;
mod callbacks;
mod format;
mod kptr;
mod maps;
mod meta;
mod offer;
mod proto;
mod ret;
mod types;

use self::meta::Meta;
use self::offer::{Attach, Caller};
use super::args::{Argument, as_if};
use super::checker::{Checker, MAX_ON_MACHINE, Next};
use super::names::type_name;
use super::refusal::{Step, Stop, Why};
use super::reg::{DynptrKind, Flags, Kind, Reg};
use super::rules::Era;
use crate::errno::Errno;
use crate::insn::Width;
use crate::kernel::helpers;

/// Registers that hold arguments of a helper.
const ARGUMENTS: std::ops::RangeInclusive<u8> = 1..=5;

impl Checker<'_, '_> {
    /// A call of a helper.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_helper_call(&mut self, number: i32) -> Step<Next> {
        let caller = self.helper_caller();
        let helper = self.offered_helper(number, caller)?;
        self.check_sleeping_helper(helper, caller)?;
        let mut meta = Meta::new(helper, caller);
        for register in ARGUMENTS {
            self.check_helper_arg(register, &mut meta)?;
        }
        self.note_map(&meta)?;
        self.note_key(&meta)?;
        self.fill_memory(&meta)?;
        self.give_back(&meta)?;
        let by_cpu_of_object = self.check_particulars(&meta)?;
        self.call_back(&meta)?;
        self.clear_caller_saved();
        self.set_result(&meta, by_cpu_of_object)?;
        self.check_map_and_helper(&meta)?;
        self.check_func_ip(&meta)?;
        if helper.id == helpers::TAIL_CALL {
            return self.finish_tail_call();
        }
        Ok(Next::Falls)
    }

    /// Memory that needed not hold anything holds something now, whatever was stored there.
    fn fill_memory(&mut self, meta: &Meta) -> Step {
        let Some((register, size)) = meta.raw else { return Ok(()) };
        let reg = *self.reg(register);
        let arg = Argument::in_register(register, &reg);
        for off in 0..i32::try_from(size).unwrap_or(i32::MAX) {
            self.check_mem_access(&reg, as_if(arg, off, Width::B1, true))?;
        }
        Ok(())
    }

    /// What the helper takes away is given back.
    fn give_back(&mut self, meta: &Meta) -> Step {
        if !meta.helper.releases() {
            return Ok(());
        }
        let position =
            meta.helper.args.iter().position(|arg| arg.flags & helpers::kinds::flags::RELEASE != 0);
        let Some(register) = position.and_then(|at| u8::try_from(at + 1).ok()) else { return Ok(()) };
        let reg = *self.reg(register);
        if reg.is_null() {
            return Ok(());
        }
        if meta.dynptr.is_some() {
            return self.release_dynptr(&reg);
        }
        let converts = meta.helper.id == helpers::KPTR_XCHG
            && self.in_rcu()
            && reg.flags.has(Flags::ALLOC.with(Flags::PERCPU));
        if converts {
            self.convert_to_rcu(reg.ref_obj_id);
            return Ok(());
        }
        if !self.state.holds(reg.ref_obj_id) {
            let helper = meta.helper;
            let message =
                format!("func bpf_{}#{} reference has not been acquired before", helper.name, helper.id);
            return match self.rules.since(Era::V7_2) {
                true => Err(Stop::unmodelled("a reference that is not held is given back")),
                false => Err(Stop::einval(Why::UnownedRelease, message)),
            };
        }
        self.release_reference(reg.ref_obj_id)
    }

    /// A per-CPU object that goes into a map is protected by RCU afterwards (`ref_convert_alloc_rcu_protected`).
    fn convert_to_rcu(&mut self, id: u32) {
        self.forget_reference(id);
        let is_meant = |reg: &Reg| reg.ref_obj_id == id;
        self.state.change_regs(is_meant, |reg| {
            reg.ref_obj_id = 0;
            reg.flags = reg.flags.without(Flags::ALLOC).with(Flags::RCU);
        });
    }

    /// What only some helpers ask; true where what is returned is this CPU's copy of an object of the program.
    fn check_particulars(&mut self, meta: &Meta) -> Step<bool> {
        match meta.helper.name {
            "tail_call" => self.check_resource_leak(false, true, "tail_call")?,
            "snprintf" => self.check_snprintf()?,
            "per_cpu_ptr" | "this_cpu_ptr" => return Ok(self.reg(1).flags.has(Flags::RCU)),
            "dynptr_from_mem" => self.check_dynptr_memory()?,
            "dynptr_write" if meta.dynptr.is_some_and(|given| is_packet(given.kind)) => {
                return Err(Stop::unmodelled("a write to a packet through a dynptr"));
            }
            "get_local_storage" => self.check_local_storage()?,
            "set_retval" => self.check_set_retval(1)?,
            "get_retval" => return Err(Stop::unmodelled("what programs of cgroups return")),
            "get_smp_processor_id" => {
                // How many there are, a kernel knows when it verifies.
                self.depends_on(|| "the number of CPUs is not known".into(), MAX_ON_MACHINE);
            }
            _ => {}
        }
        Ok(false)
    }

    /// The storage of a cgroup, which cannot fail, takes no flags.
    fn check_local_storage(&mut self) -> Step {
        if !self.reg(2).is_null() {
            let message = "get_local_storage() doesn't support non-zero flags";
            return Err(Stop::einval(Why::WrongArgument, message));
        }
        self.mark_precise(2)
    }

    /// A dynptr to memory is one to the value of a map.
    fn check_dynptr_memory(&self) -> Step {
        let reg = self.reg(1);
        if matches!(reg.kind, Kind::MapValue(_)) && reg.flags == Flags::NONE {
            return Ok(());
        }
        let shown = type_name(reg.kind, reg.flags);
        let message = format!("Unsupported reg type {shown} for bpf_dynptr_from_mem data");
        Err(Stop::eacces(Why::Dynptr, message))
    }

    /// `check_get_func_ip`.
    fn check_func_ip(&self, meta: &Meta) -> Step {
        if !meta.is("get_func_ip") {
            return Ok(());
        }
        let id = meta.helper.id;
        let message = match meta.caller {
            Caller::Tracing(Attach::Trampoline) | Caller::Kprobe => return Ok(()),
            Caller::Tracing(_) => {
                let kinds =
                    if self.rules.since(Era::V7_1) { "fentry/fexit/fsession" } else { "fentry/fexit" };
                if self.rules.era == Era::V7_0 {
                    return Err(Stop::unmodelled("the address of a function where there is none"));
                }
                format!("func bpf_get_func_ip#{id} supported only for {kinds}/fmod_ret programs")
            }
            other => format!("func bpf_get_func_ip#{id} not supported for program type {}", other.number()),
        };
        Err(Stop::refused(Why::Helper, Errno::ENOTSUPP, message))
    }

    /// A tail call that is taken does not come back: in a function of the program it ends that function.
    fn finish_tail_call(&mut self) -> Step<Next> {
        if self.state.current() == 0 || !self.rules.since(Era::V6_16) {
            return Ok(Next::Falls);
        }
        if !self.rules.since(Era::V7_2) {
            return Err(Stop::unmodelled("tail calls in functions"));
        }
        if self.state.frame().in_callback {
            return Err(Stop::einval(Why::Flow, "cannot tail call within callback"));
        }
        let here = self.insn;
        let goes_on = self.state.clone();
        self.push(goes_on, here + 1)?;
        *self.reg_mut(0) = Reg::unknown();
        self.return_to_caller()
    }
}

/// What a dynptr of this kind points to is a packet.
fn is_packet(kind: DynptrKind) -> bool {
    matches!(kind, DynptrKind::Skb | DynptrKind::Xdp | DynptrKind::SkbMeta)
}
