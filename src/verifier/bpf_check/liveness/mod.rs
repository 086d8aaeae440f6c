//! What is found out about the code before it is walked: where paths are compared, and what is live where.

pub(in crate::verifier::bpf_check) mod calls;
mod constants;
mod graph;
mod marks;
mod points;
mod registers;
mod stack;
mod track;

use super::checker::Checker;
use super::refusal::Step;
use super::rules::Era;
use super::state::State;
use graph::Graph;
pub use points::{Effects, Points};
use stack::StackLiveness;
pub use stack::StackQuery;

/// What is live where, and where paths are compared.
#[derive(Debug, Default)]
pub struct Liveness {
    points: Points,
    /// The loop that an instruction is part of, 0 is none (`scc`).
    components: Vec<u32>,
    /// Registers that may be read at an instruction or after it, by bit (`live_regs_before`).
    live_regs: Vec<u16>,
    stack: StackLiveness,
}

impl Liveness {
    /// Of which no more is known than where paths are compared.
    pub fn of_points(points: Points) -> Self {
        Self { points, ..Self::default() }
    }

    /// Looks at the program's code. Branches that constants decide become jumps.
    ///
    /// # Errors
    /// The code is too entangled.
    pub fn compute(checker: &mut Checker<'_, '_>) -> Step<Self> {
        let points = std::mem::take(&mut checker.liveness.points);
        let graph = Graph::new(checker);
        let constants = constants::compute(checker, &graph);
        let graph = if checker.rules.since(Era::V7_1) && constants::prune(checker, &constants) {
            Graph::new(checker)
        } else {
            graph
        };
        let order = graph.topological_order(checker)?;
        let components = graph.components(&points);
        let calls = calls::summaries(checker);
        let live_regs = registers::compute(checker, &graph, &calls);
        let stack = StackLiveness::compute(checker, &graph, &points, &constants, &calls, &order)?;
        Ok(Self { points, components, live_regs, stack })
    }

    /// States are compared and kept before this instruction (`is_prune_point`).
    pub fn is_prune_point(&self, insn: usize) -> bool {
        self.points.has(insn, Points::PRUNE)
    }

    /// How a path came to this instruction is noted (`is_jmp_point`).
    pub fn is_jump_point(&self, insn: usize) -> bool {
        self.points.has(insn, Points::JUMP)
    }

    /// A state is kept before this instruction each time (`is_force_checkpoint`).
    pub fn is_force_checkpoint(&self, insn: usize) -> bool {
        self.points.has(insn, Points::FORCE)
    }

    /// It calls a function of the program back before it returns (`calls_callback`).
    pub fn calls_callback(&self, insn: usize) -> bool {
        self.points.has(insn, Points::CALLBACK)
    }

    /// It asks an iterator for its next element (`is_iter_next`).
    pub fn is_iter_next(&self, insn: usize) -> bool {
        self.points.has(insn, Points::ITER_NEXT)
    }

    /// It is a `may_goto`.
    pub fn is_may_goto(&self, insn: usize) -> bool {
        self.points.has(insn, Points::MAY_GOTO)
    }

    /// A jump leads to this instruction (`jump_target`).
    pub fn is_jump_target(&self, insn: usize) -> bool {
        self.points.has(insn, Points::TARGET)
    }

    /// What a subprogram may do, with those it calls (`struct bpf_subprog_info`).
    pub fn effects(&self, subprog: usize) -> Effects {
        self.points.effects.get(subprog).copied().unwrap_or_default()
    }

    /// The loop that an instruction is part of; 0 is none.
    pub(super) fn component(&self, insn: usize) -> u32 {
        self.components.get(insn).copied().unwrap_or(0)
    }

    /// Registers that may be read at an instruction or after it (`live_regs_before`), by bit.
    pub fn live_regs(&self, insn: usize) -> u16 {
        self.live_regs.get(insn).copied().unwrap_or(u16::MAX)
    }

    /// A register may be read after this instruction is reached (`live_regs_before`).
    pub fn is_live(&self, insn: usize, register: u8) -> bool {
        self.live_regs(insn) & 1 << (register & 15) != 0
    }

    /// What is asked about the stacks of a state before an instruction (`bpf_live_stack_query_init`).
    pub fn stack_query(&self, state: &State, insn: usize) -> StackQuery {
        self.stack.query(state, insn)
    }

    /// Halves of slots of a frame's stack that may be read later, by bit (`bpf_stack_slot_alive`).
    pub fn live_stack(&self, query: &StackQuery, frame: usize) -> u128 {
        self.stack.live(&self.points, query, frame)
    }
}
