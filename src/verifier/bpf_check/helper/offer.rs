//! Which helpers a program may call at all (`bpf_get_helper_proto` and the functions of each program type).

use super::super::checker::Checker;
use super::super::hook::{Ops, Program};
use super::super::refusal::{Step, Stop, Why};
use super::super::rules::Era;
use crate::kernel::exceptions::Fact;
use crate::kernel::helpers::kinds::{callers, marks};
use crate::kernel::helpers::{self, Helper};
use crate::kernel::{Arch, Lookup};

/// What a program is, as far as helpers ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A callback of a scheduler.
    SchedExt,
    /// A callback of another kind.
    OtherOps,
    Syscall,
    Tracing(Attach),
    RawTracepoint,
    Tracepoint,
    Kprobe,
    PerfEvent,
    /// With whether it is of cgroups.
    Lsm(bool),
}

/// What a tracing program attaches to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attach {
    /// `fentry`, `fexit`, `fmod_ret`, `fsession`: there is a trampoline.
    Trampoline,
    /// `tp_btf`.
    RawTracepoint,
    /// `iter`.
    Iter,
}

impl Caller {
    /// `enum bpf_prog_type`.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Kprobe => 2,
            Self::Tracepoint => 5,
            Self::PerfEvent => 7,
            Self::RawTracepoint => 17,
            Self::Tracing(_) => 26,
            Self::SchedExt | Self::OtherOps => 27,
            Self::Lsm(_) => 29,
            Self::Syscall => 31,
        }
    }
}

/// Helpers that `bpf_tracing_func_proto` adds to the base.
const TRACING_COMMON: [&str; 5] =
    ["get_smp_processor_id", "probe_read", "probe_read_str", "get_func_ip", "probe_write_user"];
/// Helpers of the base since 6.16 that programs that trace did not have before.
const ONLY_SINCE_6_16: [&str; 1] = ["get_cgroup_classid"];
/// Helpers that the scheduler class added to the base of 6.12.
const SCX_ONLY: [&str; 2] = ["task_storage_get", "task_storage_delete"];
/// Helpers behind an option of the kernel's configuration, with the function that is there where it is on.
const OPTIONAL: [(&str, &str); 2] =
    [("override_return", "bpf_override_return"), ("get_cgroup_classid", "bpf_get_cgroup_classid_curr")];
/// Functions whose arguments `bpf_d_path` may be asked about (`btf_allowlist_d_path`).
const D_PATH: [&str; 9] = [
    "security_file_permission",
    "security_inode_getattr",
    "security_file_open",
    "security_path_truncate",
    "vfs_truncate",
    "vfs_fallocate",
    "dentry_open",
    "vfs_getattr",
    "filp_close",
];
/// Iterators whose programs get and set options of sockets.
const SOCKET_ITERS: [&str; 2] = ["bpf_iter_tcp", "bpf_iter_unix"];
/// Hooks of the LSM whose programs of cgroups do (`bpf_lsm_locked_sockopt_hooks`, `bpf_lsm_unlocked_sockopt_hooks`).
const SOCKET_HOOKS: [&str; 5] = [
    "bpf_lsm_sock_graft",
    "bpf_lsm_inet_csk_clone",
    "bpf_lsm_inet_conn_established",
    "bpf_lsm_socket_post_create",
    "bpf_lsm_socket_socketpair",
];
/// Helpers of congestion control beside the base (`bpf_tcp_ca_get_func_proto`).
const CONGESTION: [&str; 4] = ["tcp_send_ack", "sk_storage_get", "sk_storage_delete", "ktime_get_coarse_ns"];

impl Checker<'_, '_> {
    /// What the program is.
    pub(super) fn helper_caller(&self) -> Caller {
        match self.hook.program {
            Program::StructOps(ops) if ops.is_scx() => Caller::SchedExt,
            Program::StructOps(_) => Caller::OtherOps,
            Program::Fentry
            | Program::Fexit
            | Program::Fsession
            | Program::ModifyReturn
            | Program::FentryMulti
            | Program::FexitMulti
            | Program::FsessionMulti => Caller::Tracing(Attach::Trampoline),
            Program::TpBtf => Caller::Tracing(Attach::RawTracepoint),
            Program::Iter => Caller::Tracing(Attach::Iter),
            Program::Lsm => Caller::Lsm(false),
            Program::LsmCgroup => Caller::Lsm(true),
            Program::Kprobe { .. } => Caller::Kprobe,
            Program::Tracepoint => Caller::Tracepoint,
            Program::RawTracepoint | Program::RawTracepointWritable => Caller::RawTracepoint,
            Program::PerfEvent => Caller::PerfEvent,
            Program::Syscall => Caller::Syscall,
        }
    }

    /// The helper of that number, if the program may call it.
    ///
    /// # Errors
    /// It may not, or that is not known.
    pub(super) fn offered_helper(&self, number: i32, caller: Caller) -> Step<&'static Helper> {
        let refused = |message: String| Err(Stop::einval(Why::Helper, message));
        if !(0..=helpers::LAST).contains(&number) {
            let count = match self.kernel.helpers() {
                Lookup::Found(count) => i32::try_from(count).unwrap_or(i32::MAX),
                _ => helpers::LAST + 1,
            };
            return match (0..count).contains(&number) {
                true => Err(Stop::unmodelled(format!("helper {number}"))),
                false => refused(format!("invalid func unknown#{number}")),
            };
        }
        let of_this_type =
            |name: &str| refused(format!("program of this type cannot use helper bpf_{name}#{number}"));
        if number == 0 {
            return of_this_type("unspec");
        }
        let Some(helper) = helpers::get(number) else {
            return Err(Stop::unmodelled(format!("helper {number}")));
        };
        if !self.offers(helper, caller)? {
            return of_this_type(helper.name);
        }
        if helper.marks & marks::GPL != 0 && !self.hook.gpl_compatible {
            let message = "cannot call GPL-restricted function from non-GPL compatible program";
            return Err(Stop::einval(Why::License, message));
        }
        let allowed = match helper.name {
            "d_path" => self.allows_d_path(caller)?,
            "ima_inode_hash" | "ima_file_hash" => self.is_sleepable_hook()?,
            "sk_storage_get" | "sk_storage_delete" => self.allows_sk_storage(caller),
            _ => true,
        };
        if !allowed {
            return refused("helper call is not allowed in probe".to_owned());
        }
        Ok(helper)
    }

    /// A program type has a helper.
    fn offers(&self, helper: &Helper, caller: Caller) -> Step<bool> {
        let name = helper.name;
        let has = |bits: u16| helper.callers & bits != 0;
        if self.hook.program == Program::StructOps(Ops::Dummy) {
            return Ok(false);
        }
        if has(callers::BASE) && has(callers::SCX_OWN) && !SCX_ONLY.contains(&name) {
            return Ok(true);
        }
        let own_list = self.kernel.is(Fact::OwnHelperList);
        if matches!(name, "probe_read" | "probe_read_str") && self.kernel.arch_or_usual() != Arch::X86_64 {
            return Err(Stop::unmodelled("a helper of some machines"));
        }
        if let Some((_, function)) = OPTIONAL.iter().find(|(known, _)| *known == name) {
            match self.kernel.function(function) {
                Lookup::Found(()) => {}
                Lookup::Absent => return Ok(false),
                Lookup::Unknown(reason) => return Err(Stop::Unknown(reason)),
            }
        }
        let base = match own_list {
            true => has(callers::SCX_OWN) && !SCX_ONLY.contains(&name),
            false => has(callers::BASE),
        };
        // What was moved into the base was of all programs that trace before.
        let tracing = TRACING_COMMON.contains(&name)
            || has(callers::BASE) && !(own_list && ONLY_SINCE_6_16.contains(&name));
        let raw = tracing || has(callers::RAW_TRACEPOINT) && name != "get_attach_cookie";
        Ok(match caller {
            Caller::SchedExt => helper.is_for_sched_ext(own_list),
            Caller::OtherOps if base => true,
            Caller::OtherOps if self.hook.program == Program::StructOps(Ops::TcpCongestion) => {
                CONGESTION.contains(&name) || is_sockopt(name) && self.hook.name != "release"
            }
            Caller::OtherOps => false,
            Caller::Kprobe => tracing || has(callers::KPROBE),
            Caller::Tracepoint => tracing || has(callers::TRACEPOINT),
            Caller::RawTracepoint => tracing || has(callers::RAW_TRACEPOINT),
            Caller::PerfEvent => tracing || has(callers::PERF_EVENT),
            Caller::Syscall => has(callers::SYSCALL) || raw || self.is_of_tracing_programs(helper, None)?,
            Caller::Tracing(attach) => raw || self.is_of_tracing_programs(helper, Some(attach))?,
            Caller::Lsm(cgroup) => {
                let mac = (!cgroup).then_some(Attach::Trampoline);
                match name {
                    "get_attach_cookie" => !cgroup,
                    "setsockopt" | "getsockopt" => cgroup && SOCKET_HOOKS.contains(&self.hook.name.as_str()),
                    // `cgroup_common_func_proto`
                    "get_local_storage" | "get_retval" | "set_retval" if cgroup => true,
                    _ => has(callers::LSM) || raw || self.is_of_tracing_programs(helper, mac)?,
                }
            }
        })
    }

    /// A helper is one that `tracing_prog_func_proto` itself adds, for what the program attaches to.
    fn is_of_tracing_programs(&self, helper: &Helper, attach: Option<Attach>) -> Step<bool> {
        if helper.callers & callers::TRACING == 0 && helper.name != "get_attach_cookie" {
            let of_sockets = attach == Some(Attach::Iter) && SOCKET_ITERS.contains(&self.hook.name.as_str());
            return Ok(of_sockets && is_sockopt(helper.name));
        }
        let trampoline = attach == Some(Attach::Trampoline);
        let raw = attach == Some(Attach::RawTracepoint);
        Ok(match helper.name {
            "seq_printf" | "seq_write" | "seq_printf_btf" => attach == Some(Attach::Iter),
            "get_func_arg" | "get_func_arg_cnt" if raw => match self.rules.era {
                Era::V7_0 => return Err(Stop::unmodelled("arguments of tracepoints by number")),
                era => era > Era::V7_0,
            },
            "get_func_arg" | "get_func_arg_cnt" | "get_func_ret" => trampoline,
            "get_attach_cookie" => trampoline || raw,
            _ => true,
        })
    }

    /// `bpf_d_path_allowed`.
    fn allows_d_path(&self, caller: Caller) -> Step<bool> {
        Ok(match caller {
            Caller::Tracing(Attach::Iter) => true,
            Caller::Tracing(Attach::Trampoline) => D_PATH.contains(&self.hook.name.as_str()),
            Caller::Lsm(_) => self.is_sleepable_hook()?,
            _ => false,
        })
    }

    /// The hook of an LSM program is one that may sleep (`bpf_lsm_is_sleepable_hook`): as it is where the program may.
    fn is_sleepable_hook(&self) -> Step<bool> {
        match self.hook.sleepable {
            true => Ok(true),
            false => Err(Stop::unmodelled("which hooks of LSM programs may sleep")),
        }
    }

    /// `bpf_sk_storage_tracing_allowed`, of the prototypes of tracing programs.
    fn allows_sk_storage(&self, caller: Caller) -> bool {
        match caller {
            Caller::Tracing(Attach::Trampoline) => {
                let result = self.hook.program == Program::ModifyReturn;
                let multi = matches!(
                    self.hook.program,
                    Program::FentryMulti | Program::FexitMulti | Program::FsessionMulti
                );
                !result && !multi && !self.hook.name.starts_with("bpf_sk_storage")
            }
            Caller::Syscall => false,
            _ => true,
        }
    }

    /// A helper that may sleep is called where nothing may.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn check_sleeping_helper(&self, helper: &Helper, caller: Caller) -> Step {
        let name = format!("bpf_{}#{}", helper.name, helper.id);
        if !helper.may_sleep_somewhere() || self.may_sleep_here() {
            return Ok(());
        }
        let variant = helper.marks & (marks::SLEEPS | marks::SLEEPS_SOMEWHERE) == 0;
        // Of the prototypes of `bpf_get_stack` that of kprobes alone has such a variant.
        let has_variant = self.hook.sleepable && (helper.name != "get_stack" || caller == Caller::Kprobe);
        if variant && !has_variant {
            return Ok(());
        }
        if !helper.may_sleep() && !self.rules.since(Era::V7_2) {
            return Err(Stop::unmodelled(format!("whether {name} may sleep")));
        }
        let refused = |message: String| Err(Stop::einval(Why::Sleep, message));
        let state = &self.state;
        if !self.rules.since(Era::V7_1) && !state.in_sleepable {
            return refused("helper call might sleep in a non-sleepable prog".to_owned());
        }
        refused(format!("sleepable helper {name} in {}", self.non_sleepable_context()))
    }

    /// What keeps code from sleeping, in the kernel's words (`non_sleepable_context_description`).
    pub fn non_sleepable_context(&self) -> &'static str {
        let state = &self.state;
        match () {
            () if state.active_rcu_locks > 0 => "rcu_read_lock region",
            () if state.active_preempt_locks > 0 => "non-preemptible region",
            () if state.active_irq_id != 0 => "IRQ-disabled region",
            () if state.active_locks > 0 => "lock region",
            () => "non-sleepable prog",
        }
    }
}

/// Options of sockets.
fn is_sockopt(name: &str) -> bool {
    matches!(name, "setsockopt" | "getsockopt")
}
