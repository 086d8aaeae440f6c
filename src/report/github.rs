//! Workflow commands of GitHub Actions: annotations at the C lines of a pull request.
//!
//! GitHub keeps ten annotations of each level and step and drops the rest in silence. Errors come first; what is over is
//! counted in the tenth and printed into the log.

use std::fmt;
use std::io::{self, Write};

use super::document::Document;
use super::dossier::questions;
use super::findings::FindingDoc;
use super::guard::{Spelling, without_commands};
use super::matrix::kernels_of;
use super::place::{Place, Repository};
use super::printable::escape;
use super::runs::LiveOutcome;
use super::words::{counts, unmatched};
use crate::rule::Level;

/// Annotations of one level that GitHub keeps from a step.
const KEPT: usize = 10;

/// Escapes the text of a command, as the runner's toolkit does. Control characters that the toolkit lets pass are written out: the log
/// is shown by browsers and terminals.
struct Data<'a>(&'a str);

impl fmt::Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_owned();
        escape(&mut text, &['\r', '\n', '\t']);
        f.write_str(&text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A"))
    }
}

/// Escapes the value of a property of a command.
struct Property<'a>(&'a str);

impl fmt::Display for Property<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Data(self.0).to_string().replace(':', "%3A").replace(',', "%2C"))
    }
}

/// A line of the log that the runner must not take for a command.
fn plain(text: &str) -> String {
    let mut text = text.replace(['\r', '\n'], " ");
    escape(&mut text, &['\t']);
    without_commands(&format!("- {text}"), Spelling::Text).into_owned()
}

/// Prints annotations, errors first, and the counts.
///
/// # Errors
/// The writer's.
pub fn github(document: &Document, repository: &Repository, out: &mut impl Write) -> io::Result<()> {
    let mut commands: [(&str, Vec<(String, String)>); 3] =
        [("error", Vec::new()), ("warning", Vec::new()), ("notice", Vec::new())];
    for object in &document.objects {
        if let Some(error) = &object.error {
            let place = repository.object(&object.path);
            let file = if place.inside { &place.path } else { &object.path };
            let title = format!("scx-lint: {}", error.code);
            let properties = format!("file={},title={}", Property(file), Property(&title));
            commands[0].1.push((properties, format!("{}: {}", object.path, error.message)));
        }
    }
    for finding in document.findings.iter().filter(|finding| !finding.known) {
        let at = match finding.level {
            Level::Error => 0,
            Level::Warning => 1,
            Level::Note | Level::Allow => 2,
        };
        commands[at].1.push(annotation(document, repository, finding));
    }
    for run in &document.runs {
        for finding in &run.findings {
            commands[0].1.push(annotation(document, repository, finding));
        }
        let title = document.objects[run.object].title();
        let place = repository.object(&document.objects[run.object].path);
        let properties = |name: &str| format!("file={},title={}", Property(&place.path), Property(name));
        if run.outcome == LiveOutcome::Unasked {
            let text = format!("{title}: {} could not be asked: {}", run.kernel, run.words);
            commands[0].1.push((properties("scx-lint: no answer"), text));
        }
        for difference in &run.differs {
            let text = format!("{title}: on {}: {difference}", run.kernel);
            commands[1].1.push((properties("scx-lint: differs"), text));
        }
    }
    for (part, open, kernels) in questions(&document.parts()) {
        let place = &repository.places(part.object, &open.locations)[0];
        let mut message = format!("{}: cannot tell: {}", part.object.title(), open.question());
        let kernels = kernels_of(document, &kernels);
        if !kernels.is_empty() {
            message.push_str(&format!("\non kernels {}", kernels.join(", ")));
        }
        message.push_str(&format!("\n{} would tell", open.way_out()));
        commands[2].1.push((properties(place, open.rule.name), message));
    }
    for line in unmatched(document) {
        commands[2].1.push(("title=unmatched allow".to_owned(), line));
    }
    let mut over = Vec::new();
    for (command, annotations) in &commands {
        let shown = if annotations.len() > KEPT { KEPT - 1 } else { annotations.len() };
        for (properties, message) in &annotations[..shown] {
            writeln!(out, "::{command} {properties}::{}", Data(message))?;
        }
        let rest = &annotations[shown..];
        if !rest.is_empty() {
            let more =
                format!("and {} more; the log of this step and the other formats have all", rest.len());
            writeln!(out, "::{command} title=scx-lint::{}", Data(&more))?;
            over.extend(rest.iter().map(|(_, message)| (command, message)));
        }
    }
    if !over.is_empty() {
        writeln!(out, "::group::scx-lint: findings beyond GitHub's limit of {KEPT} annotations of a level")?;
        for (command, message) in over {
            writeln!(out, "{}", plain(&format!("{command}: {message}")))?;
        }
        writeln!(out, "::endgroup::")?;
    }
    if document.failing_only {
        return Ok(());
    }
    for object in document.objects.iter().filter(|object| object.error.is_none()) {
        writeln!(out, "{}", plain(&format!("{}: {}", object.title(), object.sentence)))?;
    }
    writeln!(out, "{}", plain(&counts(document)))
}

/// Where a command puts its annotation, and what it is headed by.
fn properties(place: &Place, title: &str) -> String {
    let mut properties = format!("file={}", Property(&place.path));
    if let Some(line) = place.line {
        properties.push_str(&format!(",line={line}"));
        if let Some(column) = place.column {
            properties.push_str(&format!(",col={column}"));
        }
    }
    properties.push_str(&format!(",title={}", Property(title)));
    properties
}

fn annotation(document: &Document, repository: &Repository, finding: &FindingDoc) -> (String, String) {
    let object = &document.objects[finding.object];
    let place = &repository.places(&document.objects[finding.object], &finding.locations)[0];
    let properties = properties(place, finding.rule.name);
    let mut message = format!("{}: {}", object.title(), finding.message);
    let kernels = kernels_of(document, &finding.kernels);
    if !kernels.is_empty() {
        message.push_str(&format!("\non kernels {}", kernels.join(", ")));
    }
    if let Some(words) = &finding.kernel_message {
        let errno = finding.errno.as_ref().map_or_else(String::new, |errno| format!("{errno}: "));
        message.push_str(&format!("\nat {}: {errno}{words}", finding.phase.as_str()));
    }
    if let Some(help) = &finding.help {
        message.push_str(&format!("\n{help}"));
    }
    (properties, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_the_toolkit_does() {
        assert_eq!(Data("50% of\r\na: b, c").to_string(), "50%25 of%0D%0Aa: b, c");
        assert_eq!(Property("a:b,c%\n").to_string(), "a%3Ab%2Cc%25%0A");
        assert_eq!(Data("\u{1b}[31m\u{7}").to_string(), "\\u{1b}[31m\\u{7}");
        assert_eq!(Property("\u{1b}:").to_string(), "\\u{1b}%3A");
    }

    #[test]
    fn a_plain_line_is_no_command() {
        assert_eq!(plain("::error::x\n##[error]y"), "- ::error::x #\\u{23}[error]y");
        assert_eq!(plain("\u{1b}]0;x\u{7}"), "- \\u{1b}]0;x\\u{7}");
    }
}
