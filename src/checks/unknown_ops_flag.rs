//! `unknown-ops-flag`.

use super::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::object::Form;

rule! {
    /// A flag of the scheduler that no kernel knows.
    ///
    /// ## Why it matters
    /// The kernel refuses ops flags outside `SCX_OPS_ALL_FLAGS`, with EINVAL and without a word. Without a kernel this fires where no kernel from
    /// 6.12 to 7.3 takes the whole set.
    /// ## Fix
    /// Drop the bit.
    /// ## Sources
    /// kernel `bpf_scx_init_member`; `SCX_OPS_ALL_FLAGS` of 6.12 to 7.3.
    pub UNKNOWN_OPS_FLAG: "unknown-ops-flag", family: OpsValues, level: Error, phase: Attach, since: "0.1.0";
}

/// `SCX_OPS_ALL_FLAGS` of 6.12, 6.16 to 7.0, 7.1, and 7.2 to 7.3; the cid form is in the last only.
const ALL_FLAGS: [u64; 4] = [0x1_000f, 0x1_007f, 0xff, 0x1ff];

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, ops) in cx.schedulers() {
        let flags = ops.scalar("flags");
        let kernels = if ops.form() == Form::Cid { &ALL_FLAGS[3..] } else { &ALL_FLAGS[..] };
        if kernels.iter().any(|all| flags & !all == 0) {
            continue;
        }
        let known = kernels.iter().fold(0, |all, kernel| all | kernel);
        let problem = match flags & !known {
            0 => format!("no kernel from 6.12 to 7.3 takes flags {flags:#x} together"),
            unknown => format!("flags {flags:#x} hold bits that no kernel knows: {unknown:#x}"),
        };
        out.found(&UNKNOWN_OPS_FLAG, Subject::member(cx.object, index, "flags"), problem)
            .errno(Errno::EINVAL)
            .help("drop the flag")
            .at(Site::StructOps(index), "in this ops variable");
    }
}
