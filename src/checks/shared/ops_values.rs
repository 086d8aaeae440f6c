//! What a rule may conclude from a value that an ops variable has in the file.
//!
//! Without a loader of scx (`--loader plain`) the kernel gets what is in the file, but for members that it lacks. Between
//! open and load the loaders of scx write to the variable, and what a scheduler's own user space does there besides is in no
//! BPF object. Known are the edits of the macros that all of them use (`SCX_OPS_OPEN` and `SCX_OPS_LOAD` of the C
//! headers, `scx_ops_open!` and `scx_ops_load!` of scx_utils):
//!
//! | member | what the loader does | what the file tells |
//! |---|---|---|
//! | `hotplug_seq`, `exit_dump_len` | writes it every time | nothing |
//! | `timeout_ms` | writes it if its user asks for it (SCX_TIMEOUT_MS) | as below |
//! | `name` | appends a version (Rust) | how the name begins |
//! | `sub_cgroup_id` | clears it where the kernel lacks it; sets it to run as a sub-scheduler | as below |
//! | `flags` | sets bits, by its options and by what the kernel has | a bit that is set stays set; of one that is not, nothing |
//! | other numbers | sets them, by its options | a value that is set stands; of 0, nothing |
//! | callbacks | clears those that the kernel lacks; switches some off, by its options | one that is there is meant to run; none is added |
//!
//! The last three rows are one policy: **what the author wrote into the file stands, and what the file leaves out user space
//! may have put in**. It could also take back what is there, but who wants a value to be chosen at run time leaves it
//! out of the file; so a bad value that is written down is an error under every loader, and whatever follows from a value that
//! is not there is undecided under scx's. Which ops variables are created, and which programs load, is user space's
//! choice too; [`crate::load`] models what the macros do about it. A value that the user tells ([`crate::load::Values`]) goes before all of it.

use super::super::context::Context;
use crate::load::{MemberFate, scx_loader};
use crate::object::{MemberInit, OpsIdx};

/// A number in an ops variable, as the kernel will see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checks) enum OpsValue {
    /// This one: of the file, or 0 where the kernel is not told.
    Stands(u64),
    /// It is 0 in the file, and user space may set it.
    Open,
    /// User space writes it whatever the file says.
    Replaced,
}

/// The flags of a scheduler, as the kernel will see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checks) struct Flags {
    /// Those that are set in the file, and stay set.
    pub(in crate::checks) set: u64,
    /// User space may set others.
    pub(in crate::checks) open: bool,
}

impl OpsValue {
    /// The value, if the file tells it.
    pub(in crate::checks) fn known(self) -> Option<u64> {
        match self {
            Self::Stands(value) => Some(value),
            Self::Open | Self::Replaced => None,
        }
    }
}

impl Flags {
    /// Is a flag surely set.
    pub(in crate::checks) fn has(self, flag: u64) -> bool {
        self.set & flag != 0
    }

    /// Is a flag surely not set.
    pub(in crate::checks) fn lacks(self, flag: u64) -> bool {
        !self.has(flag) && !self.open
    }

    /// Every way in which these flags can be in the end; the file's comes first.
    pub(in crate::checks) fn ways<const N: usize>(self, flags: [u64; N]) -> impl Iterator<Item = [bool; N]> {
        let set = flags.map(|flag| self.has(flag));
        let all = if self.open { 1u32 << N } else { 1 };
        let ways = (0..all).map(move |way| std::array::from_fn(|at| set[at] || way & 1 << at != 0));
        // Those that only differ in flags that are set anyway come twice, which does no harm.
        ways
    }
}

impl Context<'_, '_> {
    /// The number that a member of a scheduler will have in the kernel.
    pub(in crate::checks) fn ops_value(&self, ops: OpsIdx, member: &str) -> OpsValue {
        let members = &self.object[ops].members;
        let Some(at) = members.iter().position(|known| known.name == member) else {
            return OpsValue::Stands(0);
        };
        let MemberInit::Scalar(value) = members[at].value else { return OpsValue::Stands(0) };
        let told = self.load.values.member(self.object, ops, at);
        if !self.load.ops[ops.0].members.get(at).is_none_or(MemberFate::reaches_kernel) {
            return OpsValue::Stands(0);
        }
        match (told, value) {
            (Some(told), _) => OpsValue::Stands(told),
            _ if !self.load.is_edited() => OpsValue::Stands(value),
            _ if scx_loader::replaces(member) => OpsValue::Replaced,
            (None, 0) => OpsValue::Open,
            (None, value) => OpsValue::Stands(value),
        }
    }

    /// The flags that a scheduler will have in the kernel.
    pub(in crate::checks) fn ops_flags(&self, ops: OpsIdx) -> Flags {
        let set = self.object[ops].scalar("flags");
        match self.told(ops, "flags") {
            Some(told) => Flags { set: told, open: false },
            None => Flags { set, open: self.load.is_edited() },
        }
    }

    /// The flags as they are known, in words: in the file, or as they were told.
    pub(in crate::checks) fn flags_in_words(&self, ops: OpsIdx) -> String {
        let set = self.ops_flags(ops).set;
        match self.told(ops, "flags") {
            Some(_) => format!("flags are {set:#x}, as told"),
            None => format!("flags are {set:#x} in the file"),
        }
    }

    /// What is told of a number in an ops variable.
    pub(in crate::checks) fn told(&self, ops: OpsIdx, member: &str) -> Option<u64> {
        let at = self.object[ops].members.iter().position(|known| known.name == member)?;
        self.load.values.member(self.object, ops, at)
    }

    /// The name in the file, up to its NUL, and whether it has one; `None` if it is empty and user space may set it.
    pub(in crate::checks) fn ops_name(&self, ops: OpsIdx) -> Option<(&[u8], bool)> {
        let at = self.object[ops].members.iter().position(|member| member.name == "name");
        let told = at.and_then(|at| self.load.values.member_bytes(ops, at));
        let bytes: &[u8] = match (told, at.map(|at| self.object[ops].members[at].value)) {
            (Some(told), _) => told,
            (None, Some(MemberInit::Bytes(bytes))) => bytes,
            _ => &[],
        };
        let end = bytes.iter().position(|&b| b == 0);
        let name = &bytes[..end.unwrap_or(bytes.len())];
        (!name.is_empty() || !self.load.is_edited()).then_some((name, end.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_is_set_stays_set() {
        let plain = Flags { set: 1, open: false };
        assert_eq!(plain.ways([1, 64]).collect::<Vec<_>>(), [[true, false]]);
        assert!(plain.has(1) && plain.lacks(64));
        let edited = Flags { set: 1, open: true };
        assert!(edited.has(1) && !edited.has(64) && !edited.lacks(64));
        let ways: Vec<_> = edited.ways([1, 64]).collect();
        assert_eq!(ways[0], [true, false]);
        assert!(ways.contains(&[true, true]) && ways.iter().all(|way| way[0]));
    }
}
