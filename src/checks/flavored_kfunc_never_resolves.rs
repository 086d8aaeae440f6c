//! `flavored-kfunc-never-resolves`.

use super::context::Context;
use crate::btf::Kind;
use crate::finding::{Outcome, Subject};
use crate::kernel::{Lookup, kfuncs};
use crate::object::{ExternKind, Object};

rule! {
    /// An extern is named like a kfunc whose name holds `___`, and means another one.
    ///
    /// ## Why it matters
    /// libbpf cuts the last `___` and what follows off the name of an extern before it looks for the kfunc. The kernel has kfuncs whose own names
    /// end so: an extern `scx_bpf_dsq_insert___v2` is resolved to `scx_bpf_dsq_insert`, or to nothing where the prototypes differ.
    /// ## Example
    /// ```c
    /// extern bool scx_bpf_dsq_insert___v2(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
    /// ```
    /// ## Fix
    /// Add a flavour of your own: `scx_bpf_dsq_insert___v2___compat`.
    /// ## Sources
    /// libbpf `bpf_core_essential_name_len`, `bpf_object__resolve_ksym_func_btf_id`.
    pub FLAVORED_KFUNC_NEVER_RESOLVES: "flavored-kfunc-never-resolves", family: Kfunc, level: Warning, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for external in &cx.object.externs {
        let name = external.name;
        let essential = Object::essential_name(name);
        if external.kind != ExternKind::Kfunc || essential == name {
            continue;
        }
        let exists = match cx.kernel {
            Some(kernel) => matches!(kernel.find_anywhere(name, Kind::Func), Lookup::Found(_)),
            None => kfuncs::is_known(name),
        };
        if !exists {
            continue;
        }
        let message =
            format!("extern '{name}' is resolved to '{essential}', never to the kfunc of its own name");
        out.found(&FLAVORED_KFUNC_NEVER_RESOLVES, Subject::external(name), message)
            .help(format!("declare it as {name}___compat"));
    }
}
