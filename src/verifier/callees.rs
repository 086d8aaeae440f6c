//! Which functions count as frames below a function: those it calls, and those that a helper calls back before it returns.
//!
//! The verifier takes every load of a function's address for a call, unless the function serves as an asynchronous callback
//! (kernel `check_max_stack_depth_subprog`, `is_async_cb`). Here a callback counts where nothing else can be meant: wherever its address is loaded,
//! the same straight line of code hands it to one of the helpers that call it at once.

use std::collections::HashSet;

use crate::insn::{Callee, Code, Insn, Op, Operand, Registers, Successors};
use crate::kernel::helpers::{self, Helper};
use crate::object::{FuncIdx, InsnIdx, Object};

/// Per function, the instructions that lead into another one, and which.
#[derive(Debug)]
pub struct Callees(Vec<Vec<(InsnIdx, FuncIdx)>>);

impl Callees {
    /// Looks at every function of an object.
    pub fn new(object: &Object<'_>) -> Self {
        let mut otherwise: HashSet<FuncIdx> = HashSet::new();
        // In the file the load of an address of a function is told from others by its relocation alone.
        let loads = |code: Code<'_>, at: InsnIdx| code.get(at.0).is_some_and(Insn::is_ld_imm64);
        for function in &object.functions {
            for &(at, target) in function.calls.iter().filter(|(at, _)| loads(function.code, *at)) {
                if let Some(target) = target.filter(|_| !is_called_back(function.code, at.0)) {
                    otherwise.insert(target);
                }
            }
        }
        let of = |function: &crate::object::Function<'_>| {
            let counts = |at: InsnIdx, target: &FuncIdx| {
                let insn = function.code.get(at.0);
                insn.is_some_and(|insn| insn.is_call() || insn.is_ld_imm64() && !otherwise.contains(target))
            };
            function
                .calls
                .iter()
                .filter_map(|&(at, target)| Some((at, target.filter(|target| counts(at, target))?)))
                .collect()
        };
        Self(object.functions.iter().map(of).collect())
    }

    /// The instructions of a function that lead into another one: a call, or the load of a callback's address.
    pub fn of(&self, function: FuncIdx) -> &[(InsnIdx, FuncIdx)] {
        self.0.get(function.0).map_or(&[], Vec::as_slice)
    }
}

/// Instructions between the load of an address and the call that are looked through at most; compilers need a few.
const NEAR: usize = 64;

/// Does the code after the load of a function's address give it to a helper that calls it before it returns, with no branch
/// between the two.
fn is_called_back(code: Code<'_>, load: usize) -> bool {
    let Some(first) = code.get(load) else { return false };
    let mut holding = Registers::of([first.dst]);
    let mut at = load + 2;
    while let Some(insn) = code.get(at).filter(|_| at - load < NEAR) {
        let op = insn.op();
        let next = match op.successors(at) {
            Successors::Next(next) => next,
            _ => return false,
        };
        match op {
            Op::Call(Callee::Helper(helper)) => {
                let callback = helpers::get(helper).and_then(Helper::callback);
                return callback.is_some_and(|taken| !taken.later && holding.has(taken.register));
            }
            Op::Call(_) => return false,
            // Where it lies on the stack is not followed.
            Op::Store { value: Operand::Reg(src), .. } if holding.has(src) => return false,
            Op::Atomic { operand, .. } if holding.has(operand) => return false,
            _ => {}
        }
        let copied = op.copies().filter(|(src, _)| holding.has(*src)).map(|(_, dst)| dst);
        holding = holding.without(op.writes()).with(Registers::of(copied));
        at = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::ByteOrder;

    fn insn(code: u8, registers: u8, imm: u8) -> [u8; 8] {
        [code, registers, 0, 0, imm, 0, 0, 0]
    }

    #[test]
    fn a_callback_is_followed_to_its_helper() {
        let load = [insn(0x18, 0x02, 0), insn(0, 0, 0)];
        let goes = |rest: &[[u8; 8]]| {
            let code = [&load, rest].concat();
            is_called_back(Code::new(code.as_flattened(), ByteOrder::Little), 0)
        };
        let (call_loop, find_vma, timer) = (insn(0x85, 0, 181), insn(0x85, 0, 180), insn(0x85, 0, 170));
        assert!(goes(&[insn(0xb7, 1, 4), call_loop]));
        assert!(goes(&[insn(0xbf, 0x23, 0), find_vma]));
        // Another register, another helper, a function of the program, a branch, another value by then.
        assert!(!goes(&[find_vma]));
        assert!(!goes(&[timer]));
        assert!(!goes(&[insn(0x85, 0x10, 181)]));
        assert!(!goes(&[insn(0x15, 1, 0), call_loop]));
        assert!(!goes(&[insn(0xb7, 2, 0), call_loop]));
        assert!(!goes(&[insn(0x7b, 0x2a, 0), call_loop]));
        assert!(!goes(&[]));
    }
}
