//! Control flow inside one function, as the verifier checks it before it walks anything. What it then walks is
//! told by [`crate::verifier`].

use super::{Op, Successors};

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
pub struct Flow<'o> {
    ops: &'o [Op],
    /// By slot; `None` for the second half of an `ld_imm64`.
    successors: Vec<Option<Successors>>,
    has_table: bool,
}

impl<'o> Flow<'o> {
    /// Looks at one function, by what its slots do ([`Code::ops`](super::Code::ops)).
    pub fn new(ops: &'o [Op]) -> Self {
        let mut successors = vec![None; ops.len()];
        let mut at = 0;
        while let Some(op) = ops.get(at) {
            successors[at] = Some(op.successors(at));
            at += if matches!(op, Op::LoadImm64 { .. }) { 2 } else { 1 };
        }
        let has_table = successors.contains(&Some(Successors::Table));
        Self { ops, successors, has_table }
    }

    /// Where control goes after the instruction at a slot. What jumps into a second half goes on behind it.
    fn next(&self, at: usize) -> Option<Successors> {
        let inside = self.successors.get(at)?;
        Some(inside.unwrap_or(Successors::Next(at + 1)))
    }

    /// Marks what is reached from the start, whatever the branches decide.
    fn reach(&self) -> Vec<bool> {
        let mut seen = vec![false; self.ops.len()];
        let mut stack = vec![0];
        while let Some(at) = stack.pop() {
            if at >= seen.len() || std::mem::replace(&mut seen[at], true) {
                continue;
            }
            stack.extend(self.next(at).into_iter().flat_map(Successors::slots));
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
        let mut seen = vec![false; self.ops.len()];
        let mut stack = vec![0];
        while let Some(slot) = stack.pop() {
            if slot >= seen.len() || slot == at || dead(slot) || std::mem::replace(&mut seen[slot], true) {
                continue;
            }
            match self.next(slot) {
                Some(Successors::Exit) => return true,
                Some(Successors::Branch { falls, taken } | Successors::MayGoto { falls, taken }) => {
                    let decided = decided(slot);
                    stack.extend((decided != Some(true)).then_some(falls));
                    stack.extend((decided != Some(false)).then_some(taken));
                }
                next => stack.extend(next.into_iter().flat_map(Successors::slots)),
            }
        }
        false
    }

    /// The instructions from which no way leads to a return, whatever the branches decide, in order; none are known where
    /// there is a jump table, or where loops lie too deep in each other.
    fn endless(&self) -> Vec<usize> {
        if self.has_table {
            return Vec::new();
        }
        let insns: Vec<(usize, Successors)> =
            self.successors.iter().enumerate().filter_map(|(at, next)| Some((at, (*next)?))).collect();
        let mut ends = vec![false; self.ops.len()];
        // From the last to the first: only what jumps back needs another round.
        for _ in 0..MOST_ROUNDS {
            let mut changed = false;
            for &(at, next) in insns.iter().rev() {
                if ends[at] {
                    continue;
                }
                let leads = |slot: usize| ends.get(slot) == Some(&true);
                if next == Successors::Exit || next.slots().any(leads) {
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

    /// Where the loops start that nothing ends.
    pub fn endless_loops(&self) -> Vec<usize> {
        let may_goto = |next: &Option<Successors>| matches!(next, Some(Successors::MayGoto { .. }));
        if self.back_jumps().next().is_none()
            || self.successors.iter().any(may_goto)
            || self.fault().is_some()
        {
            return Vec::new();
        }
        let endless = self.endless();
        let loops = self.back_jumps().filter(|(at, _)| endless.binary_search(at).is_ok());
        loops.map(|(_, to)| to).collect()
    }

    /// Slots that jump back, or to themselves, and where to.
    fn back_jumps(&self) -> impl Iterator<Item = (usize, usize)> {
        let jumps = self.successors.iter().enumerate().filter_map(|(at, next)| Some((at, (*next)?.jump()?)));
        jumps.filter(|(at, to)| to <= at)
    }

    /// The first thing that the verifier's look at the flow refuses (`check_subprogs`, `check_cfg`).
    pub fn fault(&self) -> Option<Fault> {
        for (at, next) in self.successors.iter().enumerate() {
            let Some(to) = next.and_then(Successors::jump) else { continue };
            match self.successors.get(to) {
                None => {
                    let distance = self.ops[at].distance().unwrap_or(0);
                    return Some(Fault::OutOfRange(at, at as i64 + 1 + i64::from(distance)));
                }
                Some(None) => return Some(Fault::IntoImmediate(to)),
                Some(Some(_)) => {}
            }
        }
        let (last, next) =
            self.successors.iter().enumerate().rev().find_map(|(at, next)| Some((at, (*next)?)))?;
        if !matches!(next, Successors::Exit | Successors::Jump(_) | Successors::Table) {
            return Some(Fault::FallsOff(last));
        }
        if self.has_table {
            return None;
        }
        let seen = self.reach();
        (0..seen.len()).find(|&at| self.successors[at].is_some() && !seen[at]).map(Fault::Unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::ByteOrder;
    use crate::insn::Code;

    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
    const MOV: [u8; 8] = [0xb7, 0, 0, 0, 0, 0, 0, 0];

    fn jump(code: u8, off: i16) -> [u8; 8] {
        let [a, b] = off.to_le_bytes();
        [code, 1, a, b, 0, 0, 0, 0]
    }

    fn with<T>(insns: &[[u8; 8]], look: impl Fn(&Flow<'_>) -> T) -> T {
        look(&Flow::new(&Code::new(insns.as_flattened(), ByteOrder::Little).ops()))
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
