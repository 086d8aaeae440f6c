//! Sentences that several formats print.

use super::document::Document;
use super::runs::LiveOutcome;

/// A message as a sentence: a capital first, unless it is a name, and a full stop.
#[cfg(feature = "cli")]
pub(super) fn sentence(message: &str) -> String {
    let stop = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    let word = message.split([' ', ':']).next().unwrap_or_default();
    let mut letters = message.chars();
    match letters.next() {
        Some(first) if word.chars().all(|c| c.is_ascii_lowercase()) => {
            format!("{}{}{stop}", first.to_ascii_uppercase(), letters.as_str())
        }
        _ => format!("{message}{stop}"),
    }
}

/// One line for each allow that allows nothing.
pub(super) fn unmatched(document: &Document) -> impl Iterator<Item = String> + '_ {
    document.unmatched_allows.iter().map(|allow| {
        let object =
            allow.object.map_or_else(String::new, |object| format!("{}: ", document.objects[object].title()));
        format!("{object}allow of '{}' ({}) {}", allow.rule, allow.place, allow.problem)
    })
}

/// `1 error`, `2 errors`.
pub(super) fn plural(count: usize, word: &str) -> String {
    match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    }
}

/// `1 error, 2 warnings in 3 objects`.
pub(super) fn counts(document: &Document) -> String {
    let summary = &document.summary;
    let mut parts = vec![plural(summary.errors, "error"), plural(summary.warnings, "warning")];
    if summary.notes > 0 {
        parts.push(plural(summary.notes, "note"));
    }
    let undecided = document.open_questions();
    if undecided > 0 {
        parts.push(format!("{undecided} undecided"));
    }
    if summary.allowed > 0 {
        parts.push(format!("{} allowed", summary.allowed));
    }
    let known = match summary.known {
        0 => String::new(),
        known => format!(" ({known} in the baseline)"),
    };
    let unusable = match document.objects.iter().filter(|object| object.error.is_some()).count() {
        0 => String::new(),
        count => format!(", {count} unusable"),
    };
    let how = |wanted: LiveOutcome| document.runs.iter().filter(|run| run.outcome == wanted).count();
    let (failed, unasked) = (how(LiveOutcome::Failed), how(LiveOutcome::Unasked));
    // A run that could not be made is none: nothing is known of it.
    let mut live = match document.runs.len() - unasked {
        0 if unasked == 0 => String::new(),
        0 => "; no run on real kernels".to_owned(),
        asked if failed == 0 => format!("; {} on real kernels, all passed", plural(asked, "run")),
        asked => format!("; {} on real kernels, {failed} did not pass", plural(asked, "run")),
    };
    if unasked > 0 {
        live.push_str(&format!(", {unasked} could not be made"));
    }
    format!("{}{known} in {}{unusable}{live}", parts.join(", "), plural(summary.objects, "input"))
}

#[cfg(test)]
mod tests {
    use super::super::runs::LiveRun;
    use super::*;

    #[test]
    fn a_run_that_could_not_be_made_is_none() {
        let counted = |outcomes: &[LiveOutcome]| {
            let run = |&outcome| LiveRun::new(0, "7.3.4".to_owned(), outcome, String::new());
            let document = Document { runs: outcomes.iter().map(run).collect(), ..Document::default() };
            counts(&document).split_once(" in 0 inputs").unwrap().1.to_owned()
        };
        use LiveOutcome::{Failed, Passed, Unasked};
        assert_eq!(counted(&[]), "");
        assert_eq!(counted(&[Passed]), "; 1 run on real kernels, all passed");
        assert_eq!(counted(&[Passed, Failed, Passed]), "; 3 runs on real kernels, 1 did not pass");
        assert_eq!(counted(&[Unasked, Unasked]), "; no run on real kernels, 2 could not be made");
        assert_eq!(counted(&[Passed, Unasked]), "; 1 run on real kernels, all passed, 1 could not be made");
    }
}
