//! Holds what a kernel did against what the static report says. A difference is a bug in scx-lint.

use crate::checks::{self, ArenaRule, Options};
use crate::kernel::Kernel;
use crate::object::Object;
use crate::report::{Answer, Document, Verdict};
use crate::rule::Phase;

use super::observation::{Came, Observation};

/// The static side of one object, for the kernel of one observation.
///
/// This is the one place that decides which verdicts an observation is held against. Where the kernel's types are not
/// known the only thing taken from it is its arena rule, as the guest saw it.
pub fn static_side(
    path: &str,
    object: &Object<'_>,
    options: &Options,
    kernel: Option<&Kernel<'_>>,
    seen: &Observation,
) -> Document {
    let mut options = options.clone();
    if options.arena_rule == ArenaRule::Auto && kernel.is_none() {
        options.arena_rule = arena_rule([seen]);
    }
    let mut document = Document::default();
    let number = kernel.map(|kernel| document.add_kernel(kernel));
    let outcome = checks::check_on(object, kernel, &options);
    document.add(path, object, checks::loader_name(object, &options), &[(number, outcome)]);
    document
}

/// The arena rule of the kernels that were observed; the weaker one where they differ.
pub fn arena_rule<'a>(seen: impl IntoIterator<Item = &'a Observation>) -> ArenaRule {
    let mut rules = seen.into_iter().filter_map(|seen| seen.kernel.arena_rule.as_deref()).peekable();
    if rules.peek().is_some() && rules.all(|rule| rule == "always") {
        ArenaRule::Always
    } else {
        ArenaRule::One
    }
}

/// Compares verdicts phase by phase, and the maps of every program that loaded. One sentence for each difference.
pub fn differences(document: &Document, seen: &Observation) -> Vec<String> {
    let mut found = Vec::new();
    let several = document.verdicts.iter().any(|verdict| verdict.struct_ops.is_some());
    for verdict in &document.verdicts {
        // A whole object's attach verdict is that of its worst ops variable; each has a row of its own.
        let phases: &[Phase] = match (&verdict.struct_ops, several) {
            (None, true) => &[Phase::Open, Phase::Load],
            (Some(_), _) => &[Phase::Attach, Phase::Run],
            (None, false) => &Phase::ALL,
        };
        for &phase in phases {
            found.extend(difference(document, verdict, phase, seen));
        }
    }
    for object in &document.objects {
        for program in &seen.programs {
            let Some(known) = object.programs.iter().find(|known| known.name == program.name) else {
                found.push(format!(
                    "program '{}' was loaded, and the static report has none of that name",
                    program.name
                ));
                continue;
            };
            let mut expected: Vec<&str> =
                known.maps.iter().chain(&known.bound_maps).map(String::as_str).collect();
            let mut got: Vec<&str> = program.maps.iter().map(String::as_str).collect();
            expected.sort_unstable();
            got.sort_unstable();
            if expected != got {
                found.push(format!(
                    "program '{}' uses the maps [{}], the static report says [{}]",
                    program.name,
                    got.join(", "),
                    expected.join(", ")
                ));
            }
        }
    }
    found
}

/// Marks a difference that no file shows in advance.
pub const UNFORESEEN: &str = "no file shows this";

/// What failed only when it ran or was verified. The static report does not take the place of either, so its error is
/// no bug; all the same it was wrong.
fn unforeseeable(phase: Phase, map: Option<&str>, seen: &Observation) -> Option<String> {
    match phase {
        Phase::Load => {
            let program = seen.phase("load")?.program.as_ref()?;
            Some(format!("the verifier refuses program '{program}'"))
        }
        Phase::Attach | Phase::Run => {
            let mut maps = seen.attach.iter().filter(|attach| map.is_none_or(|map| map == attach.map));
            let exit = maps.find(|attach| attach.call_ok && !attach.ok)?.exit.as_ref()?;
            Some(format!("{}: {}", exit.reason, exit.message))
        }
        Phase::Open => None,
    }
}

/// What is wrong only for tasks that are forked: `init_task` runs for all others at the enabling, and that it ran tells nothing.
const AT_FORK: &str = "disallow-during-fork";

/// Whether a hold without an ejection speaks against what the report foresees of it: the kernel ejects when a callback
/// does the forbidden thing, and an idle machine may not have called it at all.
fn was_tried(document: &Document, seen: &Observation) -> bool {
    let foreseen = document
        .findings
        .iter()
        .filter(|finding| finding.level == "error" && finding.phase == Phase::Run.as_str())
        .filter(|finding| finding.rule != AT_FORK);
    let mut foreseen = foreseen.map(|finding| {
        let named = finding.locations.iter().filter_map(|location| location.program.as_deref());
        named.chain((finding.subject.kind == "program").then_some(finding.subject.name.as_str()))
    });
    foreseen.any(|named| {
        let programs = |name: &str| {
            let all = document.objects.iter().flat_map(|object| &object.programs);
            let of: Vec<&str> = all
                .filter(|known| known.name == name || known.subprograms.iter().any(|sub| sub == name))
                .map(|known| known.name.as_str())
                .collect();
            seen.programs.iter().filter(move |program| of.contains(&program.name.as_str()))
        };
        let mut counts = named.flat_map(programs).map(|program| program.runs).peekable();
        counts.peek().is_none() || counts.any(|runs| runs != Some(0))
    })
}

/// Whether the kernel threw the scheduler out with the words of what was foreseen of the attach. An error while a
/// scheduler is enabled only sets off the work that disables it (`scx_vexit`); which of the two is done first is a race.
fn foreseen_came_late(document: &Document, map: Option<&str>, seen: &Observation) -> bool {
    let at_attach = |phase: &str| phase == Phase::Attach.as_str();
    let foreseen = document.findings.iter().filter(|f| f.level == "error" && at_attach(f.phase));
    let mut words = foreseen.filter_map(|finding| finding.kernel_message.as_deref());
    let ejected =
        seen.attach.iter().filter(|attach| attach.ejected && map.is_none_or(|map| map == attach.map));
    let said: Vec<&str> = ejected.filter_map(|attach| Some(attach.exit.as_ref()?.message.as_str())).collect();
    words.any(|words| said.iter().any(|said| said.contains(words)))
}

fn difference(document: &Document, verdict: &Verdict, phase: Phase, seen: &Observation) -> Option<String> {
    let expected = match phase {
        Phase::Open => verdict.open,
        Phase::Load => verdict.load,
        Phase::Attach => verdict.attach,
        Phase::Run => verdict.run,
    };
    let of = verdict.struct_ops.as_ref().map_or_else(String::new, |map| format!(" of '{map}'"));
    match (expected, seen.came(phase, verdict.struct_ops.as_deref())) {
        (Answer::Fail, Came::Pass) if phase == Phase::Run && !was_tried(document, seen) => None,
        (Answer::Fail, Came::Pass)
            if phase == Phase::Attach
                && foreseen_came_late(document, verdict.struct_ops.as_deref(), seen) =>
        {
            None
        }
        (Answer::Fail, Came::Pass) => {
            let rules: Vec<&str> = document
                .findings
                .iter()
                .filter(|finding| finding.level == "error" && finding.phase == phase.as_str())
                .map(|finding| finding.rule)
                .collect();
            Some(format!(
                "{}{of} succeeded, the static report says it fails ({})",
                phase.as_str(),
                rules.join(", ")
            ))
        }
        (Answer::Pass, Came::Fail) => Some(match unforeseeable(phase, verdict.struct_ops.as_deref(), seen) {
            Some(what) => format!(
                "{}{of} failed, the static report says it succeeds; {UNFORESEEN}: {what}",
                phase.as_str()
            ),
            None => format!("{}{of} failed, the static report says it succeeds", phase.as_str()),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::observation::{AttachSeen, PhaseSeen, ProgramSeen};
    use super::*;

    fn seen(load: bool, enabled: bool) -> Observation {
        let phase = |name: &str, ok| PhaseSeen { phase: name.to_owned(), ok, ..PhaseSeen::default() };
        let attach = AttachSeen { map: "demo".to_owned(), enabled, ok: enabled, ..AttachSeen::default() };
        Observation {
            phases: vec![phase("open", true), phase("load", load)],
            attach: if load { vec![attach] } else { Vec::new() },
            ..Observation::default()
        }
    }

    fn document(open: Answer, load: Answer, attach: Answer) -> Document {
        let mut document = Document::default();
        let verdict =
            Verdict { object: 0, kernel: None, struct_ops: None, open, load, attach, run: Answer::Unknown };
        document.verdicts.push(verdict);
        document
    }

    #[test]
    fn only_an_answer_that_was_refuted_differs() {
        use Answer::{Fail, Pass, Unknown};
        let says = |document: Document, seen| differences(&document, &seen);
        assert!(says(document(Pass, Unknown, Unknown), seen(false, false)).is_empty());
        assert!(says(document(Pass, Unknown, Fail), seen(true, false)).is_empty());
        // The load failed first: the attach was never tried.
        assert!(says(document(Pass, Unknown, Fail), seen(false, false)).is_empty());
        assert!(says(document(Pass, Unknown, Fail), seen(true, true))[0].starts_with("attach succeeded"));
        assert!(says(document(Pass, Fail, Unknown), seen(true, true))[0].starts_with("load succeeded"));
        assert!(says(document(Pass, Pass, Unknown), seen(false, true))[0].starts_with("load failed"));
        assert!(says(document(Fail, Unknown, Unknown), seen(false, true))[0].starts_with("open succeeded"));
    }

    #[test]
    fn a_callback_that_never_ran_refutes_nothing() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/fixtures/obj/clang-19/kfunc-outside-its-ops__running.bpf.o"
        );
        let data = std::fs::read(path).unwrap();
        let object = Object::open(&data, "running.bpf.o").unwrap();
        let targets = crate::kernel::target::load("6.18").unwrap();
        let kernel = Kernel::new(&targets[0]).unwrap();
        let said = |runs| {
            let mut seen = seen(true, true);
            "demo_ops".clone_into(&mut seen.attach[0].map);
            let program = ProgramSeen { name: "demo_running".to_owned(), runs, ..ProgramSeen::default() };
            seen.programs.push(program);
            let document = static_side("running.bpf.o", &object, &Options::default(), Some(&kernel), &seen);
            assert!(document.verdicts.iter().any(|verdict| verdict.run == Answer::Fail));
            differences(&document, &seen)
        };
        assert!(said(Some(0)).is_empty());
        assert!(said(Some(1))[0].starts_with("run succeeded, the static report says it fails"));
        // A kernel that does not count.
        assert!(said(None)[0].starts_with("run succeeded"));
    }

    #[test]
    fn init_task_of_tasks_that_do_not_fork_refutes_nothing() {
        assert!(checks::find(AT_FORK).is_some());
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/obj/clang-19/disallow-during-fork__always.bpf.o");
        let data = std::fs::read(path).unwrap();
        let object = Object::open(&data, "always.bpf.o").unwrap();
        let targets = crate::kernel::target::load("7.3").unwrap();
        let kernel = Kernel::new(&targets[0]).unwrap();
        let mut seen = seen(true, true);
        "demo_ops".clone_into(&mut seen.attach[0].map);
        let program =
            ProgramSeen { name: "demo_init_task".to_owned(), runs: Some(66), ..ProgramSeen::default() };
        seen.programs.push(program);
        let document = static_side("always.bpf.o", &object, &Options::default(), Some(&kernel), &seen);
        assert!(document.verdicts.iter().any(|verdict| verdict.run == Answer::Fail));
        assert!(differences(&document, &seen).is_empty());
    }

    #[test]
    fn an_ejection_may_overtake_the_attach() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/fixtures/obj/clang-19/kfunc-outside-its-ops__task_cgroup.bpf.o"
        );
        let data = std::fs::read(path).unwrap();
        let object = Object::open(&data, "task_cgroup.bpf.o").unwrap();
        let targets = crate::kernel::target::load("7.3").unwrap();
        let kernel = Kernel::new(&targets[0]).unwrap();
        let said = |ejected: bool, message: &str| {
            let mut seen = seen(true, true);
            let exit =
                super::super::observation::ExitSeen { message: message.to_owned(), ..Default::default() };
            let attach = &mut seen.attach[0];
            "demo_ops".clone_into(&mut attach.map);
            (attach.ejected, attach.ok, attach.exit) = (ejected, !ejected, Some(exit));
            let document =
                static_side("task_cgroup.bpf.o", &object, &Options::default(), Some(&kernel), &seen);
            assert!(document.verdicts.iter().any(|verdict| verdict.attach == Answer::Fail));
            differences(&document, &seen)
        };
        assert_eq!(said(true, "called on a task not being operated on"), Vec::<String>::new());
        assert!(said(false, "called on a task not being operated on")[0].starts_with("attach succeeded"));
        assert!(said(true, "runnable task stall")[0].starts_with("attach succeeded"));
    }

    #[test]
    fn maps_are_compared_as_sets() {
        let data = std::fs::read(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/fixtures/obj/clang-19/multiple-arenas__two_members.bpf.o"
        ));
        let data = data.unwrap();
        let object = Object::open(&data, "two.bpf.o").unwrap();
        let mut observation = seen(false, false);
        observation.phases[0].ok = false;
        let document = static_side("two.bpf.o", &object, &Options::default(), None, &observation);
        let program = &document.objects[0].programs[0];
        let maps: Vec<String> = program.maps.iter().chain(&program.bound_maps).rev().cloned().collect();
        assert!(!maps.is_empty());
        observation.programs.push(ProgramSeen { name: program.name.clone(), maps, ..ProgramSeen::default() });
        assert!(differences(&document, &observation).is_empty());
        observation.programs[0].maps.pop();
        assert!(differences(&document, &observation)[0].contains("uses the maps"));
    }
}
