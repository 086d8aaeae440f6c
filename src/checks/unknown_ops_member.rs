//! `unknown-ops-member`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::load::MemberFate;
use crate::object::MemberInit;

rule! {
    /// The ops variable sets a member that the kernel's type lacks.
    ///
    /// ## Why it matters
    /// libbpf matches members by name. One that the kernel does not have is left out while it is zero, and fails the load when it is set.
    /// Callbacks come and go with releases: the `cgroup_*` ones of cid-form schedulers are called `cpuctl_*` from 7.3 on, and kernels without
    /// CONFIG_EXT_GROUP_SCHED have neither.
    /// ## Fix
    /// Clear the member in the loader where the kernel lacks it, as `SCX_OPS_OPEN` does for some.
    /// ## Sources
    /// libbpf `bpf_map__init_kern_struct_ops`.
    pub UNKNOWN_OPS_MEMBER: "unknown-ops-member", family: StructOps, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (index, ops) in object.ops().filter(|(_, ops)| object[ops.map].autocreate) {
        for (member, fate) in ops.members.iter().zip(&cx.load.ops[index.0].members) {
            if *fate != MemberFate::Missing {
                continue;
            }
            let subject = Subject::member(object, index, member.name);
            if cx.load.is_edited() && matches!(member.value, MemberInit::Program(_)) {
                out.undecided(
                    &UNKNOWN_OPS_MEMBER,
                    subject,
                    format!("the kernel has no callback '{}', and the loader may clear it", member.name),
                );
                continue;
            }
            let name = &object[ops.map].name;
            let message = format!(
                "'{name}' sets '{}', which struct {} of the kernel lacks",
                member.name, ops.type_name
            );
            let finding = out
                .found(&UNKNOWN_OPS_MEMBER, subject, message)
                .errno(Errno::EOPNOTSUPP)
                .quote(format!("struct_ops init_kern {name}: Cannot find member {} in kernel BTF", member.name))
                .help("clear the member in the loader where the kernel lacks it, or require a kernel that has it");
            match member.value {
                MemberInit::Program(program) => finding.at(Site::Function(program), "this callback"),
                _ => finding.at(Site::StructOps(index), "set here"),
            };
        }
    }
}
