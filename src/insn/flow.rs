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

    /// The instructions that every way from the start to a return passes, none of which leads over what is `dead`, taking
    /// each branch both ways unless it is `decided` (taken or not). With a jump table nobody can tell, and there are none;
    /// where no way leads to a return, it is all of them.
    ///
    /// Each instruction is looked at twice: once for some way, and once for ways around parts of it.
    pub fn unavoidable(
        &self,
        dead: impl Fn(usize) -> bool,
        decided: impl Fn(usize) -> Option<bool>,
    ) -> Vec<bool> {
        let len = self.ops.len();
        if self.has_table {
            return vec![false; len];
        }
        // Where control goes on, and whether the function returns instead.
        let after = |slot: usize| match self.next(slot) {
            Some(Successors::Exit) => (None, None, true),
            Some(Successors::Branch { falls, taken } | Successors::MayGoto { falls, taken }) => {
                let decided = decided(slot);
                let alive = |to: usize, wrong: bool| {
                    (decided != Some(wrong)).then_some(to).filter(|&to| to < len && !dead(to))
                };
                (alive(falls, true), alive(taken, false), false)
            }
            next => {
                let mut slots =
                    next.into_iter().flat_map(Successors::slots).filter(|&to| to < len && !dead(to));
                (slots.next(), slots.next(), false)
            }
        };
        const NOWHERE: usize = usize::MAX;
        // Where a slot was come to from; the start stands for itself.
        let mut from = vec![NOWHERE; len];
        let mut stack = Vec::new();
        if len > 0 && !dead(0) {
            from[0] = 0;
            stack.push(0);
        }
        let mut last = None;
        while let Some(slot) = stack.pop() {
            let (first, second, returns) = after(slot);
            if returns {
                last = Some(slot);
                break;
            }
            for to in first.into_iter().chain(second) {
                if from[to] == NOWHERE {
                    from[to] = slot;
                    stack.push(to);
                }
            }
        }
        let Some(last) = last else { return vec![true; len] };
        let mut way = vec![last];
        while let Some(&slot) = way.last().filter(|slot| **slot != 0) {
            way.push(from[slot]);
        }
        way.reverse();
        let mut place = vec![NOWHERE; len];
        for (number, &slot) in way.iter().enumerate() {
            place[slot] = number;
        }
        // Goes along the way, and beside it from wherever it has come to; `furthest` is the place on the way that something
        // before the current one leads to.
        let mut unavoidable = vec![false; len];
        let mut seen = vec![false; len];
        let mut furthest = 0;
        stack.clear();
        for (number, &slot) in way.iter().enumerate() {
            unavoidable[slot] = furthest == number;
            stack.push(slot);
            while let Some(slot) = stack.pop() {
                let (first, second, returns) = after(slot);
                if returns {
                    furthest = way.len();
                }
                for to in first.into_iter().chain(second) {
                    if place[to] != NOWHERE {
                        furthest = furthest.max(place[to]);
                    } else if !std::mem::replace(&mut seen[to], true) {
                        stack.push(to);
                    }
                }
            }
        }
        unavoidable
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

    /// The slots that no way around exists of, by trying each.
    fn by_trying(flow: &Flow<'_>) -> Vec<bool> {
        let avoids = |at: usize| {
            let mut seen = vec![false; flow.ops.len()];
            let mut stack = vec![0];
            while let Some(slot) = stack.pop() {
                if slot >= seen.len() || slot == at || std::mem::replace(&mut seen[slot], true) {
                    continue;
                }
                if flow.next(slot) == Some(Successors::Exit) {
                    return true;
                }
                stack.extend(flow.next(slot).into_iter().flat_map(Successors::slots));
            }
            false
        };
        (0..flow.ops.len()).map(|at| !avoids(at)).collect()
    }

    #[test]
    fn what_no_way_avoids_is_found_in_one_go() {
        let all = |insns: &[[u8; 8]]| {
            with(insns, |flow| {
                let found = flow.unavoidable(|_| false, |_| None);
                assert_eq!(found, by_trying(flow), "{insns:?}");
                found
            })
        };
        assert_eq!(all(&[jump(0x15, 1), MOV, MOV, EXIT]), [true, false, true, true]);
        assert_eq!(all(&[MOV, jump(0x05, -2)]), [true, true]);
        assert_eq!(all(&[MOV, jump(0x15, 1), EXIT, EXIT]), [true, true, false, false]);
        // Any code: every branch anywhere.
        let mut random = fastrand::Rng::with_seed(12);
        for _ in 0..20_000 {
            let len = random.i16(1..14);
            let code: Vec<[u8; 8]> = (0..len)
                .map(|at| match random.u8(..8) {
                    0 => EXIT,
                    1 => jump(0x05, random.i16(0..len) - at - 1),
                    2..=4 => jump(0x15, random.i16(0..len) - at - 1),
                    _ => MOV,
                })
                .collect();
            all(&code);
        }
    }

    #[test]
    fn what_is_decided_is_not_avoided() {
        let code = [jump(0x15, 1), MOV, MOV, EXIT];
        let found = |decided| with(&code, |flow| flow.unavoidable(|_| false, |_| Some(decided)));
        assert_eq!(found(false), [true; 4]);
        assert_eq!(found(true), [true, false, true, true]);
        assert_eq!(with(&code, |flow| flow.unavoidable(|at| at == 1, |_| None)), [true, false, true, true]);
    }

    #[test]
    fn an_endless_loop_ends_the_search() {
        assert_eq!(with(&[MOV, jump(0x05, -2)], |f| f.fault()), None);
    }
}
