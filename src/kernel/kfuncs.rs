//! Which callback may call which kfunc of sched_ext.
//!
//! The id sets and their flags are data of the kernel image, not of its BTF. A kfunc kept its set from
//! release to release; whether a kernel has it at all, its BTF tells, and how it keeps to the sets, the
//! table of [`super::exceptions`]. Sources: `scx_kfunc_ids_*` in kernel/sched/ext*.c (6.12, 6.17, 6.18, 6.19,
//! 7.1, 7.2, 7.3), the sets in the images of 6.16 and 7.0, `scx_kfunc_context_filter` (7.1 to 7.3) and
//! `scx_kf_allowed` (6.12 to 7.0).

use super::exceptions::{BUILTIN_IDLE_KFUNCS, Fact};
use super::forms::cpu_name;
use super::gates::KfuncGate;
use super::kernel::Kernel;
use super::lookup::{Lookup, Reason};
use crate::object::Form;

/// The sets of kfuncs, as bits.
mod set {
    pub(super) const SELECT_CPU: u16 = 1;
    pub(super) const ENQUEUE_DISPATCH: u16 = 1 << 1;
    pub(super) const DISPATCH: u16 = 1 << 2;
    pub(super) const UNLOCKED: u16 = 1 << 3;
    pub(super) const CPU_RELEASE: u16 = 1 << 4;
    pub(super) const INIT: u16 = 1 << 5;
    pub(super) const CID: u16 = 1 << 6;
    pub(super) const ANY: u16 = 1 << 7;
    pub(super) const IDLE: u16 = 1 << 8;
    /// Not a set of its own to call from: refused in cid-form.
    pub(super) const CPU_ONLY: u16 = 1 << 9;
    /// KF_SLEEPABLE.
    pub(super) const SLEEPABLE: u16 = 1 << 10;
}
use set::{
    ANY, CID, CPU_ONLY, CPU_RELEASE, DISPATCH, ENQUEUE_DISPATCH, IDLE, INIT, SELECT_CPU, SLEEPABLE, UNLOCKED,
};

/// Every kfunc of sched_ext that some built-in release has, by name.
const KFUNCS: &[(&str, u16)] = &[
    ("__scx_bpf_dsq_insert_vtime", ENQUEUE_DISPATCH),
    ("__scx_bpf_select_cpu_and", SELECT_CPU | UNLOCKED | CPU_ONLY),
    ("bpf_iter_scx_dsq_destroy", ANY),
    ("bpf_iter_scx_dsq_new", ANY),
    ("bpf_iter_scx_dsq_next", ANY),
    ("scx_bpf_cid_curr", ANY),
    ("scx_bpf_cid_override", INIT | SLEEPABLE),
    ("scx_bpf_cid_to_cpu", CID),
    ("scx_bpf_cid_topo", CID),
    ("scx_bpf_cidperf_cap", ANY),
    ("scx_bpf_cidperf_cur", ANY),
    ("scx_bpf_cidperf_set", ANY),
    ("scx_bpf_consume", DISPATCH),
    ("scx_bpf_cpu_curr", ANY | CPU_ONLY),
    ("scx_bpf_cpu_node", IDLE | CPU_ONLY),
    ("scx_bpf_cpu_rq", ANY | CPU_ONLY),
    ("scx_bpf_cpu_to_cid", CID),
    ("scx_bpf_cpuperf_cap", ANY | CPU_ONLY),
    ("scx_bpf_cpuperf_cur", ANY | CPU_ONLY),
    ("scx_bpf_cpuperf_set", ANY | CPU_ONLY),
    ("scx_bpf_create_dsq", UNLOCKED | SLEEPABLE),
    ("scx_bpf_destroy_dsq", ANY),
    ("scx_bpf_dispatch", ENQUEUE_DISPATCH),
    ("scx_bpf_dispatch_cancel", DISPATCH),
    ("scx_bpf_dispatch_from_dsq", DISPATCH | UNLOCKED),
    ("scx_bpf_dispatch_from_dsq_set_slice", DISPATCH | UNLOCKED),
    ("scx_bpf_dispatch_from_dsq_set_vtime", DISPATCH | UNLOCKED),
    ("scx_bpf_dispatch_nr_slots", DISPATCH),
    ("scx_bpf_dispatch_vtime", ENQUEUE_DISPATCH),
    ("scx_bpf_dispatch_vtime_from_dsq", DISPATCH | UNLOCKED),
    ("scx_bpf_dsq_insert", ENQUEUE_DISPATCH),
    ("scx_bpf_dsq_insert___v2", ENQUEUE_DISPATCH),
    ("scx_bpf_dsq_insert_vtime", ENQUEUE_DISPATCH),
    ("scx_bpf_dsq_move", DISPATCH | UNLOCKED),
    ("scx_bpf_dsq_move_set_slice", DISPATCH | UNLOCKED),
    ("scx_bpf_dsq_move_set_vtime", DISPATCH | UNLOCKED),
    ("scx_bpf_dsq_move_to_local", DISPATCH),
    ("scx_bpf_dsq_move_to_local___v2", DISPATCH),
    ("scx_bpf_dsq_move_vtime", DISPATCH | UNLOCKED),
    ("scx_bpf_dsq_nr_queued", ANY),
    ("scx_bpf_dsq_peek", ANY),
    ("scx_bpf_dsq_reenq", ANY),
    ("scx_bpf_dump_bstr", ANY),
    ("scx_bpf_error_bstr", ANY),
    ("scx_bpf_events", ANY),
    ("scx_bpf_exit_bstr", ANY),
    ("scx_bpf_get_idle_cpumask", IDLE | CPU_ONLY),
    ("scx_bpf_get_idle_cpumask_node", IDLE | CPU_ONLY),
    ("scx_bpf_get_idle_smtmask", IDLE | CPU_ONLY),
    ("scx_bpf_get_idle_smtmask_node", IDLE | CPU_ONLY),
    ("scx_bpf_get_online_cpumask", ANY | CPU_ONLY),
    ("scx_bpf_get_possible_cpumask", ANY | CPU_ONLY),
    ("scx_bpf_kick_cid", ANY),
    ("scx_bpf_kick_cpu", ANY | CPU_ONLY),
    ("scx_bpf_locked_rq", ANY),
    ("scx_bpf_now", ANY),
    ("scx_bpf_nr_cids", ANY),
    ("scx_bpf_nr_cpu_ids", ANY),
    ("scx_bpf_nr_node_ids", ANY),
    ("scx_bpf_nr_online_cids", ANY),
    ("scx_bpf_online_cmask", ANY),
    ("scx_bpf_pick_any_cpu", IDLE | CPU_ONLY),
    ("scx_bpf_pick_any_cpu_node", IDLE | CPU_ONLY),
    ("scx_bpf_pick_idle_cpu", IDLE | CPU_ONLY),
    ("scx_bpf_pick_idle_cpu_node", IDLE | CPU_ONLY),
    ("scx_bpf_put_cpumask", ANY | CPU_ONLY),
    ("scx_bpf_put_idle_cpumask", IDLE | CPU_ONLY),
    ("scx_bpf_reenqueue_local", CPU_RELEASE),
    ("scx_bpf_reenqueue_local___v2", ANY),
    ("scx_bpf_select_cpu_and", SELECT_CPU | UNLOCKED | CPU_ONLY),
    ("scx_bpf_select_cpu_dfl", SELECT_CPU | UNLOCKED | CPU_ONLY),
    ("scx_bpf_sub_caps", ANY),
    ("scx_bpf_sub_dispatch", DISPATCH),
    ("scx_bpf_sub_grant", ANY),
    ("scx_bpf_sub_kill_bstr", ANY),
    ("scx_bpf_sub_revoke", ANY),
    ("scx_bpf_task_cgroup", ANY),
    ("scx_bpf_task_cid", ANY),
    ("scx_bpf_task_cpu", ANY | CPU_ONLY),
    ("scx_bpf_task_running", ANY),
    ("scx_bpf_task_set_dsq_vtime", ANY),
    ("scx_bpf_task_set_slice", ANY),
    ("scx_bpf_test_and_clear_cpu_idle", IDLE | CPU_ONLY),
    ("scx_bpf_this_cid", ANY),
    ("scx_bpf_tid_to_task", ANY),
];

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller<'a> {
    /// A callback of a scheduler.
    Op {
        /// The form of the scheduler.
        form: Form,
        /// The member.
        member: &'a str,
    },
    /// A program of another struct_ops type.
    OtherStructOps,
    /// A syscall program.
    Syscall,
    /// A program of the tracing hook: tracing, tracepoint, raw tracepoint, perf event and lsm programs.
    Tracing,
    /// Any other program: it has no kfuncs of sched_ext.
    Other,
}

/// What comes of a call to a kfunc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// Nothing; it may.
    Granted,
    /// The verifier refuses: `calling kernel function %s is not allowed`.
    Refused,
    /// The verifier refuses because the kfunc deals in CPUs and the scheduler is cid-form.
    CpuOnly,
    /// It loads, and the scheduler is ejected when the call is made; the words of the kernel.
    Ejected(String),
    /// The data at hand does not tell.
    Unknown(Reason),
}

fn entry(kfunc: &str) -> Option<u16> {
    KFUNCS.binary_search_by_key(&kfunc, |(name, _)| name).ok().map(|at| KFUNCS[at].1)
}

/// Is it a kfunc of sched_ext that this table knows.
pub fn is_known(kfunc: &str) -> bool {
    entry(kfunc).is_some()
}

/// The kfuncs of sched_ext that this table knows, in name order.
pub fn names() -> impl Iterator<Item = &'static str> {
    KFUNCS.iter().map(|(name, _)| *name)
}

/// May only sleepable programs call it (KF_SLEEPABLE), on a kernel or else on all; `None` for a kfunc of which that is not
/// known.
pub fn must_sleep(kernel: Option<&Kernel<'_>>, kfunc: &str) -> Option<bool> {
    if matches!(kfunc, "bpf_arena_alloc_pages" | "bpf_arena_free_pages" | "bpf_arena_reserve_pages") {
        return match kernel.map(|kernel| kernel.knows(Fact::ArenaPagesWithoutSleep)) {
            None | Some(Lookup::Found(())) => Some(false),
            Some(Lookup::Absent) => Some(true),
            Some(Lookup::Unknown(_)) => None,
        };
    }
    entry(kfunc).map(|sets| sets & SLEEPABLE != 0)
}

/// Does it ask the idle tracking of the kernel itself (`check_builtin_idle_enabled`).
pub fn needs_builtin_idle(kfunc: &str) -> bool {
    BUILTIN_IDLE_KFUNCS.names.contains(&kfunc)
}

/// What comes of a call to a kfunc that the kernel has.
pub fn permission(kernel: &Kernel<'_>, kfunc: &str, caller: Caller<'_>) -> Permission {
    let Some(sets) = entry(kfunc) else {
        return if kfunc.starts_with("scx_bpf_") {
            Permission::Unknown(format!("kfunc '{kfunc}' is newer than the tables of this program").into())
        } else {
            Permission::Granted
        };
    };
    // Every kernel lets it load everywhere, and looks whether a dump is on when it runs.
    if kfunc == "scx_bpf_dump_bstr"
        && let Caller::Op { member, .. } = caller
        && !matches!(cpu_name(member), "dump" | "dump_cpu" | "dump_task")
    {
        return Permission::Ejected(
            "scx_bpf_dump() must only be called from ops.dump() and friends".to_owned(),
        );
    }
    // What a task is of, only callbacks that are about a task of a locked run queue may ask; from 7.1 the task itself is what is
    // looked at, and no callback of the kernel's tells of it here.
    if kfunc == "scx_bpf_task_cgroup"
        && matches!(caller, Caller::Op { member, .. } if cpu_name(member) == "init_task")
        && matches!(kernel.kfunc_gate(), Lookup::Found(KfuncGate::Verifier))
    {
        return Permission::Ejected("called on a task not being operated on".to_owned());
    }
    let is_cap = matches!(kfunc, "scx_bpf_sub_grant" | "scx_bpf_sub_revoke" | "scx_bpf_sub_caps");
    if is_cap && matches!(caller, Caller::Op { form: Form::Cpu, .. }) {
        return Permission::Ejected("sub-cap kfuncs require a cid-form scheduler".to_owned());
    }
    match kernel.kfunc_gate() {
        Lookup::Found(KfuncGate::Verifier) => filtered(kernel, sets, caller),
        Lookup::Found(KfuncGate::RunTime) => masked(kernel, kfunc, sets, caller),
        Lookup::Unknown(reason) => Permission::Unknown(reason),
        Lookup::Absent => Permission::Granted,
    }
}

/// `scx_kfunc_context_filter`, in its order.
fn filtered(kernel: &Kernel<'_>, sets: u16, caller: Caller<'_>) -> Permission {
    let has = |set: u16| sets & set != 0;
    let grant = |yes| if yes { Permission::Granted } else { Permission::Refused };
    let cid_known = kernel.is(Fact::FilterKnowsCidKfuncs);
    match caller {
        Caller::Other => Permission::Refused,
        _ if has(CID) && !cid_known => Permission::Granted,
        Caller::Syscall => grant(has(UNLOCKED | SELECT_CPU | IDLE | ANY | CID)),
        Caller::Tracing => grant(has(ANY | IDLE | CID)),
        Caller::OtherStructOps => Permission::Refused,
        Caller::Op { form: Form::Cid, .. } if has(CPU_ONLY) => Permission::CpuOnly,
        Caller::Op { .. } if has(ANY | IDLE | CID) => Permission::Granted,
        Caller::Op { member, .. } => grant(has(permitted(member, kernel.is(Fact::InitCids)))),
    }
}

/// The sets that a callback may call from (`scx_kf_allow_flags`, `scx_kfunc_context_filter`).
fn permitted(member: &str, has_init_cids: bool) -> u16 {
    match cpu_name(member) {
        "select_cpu" | "enqueue" => SELECT_CPU | ENQUEUE_DISPATCH,
        "dispatch" | "sub_ecaps_updated" => ENQUEUE_DISPATCH | DISPATCH,
        "cpu_release" => CPU_RELEASE,
        // The set of cid_override moved to ops.init_cids when that came.
        "init" if !has_init_cids => UNLOCKED | INIT,
        "init_cids" => UNLOCKED | INIT,
        "init"
        | "init_task"
        | "dump"
        | "cgroup_init"
        | "cgroup_exit"
        | "cgroup_prep_move"
        | "cgroup_cancel_move"
        | "cgroup_set_weight"
        | "cgroup_set_bandwidth"
        | "cgroup_set_idle"
        | "sub_attach"
        | "sub_detach"
        | "cpu_online"
        | "cpu_offline"
        | "exit" => UNLOCKED,
        _ => 0,
    }
}

/// Bits of `current->scx.kf_mask` up to 7.0 (`enum scx_kf_mask`).
mod mask {
    pub(super) const UNLOCKED: u32 = 0;
    pub(super) const CPU_RELEASE: u32 = 1;
    pub(super) const DISPATCH: u32 = 2;
    pub(super) const ENQUEUE: u32 = 4;
    pub(super) const SELECT_CPU: u32 = 8;
    pub(super) const REST: u32 = 16;
    pub(super) const RQ_LOCKED: u32 = CPU_RELEASE | DISPATCH | ENQUEUE | SELECT_CPU | REST;
}

/// Registration of the sets, then `scx_kf_allowed` as far as the callback alone decides it.
fn masked(kernel: &Kernel<'_>, kfunc: &str, sets: u16, caller: Caller<'_>) -> Permission {
    let has = |set: u16| sets & set != 0;
    let grant = |yes| if yes { Permission::Granted } else { Permission::Refused };
    let later = kernel.is(Fact::SelectCpuKfuncsAreIdle);
    let idle = has(IDLE) || has(SELECT_CPU) && later;
    match caller {
        Caller::Other => return Permission::Refused,
        Caller::Syscall => return grant(has(UNLOCKED) && (!has(SELECT_CPU) || later) || has(ANY) || idle),
        Caller::Tracing => return grant(has(ANY) || idle),
        Caller::OtherStructOps => return Permission::Granted,
        Caller::Op { .. } => {}
    }
    let Caller::Op { member, .. } = caller else { return Permission::Granted };
    let runs_with = match cpu_name(member) {
        "select_cpu" => mask::ENQUEUE | mask::SELECT_CPU,
        "enqueue" => mask::ENQUEUE,
        "dispatch" => mask::DISPATCH,
        "cpu_release" => mask::CPU_RELEASE,
        "init"
        | "exit"
        | "init_task"
        | "dump"
        | "cpu_online"
        | "cpu_offline"
        | "cgroup_init"
        | "cgroup_exit"
        | "cgroup_prep_move"
        | "cgroup_move"
        | "cgroup_cancel_move"
        | "cgroup_set_weight"
        | "cgroup_set_bandwidth"
        | "cgroup_set_idle" => mask::UNLOCKED,
        _ => mask::REST,
    };
    let (needs, without) = match kfunc {
        // These have no check of their own.
        _ if kfunc.ends_with("_set_slice") || kfunc.ends_with("_set_vtime") => return Permission::Granted,
        // Those that run with a lock may not sleep, which it must.
        "scx_bpf_create_dsq" => return Permission::Granted,
        // The task's run queue must be locked, and the task one that the callback was given.
        "scx_bpf_task_cgroup" => (mask::RQ_LOCKED, false),
        _ if has(SELECT_CPU) && !later => (mask::SELECT_CPU, false),
        _ if has(SELECT_CPU) => (mask::SELECT_CPU | mask::ENQUEUE, true),
        _ if has(ENQUEUE_DISPATCH) => (mask::ENQUEUE | mask::DISPATCH, false),
        _ if has(DISPATCH) => (mask::DISPATCH, has(UNLOCKED)),
        _ if has(CPU_RELEASE) => (mask::CPU_RELEASE, false),
        _ => return Permission::Granted,
    };
    let allowed = runs_with & needs != 0 || without && runs_with == mask::UNLOCKED;
    if allowed {
        Permission::Granted
    } else {
        Permission::Ejected(format!(
            "kfunc with mask 0x{needs:x} called from an operation only allowing 0x{runs_with:x}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_name_order() {
        assert!(KFUNCS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn callbacks_may_call_what_the_filter_of_7_3_permits() {
        assert_eq!(permitted("select_cid", true), SELECT_CPU | ENQUEUE_DISPATCH);
        assert_eq!(permitted("init", true), UNLOCKED);
        assert_eq!(permitted("init", false), UNLOCKED | INIT);
        assert_eq!(permitted("cpuctl_init", true), UNLOCKED);
        assert_eq!(permitted("cgroup_move", true), 0);
        assert_eq!(permitted("running", true), 0);
    }
}
