//! `invalid-core-relocation`.

use super::context::Context;
use crate::finding::{Outcome, Site, Subject};
use crate::load::CoreFate;

rule! {
    /// A CO-RE record that libbpf cannot apply.
    ///
    /// ## Why it matters
    /// A broken access string, an anonymous type, a bitfield wider than 64 bits, an instruction that cannot hold the new value: libbpf gives up on the
    /// whole object, whatever code the record is in.
    /// ## Fix
    /// Compile with a current clang; give the type a name; read a field that lies far out through a pointer to an inner struct.
    /// ## Sources
    /// libbpf `bpf_core_parse_spec`, `bpf_core_find_cands`, `bpf_core_patch_insn`.
    pub INVALID_CORE_RELOCATION: "invalid-core-relocation", family: CoRe, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let refused = cx.load.core.iter().find_map(|used| match &used.fate {
        CoreFate::Refused { errno, lines, ambiguous: false } => Some((used, *errno, lines)),
        _ => None,
    });
    let Some((used, errno, lines)) = refused else { return };
    let what = if used.subject.is_empty() { "a record" } else { &used.subject };
    let message = format!("libbpf cannot apply the CO-RE relocation of {what}");
    out.found(&INVALID_CORE_RELOCATION, Subject::program(cx.object, used.function), message)
        .errno(errno)
        .quote(lines.first().cloned().unwrap_or_default())
        .help("compile with a current clang, and give the type a name")
        .at(Site::Insn(used.function, used.insn), "this instruction");
}
