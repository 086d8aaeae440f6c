//! `deprecated-ops-flag`.

use super::context::Context;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Lookup;
use crate::kernel::exceptions::Fact;
use crate::kernel::ops_flags::HAS_CGROUP_WEIGHT;

rule! {
    /// A flag of the scheduler that does nothing any more.
    ///
    /// ## Why it matters
    /// From 6.16 to 7.0 `SCX_OPS_HAS_CGROUP_WEIGHT` has no effect, and the kernel warns of it at attach. 7.1 and later refuse it.
    /// ## Example
    /// ```c
    /// SCX_OPS_DEFINE(demo_ops, .flags = SCX_OPS_HAS_CGROUP_WEIGHT);
    /// ```
    /// ## Fix
    /// Drop the flag, or have the loader set it for 6.12 alone.
    /// ## Sources
    /// kernel `validate_ops` (6.16 to 7.0); `SCX_OPS_ALL_FLAGS` (7.1).
    pub DEPRECATED_OPS_FLAG: "deprecated-ops-flag", family: OpsValues, level: Warning, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel.filter(|kernel| kernel.is(Fact::WeightFlagIsNoop)) else { return };
    let Lookup::Found(all) = kernel.ops_flags() else { return };
    for (index, _) in cx.schedulers() {
        let flags = cx.ops_flags(index);
        // Flags that are refused warn of nothing.
        if !flags.has(HAS_CGROUP_WEIGHT) || flags.set & !all != 0 {
            continue;
        }
        let message = "SCX_OPS_HAS_CGROUP_WEIGHT has no effect on this kernel";
        out.found(&DEPRECATED_OPS_FLAG, Subject::member(cx.object, index, "flags"), message)
            .quote("SCX_OPS_HAS_CGROUP_WEIGHT is deprecated and a noop")
            .help("drop the flag: 7.1 and later refuse it")
            .at(Site::StructOps(index), "in this ops variable");
    }
}
