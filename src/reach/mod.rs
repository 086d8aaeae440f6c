//! Which instructions of a program the kernel's verifier walks.
//!
//! The verifier explores a program path by path and prunes what it knows cannot be (kernel `do_check`,
//! `is_branch_taken`). Code that it never walks may use what the kernel lacks. Three answers per instruction:
//! sure to be walked, never walked, cannot tell. They come from two passes over the same model of an
//! instruction (`machine`):
//!
//! - `may`: what some path may reach. Paths are joined where they meet; only a branch that every verifier from
//!   6.12 on decides is followed one way. What it does not reach is [`Reached::Never`].
//! - `must`: single paths, as the verifier takes them, along branches that it decides and branches that no
//!   verifier can decide. What they pass is [`Reached::Certain`].
//!
//! Errors are not modelled: the verifier stops at its first one, and what lies behind it is still told apart as
//! if it were not there, except behind code that libbpf poisoned, which is never certain.

mod code;
mod held;
mod machine;
mod may;
mod model;
mod must;
mod state;
mod value;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::elf::ByteOrder;
use crate::object::{ExternIdx, FuncIdx, InsnIdx, MapIdx, MapOrigin, Object};

use code::{Code, CoreFacts, Note, Step};
use machine::Machine;

/// Does the verifier walk an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reached {
    /// Every path to it crosses a branch that the verifier decides the other way.
    Never,
    /// Cannot tell.
    Possible,
    /// It does, unless an error stops it before.
    Certain,
}

/// What the base register of a load or store points to, as far as rules ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Into the arena.
    Arena,
    /// At an object of the kernel's.
    Object {
        /// The instruction that put the pointer into a register.
        made: (FuncIdx, InsnIdx),
        /// Bytes that were added to it since.
        offset: i32,
        /// It may be NULL, and no branch has ruled that out.
        nullable: bool,
    },
    /// Into a map value or other memory that a helper gave out, and it may be NULL: no branch has ruled that out.
    Untested {
        /// The call that returned it.
        made: (FuncIdx, InsnIdx),
    },
}

/// Something that a program takes and, on a path that the verifier is sure to walk, does not give back before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leak {
    /// The call that took it: a reference, or a lock.
    pub made: (FuncIdx, InsnIdx),
    /// Where the program ends.
    pub exit: (FuncIdx, InsnIdx),
}

/// May a kfunc return NULL in place of an object, so that the verifier wants a test (`KF_RET_NULL`, as far as known here).
pub fn may_return_null(kfunc: &str) -> bool {
    model::kfunc_returns(crate::btf::essential_name(kfunc)) == Some(model::Returns::ObjectOrNull)
}

/// Must what a kfunc takes be given back: a reference to what it returns (`KF_ACQUIRE`, as far as known here), or a lock.
pub fn takes(kfunc: &str) -> bool {
    let name = crate::btf::essential_name(kfunc);
    model::kfunc_acquires(name) || model::locks(name).is_some()
}

/// Must what a helper returns be given back.
pub fn helper_takes(id: i32) -> bool {
    model::helper_acquires(id)
}

/// What is known of an extern before the program runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ExternFact {
    /// Nothing.
    #[default]
    Unknown,
    /// It is there: its address is not NULL.
    Resolved,
    /// Weak and not there: its address is 0 and a call to it is poisoned.
    Null,
    /// A kernel configuration value, as libbpf puts it into `.kconfig`: bytes in the object's byte order.
    Value(Vec<u8>),
}

/// What CO-RE makes of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreFact {
    /// Not known. The instruction is taken not to be poisoned: if it is, the program fails all the same.
    Unknown,
    /// This value stands in it: an immediate, or the byte offset of a load or store.
    Value(u64),
    /// It is poisoned: the verifier refuses where it comes to it.
    Poison,
}

/// Bytes of a `.rodata` map that user space sets before load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which map.
    pub map: MapIdx,
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub len: u64,
    /// What they become, `len` bytes; `None` where that is not known.
    pub bytes: Option<Vec<u8>>,
}

/// What is known before the program runs, of the kernel and of what the loader does. By default nothing of the
/// kernel, and `.rodata` is as it stands in the file.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// Per extern, in the order of [`Object::externs`]; one that is missing is unknown.
    pub externs: Vec<ExternFact>,
    /// CO-RE results by function and instruction. A record of the object that is missing here is unknown.
    pub core: HashMap<(FuncIdx, InsnIdx), CoreFact>,
    /// Edits of `.rodata` maps, the last one for a byte counts.
    pub rodata: Vec<Edit>,
    /// Maps that the loader switches on or off. The others are created if [`crate::object::Map::autocreate`] says so.
    pub created: HashMap<MapIdx, bool>,
}

impl Knowledge {
    /// Makes every `.rodata` map unknown: a loader may set any of its variables.
    pub fn with_unknown_rodata(mut self, object: &Object<'_>) -> Self {
        let maps = object.maps.iter().enumerate().filter(|(_, map)| map.origin == MapOrigin::Rodata);
        self.rodata.extend(maps.map(|(index, map)| Edit {
            map: MapIdx(index),
            start: 0,
            len: u64::from(map.value_size),
            bytes: None,
        }));
        self
    }

    fn is_created(&self, object: &Object<'_>, map: MapIdx) -> bool {
        self.created.get(&map).copied().unwrap_or(object[map].autocreate)
    }

    /// The value of so many bytes of a `.rodata` map at load; `None` where it is not known.
    fn rodata(&self, object: &Object<'_>, map: MapIdx, at: u64, bytes: u8) -> Option<u64> {
        let end = at.checked_add(u64::from(bytes))?;
        let section = object.elf.section_at(object[map].section.0)?.data?;
        let raw = section.get(usize::try_from(at).ok()?..usize::try_from(end).ok()?)?;
        let mut value = [0; 8];
        let value = value.get_mut(..raw.len())?;
        value.copy_from_slice(raw);
        for edit in self.rodata.iter().filter(|edit| edit.map == map) {
            let (from, to) = (edit.start.max(at), edit.start.saturating_add(edit.len).min(end));
            for byte in from..to {
                let index = usize::try_from(byte - edit.start).ok()?;
                value[usize::try_from(byte - at).ok()?] = *edit.bytes.as_ref()?.get(index)?;
            }
        }
        Some(number(value, object.elf.byte_order))
    }
}

/// Up to eight bytes as a number.
fn number(bytes: &[u8], order: ByteOrder) -> u64 {
    let push = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    match order {
        ByteOrder::Little => bytes.iter().rev().fold(0, push),
        ByteOrder::Big => bytes.iter().fold(0, push),
    }
}

/// Something of [`Knowledge`] that a walk came upon, and what it was.
#[derive(Debug, PartialEq, Eq)]
enum Premise {
    Core(FuncIdx, InsnIdx, CoreFact),
    Extern(ExternIdx, ExternFact),
    Created(MapIdx, bool),
    /// So many bytes of a `.rodata` map from an offset.
    Rodata(MapIdx, u64, u8, Option<u64>),
}

/// What was found out about a program, and from what. The same knowledge of the same things leads to the same answers.
#[derive(Debug)]
struct Answer {
    premises: Vec<Premise>,
    reach: Arc<Reach>,
}

/// Answers about the programs of one object, kept for other kernels. Much of what tells two kernels apart does not
/// matter to a program.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<FuncIdx, Vec<Answer>>>);

impl Memory {
    /// Number of answers.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }

    /// Nothing was asked yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An object with what is known of it; the functions are looked at as programs need them.
#[derive(Debug)]
pub struct Analysis<'a, 'd> {
    object: &'a Object<'d>,
    knowledge: &'a Knowledge,
    memory: Option<&'a Memory>,
    core: OnceLock<CoreFacts>,
    codes: Vec<OnceLock<Code>>,
    programs: Vec<OnceLock<Arc<Reach>>>,
}

impl<'a, 'd> Analysis<'a, 'd> {
    /// Nothing is computed yet.
    pub fn new(object: &'a Object<'d>, knowledge: &'a Knowledge) -> Self {
        let codes = object.functions.iter().map(|_| OnceLock::new()).collect();
        let programs = object.functions.iter().map(|_| OnceLock::new()).collect();
        Self { object, knowledge, memory: None, core: OnceLock::new(), codes, programs }
    }

    /// The same, with what other analyses of this very object have left in `memory`.
    pub fn remembering(self, memory: &'a Memory) -> Self {
        Self { memory: Some(memory), ..self }
    }

    fn core(&self) -> &CoreFacts {
        self.core.get_or_init(|| code::core_facts(self.object, self.knowledge))
    }

    fn code(&self, function: FuncIdx) -> &Code {
        self.codes[function.0].get_or_init(|| Code::new(self.object, self.knowledge, self.core(), function))
    }

    /// What the verifier walks of one program; computed at the first call.
    pub fn program(&self, program: FuncIdx) -> &Reach {
        self.programs[program.0].get_or_init(|| {
            let Some(memory) = self.memory else { return Arc::new(self.walk(program).0) };
            // Who panics while holding the lock leaves whole answers behind.
            let memory = || memory.0.lock().unwrap_or_else(PoisonError::into_inner);
            let holds = |answer: &&Answer| answer.premises.iter().all(|premise| self.holds(premise));
            if let Some(known) = memory().get(&program).into_iter().flatten().find(holds) {
                return Arc::clone(&known.reach);
            }
            let (reach, premises) = self.walk(program);
            let reach = Arc::new(reach);
            if let Some(premises) = premises {
                let answer = Answer { premises, reach: Arc::clone(&reach) };
                memory().entry(program).or_default().push(answer);
            }
            reach
        })
    }

    /// Looks at programs side by side, for those who will ask about each.
    #[cfg(feature = "cli")]
    pub fn walk_all(&self, programs: impl Iterator<Item = FuncIdx>) {
        use rayon::prelude::*;
        self.core();
        let programs: Vec<FuncIdx> = programs.collect();
        programs.into_par_iter().for_each(|program| {
            self.program(program);
        });
    }

    /// The number that a program returns on every path that the verifier may walk; `None` where it may return others, or that is
    /// not known.
    pub fn returned(&self, program: FuncIdx) -> Option<u64> {
        let codes = self.object.code_of(program).map(|(function, _)| self.code(function)).collect();
        let machine = Machine::new(self.object, self.knowledge, program);
        may::returned(&machine, &Scope::new(self.object, codes))
    }

    fn core_fact(&self, function: FuncIdx, at: InsnIdx) -> CoreFact {
        let fact = self.knowledge.core.get(&(function, at)).copied().unwrap_or(CoreFact::Unknown);
        let minds = self.object[function].code.get(at.0).is_none_or(Machine::minds_value);
        match fact {
            CoreFact::Value(_) if !minds => CoreFact::Unknown,
            fact => fact,
        }
    }

    fn extern_fact(&self, index: ExternIdx) -> &ExternFact {
        self.knowledge.externs.get(index.0).unwrap_or(&ExternFact::Unknown)
    }

    /// Is this known here too.
    fn holds(&self, premise: &Premise) -> bool {
        match premise {
            Premise::Core(function, at, fact) => self.core_fact(*function, *at) == *fact,
            Premise::Extern(index, fact) => self.extern_fact(*index) == fact,
            Premise::Created(map, created) => self.knowledge.is_created(self.object, *map) == *created,
            Premise::Rodata(map, at, bytes, value) => {
                self.knowledge.rodata(self.object, *map, *at, *bytes) == *value
            }
        }
    }

    /// What a walk that came to these instructions asked.
    fn premises(&self, machine: &Machine<'_, '_>, codes: &[&Code], walked: &[Vec<bool>]) -> Vec<Premise> {
        let mut premises: Vec<Premise> =
            machine.reads().map(|((map, at, bytes), value)| Premise::Rodata(map, at, bytes, value)).collect();
        let (mut externs, mut maps) = (HashSet::new(), HashSet::new());
        for (code, walked) in codes.iter().zip(walked) {
            let notes = code.insns.iter().zip(walked).enumerate().filter(|(_, (_, walked))| **walked);
            for (at, ((_, note), _)) in notes {
                match *note {
                    Note::Core(_) => {
                        let fact = self.core_fact(code.function, InsnIdx(at));
                        premises.push(Premise::Core(code.function, InsnIdx(at), fact));
                    }
                    Note::Extern(index) if externs.insert(index) => {
                        premises.push(Premise::Extern(index, self.extern_fact(index).clone()));
                    }
                    Note::Map(map, _) | Note::MissingMap(map) if maps.insert(map) => {
                        let created = self.knowledge.is_created(self.object, map);
                        premises.push(Premise::Created(map, created));
                    }
                    _ => {}
                }
            }
        }
        premises
    }

    /// The answer, and what it depends on; `None` where that is not told.
    fn walk(&self, program: FuncIdx) -> (Reach, Option<Vec<Premise>>) {
        let functions: Vec<FuncIdx> = self.object.code_of(program).map(|(function, _)| function).collect();
        let codes: Vec<&Code> = functions.iter().map(|&function| self.code(function)).collect();
        let machine = Machine::new(self.object, self.knowledge, program);
        let scope = Scope::new(self.object, codes);
        let (must, findings) = must::walk(&machine, &scope);
        let all = must.iter().flatten().all(|certain| *certain);
        let may = if all { Some(must.clone()) } else { may::walk(&machine, &scope) };
        // What is certain may be walked, too.
        let premises = may.as_ref().filter(|_| self.memory.is_some()).map(|may| {
            let both =
                |(may, must): (&Vec<bool>, &Vec<bool>)| may.iter().zip(must).map(|(a, b)| *a || *b).collect();
            let walked: Vec<Vec<bool>> = may.iter().zip(&must).map(both).collect();
            self.premises(&machine, &scope.codes, &walked)
        });
        let merge = |(index, code): (usize, &&Code)| {
            let reached = |at: usize| match (&may, must[index][at]) {
                (_, true) => Reached::Certain,
                (Some(may), _) if !may[index][at] => Reached::Never,
                _ => Reached::Possible,
            };
            let reached: Vec<Reached> = (0..code.insns.len()).map(reached).collect();
            (code.function, reached)
        };
        let reach = Reach {
            exhaustive: may.is_some(),
            guards: scope.codes.iter().map(|code| (code.function, edges(code))).collect(),
            functions: scope.codes.iter().enumerate().map(merge).collect(),
            findings,
        };
        (reach, premises)
    }
}

/// Branches of a function, each with where it leads.
fn edges(code: &Code) -> Vec<(usize, usize, usize)> {
    let branch = |at: usize| match code.step(at) {
        Step::Branch(target) => Some((at, target, at + 1)),
        _ => None,
    };
    (0..code.insns.len()).filter_map(branch).collect()
}

/// The functions of one program, by their place in its final code.
#[derive(Debug)]
struct Scope<'c> {
    codes: Vec<&'c Code>,
    places: HashMap<FuncIdx, usize>,
    /// Global functions are looked at on their own.
    global: Vec<bool>,
}

impl<'c> Scope<'c> {
    fn new(object: &Object<'_>, codes: Vec<&'c Code>) -> Self {
        let places = codes.iter().enumerate().map(|(place, code)| (code.function, place)).collect();
        let global =
            codes.iter().map(|code| object[code.function].global && !object[code.function].hidden).collect();
        Self { codes, places, global }
    }

    fn len(&self) -> usize {
        self.codes.iter().map(|code| code.insns.len()).sum()
    }
}

/// What the verifier walks of one program.
#[derive(Debug, Clone)]
pub struct Reach {
    functions: HashMap<FuncIdx, Vec<Reached>>,
    guards: HashMap<FuncIdx, Vec<(usize, usize, usize)>>,
    findings: must::Findings,
    /// The program was looked at in full; else nothing is told to be never walked.
    exhaustive: bool,
}

impl Reach {
    /// Looks at one program. For several programs of an object, [`Analysis`] saves work.
    pub fn of(object: &Object<'_>, program: FuncIdx, knowledge: &Knowledge) -> Self {
        Analysis::new(object, knowledge).walk(program).0
    }

    /// Does the verifier walk an instruction of the program or of a function appended to it. An instruction that
    /// is no part of the program is never walked.
    pub fn at(&self, function: FuncIdx, insn: InsnIdx) -> Reached {
        let known = self.functions.get(&function).and_then(|code| code.get(insn.0));
        known.copied().unwrap_or(Reached::Never)
    }

    /// What the base register of a load or store holds on some path that the verifier is sure to walk; `None` where that is
    /// not known. A pointer that may be NULL there goes before one that may not.
    pub fn base(&self, function: FuncIdx, insn: InsnIdx) -> Option<Base> {
        self.findings.bases.get(&(function, insn)).copied()
    }

    /// What the program takes and does not give back on some path that the verifier is sure to walk, one for each call that takes.
    pub fn leaks(&self) -> &[Leak] {
        &self.findings.leaks
    }

    /// Where the lock was taken that is held at a call on some path that the verifier is sure to walk: of RCU, or against
    /// preemption. `None` where that is not known.
    pub fn lock(&self, function: FuncIdx, insn: InsnIdx) -> Option<(FuncIdx, InsnIdx)> {
        self.findings.locked.get(&(function, insn)).copied()
    }

    /// Calls, and returns of the program itself, on paths that the verifier is sure to walk and that hold a lock of
    /// `bpf_spin_lock` then; in the order of the walk.
    pub fn under_lock(&self) -> &[(FuncIdx, InsnIdx)] {
        &self.findings.under_lock
    }

    /// The nearest branch before an instruction that keeps it from being certain; `None` where it is certain, or
    /// where no branch of the same function does.
    pub fn guard(&self, function: FuncIdx, insn: InsnIdx) -> Option<InsnIdx> {
        let code = self.functions.get(&function)?;
        let edges = self.guards.get(&function)?;
        if *code.get(insn.0)? == Reached::Certain {
            return None;
        }
        // The straight line back from the instruction, then the nearest branch that leads into it from certain code.
        let mut start = insn.0;
        while start > 0 && code[start - 1] == code[insn.0] && !edges.iter().any(|(at, ..)| *at == start - 1) {
            start -= 1;
        }
        let leads = |&&(at, taken, falls): &&(usize, usize, usize)| {
            code[at] > code[insn.0] && [taken, falls].iter().any(|to| (start..=insn.0).contains(to))
        };
        edges.iter().filter(leads).map(|(at, ..)| *at).max().map(InsnIdx)
    }

    /// Was the whole program looked at. If not, for its size, nothing is said to be never walked.
    pub fn is_exhaustive(&self) -> bool {
        self.exhaustive
    }
}

#[cfg(test)]
mod tests;
