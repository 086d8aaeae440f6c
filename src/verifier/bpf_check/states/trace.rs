//! How a path came to where it is, which backtracking reads from its end (`jmp_history`).

use super::super::checker::Checker;

/// Registers that share an id at most, of which a jump is noted (`LINKED_REGS_MAX`).
const MOST_LINKED: usize = 6;

/// A register or slot that holds the same number as another (`struct linked_reg`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkedReg {
    /// Its frame.
    pub frame: usize,
    /// It is a register.
    pub is_reg: bool,
    /// Which register or slot.
    pub at: usize,
}

/// Registers that share an id (`struct linked_regs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkedRegs {
    count: u8,
    /// The frame, the register or slot, and whether it is a register.
    entries: [(u8, u8, bool); MOST_LINKED],
}

impl LinkedRegs {
    fn new(regs: &[LinkedReg]) -> Self {
        let mut linked = Self::default();
        for (entry, reg) in linked.entries.iter_mut().zip(regs) {
            *entry = (reg.frame as u8, reg.at as u8, reg.is_reg);
            linked.count += 1;
        }
        linked
    }

    /// All of them: the frame, the register or slot, and whether it is a register.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u8, bool)> + '_ {
        self.entries[..usize::from(self.count)]
            .iter()
            .map(|(frame, at, is_reg)| (usize::from(*frame), *at, *is_reg))
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A step of a path that is not told by the code (`struct bpf_jmp_history_entry`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// The instruction.
    pub insn: usize,
    /// The one walked before it; `usize::MAX` is none.
    pub prev: usize,
    /// The slot of a frame's stack that it loads or stores a register at (`INSN_F_STACK_ACCESS`).
    pub slot: Option<(u8, u8)>,
    /// The first register of a comparison points to the stack (`INSN_F_DST_REG_STACK`).
    pub dst_is_stack: bool,
    /// The second one does (`INSN_F_SRC_REG_STACK`).
    pub src_is_stack: bool,
    /// Registers that learn from a comparison together.
    pub linked: LinkedRegs,
}

/// How a path came from its checkpoint to where it is: what backtracking needs.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// The first instruction after the checkpoint (`first_insn_idx`).
    pub first: usize,
    /// The instruction walked before the current one (`last_insn_idx`); `usize::MAX` is none.
    pub last: usize,
    /// The checkpoint.
    pub(in crate::verifier::bpf_check) parent: Option<u32>,
    /// What the code does not tell (`jmp_history`).
    pub(in crate::verifier::bpf_check) jumps: Vec<Jump>,
    /// The last of them is the current instruction's (`cur_hist_ent`).
    noted: bool,
}

impl Trace {
    /// A path that begins at an instruction.
    pub fn start(first: usize) -> Self {
        Self { first, last: usize::MAX, ..Self::default() }
    }

    /// The path came from an instruction.
    pub fn reached(&mut self, from: usize) {
        self.last = from;
        self.noted = false;
    }

    /// What is noted of the current instruction (`bpf_push_jmp_history`).
    fn note(&mut self, insn: usize) -> &mut Jump {
        if !self.noted {
            self.noted = true;
            self.jumps.push(Jump {
                insn,
                prev: self.last,
                slot: None,
                dst_is_stack: false,
                src_is_stack: false,
                linked: LinkedRegs::default(),
            });
        }
        let last = self.jumps.len() - 1;
        &mut self.jumps[last]
    }

    /// The path goes on from a new checkpoint.
    pub(super) fn restart(&mut self, first: usize, parent: u32) {
        self.first = first;
        self.parent = Some(parent);
        self.jumps.clear();
        self.noted = false;
    }

    /// What is noted of an instruction, if it is the last of so many (`get_jmp_hist_entry`).
    pub(in crate::verifier::bpf_check) fn noted_at(&self, left: usize, insn: usize) -> Option<&Jump> {
        left.checked_sub(1).and_then(|at| self.jumps.get(at)).filter(|jump| jump.insn == insn)
    }

    /// The instruction walked before one, going back (`get_prev_insn_idx`); `None` at the start of the trace. `Some(None)` is
    /// none.
    pub(in crate::verifier::bpf_check) fn before(
        &self,
        insn: usize,
        left: &mut usize,
    ) -> Option<Option<usize>> {
        if insn == self.first {
            match *left {
                0 => return None,
                1 if self.jumps.first().is_some_and(|jump| jump.insn == insn) => return None,
                _ => {}
            }
        }
        if let Some(jump) = self.noted_at(*left, insn) {
            *left -= 1;
            return Some((jump.prev != usize::MAX).then_some(jump.prev));
        }
        Some(insn.checked_sub(1))
    }
}

impl Checker<'_, '_> {
    /// Notes that the path came here by a jump (`push_jmp_history`).
    pub fn push_jump(&mut self) {
        self.trace.note(self.insn);
    }

    /// Notes that the instruction stored or loaded a register at a slot of a frame's stack.
    pub fn note_stack_access(&mut self, frame: usize, slot: usize) {
        self.trace.note(self.insn).slot = Some((frame as u8, slot as u8));
    }

    /// Notes which operands of a comparison point to the stack.
    pub fn note_stack_operands(&mut self, dst: bool, src: bool) {
        if dst || src {
            let jump = self.trace.note(self.insn);
            jump.dst_is_stack |= dst;
            jump.src_is_stack |= src;
        }
    }

    /// Notes which registers a comparison tells something of.
    pub fn note_linked(&mut self, linked: &[LinkedReg]) {
        self.trace.note(self.insn).linked = LinkedRegs::new(linked);
    }

    /// The trace of a branch that waits, which begins where the path is now: its checkpoint has one branch more.
    pub fn branch_trace(&mut self) -> Trace {
        if let Some(parent) = self.trace.parent {
            self.checkpoints.adds_branch(parent);
        }
        self.trace.clone()
    }
}
