//! What a program is: its type, what it attaches to, what it is given, may do with that, and must return.

use super::checker::Checker;
use super::mem::Access;
use super::refusal::{Step, Stop};
use super::reg::{Flags, Kind, Reg};
use super::rules::Rules;
use crate::kernel::Kernel;
use crate::load::Load;
use crate::object::FuncIdx;

/// What kind of program it is.
#[derive(Debug, Clone)]
pub struct Hook {
    /// It was loaded as one that may sleep.
    pub sleepable: bool,
    /// It is a callback of a struct_ops type.
    pub struct_ops: bool,
}

impl Hook {
    /// Of a program (`bpf_check_attach_target` and what comes before it).
    ///
    /// # Errors
    /// What it attaches to is refused, or the program type is not modelled.
    pub fn of(load: &Load<'_, '_>, _kernel: &Kernel<'_>, _rules: &Rules, program: FuncIdx) -> Step<Self> {
        let entry = load.object[program].entry.as_ref();
        let Some(entry) = entry else { return Err(Stop::unmodelled("no program")) };
        Ok(Self {
            sleepable: entry.sleepable,
            struct_ops: entry.kind == crate::object::ProgramKind::STRUCT_OPS,
        })
    }
}

impl Hook {
    /// It is a callback of a struct_ops type.
    pub fn is_struct_ops(&self) -> bool {
        self.struct_ops
    }
}

impl Checker<'_, '_> {
    /// The arguments of a call match the prototype of the function (`btf_check_func_arg_match`).
    ///
    /// # Errors
    /// They do not: of a global function that is refused, with the words about the argument.
    pub fn check_arguments_match(&mut self, subprog: usize) -> Step {
        let _ = subprog;
        Err(Stop::unmodelled("arguments of functions"))
    }

    /// A function returns nothing (`subprog_returns_void`).
    ///
    /// # Errors
    /// It is not known.
    pub fn is_void(&self, _subprog: usize) -> Step<bool> {
        Err(Stop::unmodelled("what functions return"))
    }

    /// The registers as a function of the program finds them: of the program itself its context, of a global function
    /// what its prototype says (`do_check_common`, `btf_prepare_func_args`).
    ///
    /// # Errors
    /// A global function with a prototype that is refused.
    pub fn enter(&mut self, subprog: usize) -> Step {
        if subprog > 0 {
            return Err(Stop::unmodelled("global functions"));
        }
        *self.reg_mut(1) = Reg::new(Kind::Ctx, Flags::NONE);
        Ok(())
    }

    /// An access to the context (`check_ctx_access`); a load puts what it reads into its register.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_context(&mut self, _base: &Reg, _access: Access) -> Step {
        Err(Stop::unmodelled("the context of this program type"))
    }

    /// What the program, or a global function, returns (`check_return_code`).
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_return_code(&mut self, _register: u8) -> Step {
        Err(Stop::unmodelled("what programs of this type return"))
    }
}
