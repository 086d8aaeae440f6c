//! `oversized-program`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};

rule! {
    /// A program of more than a million instructions, subprograms included.
    ///
    /// ## Why it matters
    /// The kernel takes at most 1,000,000 instructions: E2BIG, without a word.
    /// ## Fix
    /// Split the program; turn unrolled loops into loops.
    /// ## Sources
    /// kernel `bpf_prog_load` (`BPF_COMPLEXITY_LIMIT_INSNS`).
    pub OVERSIZED_PROGRAM: "oversized-program", family: Program, level: Error, phase: Load, since: "0.1.0";
}

const LIMIT: usize = 1_000_000;

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, _) in cx.loaded() {
        let count: usize = cx.object.code_of(program).map(|(_, function)| function.code.len()).sum();
        if count > LIMIT {
            let message =
                format!("program '{}' has {count} instructions, the kernel takes {LIMIT}", function.name);
            out.found(&OVERSIZED_PROGRAM, Subject::program(cx.object, program), message)
                .errno(Errno::E2BIG)
                .help("split the program, or turn unrolled loops into loops")
                .at(Site::Function(program), "this program");
        }
    }
}
