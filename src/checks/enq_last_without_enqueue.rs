//! `enq-last-without-enqueue`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::ops_flags::ENQ_LAST;

rule! {
    /// SCX_OPS_ENQ_LAST is set and there is no enqueue callback.
    ///
    /// ## Why it matters
    /// The kernel records an error and disables the scheduler; the attach call itself returns success.
    /// ## Fix
    /// Implement `enqueue`, or drop the flag.
    /// ## Sources
    /// kernel `validate_ops`.
    pub ENQ_LAST_WITHOUT_ENQUEUE: "enq-last-without-enqueue", family: OpsValues, level: Error, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, ops) in cx.schedulers() {
        if cx.ops_flags(index).has(ENQ_LAST) && ops.callback("enqueue").is_none() {
            let message = "SCX_OPS_ENQ_LAST is set and enqueue is not implemented";
            out.found(&ENQ_LAST_WITHOUT_ENQUEUE, Subject::member(cx.object, index, "flags"), message)
                .errno(Errno::EINVAL)
                .quote("SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented")
                .help("implement enqueue, or drop the flag")
                .at(Site::StructOps(index), "in this ops variable");
        }
    }
}
