//! Dynptrs on the stack.

use super::checker::Checker;
use super::refusal::{Step, Stop};
use super::reg::Byte;

impl Checker<'_, '_> {
    /// A dynptr that lies in a slot is overwritten (`destroy_if_dynptr_stack_slot`).
    ///
    /// # Errors
    /// It holds a reference.
    pub fn destroy_dynptr_at(&mut self, frame: usize, slot: usize) -> Step {
        if self.state.frames[frame].stack[slot].bytes[7] == Byte::Dynptr {
            return Err(Stop::unmodelled("a dynptr that is overwritten"));
        }
        Ok(())
    }
}
