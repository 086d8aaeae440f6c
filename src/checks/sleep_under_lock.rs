//! `sleep-under-lock`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::helpers::{self, Helper};
use crate::kernel::kfuncs::{locks, must_sleep};
use crate::object::{FuncIdx, InsnIdx};

rule! {
    /// A program calls something that may sleep while it holds a lock.
    ///
    /// ## Why it matters
    /// Between `bpf_rcu_read_lock()` and `bpf_rcu_read_unlock()`, or `bpf_preempt_disable()` and `bpf_preempt_enable()`, nothing may sleep, in
    /// sleepable programs neither: the verifier refuses `scx_bpf_create_dsq` and `bpf_copy_from_user` there. Later kernels, stable ones of 6.12 among them,
    /// refuse `bpf_sys_bpf`, `bpf_sys_close`, `bpf_btf_find_by_name_kind`, `bpf_get_stack` and `bpf_get_task_stack` too; which do, nothing tells.
    /// ## Example
    /// ```c
    /// bpf_rcu_read_lock();
    /// err = scx_bpf_create_dsq(SHARED_DSQ, -1);
    /// bpf_rcu_read_unlock();
    /// ```
    /// ## Fix
    /// Make the call before the lock is taken, or behind its end.
    /// ## Sources
    /// kernel `check_kfunc_call` (KF_SLEEPABLE), `check_helper_call` (`might_sleep`; 6.12.107, 6.12.118, 7.2.13, 7.3.4); guests of 6.18 and 7.3.
    pub SLEEP_UNDER_LOCK: "sleep-under-lock", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    // In a program that may not sleep such calls are refused anywhere.
    for (program, function, _) in cx.loaded().filter(|(_, _, entry)| entry.sleepable) {
        let calls = kfunc_calls::of(cx, program);
        if !calls.iter().any(|call| lock_of(call.name).is_some()) {
            continue;
        }
        let sleeping = calls.iter().filter(|call| {
            let resolved = cx.has_kfunc(call.index);
            resolved && must_sleep(cx.kernel, call.name) == Some(true)
        });
        let kfuncs = sleeping.map(|call| (call.function, call.insn, call.name.to_owned(), Errno::EACCES));
        let helpers = |sleeps: fn(&Helper) -> bool| {
            cx.object.code_of(program).flat_map(move |(function, code)| {
                let found = code
                    .code
                    .insns()
                    .filter_map(|(at, insn)| Some((at, insn.helper().and_then(helpers::get)?)))
                    .filter(move |(_, helper)| sleeps(helper));
                found.map(move |(at, helper)| {
                    (function, InsnIdx(at), format!("helper #{}", helper.id), Errno::EINVAL)
                })
            })
        };
        let held = |(function, at, callee, errno): (FuncIdx, InsnIdx, String, Errno)| {
            let lock = cx.walk(program).lock((function, at))?;
            Some(((function, at), lock, region(cx, lock)?, callee, errno))
        };
        let Some((call, lock, region, callee, errno)) =
            kfuncs.chain(helpers(Helper::may_sleep)).find_map(held)
        else {
            if let Some((.., callee, _)) = helpers(Helper::may_sleep_somewhere).find_map(held) {
                let reason = format!(
                    "calls {callee} while it holds a lock: to some kernels it may sleep, to others it does not, in one series too"
                );
                out.undecided(&SLEEP_UNDER_LOCK, Subject::program(cx.object, program), reason);
            }
            continue;
        };
        let message =
            format!("program '{}' calls {callee}, which may sleep, while it holds a lock", function.name);
        let site = |(function, at): (FuncIdx, InsnIdx)| Site::Insn(function, at);
        out.found(&SLEEP_UNDER_LOCK, Subject::program(cx.object, program), message)
            .errno(errno)
            .quote(region)
            .help("make the call before the lock is taken, or behind its end")
            .via(site(call), program, "this call")
            .via(site(lock), program, "the lock is taken here");
    }
}

/// The kernel's name for the code under the lock that a kfunc takes, if it takes one.
fn lock_of(kfunc: &str) -> Option<&'static str> {
    locks(kfunc)?.region()
}

/// The kernel's name for the code under the lock that a call takes.
fn region(cx: &Context<'_, '_>, (function, at): (FuncIdx, InsnIdx)) -> Option<&'static str> {
    let name = cx.object[function].refs_at(at).iter().find_map(|reference| match reference.target {
        crate::object::Referent::Extern(index) => Some(cx.object[index].name),
        _ => None,
    })?;
    lock_of(crate::object::Object::essential_name(name))
}
