//! `per-node-idle-without-builtin-idle`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::ops_flags::{BUILTIN_IDLE_PER_NODE, KEEP_BUILTIN_IDLE};
use crate::kernel::{Kernel, Lookup};

rule! {
    /// SCX_OPS_BUILTIN_IDLE_PER_NODE is set and built-in idle tracking is off.
    ///
    /// ## Why it matters
    /// An `update_idle` callback switches built-in idle tracking off unless SCX_OPS_KEEP_BUILTIN_IDLE is set. The kernel disables the scheduler;
    /// the attach call itself returns success. Kernel 6.12 does not know the flag at all.
    /// ## Fix
    /// Set SCX_OPS_KEEP_BUILTIN_IDLE, or drop the flag or the callback.
    /// ## Sources
    /// kernel `validate_ops` (6.16 to 7.3), `bpf_scx_init_member` (6.12).
    pub PER_NODE_IDLE_WITHOUT_BUILTIN_IDLE: "per-node-idle-without-builtin-idle", family: OpsValues, level: Error, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    // A kernel that does not know the flag says so.
    let known = cx.kernel.map(Kernel::ops_flags);
    if matches!(known, Some(Lookup::Found(all)) if all & BUILTIN_IDLE_PER_NODE == 0) {
        return;
    }
    for (index, ops) in cx.schedulers() {
        let flags = cx.ops_flags(index);
        let per_node = flags.has(BUILTIN_IDLE_PER_NODE) && !flags.has(KEEP_BUILTIN_IDLE);
        if let Some(update_idle) = ops.callback("update_idle").filter(|_| per_node) {
            if !flags.lacks(KEEP_BUILTIN_IDLE) {
                out.undecided(
                    &PER_NODE_IDLE_WITHOUT_BUILTIN_IDLE,
                    Subject::member(cx.object, index, "flags"),
                    "SCX_OPS_BUILTIN_IDLE_PER_NODE is set, and update_idle switches built-in idle tracking off unless user space sets SCX_OPS_KEEP_BUILTIN_IDLE",
                )
                .decided_by_member(cx.object, index, "flags");
                continue;
            }
            let message =
                "SCX_OPS_BUILTIN_IDLE_PER_NODE is set, and update_idle switches built-in idle tracking off";
            out.found(
                &PER_NODE_IDLE_WITHOUT_BUILTIN_IDLE,
                Subject::member(cx.object, index, "flags"),
                message,
            )
            .errno(Errno::EINVAL)
            .quote("SCX_OPS_BUILTIN_IDLE_PER_NODE requires CPU idle selection enabled")
            .help("set SCX_OPS_KEEP_BUILTIN_IDLE too, or drop the flag or update_idle")
            .at(Site::Function(update_idle), "update_idle is implemented here");
        }
    }
}
