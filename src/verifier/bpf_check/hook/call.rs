//! Arguments of calls to functions of the program (`btf_check_func_arg_match`).

use super::GlobalArg;
use crate::verifier::bpf_check::args::{Argument, Use};
use crate::verifier::bpf_check::btf_match::Matched;
use crate::verifier::bpf_check::checker::Checker;
use crate::verifier::bpf_check::dynptr::DynptrUse;
use crate::verifier::bpf_check::names::register_name;
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::{Flags, Kind, Reg, TypeRef};
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
            // Kfuncs that are given a pointer for a number are refused with the same words.
            GlobalArg::Scalar => Err(Stop::einval(Why::WrongArgument, format!("{name} is not a scalar"))),
            GlobalArg::Mem { flags, .. } | GlobalArg::BtfId { flags, .. } if flags.has(Flags::UNTRUSTED) => {
                Ok(())
            }
            GlobalArg::Ctx => {
                self.check_reg_offset(Argument::in_register(register, &reg), false)?;
                if reg.kind == Kind::Ctx && reg.flags == Flags::NONE {
                    return Ok(());
                }
                refused(format!("{} expects pointer to ctx", self.arg_word(register)))
            }
            GlobalArg::Arena if matches!(reg.kind, Kind::Arena | Kind::Scalar) => Ok(()),
            GlobalArg::Arena => refused(format!("{name} is not a pointer to arena or scalar.")),
            GlobalArg::Mem { size, flags } => self.check_memory_argument(register, &reg, size, flags),
            GlobalArg::Dynptr => {
                self.check_reg_offset(Argument::in_register(register, &reg), true)?;
                self.process_dynptr(register, DynptrUse::Reads(None), 0, None).map(drop)
            }
            GlobalArg::BtfId { flags, .. } if reg.is_null() && flags.has(Flags::MAYBE_NULL) => {
                // Before, what is passed was not marked.
                if self.rules.since(Era::V7_2) { self.mark_precise(register) } else { Ok(()) }
            }
            GlobalArg::BtfId { ty, flags } => self.check_object_argument(register, &reg, ty, flags),
        }
    }

    /// Memory of a size, which the function may read and write.
    fn check_memory_argument(&mut self, register: u8, reg: &Reg, size: u32, flags: Flags) -> Step {
        self.check_reg_offset(Argument::in_register(register, reg), true)?;
        // What may be NULL is held to its bounds as if it were not.
        let present = Reg { flags: reg.flags.without(Flags::MAYBE_NULL), ..*reg };
        let arg = Argument::in_register(register, &present);
        self.check_mem(arg, size, Use::Both, false).map_err(|stop| match stop {
            Stop::Refused { why, message, .. } => Stop::einval(why, message),
            other => other,
        })?;
        if flags.has(Flags::MAYBE_NULL) {
            return Ok(());
        }
        if reg.is_null() && !self.rules.since(Era::V7_2) {
            return match self.rules.era {
                Era::V6_12 => Ok(()),
                _ => Err(Stop::unmodelled("NULL that is passed to a function which does not take it")),
            };
        }
        if reg.is_null() || reg.may_be_null() {
            let message = format!("{} is expected to be non-NULL", self.arg_word(register));
            return Err(Stop::einval(Why::NullArgument, message));
        }
        Ok(())
    }

    /// An object of the kernel (`check_reg_type` for a global function).
    fn check_object_argument(&mut self, register: u8, reg: &Reg, need: TypeRef, flags: Flags) -> Step {
        let arg = Argument::in_register(register, reg);
        let nullable = flags.has(Flags::MAYBE_NULL);
        let folded = if nullable { reg.flags.without(Flags::MAYBE_NULL) } else { reg.flags };
        let taken = [Flags::NONE, Flags::TRUSTED, Flags::RCU].contains(&folded);
        let Kind::BtfId(ty) = reg.kind else { return Err(arg.unexpected("ptr_, trusted_ptr_, rcu_ptr_")) };
        if !taken {
            return Err(arg.unexpected("ptr_, trusted_ptr_, rcu_ptr_"));
        }
        let name = register_name(register);
        if self.rules.since(Era::V7_2) {
            self.check_ptr_off(reg, name, true)?;
        }
        let Some(off) = reg.offset() else {
            return Err(Stop::unmodelled("a pointer to a struct of the kernel at an unknown offset"));
        };
        match self.match_struct(ty, off, need, false, !reg.flags.has(Flags::ALLOC))? {
            Matched::Yes => self.check_reg_offset(arg, true),
            Matched::No(line) => {
                let words = || {
                    let (have, need) = (self.name_of_type(ty), self.name_of_type(need));
                    format!("{name} is of type {have} but {need} is expected")
                };
                Err(Stop::eacces(Why::WrongArgument, line.unwrap_or_else(words)))
            }
        }
    }
}
