//! Whether a path needs to be walked on (`is_state_visited`).

use super::super::checker::Checker;
use super::super::precision::Start;
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::{Byte, IterState, Kind};
use super::super::rules::Era;
use super::super::state::State;
use super::checkpoints::Checkpoint;
use super::equal::{Level, same_callsites, states_equal, states_maybe_looping};

/// Steps noted since the last checkpoint that make a new one at the next place.
const MOST_JUMPS: usize = 40;

impl Checker<'_, '_> {
    /// Was a state seen here from which everything is known to be safe that is possible now (`is_state_visited`).
    ///
    /// # Errors
    /// An endless loop, or too many states.
    pub fn is_state_visited(&mut self) -> Step<bool> {
        let insn = self.insn;
        let is_forced = self.liveness.is_force_checkpoint(insn);
        let force = is_forced || self.trace.jumps.len() > MOST_JUMPS;
        let jumps = self.jumps.wrapping_sub(self.checkpoints.prev_jumps);
        let insns = self.processed.wrapping_sub(self.checkpoints.prev_insns);
        let mut add = force || jumps >= 2 && insns >= 8;
        let bucket = self.checkpoints.bucket(insn, self.state.frame().callsite, self.prog.len());
        self.clean_states(bucket);
        // From the newest one on; those behind the place were looked at.
        let mut left = self.checkpoints.buckets[bucket].len();
        while left > 0 {
            left -= 1;
            let number = self.checkpoints.buckets[bucket][left];
            if self.checkpoints.get(number).insn != insn {
                continue;
            }
            let is_walked = self.checkpoints.get(number).branches > 0;
            let (equal, in_loop) = if is_walked {
                let equal = self.comes_back_to(number)?;
                if !equal && !force && jumps < 20 && insns < 100 {
                    add = false;
                }
                // Up to 6.16 callbacks were no loops.
                let in_loop = equal && (!self.liveness.calls_callback(insn) || self.rules.since(Era::V6_17));
                (equal, in_loop)
            } else {
                let incomplete = self.has_incomplete_marks(number);
                let exact = if incomplete { Level::RangeWithin } else { Level::NotExact };
                (self.is_equal_to(number, exact), incomplete)
            };
            if equal {
                self.checkpoints.nodes[number as usize].hits += 1;
                if self.liveness.is_jump_point(insn) {
                    self.push_jump();
                }
                self.propagate_precision_to_path(number)?;
                if in_loop {
                    self.add_backedge(number);
                }
                return Ok(true);
            }
            let node = &mut self.checkpoints.nodes[number as usize];
            if add {
                node.misses += 1;
            }
            let patience = if is_forced && node.branches > 0 { 64 } else { 3 };
            if node.misses > node.hits * patience + patience {
                node.retired = true;
                self.checkpoints.buckets[bucket].remove(left);
                self.maybe_forget(number);
            }
        }
        if add {
            self.keep_state(bucket);
        }
        Ok(false)
    }

    /// The current state and a checkpoint are equal.
    fn is_equal_to(&mut self, number: u32, exact: Level) -> bool {
        let ids = &mut self.checkpoints.ids;
        ids.reset(self.last_id);
        let node = &self.checkpoints.nodes[number as usize];
        states_equal(&self.rules, &self.liveness, node, &self.state, ids, exact)
    }

    /// A checkpoint on the way here has the same state: the loop converged. An endless loop is refused.
    fn comes_back_to(&mut self, number: u32) -> Step<bool> {
        let insn = self.insn;
        let old = &self.checkpoints.get(number).state;
        let frame = old.frame();
        if frame.in_async_callback && frame.async_entry != self.state.frame().async_entry {
            return Ok(false);
        }
        if self.liveness.is_iter_next(insn) {
            return Ok(self.is_equal_to(number, Level::RangeWithin) && self.iterator_is_active());
        }
        if self.liveness.is_may_goto(insn) {
            let passed = self.checkpoints.get(number).state.may_goto_depth != self.state.may_goto_depth;
            if passed && self.is_equal_to(number, Level::RangeWithin) {
                return Ok(true);
            }
        }
        if self.liveness.calls_callback(insn) {
            return Ok(self.is_equal_to(number, Level::RangeWithin));
        }
        let old = &self.checkpoints.get(number).state;
        if states_maybe_looping(&self.rules, old, &self.state) && self.is_equal_to(number, Level::Exact) {
            let (old, cur) = (&self.checkpoints.get(number).state, &self.state);
            if !iterator_depths_differ(old, cur)
                && old.may_goto_depth == cur.may_goto_depth
                && old.callback_unroll_depth == cur.callback_unroll_depth
            {
                let message = format!("infinite loop detected at insn {insn}");
                return Err(Stop::einval(Why::EndlessLoop, message));
            }
        }
        Ok(false)
    }

    /// The iterator that r1 points to has not come to its end.
    fn iterator_is_active(&self) -> bool {
        let reg = self.reg(1);
        let Kind::Stack(frame) = reg.kind else { return false };
        let slot = reg.offset().and_then(|offset| usize::try_from((-offset - 1) / 8).ok());
        let stack = self.state.frames.get(usize::from(frame)).map(|frame| &frame.stack);
        let slot = stack.zip(slot).and_then(|(stack, slot)| stack.get(slot));
        slot.is_some_and(|slot| matches!(slot.reg.kind, Kind::StackIter { state: IterState::Active, .. }))
    }

    /// Keeps the current state; the path goes on from it.
    fn keep_state(&mut self, bucket: usize) {
        self.checkpoints.prev_jumps = self.jumps;
        self.checkpoints.prev_insns = self.processed;
        self.state.forget_precision();
        if self.rules.clears_singular_ids() {
            self.state.clear_singular_ids();
        }
        let node = Checkpoint {
            state: self.state.clone(),
            trace: self.trace.clone(),
            insn: self.insn,
            branches: 1,
            visit: None,
            hits: 0,
            misses: 0,
            retired: false,
            cleaned: false,
        };
        let number = self.checkpoints.keep(bucket, node);
        self.enter_loop(number);
        self.trace.restart(self.insn, number);
        self.state.dfs_depth += 1;
    }

    /// What had to be precise after a checkpoint has to be on the way here too.
    fn propagate_precision_to_path(&mut self, number: u32) -> Step {
        let state = std::mem::replace(&mut self.state, State::empty());
        let trace = std::mem::take(&mut self.trace);
        let start = Start { state: &state, trace: &trace, insn: self.insn };
        let result = self.propagate_precision(number, start);
        self.state = state;
        self.trace = trace;
        result.map(|_| ())
    }

    /// The nearest checkpoint on the way here at an instruction, with the same calls (`find_prev_entry`). With `skip_own`
    /// not the one that was just made.
    fn prev_entry(&mut self, insn: usize, skip_own: bool) -> Option<u32> {
        let depth = if skip_own {
            self.checkpoints.get(self.trace.parent?).state.dfs_depth
        } else {
            self.state.dfs_depth
        };
        let bucket = self.checkpoints.bucket(insn, self.state.frame().callsite, self.prog.len());
        let states = self.checkpoints.buckets[bucket].iter().rev();
        states.copied().find(|&number| {
            let node = self.checkpoints.get(number);
            node.insn == insn
                && node.branches > 0
                && same_callsites(&node.state, &self.state)
                && node.state.dfs_depth < depth
        })
    }

    /// What did not matter of the state that waits behind a `may_goto`, or for an iterator's next element, and that differs from
    /// the round of the loop before, is forgotten (`widen_imprecise_scalars`).
    pub fn widen_for_may_goto(&mut self, waiting: &mut State) {
        self.widen_imprecise(waiting, self.insn, true);
    }

    /// The same of a loop that begins at an instruction. With `skip_own` the checkpoint that was just made there is the current
    /// round's.
    pub fn widen_imprecise(&mut self, waiting: &mut State, insn: usize, skip_own: bool) {
        if let Some(number) = self.prev_entry(insn, skip_own) {
            widen(&self.checkpoints.get(number).state, waiting);
        }
    }

    /// The same where a callback has returned to the call at an instruction.
    ///
    /// # Errors
    /// None yet.
    pub fn widen_after_callback(&mut self, callsite: usize) -> Step {
        if let Some(number) = self.prev_entry(callsite, false) {
            widen(&self.checkpoints.get(number).state, &mut self.state);
        }
        Ok(())
    }
}

/// Numbers that are not what they were a round before, and did not matter, are forgotten (`widen_imprecise_scalars`).
fn widen(old: &State, cur: &mut State) {
    for (old, cur) in old.frames.iter().zip(&mut cur.frames) {
        for (old, cur) in old.regs.iter().zip(&mut cur.regs) {
            super::equal::widen(old, cur);
        }
        for (old, cur) in old.stack.iter().zip(&mut cur.stack) {
            if old.is_spilled() && cur.is_spilled() {
                super::equal::widen(&old.reg, &mut cur.reg);
            }
        }
    }
}

/// An iterator that is not at its end was asked for its next element more or less often (`iter_active_depths_differ`).
fn iterator_depths_differ(old: &State, cur: &State) -> bool {
    let frames = old.frames.iter().zip(&cur.frames);
    let mut slots = frames.flat_map(|(old, cur)| old.stack.iter().zip(&cur.stack));
    slots.any(|(old, cur)| match (old.bytes[0], old.reg.kind, cur.reg.kind) {
        (Byte::Iter, Kind::StackIter { state: IterState::Active, depth, .. }, cur) => {
            !matches!(cur, Kind::StackIter { depth: now, .. } if now == depth)
        }
        _ => false,
    })
}
