//! What helpers and kfuncs return and write, as far as that tells branches apart: a reading of the kernel's tables.

use crate::kernel::callback::{Callback, CallbackKind};
use crate::kernel::helpers::kinds::ReturnKind;
use crate::kernel::helpers::{self, Helper};

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

/// The callback of a kfunc.
pub(super) fn kfunc_callback(name: &str) -> Option<Callback> {
    match name {
        "bpf_wq_set_callback_impl" | "bpf_wq_set_callback" => {
            Some(Callback { register: 2, kind: CallbackKind::Element, later: true })
        }
        "bpf_rbtree_add_impl" | "bpf_rbtree_add" => {
            Some(Callback { register: 3, kind: CallbackKind::Plain, later: false })
        }
        _ => None,
    }
}

/// What a kfunc returns where its prototype does not tell; flags such as `KF_RET_NULL` stand in no BTF.
pub(super) fn kfunc_returns(name: &str) -> Option<Returns> {
    match name {
        "bpf_task_acquire"
        | "bpf_task_from_pid"
        | "bpf_task_from_vpid"
        | "bpf_cgroup_acquire"
        | "bpf_cgroup_ancestor"
        | "bpf_cgroup_from_id"
        | "bpf_task_get_cgroup1"
        | "bpf_cpumask_create"
        | "bpf_obj_new_impl"
        | "bpf_percpu_obj_new_impl"
        | "bpf_obj_new"
        | "bpf_percpu_obj_new"
        | "scx_bpf_cid_curr"
        | "scx_bpf_cpu_curr"
        | "scx_bpf_dsq_peek"
        | "scx_bpf_locked_rq"
        | "scx_bpf_tid_to_task" => Some(Returns::ObjectOrNull),
        // The verifier walks on both with and without a next element.
        "bpf_iter_num_next" | "bpf_iter_bits_next" => Some(Returns::Memory),
        "bpf_iter_task_next"
        | "bpf_iter_css_next"
        | "bpf_iter_css_task_next"
        | "bpf_iter_scx_dsq_next"
        | "bpf_iter_kmem_cache_next" => Some(Returns::ObjectOrNull),
        // Locks that may fail: walked once for each outcome.
        "bpf_res_spin_lock" | "bpf_res_spin_lock_irqsave" => Some(Returns::SomeNumber),
        _ => None,
    }
}

/// Kfuncs whose result must be released (`KF_ACQUIRE`), by name without flavour; the same in every kernel that has them.
pub(super) fn kfunc_acquires(name: &str) -> bool {
    matches!(
        name,
        "bpf_task_acquire"
            | "bpf_task_from_pid"
            | "bpf_task_from_vpid"
            | "bpf_task_get_cgroup1"
            | "bpf_cgroup_acquire"
            | "bpf_cgroup_ancestor"
            | "bpf_cgroup_from_id"
            | "bpf_cpumask_create"
            | "bpf_cpumask_acquire"
            | "bpf_obj_new_impl"
            | "bpf_percpu_obj_new_impl"
            | "scx_bpf_get_idle_cpumask"
            | "scx_bpf_get_idle_cpumask_node"
            | "scx_bpf_get_idle_smtmask"
            | "scx_bpf_get_idle_smtmask_node"
            | "scx_bpf_get_online_cpumask"
            | "scx_bpf_get_possible_cpumask"
            | "scx_bpf_task_cgroup"
    )
}

/// Must what a helper returns be released; sockets are not followed.
pub(super) fn helper_acquires(id: i32) -> bool {
    helpers::get(id).is_some_and(|helper| helper.acquires() && !helper.returns_socket())
}

/// Kfuncs that are known not to release what they are given.
pub(super) fn kfunc_releases_nothing(name: &str) -> bool {
    let put = ["scx_bpf_put_cpumask", "scx_bpf_put_idle_cpumask", "bpf_cpumask_release"];
    let family = ["scx_bpf_", "bpf_cpumask_", "bpf_rcu_read_", "bpf_preempt_", "bpf_iter_"];
    !put.contains(&name) && !name.ends_with("_dtor") && family.iter().any(|start| name.starts_with(start))
        || matches!(
            name,
            "bpf_task_acquire"
                | "bpf_task_get_cgroup1"
                | "bpf_task_under_cgroup"
                | "bpf_cgroup_acquire"
                | "bpf_cgroup_ancestor"
        )
}

/// Is a helper known not to release what it is given.
pub(super) fn helper_releases_nothing(id: i32) -> bool {
    helpers::get(id).is_some_and(|helper| !helper.releases())
}

/// A lock that must be given back, and under which nothing may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lock {
    Rcu,
    Preemption,
}

/// The lock that a kfunc takes.
pub(super) fn locks(name: &str) -> Option<Lock> {
    match name {
        "bpf_rcu_read_lock" => Some(Lock::Rcu),
        "bpf_preempt_disable" => Some(Lock::Preemption),
        _ => None,
    }
}

/// The lock that a kfunc gives back.
pub(super) fn unlocks(name: &str) -> Option<Lock> {
    match name {
        "bpf_rcu_read_unlock" => Some(Lock::Rcu),
        "bpf_preempt_enable" => Some(Lock::Preemption),
        _ => None,
    }
}
