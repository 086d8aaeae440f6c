//! `invalid-context-access`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::object::InsnIdx;
use crate::verifier::{Access, Holds, MAX_ARGUMENTS};

rule! {
    /// A callback writes to its context, or reads what is no argument.
    ///
    /// ## Why it matters
    /// The context of a callback is an array of at most 12 arguments of 8 bytes. The verifier takes aligned reads of them, and no writes.
    /// ## Example
    /// ```c
    /// SEC("struct_ops/demo_enqueue") void demo_enqueue(unsigned long long *ctx) { ctx[1] = 0; }
    /// ```
    /// ## Fix
    /// Copy an argument to a variable of its own, and change that.
    /// ## Sources
    /// kernel `bpf_scx_is_valid_access`, `btf_ctx_access`.
    pub INVALID_CONTEXT_ACCESS: "invalid-context-access", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, _) in cx.loaded().filter(|(program, ..)| !cx.callbacks_of(*program).is_empty()) {
        let bad = cx
            .walk(program)
            .accesses()
            .iter()
            .filter_map(|&access| Some((access.at(program), (access, problem(access)?))));
        let subject = Subject::program(cx.object, program);
        let what = |(_, problem): &(Access, String)| problem.clone();
        let answer = cx.walks(program, bad);
        let Some((access, problem)) =
            answer.or_undecided(out, &INVALID_CONTEXT_ACCESS, subject.clone(), what)
        else {
            continue;
        };
        let (off, size) = (access.insn.off, access.insn.width().bytes());
        let quote = match access.insn.op() {
            // Kernels before 7.1 have other words.
            op if op.is_atomic() => format!("BPF_ATOMIC stores into R{} ctx", access.insn.dst),
            _ => format!("invalid bpf_context access off={off} size={size}"),
        };
        let message = format!("program '{}' {problem}", function.name);
        out.found(&INVALID_CONTEXT_ACCESS, subject, message)
            .errno(Errno::EACCES)
            .quote(quote)
            .help("read whole arguments, and change a copy")
            .at(Site::Insn(program, InsnIdx(access.at)), "this access");
    }
}

/// What is wrong with an access to the context. A read beyond the callback's own last argument is `changed-op-signature`.
fn problem(access: Access) -> Option<String> {
    let (off, size) = (access.insn.off, i16::from(access.insn.width().bytes()));
    if access.base != Holds::Context {
        return None;
    }
    let end = i16::try_from(8 * MAX_ARGUMENTS).unwrap_or(i16::MAX);
    if !access.insn.op().is_plain_load() {
        Some(format!("writes to its context at byte {off}"))
    } else if !(0..end).contains(&off) {
        Some(format!("reads its context at byte {off}, where no argument can be"))
    } else if off % size != 0 || off % 8 != 0 {
        Some(format!("reads its context at byte {off}, where no argument starts"))
    } else {
        None
    }
}
