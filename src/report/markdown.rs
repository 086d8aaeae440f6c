//! Markdown (GitHub's flavour), for `$GITHUB_STEP_SUMMARY` and comments: the verdicts as a table, then the findings.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::document::Document;
use super::dossier::{Dossier, questions};
use super::findings::{FindingDoc, UndecidedDoc};
use super::matrix::{Matrix, kernels_of};
use super::place::Repository;
use super::words::{counts, unmatched};
use crate::rule::Rule;

/// GitHub drops a step summary above 1 MiB; what is over is counted.
const LIMIT: usize = 900 << 10;

/// Text that Markdown must take as it is.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' | '\r' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '@' | '!' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// A code span, with a fence that its text cannot close; a table cell splits at `|` even in one.
fn code(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ").replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest > 0 { format!("{fence} {text} {fence}") } else { format!("{fence}{text}{fence}") }
}

/// A link to a rule's page, or its name.
fn rule(repository: &Repository, rule: &Rule) -> String {
    match repository.rule_page(rule) {
        Some(address) => format!("[{}]({address})", code(rule.name)),
        None => code(rule.name),
    }
}

/// Prints the table and the findings.
///
/// # Errors
/// The writer's.
pub fn markdown(document: &Document, repository: &Repository, out: &mut impl Write) -> io::Result<()> {
    let parts = document.parts();
    let matrix = Matrix::of_parts(&parts);
    writeln!(out, "### scx-lint: {}\n", escape(&counts(document)))?;
    write!(out, "| scheduler |")?;
    for column in &matrix.columns {
        write!(out, " {} |", escape(column))?;
    }
    writeln!(out, "\n|---|{}", "---|".repeat(matrix.columns.len()))?;
    for row in &matrix.rows {
        write!(out, "| {} |", code(&row.title))?;
        for cell in &row.cells {
            let sign = cell.fate.emoji();
            if matrix.is_wide() {
                write!(out, " {sign} {}", cell.fate.word())?;
            } else {
                write!(out, " {sign} {}", cell.fate.words())?;
            }
            if !matrix.is_wide() && !cell.rules.is_empty() {
                let rules: Vec<String> = cell.rules.iter().map(|found| rule(repository, found)).collect();
                write!(out, ": {}", rules.join(", "))?;
            }
            write!(out, " |")?;
        }
        writeln!(out)?;
    }
    writeln!(out)?;
    let legend = matrix.fates().into_iter().map(|fate| format!("{} {}", fate.emoji(), fate.meaning()));
    writeln!(out, "{}\n", legend.collect::<Vec<_>>().join(" · "))?;
    for object in document.objects.iter().filter(|object| object.error.is_none()) {
        writeln!(out, "- {}: {}", code(&object.title()), escape(&object.sentence))?;
    }
    for object in &document.objects {
        if let Some(error) = &object.error {
            writeln!(out, "- ⚠️ {}: {}", code(&object.path), escape(&error.message))?;
        }
    }
    live(document, out)?;
    let mut used = 0;
    let seen = document.runs.iter().flat_map(|run| &run.findings);
    let new: Vec<&FindingDoc> =
        document.findings.iter().filter(|finding| !finding.known).chain(seen).collect();
    for (number, finding) in new.iter().enumerate() {
        let text = describe(document, repository, finding);
        used += text.len();
        if used > LIMIT {
            writeln!(out, "\n… and {} more findings.", new.len() - number)?;
            break;
        }
        out.write_all(text.as_bytes())?;
    }
    for line in unmatched(document) {
        writeln!(out, "- {}", escape(&line))?;
    }
    let open: Vec<String> = questions(&parts)
        .map(|(part, open, kernels)| question(document, repository, part, open, &kernels))
        .collect();
    if !open.is_empty() {
        writeln!(out, "\n#### Cannot tell\n")?;
        for (number, text) in open.iter().enumerate() {
            used += text.len();
            if used > LIMIT {
                writeln!(out, "\n… and {} more.", open.len() - number)?;
                break;
            }
            out.write_all(text.as_bytes())?;
        }
    }
    Ok(())
}

/// An open question, the kernels that it is about, where it comes from, and what would answer it.
fn question(
    document: &Document,
    repository: &Repository,
    part: &Dossier<'_>,
    open: &UndecidedDoc,
    kernels: &[usize],
) -> String {
    let (kind, name) = (open.subject.kind.as_str().replace('_', "\\_"), code(&open.subject.name));
    let mut text = format!("- {}: {kind} {name}: {}", rule(repository, open.rule), escape(&open.reason));
    let kernels = kernels_of(document, kernels);
    if !kernels.is_empty() {
        let _ = write!(text, " (kernels {})", escape(&kernels.join(", ")));
    }
    let place = &repository.places(part.object, &open.locations)[0];
    let line = place.line.map_or_else(String::new, |line| format!(":{line}"));
    let _ = write!(text, "  \n  at {}", code(&format!("{}{line}", place.path)));
    if place.line.is_some() {
        let _ = write!(text, " in {}", code(&part.object.title()));
    }
    let ways: Vec<String> = open.ways().map(|way| code(&way)).collect();
    let _ = writeln!(text, "  \n  {} would tell", ways.join(" or "));
    text
}

/// A table of what real kernels did.
fn live(document: &Document, out: &mut impl Write) -> io::Result<()> {
    if document.runs.is_empty() {
        return Ok(());
    }
    writeln!(out, "| scheduler | real kernel | |\n|---|---|---|")?;
    for run in &document.runs {
        let object = document.objects[run.object].title();
        let (sign, word) = (run.outcome.sign(), run.outcome.word());
        write!(out, "| {} | {} | {sign} {word}: {}", code(&object), escape(&run.kernel), escape(&run.words))?;
        for unforeseen in &run.unforeseen {
            write!(out, "<br>not foreseen: {}", escape(unforeseen))?;
        }
        for difference in &run.differs {
            write!(out, "<br>differs: {}", escape(difference))?;
        }
        writeln!(out, " |")?;
    }
    writeln!(out)
}

fn describe(document: &Document, repository: &Repository, finding: &FindingDoc) -> String {
    let mut out = String::new();
    let place = &repository.places(&document.objects[finding.object], &finding.locations)[0];
    let _ = write!(
        out,
        "- **{}** {}: {}",
        finding.level.as_str(),
        rule(repository, finding.rule),
        escape(&finding.message)
    );
    let kernels = kernels_of(document, &finding.kernels);
    if !kernels.is_empty() {
        let _ = write!(out, " (kernels {})", escape(&kernels.join(", ")));
    }
    let line = place.line.map_or_else(String::new, |line| format!(":{line}"));
    let _ = write!(out, "  \n  at {}", code(&format!("{}{line}", place.path)));
    if place.line.is_some() {
        let _ = write!(out, " in {}", code(&document.objects[finding.object].title()));
    }
    if let Some(words) = &finding.kernel_message {
        let errno = finding.errno.as_ref().map_or_else(String::new, |errno| format!("{errno}: "));
        let _ = write!(out, "  \n  {}", code(&format!("{errno}{words}")));
    }
    if let Some(text) = place.text.as_deref().filter(|text| !text.trim().is_empty()) {
        let _ = write!(out, "  \n  {}", code(text.trim()));
    }
    if let Some(help) = &finding.help {
        let _ = write!(out, "  \n  {}", escape(help));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(escape("a_b|c <d> `e`"), "a\\_b\\|c &lt;d&gt; \\`e\\`");
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(code("a `b`` c"), "``` a `b`` c ```");
    }
}
