//! Who may call which kfunc, and where (`btf_kfunc_is_allowed`, `kfunc_spin_allowed`).

use super::super::checker::Checker;
use super::super::hook::Program;
use super::super::prog::Link;
use super::super::refusal::{Step, Stop, Why};
use super::super::rules::Era;
use super::meta::{Meta, not_allowed};
use crate::insn::Callee;
use crate::kernel::exceptions::Fact;
use crate::kernel::kfunc_flags::KfuncFlags;
use crate::kernel::kfuncs::{self, Caller, Permission, Registered};
use crate::kernel::license::is_gpl_compatible;
use crate::kernel::{Home, Lookup};
use crate::object::{Form, ProgramKind};

/// `bpf_spin_unlock`, which ends what it may be called under.
const SPIN_UNLOCK: i32 = 94;
/// `bpf_kptr_xchg`, which may be called under a lock since 7.0 or so.
const KPTR_XCHG: i32 = 194;

impl<'a> Checker<'a, '_> {
    /// A call while a lock is held.
    ///
    /// # Errors
    /// It is refused.
    pub fn check_call_under_lock(&mut self, callee: Callee) -> Step {
        if self.state.active_locks == 0 {
            return Ok(());
        }
        let link = self.prog.slots[self.insn].link.clone();
        let allowed = match (callee, link) {
            (_, Link::Subprog(_)) => return Ok(()),
            (_, Link::Unknown(reason)) => return Err(Stop::Unknown(reason)),
            (_, Link::Kfunc(index, kfunc)) => {
                let meta = self.kfunc_meta(index, kfunc)?;
                self.may_be_called_under_lock(&meta)?
            }
            (Callee::Helper(SPIN_UNLOCK), _) => true,
            (Callee::Helper(KPTR_XCHG), _) => match self.rules.era {
                Era::V7_2 | Era::V7_3 => true,
                Era::V6_12 => false,
                _ => return Err(Stop::unmodelled("bpf_kptr_xchg under a lock")),
            },
            _ => false,
        };
        if allowed {
            return Ok(());
        }
        Err(Stop::einval(Why::Lock, "function calls are not allowed while holding a lock"))
    }

    /// Since 7.3 a flag says so, before the verifier had a list.
    fn may_be_called_under_lock(&self, meta: &Meta) -> Step<bool> {
        if self.rules.since(Era::V7_3) {
            return Ok(meta.has(KfuncFlags::SPINLOCK_SAFE));
        }
        if meta.home != Home::Vmlinux {
            return Ok(false);
        }
        let name = meta.name.as_str();
        let starts = |start: &str| name.starts_with(start);
        let has = |kfunc: &str| self.kernel.kfunc(kfunc).found().is_some();
        if meta.special.is_some_and(|special| special.is_list() || special.is_rbtree()) {
            return Ok(true);
        }
        if starts("bpf_refcount_acquire") {
            return Ok(true);
        }
        // 6.14, which has no mark of its own: what came just before and after it.
        if starts("bpf_iter_num_") {
            return match (has("bpf_res_spin_lock"), has("bpf_local_irq_save")) {
                (true, _) => Ok(true),
                (false, false) => Ok(false),
                _ => Err(Stop::unmodelled(format!("kfunc '{name}' under a lock"))),
            };
        }
        if meta.special.is_some_and(|special| special.is_res_spin_lock()) {
            return Ok(true);
        }
        if starts("bpf_arena_") {
            return match kfuncs::is_allowed_under_spin_lock(Some(self.kernel), name) {
                Lookup::Found(allowed) => Ok(allowed),
                Lookup::Absent => Ok(false),
                Lookup::Unknown(reason) => Err(Stop::Unknown(reason)),
            };
        }
        if starts("bpf_stream_") {
            return match self.rules.era {
                Era::V7_2 => Ok(true),
                _ => Err(Stop::unmodelled(format!("kfunc '{name}' under a lock"))),
            };
        }
        Ok(false)
    }

    /// Who calls.
    fn kfunc_caller(&self) -> Step<Vec<Caller<'a>>> {
        let Some(program) = self.prog.subprogs.first().map(|entry| entry.function) else {
            return Err(Stop::unmodelled("no program"));
        };
        let Some(entry) = self.object[program].entry.as_ref() else {
            return Err(Stop::unmodelled("no program"));
        };
        if entry.kind != ProgramKind::STRUCT_OPS {
            return Ok(vec![match entry.kind.as_str() {
                "syscall" => Caller::Syscall,
                // Raw tracepoints had no kfuncs but those of all programs.
                "raw_tracepoint" | "raw_tracepoint_writable" if !self.rules.since(Era::V7_1) => {
                    if self.rules.since(Era::V6_19) {
                        return Err(Stop::unmodelled("kfuncs of raw tracepoints"));
                    }
                    Caller::Other
                }
                "tracing"
                | "tracepoint"
                | "raw_tracepoint"
                | "raw_tracepoint_writable"
                | "perf_event"
                | "lsm" => Caller::Tracing,
                "unspec" | "ext" => {
                    return Err(Stop::unmodelled("kfuncs of programs that replace a function"));
                }
                _ => Caller::Other,
            }]);
        }
        // The verifier sees the member for which the program is loaded: the first that names it.
        let load = self.load;
        for (index, ops) in load.object.ops() {
            for (member, callback) in load.callbacks(index) {
                if callback == program {
                    return Ok(vec![match ops.form() {
                        Form::Other => Caller::OtherStructOps,
                        form => Caller::Op { form, member },
                    }]);
                }
            }
        }
        Err(Stop::unmodelled("a callback that no ops variable names"))
    }

    /// The program may call it (`btf_kfunc_is_allowed`).
    ///
    /// # Errors
    /// It may not, or that is not known.
    pub(super) fn check_may_call(&mut self, meta: &Meta) -> Step {
        for caller in self.kfunc_caller()? {
            if kfuncs::is_known(&meta.name) || meta.name.starts_with("scx_bpf_") {
                match kfuncs::permission(self.kernel, &meta.name, caller) {
                    Permission::Granted | Permission::Ejected(_) => {}
                    Permission::Refused | Permission::CpuOnly => return Err(not_allowed(&meta.name)),
                    Permission::Unknown(reason) => return Err(Stop::Unknown(reason)),
                }
                continue;
            }
            match kfuncs::registered(&meta.name, caller) {
                Registered::Yes => {}
                Registered::No => return Err(not_allowed(&meta.name)),
                Registered::ForSome => self.check_filter(meta)?,
                Registered::Unlisted if meta.home == Home::Vmlinux && is_common(&meta.name) => {}
                Registered::Unlisted => {
                    return Err(Stop::unmodelled(format!("who may call kfunc '{}'", meta.name)));
                }
            }
        }
        Ok(())
    }

    /// Sets of tracing programs that are for some of them only.
    fn check_filter(&self, meta: &Meta) -> Step {
        let kind = self.program_kind();
        let is_raw = kind.starts_with("raw_tracepoint") && !self.rules.since(Era::V7_1);
        if is_raw || kind == "kprobe" && !meta.name.starts_with("bpf_session_") {
            return Err(not_allowed(&meta.name));
        }
        if meta.name.starts_with("bpf_session_") {
            return self.check_session_kfunc(meta);
        }
        let is_lsm = kind == "lsm";
        let is_tracing = is_lsm || kind == "tracing";
        let name = meta.name.as_str();
        // `tracing_iter_filter`
        if name == "bpf_sock_destroy" {
            return if self.hook.program == Program::Iter { Ok(()) } else { Err(not_allowed(name)) };
        }
        // `bpf_fs_kfuncs_filter`, `bpf_get_fsverity_digest_filter`
        let fs = [
            "bpf_get_task_exe_file",
            "bpf_put_file",
            "bpf_path_d_path",
            "bpf_get_dentry_xattr",
            "bpf_get_file_xattr",
            "bpf_set_dentry_xattr",
            "bpf_remove_dentry_xattr",
            "bpf_real_data_inode",
            "bpf_sock_read_xattr",
            "bpf_get_fsverity_digest",
        ];
        if fs.contains(&name) {
            return if is_lsm { Ok(()) } else { Err(not_allowed(name)) };
        }
        if is_tracing && (name.contains("rstat_") || name == "bpf_dynptr_from_skb") {
            return Ok(());
        }
        Err(Stop::unmodelled(format!("who may call kfunc '{name}'")))
    }

    /// Programs for entry and return alone may ask which it is (`bpf_session_filter`).
    fn check_session_kfunc(&self, meta: &Meta) -> Step {
        let is_session = matches!(
            self.hook.program,
            Program::Kprobe { session: true } | Program::Fsession | Program::FsessionMulti
        );
        if is_session { Ok(()) } else { Err(not_allowed(&meta.name)) }
    }

    /// What is refused of kfuncs before anything is walked (`bpf_add_kfunc_call`).
    ///
    /// # Errors
    /// The program's license is not one for kfuncs.
    pub fn check_kfuncs(&mut self) -> Step {
        if self.has_exception_callback() {
            return Err(Stop::unmodelled("exception callbacks"));
        }
        if is_gpl_compatible(&self.object.license) {
            return Ok(());
        }
        let at = self.prog.slots.iter().position(|slot| matches!(slot.link, Link::Kfunc(..)));
        match at {
            Some(_) => {
                let message = "cannot call kernel function from non-GPL compatible program";
                Err(Stop::einval(Why::License, message))
            }
            None => Ok(()),
        }
    }

    /// It must be called under RCU (KF_RCU_PROTECTED).
    pub(super) fn needs_rcu(&self, meta: &Meta) -> Step<bool> {
        if !meta.has(KfuncFlags::RCU_PROTECTED) {
            return Ok(false);
        }
        match self.kernel.knows(Fact::IteratorNeedsRcu) {
            Lookup::Found(()) => Ok(true),
            Lookup::Absent => Ok(false),
            Lookup::Unknown(reason) => Err(Stop::Unknown(reason)),
        }
    }
}

/// Kfuncs that every program may call (`common_kfunc_set` and others for `BPF_PROG_TYPE_UNSPEC`).
fn is_common(name: &str) -> bool {
    const FAMILIES: [&str; 27] = [
        "bpf_cast_to_kern_ctx",
        "bpf_cgroup_read_xattr",
        "bpf_mem_cgroup_",
        "bpf_get_root_mem_cgroup",
        "bpf_rdonly_cast",
        "bpf_rcu_read_",
        "bpf_dynptr_",
        "bpf_iter_num_",
        "bpf_iter_task_",
        "bpf_iter_bits_",
        "bpf_iter_css_",
        "bpf_iter_kmem_cache_",
        "bpf_iter_dmabuf_",
        "bpf_modify_return_test_tp",
        "bpf_wq_",
        "bpf_preempt_",
        "bpf_copy_from_user",
        "bpf_get_kmem_cache",
        "bpf_local_irq_",
        "bpf_probe_read_",
        "bpf_str",
        "bpf_res_spin_",
        "bpf_arena_",
        "bpf_map_sum_elem_count",
        "bpf_stream_",
        "bpf_task_work_",
        "bpf_timer_cancel_async",
    ];
    let single = ["__bpf_trap", "bpf_get_mem_cgroup", "bpf_put_mem_cgroup"];
    FAMILIES.iter().any(|family| name.starts_with(family)) || single.contains(&name)
}
