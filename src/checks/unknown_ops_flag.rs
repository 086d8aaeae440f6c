//! `unknown-ops-flag`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::ops_flags::ALL_FLAGS;
use crate::kernel::{Kernel, Lookup, builtin};
use crate::object::Form;

rule! {
    /// A flag of the scheduler that no kernel knows.
    ///
    /// ## Why it matters
    /// The kernel refuses ops flags outside `SCX_OPS_ALL_FLAGS`, with EINVAL and without a word. Without a kernel this fires where no kernel from
    /// {releases} takes the whole set.
    /// ## Fix
    /// Drop the bit.
    /// ## Sources
    /// kernel `bpf_scx_init_member`; `SCX_OPS_ALL_FLAGS` of 6.12 to 7.3.
    pub UNKNOWN_OPS_FLAG: "unknown-ops-flag", family: OpsValues, level: Error, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, ops) in cx.schedulers() {
        // Those that are set in the file stay set, under every loader.
        let flags = cx.ops_flags(index).set;
        let subject = Subject::member(cx.object, index, "flags");
        let problem = match cx.kernel.map(Kernel::ops_flags) {
            Some(Lookup::Found(all)) if flags & !all == 0 => continue,
            Some(Lookup::Found(all)) => {
                format!("flags {flags:#x} hold bits that the kernel does not know: {:#x}", flags & !all)
            }
            Some(Lookup::Unknown(reason)) if flags != 0 => {
                out.undecided(&UNKNOWN_OPS_FLAG, subject, reason);
                continue;
            }
            Some(_) => continue,
            None => match nowhere(ops.form(), flags) {
                Some(problem) => problem,
                None => continue,
            },
        };
        out.found(&UNKNOWN_OPS_FLAG, subject, problem)
            .errno(Errno::EINVAL)
            .help("drop the flag, or set it in the loader where the kernel has it")
            .at(Site::StructOps(index), "in this ops variable");
    }
}

/// Why no built-in release that has the form takes the flags.
fn nowhere(form: Form, flags: u64) -> Option<String> {
    let kernels = if form == Form::Cid { &ALL_FLAGS[3..] } else { &ALL_FLAGS[..] };
    if kernels.iter().any(|all| flags & !all == 0) {
        return None;
    }
    let known = kernels.iter().fold(0, |all, kernel| all | kernel);
    Some(match flags & !known {
        0 => format!("no kernel from {} takes flags {flags:#x} together", builtin::range()),
        unknown => format!("flags {flags:#x} hold bits that no kernel knows: {unknown:#x}"),
    })
}
