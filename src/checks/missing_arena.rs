//! `missing-arena`.

use super::context::Context;
use super::shared::member_arenas;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::load::MemberFate;
use crate::object::OpsIdx;

rule! {
    /// No member program of a cid-form scheduler uses an arena.
    ///
    /// ## Why it matters
    /// The kernel finds the arena by walking the maps of the programs that the ops variable names. An arena that is only
    /// declared, or used only by another program (a syscall program, an uncalled function), is not found: EINVAL at attach.
    /// ## Example
    /// ```c
    /// SEC("syscall") int setup(void *ctx) { bpf_arena_alloc_pages(&arena, 0, 1, -1, 0); return 0; }
    /// ```
    /// and no callback that refers to `arena`.
    /// ## Fix
    /// Refer to the arena map, or to a global `__arena` variable, in at least one callback or in a function it calls.
    /// A reference that never runs counts.
    /// ## Sources
    /// kernel `bpf_scx_reg_cid`, `bpf_prog_arena` (7.2, 7.3).
    pub MISSING_ARENA: "missing-arena", family: Arena, level: Error, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for found in member_arenas::of(cx).filter(|found| found.arenas.is_empty()) {
        // A callback that the kernel lacks fails the load, unless user space clears it: until then its arena counts for nothing.
        let lacks = |fate: &MemberFate| *fate == MemberFate::Missing;
        if cx.load.ops[found.ops.0].members.iter().any(lacks) {
            continue;
        }
        missing(cx, found.ops, Subject::struct_ops(cx.object, found.ops), out);
    }
}

/// Says what there is instead: a declared arena nobody uses, or uses that do not count.
fn missing(cx: &Context<'_, '_>, index: OpsIdx, subject: Subject, out: &mut Outcome) {
    let object = cx.object;
    let name = &object[object[index].map].name;
    let members: Vec<_> = cx
        .load
        .callbacks(index)
        .map(|(member, program)| format!("{member} ({})", object[program].name))
        .collect();
    let members = if members.is_empty() { "it has none".to_owned() } else { members.join(", ") };
    let message = format!("no member program of cid-form scheduler '{name}' uses an arena: {members}");
    let help = match object.arenas().next() {
        Some(arena) => format!(
            "refer to '{}' (or to an __arena variable) in a callback or in a function that a callback calls",
            object[arena].name
        ),
        None => "declare an ARENA map in SEC(\".maps\") and refer to it in a callback".to_owned(),
    };
    let finding = out
        .found(&MISSING_ARENA, subject, message)
        .errno(Errno::EINVAL)
        .quote("sched_ext: cid-form scheduler must use a BPF arena map")
        .help(help);
    for arena in object.arenas() {
        finding.at(Site::Map(arena), "no member of this ops variable uses this arena");
        for (program, function, _) in object.programs() {
            let found = object.maps_of(program).iter().find(|used| used.map == arena);
            if let Some(at) = found {
                let label = format!(
                    "used by '{}', which is no member of this ops variable: does not count",
                    function.name
                );
                finding.via(Site::Insn(at.function, at.insn), program, label);
            }
        }
    }
    for (member, program) in cx.load.callbacks(index) {
        finding.at(Site::Function(program), format!("member '{member}' uses no arena"));
    }
}
