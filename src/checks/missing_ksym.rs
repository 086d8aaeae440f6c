//! `missing-ksym`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Stops, Subject};
use crate::kernel::Lookup;
use crate::kernel::exceptions::Fact;
use crate::load::ExternFate;
use crate::object::{ExternIdx, ExternKind, FuncIdx, Referent};

rule! {
    /// Refers to a kernel variable that the kernel's BTF does not have.
    ///
    /// ## Why it matters
    /// A typed `__ksym` variable is looked up in the kernel's BTF, which holds per-CPU variables and, in newer kernels, some others. A strong one that
    /// is missing fails the load. Its address the kernel takes from its symbols, which have no variables without CONFIG_KALLSYMS_ALL: a variable
    /// that the BTF has, weak or not, then fails the load of every program that refers to it.
    /// ## Fix
    /// Declare it `__ksym __weak` and test its address, or declare it without type (`extern const void name __ksym`) for a lookup in /proc/kallsyms.
    /// ## Sources
    /// libbpf `bpf_object__resolve_ksym_var_btf_id`; kernel `__check_pseudo_btf_id`.
    pub MISSING_KSYM: "missing-ksym", family: Extern, level: Error, phase: Load, since: "0.1.0";
}

/// The programs that load and refer to it: the verifier looks every address up, in dead code too.
fn users(cx: &Context<'_, '_>, index: ExternIdx) -> Vec<FuncIdx> {
    let refers = |program| {
        let refs = cx.object.refs_of(program);
        refs.into_iter().any(|(_, reference)| reference.target == Referent::Extern(index))
    };
    cx.loaded().map(|(program, ..)| program).filter(|&program| refers(program)).collect()
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (number, external) in cx.object.externs.iter().enumerate() {
        let index = ExternIdx(number);
        if external.kind != ExternKind::Ksym {
            continue;
        }
        let subject = Subject::external(external.name);
        match cx.load.external(index) {
            ExternFate::Missing => {
                let message = format!("variable '{}' is not in the kernel's BTF", external.name);
                out.found(&MISSING_KSYM, subject, message)
                    .errno(Errno::EINVAL)
                    .quote(format!("extern (var ksym) '{}': not found in kernel BTF", external.name))
                    .help("declare it __ksym __weak and test its address");
            }
            ExternFate::Variable(..) if !users(cx, index).is_empty() => {
                match kernel.knows(Fact::AllSymbols) {
                    Lookup::Found(()) => {}
                    Lookup::Unknown(reason) => {
                        let reason =
                            reason.within(|why| format!("the kernel must find its address, and {why}"));
                        out.undecided(&MISSING_KSYM, subject, reason);
                    }
                    Lookup::Absent => {
                        let message = format!(
                            "the kernel cannot find the address of '{}': it keeps no symbols of variables (no CONFIG_KALLSYMS_ALL)",
                            external.name
                        );
                        out.found(&MISSING_KSYM, subject, message)
                            .errno(Errno::ENOENT)
                            .stops(Stops::Programs(users(cx, index)))
                            .quote(format!(
                                "ldimm64 failed to find the address for kernel symbol '{}'.",
                                external.name
                            ))
                            .help("use a kernel with CONFIG_KALLSYMS_ALL=y, or what a kfunc gives");
                    }
                }
            }
            ExternFate::Unknown(reason) if !external.weak => {
                out.undecided(&MISSING_KSYM, subject, reason.clone());
            }
            _ => {}
        }
    }
}
