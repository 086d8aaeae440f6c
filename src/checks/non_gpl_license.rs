//! `non-gpl-license`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Stops, Subject};
use crate::kernel::license::is_gpl_compatible;
use crate::object::{FuncIdx, ProgramKind};

rule! {
    /// The license is not one that the kernel counts as GPL.
    ///
    /// ## Why it matters
    /// struct_ops programs, and all programs that call kfuncs, must be GPL compatible. The kernel knows six strings:
    /// "GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL". SPDX names are not among them.
    /// ## Example
    /// ```c
    /// char _license[] SEC("license") = "GPL-2.0-only";
    /// ```
    /// ## Fix
    /// `char _license[] SEC("license") = "GPL";`
    /// ## Sources
    /// kernel `license_is_gpl_compatible`, `check_struct_ops_btf_id`, `add_kfunc_call`.
    pub NON_GPL_LICENSE: "non-gpl-license", family: Object, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    if is_gpl_compatible(&object.license) {
        return;
    }
    let calls_kfunc = |program| kfunc_calls::of(cx, program).iter().any(|call| cx.has_kfunc(call.index));
    let affected =
        cx.loaded().filter(|(index, _, entry)| entry.kind == ProgramKind::STRUCT_OPS || calls_kfunc(*index));
    let affected: Vec<FuncIdx> = affected.map(|(program, ..)| program).collect();
    let Some(&first) = affected.first() else { return };
    let text = if calls_kfunc(first) {
        "cannot call kernel function from non-GPL compatible program"
    } else {
        "struct ops programs must have a GPL compatible license"
    };
    let license = match object.license.as_str() {
        "" => "no license".to_owned(),
        other => format!("license \"{other}\" is not GPL compatible"),
    };
    out.found(
        &NON_GPL_LICENSE,
        Subject::object(object),
        format!("{license}: program '{}' will not load", object[first].name),
    )
    .errno(Errno::EINVAL)
    .quote(text)
    .stops(Stops::Programs(affected))
    .help("char _license[] SEC(\"license\") = \"GPL\";")
    .at(Site::Function(first), "the first program that is refused");
}
