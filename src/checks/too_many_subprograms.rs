//! `too-many-subprograms`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};

rule! {
    /// A program with more than 256 functions.
    ///
    /// ## Why it matters
    /// The verifier counts the program and every function that it calls or whose address it takes; 256 are the most.
    /// ## Fix
    /// Let small functions be inlined.
    /// ## Sources
    /// kernel `add_subprog` (`BPF_MAX_SUBPROGS`).
    pub TOO_MANY_SUBPROGRAMS: "too-many-subprograms", family: Program, level: Error, phase: Load, since: "0.1.0";
}

const LIMIT: usize = 256;

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, entry) in cx.loaded() {
        let count = entry.linked.len() + 1;
        if count > LIMIT {
            let message =
                format!("program '{}' has {count} functions, the verifier takes {LIMIT}", function.name);
            out.found(&TOO_MANY_SUBPROGRAMS, Subject::program(cx.object, program), message)
                .errno(Errno::E2BIG)
                .quote("too many subprograms")
                .help("let small functions be inlined")
                .at(Site::Function(program), "this program");
        }
    }
}
