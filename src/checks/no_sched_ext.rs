//! `no-sched-ext`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Lookup;
use crate::object::Form;

rule! {
    /// The kernel has no schedulers in BPF.
    ///
    /// ## Why it matters
    /// sched_ext is in mainline kernels from 6.12 on, where CONFIG_SCHED_CLASS_EXT is set, which needs CONFIG_BPF_JIT. On any other kernel libbpf does not find the ops type.
    /// ## Fix
    /// Boot a kernel with CONFIG_SCHED_CLASS_EXT=y.
    /// ## Sources
    /// libbpf `find_struct_ops_kern_types`; kernel/sched/ext.c.
    pub NO_SCHED_EXT: "no-sched-ext", family: Kernel, level: Error, phase: Load, since: "0.1.0";
}

/// What a kernel with schedulers in BPF has in its configuration (kernel/Kconfig.preempt).
const OPTIONS: [&str; 3] = ["CONFIG_SCHED_CLASS_EXT", "CONFIG_BPF_JIT", "CONFIG_BPF_SYSCALL"];

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    // A configuration that is told counts, whatever types were at hand. sched_ext cannot be without the other two.
    let off = OPTIONS.iter().find(|option| kernel.config.told(option) == Some(Lookup::Absent));
    if kernel.has_sched_ext() && off.is_none() {
        return;
    }
    let object = cx.object;
    let scheduler = object.ops().find(|(_, ops)| ops.form() != Form::Other && object[ops.map].autocreate);
    let Some((index, ops)) = scheduler else { return };
    let subject = Subject::struct_ops(object, index);
    if let (None, Lookup::Unknown(reason)) = (off, kernel.absent::<()>("bpf_struct_ops_sched_ext_ops")) {
        out.undecided(&NO_SCHED_EXT, subject, reason);
        return;
    }
    let option = off.copied().unwrap_or(OPTIONS[0]);
    out.found(&NO_SCHED_EXT, subject, format!("the kernel has no sched_ext: {option} is not set in it"))
        .errno(Errno::ESRCH)
        .quote(format!(
            "struct_ops init_kern: struct bpf_struct_ops_{} is not found in kernel BTF",
            ops.type_name
        ))
        .help("use a kernel from 6.12 on with CONFIG_SCHED_CLASS_EXT=y")
        .at(Site::StructOps(index), "this scheduler");
}
