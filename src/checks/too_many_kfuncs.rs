//! `too-many-kfuncs`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};

rule! {
    /// A program that calls more than 256 different kfuncs.
    ///
    /// ## Why it matters
    /// The verifier keeps a list of the kfuncs that a program and the functions appended to it call, dead code included; 256 are the most. Weak
    /// ones that the kernel lacks are not in it.
    /// ## Fix
    /// Split the program.
    /// ## Sources
    /// kernel `add_kfunc_call` (`MAX_KFUNC_DESCS`).
    pub TOO_MANY_KFUNCS: "too-many-kfuncs", family: Program, level: Error, phase: Load, since: "0.1.0";
}

const LIMIT: usize = 256;

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, _) in cx.loaded() {
        let mut calls = kfunc_calls::of(cx, program);
        // Without a kernel only what must be there.
        calls.retain(|call| cx.has_kfunc(call.index));
        let mut names: Vec<&str> = Vec::new();
        let mut beyond = None;
        for call in calls {
            if !names.contains(&call.name) {
                names.push(call.name);
                if names.len() == LIMIT + 1 {
                    beyond = Some(call);
                }
            }
        }
        let Some(call) = beyond else { continue };
        let count = names.len();
        let message =
            format!("program '{}' calls {count} different kfuncs, the verifier takes {LIMIT}", function.name);
        out.found(&TOO_MANY_KFUNCS, Subject::program(cx.object, program), message)
            .errno(Errno::E2BIG)
            .quote("too many different kernel function calls")
            .help("split the program")
            .via(call.site(), program, "the first kfunc too many");
    }
}
