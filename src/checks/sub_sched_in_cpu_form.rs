//! `sub-sched-in-cpu-form`.

use super::context::Context;
use super::shared::ops_values::OpsValue;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::exceptions::Fact;
use crate::object::Form;

rule! {
    /// A cpu-form scheduler takes part in sub-scheduling.
    ///
    /// ## Why it matters
    /// From 7.2 on sub-schedulers and those that take them must be cid-form: a cpu-form scheduler with `sub_attach`, `sub_detach` or a
    /// `sub_cgroup_id` is disabled while it is enabled, though the attach call returns success. 7.1 took them.
    /// ## Fix
    /// Write a cid-form scheduler, or clear the members in the loader.
    /// ## Sources
    /// kernel `validate_ops` (7.2, 7.3).
    pub SUB_SCHED_IN_CPU_FORM: "sub-sched-in-cpu-form", family: OpsValues, level: Error, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    if !kernel.is(Fact::SubSchedulersAreCidForm) || !kernel.is(Fact::SubSchedulers) {
        return;
    }
    for (index, _) in cx.schedulers().filter(|(_, ops)| ops.form() == Form::Cpu) {
        if matches!(cx.ops_value(index, "sub_cgroup_id"), OpsValue::Stands(2..)) {
            let subject = Subject::member(cx.object, index, "sub_cgroup_id");
            let message = "a cpu-form scheduler cannot be a sub-scheduler, and without a root scheduler none can be one";
            out.found(&SUB_SCHED_IN_CPU_FORM, subject, message)
                .errno(Errno::ENODEV)
                .help("write a cid-form scheduler, or clear sub_cgroup_id")
                .at(Site::StructOps(index), "in this ops variable");
        }
        let callback =
            cx.load.callbacks(index).find(|(name, _)| matches!(*name, "sub_attach" | "sub_detach"));
        if let Some((member, program)) = callback {
            let message = format!("a cpu-form scheduler implements '{member}'");
            out.found(&SUB_SCHED_IN_CPU_FORM, Subject::member(cx.object, index, member), message)
                .errno(Errno::EINVAL)
                .quote("sub_attach/sub_detach requires cid-form struct_ops")
                .help("write a cid-form scheduler, or clear the callback")
                .at(Site::Function(program), "this callback");
        }
    }
}
