//! Arithmetic (`check_alu_op`).

use super::checker::Checker;
use super::refusal::{Step, Stop};
use crate::insn::Op;

impl Checker<'_, '_> {
    /// An arithmetic instruction.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_alu(&mut self, _op: Op) -> Step {
        Err(Stop::unmodelled("arithmetic"))
    }
}
