//! The report for people: miette diagnostics at the C lines that the object itself records.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    Severity, SourceCode, SourceSpan, SpanContents,
};

use super::answer::only_on;
use super::document::Document;
use super::dossier::{Dossier, questions};
use super::fate::Fate;
use super::findings::{FindingDoc, UndecidedDoc};
use super::location::LocationDoc;
use super::matrix::Matrix;
use super::sources::Sources;
use super::words::{counts, unmatched};
use crate::rule::Level;

/// Lines of real source shown before and after a line of a finding.
const AROUND: u32 = 2;

/// How the report looks.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// ANSI colours.
    pub color: bool,
    /// Box drawing characters.
    pub unicode: bool,
    /// Columns.
    pub width: usize,
}

/// Consecutive lines of one file, with their real numbers.
#[derive(Debug)]
struct Excerpt {
    name: String,
    /// Number of the first line, 1-based.
    first: u32,
    text: String,
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.as_str().read_span(span, before, after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line() + self.first as usize - 1,
            inner.column(),
            inner.line_count(),
        )))
    }
}

/// A finding, or a further excerpt of one, as miette wants it.
#[derive(Debug)]
struct Message {
    code: Option<String>,
    url: Option<String>,
    severity: Severity,
    text: String,
    help: Option<String>,
    source: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Message {}

impl Diagnostic for Message {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.as_ref().map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn url<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.url.as_ref().map(|url| Box::new(url) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty())
            .then(|| Box::new(self.labels.iter().cloned()) as Box<dyn Iterator<Item = _>>)
    }
}

/// Prints every finding with its C lines, what is undecided, and one sentence for each object.
///
/// # Errors
/// The writer's.
pub fn full(document: &Document, style: &Style, sources: &Sources, out: &mut impl Write) -> io::Result<()> {
    for object in &document.objects {
        if let Some(error) = &object.error {
            writeln!(out, "{}: error: {}", object.path, error.message)?;
        }
    }
    for finding in document.findings.iter().filter(|finding| !finding.known) {
        let object = &document.objects[finding.object];
        let about = About {
            title: &object.title(),
            path: &object.path,
            kernels: only_on(document, &finding.kernels),
        };
        render(finding, &about, style, sources, out)?;
    }
    let parts = document.parts();
    for (part, open, kernels) in questions(&parts) {
        question(document, part, open, &kernels, style, out)?;
    }
    if document.failing_only {
        return Ok(());
    }
    let moot = document.undecided.len() - questions(&parts).count();
    if moot > 0 {
        writeln!(
            out,
            "open questions about kernels on which it fails anyway: {moot} (--format json has them)"
        )?;
    }
    if document.kernels.len() > 1 {
        matrix(&Matrix::of_parts(&parts), style, out)?;
    }
    for line in unmatched(document) {
        writeln!(out, "{line}")?;
    }
    for object in document.objects.iter().filter(|object| object.error.is_none()) {
        writeln!(out, "{}: {}", object.title(), object.sentence)?;
    }
    writeln!(out, "{}", counts(document))
}

/// An open question: what it is, the line that it comes from, and what would answer it.
fn question(
    document: &Document,
    part: &Dossier<'_>,
    open: &UndecidedDoc,
    kernels: &[usize],
    style: &Style,
    out: &mut impl Write,
) -> io::Result<()> {
    let on = only_on(document, kernels).map_or_else(String::new, |on| format!(" for {on}"));
    let text = format!("{}: cannot tell{on} [{}]: {}", part.object.title(), open.rule.name, open.question());
    wrap(&text, "", style, out)?;
    let place = open.locations.iter().find(|location| location.line.is_some());
    if let (Some(place), Some(file)) = (place, place.and_then(|place| place.file.as_deref())) {
        let line = place.line.unwrap_or_default();
        let text = place.text.as_deref().map_or_else(String::new, |text| format!(": {}", text.trim()));
        writeln!(out, "  at {file}:{line}{text}")?;
    }
    wrap(&format!("{} would tell", open.way_out()), "  ", style, out)
}

/// A line, broken between words where it is wider than the terminal; what follows is indented.
fn wrap(text: &str, indent: &str, style: &Style, out: &mut impl Write) -> io::Result<()> {
    let further = format!("{indent}  ");
    let options = textwrap::Options::new(style.width)
        .initial_indent(indent)
        .subsequent_indent(&further)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    for line in textwrap::wrap(text, options) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The verdicts as a table: a row for each object and ops variable, a column for each kernel. Columns that do not fit
/// the width make a further block.
fn matrix(matrix: &Matrix, style: &Style, out: &mut impl Write) -> io::Result<()> {
    let word = |fate: Fate| match fate {
        Fate::Fails(phase) => format!("fail at {}", phase.as_str()),
        other => other.word().to_owned(),
    };
    let len = |text: &str| text.chars().count();
    let title = matrix.rows.iter().map(|row| len(&row.title)).max().unwrap_or(0).max(len("scheduler"));
    let widths: Vec<usize> = matrix
        .columns
        .iter()
        .enumerate()
        .map(|(column, name)| {
            let cells = matrix.rows.iter().map(|row| len(&word(row.cells[column].fate)));
            cells.max().unwrap_or(0).max(len(name))
        })
        .collect();
    let mut first = 0;
    while first < widths.len() {
        let mut used = title;
        let mut last = first;
        while last < widths.len() && (last == first || used + 2 + widths[last] <= style.width) {
            used += 2 + widths[last];
            last += 1;
        }
        let line = |name: &str, cells: &mut dyn Iterator<Item = String>| {
            let mut text = format!("{name:title$}");
            for (cell, width) in cells.zip(&widths[first..last]) {
                text.push_str(&format!("  {cell:width$}"));
            }
            text.trim_end().to_owned()
        };
        writeln!(out, "{}", line("scheduler", &mut matrix.columns[first..last].iter().cloned()))?;
        for row in &matrix.rows {
            let mut cells = row.cells[first..last].iter().map(|cell| word(cell.fate));
            writeln!(out, "{}", line(&row.title, &mut cells))?;
        }
        writeln!(out)?;
        first = last;
    }
    for fate in matrix.fates().into_iter().filter(|fate| !matches!(fate, Fate::Fails(_) | Fate::Unreadable)) {
        writeln!(out, "{}: {}", fate.word(), fate.meaning())?;
    }
    writeln!(out)
}

/// What a finding is about, for its heading.
#[derive(Debug)]
pub struct About<'a> {
    /// The object as reports call it.
    pub title: &'a str,
    /// Its path, beside which sources are looked for.
    pub path: &'a str,
    /// The kernels, where it is not about all of them.
    pub kernels: Option<String>,
}

/// Prints one finding.
///
/// # Errors
/// The writer's.
pub fn render(
    finding: &FindingDoc,
    about: &About<'_>,
    style: &Style,
    sources: &Sources,
    out: &mut impl Write,
) -> io::Result<()> {
    let theme = match (style.unicode, style.color) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, true) => {
            GraphicalTheme { characters: miette::ThemeCharacters::ascii(), ..GraphicalTheme::unicode() }
        }
        (false, false) => GraphicalTheme::none(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(style.width)
        .with_links(sources.rule_pages.is_some())
        .with_context_lines(2);
    let mut text = String::new();
    for message in messages(about, finding, sources) {
        handler.render_report(&mut text, &message).map_err(io::Error::other)?;
    }
    writeln!(out, "{text}")
}

/// One finding with all its excerpts, a message for each; what is to be done stands below the last.
fn messages(about: &About<'_>, finding: &FindingDoc, sources: &Sources) -> Vec<Message> {
    let mut notes = String::new();
    let phase = finding.phase.as_str();
    let errno = finding.errno.map_or_else(String::new, |errno| format!(": {errno}"));
    if let Some(kernels) = &about.kernels {
        push_line(&mut notes, &format!("on {kernels}"));
    }
    match &finding.kernel_message {
        Some(words) => push_line(&mut notes, &format!("at {phase}{errno}: {words}")),
        None if finding.errno.is_some() => push_line(&mut notes, &format!("at {phase}{errno}")),
        None => {}
    }
    for location in finding.locations.iter().filter(|location| location.line.is_none()) {
        push_line(&mut notes, &footnote(location));
    }
    if let Some(help) = &finding.help {
        push_line(&mut notes, help);
    }
    let mut excerpts = excerpts(finding, about.path, sources).into_iter();
    let (source, labels) =
        excerpts.next().map_or((None, Vec::new()), |(source, labels)| (Some(source), labels));
    let severity = match finding.level {
        Level::Error => Severity::Error,
        Level::Warning => Severity::Warning,
        Level::Note | Level::Allow => Severity::Advice,
    };
    let first = Message {
        code: Some(finding.rule.name.to_owned()),
        url: sources.rule_pages.as_ref().map(|page| format!("{page}#{}", finding.rule.name)),
        severity,
        text: format!("{}: {}", about.title, finding.message),
        help: None,
        source,
        labels,
    };
    let more = excerpts.map(|(source, labels)| Message {
        code: None,
        url: None,
        severity: Severity::Advice,
        text: "and here".to_owned(),
        help: None,
        source: Some(source),
        labels,
    });
    let mut messages: Vec<Message> = std::iter::once(first).chain(more).collect();
    if let Some(last) = messages.last_mut() {
        last.help = (!notes.is_empty()).then_some(notes);
    }
    messages
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// A place without a line.
fn footnote(location: &LocationDoc) -> String {
    match (&location.program, location.insn) {
        (Some(program), Some(insn)) => format!("program '{program}', instruction {insn}: {}", location.label),
        (Some(program), None) => format!("program '{program}': {}", location.label),
        _ => location.label.clone(),
    }
}

/// The finding's C lines, grouped into runs of neighbouring lines of one file, the file of the first location first.
fn excerpts(finding: &FindingDoc, object: &str, sources: &Sources) -> Vec<(Excerpt, Vec<LabeledSpan>)> {
    let mut files: Vec<(&str, BTreeMap<u32, Vec<&LocationDoc>>)> = Vec::new();
    for location in &finding.locations {
        let (Some(file), Some(line)) = (location.file.as_deref(), location.line) else { continue };
        let at = files.iter().position(|(known, _)| *known == file).unwrap_or_else(|| {
            files.push((file, BTreeMap::new()));
            files.len() - 1
        });
        files[at].1.entry(line).or_default().push(location);
    }
    let lead = finding.locations.iter().find_map(|first| Some((first.file.as_deref()?, first.line?)));
    let mut out = Vec::new();
    // The most telling place comes first, wherever in the file it is.
    let mut add = |file: &str, run: &[(u32, Vec<&LocationDoc>)], excerpt| {
        let leads = lead.is_some_and(|(of, line)| of == file && run.iter().any(|(at, _)| *at == line));
        out.insert(if leads { 0 } else { out.len() }, excerpt);
    };
    for (file, lines) in files {
        let name = sources.remapped(file);
        let disk = sources.lines(file, object).or_else(|| sources.lines(&name, object));
        let mut run: Vec<(u32, Vec<&LocationDoc>)> = Vec::new();
        for (line, locations) in lines {
            // Far lines, and lines between which the text is not known, get an excerpt each.
            let near = run.last().is_some_and(|(last, _)| match &disk {
                Some(_) => line - last <= 2 * AROUND + 1,
                None => line - last == 1,
            });
            if !near && !run.is_empty() {
                add(file, &run, excerpt(&name, disk.as_deref(), &run));
                run.clear();
            }
            run.push((line, locations));
        }
        if !run.is_empty() {
            add(file, &run, excerpt(&name, disk.as_deref(), &run));
        }
    }
    out
}

/// One run of lines: the real text around it where the file on disk still has the recorded lines, else the
/// recorded lines alone.
fn excerpt(
    name: &str,
    disk: Option<&[String]>,
    run: &[(u32, Vec<&LocationDoc>)],
) -> (Excerpt, Vec<LabeledSpan>) {
    let recorded =
        |locations: &[&LocationDoc]| locations.iter().find_map(|l| l.text.clone()).unwrap_or_default();
    let on_disk = |line: u32| disk.and_then(|lines| lines.get(line.checked_sub(1)? as usize));
    let fresh = run.iter().all(|(line, locations)| {
        on_disk(*line).is_some_and(|text| text.trim_end() == recorded(locations).trim_end())
    });
    let (first, last) = (run[0].0, run[run.len() - 1].0);
    let (first, last) =
        if fresh { (first.saturating_sub(AROUND).max(1), last + AROUND) } else { (first, last) };
    let mut text = String::new();
    let mut labels = Vec::new();
    for line in first..=last {
        let here = run.iter().find(|(number, _)| *number == line).map(|(_, locations)| locations);
        let content = match (fresh, here) {
            (true, _) => on_disk(line).cloned(),
            (false, Some(locations)) => Some(recorded(locations)),
            (false, None) => None,
        };
        let Some(content) = content else { break };
        for location in here.into_iter().flatten() {
            let (start, len) = span(&content, location.column);
            let via = location.program.as_ref().map_or_else(String::new, |program| {
                if location.label.contains(program.as_str()) {
                    String::new()
                } else {
                    format!(" (in '{program}')")
                }
            });
            labels.push(LabeledSpan::new(Some(format!("{}{via}", location.label)), text.len() + start, len));
        }
        text.push_str(&content);
        text.push('\n');
    }
    (Excerpt { name: name.to_owned(), first, text }, labels)
}

/// The word at a column, in bytes; the line's first word where the column is unknown.
fn span(line: &str, column: Option<u32>) -> (usize, usize) {
    let indent = line.len() - line.trim_start().len();
    let start = column.map_or(indent, |column| (column as usize).saturating_sub(1));
    let start =
        if start < line.len() && line.is_char_boundary(start) { start } else { indent.min(line.len()) };
    let word = line[start..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(line.len() - start);
    let first = line[start..].chars().next().map_or(0, char::len_utf8);
    (start, word.max(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_covers_the_word_at_its_column() {
        assert_eq!(span("\tTOUCH(arena);", Some(2)), (1, 5));
        assert_eq!(span("\tTOUCH(arena);", None), (1, 5));
        assert_eq!(span("  ", Some(99)), (2, 0));
        assert_eq!(span("", Some(1)), (0, 0));
        assert_eq!(span("é = 1;", Some(2)), (0, 2));
    }
}
