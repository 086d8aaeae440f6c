//! One sentence on an object: on which kernels it works, and what stops it on the others.

use super::document::Document;
use super::findings::FindingDoc;
use super::matrix::{Fate, Matrix, kernel_names};
use super::runs::LiveOutcome;
use crate::kernel::Source;
use crate::kernel::builtin::RELEASES;
use crate::rule::{Level, Phase};

/// Kernels by name; a run of three and more releases that follow each other as `first-last`.
pub(super) fn kernel_list(document: &Document, kernels: &[usize]) -> String {
    let names = kernel_names(document);
    let name = |kernel: usize| names.get(kernel).map_or("?", String::as_str);
    let mut parts: Vec<String> = Vec::new();
    let mut rest = kernels;
    while let Some(&first) = rest.first() {
        // A range of file names would say nothing, nor one of releases in another order.
        let release = |kernel: usize| {
            let known = document.kernels.get(kernel).filter(|kernel| kernel.source == Source::BuiltIn)?;
            RELEASES.iter().position(|release| release.name == known.name)
        };
        let start = release(first);
        let follows =
            |(i, kernel): (usize, &usize)| start.is_some_and(|start| release(*kernel) == Some(start + i));
        let run = rest.iter().enumerate().take_while(|&(i, kernel)| follows((i, kernel))).count();
        let take = if run >= 3 { run } else { 1 };
        parts.push(match take {
            1 => name(first).to_owned(),
            _ => format!("{}-{}", name(first), name(rest[take - 1])),
        });
        rest = &rest[take..];
    }
    parts.join(", ")
}

/// The kernels that something is about, as `kernel_list` spells them; `None` where it is about all, or none is named.
pub(super) fn only_on(document: &Document, kernels: &[usize]) -> Option<String> {
    (kernels.len() < document.kernels.len()).then(|| kernel_list(document, kernels))
}

/// The sentence.
pub(super) fn answer(document: &Document, object: usize) -> String {
    if document.kernels.is_empty() {
        return without_kernel(document, object);
    }
    let matrix = Matrix::of(document);
    let Some(row) = matrix.rows.iter().find(|row| row.object == object && row.ops.is_none()) else {
        return "cannot be read".to_owned();
    };
    let mut works = Vec::new();
    let mut attaches = Vec::new();
    let mut unknown: Vec<(usize, String)> = Vec::new();
    let mut fails: Vec<(Vec<usize>, String)> = Vec::new();
    for (kernel, cell) in row.cells.iter().enumerate() {
        match cell.fate {
            Fate::Works => works.push(kernel),
            Fate::Attaches => attaches.push((kernel, first_question(document, object, kernel))),
            Fate::Unreadable => return "cannot be read".to_owned(),
            Fate::Unknown => unknown.push((kernel, first_question(document, object, kernel))),
            Fate::Fails(phase) => {
                let reason =
                    format!("{}: {}", cell.fate.words(), first_reason(document, object, kernel, phase));
                match fails.iter_mut().find(|(_, known)| *known == reason) {
                    Some((kernels, _)) => kernels.push(kernel),
                    None => fails.push((vec![kernel], reason)),
                }
            }
        }
    }
    let mut parts = Vec::new();
    if !works.is_empty() {
        parts.push(format!("works on {}", kernel_list(document, &works)));
    }
    for (kernels, reason) in fails {
        parts.push(format!("on {} {reason}", kernel_list(document, &kernels)));
    }
    for (kernels, reason) in merged(attaches) {
        parts.push(format!("attaches on {}, but may not stay: {reason}", kernel_list(document, &kernels)));
    }
    for (kernels, reason) in merged(unknown) {
        parts.push(format!("cannot tell for {}: {reason}", kernel_list(document, &kernels)));
    }
    // A real kernel has said otherwise, or may have: what it did comes further down.
    let is_refuted =
        document.runs.iter().any(|run| run.object == object && run.outcome != LiveOutcome::Passed);
    if is_refuted { format!("by the file alone: {}", parts.join("; ")) } else { parts.join("; ") }
}

/// Kernels with one reason together, in the order of the first.
fn merged(reasons: Vec<(usize, String)>) -> Vec<(Vec<usize>, String)> {
    let mut merged: Vec<(Vec<usize>, String)> = Vec::new();
    for (kernel, reason) in reasons {
        match merged.iter_mut().find(|(_, known)| *known == reason) {
            Some((kernels, _)) => kernels.push(kernel),
            None => merged.push((vec![kernel], reason)),
        }
    }
    merged
}

/// The first finding that stops an object on a kernel.
fn first_reason(document: &Document, object: usize, kernel: usize, phase: Phase) -> String {
    let here = |finding: &&FindingDoc| {
        finding.object == object
            && finding.refuses
            && finding.phase == phase
            && (finding.kernels.is_empty() || finding.kernels.contains(&kernel))
    };
    // An error first, else what the user made a warning or note of.
    let mut found = document.findings.iter().filter(here);
    let first = found.clone().find(|finding| finding.level == Level::Error).or_else(|| found.next());
    first.map_or_else(|| "by a rule that is allowed".to_owned(), |finding| finding.message.clone())
}

/// The first open question about an object on a kernel.
fn first_question(document: &Document, object: usize, kernel: usize) -> String {
    // Open questions about notes do not keep a verdict open; of the others the one that comes up first.
    let here = document.undecided.iter().filter(|open| {
        open.object == object && open.kernels.contains(&kernel) && open.rule.level >= Level::Warning
    });
    here.min_by_key(|open| open.rule.phase).map_or_else(
        || "no rule says".to_owned(),
        |open| format!("{} '{}': {}", open.subject.kind.as_str(), open.subject.name, open.reason),
    )
}

fn without_kernel(document: &Document, object: usize) -> String {
    let Some(verdict) = document.verdicts.iter().find(|v| v.object == object && v.struct_ops.is_none())
    else {
        return "cannot be read".to_owned();
    };
    let Some(phase) = verdict.failure() else {
        return "opens; nothing in the file keeps it from loading and attaching (no kernel named)".to_owned();
    };
    let words = match phase {
        Phase::Open => "will not open",
        Phase::Load => "will not load",
        Phase::Attach => "will not attach",
        Phase::Run => "will be ejected",
    };
    let mut rules: Vec<&str> = Vec::new();
    let stops = |f: &&FindingDoc| f.object == object && f.phase == phase && f.level == Level::Error;
    for finding in document.findings.iter().filter(stops) {
        if !rules.contains(&finding.rule.name) {
            rules.push(finding.rule.name);
        }
    }
    if rules.is_empty() { words.to_owned() } else { format!("{words}: {}", rules.join(", ")) }
}
