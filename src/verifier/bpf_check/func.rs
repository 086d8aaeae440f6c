//! Calls of functions of the program, callbacks, and returns.

use super::checker::{Checker, Next};
use super::refusal::{Step, Stop};
use super::state::{Frame, RetvalRange};

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
    /// A call of a function of the program (`check_func_call`).
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_func_call(&mut self, _subprog: usize) -> Step<Next> {
        Err(Stop::unmodelled("calls of functions"))
    }

    /// A helper or kfunc calls a function of the program back (`push_callback_call`). `arguments` fills the registers r1 to r5
    /// of the new frame from the caller's, and gives what the callback may return.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn push_callback(
        &mut self,
        _subprog: usize,
        _when: CallbackTime,
        _arguments: impl FnOnce(&mut Self, &Frame, &mut Frame) -> Step<RetvalRange>,
    ) -> Step {
        Err(Stop::unmodelled("callbacks"))
    }

    /// A return, of a function or of the program (`process_bpf_exit_full`).
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_exit(&mut self) -> Step<Next> {
        Err(Stop::unmodelled("returns"))
    }

    /// Nothing is held that must be given back first (`check_resource_leak`); `what` names what would leave it behind.
    ///
    /// # Errors
    /// Something is held.
    pub fn check_resource_leak(&mut self, _exception_exit: bool, _check_lock: bool, _what: &str) -> Step {
        Err(Stop::unmodelled("returns"))
    }

    /// Global functions that were called are walked by themselves (`do_check_subprogs`).
    ///
    /// # Errors
    /// One is refused, or not modelled.
    pub fn check_global_subprogs(&mut self) -> Step {
        Ok(())
    }
}
