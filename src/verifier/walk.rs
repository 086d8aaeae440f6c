//! The face of all that follows registers.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::arguments::Access;
use super::bpf_check::{Verification, bpf_check};
use super::callees::Callees;
use super::constants::{self, Rewrite};
use super::kept::Kept;
use super::reach::{Analysis, Answers, Base, Leak, Reached, Read};
use crate::insn::flow::{Fault, Flow};
use crate::insn::{Insn, Op};
use crate::load::{ExternFate, Knowledge, Load};
use crate::object::{FuncIdx, InsnIdx, MapOrigin, Object, OpsIdx, Ref, Referent};

/// An instruction: a function, and a slot counted from its start.
pub type At = (FuncIdx, InsnIdx);

/// What the verifier makes of an object's programs on one kernel, or, without one in view, on all of them.
#[derive(Debug)]
pub struct Verifier<'a, 'd> {
    object: &'a Object<'d>,
    load: &'a Load<'a, 'd>,
    knowledge: &'a Knowledge,
    analysis: Analysis<'a, 'd>,
    kept: &'a Kept,
    /// By program: what it executes whenever it runs.
    unavoidable: Vec<OnceLock<Unavoidable>>,
    /// What was found out before of programs.
    known: &'a [(FuncIdx, Verification)],
}

/// The instructions that a program executes whenever it runs, of each function that it surely calls.
type Unavoidable = HashMap<FuncIdx, Vec<bool>>;

impl<'a, 'd> Verifier<'a, 'd> {
    /// Nothing is looked at yet. `knowledge` is that of the load, and `kept` of its object.
    pub fn new(load: &'a Load<'a, 'd>, knowledge: &'a Knowledge, kept: &'a Kept) -> Self {
        let analysis = Analysis::new(load.object, knowledge).remembering(&kept.answers);
        let unavoidable = load.object.functions.iter().map(|_| OnceLock::new()).collect();
        Self { object: load.object, load, knowledge, analysis, kept, unavoidable, known: &[] }
    }

    /// Walks programs side by side, for those who will ask about each.
    #[cfg(feature = "cli")]
    pub fn walk_all(&self, programs: impl Iterator<Item = FuncIdx>) {
        self.analysis.walk_all(programs);
    }

    /// What the verifier of the kernel says of programs, in their order; they are looked at side by side. `None` where nothing is
    /// known of it.
    #[cfg(feature = "cli")]
    pub fn verify_all(&self, programs: &[FuncIdx]) -> Vec<Option<Verification>> {
        use rayon::prelude::*;
        programs.par_iter().map(|&program| self.verify(program)).collect()
    }

    /// What the verifier of the kernel says of programs, in their order. `None` where nothing is known of it.
    #[cfg(not(feature = "cli"))]
    pub fn verify_all(&self, programs: &[FuncIdx]) -> Vec<Option<Verification>> {
        programs.iter().map(|&program| self.verify(program)).collect()
    }

    fn verify(&self, program: FuncIdx) -> Option<Verification> {
        let known = self.known.iter().find(|(known, _)| *known == program);
        known.map_or_else(
            || bpf_check(self.load, self.knowledge, program),
            |(_, verification)| Some(verification.clone()),
        )
    }

    /// What was found out before of some programs, on the same load.
    pub fn knowing(mut self, known: &'a [(FuncIdx, Verification)]) -> Self {
        self.known = known;
        self
    }

    /// The walk of one program; nothing is done before it is asked.
    pub fn walk(&'a self, program: FuncIdx) -> Walk<'a, 'd> {
        Walk { verifier: self, program }
    }

    /// The argument of the callback at a member of an ops variable that may be NULL, if any; 0 is the first.
    pub fn nullable_argument(&self, ops: OpsIdx, member: usize) -> Option<usize> {
        self.analysis.nullable(ops, member)
    }

    /// The first thing that the verifier's look at the flow of a function refuses, before it walks anything.
    pub fn fault(&self, function: FuncIdx) -> Option<Fault> {
        self.kept.fault(self.object, function)
    }

    /// Where the loops of a function start that nothing ends.
    pub fn endless_loops(&self, function: FuncIdx) -> &'a [usize] {
        self.kept.endless_loops(self.object, function)
    }

    /// What walks of this object have found out so far.
    pub fn answers(&self) -> &'a Answers {
        &self.kept.answers
    }

    /// The functions below each function, as the verifier counts frames and stack.
    pub fn callees(&self) -> &'a Callees {
        self.kept.callees(self.object)
    }
}

/// What the verifier makes of one program.
#[derive(Debug, Clone, Copy)]
pub struct Walk<'a, 'd> {
    verifier: &'a Verifier<'a, 'd>,
    program: FuncIdx,
}

impl<'a, 'd> Walk<'a, 'd> {
    /// The program.
    pub fn program(self) -> FuncIdx {
        self.program
    }

    /// Does the verifier walk an instruction, of the program or of a function appended to it.
    pub fn reached(self, (function, insn): At) -> Reached {
        self.verifier.analysis.program(self.program).at(function, insn)
    }

    /// What the program reads of `.rodata` maps that user space may set to anything.
    pub fn unknown_reads(self) -> &'a [Read] {
        self.verifier.analysis.program(self.program).unknown_reads()
    }

    /// What registers hold where the verifier comes to an instruction.
    pub fn regs_at(self, at: At) -> Regs<'a, 'd> {
        Regs { walk: self, at }
    }

    /// Does a function run as part of the program: a chain of calls leads to it, and not only a callback.
    pub fn calls(self, function: FuncIdx) -> bool {
        self.verifier.kept.called(self.verifier.object, self.program).contains(&function)
    }

    /// Loads and stores of the program's own code whose base is surely the context or an argument, in code order.
    pub fn accesses(self) -> &'a [Access] {
        self.verifier.kept.accesses(self.verifier.object, self.program)
    }

    /// The number that the program returns on every path that the verifier may walk; `None` where it may return others, or
    /// that is not known.
    pub fn returned(self) -> Option<u64> {
        self.verifier.analysis.returned(self.program)
    }

    /// What the program takes and does not give back on some path that the verifier is sure to walk, one for each call that
    /// takes.
    pub fn leaks(self) -> &'a [Leak] {
        self.verifier.analysis.program(self.program).leaks()
    }

    /// Where the lock was taken that is held at a call on some path that the verifier is sure to walk: of RCU, or against
    /// preemption. `None` where that is not known.
    pub fn lock(self, (function, insn): At) -> Option<At> {
        self.verifier.analysis.program(self.program).lock(function, insn)
    }

    /// Calls, and returns of the program itself, on paths that the verifier is sure to walk and that hold a lock of
    /// `bpf_spin_lock` then; in the order of the walk.
    pub fn under_lock(self) -> &'a [At] {
        self.verifier.analysis.program(self.program).under_lock()
    }

    /// Does the program execute an instruction whenever it runs: no branch but those that the verifier decides leads past it.
    pub fn is_unavoidable(self, (function, insn): At) -> bool {
        let known = self.verifier.unavoidable[self.program.0].get_or_init(|| self.find_unavoidable());
        known.get(&function).and_then(|marks| marks.get(insn.0)).copied().unwrap_or(false)
    }

    /// Goes from the program to what it surely calls, and from there on; each function is looked at once.
    fn find_unavoidable(self) -> Unavoidable {
        let object = self.verifier.object;
        let mut known = Unavoidable::new();
        let mut todo = vec![self.program];
        while let Some(function) = todo.pop() {
            if known.contains_key(&function) {
                continue;
            }
            let dead = |slot| self.reached((function, InsnIdx(slot))) == Reached::Never;
            let marks =
                Flow::new(object[function].ops()).unavoidable(dead, |slot| self.is_taken(function, slot));
            let surely = |at: InsnIdx| {
                let is_call = object[function].code.get(at.0).is_some_and(Insn::is_call);
                is_call && marks.get(at.0) == Some(&true)
            };
            let calls = object[function].calls.iter().filter(|(at, _)| surely(*at));
            todo.extend(calls.filter_map(|(_, target)| *target));
            known.insert(function, marks);
        }
        known
    }

    /// What a test of a kfunc's address for 0 comes to when the program runs, where the kernel has the kfunc: the verifier
    /// of some kernels does not know that such an address is never 0, but it never is.
    fn is_taken(self, function: FuncIdx, slot: usize) -> Option<bool> {
        let function = &self.verifier.object[function];
        let (jumps_on_null, tested) = function.ops().get(slot).and_then(|branch| {
            let (tested, jumps_on_null) = branch.null_test()?;
            Some((jumps_on_null, tested))
        })?;
        let at = slot.checked_sub(2)?;
        let resolved = |target| match target {
            Referent::Extern(index) => matches!(self.verifier.load.external(index), ExternFate::Kfunc(_)),
            _ => false,
        };
        let loads = function.refs_at(InsnIdx(at)).iter().any(|reference| resolved(reference.target));
        match *function.ops().get(at)? {
            Op::LoadImm64 { dst, .. } if loads && dst == tested => Some(!jumps_on_null),
            _ => None,
        }
    }
}

/// What registers hold at an instruction, as far as any of the followers knows.
#[derive(Debug, Clone, Copy)]
pub struct Regs<'a, 'd> {
    walk: Walk<'a, 'd>,
    at: At,
}

impl Regs<'_, '_> {
    /// What the base register of the load or store there holds on some path that the verifier is sure to walk; `None` where
    /// that is not known. A pointer that may be NULL there goes before one that may not.
    pub fn base(self) -> Option<Base> {
        let Walk { verifier, program } = self.walk;
        verifier.analysis.program(program).base(self.at.0, self.at.1)
    }

    /// The number that a register holds, if the straight line of code that leads there puts it into it.
    pub fn constant(self, register: u8) -> Option<u64> {
        self.line().number(register)
    }

    /// The number of 8 bytes that lies in the program's own stack, so far from where a register points to, if the straight line
    /// of code that leads there puts both there.
    pub fn pointed(self, register: u8, offset: u32) -> Option<u64> {
        self.line().pointed(register, offset.into(), 8)
    }

    fn line(self) -> constants::Line {
        let Verifier { object, knowledge, .. } = self.walk.verifier;
        let (function, insn) = self.at;
        let patch = |slot| {
            let at = InsnIdx(slot);
            if let Some(&fact) = knowledge.core.get(&(function, at)) {
                return Rewrite::Core(fact);
            }
            match object[function].refs_at(at) {
                [] => Rewrite::None,
                &[Ref { target: Referent::Map(map), value, .. }]
                    if object[map].origin == MapOrigin::Rodata =>
                {
                    let low = object[function].code.get(slot).map_or(0, |insn| insn.imm as u32);
                    Rewrite::Frozen(map, (value as u32).wrapping_add(low).into())
                }
                _ => Rewrite::Other,
            }
        };
        let read = |map, at, bytes| knowledge.rodata_value(object, map, at, bytes);
        constants::before(&object[function], patch, read, insn.0)
    }
}
