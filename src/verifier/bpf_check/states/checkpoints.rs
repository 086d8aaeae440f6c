//! States that were kept, and how they hang together.

use super::super::state::State;
use super::equal::IdMap;
use super::loops::{CallChain, Visit};
use super::trace::Trace;
use rustc_hash::FxHashMap;

/// A state that was kept before an instruction (`struct bpf_verifier_state_list`).
#[derive(Debug)]
pub struct Checkpoint {
    /// The state.
    pub state: State,
    /// How the path came to it from the checkpoint before.
    pub trace: Trace,
    /// The instruction.
    pub insn: usize,
    /// Branches from here that are not walked to their end.
    pub branches: u32,
    /// The loop that it is in, as it was reached.
    pub(super) visit: Option<u32>,
    /// How often it was equal to another state.
    pub(super) hits: u32,
    /// How often it was not.
    pub(super) misses: u32,
    /// Nothing is compared with it any more (`in_free_list`).
    pub(super) retired: bool,
    /// What is never read again of it was forgotten (`cleaned`).
    pub(super) cleaned: bool,
}

/// States that were kept.
#[derive(Debug, Default)]
pub struct Checkpoints {
    /// All of them, by number.
    pub(in crate::verifier::bpf_check) nodes: Vec<Checkpoint>,
    /// Numbers that may be used again.
    free: Vec<u32>,
    /// Those that states are compared with, by instruction and call site, the newest one last (`explored_states`).
    pub(super) buckets: Vec<Vec<u32>>,
    /// Jumps walked when the last one was kept (`prev_jmps_processed`).
    pub(super) prev_jumps: u32,
    /// Instructions walked when the last one was kept (`prev_insn_processed`).
    pub(super) prev_insns: u32,
    /// Loops that are being walked (`scc_info`).
    pub(super) visits: Vec<Visit>,
    /// Which of them belongs to which calls.
    pub(super) visit_of: FxHashMap<CallChain, u32>,
    /// Paths that came back, over all of them.
    pub(super) backedges: usize,
    /// Reused by comparisons.
    pub(super) ids: IdMap,
}

impl Checkpoints {
    /// None is kept (`free_states`).
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.free.clear();
        self.buckets.iter_mut().for_each(Vec::clear);
        self.visits.clear();
        self.visit_of.clear();
        self.backedges = 0;
    }

    /// Where states at an instruction are kept (`bpf_explored_state`); others may be there as well.
    pub(super) fn bucket(&mut self, insn: usize, callsite: usize, slots: usize) -> usize {
        let slots = slots.max(1);
        if self.buckets.len() != slots {
            self.buckets.resize_with(slots, Vec::new);
        }
        (insn as u32 ^ callsite as u32) as usize % slots
    }

    /// A branch from a checkpoint waits.
    pub(super) fn adds_branch(&mut self, number: u32) {
        if let Some(node) = self.nodes.get_mut(number as usize) {
            node.branches += 1;
        }
    }

    /// Keeps a state; its number.
    pub(super) fn keep(&mut self, bucket: usize, node: Checkpoint) -> u32 {
        let number = match self.free.pop() {
            Some(number) => {
                self.nodes[number as usize] = node;
                number
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        self.buckets[bucket].push(number);
        number
    }

    /// Nothing will ask for a checkpoint any more (`maybe_free_verifier_state`).
    pub(super) fn forget(&mut self, number: u32) {
        let node = &mut self.nodes[number as usize];
        node.state.frames.clear();
        node.state.held.clear();
        node.trace.jumps = Vec::new();
        node.retired = false;
        self.free.push(number);
    }

    /// The checkpoint.
    pub(in crate::verifier::bpf_check) fn get(&self, number: u32) -> &Checkpoint {
        &self.nodes[number as usize]
    }
}
