//! `invalid-struct-ops-member`.

use super::context::Context;
use super::shared::refusal;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::object::{Cause, MemberInit};
use crate::rule::Phase;

rule! {
    /// An ops variable is initialised in a way that libbpf refuses.
    ///
    /// ## Why it matters
    /// A callback must be a program in a `struct_ops` section, and only function pointers of the ops type take one.
    /// A pointer that holds a plain number is refused when the object is loaded.
    /// ## Fix
    /// Give the program `SEC("struct_ops/NAME")`, or drop the initialiser of the member.
    /// ## Sources
    /// libbpf `init_struct_ops_maps`, `bpf_object__collect_st_ops_relos`, `bpf_map__init_kern_struct_ops`.
    pub INVALID_STRUCT_OPS_MEMBER: "invalid-struct-ops-member", family: StructOps, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let help = "callbacks must be programs in SEC(\"struct_ops/...\"), set on function pointer members only";
    refusal::report(cx, out, &INVALID_STRUCT_OPS_MEMBER, Cause::StructOps, help);
    // With a kernel in view a number in a pointer is the business of the rule on mismatched members.
    if cx.kernel.is_some() {
        return;
    }
    for (index, ops) in cx.object.ops().filter(|(_, ops)| cx.object[ops.map].autocreate) {
        let name = &cx.object[ops.map].name;
        for member in &ops.members {
            let MemberInit::Bytes(bytes) = member.value else { continue };
            // `priv` is the business of the rule on values; with a kernel the match against its type says so.
            if !member.pointer
                || bytes.iter().all(|&b| b == 0)
                || member.name == "priv"
                || cx.kernel.is_some()
            {
                continue;
            }
            let message =
                format!("pointer {} of '{name}' holds a number, expected NULL or a program", member.name);
            out.found(&INVALID_STRUCT_OPS_MEMBER, Subject::member(cx.object, index, member.name), message)
                .phase(Phase::Load)
                .errno(Errno::EOPNOTSUPP)
                .quote(format!(
                    "struct_ops init_kern {name}: member {} is not a struct_ops program",
                    member.name
                ))
                .help(help)
                .at(Site::StructOps(index), "in this ops variable");
        }
    }
}
