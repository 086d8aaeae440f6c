//! `missing-ksym`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::load::ExternFate;
use crate::object::{ExternIdx, ExternKind};

rule! {
    /// Refers to a kernel variable that the kernel's BTF does not have.
    ///
    /// ## Why it matters
    /// A typed `__ksym` variable is looked up in the kernel's BTF, which holds per-CPU variables and, in newer kernels, some others. A strong one that
    /// is missing fails the load.
    /// ## Fix
    /// Declare it `__ksym __weak` and test its address, or declare it without type (`extern const void name __ksym`) for a lookup in /proc/kallsyms.
    /// ## Sources
    /// libbpf `bpf_object__resolve_ksym_var_btf_id`.
    pub MISSING_KSYM: "missing-ksym", family: Extern, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    if cx.kernel.is_none() {
        return;
    }
    for (number, external) in cx.object.externs.iter().enumerate() {
        let index = ExternIdx(number);
        if external.kind != ExternKind::Ksym {
            continue;
        }
        let subject = Subject::external(external.name);
        match cx.load.external(index) {
            ExternFate::Missing => {
                let message = format!("variable '{}' is not in the kernel's BTF", external.name);
                let finding = out
                    .found(&MISSING_KSYM, subject, message)
                    .errno(Errno::EINVAL)
                    .quote(format!("extern (var ksym) '{}': not found in kernel BTF", external.name))
                    .help("declare it __ksym __weak and test its address");
                if let Some(site) = kfunc_calls::first_use(cx.object, index) {
                    finding.at(site, "referred to here");
                }
            }
            ExternFate::Unknown(reason) if !external.weak => {
                let open = out.undecided(&MISSING_KSYM, subject, reason.clone());
                if let Some(site) = kfunc_calls::first_use(cx.object, index) {
                    open.at(site, "referred to here");
                }
            }
            _ => {}
        }
    }
}
