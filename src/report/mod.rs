//! Reports: one owned document, printed in several formats.
//!
//! [`Document`] is JSON version 1; the formats for people print the same document.

mod concise;
mod document;
#[cfg(feature = "cli")]
mod full;
mod inspect;

pub use concise::concise;

pub use document::*;
#[cfg(feature = "cli")]
pub use full::{Sources, Style, full, render};
pub use inspect::inspect;

use std::io::{self, Write};

/// Prints JSON version 1 and a line feed.
///
/// # Errors
/// The writer's.
pub fn json(document: &Document, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    writeln!(out)
}

/// The JSON Schema (2020-12) of the document.
pub const SCHEMA: &str = include_str!("../../schema/scx-lint-1.json");

/// `1 error, 2 warnings in 3 objects`.
fn counts(document: &Document) -> String {
    let summary = &document.summary;
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    let mut parts = vec![plural(summary.errors, "error"), plural(summary.warnings, "warning")];
    if summary.notes > 0 {
        parts.push(plural(summary.notes, "note"));
    }
    if summary.undecided > 0 {
        parts.push(format!("{} undecided", summary.undecided));
    }
    format!("{} in {}", parts.join(", "), plural(summary.objects, "input"))
}

#[cfg(feature = "cli")]
/// One sentence on an object: how far it comes, and what stops it.
fn answer(document: &Document, object: usize) -> String {
    let Some(verdict) = document.verdicts.iter().find(|v| v.object == object && v.struct_ops.is_none())
    else {
        return "cannot be read".to_owned();
    };
    let phases = [
        (verdict.open, "open", "will not open"),
        (verdict.load, "load", "will not load"),
        (verdict.attach, "attach", "will not attach"),
        (verdict.run, "run", "will be ejected"),
    ];
    for (answer, phase, words) in phases {
        if answer == Answer::Fail {
            let mut rules: Vec<&str> = Vec::new();
            for finding in document
                .findings
                .iter()
                .filter(|f| f.object == object && f.phase == phase && f.level == "error")
            {
                if !rules.contains(&finding.rule) {
                    rules.push(finding.rule);
                }
            }
            return if rules.is_empty() {
                words.to_owned()
            } else {
                format!("{words}: {}", rules.join(", "))
            };
        }
    }
    "opens; nothing in the file keeps it from loading and attaching (no kernel named)".to_owned()
}
