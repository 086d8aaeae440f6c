//! What helpers and kfuncs return and write, as far as that tells branches apart: a reading of the kernel's tables.

use crate::kernel::helpers::kinds::ReturnKind;
use crate::kernel::helpers::{self, Helper};
use crate::kernel::kfuncs::{self, Lock};

use crate::btf::essential_name;

/// What a call returns in r0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Returns {
    /// A number that no verifier knows a range of.
    Number,
    /// A number of which more may be known.
    SomeNumber,
    /// `bpf_map_lookup_elem`: a map value or NULL, except that newer kernels know that arrays hold a constant key.
    Looked,
    /// Memory or a map value, or NULL.
    Memory,
    /// An object; NULL may be excluded.
    Object,
    /// An object or NULL.
    ObjectOrNull,
    /// Unknown.
    Anything,
}

/// Helpers of which the result is followed; what others return is unknown.
const FOLLOWED: [i32; 29] = [
    helpers::MAP_LOOKUP_ELEM,
    helpers::MAP_UPDATE_ELEM,
    helpers::MAP_DELETE_ELEM,
    helpers::PROBE_READ,
    helpers::KTIME_GET_NS,
    helpers::GET_PRANDOM_U32,
    helpers::GET_SMP_PROCESSOR_ID,
    helpers::GET_CURRENT_PID_TGID,
    helpers::GET_CURRENT_UID_GID,
    helpers::PROBE_READ_STR,
    helpers::GET_CURRENT_CGROUP_ID,
    helpers::SK_STORAGE_GET,
    helpers::PROBE_READ_USER,
    helpers::PROBE_READ_KERNEL,
    helpers::PROBE_READ_USER_STR,
    helpers::PROBE_READ_KERNEL_STR,
    helpers::JIFFIES64,
    helpers::KTIME_GET_BOOT_NS,
    helpers::RINGBUF_RESERVE,
    helpers::INODE_STORAGE_GET,
    helpers::PER_CPU_PTR,
    helpers::THIS_CPU_PTR,
    helpers::TASK_STORAGE_GET,
    helpers::GET_CURRENT_TASK_BTF,
    helpers::KPTR_XCHG,
    helpers::MAP_LOOKUP_PERCPU_ELEM,
    helpers::DYNPTR_DATA,
    helpers::KTIME_GET_TAI_NS,
    helpers::CGRP_STORAGE_GET,
];

/// What a helper returns, as far as it is followed.
pub(super) fn returns(helper: &Helper) -> Returns {
    match helper.ret.kind {
        _ if !FOLLOWED.contains(&helper.id) => Returns::Anything,
        _ if helper.id == helpers::MAP_LOOKUP_ELEM => Returns::Looked,
        ReturnKind::Integer if helper.has_range() => Returns::SomeNumber,
        ReturnKind::Integer => Returns::Number,
        _ if helper.returns_memory() => Returns::Memory,
        _ if helper.may_return_null() => Returns::ObjectOrNull,
        _ => Returns::Object,
    }
}

/// Does a helper write as many bytes as r2 says, where r1 points to; of those that write a string it is not known.
pub(super) fn fills(helper: &Helper) -> bool {
    returns(helper) == Returns::Number && helper.fills_memory()
}

/// What a kfunc returns where its prototype does not tell.
pub(super) fn kfunc_returns(name: &str) -> Option<Returns> {
    let row = kfuncs::row_of(name)?;
    if row.may_fail() {
        Some(Returns::SomeNumber)
    } else if !row.may_return_null() {
        None
    } else if row.returns_memory() {
        Some(Returns::Memory)
    } else {
        Some(Returns::ObjectOrNull)
    }
}

/// Must what a helper returns be released; sockets are not followed.
pub(super) fn helper_acquires(id: i32) -> bool {
    helpers::get(id).is_some_and(|helper| helper.acquires() && !helper.returns_socket())
}

/// Is a helper known not to release what it is given.
pub(super) fn helper_releases_nothing(id: i32) -> bool {
    helpers::get(id).is_some_and(|helper| !helper.releases())
}

/// Is a lock followed: one under which nothing may sleep.
pub(super) fn is_followed(lock: Lock) -> bool {
    matches!(lock, Lock::Rcu | Lock::Preemption)
}

/// May a kfunc return NULL in place of an object, so that the verifier wants a test (`KF_RET_NULL`, as far as known here).
pub fn may_return_null(kfunc: &str) -> bool {
    kfunc_returns(essential_name(kfunc)) == Some(Returns::ObjectOrNull)
}

/// Must what a kfunc takes be given back: a reference to what it returns (`KF_ACQUIRE`, as far as known here), or a lock.
pub fn takes(kfunc: &str) -> bool {
    let row = kfuncs::row_of(essential_name(kfunc));
    row.is_some_and(|row| row.acquires() || row.locks.is_some_and(is_followed))
}

/// Must what a helper returns be given back.
pub fn helper_takes(id: i32) -> bool {
    helper_acquires(id)
}
