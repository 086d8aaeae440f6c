//! Where control goes, and in which order code is looked at (`bpf_insn_successors`, `bpf_compute_postorder`, `bpf_compute_scc`).

use super::super::checker::Checker;
use super::super::prog::Link;
use super::super::refusal::{Step, Stop, Why};
use super::super::rules::Era;
use super::points::Points;
use crate::insn::{Op, Successors};
use crate::kernel::helpers;

/// The flow of control of a program, each function by itself.
#[derive(Debug)]
pub struct Graph {
    /// By instruction: where it goes on, the next instruction first.
    successors: Vec<[Option<usize>; 2]>,
    /// The instructions of each function that are reached, each after those it leads to.
    pub postorder: Vec<usize>,
    /// Where those of each function begin, and the end of all.
    pub starts: Vec<usize>,
}

impl Graph {
    /// Of a program as it stands.
    pub fn new(checker: &Checker<'_, '_>) -> Self {
        let prog = &checker.prog;
        let len = prog.len();
        let abnormal = checker.rules.since(Era::V6_19);
        let mut successors = vec![[None; 2]; len];
        for subprog in &prog.subprogs {
            let ops = subprog.start..subprog.end;
            let exit = ops.clone().rev().find(|at| prog.slots[*at].op == Op::Exit).unwrap_or(0);
            for at in ops {
                let op = prog.slots[at].op;
                let may_return =
                    op.helper() == Some(helpers::TAIL_CALL) || matches!(op, Op::LoadPacket { .. });
                successors[at] = match op.successors(at) {
                    Successors::Next(next) if may_return && abnormal => [Some(next), Some(exit)],
                    Successors::Next(next) => [Some(next), None],
                    Successors::Jump(to) => [Some(to), None],
                    Successors::Branch { falls, taken } | Successors::MayGoto { falls, taken } => {
                        [Some(falls), Some(taken)]
                    }
                    Successors::Table | Successors::Exit => [None, None],
                };
                for to in &mut successors[at] {
                    *to = to.filter(|to| *to < len);
                }
            }
        }
        let mut graph = Self { successors, postorder: Vec::with_capacity(len), starts: Vec::new() };
        graph.order(checker);
        graph
    }

    /// Where an instruction goes on.
    pub fn successors(&self, insn: usize) -> impl DoubleEndedIterator<Item = usize> + use<> {
        self.successors[insn].into_iter().flatten()
    }

    /// The part of the postorder that is a function's.
    pub fn function(&self, subprog: usize) -> &[usize] {
        &self.postorder[self.starts[subprog]..self.starts[subprog + 1]]
    }

    fn order(&mut self, checker: &Checker<'_, '_>) {
        const DISCOVERED: u8 = 1;
        const EXPLORED: u8 = 2;
        let mut state = vec![0; self.successors.len()];
        let mut stack = Vec::new();
        for subprog in &checker.prog.subprogs {
            self.starts.push(self.postorder.len());
            stack.push(subprog.start);
            while let Some(&top) = stack.last() {
                state[top] |= DISCOVERED;
                if state[top] & EXPLORED != 0 {
                    self.postorder.push(top);
                    stack.pop();
                    continue;
                }
                for next in self.successors[top].into_iter().flatten() {
                    if state[next] == 0 {
                        stack.push(next);
                        state[next] |= DISCOVERED;
                    }
                }
                state[top] |= EXPLORED;
            }
        }
        self.starts.push(self.postorder.len());
    }

    /// The loops that instructions are part of, numbered from 1 in the kernel's order; 0 is none.
    pub fn components(&self, points: &Points) -> Vec<u32> {
        let len = self.successors.len();
        const OFF: u32 = u32::MAX;
        let (mut pre, mut low) = (vec![0_u32; len], vec![0_u32; len]);
        let mut components = vec![0; len];
        let (mut stack, mut walk) = (Vec::new(), Vec::new());
        let (mut preorder, mut component) = (1, 1);
        for start in 0..len {
            if pre[start] != 0 {
                continue;
            }
            walk.push(start);
            'walk: while let Some(&at) = walk.last() {
                if pre[at] == 0 {
                    low[at] = preorder;
                    pre[at] = preorder;
                    preorder += 1;
                    stack.push(at);
                }
                for next in self.successors(at) {
                    if pre[next] == 0 {
                        walk.push(next);
                        continue 'walk;
                    }
                    low[at] = low[at].min(low[next]);
                }
                walk.pop();
                if low[at] < pre[at] {
                    continue;
                }
                let is_loop = stack.last() != Some(&at)
                    || self.successors(at).any(|next| next == at)
                    || points.has(at, Points::CALLBACK);
                while let Some(member) = stack.pop() {
                    low[member] = OFF;
                    if is_loop {
                        components[member] = component;
                    }
                    if member == at {
                        break;
                    }
                }
                component += u32::from(is_loop);
            }
        }
        components
    }

    /// The functions, each after those that it calls (`sort_subprogs_topo`).
    ///
    /// # Errors
    /// One calls itself, directly or through others.
    pub fn topological_order(&self, checker: &Checker<'_, '_>) -> Step<Vec<usize>> {
        let prog = &checker.prog;
        let count = prog.subprogs.len();
        let (mut color, mut order, mut stack) = (vec![0_u8; count], Vec::new(), Vec::new());
        for start in 0..count {
            if color[start] != 0 {
                continue;
            }
            color[start] = 1;
            stack.push(start);
            'walk: while let Some(&current) = stack.last() {
                for &at in self.function(current) {
                    let slot = &prog.slots[at];
                    let Link::Subprog(callee) = slot.link else { continue };
                    let is_call = matches!(slot.op, Op::Call(_));
                    match color[callee] {
                        0 => {
                            color[callee] = 1;
                            stack.push(callee);
                            continue 'walk;
                        }
                        1 if is_call && checker.rules.since(Era::V7_1) => {
                            let name = |subprog: usize| &checker.object[prog.subprogs[subprog].function].name;
                            let message =
                                format!("recursive call from {}() to {}()", name(current), name(callee));
                            return Err(Stop::einval(Why::StackDepth, message));
                        }
                        _ => {}
                    }
                }
                color[current] = 2;
                order.push(current);
                stack.pop();
            }
        }
        Ok(order)
    }
}
