//! The rule of cid-form schedulers: exactly one arena across the member programs, always mapped.

use super::{ArenaRule, Context};
use crate::errno::Errno;
use crate::finding::{Finding, Outcome, Site, Subject};
use crate::object::{F_ARENA_MAP_ALWAYS, Form, FuncIdx, MapIdx, MapType, MapUse, OpsIdx};

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

rule! {
    /// The arena of a cid-form scheduler lacks BPF_F_ARENA_MAP_ALWAYS.
    ///
    /// ## Why it matters
    /// Kernels with the rule of the RFC series "bpf/arena: Direct kernel-side access" write into the arena themselves and
    /// refuse one whose pages may be unmapped: EINVAL at attach. Released kernels 7.2 and 7.3 neither want nor
    /// accept the flag: they refuse an arena that sets it when the map is created.
    /// ## Example
    /// ```c
    /// __uint(map_flags, BPF_F_MMAPABLE);
    /// ```
    /// ## Fix
    /// For kernels with the rule: `__uint(map_flags, BPF_F_MMAPABLE | BPF_F_ARENA_MAP_ALWAYS);`. For 7.2 and 7.3:
    /// leave the flag out and lint with `--arena-rule one`.
    /// ## Sources
    /// The RFC series named above (April 2026); kernel `arena_map_alloc` (7.2, 7.3).
    pub ARENA_NOT_ALWAYS_MAPPED: "arena-not-always-mapped", family: Arena, level: Error, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, ops) in cx.object.schedulers() {
        if ops.form() == Form::Cid {
            check_one(cx, index, out);
        }
    }
}

fn check_one(cx: &Context<'_, '_>, index: OpsIdx, out: &mut Outcome) {
    let object = cx.object;
    let name = &object[object[index].map].name;
    let mut uses: Vec<(&str, FuncIdx, MapUse)> = Vec::new();
    for (member, program) in object[index].callbacks() {
        let arenas = object.maps_of(program).into_iter().filter(|used| object[used.map].map_type == MapType::ARENA);
        uses.extend(arenas.map(|at| (member, program, at)));
    }
    let mut arenas: Vec<MapIdx> = Vec::new();
    for (_, _, at) in &uses {
        if !arenas.contains(&at.map) {
            arenas.push(at.map);
        }
    }
    let subject = Subject::struct_ops(object, index);
    match arenas[..] {
        [] => missing(cx, index, subject, out),
        [arena] => {
            if cx.options.arena_rule == ArenaRule::One || object[arena].flags & F_ARENA_MAP_ALWAYS != 0 {
                return;
            }
            let message = format!(
                "arena '{}' of cid-form scheduler '{name}' is created without BPF_F_ARENA_MAP_ALWAYS",
                object[arena].name
            );
            let finding = out
                .found(&ARENA_NOT_ALWAYS_MAPPED, subject, message)
                .errno(Errno::EINVAL)
                .quote("sched_ext: arena map requires BPF_F_ARENA_MAP_ALWAYS for cid-form")
                .help(format!(
                    "add BPF_F_ARENA_MAP_ALWAYS to map_flags of '{}' for kernels with that rule; stock 7.2 and 7.3 neither want nor accept the flag: for them lint with --arena-rule one, or, where this build has kernel targets, --kernel 7.3",
                    object[arena].name
                ));
            finding.at(Site::Map(arena), format!("map_flags are {:#x}", object[arena].flags));
            show(finding, cx, &uses);
        }
        _ => {
            let names: Vec<_> = arenas.iter().map(|&arena| format!("'{}'", object[arena].name)).collect();
            let message =
                format!("member programs of cid-form scheduler '{name}' use {} arenas: {}", arenas.len(), names.join(", "));
            let finding = out
                .found(&MULTIPLE_ARENAS, subject, message)
                .errno(Errno::EINVAL)
                .quote("sched_ext: cid-form scheduler uses multiple arena maps")
                .help("use one arena in all callbacks of the ops variable");
            show(finding, cx, &uses);
            for &arena in &arenas {
                finding.at(Site::Map(arena), "one of the arenas");
            }
        }
    }
}

/// Every member program and the line that makes it use its arena.
fn show(finding: &mut Finding, cx: &Context<'_, '_>, uses: &[(&str, FuncIdx, MapUse)]) {
    for (member, program, at) in uses {
        let label = format!("member '{member}' ({}) uses arena '{}'", cx.object[*program].name, cx.object[at.map].name);
        finding.via(Site::Insn(at.function, at.insn), *program, label);
    }
}

/// Says what there is instead: a declared arena nobody uses, or uses that do not count.
fn missing(cx: &Context<'_, '_>, index: OpsIdx, subject: Subject, out: &mut Outcome) {
    let object = cx.object;
    let name = &object[object[index].map].name;
    let members: Vec<_> =
        object[index].callbacks().map(|(member, program)| format!("{member} ({})", object[program].name)).collect();
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
        finding.at(Site::Map(arena), "this arena is not used by any member program");
        for (program, function, _) in object.programs() {
            let found = object.maps_of(program).into_iter().find(|used| used.map == arena);
            if let Some(at) = found {
                let label = format!("used by '{}', which is no member program: does not count", function.name);
                finding.via(Site::Insn(at.function, at.insn), program, label);
            }
        }
    }
    for (member, program) in object[index].callbacks() {
        finding.at(Site::Function(program), format!("member '{member}' uses no arena"));
    }
}
