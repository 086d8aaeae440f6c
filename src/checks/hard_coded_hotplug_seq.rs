//! `hard-coded-hotplug-seq`.

use super::context::Context;
use crate::finding::{Outcome, Site, Subject};

rule! {
    /// The ops variable has a number in `hotplug_seq`.
    ///
    /// ## Why it matters
    /// The kernel counts the CPUs that come and go from boot on, and ends a scheduler at once whose `hotplug_seq` is neither 0 nor that count. User space
    /// is to read it from /sys/kernel/sched_ext/hotplug_seq before the attach, as `SCX_OPS_OPEN` and `scx_ops_open!` do whatever the file says. A number
    /// in the file fits one machine by chance: elsewhere the attach call succeeds and the scheduler is gone.
    /// ## Example
    /// ```c
    /// SEC(".struct_ops.link") struct sched_ext_ops ops = { .hotplug_seq = 77, ... };
    /// ```
    /// ## Fix
    /// Leave it 0, or let the loader fill it in.
    /// ## Sources
    /// kernel `check_hotplug_seq`.
    pub HARD_CODED_HOTPLUG_SEQ: "hard-coded-hotplug-seq", family: OpsValues, level: Warning, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, _) in cx.schedulers() {
        let Some(seq @ 1..) = cx.ops_value(index, "hotplug_seq").known() else { continue };
        let subject = Subject::member(cx.object, index, "hotplug_seq");
        let message = format!(
            "hotplug_seq is {seq}: the kernel ends the scheduler unless it has counted that very number"
        );
        out.found(&HARD_CODED_HOTPLUG_SEQ, subject.clone(), message)
            .quote(format!("expected hotplug seq {seq} did not match actual"))
            .help("leave it 0, or let the loader fill in /sys/kernel/sched_ext/hotplug_seq")
            .at(Site::StructOps(index), "in this ops variable");
        let reason = format!("no file tells whether the machine has counted {seq} CPUs that came or went");
        let open = out.undecided(&HARD_CODED_HOTPLUG_SEQ, subject, reason);
        open.decided_by_member(cx.object, index, "hotplug_seq");
    }
}
