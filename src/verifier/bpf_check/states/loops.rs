//! Loops whose precision is not complete before all paths through them were walked (`bpf_scc_visit`).
//!
//! So from 6.17 on. Before, a state knew the first state of its loop (`loop_entry`), to the same end.

use super::super::checker::Checker;
use super::super::precision::Start;
use super::super::refusal::Step;
use super::super::state::State;
use super::trace::Trace;

/// How often marks are passed on around a loop at most (`MAX_BACKEDGE_ITERS`).
const MOST_ROUNDS: u32 = 64;

/// A loop as it is reached by certain calls (`struct bpf_scc_callchain`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallChain {
    callsites: Vec<usize>,
    component: u32,
}

/// A path that came back to a state of its own loop (`struct bpf_scc_backedge`).
#[derive(Debug)]
pub struct Backedge {
    pub(super) state: State,
    pub(super) trace: Trace,
    pub(super) insn: usize,
    /// The checkpoint that it is equal to.
    pub(super) equal: u32,
}

/// A walk through a loop (`struct bpf_scc_visit`).
#[derive(Debug, Default)]
pub struct Visit {
    entry: Option<u32>,
    backedges: Vec<Backedge>,
}

impl Checker<'_, '_> {
    /// The loop that a state before an instruction is in (`compute_scc_callchain`).
    fn call_chain(&self, state: &State, insn: usize) -> Option<CallChain> {
        let last = state.frames.len() - 1;
        for frame in 0..=last {
            let at = if frame == last { insn } else { state.frames[frame + 1].callsite };
            let component = self.liveness.component(at);
            if component != 0 {
                let callsites =
                    state.frames.iter().take(frame + 1).skip(1).map(|frame| frame.callsite).collect();
                return Some(CallChain { callsites, component });
            }
        }
        None
    }

    /// A checkpoint may be the first of a loop (`maybe_enter_scc`).
    pub(super) fn enter_loop(&mut self, number: u32) {
        let node = self.checkpoints.get(number);
        let Some(chain) = self.call_chain(&node.state, node.insn) else { return };
        let next = self.checkpoints.visits.len() as u32;
        let visit = *self.checkpoints.visit_of.entry(chain).or_insert(next);
        if visit == next {
            self.checkpoints.visits.push(Visit::default());
        }
        self.checkpoints.nodes[number as usize].visit = Some(visit);
        self.checkpoints.visits[visit as usize].entry.get_or_insert(number);
    }

    /// All branches from a checkpoint were walked: if a loop began there, its marks can be completed (`maybe_exit_scc`).
    fn leave_loop(&mut self, number: u32) -> Step {
        let Some(visit) = self.checkpoints.get(number).visit else { return Ok(()) };
        let visit = &mut self.checkpoints.visits[visit as usize];
        if visit.entry != Some(number) {
            return Ok(());
        }
        visit.entry = None;
        let backedges = std::mem::take(&mut visit.backedges);
        self.checkpoints.backedges -= backedges.len();
        self.propagate_backedges(&backedges)
    }

    /// Marks of the states that paths came back to reach those paths, and so on around the loop (`propagate_backedges`).
    fn propagate_backedges(&mut self, backedges: &[Backedge]) -> Step {
        let mut rounds = 0;
        loop {
            if rounds > MOST_ROUNDS {
                for edge in backedges {
                    self.mark_all_precise(edge.trace.parent);
                }
                return Ok(());
            }
            rounds += 1;
            let mut changed = false;
            for edge in backedges.iter().rev() {
                let start = Start { state: &edge.state, trace: &edge.trace, insn: edge.insn };
                changed |= self.propagate_precision(edge.equal, start)?;
            }
            if !changed {
                return Ok(());
            }
        }
    }

    /// The path came back to a checkpoint of its own loop (`add_scc_backedge`).
    pub(super) fn add_backedge(&mut self, equal: u32) {
        let Some(visit) = self.checkpoints.get(equal).visit else { return };
        let edge = Backedge { state: self.state.clone(), trace: self.trace.clone(), insn: self.insn, equal };
        self.checkpoints.visits[visit as usize].backedges.push(edge);
        self.checkpoints.backedges += 1;
    }

    /// Marks of a checkpoint are not complete: its loop is still being walked (`incomplete_read_marks`).
    pub(super) fn has_incomplete_marks(&self, number: u32) -> bool {
        let visits = &self.checkpoints.visits;
        let visit = self.checkpoints.get(number).visit;
        visit.is_some_and(|visit| !visits[visit as usize].backedges.is_empty())
    }

    /// A checkpoint is kept no longer than it is needed.
    pub(super) fn maybe_forget(&mut self, number: u32) {
        let node = self.checkpoints.get(number);
        if node.retired && node.branches == 0 && !self.has_incomplete_marks(number) {
            self.checkpoints.forget(number);
        }
    }

    /// The path has come to its end (`bpf_update_branch_counts`).
    ///
    /// # Errors
    /// Backtracking from the end of a loop is not modelled.
    pub fn path_ends(&mut self) -> Step {
        let mut next = self.trace.parent;
        while let Some(number) = next {
            let node = &mut self.checkpoints.nodes[number as usize];
            node.branches = node.branches.saturating_sub(1);
            if node.branches > 0 {
                break;
            }
            next = node.trace.parent;
            self.leave_loop(number)?;
            self.maybe_forget(number);
        }
        Ok(())
    }
}
