//! `throw-without-unwinder`.

use super::context::Context;
use super::shared::kernel_refuses::{self, Deed};
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::kernel::exceptions::Fact;
use crate::kernel::{Arch, Lookup};
use crate::load::ExternFate;

rule! {
    /// A program throws, and the kernel cannot unwind its stack.
    ///
    /// ## Why it matters
    /// `bpf_throw` leaves a program by unwinding the stack. On x86-64 the kernel needs the ORC unwinder for it (CONFIG_UNWINDER_ORC, which
    /// distributions set); without, the verifier refuses the call. Of other machines arm64, s390x and ppc64 can.
    /// ## Fix
    /// `scx_bpf_error` and a plain return; or `bpf_throw` declared weak and behind `bpf_ksym_exists` does not help, for the kernel has the function.
    /// ## Sources
    /// kernel `check_kfunc_call`, x86 `bpf_jit_supports_exceptions`.
    pub THROW_WITHOUT_UNWINDER: "throw-without-unwinder", family: Kfunc, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    let able = [Arch::Arm64, Arch::S390x, Arch::Powerpc64].contains(&kernel.arch_or_usual());
    let refuses = match (kernel.arch_or_usual(), kernel.knows(Fact::NoUnwinder)) {
        _ if able => Lookup::Absent,
        (Arch::X86_64, known) => known,
        _ => Lookup::Unknown("whether the compiler of that machine can is not known".into()),
    };
    let deed = Deed {
        refused: "calls 'bpf_throw', and the kernel cannot unwind the stack",
        unknown: "calls 'bpf_throw', for which the kernel must unwind the stack",
    };
    let throws = |program| {
        let calls = kfunc_calls::of(cx, program).into_iter();
        let calls =
            calls.filter(|call| call.name == "bpf_throw" && matches!(call.fate, ExternFate::Kfunc(_)));
        cx.walks(program, calls.map(|call| (call.at(), (call.at(), call))))
    };
    for (program, _, call) in
        kernel_refuses::surely(cx, out, &THROW_WITHOUT_UNWINDER, &refuses, &deed, throws)
    {
        let message = format!(
            "program '{}' calls 'bpf_throw', and the kernel cannot unwind the stack (no CONFIG_UNWINDER_ORC)",
            cx.object[program].name
        );
        out.found(&THROW_WITHOUT_UNWINDER, Subject::program(cx.object, program), message)
            .errno(Errno::ENOTSUPP)
            .quote("JIT does not support calling kfunc bpf_throw")
            .help("report with scx_bpf_error and return, or use a kernel with CONFIG_UNWINDER_ORC=y")
            .via(call.site(), program, "this call");
    }
}
