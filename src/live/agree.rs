//! Holds what a kernel did against what the static report says. A difference is a bug in scx-lint.

use super::difference::{Difference, Unforeseen};
use super::observation::{ArenaRuleSeen, Came, Observation};
use crate::checks::{ArenaRule, DISALLOW_DURING_FORK, Options};
use crate::finding::SubjectKind;
use crate::kernel::Kernel;
use crate::lint::Judged;
use crate::load::Values;
use crate::object::Object;
use crate::report::{Answer, Document, FindingDoc, Verdict};
use crate::rule::{Level, Phase};

/// What is foreseen of one object on the kernel of one observation, for a kernel that the report is not about.
///
/// Where the kernel's types are not known the only thing taken from it is its arena rule, as the guest saw it.
pub fn foreseen(
    path: &str,
    object: &Object<'_>,
    (values, options): (&Values, &Options),
    kernel: Option<&Kernel<'_>>,
    seen: &Observation,
) -> Document {
    let mut options = options.clone();
    if options.arena_rule == ArenaRule::Auto && kernel.is_none() {
        options.arena_rule = match seen.kernel.arena_rule {
            Some(ArenaRuleSeen::Always) => ArenaRule::Always,
            _ => ArenaRule::One,
        };
    }
    Judged::new(path, object, kernel.as_slice(), values, &options).foreseen().pop().unwrap_or_default()
}

/// What the comparison of a report with a real kernel gives.
#[derive(Debug, Default)]
pub struct Compared {
    /// Where they disagree: bugs in scx-lint.
    pub differs: Vec<Difference>,
    /// What failed that is not modelled.
    pub unforeseen: Vec<Unforeseen>,
}

/// Compares what is foreseen of one object on one kernel with what was seen there: verdicts phase by phase, and the maps of
/// every program that loaded.
pub fn compare(document: &Document, seen: &Observation) -> Compared {
    let mut compared = Compared::default();
    let several = document.verdicts.iter().any(|verdict| verdict.struct_ops.is_some());
    for verdict in &document.verdicts {
        // A whole object's attach verdict is that of its worst ops variable; each has a row of its own.
        let phases: &[Phase] = match (&verdict.struct_ops, several) {
            (None, true) => &[Phase::Open, Phase::Load],
            (Some(_), _) => &[Phase::Attach, Phase::Run],
            (None, false) => &Phase::ALL,
        };
        for &phase in phases {
            difference(document, verdict, phase, seen, &mut compared);
        }
    }
    for object in &document.objects {
        for program in &seen.programs {
            let Some(known) = object.programs.iter().find(|known| known.name == program.name) else {
                compared.differs.push(Difference::UnknownProgram { program: program.name.clone() });
                continue;
            };
            let mut expected: Vec<String> = known.maps.iter().chain(&known.bound_maps).cloned().collect();
            let mut seen = program.maps.clone();
            expected.sort_unstable();
            seen.sort_unstable();
            if expected != seen {
                compared.differs.push(Difference::OtherMaps {
                    program: program.name.clone(),
                    seen,
                    expected,
                });
            }
        }
    }
    compared
}

/// Why a failure could not have been foreseen: some things show only when a program is verified or runs. `None` for one that
/// the file and the kernel's types show.
fn unforeseen(phase: Phase, map: Option<&str>, seen: &Observation) -> Option<Unforeseen> {
    match phase {
        Phase::Open => None,
        Phase::Load => {
            let program = seen.phase(Phase::Load).and_then(|load| load.program.clone());
            program.map(|program| Unforeseen::Refused { program })
        }
        Phase::Attach | Phase::Run => {
            let mut maps = seen.attach.iter().filter(|attach| map.is_none_or(|map| map == attach.map));
            let failed = maps.find(|attach| attach.call_ok && !attach.ok)?;
            failed.exit.as_ref().map(|exit| Unforeseen::Exited {
                ops: failed.map.clone(),
                reason: exit.reason.clone(),
                message: exit.message.clone(),
            })
        }
    }
}

/// The errors that are foreseen at a phase.
fn errors(document: &Document, phase: Phase) -> impl Iterator<Item = &FindingDoc> {
    document.findings.iter().filter(move |finding| finding.level == Level::Error && finding.phase == phase)
}

/// Whether a hold without an ejection speaks against what the report foresees of it: the kernel ejects when a callback
/// does the forbidden thing, and an idle machine may not have called it at all.
fn was_tried(document: &Document, seen: &Observation) -> bool {
    // Wrong only for tasks that are forked: `init_task` runs for all others at the enabling, and that it ran tells nothing.
    let foreseen = errors(document, Phase::Run).filter(|finding| *finding.rule != DISALLOW_DURING_FORK);
    let mut foreseen = foreseen.map(|finding| {
        let named = finding.locations.iter().filter_map(|location| location.program.as_deref());
        named.chain((finding.subject.kind == SubjectKind::Program).then_some(finding.subject.name.as_str()))
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
    let foreseen = errors(document, Phase::Attach);
    let mut words = foreseen.filter_map(|finding| finding.kernel_message.as_deref());
    let ejected =
        seen.attach.iter().filter(|attach| attach.ejected && map.is_none_or(|map| map == attach.map));
    let said: Vec<&str> = ejected.filter_map(|attach| Some(attach.exit.as_ref()?.message.as_str())).collect();
    words.any(|words| said.iter().any(|said| said.contains(words)))
}

/// Whether what is foreseen of the attach is about programs that are no callbacks alone: only struct_ops maps are attached here.
fn is_of_other_programs(document: &Document) -> bool {
    let is_callback = |program: &str| {
        let ops = document.objects.iter().flat_map(|object| &object.struct_ops);
        ops.flat_map(|ops| &ops.members).any(|member| member.program.as_deref() == Some(program))
    };
    let mut foreseen = errors(document, Phase::Attach).peekable();
    foreseen.peek().is_some()
        && foreseen.all(|finding| {
            finding.subject.kind == SubjectKind::Program && !is_callback(&finding.subject.name)
        })
}

fn difference(
    document: &Document,
    verdict: &Verdict,
    phase: Phase,
    seen: &Observation,
    compared: &mut Compared,
) {
    let map = verdict.struct_ops.as_deref();
    let ops = verdict.struct_ops.clone();
    match (verdict.at(phase), seen.came(phase, map)) {
        (Answer::Fail, Came::Pass) if phase == Phase::Run && !was_tried(document, seen) => {}
        (Answer::Fail, Came::Pass) if phase == Phase::Attach && foreseen_came_late(document, map, seen) => {}
        (Answer::Fail, Came::Pass) if phase == Phase::Attach && is_of_other_programs(document) => {}
        (Answer::Fail, Came::Pass) => {
            let rules = errors(document, phase).map(|finding| finding.rule).collect();
            compared.differs.push(Difference::Succeeded { phase, ops, rules });
        }
        (Answer::Pass, Came::Fail) => match unforeseen(phase, map, seen) {
            // What the verifier is known to accept loads; what a program then does is not walked.
            Some(unforeseen) if !(verdict.proven && phase <= Phase::Load) => {
                if !compared.unforeseen.contains(&unforeseen) {
                    compared.unforeseen.push(unforeseen);
                }
            }
            _ => compared.differs.push(Difference::Failed { phase, ops }),
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::observation::{AttachSeen, PhaseSeen, ProgramSeen};
    use super::*;

    fn seen(load: bool, enabled: bool) -> Observation {
        let phase = |phase, ok| PhaseSeen { phase, ok, ..PhaseSeen::default() };
        let attach = AttachSeen { map: "demo".to_owned(), enabled, ok: enabled, ..AttachSeen::default() };
        Observation {
            phases: vec![phase(Phase::Open, true), phase(Phase::Load, load)],
            attach: if load { vec![attach] } else { Vec::new() },
            ..Observation::default()
        }
    }

    fn document(open: Answer, load: Answer, attach: Answer) -> Document {
        let mut document = Document::default();
        let verdict = Verdict {
            object: 0,
            kernel: None,
            struct_ops: None,
            open,
            load,
            attach,
            run: Answer::Unknown,
            proven: false,
            unproven: Vec::new(),
            knobs: Vec::new(),
            otherwise: None,
        };
        document.verdicts.push(verdict);
        document
    }

    fn said(document: &Document, seen: &Observation) -> Vec<String> {
        compare(document, seen).differs.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_an_answer_that_was_refuted_differs() {
        use Answer::{Fail, Pass, Unknown};
        let says = |document: Document, seen| said(&document, &seen);
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
            let document = foreseen(
                "running.bpf.o",
                &object,
                (&Values::default(), &Options::default()),
                Some(&kernel),
                &seen,
            );
            assert!(document.verdicts.iter().any(|verdict| verdict.run == Answer::Fail));
            super::tests::said(&document, &seen)
        };
        assert!(said(Some(0)).is_empty());
        assert!(said(Some(1))[0].starts_with("run succeeded, the static report says it fails"));
        // A kernel that does not count.
        assert!(said(None)[0].starts_with("run succeeded"));
    }

    #[test]
    fn init_task_of_tasks_that_do_not_fork_refutes_nothing() {
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
        let document = foreseen(
            "always.bpf.o",
            &object,
            (&Values::default(), &Options::default()),
            Some(&kernel),
            &seen,
        );
        assert!(document.verdicts.iter().any(|verdict| verdict.run == Answer::Fail));
        assert!(compare(&document, &seen).differs.is_empty());
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
            let document = foreseen(
                "task_cgroup.bpf.o",
                &object,
                (&Values::default(), &Options::default()),
                Some(&kernel),
                &seen,
            );
            assert!(document.verdicts.iter().any(|verdict| verdict.attach == Answer::Fail));
            super::tests::said(&document, &seen)
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
        let document =
            foreseen("two.bpf.o", &object, (&Values::default(), &Options::default()), None, &observation);
        let program = &document.objects[0].programs[0];
        let maps: Vec<String> = program.maps.iter().chain(&program.bound_maps).rev().cloned().collect();
        assert!(!maps.is_empty());
        observation.programs.push(ProgramSeen { name: program.name.clone(), maps, ..ProgramSeen::default() });
        assert!(compare(&document, &observation).differs.is_empty());
        observation.programs[0].maps.pop();
        assert!(said(&document, &observation)[0].contains("uses the maps"));
    }
}
