//! What some path may reach: all paths at once, joined where they meet.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::code::Note;
use super::machine::{Control, Machine, unknown_entry};
use super::reached::Reached;
use super::scope::Scope;
use super::state::FuncState;
use super::value::RegState;

/// Leaders whose states are kept at once; more and the pass gives up.
const MAX_LEADERS: usize = 1 << 16;
/// Joins at one leader before numbers that still change are given up.
const PATIENCE: u8 = 4;

struct Leader {
    state: FuncState,
    joins: u8,
    queued: bool,
}

struct Pass<'a, 'd> {
    machine: &'a Machine<'a, 'd>,
    scope: &'a Scope<'a>,
    reached: Vec<Vec<bool>>,
    leaders: Vec<Vec<Option<Box<Leader>>>>,
    queue: BinaryHeap<Reverse<(usize, usize)>>,
    /// What each function returns; `None` until some path returns.
    results: Vec<Option<RegState>>,
    /// Leaders of the code that calls each function.
    callers: Vec<BTreeSet<(usize, usize)>>,
    steps: usize,
}

/// Marks what may be walked, by place of the function and slot; `None` if that takes too long or if control may
/// go anywhere.
pub(super) fn walk(machine: &Machine<'_, '_>, scope: &Scope<'_>) -> Option<Vec<Vec<bool>>> {
    passed(machine, scope).map(|pass| pass.reached)
}

/// What the program returns on every path that may be walked, if that is one number.
pub(super) fn returned(machine: &Machine<'_, '_>, scope: &Scope<'_>) -> Option<u64> {
    passed(machine, scope)?.results.first().copied().flatten()?.constant()
}

fn passed<'a, 'd>(machine: &'a Machine<'a, 'd>, scope: &'a Scope<'a>) -> Option<Pass<'a, 'd>> {
    if scope.codes.iter().map(|code| code.leader_count).sum::<usize>() > MAX_LEADERS {
        return None;
    }
    let mut pass = Pass {
        machine,
        scope,
        reached: scope.codes.iter().map(|code| vec![false; code.insns.len()]).collect(),
        leaders: scope.codes.iter().map(|code| (0..code.leader_count).map(|_| None).collect()).collect(),
        queue: BinaryHeap::new(),
        results: vec![None; scope.codes.len()],
        callers: vec![BTreeSet::new(); scope.codes.len()],
        steps: 16 * scope.len() + scope.extra(100_000),
    };
    pass.enter(0, 0, &machine.entry());
    for place in pass.uncalled() {
        pass.enter(place, 0, &unknown_entry());
    }
    while let Some(Reverse((place, at))) = pass.queue.pop() {
        pass.run(place, at)?;
    }
    Some(pass)
}

impl Pass<'_, '_> {
    /// Functions that no instruction refers to: exception callbacks, which are walked on their own.
    fn uncalled(&self) -> Vec<usize> {
        let mut called = vec![false; self.scope.codes.len()];
        called[0] = true;
        for note in self.scope.codes.iter().flat_map(|code| code.notes()) {
            if let Note::Function(Some(function)) = note
                && let Some(&place) = self.scope.places.get(function)
            {
                called[place] = true;
            }
        }
        (0..called.len()).filter(|&place| !called[place]).collect()
    }

    /// A path comes to a leader.
    fn enter(&mut self, place: usize, at: usize, state: &FuncState) {
        let code = self.scope.codes[place];
        let Some(&number) = code.leaders.get(at).filter(|&&number| number != u32::MAX) else { return };
        let live = code.live[number as usize];
        let leader = &mut self.leaders[place][number as usize];
        let changed = match leader {
            None => {
                let mut state = state.clone();
                state.keep(live);
                *leader = Some(Box::new(Leader { state, joins: 0, queued: false }));
                true
            }
            Some(leader) => {
                let changed = leader.state.join(state, live, leader.joins >= PATIENCE);
                leader.joins = leader.joins.saturating_add(u8::from(changed));
                changed
            }
        };
        if let Some(leader) = leader.as_mut().filter(|leader| changed && !leader.queued) {
            leader.queued = true;
            self.queue.push(Reverse((place, at)));
        }
    }

    /// Follows the code from a leader to where it branches or meets another one.
    fn run(&mut self, place: usize, start: usize) -> Option<()> {
        let code = self.scope.codes[place];
        let leader = self.leaders[place][code.leaders[start] as usize].as_mut()?;
        leader.queued = false;
        let mut state = leader.state.clone();
        let mut callbacks = Vec::new();
        let mut at = start;
        loop {
            if at >= code.insns.len() {
                return Some(());
            }
            if at != start && code.leaders[at] != u32::MAX {
                self.enter(place, at, &state);
                return Some(());
            }
            self.steps = self.steps.checked_sub(1)?;
            self.reached[place][at] = true;
            let (insn, op, note) = code.slot(at);
            if insn.is_ld_imm64() && at + 1 < code.insns.len() {
                self.reached[place][at + 1] = true;
            }
            // Who has a function's address may have it called.
            if let Note::Function(Some(function)) = note
                && !insn.is_call()
                && let Some(&callee) = self.scope.places.get(&function)
            {
                self.enter(callee, 0, &unknown_entry());
            }
            let flow = self.machine.step(code, at, &mut state, &mut callbacks);
            callbacks.clear();
            match flow {
                Control::Next(next) | Control::Refused(next) => at = next,
                Control::Branch(taken, falls, ways) => {
                    if ways.0 != Reached::Never {
                        let mut state = state.clone();
                        Machine::refine(op, true, &mut state);
                        self.enter(place, taken, &state);
                    }
                    if ways.1 != Reached::Never {
                        Machine::refine(op, false, &mut state);
                        self.enter(place, falls, &state);
                    }
                    return Some(());
                }
                Control::Call(function, next) => {
                    let &callee = self.scope.places.get(&function)?;
                    let mark = code.base.wrapping_add(at as u32).wrapping_add(1);
                    let result = self.call(callee, (place, start), &state);
                    if let Some(result) = result {
                        state.after_call();
                        state.forget_origin(result.origin().at);
                        state.forget_origin(mark);
                        state.put(0, result);
                        at = next;
                    } else {
                        return Some(());
                    }
                }
                Control::Exit => {
                    let result = state.get(0).returned();
                    let known = self.results[place];
                    let joined = known.map_or(result, |known| known.widen(result));
                    if known != Some(joined) {
                        self.results[place] = Some(joined);
                        for (caller, leader) in self.callers[place].clone() {
                            self.requeue(caller, leader);
                        }
                    }
                    return Some(());
                }
                Control::Lost => return None,
            }
        }
    }

    fn requeue(&mut self, place: usize, at: usize) {
        let number = self.scope.codes[place].leaders[at] as usize;
        if let Some(leader) = self.leaders[place][number].as_mut().filter(|leader| !leader.queued) {
            leader.queued = true;
            self.queue.push(Reverse((place, at)));
        }
    }

    /// A call: what it returns; `None` as long as no path is known to return.
    fn call(&mut self, callee: usize, caller: (usize, usize), state: &FuncState) -> Option<RegState> {
        if self.scope.global[callee] {
            self.enter(callee, 0, &unknown_entry());
            return Some(RegState::Scalar(super::value::Scalar::vague(8)));
        }
        self.enter(callee, 0, &state.for_callee());
        self.callers[callee].insert(caller);
        self.results[callee]
    }
}
