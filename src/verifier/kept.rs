//! What is found out about an object once and for all kernels.

use std::collections::HashSet;
use std::sync::OnceLock;

use super::arguments::{self, Access};
use super::callees::Callees;
use super::reach::Answers;
use crate::insn::Insn;
use crate::insn::flow::{Fault, Flow};
use crate::object::{FuncIdx, Object};

/// What does not depend on the kernel, and answers for one kernel that hold on others; each list is by function.
#[derive(Debug)]
pub struct Kept {
    pub(super) answers: Answers,
    accesses: Vec<OnceLock<Vec<Access>>>,
    faults: Vec<OnceLock<Option<Fault>>>,
    endless_loops: Vec<OnceLock<Vec<usize>>>,
    callees: OnceLock<Callees>,
    called: Vec<OnceLock<HashSet<FuncIdx>>>,
}

impl Kept {
    /// Nothing is found out yet.
    pub fn new(object: &Object<'_>) -> Self {
        Self {
            answers: Answers::default(),
            accesses: object.functions.iter().map(|_| OnceLock::new()).collect(),
            faults: object.functions.iter().map(|_| OnceLock::new()).collect(),
            endless_loops: object.functions.iter().map(|_| OnceLock::new()).collect(),
            callees: OnceLock::new(),
            called: object.functions.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// Loads and stores of an entry program whose base is surely the context or an argument, in code order.
    pub(super) fn accesses(&self, object: &Object<'_>, program: FuncIdx) -> &[Access] {
        self.accesses[program.0].get_or_init(|| arguments::of(&object[program]))
    }

    /// The first thing that the verifier's look at the flow of a function refuses.
    pub(super) fn fault(&self, object: &Object<'_>, function: FuncIdx) -> Option<Fault> {
        *self.faults[function.0].get_or_init(|| Flow::new(object[function].ops()).fault())
    }

    /// Where the loops of a function start that nothing ends.
    pub(super) fn endless_loops(&self, object: &Object<'_>, function: FuncIdx) -> &[usize] {
        self.endless_loops[function.0].get_or_init(|| Flow::new(object[function].ops()).endless_loops())
    }

    /// The functions below each function, as the verifier counts frames and stack.
    pub(super) fn callees(&self, object: &Object<'_>) -> &Callees {
        self.callees.get_or_init(|| Callees::new(object))
    }

    /// The program, and the functions that calls lead to from it; not what only a callback leads to.
    pub(super) fn called(&self, object: &Object<'_>, program: FuncIdx) -> &HashSet<FuncIdx> {
        self.called[program.0].get_or_init(|| {
            let mut seen = HashSet::from([program]);
            let mut todo = vec![program];
            while let Some(caller) = todo.pop() {
                for &(insn, target) in &object[caller].calls {
                    let is_call = object[caller].code.get(insn.0).is_some_and(Insn::is_call);
                    todo.extend(target.filter(|&target| is_call && seen.insert(target)));
                }
            }
            seen
        })
    }
}
