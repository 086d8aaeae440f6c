//! `endless-loop`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::kfuncs;
use crate::object::InsnIdx;
use crate::verifier::Reached;

rule! {
    /// A loop that nothing ends.
    ///
    /// ## Why it matters
    /// The verifier follows every path to its end. Of one that has none it says `infinite loop detected`, or, where each round changes something, that
    /// the program is too large, once it has walked a million instructions. Loops with a condition, however it is met, are not looked at, nor functions
    /// with `may_goto`, an iterator or `bpf_throw`.
    /// ## Example
    /// ```c
    /// while (1)
    ///     count++;
    /// ```
    /// ## Fix
    /// `bpf_for`, `bpf_loop`, or a condition that the verifier can follow.
    /// ## Sources
    /// kernel `do_check`, `is_state_visited`, `BPF_COMPLEXITY_LIMIT_INSNS`.
    pub ENDLESS_LOOP: "endless-loop", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, _) in cx.loaded() {
        let starts = cx.object.code_of(program).flat_map(|(index, _)| {
            cx.verifier.endless_loops(index).iter().map(move |&at| (index, InsnIdx(at)))
        });
        let mut certain =
            starts.filter(|&(index, at)| cx.walk(program).reached((index, at)) == Reached::Certain);
        let Some((site, at)) = certain.next() else { continue };
        // What an exception or an iterator ends is not seen in the flow.
        if kfunc_calls::of(cx, program).iter().any(|call| kfuncs::ends_loop(call.name)) {
            continue;
        }
        let message = format!("program '{}' never ends: no way leads out of a loop", function.name);
        out.found(&ENDLESS_LOOP, Subject::program(cx.object, program), message)
            .help("give the loop a condition, or use bpf_for() or bpf_loop()")
            .via(Site::Insn(site, at), program, "the loop starts here");
    }
}
