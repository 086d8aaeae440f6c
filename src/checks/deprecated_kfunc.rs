//! `deprecated-kfunc`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::finding::{Outcome, Subject};
use crate::load::ExternFate;
use crate::object::{ExternIdx, ExternKind, Object};

rule! {
    /// Refers to a kfunc that later kernels do not have.
    ///
    /// ## Why it matters
    /// A strong extern keeps the whole object from loading there.
    /// ## Fix
    /// Use the successor where the kernel has it (`bpf_ksym_exists()`), and declare the old one weak.
    /// ## Sources
    /// The kfuncs of 6.12, 6.16, 6.17, 7.2 and 7.3: the old dispatch names went away after 6.16, `scx_bpf_cpu_rq` after 7.2.
    pub DEPRECATED_KFUNC: "deprecated-kfunc", family: Kfunc, level: Note, phase: Load, since: "0.1.0";
}

/// The last kernel that has it, and what to use.
fn fate(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "scx_bpf_dispatch" => ("6.16", "scx_bpf_dsq_insert"),
        "scx_bpf_dispatch_vtime" => ("6.16", "scx_bpf_dsq_insert_vtime"),
        "scx_bpf_consume" => ("6.16", "scx_bpf_dsq_move_to_local"),
        "scx_bpf_dispatch_from_dsq" => ("6.16", "scx_bpf_dsq_move"),
        "scx_bpf_dispatch_vtime_from_dsq" => ("6.16", "scx_bpf_dsq_move_vtime"),
        "scx_bpf_dispatch_from_dsq_set_slice" => ("6.16", "scx_bpf_dsq_move_set_slice"),
        "scx_bpf_dispatch_from_dsq_set_vtime" => ("6.16", "scx_bpf_dsq_move_set_vtime"),
        "scx_bpf_cpu_rq" => ("7.2", "scx_bpf_locked_rq or scx_bpf_cpu_curr"),
        _ => return None,
    })
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (number, external) in cx.object.externs.iter().enumerate() {
        let index = ExternIdx(number);
        // A weak one is prepared for the day; a missing one has a finding of its own.
        let here = cx.kernel.is_none() || matches!(cx.load.external(index), ExternFate::Kfunc(_));
        if external.kind != ExternKind::Kfunc || external.weak || !here {
            continue;
        }
        let Some((last, successor)) = fate(Object::essential_name(external.name)) else { continue };
        let message = format!("kfunc '{}' is in no kernel after {last}", external.name);
        let finding = out
            .found(&DEPRECATED_KFUNC, Subject::external(external.name), message)
            .help(format!("use {successor} where the kernel has it, and declare this one weak"));
        if let Some(site) = kfunc_calls::first_use(cx.object, index) {
            finding.at(site, "referred to here");
        }
    }
}
