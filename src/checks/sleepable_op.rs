//! `sleepable-op`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::{Lookup, exceptions};
use crate::object::ProgramKind;

rule! {
    /// A sleepable program for a callback that may not sleep.
    ///
    /// ## Why it matters
    /// `SEC("struct_ops.s/...")` loads a program as sleepable. The kernel takes that for `init`, `exit`, `init_task`, `cgroup_init`, `cgroup_exit`,
    /// `cgroup_prep_move`, `cpu_online` and `cpu_offline`; from 7.1 also for `sub_attach` and `sub_detach`, from 7.3 also for
    /// `cgroup_set_bandwidth` and `init_cids`, and for the cid-form counterparts of all these.
    /// ## Example
    /// ```c
    /// SEC("struct_ops.s/enqueue") void BPF_PROG(demo_enqueue, struct task_struct *p, u64 enq_flags) { ... }
    /// ```
    /// ## Fix
    /// `SEC("struct_ops/enqueue")`
    /// ## Sources
    /// kernel `bpf_scx_check_member`.
    pub SLEEPABLE_OP: "sleepable-op", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, entry) in cx.loaded() {
        if entry.kind != ProgramKind::STRUCT_OPS || !entry.sleepable {
            continue;
        }
        for (index, ops, member) in cx.callbacks_of(program) {
            let may = match (cx.kernel, &cx.load.ops[index.0].ops_type) {
                (Some(kernel), Lookup::Found(ops_type)) => match ops_type.member(member) {
                    Some(member) => member.may_sleep(kernel) == Lookup::Found(true),
                    None => continue,
                },
                _ => exceptions::may_sleep_somewhere(member),
            };
            if may {
                continue;
            }
            let message = format!(
                "program '{}' is sleepable and serves '{member}', which may not sleep",
                function.name
            );
            out.found(&SLEEPABLE_OP, Subject::program(cx.object, program), message)
                .errno(Errno::EINVAL)
                .quote(format!("attach to unsupported member {member} of struct {}", ops.type_name))
                .help(format!("SEC(\"struct_ops/{member}\")"))
                .at(Site::Function(program), "this program");
        }
    }
}
