//! The kfuncs that something is said of: one row each.
//!
//! The id sets of sched_ext and what they are flagged with are data of the kernel image, not of its BTF. A kfunc kept its set from
//! release to release; its flags come from the images themselves ([`super::super::builtin::flags`]). Sources: `scx_kfunc_ids_*` in
//! kernel/sched/ext*.c (6.12, 6.17, 6.18, 6.19, 7.1, 7.2, 7.3), the sets in the images of 6.16 and 7.0; `BTF_KFUNCS_START` in
//! kernel/bpf/helpers.c, cpumask.c and others.

use std::sync::OnceLock;

use super::super::builtin::flags;
use super::super::callback::{Callback, CallbackKind};
use super::super::kfunc_flags::KfuncFlags;
use marks::{
    ACQUIRE, ANY, ARENA_PAGES, BUILTIN_IDLE, CID, CPU_ONLY, CPU_RELEASE, DISPATCH, ENQUEUE_DISPATCH,
    GLOBAL_MASK, GLOBAL_PICK, IDLE, INIT, KEEPS, MAY_FAIL, MEMORY, PER_NODE, RCU_PROTECTED, RELEASE,
    RET_NULL, SELECT_CPU, SLEEPABLE, UNLOCKED,
};

/// A kfunc, by its name without flavour.
#[derive(Debug, Clone, Copy)]
pub struct KfuncRow {
    /// Its name.
    pub name: &'static str,
    /// Bits of [`marks`].
    pub marks: u32,
    /// The kfunc that gives back what this one takes.
    pub counterpart: Option<&'static str>,
    /// The lock that it takes.
    pub locks: Option<Lock>,
    /// The lock that it gives back.
    pub unlocks: Option<Lock>,
    /// The function that it calls back.
    pub callback: Option<Callback>,
    /// Later kernels lack it.
    pub gone: Option<Gone>,
    /// The kfunc for cids in the place of this one for CPUs.
    pub for_cids: Option<&'static str>,
    /// What it does with a task and a DSQ.
    pub queues: Option<Queues>,
}

/// The sets of a kfunc, the flags (`KF_*`) that every built-in release gives it, and what else is so or not. The flags stand in
/// no row: they are those of the images ([`flags`]).
pub mod marks {
    /// In the set that `select_cpu` and `enqueue` may call from.
    pub const SELECT_CPU: u32 = 1;
    /// In the set of `enqueue` and `dispatch`.
    pub const ENQUEUE_DISPATCH: u32 = 1 << 1;
    /// In the set of `dispatch`.
    pub const DISPATCH: u32 = 1 << 2;
    /// In the set of callbacks that hold no run queue's lock.
    pub const UNLOCKED: u32 = 1 << 3;
    /// In the set of `cpu_release`.
    pub const CPU_RELEASE: u32 = 1 << 4;
    /// In the set of `init` or `init_cids`.
    pub const INIT: u32 = 1 << 5;
    /// In the set of the kfuncs for cids.
    pub const CID: u32 = 1 << 6;
    /// In the set that all may call from.
    pub const ANY: u32 = 1 << 7;
    /// In the set of idle tracking.
    pub const IDLE: u32 = 1 << 8;
    /// Not a set of its own to call from: refused in cid-form.
    pub const CPU_ONLY: u32 = 1 << 9;
    /// `KF_SLEEPABLE`.
    pub const SLEEPABLE: u32 = 1 << 10;
    /// `KF_ACQUIRE`.
    pub const ACQUIRE: u32 = 1 << 11;
    /// `KF_RELEASE`.
    pub const RELEASE: u32 = 1 << 12;
    /// `KF_RET_NULL`.
    pub const RET_NULL: u32 = 1 << 13;
    /// `KF_RCU_PROTECTED`.
    pub const RCU_PROTECTED: u32 = 1 << 14;
    /// It releases nothing that it is given.
    pub const KEEPS: u32 = 1 << 15;
    /// What it returns is memory, no object.
    pub const MEMORY: u32 = 1 << 16;
    /// It returns a number that the verifier walks on with once for each outcome.
    pub const MAY_FAIL: u32 = 1 << 17;
    /// It gets a scheduler ejected where the kernel's idle tracking is off (`check_builtin_idle_enabled`).
    pub const BUILTIN_IDLE: u32 = 1 << 18;
    /// It gets one ejected where idle tracking is not by node (`validate_node`).
    pub const PER_NODE: u32 = 1 << 19;
    /// It gives out a mask that is not kept where idle tracking is by node.
    pub const GLOBAL_MASK: u32 = 1 << 20;
    /// It picks from a mask that is not kept where idle tracking is by node.
    pub const GLOBAL_PICK: u32 = 1 << 21;
    /// It deals in pages of an arena: it may sleep, up to 6.19.
    pub const ARENA_PAGES: u32 = 1 << 22;

    /// The sets of sched_ext.
    pub const SETS: u32 =
        SELECT_CPU | ENQUEUE_DISPATCH | DISPATCH | UNLOCKED | CPU_RELEASE | INIT | CID | ANY | IDLE;
}

/// Something that is taken and must be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Of RCU, for readers.
    Rcu,
    /// Against preemption.
    Preemption,
    /// Against interrupts.
    Irq,
    /// A `bpf_res_spin_lock`.
    Resilient,
}

impl Lock {
    /// The verifier's name for the code under it; `None` where it has none.
    pub fn region(self) -> Option<&'static str> {
        match self {
            Self::Rcu => Some("rcu_read_lock region"),
            Self::Preemption => Some("non-preemptible region"),
            Self::Irq | Self::Resilient => None,
        }
    }
}

/// A kfunc that later kernels lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// The last release that has it.
    pub last: &'static str,
    /// What came in its place; `None` where nothing did.
    pub successor: Option<Successor>,
}

/// What came in the place of a kfunc, and in which release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// The same by another name.
    Renamed(&'static str, &'static str),
    /// Others that serve.
    Others(&'static [&'static str], &'static str),
}

/// What a kfunc does with a task and a DSQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queues {
    /// Which way.
    pub way: Way,
    /// The DSQ.
    pub dsq: PassedIn,
    /// The flags (`SCX_ENQ_*`).
    pub flags: Option<PassedIn>,
}

/// Where a kfunc finds a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassedIn {
    /// In a register.
    Register(u8),
    /// In the struct that a register points to, so many bytes from its start.
    Member(u8, u32),
}

/// Which way a task goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the end of the DSQ.
    Insert,
    /// Into the DSQ, to where its vtime belongs.
    InsertByVtime,
    /// From the DSQ to the local one of the CPU.
    Consume,
}

/// A row of which nothing but marks is known.
const fn row(name: &'static str, marks: u32) -> KfuncRow {
    KfuncRow {
        name,
        marks,
        counterpart: None,
        locks: None,
        unlocks: None,
        callback: None,
        gone: None,
        for_cids: None,
        queues: None,
    }
}

/// What later kernels than `last` lack, and what came in its place.
const fn gone(last: &'static str, successor: Successor) -> Option<Gone> {
    Some(Gone { last, successor: Some(successor) })
}

/// Every kfunc of sched_ext that some built-in release has, and others that something is said of; by name.
static KFUNCS: &[KfuncRow] = &[
    KfuncRow {
        queues: Some(Queues {
            way: Way::InsertByVtime,
            dsq: PassedIn::Member(2, 0),
            flags: Some(PassedIn::Member(2, 24)),
        }),
        ..row("__scx_bpf_dsq_insert_vtime", ENQUEUE_DISPATCH)
    },
    row("__scx_bpf_select_cpu_and", SELECT_CPU | UNLOCKED | CPU_ONLY | BUILTIN_IDLE),
    row("bpf_arena_alloc_pages", ARENA_PAGES),
    row("bpf_arena_free_pages", ARENA_PAGES),
    row("bpf_arena_reserve_pages", ARENA_PAGES),
    KfuncRow { counterpart: Some("bpf_cgroup_release"), ..row("bpf_cgroup_acquire", KEEPS) },
    KfuncRow { counterpart: Some("bpf_cgroup_release"), ..row("bpf_cgroup_ancestor", KEEPS) },
    KfuncRow { counterpart: Some("bpf_cgroup_release"), ..row("bpf_cgroup_from_id", 0) },
    row("bpf_cgroup_release", 0),
    KfuncRow { counterpart: Some("bpf_cpumask_release"), ..row("bpf_cpumask_acquire", 0) },
    KfuncRow { counterpart: Some("bpf_cpumask_release"), ..row("bpf_cpumask_create", 0) },
    row("bpf_cpumask_release", 0),
    row("bpf_iter_bits_next", MEMORY),
    row("bpf_iter_css_next", 0),
    row("bpf_iter_css_task_next", 0),
    row("bpf_iter_kmem_cache_next", 0),
    row("bpf_iter_num_next", MEMORY),
    row("bpf_iter_scx_dsq_destroy", ANY),
    row("bpf_iter_scx_dsq_new", ANY),
    row("bpf_iter_scx_dsq_next", ANY),
    row("bpf_iter_task_next", 0),
    KfuncRow { unlocks: Some(Lock::Irq), ..row("bpf_local_irq_restore", 0) },
    KfuncRow {
        counterpart: Some("bpf_local_irq_restore"),
        locks: Some(Lock::Irq),
        ..row("bpf_local_irq_save", 0)
    },
    row("bpf_obj_new", 0),
    row("bpf_obj_new_impl", 0),
    row("bpf_percpu_obj_new", 0),
    row("bpf_percpu_obj_new_impl", 0),
    KfuncRow {
        counterpart: Some("bpf_preempt_enable"),
        locks: Some(Lock::Preemption),
        ..row("bpf_preempt_disable", 0)
    },
    KfuncRow { unlocks: Some(Lock::Preemption), ..row("bpf_preempt_enable", 0) },
    KfuncRow { callback: Some(Callback::now(3, CallbackKind::Plain)), ..row("bpf_rbtree_add", 0) },
    KfuncRow { callback: Some(Callback::now(3, CallbackKind::Plain)), ..row("bpf_rbtree_add_impl", 0) },
    KfuncRow {
        counterpart: Some("bpf_rcu_read_unlock"),
        locks: Some(Lock::Rcu),
        ..row("bpf_rcu_read_lock", 0)
    },
    KfuncRow { unlocks: Some(Lock::Rcu), ..row("bpf_rcu_read_unlock", 0) },
    KfuncRow {
        counterpart: Some("bpf_res_spin_unlock"),
        locks: Some(Lock::Resilient),
        ..row("bpf_res_spin_lock", MAY_FAIL)
    },
    KfuncRow {
        counterpart: Some("bpf_res_spin_unlock_irqrestore"),
        locks: Some(Lock::Resilient),
        ..row("bpf_res_spin_lock_irqsave", MAY_FAIL)
    },
    KfuncRow { unlocks: Some(Lock::Resilient), ..row("bpf_res_spin_unlock", 0) },
    KfuncRow { unlocks: Some(Lock::Resilient), ..row("bpf_res_spin_unlock_irqrestore", 0) },
    KfuncRow { counterpart: Some("bpf_task_release"), ..row("bpf_task_acquire", KEEPS) },
    KfuncRow { counterpart: Some("bpf_task_release"), ..row("bpf_task_from_pid", 0) },
    KfuncRow { counterpart: Some("bpf_task_release"), ..row("bpf_task_from_vpid", 0) },
    KfuncRow { counterpart: Some("bpf_cgroup_release"), ..row("bpf_task_get_cgroup1", KEEPS) },
    row("bpf_task_release", 0),
    row("bpf_task_under_cgroup", KEEPS),
    KfuncRow { callback: Some(Callback::later(2, CallbackKind::Element)), ..row("bpf_wq_set_callback", 0) },
    KfuncRow {
        callback: Some(Callback::later(2, CallbackKind::Element)),
        ..row("bpf_wq_set_callback_impl", 0)
    },
    row("scx_bpf_cid_curr", ANY),
    row("scx_bpf_cid_override", INIT),
    row("scx_bpf_cid_to_cpu", CID),
    row("scx_bpf_cid_topo", CID),
    row("scx_bpf_cidperf_cap", ANY),
    row("scx_bpf_cidperf_cur", ANY),
    row("scx_bpf_cidperf_set", ANY),
    KfuncRow {
        gone: gone("6.16", Successor::Renamed("scx_bpf_dsq_move_to_local", "6.13")),
        queues: Some(Queues { way: Way::Consume, dsq: PassedIn::Register(1), flags: None }),
        ..row("scx_bpf_consume", DISPATCH)
    },
    KfuncRow { for_cids: Some("scx_bpf_cid_curr"), ..row("scx_bpf_cpu_curr", ANY | CPU_ONLY) },
    row("scx_bpf_cpu_node", IDLE | CPU_ONLY),
    KfuncRow {
        gone: gone("7.2", Successor::Others(&["scx_bpf_locked_rq", "scx_bpf_cpu_curr"], "6.18")),
        ..row("scx_bpf_cpu_rq", ANY | CPU_ONLY)
    },
    row("scx_bpf_cpu_to_cid", CID),
    KfuncRow { for_cids: Some("scx_bpf_cidperf_cap"), ..row("scx_bpf_cpuperf_cap", ANY | CPU_ONLY) },
    KfuncRow { for_cids: Some("scx_bpf_cidperf_cur"), ..row("scx_bpf_cpuperf_cur", ANY | CPU_ONLY) },
    KfuncRow { for_cids: Some("scx_bpf_cidperf_set"), ..row("scx_bpf_cpuperf_set", ANY | CPU_ONLY) },
    row("scx_bpf_create_dsq", UNLOCKED),
    row("scx_bpf_destroy_dsq", ANY),
    KfuncRow {
        gone: gone("6.16", Successor::Renamed("scx_bpf_dsq_insert", "6.13")),
        queues: Some(Queues {
            way: Way::Insert,
            dsq: PassedIn::Register(2),
            flags: Some(PassedIn::Register(4)),
        }),
        ..row("scx_bpf_dispatch", ENQUEUE_DISPATCH)
    },
    row("scx_bpf_dispatch_cancel", DISPATCH),
    KfuncRow {
        gone: gone("6.16", Successor::Renamed("scx_bpf_dsq_move", "6.13")),
        ..row("scx_bpf_dispatch_from_dsq", DISPATCH | UNLOCKED)
    },
    KfuncRow {
        gone: gone("6.16", Successor::Renamed("scx_bpf_dsq_move_set_slice", "6.13")),
        ..row("scx_bpf_dispatch_from_dsq_set_slice", DISPATCH | UNLOCKED)
    },
    KfuncRow {
        gone: gone("6.16", Successor::Renamed("scx_bpf_dsq_move_set_vtime", "6.13")),
        ..row("scx_bpf_dispatch_from_dsq_set_vtime", DISPATCH | UNLOCKED)
    },
    row("scx_bpf_dispatch_nr_slots", DISPATCH),
    KfuncRow {
        gone: gone("6.16", Successor::Renamed("scx_bpf_dsq_insert_vtime", "6.13")),
        queues: Some(Queues {
            way: Way::InsertByVtime,
            dsq: PassedIn::Register(2),
            flags: Some(PassedIn::Register(5)),
        }),
        ..row("scx_bpf_dispatch_vtime", ENQUEUE_DISPATCH)
    },
    KfuncRow {
        gone: gone("6.16", Successor::Renamed("scx_bpf_dsq_move_vtime", "6.13")),
        ..row("scx_bpf_dispatch_vtime_from_dsq", DISPATCH | UNLOCKED)
    },
    KfuncRow {
        queues: Some(Queues {
            way: Way::Insert,
            dsq: PassedIn::Register(2),
            flags: Some(PassedIn::Register(4)),
        }),
        ..row("scx_bpf_dsq_insert", ENQUEUE_DISPATCH)
    },
    KfuncRow {
        queues: Some(Queues {
            way: Way::Insert,
            dsq: PassedIn::Register(2),
            flags: Some(PassedIn::Register(4)),
        }),
        ..row("scx_bpf_dsq_insert___v2", ENQUEUE_DISPATCH)
    },
    KfuncRow {
        queues: Some(Queues {
            way: Way::InsertByVtime,
            dsq: PassedIn::Register(2),
            flags: Some(PassedIn::Register(5)),
        }),
        ..row("scx_bpf_dsq_insert_vtime", ENQUEUE_DISPATCH)
    },
    row("scx_bpf_dsq_move", DISPATCH | UNLOCKED),
    row("scx_bpf_dsq_move_set_slice", DISPATCH | UNLOCKED),
    row("scx_bpf_dsq_move_set_vtime", DISPATCH | UNLOCKED),
    KfuncRow {
        queues: Some(Queues { way: Way::Consume, dsq: PassedIn::Register(1), flags: None }),
        ..row("scx_bpf_dsq_move_to_local", DISPATCH)
    },
    KfuncRow {
        queues: Some(Queues {
            way: Way::Consume,
            dsq: PassedIn::Register(1),
            flags: Some(PassedIn::Register(2)),
        }),
        ..row("scx_bpf_dsq_move_to_local___v2", DISPATCH)
    },
    row("scx_bpf_dsq_move_vtime", DISPATCH | UNLOCKED),
    row("scx_bpf_dsq_nr_queued", ANY),
    row("scx_bpf_dsq_peek", ANY),
    row("scx_bpf_dsq_reenq", ANY),
    row("scx_bpf_dump_bstr", ANY),
    row("scx_bpf_error_bstr", ANY),
    row("scx_bpf_events", ANY),
    row("scx_bpf_exit_bstr", ANY),
    KfuncRow {
        counterpart: Some("scx_bpf_put_idle_cpumask"),
        ..row("scx_bpf_get_idle_cpumask", IDLE | CPU_ONLY | BUILTIN_IDLE | GLOBAL_MASK)
    },
    KfuncRow {
        counterpart: Some("scx_bpf_put_idle_cpumask"),
        ..row("scx_bpf_get_idle_cpumask_node", IDLE | CPU_ONLY | BUILTIN_IDLE | PER_NODE)
    },
    KfuncRow {
        counterpart: Some("scx_bpf_put_idle_cpumask"),
        ..row("scx_bpf_get_idle_smtmask", IDLE | CPU_ONLY | BUILTIN_IDLE | GLOBAL_MASK)
    },
    KfuncRow {
        counterpart: Some("scx_bpf_put_idle_cpumask"),
        ..row("scx_bpf_get_idle_smtmask_node", IDLE | CPU_ONLY | BUILTIN_IDLE | PER_NODE)
    },
    KfuncRow {
        counterpart: Some("scx_bpf_put_cpumask"),
        for_cids: Some("scx_bpf_online_cmask"),
        ..row("scx_bpf_get_online_cpumask", ANY | CPU_ONLY)
    },
    KfuncRow {
        counterpart: Some("scx_bpf_put_cpumask"),
        ..row("scx_bpf_get_possible_cpumask", ANY | CPU_ONLY)
    },
    row("scx_bpf_kick_cid", ANY),
    KfuncRow { for_cids: Some("scx_bpf_kick_cid"), ..row("scx_bpf_kick_cpu", ANY | CPU_ONLY) },
    row("scx_bpf_locked_rq", ANY),
    row("scx_bpf_now", ANY),
    row("scx_bpf_nr_cids", ANY),
    row("scx_bpf_nr_cpu_ids", ANY),
    row("scx_bpf_nr_node_ids", ANY),
    row("scx_bpf_nr_online_cids", ANY),
    row("scx_bpf_online_cmask", ANY),
    row("scx_bpf_pick_any_cpu", IDLE | CPU_ONLY | GLOBAL_PICK),
    row("scx_bpf_pick_any_cpu_node", IDLE | CPU_ONLY | PER_NODE),
    row("scx_bpf_pick_idle_cpu", IDLE | CPU_ONLY | BUILTIN_IDLE | GLOBAL_PICK),
    row("scx_bpf_pick_idle_cpu_node", IDLE | CPU_ONLY | BUILTIN_IDLE | PER_NODE),
    row("scx_bpf_put_cpumask", ANY | CPU_ONLY),
    row("scx_bpf_put_idle_cpumask", IDLE | CPU_ONLY),
    row("scx_bpf_reenqueue_local", CPU_RELEASE),
    row("scx_bpf_reenqueue_local___v2", ANY),
    row("scx_bpf_select_cpu_and", SELECT_CPU | UNLOCKED | CPU_ONLY | BUILTIN_IDLE),
    row("scx_bpf_select_cpu_dfl", SELECT_CPU | UNLOCKED | CPU_ONLY | BUILTIN_IDLE),
    row("scx_bpf_sub_caps", ANY),
    row("scx_bpf_sub_dispatch", DISPATCH),
    row("scx_bpf_sub_grant", ANY),
    row("scx_bpf_sub_kill_bstr", ANY),
    row("scx_bpf_sub_revoke", ANY),
    KfuncRow { counterpart: Some("bpf_cgroup_release"), ..row("scx_bpf_task_cgroup", ANY) },
    row("scx_bpf_task_cid", ANY),
    KfuncRow { for_cids: Some("scx_bpf_task_cid"), ..row("scx_bpf_task_cpu", ANY | CPU_ONLY) },
    row("scx_bpf_task_running", ANY),
    row("scx_bpf_task_set_dsq_vtime", ANY),
    row("scx_bpf_task_set_slice", ANY),
    row("scx_bpf_test_and_clear_cpu_idle", IDLE | CPU_ONLY | BUILTIN_IDLE),
    row("scx_bpf_this_cid", ANY),
    row("scx_bpf_tid_to_task", ANY),
];

impl KfuncRow {
    /// Must what it returns be given back (KF_ACQUIRE, as far as known); the same in every kernel that has it.
    pub fn acquires(&self) -> bool {
        self.marks & ACQUIRE != 0
    }

    /// May it return NULL in place of a pointer (KF_RET_NULL, as far as known).
    pub fn may_return_null(&self) -> bool {
        self.marks & RET_NULL != 0
    }

    /// Is what it returns memory, where others return an object.
    pub fn returns_memory(&self) -> bool {
        self.marks & MEMORY != 0
    }

    /// May it fail, and say so in what it returns: the verifier walks on for each outcome.
    pub fn may_fail(&self) -> bool {
        self.marks & MAY_FAIL != 0
    }
}

/// The flags that every built-in release gives a kfunc, as marks.
fn flags_of_all_releases(kfunc: &str) -> u32 {
    const MARKS: [(KfuncFlags, u32); 5] = [
        (KfuncFlags::SLEEPABLE, SLEEPABLE),
        (KfuncFlags::ACQUIRE, ACQUIRE),
        (KfuncFlags::RELEASE, RELEASE),
        (KfuncFlags::RET_NULL, RET_NULL),
        (KfuncFlags::RCU_PROTECTED, RCU_PROTECTED),
    ];
    let rows = flags::rows_of(kfunc).iter().map(|row| row.flags);
    let all = rows.reduce(KfuncFlags::intersection).unwrap_or(KfuncFlags::NONE);
    MARKS.iter().filter(|(flag, _)| all.contains(*flag)).fold(0, |marks, (_, mark)| marks | mark)
}

/// All rows with the flags of the built-in releases among their marks, in name order.
pub(super) fn rows() -> &'static [KfuncRow] {
    static ROWS: OnceLock<Vec<KfuncRow>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let with_flags =
            |row: &KfuncRow| KfuncRow { marks: row.marks | flags_of_all_releases(row.name), ..*row };
        KFUNCS.iter().map(with_flags).collect()
    })
}

/// The row of a kfunc.
pub fn row_of(kfunc: &str) -> Option<&'static KfuncRow> {
    let rows = rows();
    rows.binary_search_by_key(&kfunc, |row| row.name).ok().map(|at| &rows[at])
}

/// Kfuncs that ask the idle tracking of the kernel itself.
pub fn builtin_idle() -> impl Iterator<Item = &'static str> {
    KFUNCS.iter().filter(|row| row.marks & BUILTIN_IDLE != 0).map(|row| row.name)
}
