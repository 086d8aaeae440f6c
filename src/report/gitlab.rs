//! GitLab's Code Quality report: a JSON array, shown beside the lines of a merge request.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;

use super::document::Document;
use super::dossier::questions;
use super::fingerprint::{fingerprints, fingerprints_of};
use super::matrix::kernels_of;
use super::place::Repository;
use super::runs::LiveOutcome;
use crate::rule::Level;

#[derive(Serialize)]
struct Issue<'a> {
    description: String,
    check_name: &'a str,
    fingerprint: String,
    severity: &'a str,
    location: Location,
}

#[derive(Serialize)]
struct Location {
    path: String,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: u32,
}

/// Prints the findings, inputs that cannot be read, and kernels that could not be asked, as Code Quality issues.
///
/// # Errors
/// The writer's.
pub fn gitlab(document: &Document, repository: &Repository, out: &mut impl Write) -> io::Result<()> {
    let mut issues = Vec::new();
    for object in &document.objects {
        if let Some(error) = &object.error {
            issues.push(Issue {
                description: format!("{}: {}", object.path, error.message),
                check_name: &error.code,
                fingerprint: format!("{}:{}", error.code, object.path),
                severity: "blocker",
                location: Location { path: repository.object(&object.path).path, lines: Lines { begin: 1 } },
            });
        }
    }
    for run in document.runs.iter().filter(|run| run.outcome == LiveOutcome::Unasked) {
        let object = &document.objects[run.object];
        issues.push(Issue {
            description: format!("{}: {} could not be asked: {}", object.title(), run.kernel, run.words),
            check_name: "live-unasked",
            fingerprint: format!("live-unasked:{}:{}", object.title(), run.kernel),
            severity: "blocker",
            location: Location { path: repository.object(&object.path).path, lines: Lines { begin: 1 } },
        });
    }
    let seen = || document.runs.iter().flat_map(|run| &run.findings);
    let live = seen().zip(fingerprints_of(document, seen()));
    for (finding, fingerprint) in document.findings.iter().zip(fingerprints(document)).chain(live) {
        let place =
            repository.places_inside(&document.objects[finding.object], &finding.locations).swap_remove(0);
        let mut description = format!("{}: {}", document.objects[finding.object].title(), finding.message);
        description.push_str(&on(document, &finding.kernels));
        issues.push(Issue {
            description,
            check_name: finding.rule.name,
            fingerprint,
            severity: match finding.level {
                Level::Error => "critical",
                Level::Warning => "minor",
                Level::Note | Level::Allow => "info",
            },
            location: Location { path: place.path, lines: Lines { begin: place.line.unwrap_or(1) } },
        });
    }
    let parts = document.parts();
    for (part, open, kernels) in questions(&parts) {
        let place = repository.places_inside(part.object, &open.locations).swap_remove(0);
        let title = part.object.title();
        let on = on(document, &kernels);
        let description =
            format!("{title}: cannot tell: {}{on}; {} would tell", open.question(), open.way_out());
        issues.push(Issue {
            fingerprint: format!("undecided:{}:{title}:{}", open.rule.name, open.question()),
            description,
            check_name: open.rule.name,
            severity: "info",
            location: Location { path: place.path, lines: Lines { begin: place.line.unwrap_or(1) } },
        });
    }
    // What is said of an object as a whole is shown where it changes.
    for object in document.objects.iter().filter(|object| object.error.is_none()) {
        let description = format!("{}: {}", object.title(), object.sentence);
        issues.push(Issue {
            fingerprint: format!("verdict:{description}"),
            description,
            check_name: "verdict",
            severity: "info",
            location: Location { path: repository.object(&object.path).path, lines: Lines { begin: 1 } },
        });
    }
    // One path may be given twice.
    let mut seen: HashMap<String, u32> = HashMap::new();
    for issue in &mut issues {
        let ordinal = seen.entry(issue.fingerprint.clone()).or_default();
        *ordinal += 1;
        if *ordinal > 1 {
            issue.fingerprint.push_str(&format!("#{ordinal}"));
        }
    }
    serde_json::to_writer_pretty(&mut *out, &issues)?;
    writeln!(out)
}

/// ` (kernels 7.1, 7.2)` where something is not about all kernels.
fn on(document: &Document, kernels: &[usize]) -> String {
    let kernels = kernels_of(document, kernels);
    if kernels.is_empty() { String::new() } else { format!(" (kernels {})", kernels.join(", ")) }
}
