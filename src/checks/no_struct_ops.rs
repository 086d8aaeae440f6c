//! `no-struct-ops`.

use super::context::Context;
use crate::finding::{Outcome, Subject};
use crate::object::Form;

rule! {
    /// The object has no sched_ext ops variable.
    ///
    /// ## Why it matters
    /// A scheduler is an ops variable of type `struct sched_ext_ops` or `struct sched_ext_ops_cid` in a struct_ops section. Without
    /// one there is nothing for sched_ext to attach.
    /// ## Fix
    /// Define one with `SEC(".struct_ops.link")`, or lint the object that has it.
    /// ## Sources
    /// libbpf `init_struct_ops_maps`.
    pub NO_STRUCT_OPS: "no-struct-ops", family: Object, level: Warning, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let mut schedulers = cx.object.ops().filter(|(_, ops)| ops.form() != Form::Other);
    if schedulers.next().is_none() && cx.object.refusals.is_empty() {
        out.found(
            &NO_STRUCT_OPS,
            Subject::object(cx.object),
            "no ops variable of type sched_ext_ops or sched_ext_ops_cid: nothing for sched_ext here",
        )
        .help("define one in SEC(\".struct_ops.link\"), or lint the object that has it");
    }
}
