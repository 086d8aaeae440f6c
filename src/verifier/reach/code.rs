//! The code of one function with what the loader puts into it, and its flow graph.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use crate::insn::{Insn, Op, Registers, Successors};
use crate::load::{CoreFact, Knowledge};
use crate::object::{ExternIdx, FuncIdx, Function, InsnIdx, Object, Referent};

/// What an instruction carries besides its own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    None,
    /// A map: itself or, with an offset, a place in its value.
    Map(crate::object::MapIdx, Option<u32>),
    /// A map that is not created: libbpf puts a call there that fails.
    MissingMap(crate::object::MapIdx),
    /// A kfunc, kernel variable or configuration value.
    Extern(ExternIdx),
    /// A function that is called or whose address is taken.
    Function(Option<FuncIdx>),
    /// What CO-RE makes of it.
    Core(CoreFact),
    /// Something else that is relocated.
    Other,
}

/// One function with what the loader puts into it on one kernel.
#[derive(Debug)]
pub(super) struct Body {
    pub function: FuncIdx,
    graph: Arc<Graph>,
    notes: Vec<Note>,
}

impl Deref for Body {
    type Target = Graph;

    fn deref(&self) -> &Graph {
        &self.graph
    }
}

impl Body {
    pub(super) fn new(object: &Object<'_>, core: &CoreFacts, function: FuncIdx, graph: Arc<Graph>) -> Self {
        Self { function, notes: notes(object, core, function, &graph), graph }
    }

    /// The instruction in a slot, what it does, and what it carries.
    pub(super) fn slot(&self, at: usize) -> (Insn, Op, Note) {
        let (insn, op) = self.insns[at];
        (insn, op, self.notes[at])
    }

    /// What the instructions carry, by slot.
    pub(super) fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// One function, decoded: what is the same on every kernel.
#[derive(Debug)]
pub(super) struct Graph {
    /// Each slot with what it does; the second half of a 64-bit immediate does nothing.
    pub insns: Vec<(Insn, Op)>,
    next: Vec<Successors>,
    /// Number of each leader, `u32::MAX` for other instructions. Leaders are where branches come together:
    /// the start, what branches lead to, and what follows them.
    pub leaders: Vec<u32>,
    pub leader_count: usize,
    /// Registers that are read later, by leader number.
    pub live: Vec<Registers>,
    /// Slots of the functions before it.
    pub base: u32,
    blocks: OnceLock<Vec<Block>>,
    meetings: OnceLock<Vec<u32>>,
}

/// What starts at a leader and ends before the next one.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// Its first instruction.
    start: usize,
    /// Where control goes from its last one; `None` stands for a return.
    next: [Option<usize>; 2],
    /// Registers that it may write.
    writes: Registers,
    /// It may write memory.
    memory: bool,
}

/// What lies between a branch and where its two ways meet again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    /// Where they meet; `None` if that is where the function returns.
    pub end: Option<usize>,
    /// Registers that may be written before.
    pub writes: Registers,
    /// Memory may be written before.
    pub memory: bool,
}

impl Graph {
    pub(super) fn new(object: &Object<'_>, function: FuncIdx) -> Self {
        let Function { code, .. } = &object[function];
        let ops = object[function].ops().iter().copied();
        let insns: Vec<_> = code.slots().map(|(_, insn)| insn).zip(ops).collect();
        let before = object.functions[..function.0].iter();
        let mut result = Self {
            leaders: vec![u32::MAX; insns.len()],
            next: insns.iter().enumerate().map(|(at, (_, op))| op.successors(at)).collect(),
            insns,
            leader_count: 0,
            blocks: OnceLock::new(),
            meetings: OnceLock::new(),
            live: Vec::new(),
            base: before.fold(0u32, |n, f| n.saturating_add(f.code.len() as u32)),
        };
        result.find_leaders();
        result.find_live();
        result
    }

    fn find_leaders(&mut self) {
        let mut is_leader = vec![false; self.insns.len()];
        let mut mark = |at: usize| {
            if let Some(leader) = is_leader.get_mut(at) {
                *leader = true;
            }
        };
        mark(0);
        for at in 0..self.insns.len() {
            match self.successors(at) {
                Successors::Branch { falls, taken } | Successors::MayGoto { falls, taken } => {
                    mark(taken);
                    mark(falls);
                }
                Successors::Jump(target) => mark(target),
                _ => {}
            }
        }
        for (at, _) in is_leader.into_iter().enumerate().filter(|(_, leader)| *leader) {
            self.leaders[at] = self.leader_count as u32;
            self.leader_count += 1;
        }
    }

    /// The blocks, by the number of their leader.
    fn blocks(&self) -> &[Block] {
        self.blocks.get_or_init(|| {
            let starts = (0..self.insns.len()).filter(|&at| self.leaders[at] != u32::MAX);
            starts.map(|start| self.block(start)).collect()
        })
    }

    fn block(&self, start: usize) -> Block {
        let mut block = Block { start, next: [None; 2], writes: Registers::default(), memory: false };
        let mut at = start;
        loop {
            let op = self.insns[at].1;
            block.writes = block.writes.with(op.writes());
            block.memory |= op.is_store() || matches!(op, Op::Call(_));
            let inside = |to: usize| (to < self.insns.len()).then_some(to);
            block.next = match self.successors(at) {
                Successors::Next(next) => {
                    if self.leaders.get(next).is_some_and(|&leader| leader == u32::MAX) {
                        at = next;
                        continue;
                    }
                    [inside(next); 2]
                }
                Successors::Exit | Successors::Table => [None; 2],
                Successors::Jump(target) => [inside(target); 2],
                Successors::Branch { falls, taken } | Successors::MayGoto { falls, taken } => {
                    [inside(taken), inside(falls)]
                }
            };
            return block;
        }
    }

    /// For each leader the number of the leader that every path from it to a return comes to next, by the algorithm
    /// of Cooper, Harvey and Kennedy on the reversed graph; `leader_count` for the return itself.
    fn meetings(&self) -> &[u32] {
        self.meetings.get_or_init(|| {
            let exit = self.leader_count;
            let number = |to: Option<usize>| to.map_or(exit, |to| self.leaders[to] as usize);
            let next: Vec<[usize; 2]> = self.blocks().iter().map(|block| block.next.map(number)).collect();
            let mut before = vec![Vec::new(); exit + 1];
            for (block, ends) in next.iter().enumerate() {
                for &end in ends {
                    before[end].push(block);
                }
            }
            // Numbers in the order in which a walk from the return leaves the blocks.
            let mut order = vec![u32::MAX; exit + 1];
            let mut sorted = Vec::new();
            let mut seen = vec![false; exit + 1];
            seen[exit] = true;
            let mut stack = vec![(exit, 0)];
            while let Some((block, child)) = stack.last_mut() {
                if let Some(&to) = before[*block].get(*child) {
                    *child += 1;
                    if !std::mem::replace(&mut seen[to], true) {
                        stack.push((to, 0));
                    }
                } else {
                    order[*block] = sorted.len() as u32;
                    sorted.push(*block);
                    stack.pop();
                }
            }
            let none = u32::MAX;
            let mut meets = vec![none; exit + 1];
            meets[exit] = exit as u32;
            // Real functions take a few steps for each block.
            let mut steps = (64 * next.len()).saturating_add(1 << 16);
            'rounds: for _ in 0..16 {
                let mut changed = false;
                for &block in sorted.iter().rev().skip(1) {
                    let mut new = none;
                    for &to in &next[block] {
                        if meets[to] == none {
                            continue;
                        }
                        let (mut a, mut b) = (to as u32, if new == none { to as u32 } else { new });
                        while a != b {
                            let Some(left) = steps.checked_sub(1) else { break 'rounds };
                            steps = left;
                            if order[a as usize] < order[b as usize] {
                                a = meets[a as usize];
                            } else {
                                b = meets[b as usize];
                            }
                        }
                        new = a;
                    }
                    changed |= std::mem::replace(&mut meets[block], new) != new;
                }
                if !changed {
                    return meets;
                }
            }
            // Too tangled: the ways meet at the return at the latest.
            vec![exit as u32; exit + 1]
        })
    }

    /// What lies between the branch at a slot, in the block of a leader, and where its ways meet.
    pub(super) fn region(&self, leader: usize, branch: usize) -> Option<Region> {
        /// Blocks that are looked through.
        const MOST: usize = 256;
        let meeting = *self.meetings().get(leader).filter(|&&meeting| meeting != u32::MAX)?;
        let end = if meeting as usize == self.leader_count {
            None
        } else {
            Some(self.blocks().get(meeting as usize)?.start)
        };
        let mut region = Region { end, writes: Registers::default(), memory: false };
        let Successors::Branch { falls, taken } = self.successors(branch) else { return None };
        let mut seen = HashSet::new();
        let mut todo = vec![taken, falls];
        while let Some(start) = todo.pop() {
            if Some(start) == end || start >= self.insns.len() || seen.contains(&start) {
                continue;
            }
            if seen.len() == MOST {
                return Some(Region { end, writes: Registers::ALL, memory: true });
            }
            seen.insert(start);
            let block = self.blocks().get(self.leaders[start] as usize)?;
            region.writes = region.writes.with(block.writes);
            region.memory |= block.memory;
            todo.extend(block.next.into_iter().flatten());
        }
        Some(region)
    }

    /// The slot after an instruction.
    pub(super) fn after(&self, at: usize) -> usize {
        at + if self.insns[at].0.is_ld_imm64() { 2 } else { 1 }
    }

    /// Where an instruction goes on. A jump out of the function leads anywhere, as one through a table does.
    pub(super) fn successors(&self, at: usize) -> Successors {
        match self.next[at] {
            next if next.jump().is_some_and(|to| to >= self.insns.len()) => Successors::Table,
            next => next,
        }
    }

    /// Registers read later, at each leader. After a few rounds without rest all count as read, which is safe.
    fn find_live(&mut self) {
        const ROUNDS: usize = 8;
        let mut live = vec![Registers::default(); self.leader_count];
        let at_leader = |live: &[Registers], at: usize| {
            self.leaders.get(at).map_or(Registers::default(), |&leader| live[leader as usize])
        };
        for round in 0.. {
            if round == ROUNDS {
                live.fill(Registers::ALL);
                break;
            }
            let mut changed = false;
            let mut now = Registers::default();
            for at in (0..self.insns.len()).rev() {
                now = match self.successors(at) {
                    Successors::Next(_) => now,
                    Successors::Exit => Registers::default(),
                    Successors::Jump(target) => at_leader(&live, target),
                    Successors::Branch { taken, .. } | Successors::MayGoto { taken, .. } => {
                        now.with(at_leader(&live, taken))
                    }
                    Successors::Table => Registers::ALL,
                };
                let op = self.insns[at].1;
                now = now.without(op.writes()).with(op.reads());
                if let Some(leader) = self.leaders.get(at).filter(|&&leader| leader != u32::MAX) {
                    changed |= live[*leader as usize] != now;
                    live[*leader as usize] = now;
                }
            }
            if !changed {
                break;
            }
        }
        self.live = live;
    }
}

/// Relocations, calls and CO-RE results, by slot.
fn notes(object: &Object<'_>, core: &CoreFacts, function: FuncIdx, graph: &Graph) -> Vec<Note> {
    let mut notes = vec![Note::None; graph.insns.len()];
    for (insn, target) in &object[function].calls {
        if let Some(note) = notes.get_mut(insn.0) {
            *note = Note::Function(*target);
        }
    }
    for reference in &object[function].refs {
        let at = reference.insn.0;
        let (Some(note), Some((insn, _))) = (notes.get_mut(at), graph.insns.get(at)) else { continue };
        *note = match reference.target {
            Referent::Map(map) if !object[map].autocreate => Note::MissingMap(map),
            Referent::Map(map) => {
                let offset = (reference.value as u32).wrapping_add(insn.imm as u32);
                let in_value = object[map].origin != crate::object::MapOrigin::Declared;
                Note::Map(map, in_value.then_some(offset))
            }
            Referent::Extern(index) => Note::Extern(index),
            Referent::JumpTable { .. } => Note::Other,
        };
    }
    for &(at, fact) in core.get(&function).into_iter().flatten() {
        if let Some(note) = notes.get_mut(at) {
            *note = Note::Core(fact);
        }
    }
    notes
}

/// What is known of CO-RE results, by function.
pub(super) type CoreFacts = HashMap<FuncIdx, Vec<(usize, CoreFact)>>;

/// The CO-RE records of an object; those that nothing is said of are unknown.
pub(super) fn core_facts(object: &Object<'_>, knowledge: &Knowledge) -> CoreFacts {
    let mut facts = CoreFacts::new();
    let mut sections: Vec<_> = object.functions.iter().map(|function| function.section).collect();
    sections.dedup();
    for section in sections {
        let (Some(btf), Some(ext), Some(elf)) = (&object.btf, &object.ext, object.elf.section_at(section.0))
        else {
            continue;
        };
        for record in ext.core_relos(btf, &elf.name) {
            let slot = record.insn_off as usize / 8;
            let after = object.functions.partition_point(|f| (f.section, f.start) <= (section, slot));
            let Some(index) = after.checked_sub(1) else { continue };
            let function = &object.functions[index];
            let at = slot.saturating_sub(function.start);
            if function.section == section
                && at < function.code.len()
                && !knowledge.core.contains_key(&(FuncIdx(index), InsnIdx(at)))
            {
                facts.entry(FuncIdx(index)).or_default().push((at, CoreFact::Unknown));
            }
        }
    }
    for (&(function, at), &fact) in &knowledge.core {
        facts.entry(function).or_default().push((at.0, fact));
    }
    facts
}
