//! `missing-line-info`.

use super::context::Context;
use crate::finding::{Outcome, Subject};

rule! {
    /// The object carries no line information.
    ///
    /// ## Why it matters
    /// Findings, and the verifier's own log, can then name instructions only and no C lines.
    /// ## Fix
    /// Compile with `-g` and keep `.BTF.ext` when stripping (`llvm-strip -g` does).
    /// ## Sources
    /// libbpf `btf_ext__new`; the verifier's log.
    pub MISSING_LINE_INFO: "missing-line-info", family: Object, level: Note, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let has_lines = cx.object.ext.as_ref().is_some_and(|ext| ext.has_lines());
    if cx.object.btf.is_some() && cx.object.programs().next().is_some() && !has_lines {
        out.found(
            &MISSING_LINE_INFO,
            Subject::object(cx.object),
            "no line information: findings can name instructions but no C lines",
        )
        .help("compile with -g and keep .BTF.ext when stripping");
    }
}
