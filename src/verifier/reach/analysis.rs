//! The two passes over each program, and what is kept of them for other kernels.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::code::{self, Body, CoreFacts, Graph, Note};
use super::machine::Machine;
use super::reached::{Base, Leak, Reached};
use super::scope::Scope;
use super::{may, must};
use crate::load::{CoreFact, ExternFact, Knowledge};
use crate::object::{ExternIdx, FuncIdx, InsnIdx, MapIdx, MemberInit, Object, OpsIdx};

/// Something of [`Knowledge`] that a walk came upon, and what it was.
#[derive(Debug, PartialEq, Eq)]
enum Premise {
    Core(FuncIdx, InsnIdx, CoreFact),
    Extern(ExternIdx, ExternFact),
    /// The argument of a callback that may be NULL: by ops variable and member.
    Nullable(OpsIdx, usize, Option<usize>),
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
pub struct Answers {
    answers: Mutex<HashMap<FuncIdx, Vec<Answer>>>,
    graphs: Mutex<HashMap<FuncIdx, Arc<Graph>>>,
}

impl Answers {
    /// Number of answers.
    pub fn len(&self) -> usize {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }

    fn graph(&self, object: &Object<'_>, function: FuncIdx) -> Arc<Graph> {
        // Who panics while holding the lock leaves whole graphs behind. Two may make the same one, which does no harm.
        let graphs = || self.graphs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = graphs().get(&function) {
            return Arc::clone(known);
        }
        let graph = Arc::new(Graph::new(object, function));
        Arc::clone(graphs().entry(function).or_insert(graph))
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
    memory: Option<&'a Answers>,
    core: OnceLock<CoreFacts>,
    codes: Vec<OnceLock<Body>>,
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
    pub fn remembering(self, memory: &'a Answers) -> Self {
        Self { memory: Some(memory), ..self }
    }

    fn core(&self) -> &CoreFacts {
        self.core.get_or_init(|| code::core_facts(self.object, self.knowledge))
    }

    fn code(&self, function: FuncIdx) -> &Body {
        self.codes[function.0].get_or_init(|| {
            let graph = match self.memory {
                Some(memory) => memory.graph(self.object, function),
                None => Arc::new(Graph::new(self.object, function)),
            };
            Body::new(self.object, self.core(), function, graph)
        })
    }

    /// What the verifier walks of one program; computed at the first call.
    pub fn program(&self, program: FuncIdx) -> &Reach {
        self.programs[program.0].get_or_init(|| {
            let Some(memory) = self.memory else { return Arc::new(self.walk(program).0) };
            // Who panics while holding the lock leaves whole answers behind.
            let memory = || memory.answers.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// The argument of the callback at a member that may be NULL, if any; 0 is the first.
    pub fn nullable(&self, ops: OpsIdx, at: usize) -> Option<usize> {
        self.knowledge.nullable_argument(ops, at, self.object[ops].members[at].name)
    }

    /// Is this known here too.
    fn holds(&self, premise: &Premise) -> bool {
        match premise {
            Premise::Core(function, at, fact) => self.core_fact(*function, *at) == *fact,
            Premise::Extern(index, fact) => self.extern_fact(*index) == fact,
            Premise::Nullable(ops, at, nullable) => self.nullable(*ops, *at) == *nullable,
            Premise::Rodata(map, at, bytes, value) => {
                self.knowledge.rodata_value(self.object, *map, *at, *bytes) == *value
            }
        }
    }

    /// What a walk that came to these instructions asked.
    fn premises(
        &self,
        program: FuncIdx,
        machine: &Machine<'_, '_>,
        codes: &[&Body],
        walked: &[Vec<bool>],
    ) -> Vec<Premise> {
        let mut premises: Vec<Premise> =
            machine.reads().map(|((map, at, bytes), value)| Premise::Rodata(map, at, bytes, value)).collect();
        for (ops, variable) in self.object.ops() {
            for (at, member) in variable.members.iter().enumerate() {
                if matches!(member.value, MemberInit::Program(used) if used == program) {
                    premises.push(Premise::Nullable(ops, at, self.nullable(ops, at)));
                }
            }
        }
        let mut externs = HashSet::new();
        for (code, walked) in codes.iter().zip(walked) {
            let notes = code.notes().iter().zip(walked).enumerate().filter(|(_, (_, walked))| **walked);
            for (at, (note, _)) in notes {
                match *note {
                    Note::Core(_) => {
                        let fact = self.core_fact(code.function, InsnIdx(at));
                        premises.push(Premise::Core(code.function, InsnIdx(at), fact));
                    }
                    Note::Extern(index) if externs.insert(index) => {
                        premises.push(Premise::Extern(index, self.extern_fact(index).clone()));
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
        let codes: Vec<&Body> = functions.iter().map(|&function| self.code(function)).collect();
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
            self.premises(program, &machine, &scope.codes, &walked)
        });
        let merge = |(index, code): (usize, &&Body)| {
            let reached = |at: usize| match (&may, must[index][at]) {
                (_, true) => Reached::Certain,
                (Some(may), _) if !may[index][at] => Reached::Never,
                _ => Reached::Possible,
            };
            let reached: Vec<Reached> = (0..code.insns.len()).map(reached).collect();
            (code.function, reached)
        };
        let unknown = machine.reads().filter(|(_, value)| value.is_none());
        let mut unknown_reads: Vec<Read> = unknown.map(|(read, _)| read).collect();
        unknown_reads.sort_unstable();
        let reach = Reach {
            #[cfg(test)]
            exhaustive: may.is_some(),
            functions: scope.codes.iter().enumerate().map(merge).collect(),
            findings,
            unknown_reads,
        };
        (reach, premises)
    }
}

/// So many bytes of a `.rodata` map from an offset.
pub type Read = (MapIdx, u64, u8);

/// What the verifier walks of one program.
#[derive(Debug, Clone)]
pub struct Reach {
    functions: HashMap<FuncIdx, Vec<Reached>>,
    findings: must::Findings,
    unknown_reads: Vec<Read>,
    /// The program was looked at in full; else nothing is told to be never walked.
    #[cfg(test)]
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

    /// What it reads of `.rodata` maps that user space may set to anything, in the order of maps and offsets.
    pub fn unknown_reads(&self) -> &[Read] {
        &self.unknown_reads
    }

    /// Was the whole program looked at. If not, for its size, nothing is said to be never walked.
    #[cfg(test)]
    pub(super) fn is_exhaustive(&self) -> bool {
        self.exhaustive
    }
}
