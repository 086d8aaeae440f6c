//! `unknown-struct-ops-type`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Lookup;
use crate::load::ExternFate;
use crate::object::{ExternIdx, ExternKind, Form};

rule! {
    /// The kernel does not have the type of an ops variable.
    ///
    /// ## Why it matters
    /// libbpf looks for `struct bpf_struct_ops_<type>` in the kernel's BTF before it creates anything. Without it the whole object does not load,
    /// not only this scheduler. `sched_ext_ops_cid` is in kernels from 7.2 on. Strong externs come before it: where kfuncs of the later kernel are used, too,
    /// libbpf speaks of the first of them.
    /// ## Example
    /// ```c
    /// SEC(".struct_ops.link") struct sched_ext_ops_cid ops = { ... };   /* on kernel 7.1 */
    /// ```
    /// ## Fix
    /// Put the variable into `?.struct_ops.link` and let the loader switch it on where the kernel has the type, or keep an object per form.
    /// ## Sources
    /// libbpf `find_struct_ops_kern_types`.
    pub UNKNOWN_STRUCT_OPS_TYPE: "unknown-struct-ops-type", family: StructOps, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    let object = cx.object;
    let created = object.ops().filter(|(_, ops)| object[ops.map].autocreate).count();
    for (index, ops) in object.ops().filter(|(_, ops)| object[ops.map].autocreate) {
        let subject = Subject::struct_ops(object, index);
        match &cx.load.ops[index.0].ops_type {
            Lookup::Found(_) => {}
            Lookup::Unknown(reason) => {
                out.undecided(&UNKNOWN_STRUCT_OPS_TYPE, subject, reason.clone());
            }
            // Another rule says so of the kernel as a whole.
            Lookup::Absent if ops.form() != Form::Other && !kernel.has_sched_ext() => {}
            Lookup::Absent if cx.load.is_edited() && created > 1 => {
                let reason = format!(
                    "the kernel has no struct_ops type '{}', and the loader may leave this ops variable out",
                    ops.type_name
                );
                out.undecided(&UNKNOWN_STRUCT_OPS_TYPE, subject, reason);
            }
            Lookup::Absent => {
                let name = &object[ops.map].name;
                let message =
                    format!("ops variable '{name}' is of type '{}', which the kernel lacks", ops.type_name);
                let help = match ops.form() {
                    Form::Cid => "cid-form schedulers need kernel 7.2 or later",
                    _ => "correct the type's name, or choose a kernel that has it",
                };
                let finding = out
                    .found(&UNKNOWN_STRUCT_OPS_TYPE, subject, message)
                    .at(Site::StructOps(index), "this ops variable");
                match refused_before(cx) {
                    Some((name, quote)) => finding.errno(Errno::EINVAL).quote(quote).help(format!(
                        "{help}; libbpf comes to extern '{name}' first, which the kernel lacks too"
                    )),
                    None => finding.errno(Errno::ESRCH).help(help).quote(format!(
                        "struct_ops init_kern: struct bpf_struct_ops_{} is not found in kernel BTF",
                        ops.type_name
                    )),
                };
            }
        }
    }
}

/// The extern that libbpf refuses before it looks for types of ops variables, and its words.
fn refused_before<'d>(cx: &Context<'_, 'd>) -> Option<(&'d str, String)> {
    let mut externs = cx.object.externs.iter().enumerate();
    externs.find_map(|(index, external)| {
        let name = external.name;
        match (cx.load.external(ExternIdx(index)), external.kind) {
            (ExternFate::Missing, ExternKind::Kfunc) => {
                Some((name, format!("extern (func ksym) '{name}': not found in kernel or module BTFs")))
            }
            (ExternFate::Missing, ExternKind::Ksym) => {
                Some((name, format!("extern (var ksym) '{name}': not found in kernel BTF")))
            }
            _ => None,
        }
    })
}
