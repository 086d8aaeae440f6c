//! Jumps (`check_cond_jmp_op`, `check_indirect_jump`).

use super::checker::{Checker, Next};
use super::refusal::{Step, Stop};
use crate::insn::Op;

impl Checker<'_, '_> {
    /// A jump on a condition.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_branch(&mut self, _op: Op) -> Step<Next> {
        Err(Stop::unmodelled("branches"))
    }

    /// A jump through a table.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_indirect_jump(&mut self, _to: u8) -> Step<Next> {
        Err(Stop::unmodelled("jumps through a table"))
    }
}
