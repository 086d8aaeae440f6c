//! What registers hold of a program's context: the context itself, an argument, or neither.
//!
//! A forward walk over one function's flow that keeps only what holds on every path, so that an answer
//! is sure. Spills to the stack are followed where they are 8 bytes at a fixed offset from r10. Beside it goes what tests
//! of an argument for 0 may have told on the ways to a place.

use std::collections::HashMap;

use crate::insn::{Code, FRAME_POINTER, Insn, LoadMode, Op, Operand, Width};
use crate::object::{FuncIdx, Function, InsnIdx};

/// What is known of a register or stack slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Nothing of the context.
    Other,
    /// The context: an array of 8-byte arguments.
    Context,
    /// The argument of that number, the first is 0.
    Argument(u8),
}

/// What an argument may be found to be on the paths to a place; a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tested(u8);

impl Tested {
    /// No path tests it.
    pub const NOT: Self = Self(1);
    /// Every path found it to be 0.
    pub const NULL: Self = Self(2);
    /// Every path found it to be another value.
    const OTHER: Self = Self(4);
    const ANY: Self = Self(7);

    /// Can it be other than 0 on no path, as far as the verifier knows.
    pub fn is_unsafe(self) -> bool {
        self.0 & Self::OTHER.0 == 0
    }

    /// After a test for 0 that says `to`; `None` if such a test cannot say that.
    fn told(self, to: Self) -> Option<Self> {
        (self.0 & (Self::NOT.0 | to.0) != 0).then_some(to)
    }
}

/// Arguments a callback can have (`MAX_BPF_FUNC_ARGS`).
pub const MAX_ARGUMENTS: usize = 12;

/// An access to the context or through an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The instruction.
    pub at: usize,
    /// The instruction itself.
    pub insn: Insn,
    /// What its base register holds.
    pub base: Holds,
    /// What tests of the argument in the base register told.
    pub tested: Tested,
}

impl Access {
    /// The instruction, in the program whose own code it is of.
    pub fn at(&self, program: FuncIdx) -> (FuncIdx, InsnIdx) {
        (program, InsnIdx(self.at))
    }
}

/// Slots of 8 bytes that a frame of 512 bytes has (`MAX_BPF_STACK`); what lies elsewhere no verifier lets a program reach.
const SLOTS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
struct ArgState {
    registers: [Holds; 11],
    /// The first one lies right below r10.
    slots: [Holds; SLOTS],
    tested: [Tested; MAX_ARGUMENTS],
}

/// The slot that 8 bytes at an offset from r10 are.
fn slot(off: i16) -> Option<usize> {
    let below = off.checked_neg().and_then(|below| usize::try_from(below).ok())?;
    (below.is_multiple_of(8) && (8..=8 * SLOTS).contains(&below)).then(|| below / 8 - 1)
}

impl ArgState {
    fn entry() -> Self {
        let mut registers = [Holds::Other; 11];
        registers[1] = Holds::Context;
        Self { registers, slots: [Holds::Other; SLOTS], tested: [Tested::NOT; MAX_ARGUMENTS] }
    }

    fn tested(&self, holds: Holds) -> Tested {
        match holds {
            Holds::Argument(argument) => {
                self.tested.get(usize::from(argument)).copied().unwrap_or(Tested::ANY)
            }
            Holds::Context | Holds::Other => Tested::ANY,
        }
    }

    /// What holds where a branch leads; `None` if it cannot lead there.
    fn beyond(&self, op: Op, jumps: bool) -> Option<Self> {
        let mut state = self.clone();
        let Op::Branch { left, right, .. } = op else { return Some(state) };
        let told = match op.null_test() {
            Some((_, null)) if null == jumps => Some(Tested::NULL),
            Some(_) => Some(Tested::OTHER),
            None => None,
        };
        for register in [Some(left), right.reg()].into_iter().flatten() {
            let Holds::Argument(argument) = self.get(register) else { continue };
            if let Some(tested) = state.tested.get_mut(usize::from(argument)) {
                *tested = match told {
                    Some(to) => tested.told(to)?,
                    // Another compare may tell the verifier something too.
                    None => Tested::ANY,
                };
            }
        }
        Some(state)
    }

    /// Keeps what both agree on; tells whether that is less than before.
    fn meet(&mut self, other: &Self) -> bool {
        let mut less = false;
        let ours = self.registers.iter_mut().chain(&mut self.slots);
        for (ours, theirs) in ours.zip(other.registers.iter().chain(&other.slots)) {
            if ours != theirs && *ours != Holds::Other {
                *ours = Holds::Other;
                less = true;
            }
        }
        for (ours, theirs) in self.tested.iter_mut().zip(&other.tested) {
            let both = Tested(ours.0 | theirs.0);
            less |= both != *ours;
            *ours = both;
        }
        less
    }

    fn get(&self, register: u8) -> Holds {
        self.registers.get(usize::from(register)).copied().unwrap_or(Holds::Other)
    }

    fn set(&mut self, register: u8, holds: Holds) {
        if let Some(slot) = self.registers.get_mut(usize::from(register)) {
            *slot = holds;
        }
    }

    /// What holds after an instruction; `callbacks` where the function gives others to helpers, `shares` where it takes an
    /// address of its stack.
    fn step(&mut self, insn: Insn, op: Op, callbacks: bool, shares: bool) {
        // What is called, and stores through other registers, may write to the slots then.
        let elsewhere = op.is_store() && op.memory().is_some_and(|to| to.base != FRAME_POINTER);
        if shares && (elsewhere || matches!(op, Op::Call(_))) {
            self.slots.fill(Holds::Other);
        }
        match op {
            Op::Call(_) => {
                self.registers[..6].fill(Holds::Other);
                // The verifier carries what a function finds out of a pointer over to its caller's registers. A callback
                // may get at them too, through the stack.
                if insn.is_subprog_call() || callbacks {
                    self.tested = [Tested::ANY; MAX_ARGUMENTS];
                }
            }
            Op::Load { dst, from, mode: LoadMode::Plain } => {
                let wide = from.width == Width::B8;
                let holds = match self.get(from.base) {
                    Holds::Context if wide && from.off >= 0 && from.off % 8 == 0 => {
                        // None lies further on.
                        let number = u8::try_from(from.off / 8).ok();
                        let number = number.filter(|number| usize::from(*number) < MAX_ARGUMENTS);
                        number.map_or(Holds::Other, Holds::Argument)
                    }
                    _ if wide && from.base == FRAME_POINTER => {
                        slot(from.off).map_or(Holds::Other, |slot| self.slots[slot])
                    }
                    _ => Holds::Other,
                };
                self.set(dst, holds);
            }
            Op::Mov { wide: true, dst, src: Operand::Reg(src), sign: None } => self.set(dst, self.get(src)),
            _ => {
                if let Some(to) = op.memory().filter(|to| op.is_store() && to.base == FRAME_POINTER) {
                    // A narrower or overlapping store spoils what lies there.
                    for (number, held) in self.slots.iter_mut().enumerate() {
                        let off = -8 * (number as i32 + 1);
                        if (off - i32::from(to.off)).abs() < 8 {
                            *held = Holds::Other;
                        }
                    }
                    if let Op::Store { value: Operand::Reg(src), release: false, .. } = op
                        && to.width == Width::B8
                        && let Some(slot) = slot(to.off)
                    {
                        self.slots[slot] = self.get(src);
                    }
                }
                // None of what else is written can hold a pointer of the context.
                for register in (0..FRAME_POINTER).filter(|register| op.writes().has(*register)) {
                    self.set(register, Holds::Other);
                }
            }
        }
    }
}

/// All loads and stores of an entry program whose base is surely the context or an argument, in code order.
pub fn of(function: &Function<'_>) -> Vec<Access> {
    // In the file the load of an address of a function is told from others by its relocation alone.
    let callbacks =
        function.calls.iter().any(|(at, _)| function.code.get(at.0).is_some_and(Insn::is_ld_imm64));
    accesses(function.code, callbacks)
}

/// The same of code that gives functions to helpers, or does not.
fn accesses(code: Code<'_>, callbacks: bool) -> Vec<Access> {
    // Whatever else the register is used for.
    let ops = code.ops();
    let shares = ops.iter().any(|op| {
        matches!(op, Op::Mov { .. } | Op::Alu { .. } | Op::AddrSpaceCast { .. })
            && op.reads().has(FRAME_POINTER)
    });
    let mut states: HashMap<usize, ArgState> = HashMap::from([(0, ArgState::entry())]);
    let mut work = vec![0];
    // Facts only get fewer at a place, so this ends; the bound is against hostile code alone.
    let mut budget = code.len().saturating_mul(24).min(4 << 20);
    while let Some(at) = work.pop() {
        let (Some(insn), Some(mut state)) = (code.get(at), states.get(&at).cloned()) else { continue };
        budget = budget.saturating_sub(1);
        if budget == 0 {
            return Vec::new();
        }
        let op = ops[at];
        state.step(insn, op, callbacks, shares);
        for (next, jumps) in op.successors(at).edges() {
            let Some(state) = state.beyond(op, jumps) else { continue };
            match states.get_mut(&next) {
                Some(known) => {
                    if known.meet(&state) {
                        work.push(next);
                    }
                }
                None => {
                    states.insert(next, state);
                    work.push(next);
                }
            }
        }
    }
    let mut found: Vec<Access> = states
        .iter()
        .filter_map(|(&at, state)| {
            let insn = code.get(at)?;
            // What a load-acquire may read is not looked at.
            let op = ops[at];
            let memory = op.memory().filter(|_| !matches!(op, Op::Load { mode: LoadMode::Acquire, .. }));
            let base = memory.map_or(Holds::Other, |memory| state.get(memory.base));
            (base != Holds::Other).then_some(Access { at, insn, base, tested: state.tested(base) })
        })
        .collect();
    found.sort_unstable_by_key(|access| access.at);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::ByteOrder;

    fn insn(code: u8, dst: u8, src: u8, off: i16) -> [u8; 8] {
        let [a, b] = off.to_le_bytes();
        [code, dst | src << 4, a, b, 0, 0, 0, 0]
    }

    fn bases(code: &[[u8; 8]]) -> Vec<(usize, Holds)> {
        let found = accesses(Code::new(code.as_flattened(), ByteOrder::Little), false);
        found.into_iter().map(|access| (access.at, access.base)).collect()
    }

    #[test]
    fn an_argument_is_followed_through_moves_calls_and_the_stack() {
        let code = [
            insn(0x79, 6, 1, 8),   // r6 = ctx[1]
            insn(0x7b, 10, 6, -8), // spill
            insn(0x85, 0, 0, 0),   // call
            insn(0x79, 2, 10, -8), // fill
            insn(0x79, 3, 2, 16),  // *(r2 + 16)
            insn(0x79, 4, 6, 16),  // *(r6 + 16)
            insn(0x79, 5, 1, 0),   // r1 is gone
            insn(0x95, 0, 0, 0),
        ];
        let argument = Holds::Argument(1);
        assert_eq!(bases(&code), [(0, Holds::Context), (4, argument), (5, argument)]);
    }

    #[test]
    fn a_load_acquire_is_no_store_and_writes_its_register() {
        let load_acquire = |dst, src| {
            let [a, b, c, d, ..] = insn(0xdb, dst, src, 0);
            [a, b, c, d, 0, 1, 0, 0]
        };
        let code = [
            insn(0x79, 2, 1, 8), // r2 = ctx[1]
            load_acquire(1, 2),  // r1 = load_acquire(r2 + 0)
            insn(0x7b, 1, 2, 0), // *(r1 + 0) = r2: not the context any more
            insn(0x95, 0, 0, 0),
        ];
        assert_eq!(bases(&code), [(0, Holds::Context)]);
    }

    #[test]
    fn slots_are_forgotten_where_others_may_write_to_them() {
        let [spill, fill, load] = [insn(0x7b, 10, 6, -8), insn(0x79, 2, 10, -8), insn(0x79, 3, 2, 16)];
        let after = |between: &[[u8; 8]]| {
            let code = [&[insn(0x79, 6, 1, 8), spill], between, &[fill, load, insn(0x95, 0, 0, 0)]].concat();
            bases(&code).len() == 2
        };
        // r7 = r10; *(r7 - 8) = r0
        assert!(!after(&[insn(0xbf, 7, 10, 0), insn(0x7b, 7, 0, -8)]));
        // r1 = r10; call
        assert!(!after(&[insn(0xbf, 1, 10, 0), insn(0x85, 0, 1, 0)]));
        // A call that is not given the stack, and a store elsewhere.
        assert!(after(&[insn(0x85, 0, 1, 0), insn(0x7b, 9, 0, 0)]));
        assert!(after(&[insn(0xbf, 7, 10, 0), insn(0x7b, 10, 0, -16)]));
    }

    #[test]
    fn where_paths_disagree_nothing_is_known() {
        let code = [
            insn(0x79, 2, 1, 0), // r2 = ctx[0]
            insn(0x15, 2, 0, 1), // if r2 == 0 skip
            insn(0x79, 2, 1, 8), // r2 = ctx[1]
            insn(0x79, 3, 2, 0), // *(r2)
            insn(0x95, 0, 0, 0),
        ];
        assert_eq!(bases(&code), [(0, Holds::Context), (2, Holds::Context)]);
    }

    #[test]
    fn tests_for_null_are_told_by_path() {
        let jump = |code, dst, imm: u8, off| {
            let [a, b, c, d, ..] = insn(code, dst, 0, off);
            [a, b, c, d, imm, 0, 0, 0]
        };
        let tested = |code: &[[u8; 8]]| {
            let found = accesses(Code::new(code.as_flattened(), ByteOrder::Little), false);
            found
                .into_iter()
                .filter(|access| access.base != Holds::Context)
                .map(|a| (a.at, a.tested))
                .collect::<Vec<_>>()
        };
        let (argument, use_it, exit) = (insn(0x79, 6, 1, 8), insn(0x79, 3, 6, 16), insn(0x95, 0, 0, 0));
        // A branch on something else; then no path has a test.
        let other = [argument, jump(0x15, 0, 0, 1), insn(0xb7, 0, 0, 0), use_it, exit];
        assert_eq!(tested(&other), [(3, Tested::NOT)]);
        // Used where it is not 0, and where it is.
        let good = [argument, jump(0x15, 6, 0, 1), use_it, exit];
        assert_eq!(tested(&good), [(2, Tested::OTHER)]);
        let bad = [argument, jump(0x55, 6, 0, 1), use_it, exit];
        assert_eq!(tested(&bad), [(2, Tested::NULL)]);
        // On some paths only; a second test decides.
        let join = [argument, jump(0x15, 6, 0, 1), insn(0xb7, 0, 0, 0), use_it, exit];
        assert!(!tested(&join)[0].1.is_unsafe());
        let again = [argument, jump(0x15, 6, 0, 1), insn(0xb7, 0, 0, 0), jump(0x55, 6, 0, 1), use_it, exit];
        assert_eq!(tested(&again), [(4, Tested::NULL)]);
        // Other compares and functions may tell the verifier something.
        for telling in [jump(0x55, 6, 7, 0), insn(0x1d, 2, 6, 0), insn(0x85, 0, 1, 0)] {
            assert_eq!(tested(&[argument, telling, use_it, exit]), [(2, Tested::ANY)]);
        }
        let called = [argument, insn(0x85, 0, 0, 0), use_it, exit];
        assert_eq!(tested(&called), [(2, Tested::NOT)]);
        // Nor is it known what a callback finds out.
        let found = accesses(Code::new(called.as_flattened(), ByteOrder::Little), true);
        assert!(found.iter().any(|access| access.at == 2 && access.tested == Tested::ANY), "{found:?}");
    }

    #[test]
    fn a_narrow_store_spoils_a_spill() {
        let code = [
            insn(0x7b, 10, 1, -8),
            insn(0x63, 10, 0, -4),
            insn(0x79, 2, 10, -8),
            insn(0x79, 3, 2, 0),
            insn(0x95, 0, 0, 0),
        ];
        assert_eq!(bases(&code), []);
    }
}
