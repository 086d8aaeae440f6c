//! `stubless-member`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Stops, Subject};
use crate::kernel::Lookup;

rule! {
    /// A callback that stands in the kernel's type and cannot be implemented.
    ///
    /// ## Why it matters
    /// The verifier refuses a program for a member without a stub in the kernel. `sub_caps_updated` and `sub_ecaps_updated` are in cpu-form
    /// `sched_ext_ops` for the layout alone; they belong to cid-form schedulers.
    /// ## Fix
    /// Drop the callback, or write a cid-form scheduler.
    /// ## Sources
    /// kernel `check_struct_ops_btf_id` (`bpf_struct_ops_supported`), kernel/sched/ext/ext.c `__bpf_ops_sched_ext_ops` (7.3).
    pub STUBLESS_MEMBER: "stubless-member", family: StructOps, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, ops) in cx.schedulers() {
        let Lookup::Found(ops_type) = &cx.load.ops[index.0].ops_type else { continue };
        for (member, program) in cx.load.callbacks(index) {
            if !ops_type.member(member).is_some_and(|member| member.stubless) {
                continue;
            }
            let message = format!("'{member}' cannot be implemented in {}", ops.type_name);
            out.found(&STUBLESS_MEMBER, Subject::member(cx.object, index, member), message)
                .errno(Errno::ENOTSUPP)
                .quote(format!("attach to unsupported member {member} of struct {}", ops.type_name))
                .stops(Stops::Programs(vec![program]))
                .help("drop the callback, or write a cid-form scheduler")
                .at(Site::Function(program), "this callback");
        }
    }
}
