//! What the program, and its global functions, return (`check_return_code`).

use super::{Ops, Program, lists};
use crate::btf::{Kind as BtfKind, TypeId};
use crate::verifier::bpf_check::checker::Checker;
use crate::verifier::bpf_check::func::{bad_range, range_has};
use crate::verifier::bpf_check::names::type_name;
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::{BtfOf, Kind, Reg, TypeRef};
use crate::verifier::bpf_check::rules::Era;
use crate::verifier::bpf_check::state::RetvalRange;

impl Checker<'_, '_> {
    /// What the program, or a global function, returns (`check_return_code`, `check_global_subprog_return_code`).
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_return_code(&mut self, register: u8) -> Step {
        let frame = &self.state.frames[0];
        let (is_async, subprog) = (frame.in_async_callback, frame.subprog);
        if subprog > 0 && !is_async && !frame.in_exception_callback {
            return self.check_global_return(subprog, register);
        }
        let callback_range = frame.callback_range;
        if !is_async && self.program_returns_void() {
            return Ok(());
        }
        let returned = self.returned_object();
        if let Some(ty) = returned
            && self.reg(register).kind == Kind::BtfId(ty)
            && self.is_referenced(self.reg(register))
        {
            let reg = *self.reg(register);
            return self.check_ptr_off(&reg, &format!("R{register}"), false);
        }
        self.read(register)?;
        let (place, range) = if is_async {
            let none = RetvalRange { min: 0, max: 0, wide: true };
            ("At async callback return", callback_range.unwrap_or(none))
        } else {
            if self.hook.program.is_struct_ops() && returned.is_none() {
                return Ok(());
            }
            let Some(range) = self.return_range()? else { return Ok(()) };
            ("At program exit", range)
        };
        self.enforce_range(register, place, range)
    }

    /// A global function returns a number, or nothing.
    fn check_global_return(&mut self, subprog: usize, register: u8) -> Step {
        if self.is_void(subprog)? {
            return Ok(());
        }
        self.read(register)?;
        let reg = self.reg(register);
        if reg.kind == Kind::Arena && self.rules.since(Era::V7_2) {
            return Ok(());
        }
        if !reg.is_scalar() {
            let of = self.reg_type(reg);
            let message = format!("At subprogram exit the register R{register} is not a scalar value ({of})");
            return Err(Stop::einval(Why::ReturnValue, message));
        }
        Ok(())
    }

    /// The program's prototype says that nothing is returned (`program_returns_void`).
    fn program_returns_void(&self) -> bool {
        matches!(self.hook.program, Program::StructOps(_) | Program::Lsm)
            && self.hook.returns(self.kernel) == Some(TypeId::VOID)
    }

    /// The object that a callback of a struct_ops type may return.
    fn returned_object(&self) -> Option<TypeRef> {
        if !self.hook.program.is_struct_ops() {
            return None;
        }
        let prototype = self.hook.prototype?;
        let btf = self.kernel.btf_of(prototype.home);
        let (_, pointer) = btf.resolve(self.hook.returns(self.kernel)?)?;
        if pointer.kind() != BtfKind::Ptr {
            return None;
        }
        let (id, _) = btf.resolve(pointer.target())?;
        Some(self.type_at(BtfOf::Kernel(prototype.home), id))
    }

    /// What a program of a cgroup sets to be returned in its place.
    ///
    /// # Errors
    /// Its hook may not return that, or nothing.
    pub fn check_set_retval(&mut self, register: u8) -> Step {
        if self.hook.returns(self.kernel) == Some(TypeId::VOID) {
            let message = "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!";
            return Err(Stop::einval(Why::ReturnValue, message));
        }
        match self.rules.era {
            Era::V6_12 => return Ok(()),
            Era::V7_2 | Era::V7_3 => {}
            _ => return Err(Stop::unmodelled("what programs of cgroups return")),
        }
        if !self.reg(register).is_scalar() {
            return Err(Stop::einval(Why::WrongArgument, format!("R{register} is not a scalar")));
        }
        let (min, max) = lists::lsm_range(&self.hook.name);
        self.enforce_range(register, "At bpf_set_retval", RetvalRange { min, max, wide: false })
    }

    /// What the program may return, by its type; `None` is anything (`return_retval_range`).
    fn return_range(&self) -> Step<Option<RetvalRange>> {
        let range = |min, max| Some(RetvalRange { min, max, wide: true });
        Ok(match self.hook.program {
            Program::Fentry | Program::Fexit | Program::Fsession => range(0, 0),
            Program::FentryMulti | Program::FexitMulti | Program::FsessionMulti => range(0, 0),
            Program::Iter => range(0, 1),
            Program::Kprobe { session: true } => range(0, 1),
            Program::Lsm => {
                let (min, max) = lists::lsm_range(&self.hook.name);
                Some(RetvalRange { min, max, wide: false })
            }
            Program::LsmCgroup => match self.hook.returns(self.kernel) {
                Some(TypeId::VOID) => range(1, 1),
                Some(_) => range(0, 1),
                None => return Err(Stop::unmodelled("what the hook of the LSM returns")),
            },
            Program::StructOps(Ops::Qdisc | Ops::TcpCongestion | Ops::Dummy | Ops::Scx | Ops::ScxCid) => {
                range(0, 0)
            }
            Program::ModifyReturn
            | Program::TpBtf
            | Program::Kprobe { session: false }
            | Program::Tracepoint
            | Program::RawTracepoint
            | Program::RawTracepointWritable
            | Program::PerfEvent
            | Program::Syscall => None,
        })
    }

    /// A number is within a range.
    fn enforce_range(&mut self, register: u8, place: &str, range: RetvalRange) -> Step {
        let reg = self.reg(register);
        if !reg.is_scalar() {
            let of = self.reg_type(reg);
            let message = format!("{place} the register R{register} is not a known value ({of})");
            return Err(Stop::einval(Why::ReturnValue, message));
        }
        self.mark_precise(register)?;
        let reg = self.reg(register);
        if range_has(range, reg) {
            return Ok(());
        }
        Err(Stop::einval(Why::ReturnValue, bad_range(register, reg, range, place)))
    }

    /// A register's type as messages name it.
    fn reg_type(&self, reg: &Reg) -> String {
        type_name(reg.kind, reg.flags)
    }
}
