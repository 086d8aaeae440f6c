//! What is refused by the look of the code, before and after it is walked.

use super::checker::Checker;
use super::refusal::Step;

impl Checker<'_, '_> {
    /// Subprograms, fields of instructions, the flow of control (`check_subprogs`, `resolve_pseudo_ldimm64`, `check_cfg`).
    ///
    /// # Errors
    /// It is refused.
    pub fn check_code(&mut self) -> Step {
        Ok(())
    }

    /// What is looked at once all paths were walked (`check_max_stack_depth`, fixups).
    ///
    /// # Errors
    /// It is refused.
    pub fn check_afterwards(&mut self) -> Step {
        Ok(())
    }
}
