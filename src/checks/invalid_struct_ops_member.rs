//! `invalid-struct-ops-member`.

use super::{Context, refusal};
use crate::finding::Outcome;
use crate::object::Cause;

rule! {
    /// An ops variable is initialised in a way that libbpf refuses.
    ///
    /// ## Why it matters
    /// A callback must be a program in a `struct_ops` section, and only function pointers of the ops type take one.
    /// ## Fix
    /// Give the program `SEC("struct_ops/NAME")`, or drop the initialiser of the member.
    /// ## Sources
    /// libbpf `init_struct_ops_maps`, `bpf_object__collect_st_ops_relos`.
    pub INVALID_STRUCT_OPS_MEMBER: "invalid-struct-ops-member", family: StructOps, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    refusal::report(cx, out, &INVALID_STRUCT_OPS_MEMBER, Cause::StructOps, "callbacks must be programs in SEC(\"struct_ops/...\"), set on function pointer members only");
}
