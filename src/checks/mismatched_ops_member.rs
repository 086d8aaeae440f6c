//! `mismatched-ops-member`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::load::MemberFate;

rule! {
    /// A member of the ops variable is of another kind or size in the kernel.
    ///
    /// ## Why it matters
    /// libbpf copies members by name and insists on the same BTF kind and, for data, on the same size. Bitfields it does not copy at all, and a
    /// pointer that is set must be a struct_ops program of the object where the kernel has a callback.
    /// ## Example
    /// ```c
    /// struct sched_ext_ops { char name[64]; };   /* the kernel's is 128 bytes long */
    /// ```
    /// ## Fix
    /// Declare the type as the kernel does: take it from a vmlinux.h.
    /// ## Sources
    /// libbpf `bpf_map__init_kern_struct_ops`.
    pub MISMATCHED_OPS_MEMBER: "mismatched-ops-member", family: StructOps, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (index, ops) in object.ops().filter(|(_, ops)| object[ops.map].autocreate) {
        let name = &object[ops.map].name;
        for (member, fate) in ops.members.iter().zip(&cx.load.ops[index.0].members) {
            let field = member.name;
            let (problem, text) = match fate {
                MemberFate::Bitfield => {
                    ("is a bitfield".to_owned(), format!("bitfield {field} is not supported"))
                }
                MemberFate::OtherKind(ours, theirs) => (
                    format!("is {} here and {} in the kernel", ours.as_str(), theirs.as_str()),
                    format!("Unmatched member type {field} {} != {}(kernel)", *ours as u32, *theirs as u32),
                ),
                MemberFate::NoProgram => (
                    "is set to something that is no struct_ops program".to_owned(),
                    format!("member {field} is not a struct_ops program"),
                ),
                MemberFate::NoFunctionPointer => (
                    "is a callback here and no function pointer in the kernel".to_owned(),
                    format!("kernel member {field} is not a func ptr"),
                ),
                MemberFate::OtherSize(ours, theirs) => (
                    format!("is {ours} bytes long here and {theirs} in the kernel"),
                    format!("Error in size of member {field}: {ours} != {theirs}(kernel)"),
                ),
                MemberFate::Matched(_)
                | MemberFate::Skipped
                | MemberFate::Cleared
                | MemberFate::Missing
                | MemberFate::Unknown(_) => continue,
            };
            let subject = Subject::member(object, index, field);
            out.found(&MISMATCHED_OPS_MEMBER, subject, format!("member '{field}' of '{name}' {problem}"))
                .errno(Errno::EOPNOTSUPP)
                .quote(format!("struct_ops init_kern {name}: {text}"))
                .help("declare the type as the kernel does (vmlinux.h)")
                .at(Site::StructOps(index), "in this ops variable");
        }
    }
}
