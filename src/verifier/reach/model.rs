//! What helpers and kfuncs return and write, as far as that tells branches apart.
//!
//! Helper numbers are those of `enum bpf_func_id`. What is not listed returns what nothing is known of.

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

/// What a helper writes to memory that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// As many bytes as r2 says, where r1 points to.
    Fills,
    /// Unknown.
    Other,
}

/// When a call's callback is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallbackKind {
    /// If r1 may be above 0.
    Loop,
    /// Always; it gets the key and the value of a map's element as its second and third argument.
    Element,
    /// Always.
    Plain,
}

/// The callback that a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Callback {
    /// The register that holds its address.
    pub register: u8,
    /// When it is walked.
    pub kind: CallbackKind,
}

/// A helper.
#[derive(Debug, Clone, Copy)]
pub(super) struct Helper {
    pub returns: Returns,
    pub memory: Memory,
    pub callback: Option<Callback>,
}

pub(super) fn helper(id: i32) -> Helper {
    let returns = match id {
        // map_lookup_elem
        1 => Returns::Looked,
        // map_update, map_delete, ktime_get_ns, get_prandom_u32, get_current_pid_tgid, get_current_uid_gid,
        // get_current_cgroup_id, jiffies64, ktime_get_boot_ns, ktime_get_tai_ns
        2 | 3 | 5 | 7 | 14 | 15 | 80 | 118 | 125 | 208 => Returns::Number,
        // probe_read of user and kernel memory
        4 | 112 | 113 => Returns::Number,
        // get_smp_processor_id: newer kernels know its range; probe_read_str
        8 | 45 | 114 | 115 => Returns::SomeNumber,
        // ringbuf_reserve, storages of sockets, inodes, tasks and cgroups, map_lookup_percpu_elem, dynptr_data
        131 | 107 | 145 | 156 | 195 | 203 | 210 => Returns::Memory,
        // per_cpu_ptr, kptr_xchg
        153 | 194 => Returns::ObjectOrNull,
        // this_cpu_ptr, get_current_task_btf
        154 | 158 => Returns::Object,
        _ => Returns::Anything,
    };
    let memory = match id {
        4 | 112 | 113 => Memory::Fills,
        _ => Memory::Other,
    };
    let callback = match id {
        // for_each_map_elem
        164 => Some(Callback { register: 2, kind: CallbackKind::Element }),
        // timer_set_callback
        170 => Some(Callback { register: 2, kind: CallbackKind::Element }),
        // find_vma
        180 => Some(Callback { register: 3, kind: CallbackKind::Plain }),
        // loop
        181 => Some(Callback { register: 2, kind: CallbackKind::Loop }),
        // user_ringbuf_drain
        209 => Some(Callback { register: 2, kind: CallbackKind::Plain }),
        _ => None,
    };
    Helper { returns, memory, callback }
}

/// The callback of a kfunc.
pub(super) fn kfunc_callback(name: &str) -> Option<Callback> {
    match name {
        "bpf_wq_set_callback_impl" | "bpf_wq_set_callback" => {
            Some(Callback { register: 2, kind: CallbackKind::Element })
        }
        "bpf_rbtree_add_impl" | "bpf_rbtree_add" => Some(Callback { register: 3, kind: CallbackKind::Plain }),
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

/// Helpers whose result must be released (`is_acquire_function`): ringbuf_reserve, kptr_xchg.
pub(super) fn helper_acquires(id: i32) -> bool {
    matches!(id, 131 | 194)
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

/// Helpers that are known not to release what they are given: no argument of theirs is marked `OBJ_RELEASE`. Those that are:
/// sk_release, ringbuf_submit, ringbuf_discard, kptr_xchg, ringbuf_submit_dynptr, ringbuf_discard_dynptr.
pub(super) fn helper_releases_nothing(id: i32) -> bool {
    (1..=211).contains(&id) && !matches!(id, 86 | 132 | 133 | 194 | 199 | 200)
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

/// May a kfunc return NULL in place of an object, so that the verifier wants a test (`KF_RET_NULL`, as far as known here).
pub fn may_return_null(kfunc: &str) -> bool {
    kfunc_returns(essential_name(kfunc)) == Some(Returns::ObjectOrNull)
}

/// Must what a kfunc takes be given back: a reference to what it returns (`KF_ACQUIRE`, as far as known here), or a lock.
pub fn takes(kfunc: &str) -> bool {
    let name = essential_name(kfunc);
    kfunc_acquires(name) || locks(name).is_some()
}

/// Must what a helper returns be given back.
pub fn helper_takes(id: i32) -> bool {
    helper_acquires(id)
}
