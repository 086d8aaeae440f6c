//! One line per finding, for editors and logs.

use std::io::{self, Write};

use super::{Document, counts, unmatched};

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
        writeln!(out, "{place}: {}[{}]: {}", finding.level, finding.rule, finding.message)?;
    }
    for undecided in document.undecided.iter().filter(|open| !document.is_moot(open)) {
        let path = document.objects[undecided.object].title();
        let (kind, name) = (undecided.subject.kind, &undecided.subject.name);
        writeln!(out, "{path}: undecided[{}]: {kind} '{name}': {}", undecided.rule, undecided.reason)?;
    }
    for line in unmatched(document) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", counts(document))
}
