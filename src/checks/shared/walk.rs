//! Looking for instructions that the verifier meets.

use crate::insn::Insn;
use crate::object::{FuncIdx, InsnIdx};
use crate::reach::Reached;

use super::super::context::Context;

/// What was seen of the instruction that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checks) enum Sight {
    /// The verifier is sure to walk this one.
    Certain(FuncIdx, InsnIdx),
    /// There is one that the verifier may walk.
    Guarded,
    /// There is none, or none that the verifier walks.
    No,
}

/// A program and the functions appended to it, with what is sure to be walked.
pub(in crate::checks) struct Walk<'a, 'c, 'd> {
    cx: &'a Context<'c, 'd>,
    program: FuncIdx,
}

impl<'a, 'c, 'd> Walk<'a, 'c, 'd> {
    pub(in crate::checks) fn new(cx: &'a Context<'c, 'd>, program: FuncIdx) -> Self {
        Self { cx, program }
    }

    /// Does the verifier walk the instruction.
    pub(in crate::checks) fn reached(&self, function: FuncIdx, insn: InsnIdx) -> Reached {
        self.cx.analysis.program(self.program).at(function, insn)
    }

    /// Is the verifier sure to walk the instruction.
    pub(in crate::checks) fn is_certain(&self, function: FuncIdx, insn: InsnIdx) -> bool {
        self.reached(function, insn) == Reached::Certain
    }

    /// Looks for an instruction; one that is certain before one that is not.
    pub(in crate::checks) fn first(&self, wanted: impl Fn(Insn) -> bool) -> Sight {
        self.first_in(|_, insn| wanted(insn))
    }

    /// The same, of instructions that are wanted in some functions.
    pub(in crate::checks) fn first_in(&self, wanted: impl Fn(FuncIdx, Insn) -> bool) -> Sight {
        let object = self.cx.object;
        let mut sight = Sight::No;
        for (function, code) in object.code_of(self.program) {
            for (at, _) in code.code.insns().filter(|(_, insn)| wanted(function, *insn)) {
                match self.reached(function, InsnIdx(at)) {
                    Reached::Certain => return Sight::Certain(function, InsnIdx(at)),
                    Reached::Possible => sight = Sight::Guarded,
                    Reached::Never => {}
                }
            }
        }
        sight
    }
}
