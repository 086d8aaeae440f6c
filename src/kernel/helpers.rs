//! The helpers: one table of what the verifier knows of each, written by `scripts/helper-table` from the kernel's sources.
//!
//! No helper was added since 6.2, and prototypes have not changed in what is asked of them here, but for whether some may sleep, of
//! which the rows say so; which numbers a kernel has, its BTF says.

pub mod kinds;
mod table;

use super::callback::{Callback, CallbackKind};
pub use kinds::Helper;
use kinds::{ArgKind, ReturnKind, callers, flags, marks};
use table::HELPERS;

/// The last one.
pub const LAST: i32 = HELPERS.len() as i32;

/// The number of a helper, known when this program is compiled.
const fn number(name: &str) -> i32 {
    let mut at = 0;
    while at < HELPERS.len() {
        if is_same(HELPERS[at].name.as_bytes(), name.as_bytes()) {
            return HELPERS[at].id;
        }
        at += 1;
    }
    // SANITY: runs in the compiler alone.
    panic!("no helper of that name")
}

/// Comparison of strings, which constants have to spell out.
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

macro_rules! numbers {
    ($($konst:ident: $name:literal),+ $(,)?) => {
        $(
            #[doc = concat!("`bpf_", $name, "`.")]
            pub const $konst: i32 = number($name);
        )+
    };
}

numbers! {
    MAP_LOOKUP_ELEM: "map_lookup_elem",
    MAP_UPDATE_ELEM: "map_update_elem",
    MAP_DELETE_ELEM: "map_delete_elem",
    PROBE_READ: "probe_read",
    KTIME_GET_NS: "ktime_get_ns",
    GET_PRANDOM_U32: "get_prandom_u32",
    GET_SMP_PROCESSOR_ID: "get_smp_processor_id",
    TAIL_CALL: "tail_call",
    GET_CURRENT_PID_TGID: "get_current_pid_tgid",
    GET_CURRENT_UID_GID: "get_current_uid_gid",
    PROBE_READ_STR: "probe_read_str",
    GET_CURRENT_CGROUP_ID: "get_current_cgroup_id",
    SPIN_LOCK: "spin_lock",
    SPIN_UNLOCK: "spin_unlock",
    SK_STORAGE_GET: "sk_storage_get",
    PROBE_READ_USER: "probe_read_user",
    PROBE_READ_KERNEL: "probe_read_kernel",
    PROBE_READ_USER_STR: "probe_read_user_str",
    PROBE_READ_KERNEL_STR: "probe_read_kernel_str",
    JIFFIES64: "jiffies64",
    KTIME_GET_BOOT_NS: "ktime_get_boot_ns",
    RINGBUF_RESERVE: "ringbuf_reserve",
    INODE_STORAGE_GET: "inode_storage_get",
    PER_CPU_PTR: "per_cpu_ptr",
    THIS_CPU_PTR: "this_cpu_ptr",
    TASK_STORAGE_GET: "task_storage_get",
    GET_CURRENT_TASK_BTF: "get_current_task_btf",
    FOR_EACH_MAP_ELEM: "for_each_map_elem",
    TIMER_SET_CALLBACK: "timer_set_callback",
    LOOP: "loop",
    KPTR_XCHG: "kptr_xchg",
    MAP_LOOKUP_PERCPU_ELEM: "map_lookup_percpu_elem",
    DYNPTR_DATA: "dynptr_data",
    KTIME_GET_TAI_NS: "ktime_get_tai_ns",
    CGRP_STORAGE_GET: "cgrp_storage_get",
}

/// A helper by its number; `None` for a number that no kernel up to 7.3 has.
pub fn get(id: i32) -> Option<&'static Helper> {
    HELPERS.get(usize::try_from(id).ok()?.checked_sub(1)?)
}

/// Every helper, by number.
pub fn all() -> impl Iterator<Item = &'static Helper> {
    HELPERS.iter()
}

/// Helpers of timers (`process_timer_func`).
pub fn is_timer(id: i32) -> bool {
    get(id).is_some_and(|helper| helper.name.starts_with("timer_"))
}

/// Helpers that are gone where the kernel is built without CONFIG_BPF_EVENTS: their prototypes are in
/// kernel/trace/bpf_trace.c (7.3), and those of other files that use theirs.
const OF_TRACING: [&str; 25] = [
    "probe_read",
    "probe_read_str",
    "probe_read_user",
    "probe_read_user_str",
    "probe_read_kernel",
    "probe_read_kernel_str",
    "probe_write_user",
    "override_return",
    "trace_printk",
    "trace_vprintk",
    "get_current_task",
    "get_current_task_btf",
    "task_pt_regs",
    "send_signal",
    "send_signal_thread",
    "snprintf_btf",
    "d_path",
    "perf_event_read",
    "perf_event_read_value",
    "seq_printf",
    "seq_printf_btf",
    "seq_write",
    "get_func_arg",
    "get_func_ret",
    "get_func_arg_cnt",
];

/// Is a helper one of those that came with tracing programs.
pub fn is_of_tracing(id: i32) -> bool {
    get(id).is_some_and(|helper| OF_TRACING.contains(&helper.name))
}

impl Helper {
    /// The name in full, for instance `bpf_loop`.
    pub fn full_name(&self) -> String {
        format!("bpf_{}", self.name)
    }

    /// May callbacks of sched_ext call it: with `own_list` where the class keeps a list of its own (6.12), without where it does not.
    pub fn is_for_sched_ext(&self, own_list: bool) -> bool {
        self.callers & if own_list { callers::SCX_OWN } else { callers::BASE } != 0
    }

    /// May it sleep, in every kernel and whoever calls it.
    pub fn may_sleep(&self) -> bool {
        self.marks & marks::SLEEPS != 0
    }

    /// May it sleep where a sleepable program calls it, in some kernel.
    pub fn may_sleep_somewhere(&self) -> bool {
        self.marks & (marks::SLEEPS | marks::SLEEPS_SOMEWHERE | marks::VARIANT_SLEEPS_SOMEWHERE) != 0
    }

    /// Must what it returns be given back.
    pub fn acquires(&self) -> bool {
        self.marks & marks::ACQUIRES != 0
    }

    /// The one that gives back what it returns; `None` where there are several ways, or none is needed.
    pub fn counterpart(&self) -> Option<&'static str> {
        (self.id == RINGBUF_RESERVE).then_some("bpf_ringbuf_discard")
    }

    /// Does it take something away from the program that it is given (`OBJ_RELEASE`).
    pub fn releases(&self) -> bool {
        self.args.iter().any(|arg| arg.flags & flags::RELEASE != 0)
    }

    /// Does some verifier know a range of the number that it returns.
    pub fn has_range(&self) -> bool {
        self.marks & marks::RANGED != 0
    }

    /// May it return NULL in place of a pointer.
    pub fn may_return_null(&self) -> bool {
        self.ret.flags & flags::MAYBE_NULL != 0
    }

    /// Does it return a pointer to memory that a program may write to, no object of the kernel's.
    pub fn returns_memory(&self) -> bool {
        matches!(self.ret.kind, ReturnKind::PtrToMapValue | ReturnKind::PtrToMem)
    }

    /// Does it return a pointer to a socket.
    pub fn returns_socket(&self) -> bool {
        matches!(
            self.ret.kind,
            ReturnKind::PtrToSocket | ReturnKind::PtrToTcpSock | ReturnKind::PtrToSockCommon
        )
    }

    /// Does it write to memory that its first argument points to and its second one counts, whatever was there.
    pub fn fills_memory(&self) -> bool {
        self.args.first().is_some_and(|arg| arg.kind == ArgKind::PtrToMem && arg.flags & flags::UNINIT != 0)
    }

    /// The function that it calls back.
    pub fn callback(&self) -> Option<Callback> {
        let at = self.args.iter().position(|arg| arg.kind == ArgKind::PtrToFunc)?;
        let register = at as u8 + 1;
        Some(match self.id {
            LOOP => Callback::now(register, CallbackKind::Loop),
            FOR_EACH_MAP_ELEM => Callback::now(register, CallbackKind::Element),
            TIMER_SET_CALLBACK => Callback::later(register, CallbackKind::Element),
            _ => Callback::now(register, CallbackKind::Plain),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::builtin::RELEASES;
    use crate::kernel::{Kernel, Lookup, target};

    #[test]
    fn every_release_has_the_helpers_of_the_table_and_no_other() {
        for release in RELEASES {
            let target = target::load(release.name).unwrap().remove(0);
            let kernel = Kernel::new(&target).unwrap();
            assert_eq!(kernel.helpers(), Lookup::Found(LAST as u64 + 1), "{}", release.name);
            for (at, helper) in all().enumerate() {
                assert_eq!(helper.id, at as i32 + 1);
                let found = kernel.enumerator("bpf_func_id", &format!("BPF_FUNC_{}", helper.name));
                assert_eq!(found, Lookup::Found(helper.id as u64), "{} of {}", helper.name, release.name);
                assert_eq!(kernel.helper_name(helper.id), Some(helper.full_name()));
            }
        }
    }

    #[test]
    fn the_helpers_of_tracing_are_helpers() {
        for name in OF_TRACING {
            assert!(all().any(|helper| helper.name == name), "{name}");
        }
        assert!(is_timer(number("timer_start")) && !is_timer(number("trace_printk")));
    }

    /// What the table says where it is asked, in the words of those who read the sources.
    #[test]
    fn the_table_says_what_was_read_in_the_kernel() {
        let names = |holds: &dyn Fn(&Helper) -> bool| {
            all().filter(|helper| holds(helper)).map(|helper| helper.name).collect::<Vec<_>>()
        };
        assert_eq!(
            names(&Helper::releases),
            [
                "sk_release",
                "ringbuf_submit",
                "ringbuf_discard",
                "kptr_xchg",
                "ringbuf_submit_dynptr",
                "ringbuf_discard_dynptr"
            ]
        );
        assert_eq!(
            names(&Helper::acquires),
            ["sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp", "ringbuf_reserve", "kptr_xchg"]
        );
        assert_eq!(
            names(&|helper| helper.may_sleep() && helper.is_for_sched_ext(false)),
            ["copy_from_user", "copy_from_user_task"]
        );
        assert_eq!(
            names(&Helper::may_sleep),
            ["copy_from_user", "ima_inode_hash", "copy_from_user_task", "ima_file_hash"]
        );
        // 6.12.107 lets these sleep nowhere, 6.12.118, 7.2 and 7.3 do; of two of them, for sleepable programs alone.
        assert_eq!(
            names(&|helper| helper.may_sleep_somewhere() && !helper.may_sleep()),
            ["get_stack", "get_task_stack", "sys_bpf", "btf_find_by_name_kind", "sys_close"]
        );
        let calling = |later: bool| {
            let found = all().filter_map(|helper| Some((helper.name, helper.callback()?)));
            found
                .filter(|(_, callback)| callback.later == later)
                .map(|(name, callback)| (name, callback.register))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            calling(false),
            [("for_each_map_elem", 2), ("find_vma", 3), ("loop", 2), ("user_ringbuf_drain", 2)]
        );
        assert_eq!(calling(true), [("timer_set_callback", 2)]);
        assert_eq!(all().filter(|helper| helper.is_for_sched_ext(false)).count(), 74);
        // What 6.12 has, later kernels have.
        assert!(all().all(|helper| !helper.is_for_sched_ext(true) || helper.is_for_sched_ext(false)));
        assert!(get(0).is_none() && get(-1).is_none() && get(LAST + 1).is_none());
        assert_eq!(get(LOOP).map(|helper| helper.name), Some("loop"));
    }
}
