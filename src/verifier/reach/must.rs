//! What the verifier is sure to walk: single paths, along branches that it decides and branches that it cannot decide.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use rustc_hash::FxHasher;

use super::code::{Body, Note, Region};
use super::held::{Callee, Held};
use super::machine::{Control, Machine};
use super::reached::{Base, Leak, Reached};
use super::scope::Scope;
use super::state::FuncState;
use super::value::{Null, Origin, PointsTo, RegState, Scalar};
use crate::btf::essential_name;
use crate::insn::Op;
use crate::kernel::{MAX_CALL_FRAMES, helpers, kfuncs};
use crate::object::{FuncIdx, InsnIdx};

/// Paths that wait at once; the verifier itself refuses more (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
const MAX_PENDING: usize = 8192;
/// Instructions followed at most; the verifier itself follows no more (`BPF_COMPLEXITY_LIMIT_INSNS`).
const MAX_STEPS: usize = 1_000_000;
/// Leaders remembered at most, counted once for every chain of calls that leads there.
const MAX_PLACES: usize = 1 << 17;
/// Times that waiting paths are let through one leader with different states.
const MAX_VISITS: u32 = 8;
/// Times that one path is let through, if it crosses open branches in between.
const MAX_ROUNDS: u32 = 64;

/// Leaks that are told of at most; a report shows the first.
const MAX_LEAKS: usize = 64;

/// What is found out on the way, of paths that the verifier is sure to walk.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    /// What base registers hold, by load or store.
    pub bases: HashMap<(FuncIdx, InsnIdx), Base>,
    /// What is not given back.
    pub leaks: Vec<Leak>,
    /// Calls that are made while a lock is held, with where it was taken.
    pub locked: HashMap<(FuncIdx, InsnIdx), (FuncIdx, InsnIdx)>,
    /// Calls, and returns of the program, that come while a spin lock is held; in the order of the walk.
    pub under_lock: Vec<(FuncIdx, InsnIdx)>,
    /// The same, to look up.
    seen_under_lock: HashSet<(FuncIdx, InsnIdx)>,
}

/// A calling frame.
struct Frame {
    place: usize,
    at: usize,
    mark: u32,
    /// Number of the last leader.
    block: usize,
    state: FuncState,
    parent: Option<Rc<Frame>>,
    depth: u32,
    /// Of the frame and its callers.
    hash: u64,
}

/// A path that waits to be followed.
struct Path {
    place: usize,
    at: usize,
    /// Number of the last leader.
    block: usize,
    state: FuncState,
    held: Held,
    parent: Option<Rc<Frame>>,
    /// It is in a function that something calls back.
    callback: bool,
}

fn hash_of(value: &impl Hash, seed: u64) -> u64 {
    let mut hasher = FxHasher::with_seed(seed as usize);
    value.hash(&mut hasher);
    hasher.finish()
}

impl Path {
    /// A path that starts at a function of which only its own stack and arguments are known.
    fn new(place: usize, state: FuncState, callback: bool) -> Self {
        Self { place, at: 0, block: 0, state, held: Held::default(), parent: None, callback }
    }
}

struct Visits {
    /// Number of open branches that the path had crossed at the last visit.
    open: u64,
    count: u32,
}

struct Pass<'a, 'd> {
    machine: &'a Machine<'a, 'd>,
    scope: &'a Scope<'a>,
    reached: Vec<Vec<bool>>,
    pending: Vec<Path>,
    seen: HashSet<u64>,
    visits: HashMap<(u64, usize, usize), Visits>,
    entered: Vec<bool>,
    regions: HashMap<(usize, usize), Option<Region>>,
    /// Some code may leave the program by an exception.
    throws: bool,
    open: u64,
    steps: usize,
    findings: Findings,
}

/// Marks what is sure to be walked, by place of the function and slot, and tells what was found out on the way.
pub(super) fn walk(machine: &Machine<'_, '_>, scope: &Scope<'_>) -> (Vec<Vec<bool>>, Findings) {
    let mut pass = Pass {
        machine,
        scope,
        reached: scope.codes.iter().map(|code| vec![false; code.insns.len()]).collect(),
        pending: vec![Path::new(0, machine.entry(), false)],
        seen: HashSet::new(),
        visits: HashMap::new(),
        entered: vec![false; scope.codes.len()],
        regions: HashMap::new(),
        throws: machine.object.externs.iter().any(|external| external.name == kfuncs::THROW),
        open: 0,
        steps: (8 * scope.len() + scope.extra(20_000)).min(MAX_STEPS),
        findings: Findings::default(),
    };
    while let Some(path) = pass.pending.pop() {
        if pass.follow(path).is_none() {
            break;
        }
    }
    (pass.reached, pass.findings)
}

/// Whom an instruction calls that is no function of the program.
fn callee<'m>(machine: &'m Machine<'_, '_>, code: &Body, at: usize) -> Option<Callee<'m>> {
    let (insn, _, note) = code.slot(at);
    if !insn.is_call() {
        return None;
    }
    Some(match note {
        Note::Function(_) => return None,
        Note::Extern(index) => Callee::Kfunc(essential_name(machine.object[index].name)),
        _ => insn.helper().map_or(Callee::Other, Callee::Helper),
    })
}

/// What is known on one way of a branch.
fn refine(op: Op, taken: bool, state: &mut FuncState, held: &mut Held) {
    let Op::Branch { left, right, .. } = op else { return };
    let registers = [Some(left), right.reg()];
    let before = registers.map(|register| register.map(|register| (register, state.get(register))));
    Machine::refine(op, taken, state);
    let is_null_test = op.null_test().is_some();
    for (register, value) in before.into_iter().flatten() {
        held.branch(value, state.get(register), is_null_test);
    }
}

impl Pass<'_, '_> {
    /// Comes to a leader: is there anything new beyond it.
    fn is_news(&mut self, path: &mut Path, waited: bool) -> bool {
        let code = self.scope.codes[path.place];
        let number = code.leaders[path.at];
        path.state.keep(code.live[number as usize]);
        let context = path.parent.as_ref().map_or(0, |frame| frame.hash);
        let key = (context, path.place, path.at);
        if !self.seen.insert(hash_of(&(&key, &path.state, &path.held), 0)) {
            return false;
        }
        match self.visits.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Visits { open: self.open, count: 1 });
                true
            }
            Entry::Occupied(mut entry) => {
                let visits = entry.get_mut();
                // A loop whose rounds the verifier counts itself goes on as long as it likes.
                if visits.open != self.open {
                    visits.open = self.open;
                    visits.count += 1;
                }
                visits.count <= if waited { MAX_VISITS } else { MAX_ROUNDS }
            }
        }
    }

    /// Follows one path to its end; `None` when the budget is spent.
    fn follow(&mut self, mut path: Path) -> Option<()> {
        let mut callbacks = Vec::new();
        let mut waited = true;
        loop {
            let code = self.scope.codes[path.place];
            let Some(&leader) = code.leaders.get(path.at) else { return Some(()) };
            if leader != u32::MAX {
                if !self.is_news(&mut path, std::mem::take(&mut waited)) {
                    return Some(());
                }
                if self.visits.len() > MAX_PLACES {
                    return None;
                }
                path.block = leader as usize;
            }
            let block = path.block;
            self.steps = self.steps.checked_sub(1)?;
            self.reached[path.place][path.at] = true;
            let (insn, op) = code.insns[path.at];
            if insn.is_ld_imm64() && path.at + 1 < code.insns.len() {
                self.reached[path.place][path.at + 1] = true;
            }
            self.note_base(code, path.at, &path.state);
            self.note_spin_lock(code, &mut path);
            let mark = code.base.wrapping_add(path.at as u32).wrapping_add(1);
            let callee = callee(self.machine, code, path.at);
            if let Some(callee) = callee {
                self.note_lock(code, path.at, path.held.lock());
                path.held.pass(callee, &path.state);
            }
            let flow = self.machine.step(code, path.at, &mut path.state, &mut callbacks);
            if !callbacks.is_empty() {
                path.held.blur(true);
            }
            for callback in callbacks.drain(..).filter(|callback| callback.reached == Reached::Certain) {
                self.root(callback.function, callback.state, true);
            }
            match flow {
                Control::Next(next) => {
                    if let Some(callee) = callee {
                        path.held.take(callee, mark);
                    }
                    path.at = next;
                }
                Control::Branch(taken, falls, ways) => {
                    let both = ways == (Reached::Certain, Reached::Certain);
                    self.open += u64::from(both);
                    if both && self.pending.len() < MAX_PENDING {
                        let (mut state, mut held) = (path.state.clone(), path.held.clone());
                        refine(op, true, &mut state, &mut held);
                        let parent = path.parent.clone();
                        let callback = path.callback;
                        let path =
                            Path { place: path.place, at: taken, block: 0, state, held, parent, callback };
                        self.pending.push(path);
                    }
                    let to = match ways {
                        (_, Reached::Certain) => falls,
                        (Reached::Certain, _) => taken,
                        // One of the two, at least: the verifier comes to where they meet.
                        _ => match self.region(code, path.place, block, path.at) {
                            Some(region) => {
                                self.open += 1;
                                path.state.weaken(region.writes, region.memory);
                                path.held.blur(region.memory);
                                // A call may be among what is skipped.
                                path.held.spin &= !region.memory;
                                if let Some(end) = region.end {
                                    path.at = end;
                                    continue;
                                }
                                path.state.put(0, RegState::Top);
                                if !self.leave(&mut path) {
                                    return Some(());
                                }
                                continue;
                            }
                            None => return Some(()),
                        },
                    };
                    refine(op, to == taken && to != falls, &mut path.state, &mut path.held);
                    path.at = to;
                }
                Control::Call(function, next) => {
                    let Some(&callee) = self.scope.places.get(&function) else { return Some(()) };
                    if self.scope.global[callee] {
                        let base = self.scope.codes[callee].base;
                        self.root(function, self.machine.global_entry(function, base), false);
                        path.held.pass(Callee::Other, &path.state);
                        path.state.forget_passed_stack(true);
                        path.state.clobber();
                        path.state.assign(0, RegState::Scalar(Scalar::unknown(8, Origin::new(mark))), mark);
                        path.at = next;
                    } else if !self.call(&mut path, callee, next, mark) {
                        return Some(());
                    }
                }
                Control::Exit => {
                    // Callbacks may be walked many times, and their ends are looked at in other ways.
                    if path.parent.is_none() && !path.callback && !self.throws {
                        self.note_leaks(code, path.at, &path.held, path.state.get(0));
                    }
                    if !self.leave(&mut path) {
                        return Some(());
                    }
                }
                Control::Refused(_) | Control::Lost => return Some(()),
            }
        }
    }

    /// Keeps what the base register of a load or store holds.
    fn note_base(&mut self, code: &Body, at: usize, state: &FuncState) {
        let op = code.insns[at].1;
        let Some(memory) = op.memory() else { return };
        let base = match state.get(memory.base) {
            RegState::Pointer { place: PointsTo::Arena, .. } => Base::Arena,
            RegState::Pointer { place: PointsTo::Kernel, offset: Some(offset), null, origin }
                if matches!(null, Null::No | Null::Maybe) =>
            {
                let Some(made) = self.maker(origin.root) else { return };
                Base::Object { made, offset, nullable: null == Null::Maybe }
            }
            RegState::Pointer { place: PointsTo::Value(_), null: Null::Maybe, origin, .. } => {
                let Some(made) = self.maker(origin.root) else { return };
                Base::Untested { made }
            }
            _ => return,
        };
        let nullable =
            |base: &Base| matches!(base, Base::Object { nullable: true, .. } | Base::Untested { .. });
        match self.findings.bases.entry((code.function, InsnIdx(at))) {
            Entry::Vacant(entry) => {
                entry.insert(base);
            }
            Entry::Occupied(mut entry) if nullable(&base) && !nullable(entry.get()) => {
                entry.insert(base);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// The instruction of a mark. Slots are counted over the whole object; arguments of global functions have numbers of
    /// their own.
    fn maker(&self, mark: u32) -> Option<(FuncIdx, InsnIdx)> {
        let slot = (mark as usize).checked_sub(1)?;
        let (maker, at) = self.scope.at(slot)?;
        Some((maker.function, InsnIdx(at)))
    }

    /// Follows the spin lock, and keeps what comes while it is held.
    fn note_spin_lock(&mut self, code: &Body, path: &mut Path) {
        let insn = code.insns[path.at].0;
        let leaves = insn.is_exit() && path.place == 0 && path.parent.is_none();
        if insn.helper() == Some(helpers::SPIN_UNLOCK) {
            path.held.spin = false;
        } else if path.held.spin && (insn.is_call() || leaves) {
            let here = (code.function, InsnIdx(path.at));
            if self.findings.seen_under_lock.insert(here) {
                self.findings.under_lock.push(here);
            }
        }
        path.held.spin |= insn.helper() == Some(helpers::SPIN_LOCK);
    }

    /// Keeps that a call is made while a lock is held.
    fn note_lock(&mut self, code: &Body, at: usize, lock: Option<u32>) {
        if let Some(taken) = lock.and_then(|mark| self.maker(mark)) {
            self.findings.locked.entry((code.function, InsnIdx(at))).or_insert(taken);
        }
    }

    /// Keeps what is still held where the program, or a function that is looked at on its own, ends.
    fn note_leaks(&mut self, code: &Body, at: usize, held: &Held, result: RegState) {
        for mark in held.left(result) {
            let Some(made) = self.maker(mark) else { continue };
            let leaks = &self.findings.leaks;
            if leaks.len() < MAX_LEAKS && leaks.iter().all(|leak| leak.made != made) {
                self.findings.leaks.push(Leak { made, exit: (code.function, InsnIdx(at)) });
            }
        }
    }

    /// Returns to the caller; tells whether there is one, and anything new in it.
    fn leave(&mut self, path: &mut Path) -> bool {
        let Some(frame) = path.parent.take() else { return false };
        let result = path.state.get(0).returned();
        let mut state = frame.state.clone();
        state.forget_origin(frame.mark);
        if result.origin() != Origin::NONE {
            state.forget_origin(result.origin().at);
        }
        state.put(0, result);
        *path = Path {
            place: frame.place,
            at: frame.at,
            state,
            held: std::mem::take(&mut path.held),
            block: frame.block,
            parent: frame.parent.clone(),
            callback: path.callback,
        };
        // Paths through the function that come back alike are one.
        let context = path.parent.as_ref().map_or(0, |frame| frame.hash);
        self.seen.insert(hash_of(&(1u8, context, path.place, path.at, &path.state, &path.held), 0))
    }

    /// What lies between a branch and where its ways meet; not told where an exception may end the program.
    fn region(&mut self, code: &Body, place: usize, block: usize, at: usize) -> Option<Region> {
        if self.throws {
            return None;
        }
        *self.regions.entry((place, at)).or_insert_with(|| code.region(block, at))
    }

    /// Goes into a static function, with what the caller knows.
    fn call(&mut self, path: &mut Path, callee: usize, next: usize, mark: u32) -> bool {
        let depth = path.parent.as_ref().map_or(1, |frame| frame.depth + 1);
        if depth as usize >= MAX_CALL_FRAMES {
            return false;
        }
        let inner = path.state.for_callee();
        path.state.after_call();
        let above = path.parent.as_ref().map_or(0, |frame| frame.hash);
        let hash = hash_of(&(path.place, next, &path.state), above.wrapping_add(1));
        let frame = Frame {
            place: path.place,
            at: next,
            block: path.block,
            mark,
            state: std::mem::replace(&mut path.state, inner),
            parent: path.parent.take(),
            depth,
            hash,
        };
        path.parent = Some(Rc::new(frame));
        path.place = callee;
        path.at = 0;
        true
    }

    /// A function that the verifier looks at on its own, once.
    fn root(&mut self, function: FuncIdx, state: FuncState, callback: bool) {
        let Some(&place) = self.scope.places.get(&function) else { return };
        if !std::mem::replace(&mut self.entered[place], true) {
            self.pending.push(Path::new(place, state, callback));
        }
    }
}
