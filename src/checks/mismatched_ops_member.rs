//! `mismatched-ops-member`.

use super::context::Context;
use super::shared::declared::Sides;
use crate::btf::TypeId;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Lookup;
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
        let local = object.btf.as_ref().and_then(|btf| btf.get(object[ops.map].type_id)?.composite());
        let types: Vec<TypeId> =
            local.into_iter().flat_map(|ty| ty.members()).map(|member| member.ty).collect();
        for (number, (member, fate)) in ops.members.iter().zip(&cx.load.ops[index.0].members).enumerate() {
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
            // What lies in the variable is at fault where its type is not.
            let is_typed = !matches!(fate, MemberFate::NoProgram);
            let theirs = match &cx.load.ops[index.0].ops_type {
                Lookup::Found(ops_type) => ops_type.member(field).map(|member| member.ty),
                _ => None,
            };
            let sides = types.get(number).zip(theirs).zip(cx.kernel).filter(|_| is_typed);
            let sides = sides
                .and_then(|((ours, theirs), kernel)| Sides::of_member(object, kernel, field, *ours, theirs));
            let mut message = format!("member '{field}' of '{name}' {problem}");
            let mut help = "set it to a program in SEC(\"struct_ops/...\"), or to nothing".to_owned();
            if is_typed {
                help = "declare the type as the kernel does (vmlinux.h)".to_owned();
            }
            if let Some(sides) = sides {
                message = format!("{message}: declared as {}", sides.words());
                help = format!("{help}: {};", sides.kernel);
            }
            out.found(&MISMATCHED_OPS_MEMBER, subject, message)
                .errno(Errno::EOPNOTSUPP)
                .quote(format!("struct_ops init_kern {name}: {text}"))
                .help(help)
                .at(Site::StructOps(index), "in this ops variable");
        }
    }
}
