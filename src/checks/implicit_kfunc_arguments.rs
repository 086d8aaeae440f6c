//! `implicit-kfunc-arguments`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::load::ExternFate;
use crate::object::{ExternIdx, Object};
use crate::rule::Level;

rule! {
    /// The kernel's BTF shows an argument of a kfunc that the kernel means to fill in itself.
    ///
    /// ## Why it matters
    /// From 7.1 on many kfuncs have a last argument `struct bpf_prog_aux *aux` that BPF programs do not pass. The kernel's build takes it out of the
    /// BTF and keeps the full prototype as `NAME_impl`. A kernel built with an old pahole, or wrongly packaged, keeps it: no object that calls the
    /// kfunc loads there. It is the kernel that is at fault; some distribution kernels of 7.1 are like that.
    /// ## Fix
    /// Use a kernel built with pahole 1.26 or later and working `resolve_btfids`; nothing in the scheduler helps.
    /// ## Sources
    /// kernel `KF_IMPLICIT_ARGS`, tools/bpf/resolve_btfids; libbpf `bpf_core_types_are_compat`.
    pub IMPLICIT_KFUNC_ARGUMENTS: "implicit-kfunc-arguments", family: Kernel, level: Warning, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (number, external) in cx.object.externs.iter().enumerate() {
        let index = ExternIdx(number);
        let (kfunc, resolved) = match cx.load.external(index) {
            ExternFate::Kfunc(kfunc) => (*kfunc, true),
            ExternFate::MismatchedKfunc(kfunc) | ExternFate::NullMismatched(kfunc) => (*kfunc, false),
            _ => continue,
        };
        let name = Object::essential_name(external.name);
        if !kernel.has_leaked_aux(name, kfunc) {
            continue;
        }
        let message = format!(
            "the kernel's BTF gives kfunc '{name}' an argument that programs do not pass: no call to it loads there"
        );
        let finding = out
            .found(&IMPLICIT_KFUNC_ARGUMENTS, Subject::external(external.name), message)
            .help("the kernel's BTF is at fault: use a kernel whose BTF was converted (bpf_prog_aux hidden, NAME_impl kept)");
        // An object that declares the argument too gets past libbpf; the verifier then looks for the full prototype, for
        // calls in dead code as well (add_kfunc_call). Any other object is refused by what another rule says.
        let called = || {
            let mut programs = cx.loaded().map(|(program, ..)| program);
            programs.any(|program| {
                kfunc_calls::of(cx, program).iter().any(|call| std::ptr::eq(call.external, external))
            })
        };
        if resolved && called() {
            finding
                .level(Level::Error)
                .errno(Errno::EINVAL)
                .quote(format!("cannot find function {name}_impl in BTF"));
        }
        if let Some(site) = kfunc_calls::first_use(cx.object, index) {
            finding.at(site, "referred to here");
        }
    }
}
