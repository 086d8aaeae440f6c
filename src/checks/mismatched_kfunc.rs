//! `mismatched-kfunc`.

use super::context::Context;
use super::shared::declared::Sides;
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::load::ExternFate;
use crate::object::{ExternIdx, ExternKind, Object};

rule! {
    /// Declares a kfunc with another prototype than the kernel's.
    ///
    /// ## Why it matters
    /// libbpf compares the declaration with the kernel's BTF: number of parameters, and the kind of each (integers of any size are one kind, so are
    /// all structs behind a pointer; `void *` is not a struct pointer). A strong extern that differs fails the load; a weak one counts as missing.
    /// ## Example
    /// ```c
    /// extern void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice) __ksym;   /* takes enq_flags too */
    /// ```
    /// ## Fix
    /// Declare it as the kernel does (vmlinux.h). For kernels that differ, declare it once per flavour (`name___old`, weak) and test which one resolves.
    /// ## Sources
    /// libbpf `bpf_object__resolve_ksym_func_btf_id`, `bpf_core_types_are_compat`.
    pub MISMATCHED_KFUNC: "mismatched-kfunc", family: Kfunc, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (number, external) in cx.object.externs.iter().enumerate() {
        let index = ExternIdx(number);
        let ExternFate::MismatchedKfunc(kfunc) = cx.load.external(index) else { continue };
        debug_assert!(external.kind == ExternKind::Kfunc);
        let name = Object::essential_name(external.name);
        let Some(sides) = Sides::of_kfunc(cx.object, external, kernel, *kfunc) else { continue };
        let message = format!("kfunc '{name}' is declared as {}", sides.words());
        let local =
            cx.object.btf.as_ref().and_then(|btf| btf.get(external.type_id)).map_or(0, |ty| ty.target().0);
        out
            .found(&MISMATCHED_KFUNC, Subject::external(external.name), message)
            .errno(Errno::EINVAL)
            .quote(format!(
                "extern (func ksym) '{}': func_proto [{local}] incompatible with {}",
                external.name,
                kernel.name_of(kfunc.home)
            ))
            .help(format!(
                "declare it as the kernel does: extern {} __ksym; where kernels differ, weak and once per flavour ({name}___old)",
                sides.kernel
            ));
    }
}
