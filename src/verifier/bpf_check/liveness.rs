//! What is found out about the code before it is walked: where paths are compared, and what is live where.

use super::checker::Checker;
use super::refusal::Step;

/// What is live where, and where paths are compared.
#[derive(Debug, Default)]
pub struct Liveness {}

impl Liveness {
    /// Looks at the program's code.
    ///
    /// # Errors
    /// The code is too entangled.
    pub fn compute(_checker: &Checker<'_, '_>) -> Step<Self> {
        Ok(Self {})
    }

    /// States are compared and kept before this instruction (`is_prune_point`).
    pub fn is_prune_point(&self, _insn: usize) -> bool {
        false
    }

    /// A register may be read after this instruction is reached (`live_regs_before`).
    pub fn is_live(&self, _insn: usize, _register: u8) -> bool {
        true
    }

    /// How a path came to this instruction is noted (`is_jmp_point`).
    pub fn is_jump_point(&self, _insn: usize) -> bool {
        false
    }
}
