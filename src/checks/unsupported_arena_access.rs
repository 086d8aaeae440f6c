//! `unsupported-arena-access`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::{AtomicOp, LoadMode, Op};
use crate::kernel::Lookup;
use crate::kernel::exceptions::Fact;
use crate::object::InsnIdx;
use crate::verifier::Base;

rule! {
    /// An access to arena memory of a kind that the kernel's compiler does not know.
    ///
    /// ## Why it matters
    /// Kernels up to 6.17 refuse loads from an arena that extend the sign. On x86-64 every kernel refuses atomic and, or and exclusive or on arena
    /// memory where the old value is wanted.
    /// ## Example
    /// ```c
    /// old = __sync_fetch_and_or(&shared->bits, 1);   /* shared is __arena */
    /// ```
    /// ## Fix
    /// Load without a sign and extend it in a register (`-mcpu=v3` does); use `__sync_val_compare_and_swap` in a loop, or do not use the old value.
    /// ## Sources
    /// kernel `do_check_insn` (6.17), `check_atomic`; x86 `bpf_jit_supports_insn`.
    pub UNSUPPORTED_ARENA_ACCESS: "unsupported-arena-access", family: Arena, level: Error, phase: Load, since: "0.1.0";
}

/// A load that extends the sign (`BPF_MEMSX`).
fn extends_sign(op: Op) -> bool {
    matches!(op, Op::Load { mode: LoadMode::SignExtend, .. })
}

/// Atomic or, and, exclusive or that give the old value.
fn fetches_bits(op: Op) -> bool {
    matches!(op, Op::Atomic { op: AtomicOp::Or | AtomicOp::And | AtomicOp::Xor, fetch: true, .. })
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    let known = kernel.knows(Fact::SignExtendingArenaLoads);
    for (program, function, _) in cx.loaded() {
        let mut candidates = cx.object.code_of(program).flat_map(|(function, code)| {
            let ops =
                code.ops().iter().enumerate().filter(|(_, op)| extends_sign(**op) || fetches_bits(**op));
            ops.map(move |(at, op)| (function, InsnIdx(at), *op))
        });
        let found = candidates.find(|&(function, at, op)| {
            let refused = if extends_sign(op) { known != Lookup::Found(()) } else { kernel.is(Fact::X86_64) };
            refused && cx.walk(program).regs_at((function, at)).base() == Some(Base::Arena)
        });
        let Some((site, at, op)) = found else { continue };
        if let (true, Lookup::Unknown(reason)) = (extends_sign(op), &known) {
            let reason = reason.within(|why| {
                format!("loads from the arena with sign extension, which kernels up to 6.17 refuse; {why}")
            });
            out.undecided(&UNSUPPORTED_ARENA_ACCESS, Subject::program(cx.object, program), reason).via(
                Site::Insn(site, at),
                program,
                "this load",
            );
            continue;
        }
        let base = op.memory().map_or(0, |memory| memory.base);
        let (what, errno, quote, help) = if extends_sign(op) {
            (
                "loads from the arena with sign extension",
                Errno::EOPNOTSUPP,
                "sign extending loads from arena are not supported yet".to_owned(),
                "compile with -mcpu=v3, or load an unsigned value and extend the sign in a register",
            )
        } else {
            (
                "asks for the old value of an atomic and, or or exclusive or in the arena",
                Errno::EACCES,
                format!("BPF_ATOMIC stores into R{base} arena is not allowed"),
                "use compare and exchange in a loop, or do not use the old value",
            )
        };
        let message = format!("program '{}' {what}", function.name);
        out.found(&UNSUPPORTED_ARENA_ACCESS, Subject::program(cx.object, program), message)
            .errno(errno)
            .quote(quote)
            .help(help)
            .via(Site::Insn(site, at), program, "this access");
    }
}
