//! Looking for instructions that the verifier is sure to meet.

use std::collections::HashMap;

use crate::insn::Insn;
use crate::insn::flow::Flow;
use crate::object::{FuncIdx, InsnIdx, Object};

/// What was seen of the instruction that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// Every path through the program comes to this one.
    Certain(FuncIdx, InsnIdx),
    /// There is one, and a branch on the way to it.
    Guarded,
    /// There is none.
    No,
}

/// A program and the functions appended to it, with what is sure to be walked.
pub(super) struct Walk<'a, 'd> {
    object: &'a Object<'d>,
    program: FuncIdx,
    /// Functions that every path calls.
    certain: Vec<FuncIdx>,
    flows: HashMap<FuncIdx, Flow<'d>>,
}

impl<'a, 'd> Walk<'a, 'd> {
    pub(super) fn new(object: &'a Object<'d>, program: FuncIdx) -> Self {
        Self { object, program, certain: Vec::new(), flows: HashMap::new() }
    }

    fn is_inevitable(&mut self, function: FuncIdx, insn: InsnIdx) -> bool {
        let code = self.object[function].code;
        self.flows.entry(function).or_insert_with(|| Flow::new(code)).is_inevitable(insn.0)
    }

    /// Follows calls that every path makes. Function addresses are not followed: a callback is
    /// walked only with the helper call that takes it.
    fn certain_functions(&mut self) {
        if !self.certain.is_empty() {
            return;
        }
        self.certain.push(self.program);
        let mut next = 0;
        while let Some(&function) = self.certain.get(next) {
            next += 1;
            for &(insn, target) in &self.object[function].calls {
                let is_call = self.object[function].code.get(insn.0).is_some_and(Insn::is_call);
                if let Some(target) = target.filter(|target| is_call && !self.certain.contains(target))
                    && self.is_inevitable(function, insn)
                {
                    self.certain.push(target);
                }
            }
        }
    }

    /// Is the instruction on every path through the program.
    pub(super) fn is_certain(&mut self, function: FuncIdx, insn: InsnIdx) -> bool {
        self.certain_functions();
        self.certain.contains(&function) && self.is_inevitable(function, insn)
    }

    /// Looks for an instruction; one that is certain before one that is not.
    pub(super) fn first(mut self, wanted: impl Fn(Insn) -> bool) -> Sight {
        let object = self.object;
        let mut sight = Sight::No;
        for (function, code) in object.code_of(self.program) {
            for (at, _) in code.code.insns().filter(|(_, insn)| wanted(*insn)) {
                if self.is_certain(function, InsnIdx(at)) {
                    return Sight::Certain(function, InsnIdx(at));
                }
                sight = Sight::Guarded;
            }
        }
        sight
    }
}
