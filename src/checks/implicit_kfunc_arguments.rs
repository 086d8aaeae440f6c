//! `implicit-kfunc-arguments`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Stops, Subject};
use crate::load::ExternFate;
use crate::object::{Extern, ExternIdx, FuncIdx, Object};
use crate::rule::Level;

rule! {
    /// The kernel's BTF shows an argument of a kfunc that the kernel means to fill in itself.
    ///
    /// ## Why it matters
    /// From 7.1 on many kfuncs have a last argument `struct bpf_prog_aux *aux` that BPF programs do not pass. The kernel's build takes it out of the
    /// BTF and keeps the full prototype as `NAME_impl`. A kernel built with an old pahole, or wrongly packaged, keeps it: no object that calls the
    /// kfunc loads there. It is the kernel that is at fault; Debian's for its release 13 from 7.1.3 to 7.2.12 are like that. What else an object
    /// would be told because of it is kept back: none of it is the scheduler's.
    /// ## Fix
    /// Use a kernel built with pahole 1.26 or later and working `resolve_btfids`; nothing in the scheduler helps, a newer one neither.
    /// ## Sources
    /// kernel `KF_IMPLICIT_ARGS`, tools/bpf/resolve_btfids; libbpf `bpf_core_types_are_compat`.
    pub IMPLICIT_KFUNC_ARGUMENTS: "implicit-kfunc-arguments", family: Kernel, level: Warning, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    // An object that declares the argument too gets past libbpf; the verifier then looks for the full prototype, for calls in
    // dead code as well (add_kfunc_call). Any other object meets what other rules say.
    let callers = |external: &Extern<'_>| -> Vec<FuncIdx> {
        let programs = cx.loaded().map(|(program, ..)| program);
        let calls = |program: &FuncIdx| {
            kfunc_calls::of(cx, *program).iter().any(|call| std::ptr::eq(call.external, external))
        };
        programs.filter(calls).collect()
    };
    let mut affected: Vec<(ExternIdx, &str)> = Vec::new();
    let mut twinless = None;
    let mut stopped: Vec<FuncIdx> = Vec::new();
    for (number, external) in cx.object.externs.iter().enumerate() {
        let index = ExternIdx(number);
        let (kfunc, resolved) = match cx.load.external(index) {
            ExternFate::Kfunc(kfunc) => (*kfunc, true),
            ExternFate::MismatchedKfunc(kfunc) | ExternFate::NullMismatched(kfunc) => (*kfunc, false),
            _ => continue,
        };
        let name = Object::essential_name(external.name);
        if kernel.has_leaked_aux(name, kfunc) {
            affected.push((index, name));
            let callers = if resolved { callers(external) } else { Vec::new() };
            if !callers.is_empty() {
                twinless.get_or_insert(name);
                stopped.extend(callers);
            }
        }
    }
    let Some(&(first, name)) = affected.first() else { return };
    let others = match affected.len() - 1 {
        0 => String::new(),
        1 => " and one more kfunc".to_owned(),
        count => format!(" and {count} more kfuncs"),
    };
    let message = format!(
        "the kernel's BTF is defective, not the object: '{name}'{others} show an argument that programs do not pass"
    );
    let finding = out
        .found(&IMPLICIT_KFUNC_ARGUMENTS, Subject::object(cx.object), message)
        .help("use a healthy build of the kernel, or rebuild it with pahole 1.26 or newer; a newer scheduler does not help");
    if let Some(name) = twinless {
        finding
            .level(Level::Error)
            .errno(Errno::EINVAL)
            .stops(Stops::Programs(stopped))
            .quote(format!("cannot find function {name}_impl in BTF"));
    }
    if let Some((function, insn)) = cx.object.first_use(first) {
        finding.at(Site::Insn(function, insn), format!("'{name}' is referred to here"));
    }
}
