//! `unreferenced-struct-ops-program`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::object::ProgramKind;

rule! {
    /// A struct_ops program that no ops variable names.
    ///
    /// ## Why it matters
    /// libbpf does not know what to verify it as, and refuses to load the whole object.
    /// ## Fix
    /// Name it in the ops variable, delete it, or give it `SEC("?struct_ops/...")`.
    /// ## Sources
    /// libbpf `bpf_object_prepare_progs`, `bpf_object_load_prog`.
    pub UNREFERENCED_STRUCT_OPS_PROGRAM: "unreferenced-struct-ops-program", family: StructOps, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    if !object.refusals.is_empty() {
        return;
    }
    let named =
        |program| object.struct_ops.iter().any(|ops| ops.callbacks().any(|(_, named)| named == program));
    for (program, function, entry) in cx.loaded() {
        if entry.kind != ProgramKind::STRUCT_OPS || named(program) {
            continue;
        }
        let message = format!("struct_ops program '{}' is named by no ops variable", function.name);
        out.found(&UNREFERENCED_STRUCT_OPS_PROGRAM, Subject::program(object, program), message)
            .errno(Errno::EINVAL)
            .quote(format!(
                "prog '{}': SEC(\"struct_ops\") program isn't referenced anywhere, did you forget to use it?",
                function.name
            ))
            .help("name it in the ops variable, or delete it")
            .at(Site::Function(program), "this program");
    }
}
