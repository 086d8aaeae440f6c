//! Observations as the formats of services show them: rows with a finding for each failure.

use super::observation::{AttachSeen, Observation, code};
use super::run::Live;
use super::statistics::Change;
use super::{objection, sentence, text};
use crate::errno::Errno;
use crate::finding::{Subject, SubjectKind};
use crate::report::{Document, FindingDoc, LIVE_FAILURE, LIVE_GROWTH, LiveOutcome, LiveRun};
use crate::rule::{Phase, Rule};

/// Last lines of a guest's console that a finding quotes.
const CONSOLE: usize = 12;

/// A row for each observation, in their order.
pub fn runs(live: &Live, document: &Document) -> Vec<LiveRun> {
    let mut runs: Vec<LiveRun> = live.observations.iter().map(run).collect();
    let changes = live.comparison.iter().flat_map(|comparison| &comparison.changes);
    for change in changes.filter(|change| change.fails) {
        let of = |run: &(&mut LiveRun, &Observation)| {
            document.objects[run.0.object].title() == change.path
                && run.1.kernel.release == change.release
                && run.1.programs.iter().any(|program| program.name == change.program)
        };
        if let Some((run, _)) = runs.iter_mut().zip(&live.observations).find(of) {
            let finding = growth(run.object, change);
            run.findings.push(finding);
        }
    }
    runs.iter_mut().for_each(LiveRun::make_printable);
    runs
}

fn run(seen: &Observation) -> LiveRun {
    let unasked = seen.failure.as_ref().is_some_and(|failure| code::is_unanswered(&failure.code));
    let outcome = match () {
        () if seen.is_ok() => LiveOutcome::Passed,
        () if unasked => LiveOutcome::Unasked,
        () => LiveOutcome::Failed,
    };
    let words = sentence::sentence(seen);
    let words = words.split_once(": ").map_or(words.as_str(), |(_, rest)| rest).to_owned();
    let mut run = LiveRun::new(seen.object, sentence::place(seen), outcome, words);
    run.differs = seen.differs.iter().map(ToString::to_string).collect();
    run.unforeseen = seen.unforeseen.iter().map(ToString::to_string).collect();
    if outcome == LiveOutcome::Failed {
        run.findings.push(failure(seen, &run));
    }
    run
}

fn finding(
    rule: &'static Rule,
    object: usize,
    phase: Phase,
    kind: SubjectKind,
    name: &str,
    message: String,
) -> FindingDoc {
    let subject = Subject { kind, name: name.to_owned() };
    FindingDoc { phase, ..FindingDoc::new(rule, object, subject, message) }
}

/// The first thing that went wrong, which is what the sentence is about.
fn failure(seen: &Observation, run: &LiveRun) -> FindingDoc {
    let message = format!("on {}: {}", run.kernel, run.words);
    if let Some(phase) = seen.phases.iter().find(|phase| !phase.ok) {
        if let Some(found) = phase.diagnostic.as_ref().filter(|found| !found.message.is_empty()) {
            return FindingDoc {
                rule: &LIVE_FAILURE,
                message,
                ..objection::finding(seen.object, found, phase, false)
            };
        }
        let (kind, name) = match &phase.program {
            Some(program) => (SubjectKind::Program, program.as_str()),
            None => (SubjectKind::Object, ""),
        };
        let mut doc = finding(&LIVE_FAILURE, seen.object, phase.phase, kind, name, message);
        doc.errno = phase.errno.as_deref().and_then(Errno::from_words);
        doc.kernel_message = phase.messages.first().cloned();
        return doc;
    }
    if let Some(attach) = seen.attach.iter().find(|attach| !attach.ok) {
        let phase = if attach.enabled { Phase::Run } else { Phase::Attach };
        let mut doc =
            finding(&LIVE_FAILURE, seen.object, phase, SubjectKind::StructOps, &attach.map, message);
        doc.errno = attach.errno.as_deref().and_then(Errno::from_words);
        doc.kernel_message = reason(attach);
        return doc;
    }
    let during = seen.failure.as_ref().and_then(|failure| failure.during.as_deref()).unwrap_or_default();
    let phase = match during.split(' ').next() {
        Some("open") => Phase::Open,
        Some("attach") => Phase::Attach,
        Some("hold" | "detach") => Phase::Run,
        _ => Phase::Load,
    };
    let mut doc = finding(&LIVE_FAILURE, seen.object, phase, SubjectKind::Object, "", message);
    let console = seen.failure.as_ref().map_or(&[][..], |failure| &failure.console);
    if !console.is_empty() {
        let last = &console[console.len().saturating_sub(CONSOLE)..];
        doc.help = Some(format!("the guest's console said last:\n{}", last.join("\n")));
    }
    doc
}

/// The kernel's own words.
fn reason(attach: &AttachSeen) -> Option<String> {
    match &attach.exit {
        Some(exit) if exit.message.is_empty() => Some(exit.reason.clone()),
        Some(exit) => Some(exit.message.clone()),
        None => attach.kernel_log.first().cloned(),
    }
}

fn growth(object: usize, change: &Change) -> FindingDoc {
    let message = format!(
        "on {}: program '{}': {} {} -> {} ({:+.1} %), which is above the threshold",
        change.release,
        change.program,
        text::metric(change),
        change.values.0,
        change.values.1,
        change.percent()
    );
    finding(&LIVE_GROWTH, object, Phase::Load, SubjectKind::Program, &change.program, message)
}

#[cfg(test)]
mod tests {
    use super::super::observation::{ExitSeen, Failure, PhaseSeen};
    use super::*;
    use crate::verifier::log::Diagnostic;

    fn loaded() -> Observation {
        let phase = |phase| PhaseSeen { phase, ok: true, ..PhaseSeen::default() };
        Observation { phases: vec![phase(Phase::Open), phase(Phase::Load)], ..Observation::default() }
    }

    #[test]
    fn a_failure_is_a_finding_at_its_phase() {
        let exit = ExitSeen { message: "ops.init() failed (-17)".to_owned(), ..ExitSeen::default() };
        let attach = AttachSeen {
            map: "demo_ops".to_owned(),
            call_ok: true,
            exit: Some(exit),
            ..AttachSeen::default()
        };
        let seen = Observation { attach: vec![attach], ..loaded() };
        let run = super::run(&seen);
        assert_eq!(run.outcome, LiveOutcome::Failed);
        let found = &run.findings[0];
        assert_eq!(
            (found.rule, found.phase, found.subject.name.as_str()),
            (&LIVE_FAILURE, Phase::Attach, "demo_ops")
        );
        assert_eq!(found.kernel_message.as_deref(), Some("ops.init() failed (-17)"));
        assert!(super::run(&loaded()).findings.is_empty());
    }

    #[test]
    fn what_the_verifier_refuses_has_its_line() {
        let mut seen = loaded();
        seen.phases[1].ok = false;
        seen.phases[1].program = Some("enqueue".to_owned());
        seen.phases[1].diagnostic = Some(Diagnostic {
            message: "R1 invalid mem access 'scalar'".to_owned(),
            program: "enqueue".to_owned(),
            file: Some("a.bpf.c".to_owned()),
            line: Some(7),
            ..Diagnostic::default()
        });
        let found = super::run(&seen).findings.remove(0);
        assert_eq!((found.rule, found.phase, found.locations[0].line), (&LIVE_FAILURE, Phase::Load, Some(7)));
    }

    #[test]
    fn a_kernel_that_could_not_be_asked_is_no_failure() {
        let seen =
            Observation { failure: Some(Failure::new(code::NO_QEMU, "no QEMU")), ..Observation::default() };
        let run = super::run(&seen);
        assert_eq!((run.outcome, run.findings.len()), (LiveOutcome::Unasked, 0));
        let panic = Failure {
            during: Some("hold 'a'".to_owned()),
            console: vec!["last".to_owned()],
            ..Failure::new(code::PANIC, "Kernel panic - not syncing")
        };
        let run = super::run(&Observation { failure: Some(panic), ..loaded() });
        assert_eq!((run.outcome, run.findings[0].phase), (LiveOutcome::Failed, Phase::Run));
        assert!(run.findings[0].help.as_ref().is_some_and(|help| help.ends_with("last")));
    }
}
