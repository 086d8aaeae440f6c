//! Where numbers that mattered came from: those have to be known as well (`mark_chain_precision`, kernel/bpf/backtrack.c).

use super::checker::Checker;
use super::liveness::Liveness;
use super::prog::{Link, Prog};
use super::refusal::{Step, Stop};
use super::reg::{Kind, Slot};
use super::state::{MAX_CALL_FRAMES, State};
use super::states::{Checkpoint, Jump, Trace};
use crate::insn::{AtomicOp, Callee, Op, Operand};
use crate::kernel::helpers;

/// r1 to r5.
const ARGUMENTS: u16 = 0x3e;

/// Where the walk back begins.
#[derive(Clone, Copy)]
pub struct Start<'s> {
    /// The state there.
    pub state: &'s State,
    /// How the path came there.
    pub trace: &'s Trace,
    /// The instruction.
    pub insn: usize,
}

/// Registers and stack slots that are looked for, by frame (`struct backtrack_state`).
#[derive(Debug, Default)]
pub struct Backtrack {
    frame: usize,
    regs: [u16; MAX_CALL_FRAMES],
    slots: [u64; MAX_CALL_FRAMES],
}

/// What ends a walk back early.
enum Lost {
    /// Where it goes on is not known: all numbers on the way are taken to matter (`-ENOTSUPP`).
    All,
    /// The kernel would call it a bug of its own.
    Bug(&'static str),
}

impl Backtrack {
    fn is_empty(&self) -> bool {
        let frames = ..=self.frame;
        self.regs[frames].iter().all(|mask| *mask == 0) && self.slots[frames].iter().all(|mask| *mask == 0)
    }

    fn mask(&mut self) -> &mut u16 {
        &mut self.regs[self.frame]
    }

    fn has(&self, reg: u8) -> bool {
        self.regs[self.frame] & 1 << reg != 0
    }

    fn set(&mut self, reg: u8) {
        self.set_in(self.frame, reg);
    }

    fn clear(&mut self, reg: u8) {
        self.regs[self.frame] &= !(1 << reg);
    }

    /// A register of a frame is looked for.
    pub fn set_in(&mut self, frame: usize, reg: u8) {
        self.regs[frame] |= 1 << reg;
    }

    /// A slot of a frame is looked for.
    pub fn set_slot(&mut self, frame: usize, slot: usize) {
        if slot < 64 {
            self.slots[frame] |= 1 << slot;
        }
    }

    fn enter(&mut self) -> Result<(), Lost> {
        if self.frame + 1 >= MAX_CALL_FRAMES {
            return Err(Lost::Bug("backtracking enters too many frames"));
        }
        self.frame += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Lost> {
        self.frame = self.frame.checked_sub(1).ok_or(Lost::Bug("backtracking leaves the first frame"))?;
        Ok(())
    }

    /// If one of the linked registers is looked for, all are (`bpf_bt_sync_linked_regs`).
    fn sync_linked(&mut self, jump: Option<&Jump>) {
        let Some(jump) = jump.filter(|jump| !jump.linked.is_empty()) else { return };
        let is_set = jump.linked.iter().any(|(frame, at, is_reg)| {
            if is_reg { self.regs[frame] & 1 << at != 0 } else { self.slots[frame] & 1 << at != 0 }
        });
        if !is_set {
            return;
        }
        for (frame, at, is_reg) in jump.linked.iter() {
            if is_reg {
                self.set_in(frame, at);
            } else {
                self.set_slot(frame, at.into());
            }
        }
    }

    /// One instruction back (`backtrack_insn`). `next` is the one walked after it, `usize::MAX` where none was.
    fn step(
        &mut self,
        prog: &Prog,
        liveness: &Liveness,
        insn: usize,
        next: usize,
        jump: Option<&Jump>,
    ) -> Result<(), Lost> {
        let slot = &prog.slots[insn];
        if slot.insn.is_second_half() {
            return Ok(());
        }
        self.sync_linked(jump);
        let touched = jump.and_then(|jump| jump.slot);
        match slot.op {
            Op::Mov { dst, src, .. } => {
                if self.has(dst) {
                    self.clear(dst);
                    if let Some(src) = src.reg().filter(|src| *src != 10) {
                        self.set(src);
                    }
                }
            }
            Op::AddrSpaceCast { dst, src, .. } => {
                if self.has(dst) {
                    self.clear(dst);
                    if src != 10 {
                        self.set(src);
                    }
                }
            }
            Op::Alu { dst, src, .. } => {
                if self.has(dst)
                    && let Some(src) = src.reg().filter(|src| *src != 10)
                {
                    self.set(src);
                }
            }
            Op::Neg { .. } | Op::Swap { .. } => {}
            Op::Load { dst, .. } => self.loaded(dst, touched),
            Op::Atomic { op, operand, fetch: true, .. } => {
                self.loaded(if op == AtomicOp::CmpXchg { 0 } else { operand }, touched);
            }
            Op::Store { to, value, .. } => self.stored(to.base, value, touched)?,
            Op::Atomic { at, operand, .. } => self.stored(at.base, Operand::Reg(operand), touched)?,
            Op::Call(callee) => return self.called(prog, liveness, insn, next, callee, &slot.link, jump),
            Op::Exit => return self.returned(prog, next),
            Op::Branch { left, right: Operand::Reg(right), .. } => {
                if !self.has(left) && !self.has(right) {
                    return Ok(());
                }
                if jump.is_none_or(|jump| !jump.src_is_stack) {
                    self.set(right);
                }
                if jump.is_none_or(|jump| !jump.dst_is_stack) {
                    self.set(left);
                }
            }
            Op::LoadImm64 { dst, .. } => {
                self.clear(dst);
                return Ok(());
            }
            Op::LoadPacket { .. } => {
                if self.has(0) {
                    return Err(Lost::All);
                }
                if next != insn + 1 {
                    self.enter()?;
                }
                return Ok(());
            }
            Op::JumpTable { to } if self.has(to) || self.has(slot.insn.src) => {
                self.set(slot.insn.src);
                self.set(to);
            }
            Op::Branch { .. } | Op::Jump(_) | Op::JumpTable { .. } | Op::MayGoto(_) | Op::Unknown => {}
        }
        // What an instruction that ends early in the kernel's own walk sets, nothing links.
        self.sync_linked(jump);
        Ok(())
    }

    /// A register was loaded.
    fn loaded(&mut self, dst: u8, touched: Option<(u8, u8)>) {
        if self.has(dst) {
            self.clear(dst);
            if let Some((frame, slot)) = touched {
                self.set_slot(frame.into(), slot.into());
            }
        }
    }

    /// A register was stored.
    fn stored(&mut self, base: u8, value: Operand, touched: Option<(u8, u8)>) -> Result<(), Lost> {
        if self.has(base) {
            return Err(Lost::All);
        }
        let Some((frame, slot)) = touched else { return Ok(()) };
        let frame = usize::from(frame);
        if self.slots[frame] & 1 << slot != 0 {
            self.slots[frame] &= !(1 << slot);
            if let Operand::Reg(value) = value {
                self.set(value);
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn called(
        &mut self,
        prog: &Prog,
        liveness: &Liveness,
        insn: usize,
        next: usize,
        callee: Callee,
        link: &Link,
        jump: Option<&Jump>,
    ) -> Result<(), Lost> {
        if let Link::Subprog(subprog) = *link {
            if prog.subprogs[subprog].is_global {
                if *self.mask() & ARGUMENTS != 0 {
                    return Err(Lost::Bug("backtracking a call of a global function"));
                }
                self.clear(0);
                return Ok(());
            }
            if *self.mask() & !ARGUMENTS != 0 || self.slots[self.frame] != 0 {
                return Err(Lost::Bug("backtracking a call of a function"));
            }
            let arguments = std::mem::take(self.mask());
            self.leave()?;
            *self.mask() |= arguments;
            return Ok(());
        }
        if liveness.calls_callback(insn) && insn.wrapping_add(1) != next {
            if *self.mask() & !ARGUMENTS != 0 || self.slots[self.frame] != 0 {
                return Err(Lost::Bug("backtracking a callback"));
            }
            *self.mask() = 0;
            return self.leave();
        }
        self.clear(0);
        if *self.mask() & ARGUMENTS != 0 {
            return Err(Lost::Bug("backtracking a call"));
        }
        if callee == Callee::Helper(helpers::TAIL_CALL) && next != insn + 1 {
            self.enter()?;
        }
        self.sync_linked(jump);
        Ok(())
    }

    /// Back into a function that returned.
    fn returned(&mut self, prog: &Prog, next: usize) -> Result<(), Lost> {
        let call = next.checked_sub(1).filter(|_| next != usize::MAX).and_then(|at| prog.slots.get(at));
        let from_call =
            call.is_some_and(|slot| matches!((slot.op, &slot.link), (Op::Call(_), Link::Subprog(_))));
        let is_precise = from_call && self.has(0);
        if from_call && *self.mask() & ARGUMENTS != 0 {
            return Err(Lost::Bug("backtracking a return"));
        }
        self.clear(0);
        self.enter()?;
        if is_precise {
            self.set(0);
        }
        Ok(())
    }

    /// What is looked for is marked in a checkpoint; what is marked already, or no number, is not looked for any more. Whether
    /// anything was marked.
    fn mark(&mut self, state: &mut State) -> Result<bool, Lost> {
        let mut changed = false;
        for number in (0..=self.frame).rev() {
            if number >= state.frames.len() {
                return Err(Lost::Bug("backtracking a frame that is not there"));
            }
            if self.regs[number] == 0 && self.slots[number] == 0 {
                continue;
            }
            let frame = &mut state.frames[number];
            for reg in 0..11 {
                if self.regs[number] & 1 << reg == 0 {
                    continue;
                }
                let held = &mut frame.regs[reg];
                if held.kind != Kind::Scalar || held.precise {
                    self.regs[number] &= !(1 << reg);
                } else {
                    held.precise = true;
                    changed = true;
                }
            }
            let mut left = self.slots[number];
            while left != 0 {
                let slot = left.trailing_zeros() as usize;
                left &= left - 1;
                let Some(held) = frame.stack.get(slot) else {
                    return Err(Lost::Bug("backtracking a slot that is not there"));
                };
                if !held.is_spilled_scalar() || held.reg.precise {
                    self.slots[number] &= !(1 << slot);
                } else {
                    frame.stack[slot].reg.precise = true;
                    changed = true;
                }
            }
        }
        Ok(changed)
    }
}

/// Walks back from where a path is to where the registers and slots that are looked for came from
/// (`bpf_mark_chain_precision`). Whether a checkpoint was marked.
fn walk_back(
    prog: &Prog,
    liveness: &Liveness,
    nodes: &mut [Checkpoint],
    start: Start<'_>,
    bt: &mut Backtrack,
) -> Result<bool, Lost> {
    let mut changed = false;
    let mut last = Some(start.insn);
    let mut next = usize::MAX;
    let mut number: Option<u32> = None;
    let mut is_first = true;
    loop {
        let trace = number.map_or(start.trace, |number| &nodes[number as usize].trace);
        let Some(mut insn) = last else {
            // The entry of a global function: its arguments.
            let state = number.map_or(start.state, |number| &nodes[number as usize].state);
            let is_entry = state.frames.len() == 1
                && state.frames[0].subprog > 0
                && bt.slots[0] == 0
                && bt.regs[0] & !ARGUMENTS == 0;
            if !is_entry {
                return Err(Lost::Bug("backtracking beyond the entry"));
            }
            if let Some(number) = number {
                let frame = &mut nodes[number as usize].state.frames[0];
                for reg in (1..=5).filter(|reg| bt.regs[0] & 1 << reg != 0) {
                    if frame.regs[reg].is_scalar() {
                        frame.regs[reg].precise = true;
                        changed = true;
                    }
                }
            }
            return Ok(changed);
        };
        let mut left = trace.jumps.len();
        loop {
            if is_first {
                is_first = false;
            } else {
                let jump = trace.noted_at(left, insn);
                bt.step(prog, liveness, insn, next, jump)?;
            }
            if bt.is_empty() {
                return Ok(changed);
            }
            next = insn;
            match trace.before(insn, &mut left) {
                None => break,
                Some(Some(before)) => insn = before,
                Some(None) => return Err(Lost::Bug("backtracking beyond the first instruction")),
            }
        }
        let first = trace.first;
        let Some(parent) = trace.parent else { break };
        let node = &mut nodes[parent as usize];
        changed |= bt.mark(&mut node.state)?;
        if bt.is_empty() {
            return Ok(changed);
        }
        next = first;
        last = (node.trace.last != usize::MAX).then_some(node.trace.last);
        number = Some(parent);
    }
    if bt.is_empty() { Ok(changed) } else { Err(Lost::All) }
}

impl Checker<'_, '_> {
    /// What is known of a scalar mattered (`mark_chain_precision`): so it does where it came from.
    ///
    /// # Errors
    /// The walk back is not modelled.
    pub fn mark_precise(&mut self, register: u8) -> Step {
        if !self.reg(register).is_scalar() {
            return Err(Stop::unmodelled("precision of what is no number"));
        }
        let frame = self.state.current();
        let mut bt = Backtrack { frame, ..Backtrack::default() };
        bt.set(register);
        self.backtrack(bt).map(|_| ())
    }

    /// The same for registers stored in a frame's stack, by slot (`mark_chain_precision_batch`).
    ///
    /// # Errors
    /// As [`Self::mark_precise`].
    pub fn mark_slots_precise(&mut self, frame: usize, slots: &[usize]) -> Step {
        let mut bt = Backtrack { frame: self.state.current(), ..Backtrack::default() };
        for &slot in slots {
            bt.set_slot(frame, slot);
        }
        self.backtrack(bt).map(|_| ())
    }

    /// Walks back from the current state.
    fn backtrack(&mut self, mut bt: Backtrack) -> Step<bool> {
        if bt.is_empty() {
            return Ok(false);
        }
        let start = Start { state: &self.state, trace: &self.trace, insn: self.insn };
        let walked = walk_back(&self.prog, &self.liveness, &mut self.checkpoints.nodes, start, &mut bt);
        let parent = self.trace.parent;
        self.walked_back(walked, parent)
    }

    fn walked_back(&mut self, walked: Result<bool, Lost>, parent: Option<u32>) -> Step<bool> {
        match walked {
            Ok(changed) => Ok(changed),
            Err(Lost::All) => {
                self.mark_all_precise(parent);
                Ok(false)
            }
            Err(Lost::Bug(what)) => Err(Stop::unmodelled(what)),
        }
    }

    /// All numbers in a checkpoint and those before it matter (`bpf_mark_all_scalars_precise`).
    pub(super) fn mark_all_precise(&mut self, mut next: Option<u32>) {
        while let Some(number) = next {
            let node = &mut self.checkpoints.nodes[number as usize];
            node.state.change_regs(|reg| reg.is_scalar() && !reg.precise, |reg| reg.precise = true);
            next = node.trace.parent;
        }
    }

    /// What mattered after a checkpoint matters on the way to a state that is equal to it (`propagate_precision`). Whether
    /// anything was marked.
    ///
    /// # Errors
    /// As [`Self::mark_precise`].
    pub(super) fn propagate_precision(&mut self, equal: u32, start: Start<'_>) -> Step<bool> {
        let frame = start.state.frames.len() - 1;
        let mut bt = Backtrack { frame, ..Backtrack::default() };
        let old = &self.checkpoints.nodes[equal as usize].state;
        for (number, frame) in old.frames.iter().enumerate() {
            for reg in 0..10 {
                let held = &frame.regs[usize::from(reg)];
                if held.is_scalar() && held.precise {
                    bt.set_in(number, reg);
                }
            }
            let is_precise = |slot: &Slot| slot.is_spilled_scalar() && slot.reg.precise;
            for (slot, _) in frame.stack.iter().enumerate().filter(|(_, slot)| is_precise(slot)) {
                bt.set_slot(number, slot);
            }
        }
        if bt.is_empty() {
            return Ok(false);
        }
        let walked = walk_back(&self.prog, &self.liveness, &mut self.checkpoints.nodes, start, &mut bt);
        self.walked_back(walked, start.trace.parent)
    }
}
