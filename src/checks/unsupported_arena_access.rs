//! `unsupported-arena-access`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::{AtomicOp, LoadMode, Op};
use crate::kernel::exceptions::Fact;
use crate::kernel::{Arch, Kernel, Lookup, Reason};
use crate::object::InsnIdx;
use crate::verifier::Base;

rule! {
    /// An access to arena memory of a kind that the kernel's compiler does not know.
    ///
    /// ## Why it matters
    /// Kernels up to 6.17 refuse loads from an arena that extend the sign. On x86-64 every kernel refuses atomic and, or and exclusive or on arena
    /// memory where the old value is wanted. On arm64 atomics need a processor with LSE (Armv8.1), on riscv64 compare and exchange needs Zacas, and
    /// riscv64 and s390x know no loads that extend the sign: what the processor decides no file shows.
    /// ## Example
    /// ```c
    /// old = __sync_fetch_and_or(&shared->bits, 1);   /* shared is __arena */
    /// ```
    /// ## Fix
    /// Load without a sign and extend it in a register (`-mcpu=v3` does); use `__sync_val_compare_and_swap` in a loop, or do not use the old value.
    /// ## Sources
    /// kernel `do_check_insn` (6.17), `check_atomic`; `bpf_jit_supports_insn` of x86, arm64, riscv, s390, powerpc (7.3).
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

/// What becomes of an access.
enum Treatment {
    Fine,
    Refused,
    Open(Reason),
}

/// Any atomic but a load that acquires and a store that releases, which are no [`Op::Atomic`].
fn is_atomic(op: Op) -> bool {
    matches!(op, Op::Atomic { .. })
}

/// What the kernel's compiler makes of an access to an arena.
fn fate(kernel: &Kernel<'_>, op: Op) -> Treatment {
    let arch = kernel.arch_or_usual();
    let depends = |what: &str, on: &str| {
        Treatment::Open(format!("{what} in the arena, which on {} {on}", kernel.arch_name(arch)).into())
    };
    if extends_sign(op) {
        let older = "loads from the arena with sign extension, which kernels up to 6.17 refuse";
        return match (arch, kernel.knows(Fact::SignExtendingArenaLoads)) {
            (_, Lookup::Absent) | (Arch::Riscv64 | Arch::S390x, _) => Treatment::Refused,
            (_, Lookup::Unknown(reason)) => Treatment::Open(reason.within(|why| format!("{older}; {why}"))),
            (Arch::X86_64 | Arch::Arm64, Lookup::Found(())) => Treatment::Fine,
            _ => depends("loads with sign extension", "not every kernel can"),
        };
    }
    match arch {
        Arch::X86_64 if fetches_bits(op) => Treatment::Refused,
        Arch::X86_64 => Treatment::Fine,
        Arch::Arm64 if is_atomic(op) => depends("uses an atomic", "needs a processor with LSE (Armv8.1)"),
        Arch::Riscv64 if matches!(op, Op::Atomic { op: AtomicOp::CmpXchg, .. }) => {
            depends("uses compare and exchange", "needs a processor with Zacas")
        }
        Arch::Arm64 | Arch::Riscv64 | Arch::S390x => Treatment::Fine,
        _ if is_atomic(op) => depends("uses an atomic", "not every kernel can"),
        _ => Treatment::Fine,
    }
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (program, function, _) in cx.loaded() {
        let candidates = cx.object.code_of(program).flat_map(|(function, code)| {
            let ops = code.ops().iter().enumerate().filter(|(_, op)| extends_sign(**op) || is_atomic(**op));
            ops.map(move |(at, op)| (function, InsnIdx(at), *op))
        });
        let is_arena = |function, at| cx.walk(program).regs_at((function, at)).base() == Some(Base::Arena);
        let (mut refused, mut open) = (None, None);
        for (function, at, op) in candidates {
            let fate = fate(kernel, op);
            if matches!(fate, Treatment::Fine) || !is_arena(function, at) {
                continue;
            }
            match fate {
                Treatment::Refused => {
                    refused = Some((function, at, op));
                    break;
                }
                Treatment::Open(reason) => open = open.or(Some((reason, Site::Insn(function, at)))),
                Treatment::Fine => {}
            }
        }
        let Some((site, at, op)) = refused else {
            if let Some((reason, site)) = open {
                let subject = Subject::program(cx.object, program);
                out.undecided(&UNSUPPORTED_ARENA_ACCESS, subject, reason).via(site, program, "this access");
            }
            continue;
        };
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
