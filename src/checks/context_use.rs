//! What registers hold of a program's context: the context itself, an argument, or neither.
//!
//! A forward walk over one function's flow that keeps only what holds on every path, so that an answer
//! is sure. Spills to the stack are followed where they are 8 bytes at a fixed offset from r10.

use std::collections::HashMap;

use crate::insn::{Class, Code, Insn};

/// What is known of a register or stack slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nothing of the context.
    Other,
    /// The context: an array of 8-byte arguments.
    Context,
    /// The argument of that number, the first is 0.
    Argument(usize),
}

/// An access to the context or through an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    /// The instruction.
    pub(super) at: usize,
    /// The instruction itself.
    pub(super) insn: Insn,
    /// What its base register holds.
    pub(super) base: Holds,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    registers: [Holds; 11],
    slots: HashMap<i16, Holds>,
}

impl State {
    fn entry() -> Self {
        let mut registers = [Holds::Other; 11];
        registers[1] = Holds::Context;
        Self { registers, slots: HashMap::new() }
    }

    /// Keeps what both agree on; tells whether that is less than before.
    fn meet(&mut self, other: &Self) -> bool {
        let mut less = false;
        for (ours, theirs) in self.registers.iter_mut().zip(&other.registers) {
            if ours != theirs && *ours != Holds::Other {
                *ours = Holds::Other;
                less = true;
            }
        }
        let before = self.slots.len();
        self.slots.retain(|slot, held| other.slots.get(slot) == Some(held));
        less || self.slots.len() != before
    }

    fn get(&self, register: u8) -> Holds {
        self.registers.get(usize::from(register)).copied().unwrap_or(Holds::Other)
    }

    fn set(&mut self, register: u8, holds: Holds) {
        if let Some(slot) = self.registers.get_mut(usize::from(register)) {
            *slot = holds;
        }
    }

    /// What holds after an instruction.
    fn step(&mut self, insn: Insn) {
        let wide = insn.code & 0x18 == 0x18;
        match insn.class() {
            Class::Jmp | Class::Jmp32 if insn.is_call() => self.registers[..6].fill(Holds::Other),
            Class::Jmp | Class::Jmp32 => {}
            Class::Ldx => {
                let holds = match self.get(insn.src) {
                    Holds::Context if wide && insn.off >= 0 && insn.off % 8 == 0 => {
                        Holds::Argument(usize::from(insn.off.unsigned_abs()) / 8)
                    }
                    _ if wide && insn.src == 10 => self.slots.get(&insn.off).copied().unwrap_or(Holds::Other),
                    _ => Holds::Other,
                };
                self.set(insn.dst, holds);
            }
            Class::Stx | Class::St if insn.dst == 10 => {
                // A narrower or overlapping store spoils what lies there.
                self.slots.retain(|slot, _| (i32::from(*slot) - i32::from(insn.off)).abs() >= 8);
                let held = self.get(insn.src);
                if insn.code == 0x7b && held != Holds::Other {
                    self.slots.insert(insn.off, held);
                }
            }
            Class::Stx | Class::St => {
                // Atomics with fetch write a register; none of them can hold a pointer of the context.
                if insn.class() == Class::Stx && insn.code & 0xe0 == 0xc0 {
                    self.set(insn.src, Holds::Other);
                    self.set(0, Holds::Other);
                }
            }
            // A plain 64-bit register move.
            _ if insn.code == 0xbf && insn.off == 0 => {
                let held = self.get(insn.src);
                self.set(insn.dst, held);
            }
            _ => self.set(insn.dst, Holds::Other),
        }
    }
}

/// All loads and stores of an entry program whose base is surely the context or an argument, in code order.
pub(super) fn accesses(code: Code<'_>) -> Vec<Access> {
    let mut states: HashMap<usize, State> = HashMap::from([(0, State::entry())]);
    let mut work = vec![0];
    // Facts only get fewer at a place, so this ends; the bound is against hostile code alone.
    let mut budget = code.len().saturating_mul(24).min(4 << 20);
    while let Some(at) = work.pop() {
        let (Some(insn), Some(mut state)) = (code.get(at), states.get(&at).cloned()) else { continue };
        budget = budget.saturating_sub(1);
        if budget == 0 {
            return Vec::new();
        }
        state.step(insn);
        for next in successors(at, insn) {
            match states.get_mut(&next) {
                Some(known) => {
                    if known.meet(&state) {
                        work.push(next);
                    }
                }
                None => {
                    states.insert(next, state.clone());
                    work.push(next);
                }
            }
        }
    }
    let mut found: Vec<Access> = states
        .iter()
        .filter_map(|(&at, state)| {
            let insn = code.get(at)?;
            let base = match insn.class() {
                Class::Ldx => state.get(insn.src),
                Class::St | Class::Stx => state.get(insn.dst),
                _ => Holds::Other,
            };
            (base != Holds::Other).then_some(Access { at, insn, base })
        })
        .collect();
    found.sort_unstable_by_key(|access| access.at);
    found
}

fn successors(at: usize, insn: Insn) -> impl Iterator<Item = usize> {
    let after = at + if insn.is_ld_imm64() { 2 } else { 1 };
    let to = |distance: i64| usize::try_from(after as i64 + distance).ok();
    let (next, jump) = match (insn.class(), insn.code & 0xf0) {
        (Class::Jmp, 0x90) => (None, None),
        (Class::Jmp, 0x80) => (Some(after), None),
        (Class::Jmp, 0x00) => (None, to(i64::from(insn.off))),
        (Class::Jmp32, 0x00) => (None, to(i64::from(insn.imm))),
        (Class::Jmp | Class::Jmp32, _) => (Some(after), to(i64::from(insn.off))),
        _ => (Some(after), None),
    };
    next.into_iter().chain(jump)
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
        let found = accesses(Code::new(code.as_flattened(), ByteOrder::Little));
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
