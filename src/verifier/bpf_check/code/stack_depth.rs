//! How much stack a chain of calls takes together (`check_max_stack_depth`).

use super::super::checker::Checker;
use super::super::prog::Link;
use super::super::refusal::{Step, Stop, Why};
use super::super::rules::Era;
use super::super::state::MAX_STACK;
use crate::errno::Errno;
use crate::insn::{Callee, Op};
use crate::kernel::{Lookup, kfuncs};

/// The least stack that is worth a stack of its own (`BPF_PRIV_STACK_MIN_SIZE`).
const LEAST_PRIVATE: i64 = 64;
/// Stack above a function that makes tail calls at most.
const TAIL_CALL: i64 = 256;

/// What is kept of a function on the chain (`struct bpf_subprog_call_depth_info`).
#[derive(Debug, Clone, Copy, Default)]
struct Caller {
    returns: usize,
    caller: Option<usize>,
    frame: usize,
}

/// Whether a function has a stack of its own (`enum priv_stack_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Private {
    Unknown,
    No,
    Yes,
}

impl Checker<'_, '_> {
    /// The stack of each chain of calls.
    ///
    /// # Errors
    /// It is too much.
    pub(super) fn check_max_stack_depth(&mut self) -> Step {
        let has_tail_call = self.subprogs.iter().any(|info| info.has_tail_call);
        let own = self.load.own_stack(self.prog.subprogs[0].function).filter(|_| !has_tail_call);
        match own.map_or(Lookup::Absent, |fact| self.kernel.knows(fact)) {
            Lookup::Found(()) => self.check_chains(true),
            Lookup::Absent => self.check_chains(false),
            Lookup::Unknown(reason) => match (self.check_chains(false), self.check_chains(true)) {
                (Ok(()), Ok(())) => Ok(()),
                _ => Err(Stop::Unknown(reason)),
            },
        }
    }

    fn check_chains(&self, private: bool) -> Step {
        let count = self.prog.subprogs.len();
        let mut links = vec![Caller::default(); count];
        let mut modes = vec![Private::Unknown; count];
        for number in (0..count).rev() {
            if number == 0 || self.subprogs[number].is_async_cb {
                self.check_chain(number, &mut links, &mut modes, number == 0 && private)?;
            }
        }
        Ok(())
    }

    fn rounded(&self, subprog: usize) -> i64 {
        (self.subprogs[subprog].stack_depth + 15) / 16 * 16
    }

    /// All chains of calls from a function (`check_max_stack_depth_subprog`).
    fn check_chain(&self, start: usize, links: &mut [Caller], modes: &mut [Private], private: bool) -> Step {
        let most_frames = self.rules.most_frames as usize;
        let globals_restart = self.rules.since(Era::V7_1);
        let (mut current, mut depth, mut frame) = (start, 0, 0);
        links[start].caller = None;
        let mut at = self.prog.subprogs[start].start;
        let chain = |links: &[Caller], from: usize| {
            std::iter::successors(Some(from), |at| links[*at].caller).collect::<Vec<_>>()
        };
        let mut enters = true;
        loop {
            if enters {
                enters = false;
                if !private {
                    modes[current] = Private::No;
                }
                let info = &self.subprogs[current];
                if info.has_ld_abs && chain(links, current).iter().any(|at| self.subprogs[*at].is_cb) {
                    return Err(Stop::einval(Why::Flow, "cannot use BPF_LD_[ABS|IND] within callback"));
                }
                if current != 0 && info.has_tail_call && depth >= TAIL_CALL {
                    let message = format!(
                        "tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large"
                    );
                    return Err(Stop::eacces(Why::StackDepth, message));
                }
                let own = self.rounded(current);
                if private && modes[current] == Private::Unknown && own >= LEAST_PRIVATE {
                    modes[current] = Private::Yes;
                }
                if modes[current] == Private::Yes {
                    if own > MAX_STACK {
                        let message = format!("stack size of subprog {current} is {own}. Too large");
                        return Err(Stop::eacces(Why::StackDepth, message));
                    }
                } else {
                    depth += own;
                    if depth > MAX_STACK {
                        let frames =
                            if self.rules.since(Era::V7_1) { chain(links, current).len() } else { frame + 1 };
                        let message = format!("combined stack size of {frames} calls is {depth}. Too large");
                        return Err(Stop::eacces(Why::StackDepth, message));
                    }
                }
            }
            let end = self.prog.subprogs[current].end;
            let mut entered = None;
            while at < end {
                let slot = &self.prog.slots[at];
                if let (Op::Call(Callee::Kfunc), Link::Kfunc(index, _)) = (slot.op, &slot.link)
                    && self.object[*index].name == kfuncs::THROW
                    && chain(links, current).iter().any(|at| self.subprogs[*at].is_cb)
                {
                    let message = format!(
                        "bpf_throw kfunc (insn {at}) cannot be called from callback subprog {current}"
                    );
                    return Err(Stop::einval(Why::Exception, message));
                }
                if let Link::Subprog(callee) = slot.link {
                    let is_call = matches!(slot.op, Op::Call(_));
                    let info = &self.subprogs[callee];
                    if !info.is_async_cb || is_call {
                        if info.is_exception_cb {
                            let message = format!("insn {at} cannot call exception cb directly");
                            return Err(Stop::einval(Why::Exception, message));
                        }
                        entered = Some(callee);
                        break;
                    }
                }
                at += 1;
            }
            if let Some(callee) = entered {
                links[current].frame = frame;
                links[current].returns = at + 1;
                links[callee].caller = Some(current);
                at = self.prog.subprogs[callee].start;
                let restarts = globals_restart && self.prog.subprogs[callee].is_global;
                frame = if restarts { 0 } else { frame + 1 };
                current = callee;
                if frame >= most_frames {
                    let message = format!("the call stack of {frame} frames is too deep !");
                    return Err(Stop::refused(Why::StackDepth, Errno::E2BIG, message));
                }
                enters = true;
                continue;
            }
            if self.subprogs[current].has_tail_call {
                let chain = chain(links, current);
                if globals_restart && chain.iter().any(|at| self.subprogs[*at].is_cb) {
                    return Err(Stop::einval(Why::Flow, "cannot tail call within callback"));
                }
                if chain.iter().skip(1).any(|at| self.subprogs[*at].is_exception_cb) {
                    return Err(Stop::einval(Why::Flow, "cannot tail call within exception cb"));
                }
            }
            let Some(caller) = links[current].caller else { return Ok(()) };
            if modes[current] != Private::Yes {
                depth -= self.rounded(current);
            }
            current = caller;
            frame = links[current].frame;
            at = links[current].returns;
        }
    }
}
