//! `multiple-arenas`.

use super::context::Context;
use super::shared::member_arenas;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};

rule! {
    /// The member programs of a cid-form scheduler use more than one arena.
    ///
    /// ## Why it matters
    /// The kernel shares one arena with a `sched_ext_ops_cid` scheduler. At attach it collects the arena of every
    /// member program and refuses a second one with EINVAL.
    /// ## Example
    /// `enqueue` uses arena `a`, and `dispatch`, through a subprogram, arena `b`.
    /// ## Fix
    /// Use one arena in all callbacks of the ops variable.
    /// ## Sources
    /// kernel `bpf_scx_reg_cid` (7.2, 7.3); the RFC series "bpf/arena: Direct kernel-side access" (April 2026).
    pub MULTIPLE_ARENAS: "multiple-arenas", family: Arena, level: Error, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for found in member_arenas::of(cx).filter(|found| found.arenas.len() > 1) {
        let names: Vec<_> =
            found.arenas.iter().map(|&arena| format!("'{}'", cx.object[arena].name)).collect();
        let message = format!(
            "member programs of cid-form scheduler '{}' use {} arenas: {}",
            found.name,
            names.len(),
            names.join(", ")
        );
        let finding = out
            .found(&MULTIPLE_ARENAS, Subject::struct_ops(cx.object, found.ops), message)
            .errno(Errno::EINVAL)
            .quote("sched_ext: cid-form scheduler uses multiple arena maps")
            .help("use one arena in all callbacks of the ops variable");
        found.show(finding, cx);
        for &arena in &found.arenas {
            finding.at(Site::Map(arena), "one of the arenas");
        }
    }
}
