//! `mismatched-ksym`.

use super::context::Context;
use super::shared::declared::Sides;
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::load::ExternFate;
use crate::object::ExternIdx;

rule! {
    /// Declares a kernel variable with another type than the kernel's.
    ///
    /// ## Why it matters
    /// libbpf compares the types, and refuses the load where they differ, for a weak extern too.
    /// ## Fix
    /// Declare it as the kernel does (vmlinux.h).
    /// ## Sources
    /// libbpf `bpf_object__resolve_ksym_var_btf_id`, `bpf_core_types_are_compat`.
    pub MISMATCHED_KSYM: "mismatched-ksym", family: Extern, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (number, external) in cx.object.externs.iter().enumerate() {
        let index = ExternIdx(number);
        let ExternFate::MismatchedVariable(home, var) = *cx.load.external(index) else { continue };
        let Some(sides) = Sides::of_variable(cx.object, external, kernel, (home, var)) else { continue };
        let message = format!("variable '{}' is declared as {}", external.name, sides.words());
        out.found(&MISMATCHED_KSYM, Subject::external(external.name), message)
            .errno(Errno::EINVAL)
            .quote(format!("extern (var ksym) '{}': incompatible types", external.name))
            .help(format!("declare it as the kernel does (vmlinux.h): extern {} __ksym;", sides.kernel));
    }
}
