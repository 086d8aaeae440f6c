//! Does a program surely do something: one answer, and one wording where it stays open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::super::context::Context;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Op;
use crate::object::{FuncIdx, InsnIdx};
use crate::rule::{Phase, Rule};
use crate::verifier::{At, Reached};

/// The answer, with what was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checks) enum Surely<T> {
    /// It does.
    Sure(T),
    /// A branch lies before it, which is at that instruction.
    Open(T, Branch, At),
    /// It does not.
    No,
}

/// Who decides the branch that leaves an answer open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checks) enum Branch {
    /// The verifier, when the program is loaded.
    OfVerifier,
    /// The program, when it runs.
    OfRun,
}

impl Branch {
    /// What is behind it, in words.
    pub(in crate::checks) fn before(self, what: &str) -> String {
        match self {
            Self::OfVerifier => format!("{what}, behind a branch that the verifier may prune"),
            Self::OfRun => format!("{what}, behind a branch that may never be taken"),
        }
    }
}

impl<T> Surely<T> {
    /// What was found, whether it is sure or not.
    pub(in crate::checks) fn found(&self) -> Option<&T> {
        match self {
            Self::Sure(found) | Self::Open(found, ..) => Some(found),
            Self::No => None,
        }
    }

    /// What is sure. Of what is open a question stays, in the words that `what` gives it.
    pub(in crate::checks) fn or_undecided(
        self,
        out: &mut Outcome,
        rule: &'static Rule,
        subject: Subject,
        what: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        self.or_undecided_at(out, rule, rule.phase, subject, what)
    }

    /// The same about a phase that is not the rule's own.
    pub(in crate::checks) fn or_undecided_at(
        self,
        out: &mut Outcome,
        rule: &'static Rule,
        phase: Phase,
        subject: Subject,
        what: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match self {
            Self::Sure(found) => Some(found),
            Self::Open(found, branch, (function, insn)) => {
                let reason = branch.before(&what(&found));
                out.undecided_at(rule, phase, subject, reason).at(Site::Insn(function, insn), "here");
                None
            }
            Self::No => None,
        }
    }

    /// The surer of two; the first of equals.
    fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::No, _) | (Self::Open(..), Self::Sure(_)) => other,
            _ => self,
        }
    }
}

impl Context<'_, '_> {
    /// Does the verifier walk one of these instructions of a program: the first that it is sure to walk, else the first that
    /// it may.
    pub(in crate::checks) fn walks<T>(
        &self,
        program: FuncIdx,
        places: impl IntoIterator<Item = (At, T)>,
    ) -> Surely<T> {
        let mut answer = Surely::No;
        for (at, found) in places {
            answer = answer.or(match self.walk(program).reached(at) {
                Reached::Certain => return Surely::Sure(found),
                Reached::Possible => Surely::Open(found, Branch::OfVerifier, at),
                Reached::Never => Surely::No,
            });
        }
        answer
    }

    /// The same of the instructions that are wanted, of the program and the functions appended to it.
    pub(in crate::checks) fn walks_any(
        &self,
        program: FuncIdx,
        wanted: impl Fn(FuncIdx, Op) -> bool,
    ) -> Surely<(At, Op)> {
        let slots = self.object.code_of(program).flat_map(|(function, code)| {
            code.ops().iter().enumerate().map(move |(at, op)| ((function, InsnIdx(at)), *op))
        });
        let places = slots.filter(|((function, _), op)| wanted(*function, *op));
        self.walks(program, places.map(|(at, op)| (at, (at, op))))
    }

    /// Does a program come to an instruction whenever it runs.
    pub(in crate::checks) fn runs<T>(&self, program: FuncIdx, at: At, found: T) -> Surely<T> {
        match self.walk(program).reached(at) {
            Reached::Never => Surely::No,
            Reached::Certain if self.walk(program).is_unavoidable(at) => Surely::Sure(found),
            Reached::Certain | Reached::Possible => Surely::Open(found, Branch::OfRun, at),
        }
    }
}

/// For each thing, by a key, the surest of the places where a program does something with it; the first of equals. What the
/// verifier never walks is left out.
pub(in crate::checks) fn surest<T, K: Eq + Hash>(
    cx: &Context<'_, '_>,
    program: FuncIdx,
    places: impl IntoIterator<Item = (At, T)>,
    key: impl Fn(&T) -> K,
) -> Vec<Surely<T>> {
    let mut known: Vec<Surely<T>> = Vec::new();
    let mut numbers: HashMap<K, usize> = HashMap::new();
    for (at, found) in places {
        let key = key(&found);
        match cx.walks(program, [(at, found)]) {
            Surely::No => {}
            answer => match numbers.entry(key) {
                Entry::Occupied(number) => {
                    let best = &mut known[*number.get()];
                    *best = std::mem::replace(best, Surely::No).or(answer);
                }
                Entry::Vacant(entry) => {
                    entry.insert(known.len());
                    known.push(answer);
                }
            },
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: At = (FuncIdx(0), InsnIdx(7));

    #[test]
    fn the_surer_answer_wins_and_the_first_of_equals() {
        use Surely::{No, Open, Sure};
        let open = |n| Open(n, Branch::OfVerifier, AT);
        assert_eq!(open(1).or(Sure(2)), Sure(2));
        assert_eq!(Sure(1).or(Sure(2)), Sure(1));
        assert_eq!(Sure(1).or(open(2)), Sure(1));
        assert_eq!(open(1).or(open(2)), open(1));
        assert_eq!(No.or(open(2)), open(2));
        assert_eq!(open(1).or(No), open(1));
    }

    #[test]
    fn what_stays_open_is_told_in_one_way() {
        let rule = &crate::checks::RULES[0];
        let ask = |answer: Surely<u8>| {
            let mut out = Outcome::default();
            let sure = answer.or_undecided(&mut out, rule, Subject::section("x"), |n| format!("does {n}"));
            let places = out.undecided.iter().flat_map(|open| &open.locations);
            assert!(places.clone().all(|place| place.site == Site::Insn(AT.0, AT.1)));
            assert_eq!(places.count(), out.undecided.len());
            (sure, out.undecided.into_iter().map(|open| open.reason).collect::<Vec<_>>())
        };
        assert_eq!(ask(Surely::Sure(1)), (Some(1), vec![]));
        assert_eq!(ask(Surely::No), (None, vec![]));
        let pruned = "does 1, behind a branch that the verifier may prune".to_owned();
        assert_eq!(ask(Surely::Open(1, Branch::OfVerifier, AT)), (None, vec![pruned]));
        let taken = "does 1, behind a branch that may never be taken".to_owned();
        assert_eq!(ask(Surely::Open(1, Branch::OfRun, AT)), (None, vec![taken]));
    }
}
