//! Where paths are compared and forgotten: `is_state_visited`, `states_equal` and what they need.

use super::checker::Checker;
use super::refusal::Step;

/// How a path came from its checkpoint to where it is: what backtracking needs (`jmp_history`).
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// The first instruction after the checkpoint.
    pub first: usize,
    /// The last instruction walked.
    pub last: usize,
}

impl Trace {
    /// A path that begins at an instruction.
    pub fn start(first: usize) -> Self {
        Self { first, last: usize::MAX }
    }

    /// The path came from an instruction.
    pub fn reached(&mut self, from: usize) {
        self.last = from;
    }
}

/// A register or slot that holds the same number as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkedReg {
    /// Its frame.
    pub frame: usize,
    /// It is a register.
    pub is_reg: bool,
    /// Which register or slot.
    pub at: usize,
}

/// States that were kept.
#[derive(Debug, Default)]
pub struct Checkpoints {}

impl Checkpoints {
    /// None is kept.
    pub fn clear(&mut self) {}
}

impl Checker<'_, '_> {
    /// Was a state seen here from which everything is known to be safe that is possible now (`is_state_visited`).
    ///
    /// # Errors
    /// An endless loop, or too many states.
    pub fn is_state_visited(&mut self) -> Step<bool> {
        Ok(false)
    }

    /// Notes that the path came here by a jump (`push_jmp_history`).
    pub fn push_jump(&mut self) {}

    /// Notes that the instruction stored or loaded a register at a slot of a frame's stack.
    pub fn note_stack_access(&mut self, _frame: usize, _slot: usize) {}

    /// Notes registers that a branch said something of together (`linked_regs_pack`).
    pub fn note_linked(&mut self, _linked: &[LinkedReg]) {}

    /// Notes that the branch compared pointers to the stack (`INSN_F_DST_REG_STACK`, `INSN_F_SRC_REG_STACK`).
    pub fn note_stack_operands(&mut self, _dst: bool, _src: bool) {}

    /// What matters not of the state that waits behind a `may_goto` is forgotten (`widen_imprecise_scalars`).
    pub fn widen_for_may_goto(&mut self, _waiting: &mut super::state::State) {}

    /// The same where a callback has returned to the call at an instruction.
    ///
    /// # Errors
    /// It is not modelled.
    pub fn widen_after_callback(&mut self, _callsite: usize) -> Step {
        Ok(())
    }

    /// What matters not of a state that waits is forgotten, against the last state that was kept at an instruction
    /// (`widen_imprecise_scalars`).
    pub fn widen_imprecise(&mut self, _waiting: &mut super::state::State, _insn: usize, _iter: bool) {}

    /// The trace of a branch that waits, which begins where the path is now.
    pub fn branch_trace(&mut self) -> Trace {
        self.trace.clone()
    }

    /// The path has come to its end (`update_branch_counts`).
    ///
    /// # Errors
    /// None yet.
    pub fn path_ends(&mut self) -> Step {
        Ok(())
    }

    /// What is known of a scalar mattered (`mark_chain_precision`): so it does where it came from.
    ///
    /// # Errors
    /// The walk back is not modelled.
    pub fn mark_precise(&mut self, register: u8) -> Step {
        self.reg_mut(register).precise = true;
        Ok(())
    }

    /// The same for registers stored in a frame's stack, by slot (`mark_chain_precision_batch`).
    ///
    /// # Errors
    /// As [`Self::mark_precise`].
    pub fn mark_slots_precise(&mut self, frame: usize, slots: &[usize]) -> Step {
        for slot in slots {
            self.state.frames[frame].stack[*slot].reg.precise = true;
        }
        Ok(())
    }
}
