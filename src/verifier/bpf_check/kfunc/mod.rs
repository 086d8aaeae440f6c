//! Calls of kfuncs (`check_kfunc_call`).

use super::checker::{Checker, Next};
use super::refusal::{Step, Stop};
use crate::insn::Callee;
use crate::kernel::Kfunc;
use crate::object::ExternIdx;

impl Checker<'_, '_> {
    /// A call while a lock is held.
    ///
    /// # Errors
    /// It is refused.
    pub fn check_call_under_lock(&mut self, _callee: Callee) -> Step {
        if self.state.active_locks == 0 {
            return Ok(());
        }
        Err(Stop::unmodelled("calls under a lock"))
    }

    /// A call of a kfunc.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_kfunc_call(&mut self, index: ExternIdx, _kfunc: Kfunc) -> Step<Next> {
        Err(Stop::unmodelled(format!("the call of kfunc '{}'", self.object[index].name)))
    }
}
