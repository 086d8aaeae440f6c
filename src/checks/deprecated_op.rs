//! `deprecated-op`.

use super::context::Context;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::exceptions::Fact;

rule! {
    /// A callback that the kernel has deprecated.
    ///
    /// ## Why it matters
    /// From 6.19 the kernel warns at attach that `cpu_acquire` and `cpu_release` are deprecated. The cid form has neither.
    /// ## Fix
    /// Use a `sched_switch` tracepoint program.
    /// ## Sources
    /// kernel `validate_ops` (6.19 to 7.3).
    pub DEPRECATED_OP: "deprecated-op", family: OpsValues, level: Warning, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    if !cx.kernel.is_none_or(|kernel| kernel.is(Fact::CpuReleaseDeprecated)) {
        return;
    }
    for (index, ops) in cx.schedulers() {
        for name in ["cpu_acquire", "cpu_release"] {
            if let Some(program) = ops.callback(name) {
                let message = format!("{name} is deprecated from kernel 6.19");
                out.found(&DEPRECATED_OP, Subject::member(cx.object, index, name), message)
                    .quote("ops->cpu_acquire/release() are deprecated, use sched_switch TP instead")
                    .help("use a tp_btf/sched_switch program")
                    .at(Site::Function(program), "this callback");
            }
        }
    }
}
