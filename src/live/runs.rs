//! Observations as the formats of services show them: rows with a finding for each failure.

use super::agree::UNFORESEEN;
use super::observation::{AttachSeen, Observation, code};
use super::run::Live;
use super::statistics::Change;
use super::{objection, sentence, text};
use crate::report::{
    Document, FindingDoc, LIVE_FAILURE, LIVE_GROWTH, LiveOutcome, LiveRun, LocationDoc, SubjectDoc,
};

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
    // A failure that no file shows is told as the failure that it is.
    run.differs = seen.differs.iter().filter(|text| !text.contains(UNFORESEEN)).cloned().collect();
    if outcome == LiveOutcome::Failed {
        run.findings.push(failure(seen, &run));
    }
    run
}

fn finding(
    object: usize,
    phase: &'static str,
    kind: &'static str,
    name: &str,
    message: String,
) -> FindingDoc {
    FindingDoc {
        rule: LIVE_FAILURE,
        level: "error",
        object,
        kernels: Vec::new(),
        phase,
        errno: None,
        kernel_message: None,
        subject: SubjectDoc { kind, name: name.to_owned() },
        message,
        help: None,
        locations: Vec::<LocationDoc>::new(),
        refuses: true,
        known: false,
    }
}

/// The first thing that went wrong, which is what the sentence is about.
fn failure(seen: &Observation, run: &LiveRun) -> FindingDoc {
    let message = format!("on {}: {}", run.kernel, run.words);
    if let Some(phase) = seen.phases.iter().find(|phase| !phase.ok) {
        if let Some(found) = phase.diagnostic.as_ref().filter(|found| !found.message.is_empty()) {
            return FindingDoc {
                rule: LIVE_FAILURE,
                message,
                ..objection::finding(seen.object, found, phase, false)
            };
        }
        let name = if phase.phase == "open" { "open" } else { "load" };
        let mut doc = match &phase.program {
            Some(program) => finding(seen.object, name, "program", program, message),
            None => finding(seen.object, name, "object", "", message),
        };
        doc.errno.clone_from(&phase.errno);
        doc.kernel_message = phase.messages.first().cloned();
        return doc;
    }
    if let Some(attach) = seen.attach.iter().find(|attach| !attach.ok) {
        let phase = if attach.enabled { "run" } else { "attach" };
        let mut doc = finding(seen.object, phase, "struct_ops", &attach.map, message);
        doc.errno.clone_from(&attach.errno);
        doc.kernel_message = reason(attach);
        return doc;
    }
    let during = seen.failure.as_ref().and_then(|failure| failure.during.as_deref()).unwrap_or_default();
    let phase = match during.split(' ').next() {
        Some("open") => "open",
        Some("attach") => "attach",
        Some("hold" | "detach") => "run",
        _ => "load",
    };
    let mut doc = finding(seen.object, phase, "object", "", message);
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
    FindingDoc { rule: LIVE_GROWTH, ..finding(object, "load", "program", &change.program, message) }
}

#[cfg(test)]
mod tests {
    use super::super::observation::{Diagnostic, ExitSeen, Failure, PhaseSeen};
    use super::*;

    fn loaded() -> Observation {
        let phase = |name: &str| PhaseSeen { phase: name.to_owned(), ok: true, ..PhaseSeen::default() };
        Observation { phases: vec![phase("open"), phase("load")], ..Observation::default() }
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
            (LIVE_FAILURE, "attach", "demo_ops")
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
        assert_eq!((found.rule, found.phase, found.locations[0].line), (LIVE_FAILURE, "load", Some(7)));
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
        assert_eq!((run.outcome, run.findings[0].phase), (LiveOutcome::Failed, "run"));
        assert!(run.findings[0].help.as_ref().is_some_and(|help| help.ends_with("last")));
    }
}
