//! Control flow inside one function, as the verifier checks it before it walks anything. What it then walks is
//! told by [`crate::reach`].

use super::{Class, Code, Insn};

/// What an instruction does to the flow of control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Goes on to the next instruction.
    Next,
    /// Returns.
    Exit,
    /// Jumps always.
    Jump(i64),
    /// Jumps or goes on.
    Branch(i64),
    /// Jumps through a table: anywhere.
    Table,
}

fn step(insn: Insn) -> Step {
    let class = insn.class();
    if !matches!(class, Class::Jmp | Class::Jmp32) {
        return Step::Next;
    }
    match (class, insn.code & 0xf0) {
        (Class::Jmp, 0x80) => Step::Next,
        (Class::Jmp, 0x90) => Step::Exit,
        (Class::Jmp, 0x00) if insn.code & 8 != 0 => Step::Table,
        (Class::Jmp, 0x00) => Step::Jump(i64::from(insn.off)),
        (Class::Jmp32, 0x00) => Step::Jump(i64::from(insn.imm)),
        _ => Step::Branch(i64::from(insn.off)),
    }
}

/// The slot that the instruction at `at` jumps to, always or on a condition.
pub fn jump(at: usize, insn: Insn) -> Option<i64> {
    match step(insn) {
        Step::Jump(off) | Step::Branch(off) => Some(at as i64 + 1 + off),
        Step::Next | Step::Exit | Step::Table => None,
    }
}

/// Trouble with the flow of a function that the verifier refuses before it walks anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A jump from the first slot to the second one, which is outside the function.
    OutOfRange(usize, i64),
    /// The last instruction goes on into nothing.
    FallsOff(usize),
    /// No path leads here.
    Unreachable(usize),
    /// A jump into the second slot of an `ld_imm64`.
    IntoImmediate(usize),
}

/// How often [`Flow::endless`] goes over the code.
const MOST_ROUNDS: usize = 64;

/// The flow graph of one function.
#[derive(Debug)]
pub struct Flow<'d> {
    code: Code<'d>,
    has_table: bool,
}

impl<'d> Flow<'d> {
    /// Looks at one function.
    pub fn new(code: Code<'d>) -> Self {
        Self { code, has_table: code.insns().any(|(_, insn)| step(insn) == Step::Table) }
    }

    /// Slots that may follow the instruction at `at`.
    fn next(&self, at: usize) -> [Option<i64>; 2] {
        let Some(insn) = self.code.get(at) else { return [None, None] };
        let after = at as i64 + if insn.is_ld_imm64() { 2 } else { 1 };
        match step(insn) {
            Step::Next => [Some(after), None],
            Step::Jump(off) => [Some(after + off), None],
            Step::Branch(off) => [Some(after), Some(after + off)],
            Step::Exit | Step::Table => [None, None],
        }
    }

    /// Marks what is reached from the start, whatever the branches decide.
    fn reach(&self) -> Vec<bool> {
        let mut seen = vec![false; self.code.len()];
        let mut stack = vec![0];
        while let Some(at) = stack.pop() {
            if at >= seen.len() || std::mem::replace(&mut seen[at], true) {
                continue;
            }
            stack.extend(self.next(at).into_iter().flatten().filter_map(|slot| usize::try_from(slot).ok()));
        }
        seen
    }

    /// Is there a way from the start to a return that does not pass the instruction at `at` nor any that is `dead`, taking
    /// each branch both ways unless it is `decided` (taken or not). With a jump table nobody can tell, and there is one.
    pub fn can_avoid(
        &self,
        at: usize,
        dead: impl Fn(usize) -> bool,
        decided: impl Fn(usize) -> Option<bool>,
    ) -> bool {
        if self.has_table {
            return true;
        }
        let mut seen = vec![false; self.code.len()];
        let mut stack = vec![0];
        while let Some(slot) = stack.pop() {
            if slot >= seen.len() || slot == at || dead(slot) || std::mem::replace(&mut seen[slot], true) {
                continue;
            }
            if self.code.get(slot).is_some_and(Insn::is_exit) {
                return true;
            }
            let [falls, taken] = self.next(slot);
            let ways = match (taken, decided(slot)) {
                (Some(_), Some(true)) => [None, taken],
                (Some(_), Some(false)) => [falls, None],
                _ => [falls, taken],
            };
            stack.extend(ways.into_iter().flatten().filter_map(|slot| usize::try_from(slot).ok()));
        }
        false
    }

    /// The instructions from which no way leads to a return, whatever the branches decide, in order; none are known where
    /// there is a jump table, or where loops lie too deep in each other.
    pub fn endless(&self) -> Vec<usize> {
        if self.has_table {
            return Vec::new();
        }
        let insns: Vec<(usize, Insn)> = self.code.insns().collect();
        let mut ends = vec![false; self.code.len()];
        // From the last to the first: only what jumps back needs another round.
        for _ in 0..MOST_ROUNDS {
            let mut changed = false;
            for &(at, insn) in insns.iter().rev() {
                if ends[at] {
                    continue;
                }
                let leads = |slot: i64| usize::try_from(slot).is_ok_and(|slot| ends.get(slot) == Some(&true));
                if insn.is_exit() || self.next(at).into_iter().flatten().any(leads) {
                    ends[at] = true;
                    changed = true;
                }
            }
            if !changed {
                return insns.into_iter().map(|(at, _)| at).filter(|&at| !ends[at]).collect();
            }
        }
        Vec::new()
    }

    /// The first thing that the verifier's look at the flow refuses (`check_subprogs`, `check_cfg`).
    pub fn fault(&self) -> Option<Fault> {
        let mut immediate = vec![false; self.code.len() + 1];
        for (at, insn) in self.code.insns() {
            if insn.is_ld_imm64() {
                immediate[at + 1] = true;
            }
        }
        for (at, insn) in self.code.insns() {
            let target = match step(insn) {
                Step::Jump(off) | Step::Branch(off) => at as i64 + 1 + off,
                _ => continue,
            };
            match usize::try_from(target) {
                Ok(slot) if slot < self.code.len() => {
                    if immediate[slot] {
                        return Some(Fault::IntoImmediate(slot));
                    }
                }
                _ => return Some(Fault::OutOfRange(at, target)),
            }
        }
        let (last, insn) = self.code.insns().last()?;
        if !matches!(step(insn), Step::Exit | Step::Jump(_) | Step::Table) {
            return Some(Fault::FallsOff(last));
        }
        if self.has_table {
            return None;
        }
        let seen = self.reach();
        self.code.insns().map(|(at, _)| at).find(|&at| !seen[at]).map(Fault::Unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::ByteOrder;

    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
    const MOV: [u8; 8] = [0xb7, 0, 0, 0, 0, 0, 0, 0];

    fn jump(code: u8, off: i16) -> [u8; 8] {
        let [a, b] = off.to_le_bytes();
        [code, 1, a, b, 0, 0, 0, 0]
    }

    fn with<T>(insns: &[[u8; 8]], look: impl Fn(&Flow<'_>) -> T) -> T {
        look(&Flow::new(Code::new(insns.as_flattened(), ByteOrder::Little)))
    }

    #[test]
    fn code_behind_a_branch_is_in_order() {
        assert_eq!(with(&[jump(0x15, 1), MOV, MOV, EXIT], |f| f.fault()), None);
    }

    #[test]
    fn faults_are_found() {
        assert_eq!(with(&[jump(0x05, 1), MOV, EXIT], |f| f.fault()), Some(Fault::Unreachable(1)));
        assert_eq!(with(&[jump(0x05, 5), EXIT], |f| f.fault()), Some(Fault::OutOfRange(0, 6)));
        assert_eq!(with(&[MOV], |f| f.fault()), Some(Fault::FallsOff(0)));
        let wide = [0x18, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(with(&[jump(0x15, 1), wide, [0; 8], EXIT], |f| f.fault()), Some(Fault::IntoImmediate(2)));
    }

    #[test]
    fn an_endless_loop_ends_the_search() {
        assert_eq!(with(&[MOV, jump(0x05, -2)], |f| f.fault()), None);
    }
}
