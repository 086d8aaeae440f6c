//! `idle-kfunc-without-builtin-idle`.

use super::context::Context;
use super::shared::kfunc_calls;
use super::shared::surely::Surely;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::kfuncs::idle_ejection;
use crate::kernel::ops_flags::{BUILTIN_IDLE_PER_NODE, KEEP_BUILTIN_IDLE};
use crate::object::FuncIdx;

rule! {
    /// Asks the kernel's idle tracking, which the scheduler has switched off or split by node.
    ///
    /// ## Why it matters
    /// A scheduler that implements `update_idle` switches the built-in idle tracking off unless it sets `SCX_OPS_KEEP_BUILTIN_IDLE`; with
    /// `SCX_OPS_BUILTIN_IDLE_PER_NODE` the masks are kept by node. A kfunc that asks what is not kept gets the scheduler ejected.
    /// ## Example
    /// ```c
    /// .update_idle = (void *)demo_update_idle,   /* and scx_bpf_pick_idle_cpu() in select_cpu */
    /// ```
    /// ## Fix
    /// Set `SCX_OPS_KEEP_BUILTIN_IDLE`, drop `update_idle`, or use the kfunc that goes with the flag (`_node`).
    /// ## Sources
    /// kernel `check_builtin_idle_enabled`, `validate_node`, `scx_bpf_get_idle_cpumask` (ext_idle.c).
    pub IDLE_KFUNC_WITHOUT_BUILTIN_IDLE: "idle-kfunc-without-builtin-idle", family: Kfunc, level: Error, phase: Run, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, _) in cx.schedulers() {
        let flags = cx.ops_flags(index);
        let own = cx.load.callbacks(index).any(|(member, _)| member == "update_idle");
        let eject = |name: &str, [kept, per_node]: [bool; 2]| idle_ejection(name, !own || kept, per_node);
        // With the flags as they are in the file, and whether it is so however user space sets the others.
        let verdict = |name: &str| {
            let mut texts =
                flags.ways([KEEP_BUILTIN_IDLE, BUILTIN_IDLE_PER_NODE]).map(|way| eject(name, way));
            let text = texts.next()??;
            Some((text, texts.all(|other| other == Some(text))))
        };
        let mut seen = Vec::new();
        // One question per kernel text, not one per call: where user space may set flags that matter, and where the calls may never
        // be made.
        let mut open: Vec<Ejection<'_>> = Vec::new();
        for (_, program) in cx.load.callbacks(index) {
            if seen.contains(&program) {
                continue;
            }
            seen.push(program);
            let calls = kfunc_calls::of(cx, program).into_iter();
            let calls = calls.filter(|call| verdict(call.name).is_some());
            // Without a kernel only a strong extern is sure to be called where the object loads.
            let resolved = calls.filter(|call| cx.has_kfunc(call.index));
            let calls = kfunc_calls::surest(cx, program, resolved);
            for call in calls.iter().filter_map(Surely::found) {
                let Some((text, settled)) = verdict(call.name) else { continue };
                if !settled || !matches!(cx.runs(program, call.at(), ()), Surely::Sure(())) {
                    match open.iter_mut().find(|known| (known.text, known.settled) == (text, settled)) {
                        Some(known) if known.names.contains(&call.name) => {}
                        Some(known) => known.names.push(call.name),
                        None => {
                            let site = (call.site(), program);
                            open.push(Ejection { text, settled, names: vec![call.name], site });
                        }
                    }
                    continue;
                }
                let subject = Subject::program(cx.object, program);
                let program_name = &cx.object[program].name;
                let message = format!("program '{program_name}' calls '{}': {text}", call.name);
                out.found(&IDLE_KFUNC_WITHOUT_BUILTIN_IDLE, subject, message)
                    .quote(text)
                    .help("set SCX_OPS_KEEP_BUILTIN_IDLE, drop update_idle, or use the kfunc that goes with the flags")
                    .via(call.site(), program, "this call");
            }
        }
        for Ejection { text, settled, mut names, site: (site, program) } in open {
            names.sort_unstable();
            let (flags, names) = (cx.flags_in_words(index), names.join(", "));
            let subject = Subject::struct_ops(cx.object, index);
            if settled {
                let reason =
                    format!("{flags}: it is ejected once it calls {names} ({text}), which may never happen");
                let question = out.undecided(&IDLE_KFUNC_WITHOUT_BUILTIN_IDLE, subject, reason);
                question.via(site, program, "this call");
                if cx.told(index, "flags").is_none() {
                    question.decided_by_member(cx.object, index, "flags");
                }
            } else {
                let reason = format!(
                    "{flags}: unless user space changes them, it is ejected once it calls {names} ({text})"
                );
                out.undecided(&IDLE_KFUNC_WITHOUT_BUILTIN_IDLE, subject, reason)
                    .decided_by_member(cx.object, index, "flags");
            }
        }
    }
}

/// Calls that would get a scheduler ejected with one text of the kernel's, perhaps.
struct Ejection<'a> {
    text: &'a str,
    /// It is so whatever user space sets: open is whether they are made.
    settled: bool,
    names: Vec<&'a str>,
    /// The first of them.
    site: (Site, FuncIdx),
}
