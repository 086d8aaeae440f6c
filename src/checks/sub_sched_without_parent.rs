//! `sub-sched-without-parent`.

use super::context::Context;
use super::shared::ops_values::OpsValue;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::exceptions::Fact;
use crate::load::MemberFate;
use crate::object::Form;
use crate::rule::Level;

rule! {
    /// The ops variable makes the scheduler a sub-scheduler of a cgroup that is named in the file.
    ///
    /// ## Why it matters
    /// A `sub_cgroup_id` above 1 attaches the scheduler below the one that governs that cgroup: without a running root scheduler, or without the
    /// cgroup, the attach call fails. Ids of cgroups are given out at run time, so that one in the file is hardly ever right.
    /// ## Fix
    /// Leave it 0 in the file and let the loader set it.
    /// ## Sources
    /// kernel `scx_sub_enable_workfn`, `find_parent_sched` (7.1 to 7.3).
    pub SUB_SCHED_WITHOUT_PARENT: "sub-sched-without-parent", family: OpsValues, level: Warning, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, ops) in cx.schedulers().filter(|(_, ops)| ops.form() != Form::Other) {
        let member = ops.members.iter().position(|member| member.name == "sub_cgroup_id");
        let fate = member.and_then(|at| cx.load.ops[index.0].members.get(at));
        let OpsValue::Stands(cgroup @ 2..) = cx.ops_value(index, "sub_cgroup_id") else { continue };
        if !matches!(fate, Some(MemberFate::Matched(_) | MemberFate::Unknown(_))) {
            continue;
        }
        let subject = Subject::member(cx.object, index, "sub_cgroup_id");
        if let Some(kernel) = cx.kernel {
            if !kernel.is(Fact::SubSchedulers) {
                let message =
                    "sub_cgroup_id is set, and the kernel has no sub-schedulers (CONFIG_EXT_SUB_SCHED)";
                out.found(&SUB_SCHED_WITHOUT_PARENT, subject, message)
                    .level(Level::Error)
                    .errno(Errno::EINVAL)
                    .help("leave it 0 in the file and let the loader set it")
                    .at(Site::StructOps(index), "in this ops variable");
                continue;
            }
            // Where another rule refuses cpu-form.
            if ops.form() == Form::Cpu && kernel.is(Fact::SubSchedulersAreCidForm) {
                continue;
            }
        }
        let message = format!("sub_cgroup_id is {cgroup}: attaches below a running scheduler only");
        out.found(&SUB_SCHED_WITHOUT_PARENT, subject.clone(), message)
            .errno(Errno::ENODEV)
            .help("leave it 0 in the file and let the loader set it")
            .at(Site::StructOps(index), "in this ops variable");
        if cx.kernel.is_some() {
            out.undecided(
                &SUB_SCHED_WITHOUT_PARENT,
                subject,
                "whether a scheduler runs above that cgroup is not in any file",
            )
            .decided_by_member(cx.object, index, "sub_cgroup_id");
        }
    }
}
