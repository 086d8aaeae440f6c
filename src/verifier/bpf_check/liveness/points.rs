//! Where states are compared and paths noted: the kernel's first walk over the code (`bpf_check_cfg`).

use super::super::checker::Checker;
use super::super::prog::Link;
use super::super::refusal::{Step, Stop, Why};
use super::calls::KfuncCall;
use crate::insn::{Callee, Op};
use crate::kernel::kfunc_flags::KfuncFlags;
use crate::kernel::{Lookup, helpers, kfuncs};

/// What a function may do, with those it calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects {
    /// It may sleep.
    pub might_sleep: bool,
    /// It may throw (`might_throw`).
    pub might_throw: bool,
    /// It may change the packet (`changes_pkt_data`).
    pub changes_packet: bool,
}

impl Effects {
    fn merge(&mut self, other: Self) {
        self.might_sleep |= other.might_sleep;
        self.might_throw |= other.might_throw;
        self.changes_packet |= other.changes_packet;
    }
}

/// Marks by instruction, and what functions may do.
#[derive(Debug, Default)]
pub struct Points {
    marks: Vec<u8>,
    /// By subprogram.
    pub effects: Vec<Effects>,
}

const UNSEEN: u8 = 0;
const DISCOVERED: u8 = 0x10;
const FALLTHROUGH: u8 = 1;
const BRANCH: u8 = 2;
const EXPLORED: u8 = 0x20;

/// The walk.
struct Walk<'c, 'a, 'd> {
    checker: &'c Checker<'a, 'd>,
    points: Points,
    state: Vec<u8>,
    stack: Vec<usize>,
}

impl Points {
    /// States are compared here.
    pub const PRUNE: u8 = 1;
    /// Paths are noted here.
    pub const JUMP: u8 = 2;
    /// States are kept here each time.
    pub const FORCE: u8 = 4;
    /// A function is called back from here.
    pub const CALLBACK: u8 = 8;
    /// An iterator is asked here.
    pub const ITER_NEXT: u8 = 16;
    /// A `may_goto`.
    pub const MAY_GOTO: u8 = 32;
    /// A jump leads here.
    pub const TARGET: u8 = 64;

    /// An instruction has a mark.
    pub fn has(&self, insn: usize, mark: u8) -> bool {
        self.marks.get(insn).is_some_and(|marks| marks & mark != 0)
    }

    fn set(&mut self, insn: usize, mark: u8) {
        if let Some(marks) = self.marks.get_mut(insn) {
            *marks |= mark;
        }
    }

    /// Walks over the code.
    ///
    /// # Errors
    /// The flow of control is refused.
    pub fn visit(checker: &Checker<'_, '_>) -> Step<Self> {
        let prog = &checker.prog;
        let len = prog.len();
        let effects = vec![Effects::default(); prog.subprogs.len()];
        let points = Self { marks: vec![0; len], effects };
        let mut walk = Walk { checker, points, state: vec![UNSEEN; len], stack: Vec::new() };
        walk.explore(0)?;
        if let Some(callback) = checker.exception_callback()
            && walk.state[prog.subprogs[callback].start] != EXPLORED
        {
            walk.explore(prog.subprogs[callback].start)?;
        }
        let mut at = 0;
        while at < len {
            if walk.state[at] != EXPLORED {
                return Err(Stop::einval(Why::Flow, format!("unreachable insn {at}")));
            }
            if prog.slots[at].insn.is_ld_imm64() {
                if walk.state.get(at + 1).is_some_and(|state| *state != UNSEEN) {
                    let message = format!("jump into the middle of ldimm64 insn {at}");
                    return Err(Stop::einval(Why::Flow, message));
                }
                at += 1;
            }
            at += 1;
        }
        Ok(walk.points)
    }
}

impl Walk<'_, '_, '_> {
    fn explore(&mut self, start: usize) -> Step {
        self.state[start] = DISCOVERED;
        self.stack.push(start);
        while let Some(&at) = self.stack.last() {
            if !self.visit(at)? {
                self.state[at] = EXPLORED;
                self.stack.pop();
            }
        }
        Ok(())
    }

    /// Follows an edge; whether there is more to do before the instruction is done.
    fn push(&mut self, at: usize, to: Option<usize>, distance: i64, edge: u8) -> Step<bool> {
        if self.state[at] >= DISCOVERED | edge {
            return Ok(false);
        }
        let Some(to) = to.filter(|to| *to < self.state.len()) else {
            let message = format!("jump out of range from insn {at} to {}", at as i64 + distance);
            return Err(Stop::einval(Why::Flow, message));
        };
        if edge == BRANCH {
            self.points.set(to, Points::PRUNE | Points::JUMP | Points::TARGET);
        }
        match self.state[to] {
            UNSEEN => {
                self.state[at] = DISCOVERED | edge;
                self.state[to] = DISCOVERED;
                self.stack.push(to);
                return Ok(true);
            }
            EXPLORED => self.state[at] = DISCOVERED | edge,
            // A jump back, which privileged programs may do.
            _ => {}
        }
        Ok(false)
    }

    fn falls(&mut self, at: usize, slots: usize) -> Step<bool> {
        self.push(at, Some(at + slots), slots as i64, FALLTHROUGH)
    }

    fn jumps(&mut self, at: usize, distance: i64, edge: u8) -> Step<bool> {
        self.push(at, at.checked_add_signed(distance as isize), distance, edge)
    }

    /// A call, or the address of a function: control comes back behind it.
    fn visit_call(&mut self, at: usize, slots: usize, callee: Option<usize>) -> Step<bool> {
        if self.falls(at, slots)? {
            return Ok(true);
        }
        self.points.set(at + slots, Points::PRUNE | Points::JUMP);
        let Some(callee) = callee else { return Ok(false) };
        self.points.set(at, Points::PRUNE);
        let effects = self.points.effects[callee];
        self.own_effects(at).merge(effects);
        let start = self.checker.prog.subprogs[callee].start;
        self.push(at, Some(start), 0, BRANCH)
    }

    fn own_effects(&mut self, at: usize) -> &mut Effects {
        &mut self.points.effects[self.checker.prog.owner[at]]
    }

    /// One instruction; whether there is more to do before it is done.
    fn visit(&mut self, at: usize) -> Step<bool> {
        let slot = &self.checker.prog.slots[at];
        match slot.op {
            Op::LoadImm64 { .. } => match slot.link {
                Link::Subprog(subprog) => self.visit_call(at, 2, Some(subprog)),
                _ => self.falls(at, 2),
            },
            Op::Exit => Ok(false),
            Op::Call(callee) => {
                if let (Callee::Function(_), Link::Unknown(reason)) = (callee, &slot.link) {
                    return Err(Stop::Unknown(reason.clone()));
                }
                self.mark_call(at, callee)?;
                let subprog = match slot.link {
                    Link::Subprog(subprog) => Some(subprog),
                    _ => None,
                };
                self.visit_call(at, 1, subprog)
            }
            Op::JumpTable { .. } => Err(Stop::unmodelled("jumps through a table")),
            Op::Jump(distance) => {
                let distance = i64::from(distance) + 1;
                if self.jumps(at, distance, FALLTHROUGH)? {
                    return Ok(true);
                }
                let to = at.wrapping_add_signed(distance as isize);
                self.points.set(to, Points::PRUNE | Points::JUMP | Points::TARGET);
                Ok(false)
            }
            Op::Branch { off, .. } | Op::MayGoto(off) => {
                self.points.set(at, Points::PRUNE);
                if matches!(slot.op, Op::MayGoto(_)) {
                    self.points.set(at, Points::FORCE | Points::MAY_GOTO);
                }
                if self.falls(at, 1)? {
                    return Ok(true);
                }
                self.jumps(at, i64::from(off) + 1, BRANCH)
            }
            _ => self.falls(at, 1),
        }
    }

    /// What a call is marked with.
    fn mark_call(&mut self, at: usize, callee: Callee) -> Step {
        let checker = self.checker;
        let callback = match callee {
            Callee::Helper(number) => {
                let helper = helpers::get(number);
                if helper.is_some_and(|helper| helper.may_sleep()) {
                    self.own_effects(at).might_sleep = true;
                }
                helper.and_then(|helper| helper.callback())
            }
            Callee::Kfunc => {
                let Some(kfunc) = KfuncCall::of(checker, at) else { return Ok(()) };
                let flags = match &kfunc.flags {
                    Lookup::Found(flags) => *flags,
                    Lookup::Absent => KfuncFlags::NONE,
                    Lookup::Unknown(reason) => return Err(Stop::Unknown(reason.clone())),
                };
                if flags.contains(KfuncFlags::ITER_NEXT) {
                    self.points.set(at, Points::PRUNE | Points::FORCE | Points::ITER_NEXT);
                }
                let effects = self.own_effects(at);
                effects.might_sleep |= flags.contains(KfuncFlags::SLEEPABLE);
                effects.might_throw |= kfunc.name == kfuncs::THROW;
                effects.changes_packet |= kfunc.name == "bpf_xdp_pull_data";
                match kfunc.name.as_str() {
                    name if name.starts_with("bpf_task_work_schedule_") => {
                        self.points.set(at, Points::PRUNE);
                        None
                    }
                    name => kfuncs::callback(name),
                }
            }
            Callee::Function(_) | Callee::Unknown => None,
        };
        if let Some(callback) = callback {
            self.points.set(at, Points::PRUNE);
            if !callback.later {
                self.points.set(at, Points::CALLBACK | Points::FORCE | Points::JUMP);
            }
        }
        Ok(())
    }
}
