//! One line per finding, for editors and logs.

use std::io::{self, Write};

use super::document::Document;
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
        let path = document.objects[finding.object].title();
        let place = finding.locations.iter().find_map(|location| {
            let (file, line) = (location.file.as_ref()?, location.line?);
            let column = location.column.map_or_else(String::new, |column| format!(":{column}"));
            Some(format!("{file}:{line}{column}: {path}"))
        });
        let place = place.unwrap_or_else(|| path.clone());
        let on = on(document, &finding.kernels);
        writeln!(out, "{place}: {}[{}]: {}{on}", finding.level.as_str(), finding.rule.name, finding.message)?;
    }
    for undecided in document.undecided.iter().filter(|open| !document.is_moot(open)) {
        let path = document.objects[undecided.object].title();
        let (kind, name) = (undecided.subject.kind.as_str(), &undecided.subject.name);
        let on = on(document, &document.still_open(undecided));
        writeln!(
            out,
            "{path}: undecided[{}]: {kind} '{name}': {}{on}",
            undecided.rule.name, undecided.reason
        )?;
    }
    if document.failing_only {
        return Ok(());
    }
    for line in unmatched(document) {
        writeln!(out, "{line}")?;
    }
    #[cfg(feature = "cli")]
    if !document.kernels.is_empty() {
        for (number, object) in
            document.objects.iter().enumerate().filter(|(_, object)| object.error.is_none())
        {
            writeln!(out, "{}: {}", object.title(), super::answer::answer(document, number))?;
        }
    }
    writeln!(out, "{}", counts(document))
}

/// ` (on 7.1, 7.2)` where something is not about all kernels.
fn on(document: &Document, kernels: &[usize]) -> String {
    if kernels.len() == document.kernels.len() {
        return String::new();
    }
    let names =
        kernels.iter().filter_map(|&kernel| document.kernels.get(kernel)).map(|kernel| kernel.name.as_str());
    format!(" (on {})", names.collect::<Vec<_>>().join(", "))
}
