//! `deep-call-chain`.

use std::collections::HashMap;

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::exceptions::Fact;
use crate::kernel::{Kernel, Lookup, MAX_CALL_FRAMES};
use crate::object::{FuncIdx, Object};
use crate::verifier::Callees;

rule! {
    /// Functions call each other more than 16 frames deep, or recursively.
    ///
    /// ## Why it matters
    /// The verifier follows 8 frames up to kernel 7.1 and 16 from 7.2; a call to a global function starts the count again from 7.1. A callback that a
    /// helper such as `bpf_loop` calls is a frame like any other. Without a kernel this fires where every kernel refuses: more than 16 frames of static functions in a row, or a recursion of them. A recursion
    /// through global functions is refused from 7.1.
    /// ## Fix
    /// Flatten the chain, or let functions be inlined.
    /// ## Sources
    /// kernel `check_max_stack_depth_subprog` (`MAX_CALL_FRAMES`).
    pub DEEP_CALL_CHAIN: "deep-call-chain", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    let callees = cx.verifier.callees();
    let limit = match cx.kernel.map(Kernel::max_call_frames) {
        Some(Lookup::Found(frames)) => frames as usize,
        _ => MAX_CALL_FRAMES,
    };
    for (program, function, _) in cx.loaded() {
        let globals = object.code_of(program).map(|(f, _)| f).filter(|&f| is_global(object, f));
        let starts: Vec<_> = std::iter::once(program).chain(globals).collect();
        let counts_on =
            cx.kernel.map_or(Lookup::Absent, |kernel| kernel.knows(Fact::FramesCountThroughGlobals));
        let deepest = |through_globals: bool| {
            let mut depths = HashMap::new();
            starts
                .iter()
                .filter_map(|&start| frames(object, callees, start, &mut depths, 0, through_globals))
                .max()
        };
        let mut found = deepest(counts_on == Lookup::Found(()));
        if let Lookup::Unknown(reason) = &counts_on {
            let most = deepest(true);
            if most > Some(limit) && found <= Some(limit) {
                out.undecided(&DEEP_CALL_CHAIN, Subject::program(object, program), reason.clone());
                found = None;
            }
        }
        // Kernels that count anew below a global function look for recursion before, and through any function.
        let forbids_recursion = cx.kernel.is_some() && counts_on == Lookup::Absent;
        if forbids_recursion && deepest(true) > Some(CYCLE) {
            found = Some(CYCLE + 1);
        }
        let Some(frames) = found.filter(|frames| *frames > limit) else { continue };
        let recurses = frames > CYCLE;
        let message = if recurses {
            format!("program '{}' calls a function recursively", function.name)
        } else {
            format!("program '{}' calls {frames} frames deep, the verifier takes {limit}", function.name)
        };
        let (errno, text) = if recurses && forbids_recursion {
            (Errno::EINVAL, "recursive call from".to_owned())
        } else if deepest(false) > Some(limit) {
            // Along static functions the verifier itself walks into the frame that is too many.
            (Errno::E2BIG, format!("the call stack of {} frames is too deep", limit + 1))
        } else {
            // The chain through global ones is only counted.
            (Errno::E2BIG, format!("the call stack of {limit} frames is too deep !"))
        };
        out.found(&DEEP_CALL_CHAIN, Subject::program(object, program), message)
            .errno(errno)
            .quote(text)
            .help("flatten the chain, or let functions be inlined")
            .at(Site::Function(program), "this program");
    }
}

/// More frames than there can be: a recursion.
const CYCLE: usize = 1 << 20;

fn is_global(object: &Object<'_>, function: FuncIdx) -> bool {
    object[function].is_global
}

/// Frames of the deepest chain of functions from here, this one included; global ones below count or not.
fn frames(
    object: &Object<'_>,
    callees: &Callees,
    function: FuncIdx,
    known: &mut HashMap<FuncIdx, Option<usize>>,
    depth: usize,
    through_globals: bool,
) -> Option<usize> {
    if let Some(&frames) = known.get(&function) {
        // Still open: the chain has come back to it.
        return frames.or(Some(CYCLE));
    }
    // Deeper than any kernel goes, and deep enough for this function's own stack.
    if depth > 512 {
        return Some(depth);
    }
    known.insert(function, None);
    let calls = callees.of(function).iter().map(|(_, target)| *target);
    let calls = calls.filter(|&target| through_globals || !is_global(object, target));
    let below =
        calls.filter_map(|target| frames(object, callees, target, known, depth + 1, through_globals)).max();
    let frames = 1 + below.unwrap_or(0);
    known.insert(function, Some(frames));
    Some(frames)
}
