//! `no-hotplug-callbacks`.

use super::context::Context;
use crate::finding::{Outcome, Subject};

rule! {
    /// The scheduler has no callbacks for CPUs that come and go.
    ///
    /// ## Why it matters
    /// When a CPU goes on- or offline, the kernel ends a scheduler that does not handle it and asks user space to start it again.
    /// ## Fix
    /// Implement `cpu_online` and `cpu_offline` (`cid_online`, `cid_offline`), or leave it at the restart.
    /// ## Sources
    /// kernel `handle_hotplug`.
    pub NO_HOTPLUG_CALLBACKS: "no-hotplug-callbacks", family: OpsValues, level: Note, phase: Run, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    const CALLBACKS: [&str; 4] = ["cpu_online", "cpu_offline", "cid_online", "cid_offline"];
    for (index, ops) in cx.schedulers() {
        if CALLBACKS.iter().all(|name| ops.callback(name).is_none()) {
            out.found(
                &NO_HOTPLUG_CALLBACKS,
                Subject::struct_ops(cx.object, index),
                "no callbacks for CPU hotplug: the kernel ends the scheduler when a CPU comes or goes, for user space to restart it",
            );
        }
    }
}
