//! Which parts of the stacks of a call chain may be read later (kernel/bpf/liveness.c; as 7.1 and later find out).

use super::super::checker::Checker;
use super::super::prog::Link;
use super::super::refusal::{Step, Stop, Why};
use super::super::rules::Era;
use super::super::state::{MAX_CALL_FRAMES, State};
use super::calls::{Call, Touched};
use super::constants::{Constant, Constants};
use super::graph::Graph;
use super::marks::{Halves, Instance, touched_slots, whole_slots};
use super::points::Points;
use super::track::{SLOTS, Track, Whose, slot_at};
use crate::errno::Errno;
use crate::insn::{AluOp, AtomicOp, Callee, Class, LoadMode, Op, Operand, Width};
use crate::kernel::helpers;
use rustc_hash::FxHashMap;

/// Functions that are looked at, by call, at most.
const MOST_LOOKS: u32 = 10_000;

type Regs = [Track; 11];
type Stack = [Track; SLOTS];

/// Which parts of stacks may be read later.
#[derive(Debug, Default)]
pub struct StackLiveness {
    instances: Vec<Instance>,
    /// By depth and call.
    by_call: FxHashMap<(u8, usize), usize>,
    starts: Vec<usize>,
}

/// The functions of a state's call chain, as they are called there (`struct live_stack_query`).
#[derive(Debug)]
pub struct StackQuery {
    instances: [Option<usize>; MAX_CALL_FRAMES],
    callsites: [usize; MAX_CALL_FRAMES],
    last: usize,
    insn: usize,
}

impl StackLiveness {
    /// Looks at the code.
    ///
    /// # Errors
    /// It is too entangled.
    pub fn compute(
        checker: &Checker<'_, '_>,
        graph: &Graph,
        points: &Points,
        constants: &Constants,
        calls: &[Call],
        order: &[usize],
    ) -> Step<Self> {
        let subprogs = &checker.prog.subprogs;
        let mut look = Look {
            checker,
            graph,
            points,
            constants,
            calls,
            all: Self { starts: subprogs.iter().map(|subprog| subprog.start).collect(), ..Self::default() },
            seen: vec![false; subprogs.len()],
            whole: !checker.rules.since(Era::V7_1),
            at_calls: FxHashMap::default(),
            callsites: [0; MAX_CALL_FRAMES],
            looks: 0,
        };
        for &subprog in order.iter().rev() {
            if look.seen[subprog] && !subprogs[subprog].is_global {
                continue;
            }
            let instance = look.instance(None, 0, subprog);
            look.analyze(None, instance)?;
        }
        Ok(look.all)
    }

    /// The functions of a state's call chain.
    pub fn query(&self, state: &State, insn: usize) -> StackQuery {
        let last = state.current().min(MAX_CALL_FRAMES - 1);
        let mut query =
            StackQuery { instances: [None; MAX_CALL_FRAMES], callsites: [0; MAX_CALL_FRAMES], last, insn };
        for (number, frame) in state.frames.iter().enumerate().take(MAX_CALL_FRAMES) {
            let start = self.starts.get(frame.subprog).copied().unwrap_or(0);
            let found = (0..=number as u8).rev().find_map(|depth| {
                let key = if depth > 0 { frame.callsite } else { start };
                self.by_call.get(&(depth, key)).copied()
            });
            query.instances[number] = found;
            if let Some(above) = state.frames.get(number + 1) {
                query.callsites[number] = above.callsite;
            }
        }
        query
    }

    /// Halves of slots of a frame that may be read later.
    pub fn live(&self, points: &Points, query: &StackQuery, frame: usize) -> Halves {
        let live = |instance: &Instance, insn, frame| instance.live_before(frame, insn).unwrap_or(0);
        let Some(current) = query.instances[query.last].map(|number| &self.instances[number]) else {
            return Halves::MAX;
        };
        let shifted =
            |instance: &Instance, from: usize| (frame + usize::from(instance.depth)).checked_sub(from);
        let mut found = 0;
        if let Some(at) = shifted(current, query.last)
            && at <= usize::from(current.depth)
        {
            found = live(current, query.insn, at);
        }
        for number in frame..query.last {
            let Some(instance) = query.instances[number].map(|number| &self.instances[number]) else {
                return Halves::MAX;
            };
            let Some(at) = shifted(instance, number).filter(|at| *at <= usize::from(instance.depth)) else {
                return Halves::MAX;
            };
            let call = query.callsites[number];
            let after = if points.has(call, Points::CALLBACK) { call } else { call + 1 };
            found |= live(instance, after, at);
        }
        found
    }
}

/// The look at the code.
struct Look<'c, 'a, 'd> {
    checker: &'c Checker<'a, 'd>,
    graph: &'c Graph,
    points: &'c Points,
    constants: &'c Constants,
    calls: &'c [Call],
    all: StackLiveness,
    /// Slots are live as a whole, and dead only where an instruction stores all of one: before 7.1.
    whole: bool,
    /// Functions that were looked at.
    seen: Vec<bool>,
    /// What the caller's stack holds at a call.
    at_calls: FxHashMap<usize, Box<Stack>>,
    /// The calls that lead to the function, by frame.
    callsites: [usize; MAX_CALL_FRAMES],
    looks: u32,
}

impl Look<'_, '_, '_> {
    /// A function as it is called from one place (`call_instance`).
    fn instance(&mut self, depth: Option<u8>, callsite: usize, subprog: usize) -> usize {
        let found = &self.checker.prog.subprogs[subprog];
        let depth = depth.map_or(0, |depth| depth + 1);
        let key = if depth > 0 { callsite } else { found.start };
        if let Some(&number) = self.all.by_call.get(&(depth, key)) {
            return number;
        }
        let number = self.all.instances.len();
        self.all.instances.push(Instance::new(key, depth, subprog, found.start, found.end - found.start));
        self.all.by_call.insert((depth, key), number);
        number
    }

    /// Looks at a function with what it is called with, and at those that it calls (`analyze_subprog`). Calls deeper than a call
    /// stack are refused.
    fn analyze(&mut self, entry: Option<&Regs>, number: usize) -> Step {
        self.looks += 1;
        if self.looks > MOST_LOOKS {
            let message = format!("liveness analysis exceeded complexity limit ({} calls)", self.looks);
            return Err(Stop::refused(Why::TooComplex, Errno::E2BIG, message));
        }
        let is_again = self.all.instances[number].is_complete;
        let mut instance = if is_again {
            self.all.instances[number].fresh()
        } else {
            std::mem::take(&mut self.all.instances[number])
        };
        let subprog = instance.subprog;
        self.seen[subprog] = true;
        let before = self.dataflow(entry, &mut instance);
        let graph = self.graph;
        for &at in graph.function(subprog) {
            let regs = &before[at - instance.start];
            self.descend(&mut instance, at, regs)?;
        }
        if self.whole {
            for masks in instance.frames.iter_mut().flatten().flatten() {
                masks.reads = touched_slots(masks.reads);
                masks.writes = whole_slots(masks.writes);
            }
        }
        if is_again {
            self.all.instances[number].merge(instance);
        } else {
            self.all.instances[number] = instance;
        }
        self.all.instances[number].update(graph);
        Ok(())
    }

    /// Looks at the function that an instruction calls, if it is given an address of a stack.
    fn descend(&mut self, instance: &mut Instance, at: usize, regs: &Regs) -> Step {
        let slot = &self.checker.prog.slots[at];
        let depth = instance.depth;
        let mut args = [Track::NONE; 11];
        let callee = match (slot.op, &slot.link) {
            (Op::Call(_), Link::Subprog(callee)) => {
                args[1..6].copy_from_slice(&regs[1..6]);
                *callee
            }
            (Op::Call(Callee::Helper(helper)), _) if self.points.has(at, Points::CALLBACK) => {
                let (callback, from, to) = match helper {
                    helpers::LOOP => (2, 3, 2),
                    helpers::FOR_EACH_MAP_ELEM => (2, 3, 4),
                    _ => match helpers::get(helper).map(|helper| helper.name) {
                        Some("find_vma") => (3, 4, 3),
                        Some("user_ringbuf_drain") => (2, 3, 2),
                        _ => return Ok(()),
                    },
                };
                let Constant::Subprog(callee) = self.constants.get(at, callback) else {
                    if regs[from].whose != Whose::Nobody {
                        for frame in 0..=depth {
                            instance.reads(frame, at, Halves::MAX);
                        }
                    }
                    return Ok(());
                };
                args[to] = regs[from];
                callee
            }
            _ => return Ok(()),
        };
        if !args[1..6].iter().any(Track::is_pointer) {
            return Ok(());
        }
        if usize::from(depth) + 1 >= self.checker.rules.most_frames as usize {
            return Err(Stop::unmodelled("a call chain that is too deep, which is refused without a word"));
        }
        let number = self.instance(Some(depth), at, callee);
        self.callsites[usize::from(depth)] = at;
        self.analyze(Some(&args), number)?;
        let callee = &self.all.instances[number];
        for frame in 0..callee.depth {
            if let Some(live) = callee.live_before(frame.into(), callee.start) {
                instance.reads(frame, at, live);
            }
        }
        Ok(())
    }

    /// Follows addresses of stacks through a function, and notes what is read and written through them
    /// (`compute_subprog_args`). What is in the registers before each instruction.
    fn dataflow(&mut self, entry: Option<&Regs>, instance: &mut Instance) -> Vec<Regs> {
        let start = instance.start;
        let mut regs: Vec<Regs> = vec![[Track::UNVISITED; 11]; instance.len];
        let mut stacks: Vec<Stack> = vec![[Track::UNVISITED; SLOTS]; instance.len];
        if let (Some(regs), Some(stack)) = (regs.first_mut(), stacks.first_mut()) {
            *regs = [Track::NONE; 11];
            regs[10] = Track::at(instance.depth, 0);
            if let Some(entry) = entry {
                regs[1..6].copy_from_slice(&entry[1..6]);
            }
            *stack = [Track::NONE; SLOTS];
        }
        let graph = self.graph;
        let mut changed = true;
        while changed {
            changed = false;
            for &at in graph.function(instance.subprog).iter().rev() {
                let own = at - start;
                if !regs[own][0].is_visited() && !regs[own][1].is_visited() {
                    continue;
                }
                let (mut now, mut stack) = (regs[own], stacks[own]);
                self.step(instance.depth, at, &mut now, &mut stack);
                for next in graph.successors(at) {
                    let Some(next) = next.checked_sub(start).filter(|next| *next < regs.len()) else {
                        continue;
                    };
                    changed |= join_all(&mut regs[next], &now);
                    changed |= join_all(&mut stacks[next], &stack);
                }
            }
        }
        for &at in graph.function(instance.subprog).iter().rev() {
            let own = at - start;
            note_access(self.checker, instance, at, &regs[own]);
            let slot = &self.checker.prog.slots[at];
            if let Op::Call(_) = slot.op {
                self.note_call(instance, at, &regs[own]);
                if matches!(slot.link, Link::Subprog(_)) || self.points.has(at, Points::CALLBACK) {
                    self.at_calls.insert(at, Box::new(stacks[own]));
                }
            }
        }
        regs
    }

    /// What an instruction makes of registers and stack (`arg_track_xfer`).
    fn step(&self, depth: u8, at: usize, regs: &mut Regs, stack: &mut Stack) {
        let slot = &self.checker.prog.slots[at];
        let get = |regs: &Regs, reg: u8| regs.get(usize::from(reg)).copied().unwrap_or(Track::NONE);
        let (dst, value) = match slot.op {
            Op::Mov { wide: true, dst, src: Operand::Reg(src), sign: None } => (dst, get(regs, src)),
            Op::Mov { dst, .. } | Op::AddrSpaceCast { dst, .. } | Op::LoadImm64 { dst, .. } => {
                (dst, Track::NONE)
            }
            Op::Alu { op, wide: true, dst, src } => {
                let value = get(regs, dst);
                let value = match (op, src) {
                    (_, Operand::Reg(src)) => value.computed_with(get(regs, src)),
                    (AluOp::Add, Operand::Imm(imm)) => value.plus(imm.into()),
                    (AluOp::Sub, Operand::Imm(imm)) => value.plus(-i64::from(imm)),
                    _ => value.without_offset(),
                };
                (dst, value)
            }
            Op::Neg { wide: true, dst } => (dst, get(regs, dst).without_offset()),
            Op::Swap { dst, .. } if slot.insn.class() == Class::Alu64 => {
                (dst, get(regs, dst).without_offset())
            }
            Op::Alu { dst, .. } | Op::Neg { dst, .. } | Op::Swap { dst, .. } => (dst, Track::NONE),
            Op::Call(_) => {
                regs[..6].fill(Track::NONE);
                return;
            }
            Op::Load { dst, from, mode } => {
                let base = get(regs, from.base);
                let is_whole = mode == LoadMode::Plain && from.width == Width::B8;
                let value = match base.whose {
                    _ if !is_whole => Track::NONE,
                    _ if from.base == 10 || base.may_be_own(depth) => {
                        filled(from.base, base, from.off, stack, depth)
                    }
                    Whose::Frame(frame) if frame < depth => {
                        let call = self.callsites[usize::from(frame)];
                        match self.at_calls.get(&call) {
                            Some(stack) => filled(from.base, base, from.off, stack, frame),
                            None => Track::any_up_to(frame),
                        }
                    }
                    Whose::Some(mask) if mask != 0 => base,
                    _ => Track::NONE,
                };
                (dst, value)
            }
            Op::Store { to, value, release } => {
                let base = get(regs, to.base);
                if to.base == 10 || base.may_be_own(depth) {
                    let bytes = to.width.bytes();
                    match value {
                        Operand::Reg(value) if !release => {
                            let value = if bytes == 8 { get(regs, value) } else { Track::NONE };
                            spilled(to.base, base, to.off, stack, value);
                        }
                        _ => cleared(to.base, base, to.off, stack, bytes),
                    }
                }
                return;
            }
            Op::Atomic { at, op, operand, fetch } => {
                let base = get(regs, at.base);
                if at.base == 10 || base.may_be_own(depth) {
                    cleared(at.base, base, at.off, stack, at.width.bytes());
                }
                if !fetch {
                    return;
                }
                (if op == AtomicOp::CmpXchg { 0 } else { operand }, Track::NONE)
            }
            Op::LoadPacket { .. }
            | Op::Jump(_)
            | Op::JumpTable { .. }
            | Op::MayGoto(_)
            | Op::Branch { .. }
            | Op::Exit
            | Op::Unknown => return,
        };
        if let Some(reg) = regs.get_mut(usize::from(dst)) {
            *reg = value;
        }
    }

    /// What a call reads and writes through its arguments (`record_call_access`).
    fn note_call(&self, instance: &mut Instance, at: usize, regs: &Regs) {
        let slot = &self.checker.prog.slots[at];
        if matches!(slot.link, Link::Subprog(_)) {
            return;
        }
        let call = &self.calls[at];
        let params = call.params(self.checker).unwrap_or(5).min(5);
        for arg in 0..params {
            let track = &regs[arg + 1];
            if !track.is_pointer() {
                continue;
            }
            let touched = match call.touches(self.checker, self.constants, at, arg) {
                Touched::Writes(_) if self.whole => Touched::Nothing,
                touched => touched,
            };
            match track.whose {
                _ if touched == Touched::Nothing => {}
                Whose::Frame(frame) if frame <= instance.depth => note(instance, at, frame, track, touched),
                Whose::Some(mask) => note_some(instance, at, mask),
                _ => {}
            }
        }
    }
}

fn join_all(old: &mut [Track], new: &[Track]) -> bool {
    let mut changed = false;
    for (old, new) in old.iter_mut().zip(new) {
        if *old == *new {
            continue;
        }
        let joined = old.join(*new);
        if joined != *old {
            *old = joined;
            changed = true;
        }
    }
    changed
}

/// What is loaded from the stack (`fill_from_stack`).
fn filled(reg: u8, base: Track, off: i16, stack: &Stack, depth: u8) -> Track {
    let unknown = Track::any_up_to(depth);
    if reg == 10 {
        return slot_at(off).map_or(unknown, |slot| stack[slot]);
    }
    if base.offsets().is_empty() {
        return unknown;
    }
    let mut value = Track::NONE;
    for offset in base.offsets() {
        match offset.checked_add(off).and_then(slot_at) {
            Some(slot) => value = value.join(stack[slot]),
            None => return unknown,
        }
    }
    value
}

/// A register is stored in the stack (`spill_to_stack`).
fn spilled(reg: u8, base: Track, off: i16, stack: &mut Stack, value: Track) {
    if reg == 10 {
        if let Some(slot) = slot_at(off) {
            stack[slot] = value;
        }
        return;
    }
    match base.offsets() {
        [] => stack.iter_mut().for_each(|slot| *slot = slot.join(value)),
        [offset] => {
            if let Some(slot) = offset.checked_add(off).and_then(slot_at) {
                stack[slot] = value;
            }
        }
        offsets => {
            for slot in offsets.iter().filter_map(|offset| offset.checked_add(off).and_then(slot_at)) {
                stack[slot] = stack[slot].join(value);
            }
        }
    }
}

/// Something else is stored in the stack (`clear_stack_for_all_offs`).
fn cleared(reg: u8, base: Track, off: i16, stack: &mut Stack, bytes: u8) {
    let mut clear = |offset: i16, is_sure: bool| {
        let (from, to) = (i32::from(offset), i32::from(offset) + i32::from(bytes));
        for (number, slot) in stack.iter_mut().enumerate() {
            let start = -(number as i32 + 1) * 8;
            if start < to && start + 8 > from {
                *slot = if is_sure { Track::NONE } else { slot.join(Track::NONE) };
            }
        }
    };
    if reg == 10 {
        clear(off, true);
        return;
    }
    let offsets = base.offsets();
    for offset in offsets {
        match offset.checked_add(off) {
            Some(at) => clear(at, offsets.len() == 1),
            None => {
                stack.iter_mut().for_each(|slot| *slot = slot.join(Track::NONE));
                return;
            }
        }
    }
    if offsets.is_empty() {
        stack.iter_mut().for_each(|slot| *slot = slot.join(Track::NONE));
    }
}

/// What a load or store reads or writes (`record_load_store_access`).
fn note_access(checker: &Checker<'_, '_>, instance: &mut Instance, at: usize, regs: &Regs) {
    let op = checker.prog.slots[at].op;
    let Some(memory) = op.memory() else { return };
    let Some(base) = regs.get(usize::from(memory.base)) else { return };
    let bytes = i64::from(memory.width.bytes());
    let touched = if matches!(op, Op::Store { .. }) { Touched::Writes(bytes) } else { Touched::Reads(bytes) };
    let base = base.plus(memory.off.into());
    match base.whose {
        Whose::Frame(frame) if frame <= instance.depth => note(instance, at, frame, &base, touched),
        Whose::Some(mask) => note_some(instance, at, mask),
        _ => {}
    }
}

/// Any part of these frames' stacks may be read (`record_imprecise`).
fn note_some(instance: &mut Instance, at: usize, mask: u16) {
    for frame in (0..=instance.depth).filter(|frame| mask & 1 << frame != 0) {
        instance.reads(frame, at, Halves::MAX);
    }
}

/// So much is read or written where an address points to (`record_stack_access`).
fn note(instance: &mut Instance, at: usize, frame: u8, track: &Track, touched: Touched) {
    let offsets = track.offsets();
    match touched {
        Touched::Nothing => {}
        Touched::Reads(_) | Touched::Unknown if offsets.is_empty() => instance.reads(frame, at, Halves::MAX),
        Touched::Writes(_) if offsets.len() != 1 => {}
        _ => {
            for &offset in offsets.iter().filter(|offset| **offset < 0) {
                let below = -i64::from(offset);
                match touched {
                    Touched::Unknown => instance.reads(frame, at, halves(0, (below - 1) / 4)),
                    Touched::Reads(bytes) => {
                        instance.reads(frame, at, halves(((below - bytes) / 4).max(0), (below - 1) / 4));
                    }
                    Touched::Writes(bytes) => {
                        let (low, high) = (((below - bytes + 3) / 4).max(0), below / 4 - 1);
                        if low <= high {
                            instance.writes(frame, at, halves(low, high));
                        }
                    }
                    Touched::Nothing => {}
                }
            }
        }
    }
}

/// The halves from one to another, both included.
fn halves(low: i64, high: i64) -> Halves {
    let high = high.min(127);
    if low > high {
        return 0;
    }
    let up_to = |bit: i64| if bit >= 127 { Halves::MAX } else { (1 << (bit + 1)) - 1 };
    up_to(high) & !(up_to(low) >> 1)
}
