//! One HTML page that needs nothing else: the table of verdicts, every finding with its lines, and a picture of
//! each scheduler.

use std::io::{self, Write};

use quick_xml::escape::escape;

use super::document::Document;
use super::dossier::Dossier;
use super::fate::Fate;
use super::findings::{FindingDoc, UndecidedDoc};
use super::graph::Graph;
use super::location::LocationDoc;
use super::matrix::{Matrix, kernels_of};
use super::objects::ObjectDoc;
use super::place::Repository;
use super::runs::LiveOutcome;
use super::words::{counts, plural};
use crate::rule::{Phase, Rule};

const STYLE: &str = include_str!("html.css");

/// Lines of real source shown before and after a line of a finding.
const AROUND: usize = 2;

/// Prints the page.
///
/// # Errors
/// The writer's.
pub fn html(document: &Document, repository: &Repository, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    // Nothing is fetched, whatever a name in an object says.
    writeln!(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )?;
    writeln!(
        out,
        "<title>scx-lint: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>",
        counts(document)
    )?;
    writeln!(out, "<header><h1>scx-lint</h1><p>{}</p></header>\n<main>", counts(document))?;
    let parts = document.parts();
    matrix(&Matrix::of_parts(&parts), out)?;
    live(document, out)?;
    for (index, part) in parts.iter().enumerate() {
        let object = part.object;
        writeln!(out, "<section id=\"o{index}\">\n<h2>{}</h2>", escape(object.title()))?;
        if let Some(error) = &object.error {
            writeln!(
                out,
                "<p class=\"finding error\"><b>{}</b> {}</p>\n</section>",
                escape(error.code.as_str()),
                escape(error.message.as_str())
            )?;
            continue;
        }
        writeln!(
            out,
            "<p class=\"facts\">object <code>{}</code>, license <code>{}</code>, {}, {}</p>",
            escape(object.name.as_str()),
            escape(object.license.as_str()),
            plural(object.programs.len(), "program"),
            plural(object.maps.len(), "map")
        )?;
        writeln!(out, "<p class=\"verdict\">{}</p>", escape(object.sentence.as_str()))?;
        let seen = part.runs.iter().flat_map(|run| &run.findings);
        for found in part.findings.iter().copied().chain(seen) {
            finding(document, repository, found, out)?;
        }
        for (open, kernels) in part.questions() {
            question(document, repository, part, open, &kernels, out)?;
        }
        for graph in Graph::of(part) {
            writeln!(out, "<figure><figcaption>{}</figcaption>", escape(graph.title.as_str()))?;
            writeln!(out, "{}\n</figure>", graph.svg())?;
        }
        writeln!(out, "</section>")?;
    }
    let assumed = &document.assumptions;
    writeln!(
        out,
        "</main>\n<footer>scx-lint {}; assuming {} with {}-byte pages and libbpf {}</footer>\n</body>\n</html>",
        document.scx_lint, assumed.arch, assumed.page_size, assumed.libbpf
    )
}

/// A table of what real kernels did.
fn live(document: &Document, out: &mut impl Write) -> io::Result<()> {
    if document.runs.is_empty() {
        return Ok(());
    }
    write!(out, "<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th scope=\"col\">scheduler</th>")?;
    writeln!(
        out,
        "<th scope=\"col\">real kernel</th><th scope=\"col\">what it did</th></tr></thead><tbody>"
    )?;
    for run in &document.runs {
        let title = document.objects[run.object].title();
        let (class, sign) = match run.outcome {
            LiveOutcome::Passed => ("works", Fate::Works.sign()),
            LiveOutcome::Failed => ("fails", Fate::Fails(Phase::Run).sign()),
            LiveOutcome::Unasked => ("unreadable", Fate::Unreadable.sign()),
        };
        write!(
            out,
            "<tr><th scope=\"row\"><a href=\"#o{}\">{}</a></th><td>{}</td><td class=\"{class}\">{sign} {}: {}",
            run.object,
            escape(title),
            escape(run.kernel.as_str()),
            run.outcome.word(),
            escape(run.words.as_str())
        )?;
        for unforeseen in &run.unforeseen {
            write!(out, "<br>not foreseen: {}", escape(unforeseen.as_str()))?;
        }
        for difference in &run.differs {
            write!(out, "<br>differs: {}", escape(difference.as_str()))?;
        }
        writeln!(out, "</td></tr>")?;
    }
    writeln!(out, "</tbody></table></div>")
}

/// How style sheets call a fate.
fn class(fate: Fate) -> &'static str {
    match fate {
        Fate::Works | Fate::WorksIf => "works",
        Fate::NothingFound => "clear",
        Fate::MayNotStay => "may-not-stay",
        Fate::Fails(_) => "fails",
        Fate::Unknown => "unknown",
        Fate::Unreadable => "unreadable",
    }
}

fn matrix(matrix: &Matrix, out: &mut impl Write) -> io::Result<()> {
    write!(out, "<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th scope=\"col\">scheduler</th>")?;
    for column in &matrix.columns {
        write!(out, "<th scope=\"col\">{}</th>", escape(column.as_str()))?;
    }
    writeln!(out, "</tr></thead><tbody>")?;
    for row in &matrix.rows {
        let title = escape(row.title.as_str());
        write!(out, "<tr><th scope=\"row\"><a href=\"#o{}\">{title}</a></th>", row.object)?;
        for cell in &row.cells {
            let class = class(cell.fate);
            if matrix.is_wide() {
                let title = [cell.fate.words()].into_iter().chain(cell.rules.iter().map(|rule| rule.name));
                let title = title.collect::<Vec<_>>().join(", ");
                write!(
                    out,
                    "<td class=\"{class}\" title=\"{title}\">{} {}",
                    cell.fate.sign(),
                    cell.fate.word()
                )?;
            } else {
                write!(out, "<td class=\"{class}\">{} {}", cell.fate.sign(), cell.fate.words())?;
                for rule in &cell.rules {
                    write!(out, "<br><code>{}</code>", rule.name)?;
                }
            }
            write!(out, "</td>")?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table></div>\n<ul class=\"legend\">")?;
    for fate in matrix.fates() {
        let (class, sign, meaning) = (class(fate), fate.sign(), fate.meaning());
        writeln!(out, "<li><span class=\"{class}\">{sign}</span> {meaning}</li>")?;
    }
    writeln!(out, "</ul>")
}

/// An open question, the kernels that it is about, the line that it comes from, and what would answer it.
fn question(
    document: &Document,
    repository: &Repository,
    part: &Dossier<'_>,
    open: &UndecidedDoc,
    kernels: &[usize],
    out: &mut impl Write,
) -> io::Result<()> {
    write!(out, "<article class=\"finding open\">\n<h3><span class=\"level\">cannot tell</span> ")?;
    rule(repository, open.rule, out)?;
    let kernels = kernels_of(document, kernels);
    if !kernels.is_empty() {
        write!(out, " <span class=\"when\">on {}</span>", escape(kernels.join(", ")))?;
    }
    writeln!(out, "</h3>\n<p>{}</p>", escape(open.question()))?;
    for location in &open.locations {
        place(repository, part.object, location, out)?;
    }
    let ways: Vec<String> = open.ways().map(|way| format!("<code>{}</code>", escape(way))).collect();
    writeln!(out, "<p class=\"help\">{} would tell</p>\n</article>", ways.join(" or "))
}

/// A link to a rule's page, or its name.
fn rule(repository: &Repository, rule: &Rule, out: &mut impl Write) -> io::Result<()> {
    match repository.rule_page(rule) {
        Some(address) => write!(out, "<a href=\"{}\"><code>{}</code></a>", escape(address), rule.name),
        None => write!(out, "<code>{}</code>", rule.name),
    }
}

fn finding(
    document: &Document,
    repository: &Repository,
    found: &FindingDoc,
    out: &mut impl Write,
) -> io::Result<()> {
    let known = if found.known { " known" } else { "" };
    write!(
        out,
        "<article class=\"finding {}{known}\">\n<h3><span class=\"level\">{}</span> ",
        found.level.as_str(),
        found.level.as_str()
    )?;
    rule(repository, found.rule, out)?;
    write!(out, " <span class=\"when\">at {}", found.phase.as_str())?;
    let kernels = kernels_of(document, &found.kernels);
    if !kernels.is_empty() {
        write!(out, " on {}", escape(kernels.join(", ")))?;
    }
    if found.known {
        write!(out, ", in the baseline")?;
    }
    writeln!(out, "</span></h3>\n<p>{}</p>", escape(found.message.as_str()))?;
    if let Some(words) = &found.kernel_message {
        let errno = found.errno.as_ref().map_or_else(String::new, |errno| format!("{errno}: "));
        writeln!(out, "<pre class=\"kernel\">{}{}</pre>", escape(errno), escape(words.as_str()))?;
    }
    for location in &found.locations {
        place(repository, &document.objects[found.object], location, out)?;
    }
    if let Some(help) = &found.help {
        writeln!(out, "<p class=\"help\">{}</p>", escape(help.as_str()))?;
    }
    writeln!(out, "</article>")
}

/// The line of a place with what is around it, or its label where there is no line.
fn place(
    repository: &Repository,
    object: &ObjectDoc,
    location: &LocationDoc,
    out: &mut impl Write,
) -> io::Result<()> {
    let (Some(file), Some(line)) = (location.file.as_deref(), location.line) else {
        return writeln!(out, "<p class=\"place\">{}</p>", escape(location.label.as_str()));
    };
    let shown = repository.sources.remapped(file);
    let program = location.program.as_deref().map_or_else(String::new, |p| format!(" in {p}"));
    writeln!(
        out,
        "<figure class=\"source\"><figcaption>{}:{line}{}</figcaption><pre>",
        escape(shown.as_str()),
        escape(program.as_str())
    )?;
    let recorded = location.text.as_deref().unwrap_or_default();
    let disk = repository
        .sources
        .lines(file, &object.path)
        .or_else(|| repository.sources.lines(&shown, &object.path));
    let at = line as usize;
    // Only where the file still has the recorded line.
    let disk = disk.filter(|lines| {
        lines.get(at.wrapping_sub(1)).is_some_and(|text| text.trim_end() == recorded.trim_end())
    });
    let one = [recorded.to_owned()];
    let (first, lines) = match &disk {
        Some(lines) => {
            let first = at.saturating_sub(AROUND).max(1);
            (first, &lines[first - 1..(at + AROUND).min(lines.len())])
        }
        None => (at, &one[..]),
    };
    for (number, text) in (first..).zip(lines) {
        let class = if number == at { " class=\"here\"" } else { "" };
        // The spans are blocks: a line feed would add an empty line.
        write!(out, "<span{class}><i>{number:5}</i> {}</span>", escape(text.replace('\t', "    ")))?;
        if number == at {
            let text = escape(location.label.as_str());
            write!(out, "<span class=\"label\"><i>     </i> ╰ {text}</span>")?;
        }
    }
    writeln!(out, "</pre></figure>")
}
