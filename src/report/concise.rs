//! One line per finding, for editors and logs.

use std::io::{self, Write};

use super::document::{Document, KernelDoc};
use super::dossier::questions;
use super::location::LocationDoc;
use super::words::{counts, unmatched};

/// Prints `FILE:LINE:COL: level[rule]: message`, or the object's path where there is no C line.
///
/// # Errors
/// The writer's.
pub fn concise(document: &Document, out: &mut impl Write) -> io::Result<()> {
    for object in &document.objects {
        if let Some(error) = &object.error {
            writeln!(out, "{}: error: {}", object.path, error.message)?;
        }
    }
    for finding in document.findings.iter().filter(|finding| !finding.known) {
        let place = place(&finding.locations, &document.objects[finding.object].title());
        let on = on(document, &finding.kernels);
        writeln!(out, "{place}: {}[{}]: {}{on}", finding.level.as_str(), finding.rule.name, finding.message)?;
    }
    for (part, open, kernels) in questions(&document.parts()) {
        let place = place(&open.locations, &part.object.title());
        let on = on(document, &kernels);
        let way = open.way_out();
        writeln!(out, "{place}: undecided[{}]: {}{on}; {way} would tell", open.rule.name, open.question())?;
    }
    if document.failing_only {
        return Ok(());
    }
    for line in unmatched(document) {
        writeln!(out, "{line}")?;
    }
    for object in document.objects.iter().filter(|object| object.error.is_none()) {
        writeln!(out, "{}: {}", object.title(), object.sentence)?;
    }
    writeln!(out, "{}", counts(document))
}

/// The first C line of some places and the object's path; only the path where there is no line.
fn place(locations: &[LocationDoc], path: &str) -> String {
    let place = locations.iter().find_map(|location| {
        let (file, line) = (location.file.as_ref()?, location.line?);
        let column = location.column.map_or_else(String::new, |column| format!(":{column}"));
        Some(format!("{file}:{line}{column}: {path}"))
    });
    place.unwrap_or_else(|| path.to_owned())
}

/// ` (on 7.1, 7.2)` where something is not about all kernels.
fn on(document: &Document, kernels: &[usize]) -> String {
    if kernels.len() == document.kernels.len() {
        return String::new();
    }
    let names = kernels.iter().filter_map(|&kernel| document.kernels.get(kernel)).map(KernelDoc::title);
    format!(" (on {})", names.collect::<Vec<_>>().join(", "))
}
