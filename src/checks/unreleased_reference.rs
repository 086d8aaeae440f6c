//! `unreleased-reference`.

use std::borrow::Cow;

use super::context::Context;
use super::shared::callers;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Insn;
use crate::kernel::helpers;
use crate::kernel::kfuncs::{Caller, row_of};
use crate::object::{FuncIdx, InsnIdx, Object, Ref, Referent};
use crate::verifier;

rule! {
    /// A program ends with a reference or a lock that it took and did not give back.
    ///
    /// ## Why it matters
    /// What `bpf_task_from_pid`, `bpf_cgroup_from_id`, `scx_bpf_task_cgroup`, `scx_bpf_get_online_cpumask`, `bpf_kptr_xchg` or `bpf_ringbuf_reserve` return
    /// must be given back on every path where it is not NULL, and so must `bpf_rcu_read_lock()` and `bpf_preempt_disable()`. The verifier refuses
    /// where one path ends without. Reported are paths that it is sure to walk, with no call in between that might give it back.
    /// ## Example
    /// ```c
    /// sink = scx_bpf_task_cgroup(p)->level;
    /// ```
    /// ## Fix
    /// `bpf_task_release`, `bpf_cgroup_release`, `scx_bpf_put_cpumask`, `scx_bpf_put_idle_cpumask`, `bpf_cpumask_release`,
    /// `bpf_ringbuf_discard`, `bpf_rcu_read_unlock`: on every path, early returns too.
    /// ## Sources
    /// kernel `check_reference_leak`, `check_resource_leak` (`KF_ACQUIRE`); guests of 6.18, 7.1 and 7.3.
    pub UNRELEASED_REFERENCE: "unreleased-reference", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, _) in cx.loaded() {
        // To follow programs that take nothing takes time.
        let kfunc = |(_, reference): (_, Ref)| match reference.target {
            Referent::Extern(index) => verifier::takes(object[index].name),
            _ => false,
        };
        let helper = |(_, insn): (_, Insn)| insn.helper().is_some_and(verifier::helper_takes);
        if !object.refs_of(program).any(kfunc)
            && !object.code_of(program).any(|(_, code)| code.code.insns().any(helper))
        {
            continue;
        }
        // Callbacks of other kinds may hand a reference over to the kernel.
        if callers::roles(cx, program).iter().any(|role| role.caller == Caller::OtherStructOps) {
            continue;
        }
        let leaks = cx.walk(program).leaks().iter();
        let Some((leak, (taker, giver, quote))) =
            leaks.filter_map(|leak| Some((leak, taken(cx, leak.made)?))).next()
        else {
            continue;
        };
        let message = match giver {
            Some(giver) => {
                format!("program '{}' may end without '{giver}' for what '{taker}' took", function.name)
            }
            None => {
                format!("program '{}' may end without giving back what '{taker}' returned", function.name)
            }
        };
        let help = match giver {
            Some(giver) => format!("call {giver}() on every path"),
            None => "release it on every path where it is not NULL".to_owned(),
        };
        out.found(&UNRELEASED_REFERENCE, Subject::program(object, program), message)
            .errno(Errno::EINVAL)
            .quote(quote)
            .help(help)
            .via(Site::Insn(leak.made.0, leak.made.1), program, "taken here")
            .via(Site::Insn(leak.exit.0, leak.exit.1), program, "still held here");
    }
}

/// The function that was called, the one that gives back, and the kernel's words; `None` where the kernel lacks it.
fn taken<'a>(
    cx: &Context<'a, '_>,
    (function, at): (FuncIdx, InsnIdx),
) -> Option<(Cow<'a, str>, Option<&'static str>, Cow<'static, str>)> {
    let object = cx.object;
    const REFERENCE: &str = "Unreleased reference id=";
    if let Some(helper) = object[function].code.get(at.0)?.helper().and_then(helpers::get) {
        return Some((helper.full_name().into(), helper.counterpart(), REFERENCE.into()));
    }
    let name = object[function].refs_at(at).iter().find_map(|reference| match reference.target {
        Referent::Extern(index) if cx.has_kfunc(index) => Some(Object::essential_name(object[index].name)),
        _ => None,
    })?;
    let row = row_of(name)?;
    let quote = match row.locks {
        Some(_) => format!("cannot be used inside {name}-ed region").into(),
        None => REFERENCE.into(),
    };
    Some((name.into(), row.counterpart, quote))
}
