//! `stack-overflow`.

use std::collections::{HashMap, HashSet};

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Op;
use crate::kernel::exceptions::Fact;
use crate::kernel::{Lookup, MAX_CALL_FRAMES, helpers};
use crate::object::{FuncIdx, InsnIdx, Object, ProgramKind};
use crate::verifier::{Callees, Reached, accessed, addressed, without_saved};

rule! {
    /// A function, or a chain of calls, uses more than 512 bytes of stack.
    ///
    /// ## Why it matters
    /// The verifier takes 512 bytes for one function, and, where the kernel gives programs no stack of their own, for a whole chain of calls, each
    /// frame rounded up to 16; a callback that a helper such as `bpf_loop` calls is a frame of that chain. Programs that trace (`tp_btf`,
    /// `fentry`, `fexit`, `raw_tp`, `tp`, `kprobe`, `perf_event`) have a private stack after 6.12, `dispatch` has one from 7.1 and `sub_caps_updated` in
    /// 7.3: their chains are not counted, unless some function of the program makes a tail call. A function that makes one may have no more than 255
    /// bytes of stack above it. What clang saves around `bpf_get_smp_processor_id` is taken out before it is counted, but for callbacks.
    /// ## Fix
    /// Move large variables into a map; let fewer frames hold large variables.
    /// ## Sources
    /// kernel `check_stack_access_within_bounds`, `check_max_stack_depth`, `check_max_stack_depth_subprog` (`MAX_BPF_STACK`),
    /// `round_up_stack_depth` (with the compiler on), `bpf_enable_priv_stack`, `remove_fastcall_spills_fills`; guests of 6.12, 6.18 and 7.3.
    pub STACK_OVERFLOW: "stack-overflow", family: Program, level: Error, phase: Load, since: "0.1.0";
}

const LIMIT: u64 = 512;
/// Stack that a function called with a tail call in it may not find above it, bytes.
const TAIL_CALL_LIMIT: u64 = 256;

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    let callees = cx.verifier.callees();
    // Callbacks of schedulers were seen to be refused all the same, as if nothing had been taken out.
    let (mut bounds, mut bounds_of_ops) = (HashMap::new(), HashMap::new());
    for (program, function, entry) in cx.loaded() {
        let is_ops = entry.kind == ProgramKind::STRUCT_OPS;
        let frames = Frames { object, callees, whole: is_ops };
        let bounds = if is_ops { &mut bounds_of_ops } else { &mut bounds };
        let (walk, subject) = (cx.walk(program), Subject::program(object, program));
        let access = cx.walks_any(program, |_, op| accessed(op) > LIMIT);
        if access.found().is_some() {
            let what = |_: &_| format!("accesses its stack beyond {LIMIT} bytes");
            let access = access.or_undecided(out, &STACK_OVERFLOW, subject.clone(), what);
            let Some(((site, at), op)) = access else { continue };
            let off = op.memory().map_or(0, |memory| memory.off);
            // An atomic instruction reads before it writes.
            let verb = if matches!(op, Op::Store { .. }) { "write to" } else { "read from" };
            let message =
                format!("program '{}' accesses its stack at {off}, beyond {LIMIT} bytes", function.name);
            out.found(&STACK_OVERFLOW, subject, message)
                .errno(Errno::EACCES)
                .quote(format!("invalid {verb} stack R10 off={off}"))
                .help("move large variables into a map")
                .via(Site::Insn(site, at), program, "this access");
            continue;
        }
        let tails: Vec<FuncIdx> =
            object.code_of(program).filter(|(_, code)| tail_calls(code.ops())).map(|(f, _)| f).collect();
        if tails.is_empty() && has_own_stack(cx, program) {
            continue;
        }
        if tails.iter().any(|&tail| tail != program) {
            let mut counts = |function, insn| walk.reached((function, insn)) == Reached::Certain;
            let above = frames.above_tail_call(program, &tails, &mut counts, &mut HashMap::new(), 0);
            if let Some((above, tail)) = above.filter(|(above, _)| *above >= TAIL_CALL_LIMIT) {
                let name = &object[tail].name;
                let message = format!(
                    "program '{}' has {above} bytes of stack above '{name}', which makes a tail call; at most {}",
                    function.name,
                    TAIL_CALL_LIMIT - 1
                );
                out.found(&STACK_OVERFLOW, subject, message)
                    .errno(Errno::EACCES)
                    .quote(format!(
                        "tail_calls are not allowed when call stack of previous frames is {above} bytes. Too large"
                    ))
                    .help("make the tail call from the program itself, or move large variables into a map")
                    .via(Site::Function(tail), program, "this function makes a tail call");
                continue;
            }
        }
        // What no path can reach needs no look at the paths.
        let possible = frames.bound(program, bounds, 0);
        if possible <= LIMIT {
            continue;
        }
        let mut known = HashMap::new();
        let certain = frames.chain(
            program,
            &mut |function, insn| walk.reached((function, insn)) == Reached::Certain,
            &mut known,
            0,
        );
        if certain > LIMIT {
            let message = format!(
                "a chain of calls in program '{}' uses {certain} bytes of stack, at most {LIMIT}",
                function.name
            );
            out.found(&STACK_OVERFLOW, subject, message)
                .errno(Errno::EACCES)
                .quote(format!("calls is {certain}. Too large"))
                .help("move large variables into a map, or let fewer frames hold them")
                .at(Site::Function(program), "the chain starts here");
        } else {
            out.undecided(
                &STACK_OVERFLOW,
                subject,
                format!(
                    "a chain of calls uses up to {possible} bytes of stack, where no branch of it is pruned"
                ),
            );
        }
    }
}

/// Does a function make tail calls: the verifier looks at the code as it stands, dead or not (`check_subprogs`).
fn tail_calls(ops: &[Op]) -> bool {
    ops.iter().any(|op| op.helper() == Some(helpers::TAIL_CALL))
}

/// Does a program have a stack of its own, so that its frames count one by one. Without a kernel: on some kernel.
fn has_own_stack(cx: &Context<'_, '_>, program: FuncIdx) -> bool {
    let has = |fact: Fact| cx.kernel.is_none_or(|kernel| kernel.knows(fact) != Lookup::Absent);
    cx.load.own_stack(program).is_some_and(has)
}

/// The frames of a program's functions.
struct Frames<'a, 'd> {
    object: &'a Object<'d>,
    callees: &'a Callees,
    /// What is saved around inlined helpers counts.
    whole: bool,
}

impl Frames<'_, '_> {
    /// The most stack that a chain of calls from a function can use.
    fn bound(&self, function: FuncIdx, known: &mut HashMap<FuncIdx, u64>, depth: usize) -> u64 {
        if let Some(&bound) = known.get(&function) {
            return bound;
        }
        // Deeper chains are refused as such, and so is recursion: what is looked at already adds nothing.
        if depth > MAX_CALL_FRAMES {
            return 0;
        }
        known.insert(function, 0);
        let ops = self.object[function].ops();
        let own = ops.iter().map(|op| accessed(*op)).max().unwrap_or(0).max(addressed(ops));
        let own = own.min(self.kept(function));
        let calls = self.callees.of(function).iter();
        let below = calls.map(|&(_, target)| self.bound(target, known, depth + 1)).max().unwrap_or(0);
        let bound = own.next_multiple_of(16) + below;
        known.insert(function, bound);
        bound
    }

    /// Stack of one function, over the instructions that count, rounded as a frame.
    fn frame(&self, function: FuncIdx, counts: &mut dyn FnMut(FuncIdx, InsnIdx) -> bool) -> u64 {
        let ops = self.object[function].ops().iter().enumerate();
        let mut accesses: Vec<_> =
            ops.map(|(at, op)| (accessed(*op), at)).filter(|(used, _)| *used > 0).collect();
        accesses.sort_unstable_by(|a, b| b.cmp(a));
        let own =
            accesses.into_iter().find(|(_, at)| counts(function, InsnIdx(*at))).map_or(0, |(used, _)| used);
        own.min(self.kept(function)).next_multiple_of(16)
    }

    /// The most of a function's stack that counts.
    fn kept(&self, function: FuncIdx) -> u64 {
        if self.whole { u64::MAX } else { without_saved(self.object[function].ops()).unwrap_or(u64::MAX) }
    }

    /// The most stack above a function that makes tail calls, on a chain of calls from a function over the
    /// instructions that count, and which function that is.
    fn above_tail_call(
        &self,
        function: FuncIdx,
        tails: &[FuncIdx],
        counts: &mut dyn FnMut(FuncIdx, InsnIdx) -> bool,
        known: &mut HashMap<FuncIdx, Option<(u64, FuncIdx)>>,
        depth: usize,
    ) -> Option<(u64, FuncIdx)> {
        if let Some(&above) = known.get(&function) {
            return above;
        }
        // Deeper chains are refused as such, and so is recursion: what is looked at already adds nothing.
        if depth > MAX_CALL_FRAMES {
            return None;
        }
        known.insert(function, None);
        let mut most: Option<(u64, FuncIdx)> = None;
        for &(insn, target) in self.callees.of(function) {
            if counts(function, insn) {
                let here = tails.contains(&target).then_some((0, target));
                let below = self.above_tail_call(target, tails, counts, known, depth + 1);
                most = most.max(here).max(below);
            }
        }
        let above = most.map(|(above, tail)| (above + self.frame(function, counts), tail));
        known.insert(function, above);
        above
    }

    /// Stack of the deepest chain of calls from a function, over the instructions that count.
    fn chain(
        &self,
        function: FuncIdx,
        counts: &mut dyn FnMut(FuncIdx, InsnIdx) -> bool,
        known: &mut HashMap<FuncIdx, u64>,
        depth: usize,
    ) -> u64 {
        if let Some(&chain) = known.get(&function) {
            return chain;
        }
        // Deeper chains are refused as such, and so is recursion: what is looked at already adds nothing.
        if depth > MAX_CALL_FRAMES {
            return 0;
        }
        known.insert(function, 0);
        let own = self.frame(function, counts);
        let mut seen = HashSet::new();
        let mut below = 0;
        for &(insn, target) in self.callees.of(function) {
            if !seen.contains(&target) && counts(function, insn) {
                seen.insert(target);
                below = below.max(self.chain(target, counts, known, depth + 1));
            }
        }
        let chain = own + below;
        known.insert(function, chain);
        chain
    }
}
