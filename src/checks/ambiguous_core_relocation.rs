//! `ambiguous-core-relocation`.

use super::context::Context;
use crate::finding::{Outcome, Site, Subject};
use crate::load::CoreFate;

rule! {
    /// The kernel has several types of one name, and they disagree about an access.
    ///
    /// ## Why it matters
    /// libbpf tries every kernel type of the name. Where two that match give different offsets or values, it gives up on the whole object, whatever
    /// code the access is in.
    /// ## Fix
    /// Name the type so that only one matches: a flavour whose members only the wanted one has.
    /// ## Sources
    /// libbpf `bpf_core_calc_relo_insn`.
    pub AMBIGUOUS_CORE_RELOCATION: "ambiguous-core-relocation", family: CoRe, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    // The first one ends the load.
    let refused = cx.load.core.iter().find_map(|used| match &used.fate {
        CoreFate::Refused { errno, lines, ambiguous: true } => Some((used, *errno, lines)),
        _ => None,
    });
    let Some((used, errno, lines)) = refused else { return };
    let message = format!("the kernel's types disagree about {}", used.subject);
    out.found(&AMBIGUOUS_CORE_RELOCATION, Subject::program(cx.object, used.function), message)
        .errno(errno)
        .quote(lines.first().cloned().unwrap_or_default())
        .help("use a flavour of the type whose members only the wanted one has")
        .at(Site::Insn(used.function, used.insn), "this access");
}
