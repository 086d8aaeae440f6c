//! What a path has taken and must give back before the program ends: references and locks (kernel `acquire_reference`,
//! `check_resource_leak`). What may have been given back counts as given back.

use super::model;
use super::state::FuncState;
use super::value::{PointsTo, RegState};
use crate::kernel::kfuncs::{self, Lock};

/// Whom an instruction calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Callee<'a> {
    /// By its name without flavour.
    Kfunc(&'a str),
    Helper(i32),
    /// Something that is not known.
    Other,
}

/// References, and locks, that are followed at most; of more than a few nothing is said.
const MOST: usize = 32;

/// The call instructions, by mark, whose takings a path still has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Held {
    references: Vec<u32>,
    /// Outermost first.
    locks: Vec<(Lock, u32)>,
    /// A lock that `bpf_spin_lock` took.
    pub spin: bool,
}

/// May a value be the pointer that the call at a mark returned.
fn may_be(value: RegState, mark: u32) -> bool {
    match value {
        RegState::Top => true,
        RegState::Word { origin, .. }
        | RegState::Pointer {
            place: PointsTo::Kernel | PointsTo::Value(_) | PointsTo::Map(None),
            origin,
            ..
        } => origin.root == 0 || origin.root == mark,
        _ => false,
    }
}

impl Held {
    /// A call is made, with the arguments in these registers: what it may give back is gone.
    pub(super) fn pass(&mut self, callee: Callee<'_>, state: &FuncState) {
        if let Callee::Kfunc(name) = callee
            && let Some(lock) = kfuncs::unlocks(name)
            && let Some(last) = self.locks.iter().rposition(|(known, _)| *known == lock)
        {
            self.locks.remove(last);
        }
        let keeps = match callee {
            Callee::Kfunc(name) => kfuncs::releases_nothing(name),
            Callee::Helper(id) => model::helper_releases_nothing(id),
            Callee::Other => false,
        };
        if !keeps {
            self.references.retain(|&mark| !(1..6).any(|register| may_be(state.get(register), mark)));
        }
    }

    /// The call at a mark has returned.
    pub(super) fn take(&mut self, callee: Callee<'_>, mark: u32) {
        let (acquires, locks) = match callee {
            Callee::Kfunc(name) => {
                (kfuncs::acquires(name), kfuncs::locks(name).filter(|lock| model::is_followed(*lock)))
            }
            Callee::Helper(id) => (model::helper_acquires(id), None),
            Callee::Other => (false, None),
        };
        if acquires && self.references.len() < MOST && !self.references.contains(&mark) {
            self.references.push(mark);
        }
        if let Some(lock) = locks.filter(|_| self.locks.len() < MOST) {
            self.locks.push((lock, mark));
        }
    }

    /// A branch went one way, and what was `before` in a register has become `after`.
    pub(super) fn branch(&mut self, before: RegState, after: RegState, is_null_test: bool) {
        if self.references.is_empty() {
            return;
        }
        // There is no reference where there is no object. What another test tells, not every verifier learns; and of a value
        // that is not known nobody can tell whether it is the object.
        let is_object = matches!(before, RegState::Pointer { .. });
        if !is_object || after.constant() == Some(0) || !is_null_test {
            self.references.retain(|&mark| before.origin().root != mark && !may_be(before, mark));
        }
    }

    /// Unknown code was walked; with calls, locks may have been given back, too.
    pub(super) fn blur(&mut self, calls: bool) {
        self.references.clear();
        if calls {
            self.locks.clear();
        }
    }

    /// The innermost lock.
    pub(super) fn lock(&self) -> Option<u32> {
        self.locks.last().map(|(_, mark)| *mark)
    }

    /// All of it where a program ends with that in r0. A struct_ops program may return a reference to the kernel, and of one that
    /// returns nothing the verifier lets a reference pass that happens to be left in r0.
    pub(super) fn left(&self, result: RegState) -> impl Iterator<Item = u32> {
        let references = self.references.iter().filter(move |&&mark| !may_be(result, mark));
        references.copied().chain(self.locks.iter().map(|(_, mark)| *mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::reach::value::{Null, Origin};

    /// The mark of the call that took the reference.
    const MARK: u32 = 7;

    fn held() -> Held {
        let mut held = Held::default();
        held.take(Callee::Kfunc("bpf_task_from_pid"), MARK);
        held
    }

    fn object(null: Null) -> RegState {
        RegState::pointer(PointsTo::Kernel, null, Origin::new(MARK))
    }

    #[test]
    fn a_test_ends_a_reference_where_there_is_no_object() {
        let left = |before, after, is_null_test| {
            let mut held = held();
            held.branch(before, after, is_null_test);
            held.left(RegState::known(0)).count()
        };
        let zero = RegState::known(0);
        assert_eq!(left(object(Null::Maybe), zero, true), 0);
        assert_eq!(left(object(Null::Maybe), object(Null::No), true), 1);
        assert_eq!(left(object(Null::Maybe), object(Null::No), false), 0);
        // It may be the object that is tested.
        assert_eq!(left(RegState::Top, RegState::Top, true), 0);
        assert_eq!(left(zero, zero, true), 1);
    }
}
