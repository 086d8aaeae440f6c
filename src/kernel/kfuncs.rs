//! Which callback may call which kfunc of sched_ext, and what else the kernel does about a kfunc.
//!
//! What is so of each stands in one table, with its sources. Whether a kernel has a kfunc at all, its BTF tells, and how it keeps to
//! the sets, the table of [`super::exceptions`]. Sources: `scx_kfunc_context_filter` (7.1 to 7.3) and `scx_kf_allowed` (6.12 to
//! 7.0).

mod hooks;
pub mod table;

use super::builtin::RELEASES;
use super::callback::Callback;
use super::exceptions::Fact;
use super::forms::cpu_name;
use super::gates::KfuncGate;
use super::kernel::Kernel;
use super::kfunc_flags::KfuncFlags;
use super::lookup::{Lookup, Reason};
use crate::object::Form;
use hooks::{HOOKS, OTHER_OPS, STRUCT_OPS, SYSCALL, TRACING};
use table::marks::{
    ACQUIRE, ANY, ARENA_PAGES, BUILTIN_IDLE, CID, CPU_ONLY, CPU_RELEASE, DISPATCH, ENQUEUE_DISPATCH,
    GLOBAL_MASK, GLOBAL_PICK, IDLE, INIT, KEEPS, PER_NODE, RCU_PROTECTED, RELEASE, SELECT_CPU, SETS,
    SLEEPABLE, UNLOCKED,
};
pub use table::{Gone, KfuncRow, Lock, PassedIn, Queues, Successor, Way, row_of};

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

/// The sets of a kfunc of sched_ext, with all that is marked of it.
fn entry(kfunc: &str) -> Option<u32> {
    row_of(kfunc).map(|row| row.marks).filter(|marks| marks & SETS != 0)
}

/// Is a kfunc marked so.
fn is_marked(kfunc: &str, mark: u32) -> bool {
    row_of(kfunc).is_some_and(|row| row.marks & mark != 0)
}

/// Is it a kfunc of sched_ext that this table knows.
pub fn is_known(kfunc: &str) -> bool {
    entry(kfunc).is_some()
}

/// The kfuncs of sched_ext that this table knows, in name order.
pub fn names() -> impl Iterator<Item = &'static str> {
    table::rows().iter().filter(|row| entry(row.name).is_some()).map(|row| row.name)
}

/// May only sleepable programs call it (KF_SLEEPABLE): on a kernel, as far as its flags are known, or else on all; `None` for a kfunc
/// of which that is not known.
pub fn must_sleep(kernel: Option<&Kernel<'_>>, kfunc: &str) -> Option<bool> {
    if let Some(Lookup::Found(sleeps)) = kernel.map(|kernel| kernel.kfunc_has(kfunc, KfuncFlags::SLEEPABLE)) {
        return Some(sleeps);
    }
    let row = row_of(kfunc)?;
    if row.marks & ARENA_PAGES == 0 {
        return Some(row.marks & SLEEPABLE != 0);
    }
    match kernel.map(|kernel| kernel.knows(Fact::ArenaPagesWithoutSleep)) {
        None | Some(Lookup::Found(())) => Some(false),
        Some(Lookup::Absent) => Some(true),
        Some(Lookup::Unknown(_)) => None,
    }
}

/// May only code that holds an RCU read lock call it (KF_RCU_PROTECTED): on a kernel, as far as its flags are known, or else on all.
pub fn needs_rcu(kernel: Option<&Kernel<'_>>, kfunc: &str) -> bool {
    let is_protected = match kernel.map(|kernel| kernel.kfunc_has(kfunc, KfuncFlags::RCU_PROTECTED)) {
        Some(Lookup::Found(is_protected)) => is_protected,
        _ => is_marked(kfunc, RCU_PROTECTED),
    };
    // Older kernels do not look at the flag where an iterator is made.
    let makes_iterator = kfunc.starts_with("bpf_iter_") && kfunc.ends_with("_new");
    is_protected && (!makes_iterator || kernel.is_some_and(|kernel| kernel.is(Fact::IteratorNeedsRcu)))
}

/// Must what it returns be given back (KF_ACQUIRE, as far as known); the same in every kernel that has it.
pub fn acquires(kfunc: &str) -> bool {
    is_marked(kfunc, ACQUIRE)
}

/// Is it known to release nothing that it is given: by its row, or by what it is named after.
pub fn releases_nothing(kfunc: &str) -> bool {
    let family = ["scx_bpf_", "bpf_cpumask_", "bpf_rcu_read_", "bpf_preempt_", "bpf_iter_"];
    is_marked(kfunc, KEEPS)
        || !is_marked(kfunc, RELEASE)
            && !kfunc.ends_with("_dtor")
            && family.iter().any(|start| kfunc.starts_with(start))
}

/// The lock that it takes.
pub fn locks(kfunc: &str) -> Option<Lock> {
    row_of(kfunc)?.locks
}

/// The lock that it gives back.
pub fn unlocks(kfunc: &str) -> Option<Lock> {
    row_of(kfunc)?.unlocks
}

/// The function that it calls back.
pub fn callback(kfunc: &str) -> Option<Callback> {
    row_of(kfunc)?.callback
}

/// Is it about timers (`process_timer_func`), as helpers are.
pub fn is_timer(kfunc: &str) -> bool {
    kfunc.starts_with("bpf_timer_")
}

/// Does it hand a function to a queue of work, which runs where it may sleep (kernel `in_sleepable`).
pub fn schedules_work(kfunc: &str) -> bool {
    ["bpf_wq_set_callback", "bpf_task_work_schedule"].iter().any(|start| kfunc.starts_with(start))
}

/// Does it end the program, or go to an iterator's next element: what keeps a loop from being endless.
pub fn ends_loop(kfunc: &str) -> bool {
    kfunc == THROW || kfunc.starts_with("bpf_iter_") && kfunc.ends_with("_next")
}

/// The kfunc that ends the program where it is called.
pub const THROW: &str = "bpf_throw";
/// The kfunc that returns an address in an arena.
pub const ARENA_ALLOC_PAGES: &str = "bpf_arena_alloc_pages";
/// The kfunc that looks a task up by its number, for which the kernel must keep a table.
pub const TID_TO_TASK: &str = "scx_bpf_tid_to_task";

/// May it be called under a `bpf_spin_lock` (`kfunc_spin_allowed`), on a kernel or else on some: what all kernels allow, and what some
/// allow and nothing tells which.
pub fn is_allowed_under_spin_lock(kernel: Option<&Kernel<'_>>, kfunc: &str) -> Lookup<bool> {
    const ALLOWED: [&str; 6] =
        ["bpf_list_", "bpf_rbtree_", "bpf_refcount_acquire", "bpf_iter_num_", "bpf_res_spin_", "bpf_stream_"];
    if kfunc.starts_with("bpf_arena_") {
        return kernel
            .map_or(Lookup::Found(true), |kernel| kernel.knows(Fact::ArenaPagesWithoutSleep).holds());
    }
    Lookup::Found(ALLOWED.iter().any(|start| kfunc.starts_with(start)))
}

/// The words with which the kernel ejects a scheduler that calls it, by what the kernel keeps for it: whether it tracks idle CPUs at all,
/// and by node (ext_idle.c).
pub fn idle_ejection(kfunc: &str, tracked: bool, per_node: bool) -> Option<&'static str> {
    let is = |mark| is_marked(kfunc, mark);
    match per_node {
        // The node is looked at first.
        false if is(PER_NODE) => Some("per-node idle tracking is disabled"),
        _ if is(BUILTIN_IDLE) && !tracked => Some("built-in idle tracking is disabled"),
        true if is(GLOBAL_MASK) => Some("SCX_OPS_BUILTIN_IDLE_PER_NODE enabled"),
        true if is(GLOBAL_PICK) => Some("per-node idle tracking is enabled"),
        _ => None,
    }
}

impl Gone {
    /// The first built-in release that lacks it.
    pub fn first_without(&self) -> &'static str {
        let mut later = RELEASES.iter().skip_while(|release| release.name != self.last);
        later.nth(1).map_or(self.last, |release| release.name)
    }
}

/// Is a kfunc that is none of sched_ext's in no set that is registered for such a program, as far as any kernel read tells
/// (`btf_kfunc_id_set_contains`). Of one that none of them has, nothing is known.
fn is_for_others(kfunc: &str, caller: Caller<'_>) -> bool {
    let Ok(at) = HOOKS.binary_search_by_key(&kfunc, |(name, _)| *name) else { return false };
    let of_caller = match caller {
        Caller::Op { .. } => STRUCT_OPS,
        Caller::OtherStructOps => STRUCT_OPS | OTHER_OPS,
        Caller::Syscall => SYSCALL,
        Caller::Tracing => TRACING,
        Caller::Other => return false,
    };
    HOOKS[at].1 & of_caller == 0
}

/// Is a kfunc registered for such programs, as far as the kernels that were read tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It is.
    Yes,
    /// For some of them: the set has a filter.
    ForSome,
    /// It is not.
    No,
    /// It is in no list: one for all programs, or one that is not known.
    Unlisted,
}

/// Is a kfunc that is none of sched_ext's in a set that is registered for such a program (`btf_kfunc_id_set_contains`).
pub fn registered(kfunc: &str, caller: Caller<'_>) -> Registered {
    let Ok(at) = HOOKS.binary_search_by_key(&kfunc, |(name, _)| *name) else { return Registered::Unlisted };
    let hooks = HOOKS[at].1;
    let is = |yes| if yes { Registered::Yes } else { Registered::No };
    match caller {
        Caller::Op { .. } => is(hooks & STRUCT_OPS != 0),
        Caller::OtherStructOps if hooks & STRUCT_OPS == 0 && hooks & OTHER_OPS != 0 => Registered::ForSome,
        Caller::OtherStructOps => is(hooks & STRUCT_OPS != 0),
        Caller::Syscall => is(hooks & SYSCALL != 0),
        // Sets that are for nothing else have filters more often than not.
        Caller::Tracing if hooks & STRUCT_OPS == 0 && hooks & TRACING != 0 => Registered::ForSome,
        Caller::Tracing => is(hooks & TRACING != 0),
        Caller::Other => Registered::ForSome,
    }
}

/// What comes of a call to a kfunc that the kernel has.
pub fn permission(kernel: &Kernel<'_>, kfunc: &str, caller: Caller<'_>) -> Permission {
    let Some(sets) = entry(kfunc) else {
        return if kfunc.starts_with("scx_bpf_") {
            Permission::Unknown(format!("kfunc '{kfunc}' is newer than the tables of this program").into())
        } else if is_for_others(kfunc, caller) {
            Permission::Refused
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
fn filtered(kernel: &Kernel<'_>, sets: u32, caller: Caller<'_>) -> Permission {
    let has = |set: u32| sets & set != 0;
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
fn permitted(member: &str, has_init_cids: bool) -> u32 {
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
fn masked(kernel: &Kernel<'_>, kfunc: &str, sets: u32, caller: Caller<'_>) -> Permission {
    let has = |set: u32| sets & set != 0;
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
    use super::table::rows;
    use super::*;
    use crate::btf::{Btf, Kind};
    use crate::kernel::builtin::LATEST;

    #[test]
    fn the_table_is_in_name_order() {
        assert!(rows().is_sorted_by(|a, b| a.name < b.name));
    }

    /// Which built-in releases have the functions of sched_ext and of the table, by name.
    fn releases() -> Vec<(&'static str, Vec<String>)> {
        let read = |release: &crate::kernel::builtin::Release| {
            let snapshot = release.load().unwrap();
            let btf = Btf::parse(&snapshot.btf).unwrap();
            let functions = btf.types().filter(|(_, ty)| ty.kind() == Kind::Func);
            let names = functions.map(|(_, ty)| btf.name(&ty)).filter(|name| {
                let own =
                    name.trim_start_matches('_').starts_with("scx_bpf_") || name.starts_with("bpf_iter_scx_");
                own && !name.ends_with("_impl") || row_of(name).is_some()
            });
            (release.name, names.map(str::to_owned).collect())
        };
        crate::kernel::builtin::RELEASES.iter().map(read).collect()
    }

    #[test]
    fn every_kfunc_of_a_release_has_a_row_and_every_row_a_release() {
        let releases = releases();
        for (release, names) in &releases {
            // That one is no kfunc: the one without underscores calls it.
            let own = names.iter().filter(|name| name.contains("scx_") && *name != "__scx_bpf_now");
            for name in own {
                assert!(is_known(name), "{name} of {release}");
            }
        }
        let has = |release: usize, name: &str| releases[release].1.iter().any(|known| known == name);
        let position = |name: &str| releases.iter().position(|(release, _)| *release == name);
        let somewhere = |name: &str| (0..releases.len()).any(|release| has(release, name));
        for row in rows() {
            assert!(somewhere(row.name), "{}: in no release", row.name);
            for other in row.counterpart.iter().chain(&row.for_cids) {
                assert!(somewhere(other), "{other}: in no release");
            }
            let Some(gone) = row.gone else {
                // What is in the newest release is not gone, and what is not there is said to be.
                let newest = has(releases.len() - 1, row.name);
                assert!(
                    newest || !is_known(row.name),
                    "{}: not in the newest release, and not `gone`",
                    row.name
                );
                continue;
            };
            let last = position(gone.last).unwrap();
            let first = (0..releases.len()).find(|at| has(*at, row.name)).unwrap();
            for (at, (release, _)) in releases.iter().enumerate() {
                assert_eq!(has(at, row.name), (first..=last).contains(&at), "{} on {release}", row.name);
            }
            // Releases that are not built in are between two that are.
            let (successors, from) = match &gone.successor {
                Some(Successor::Renamed(name, from)) => (std::slice::from_ref(name), *from),
                Some(Successor::Others(names, from)) => (*names, *from),
                None => continue,
            };
            let number = |release: &str| {
                release.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>()
            };
            for (at, (release, _)) in releases.iter().enumerate() {
                for name in successors {
                    assert_eq!(has(at, name), number(release) >= number(from), "{name} on {release}");
                }
            }
        }
    }

    #[test]
    fn kfuncs_of_other_program_types_are_refused() {
        assert!(HOOKS.is_sorted_by_key(|(name, _)| *name));
        let target = crate::kernel::target::load("7.3").unwrap().remove(0);
        let kernel = Kernel::new(&target).unwrap();
        let op = Caller::Op { form: Form::Cpu, member: "enqueue" };
        let may = |kfunc, caller| permission(&kernel, kfunc, caller) == Permission::Granted;
        for kfunc in
            ["bpf_get_task_exe_file", "bpf_dynptr_from_skb", "bpf_path_d_path", "bpf_crypto_ctx_create"]
        {
            assert!(kernel.kfunc(kfunc).found().is_some() && !may(kfunc, op), "{kfunc}");
        }
        assert!(may("bpf_crypto_ctx_create", Caller::Syscall));
        assert!(may("bpf_get_task_exe_file", Caller::Tracing));
        assert!(may("bpf_get_task_exe_file", Caller::OtherStructOps));
        assert!(!may("bpf_get_task_exe_file", Caller::Syscall));
        for kfunc in ["bpf_task_acquire", "bpf_cpumask_create", "bpf_rcu_read_lock", "bpf_iter_num_new"] {
            assert!(may(kfunc, op), "{kfunc}");
        }
        // Others are in modules there, or gone.
        let there = HOOKS.iter().filter(|(name, _)| kernel.kfunc(name).found().is_some()).count();
        assert!(there > HOOKS.len() / 2, "{there} of {}", HOOKS.len());
    }

    /// What the images say of each row stands in no row.
    #[test]
    fn every_row_has_the_flags_of_the_images() {
        for row in rows() {
            let found = crate::kernel::builtin::flags::rows_of(row.name);
            assert!(!found.is_empty(), "{}: in no set of any image", row.name);
        }
        let marks = |name: &str| row_of(name).unwrap().marks;
        assert_eq!(marks("bpf_task_from_pid") & (ACQUIRE | RELEASE), ACQUIRE);
        assert_eq!(marks("bpf_task_release") & (ACQUIRE | RELEASE), RELEASE);
        assert_eq!(marks("scx_bpf_create_dsq") & SLEEPABLE, SLEEPABLE);
        // Up to 6.19 it had to sleep, since then not.
        assert_eq!(marks("bpf_arena_alloc_pages") & SLEEPABLE, 0);
    }

    #[test]
    fn what_is_taken_is_given_back_by_a_kfunc_of_the_table() {
        for row in rows() {
            let Some(counterpart) = row.counterpart else {
                // What is left out here is allocated by the program, and goes where it likes.
                let is_new = row.name.contains("obj_new");
                assert!(is_new || row.marks & ACQUIRE == 0 && row.locks.is_none(), "{}", row.name);
                continue;
            };
            let counterpart = row_of(counterpart).unwrap();
            assert_eq!(counterpart.unlocks, row.locks, "{}", row.name);
            assert_eq!(counterpart.marks & RELEASE != 0, row.marks & ACQUIRE != 0, "{}", row.name);
        }
    }

    #[test]
    fn queueing_kfuncs_take_a_dsq_and_flags_where_the_table_says() {
        let target = crate::kernel::target::load("6.16").unwrap().remove(0);
        let newest = crate::kernel::target::load(LATEST).unwrap().remove(0);
        let kernels = [Kernel::new(&target).unwrap(), Kernel::new(&newest).unwrap()];
        for row in rows() {
            let Some(queues) = row.queues else { continue };
            let found = kernels.iter().find_map(|kernel| Some((kernel, kernel.kfunc(row.name).found()?)));
            let (kernel, kfunc) = found.unwrap();
            let params = kernel.kfunc_params(kfunc);
            let btf = kernel.btf();
            // A parameter of that name, else a member of the struct that one points to.
            let place = |name: &str| {
                let members = params.iter().zip(1..).find_map(|(&(_, ty), register)| {
                    let (_, pointer) = btf.resolve(ty).filter(|(_, ty)| ty.kind() == Kind::Ptr)?;
                    let (_, args) = btf.resolve(pointer.target())?;
                    let args = args.composite().filter(|_| btf.name(&args).ends_with("_args"))?;
                    let member = args.members().find(|member| btf.str(member.name) == name)?;
                    Some(PassedIn::Member(register, member.bit_offset / 8))
                });
                let register = params.iter().position(|(known, _)| *known == name);
                register.map(|at| PassedIn::Register(at as u8 + 1)).or(members)
            };
            assert_eq!(place("dsq_id"), Some(queues.dsq), "{}: {params:?}", row.name);
            assert_eq!(place("enq_flags"), queues.flags, "{}: {params:?}", row.name);
        }
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
