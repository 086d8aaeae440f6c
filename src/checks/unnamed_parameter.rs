//! `unnamed-parameter`.

use super::context::Context;
use crate::btf::{Kind, Linkage, TypeId};
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::object::FuncIdx;

rule! {
    /// A function has a parameter without a name.
    ///
    /// ## Why it matters
    /// The kernel wants a name for each parameter of the functions in an object's types, and refuses the types of an object with another. A scheduler
    /// cannot do without them. Declarations of kfuncs are exempt: libbpf gives their parameters a name.
    /// ## Example
    /// ```c
    /// __noinline int demo_pick(u64 cpu, u64) { return cpu; }
    /// ```
    /// ## Fix
    /// Name the parameter, and mark it as unused: `__maybe_unused`.
    /// ## Sources
    /// kernel `btf_func_check`; libbpf `bpf_object__collect_externs`.
    pub UNNAMED_PARAMETER: "unnamed-parameter", family: Object, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(btf) = cx.object.btf.as_ref().filter(|_| !cx.object.struct_ops.is_empty()) else { return };
    let unnamed = btf.types().find_map(|(_, ty)| {
        if ty.kind() != Kind::Func || ty.linkage() == Some(Linkage::Extern) {
            return None;
        }
        let proto = btf.get(ty.target())?.func_proto()?;
        // A type of void stands for "...".
        let number = proto.params().position(|param| param.name.0 == 0 && param.ty != TypeId::VOID)?;
        Some((btf.name(&ty), number + 1))
    });
    let Some((name, number)) = unnamed else { return };
    let message =
        format!("parameter {number} of '{name}' has no name, and the kernel refuses the object's types");
    let finding = out
        .found(&UNNAMED_PARAMETER, Subject::object(cx.object), message)
        .errno(Errno::EINVAL)
        .quote(format!("Invalid arg#{number}"))
        .help("name the parameter");
    if let Some(function) = cx.object.functions.iter().position(|function| function.name == name) {
        finding.at(Site::Function(FuncIdx(function)), "this function");
    }
}
