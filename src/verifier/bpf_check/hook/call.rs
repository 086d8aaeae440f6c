//! Arguments of calls to functions of the program (`btf_check_func_arg_match`).

use super::GlobalArg;
use crate::verifier::bpf_check::checker::Checker;
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::{Flags, Kind, Reg};
use crate::verifier::bpf_check::rules::Era;

impl Checker<'_, '_> {
    /// The arguments of a call match the prototype of the function (`btf_check_func_arg_match`).
    ///
    /// # Errors
    /// They do not: of a global function that is refused, with the words about the argument.
    pub fn check_arguments_match(&mut self, subprog: usize) -> Step {
        let prototype = self.func_args(subprog)?;
        for (register, arg) in (1..).zip(&prototype.args) {
            self.check_argument(register, *arg)?;
        }
        Ok(())
    }

    /// What an argument is called: by its register, from 7.2 on; before, in some messages, by its number.
    fn arg_word(&self, register: u8) -> String {
        if self.rules.names_registers { format!("R{register}") } else { format!("arg#{}", register - 1) }
    }

    fn check_argument(&mut self, register: u8, arg: GlobalArg) -> Step {
        let reg = *self.reg(register);
        let name = format!("R{register}");
        let refused = |message: String| Err(Stop::einval(Why::GlobalFunction, message));
        match arg {
            GlobalArg::Scalar if reg.is_scalar() => Ok(()),
            GlobalArg::Scalar => refused(format!("{name} is not a scalar")),
            GlobalArg::Mem { flags, .. } | GlobalArg::BtfId { flags, .. } if flags.has(Flags::UNTRUSTED) => {
                Ok(())
            }
            GlobalArg::Ctx => {
                let fixed_ok = self.rules.since(Era::V7_2);
                self.check_argument_offset(&reg, &name, fixed_ok)?;
                if reg.kind == Kind::Ctx && reg.flags == Flags::NONE {
                    return Ok(());
                }
                refused(format!("{} expects pointer to ctx", self.arg_word(register)))
            }
            GlobalArg::Arena if matches!(reg.kind, Kind::Arena | Kind::Scalar) => Ok(()),
            GlobalArg::Arena => refused(format!("{name} is not a pointer to arena or scalar.")),
            GlobalArg::Mem { .. } => Err(Stop::unmodelled("memory that is passed to a function")),
            GlobalArg::Dynptr => Err(Stop::unmodelled("a dynptr that is passed to a function")),
            GlobalArg::BtfId { flags, .. } if reg.is_null() && flags.has(Flags::MAYBE_NULL) => {
                // Before, what is passed was not marked.
                if self.rules.since(Era::V7_2) { self.mark_precise(register) } else { Ok(()) }
            }
            GlobalArg::BtfId { .. } => Err(Stop::unmodelled("an object that is passed to a function")),
        }
    }

    /// Nothing was added to a pointer of a type that does not allow that (`check_func_arg_reg_off`).
    fn check_argument_offset(&self, reg: &Reg, name: &str, _fixed_ok: bool) -> Step {
        match reg.kind {
            Kind::Stack(_)
            | Kind::Packet
            | Kind::MapKey(_)
            | Kind::MapValue(_)
            | Kind::Mem(_)
            | Kind::Buf
            | Kind::Arena
            | Kind::Scalar
            | Kind::NotInit => Ok(()),
            Kind::BtfId(_) => self.check_ptr_off(reg, name, true),
            _ => self.check_ptr_off(reg, name, false),
        }
    }
}
