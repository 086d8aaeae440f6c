//! JUnit XML: a suite for each input, a case for each ops variable (or the object) on each kernel.

use std::collections::HashSet;
use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::document::Document;
use super::fate::Fate;
use super::findings::FindingDoc;
use super::matrix::Matrix;
use super::objects::ObjectDoc;
use super::place::Repository;
use super::runs::{LiveOutcome, LiveRun};
use crate::rule::Level;

/// Prints the verdicts as test results. A case fails where an error finding keeps the scheduler from running;
/// an input that cannot be read is an error; one of which it cannot be told is skipped, and the output of the case says why. A run on a real kernel
/// is a case of its own; it is an error where the kernel could not be asked.
///
/// # Errors
/// The writer's.
pub fn junit(document: &Document, repository: &Repository, out: &mut impl Write) -> io::Result<()> {
    let parts = document.parts();
    let columns = Matrix::of_parts(&parts).columns;
    let mut report = Report::new("scx-lint");
    let mut names = Names::default();
    for (index, part) in parts.iter().enumerate() {
        let object = part.object;
        let path = names.unlike_others(object);
        let mut suite = TestSuite::new(path.clone());
        for row in part.rows(index) {
            for (column, (kernel, cell)) in columns.iter().zip(&row.cells).enumerate() {
                let ops = row.ops.as_deref().unwrap_or("object");
                let name = format!("{ops} on {kernel}");
                let is_here = |kernels: &[usize]| kernels.is_empty() || kernels.contains(&column);
                let concerns = |finding: &&FindingDoc| {
                    is_here(&finding.kernels) && part.concerns(finding, row.ops.as_deref())
                };
                let here = part.findings.iter().copied().filter(concerns);
                let (failing, others): (Vec<&FindingDoc>, Vec<&FindingDoc>) =
                    here.partition(|finding| finding.level == Level::Error && !finding.known);
                let open: Vec<String> = part
                    .undecided
                    .iter()
                    .filter(|open| is_here(&open.kernels))
                    .map(|open| {
                        let (rule, question, way) = (open.rule.name, open.question(), open.way_out());
                        format!("cannot tell [{rule}]: {question}; {way} would tell\n")
                    })
                    .collect();
                let status = if let Some(error) = &object.error {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
                    status.set_message(error.message.clone());
                    status.set_type(error.code.clone());
                    status
                } else if let Some(first) = failing.first() {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    let rules = if cell.rules.is_empty() { &[first.rule][..] } else { &cell.rules };
                    let rules = rules.iter().map(|rule| rule.name).collect::<Vec<_>>().join(", ");
                    status.set_message(format!("{}: {rules}", cell.fate.words()));
                    status.set_type(first.rule.name);
                    let texts = failing.iter().map(|finding| describe(document, repository, finding));
                    status.set_description(texts.collect::<Vec<_>>().join("\n"));
                    status
                } else if matches!(cell.fate, Fate::Unknown | Fate::MayNotStay) && !open.is_empty() {
                    // Neither passed nor failed.
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(format!("{}: {}", cell.fate.words(), open[0].trim_end()));
                    status
                } else {
                    TestCaseStatus::success()
                };
                let mut case = TestCase::new(name, status);
                case.set_classname(path.clone());
                let others = others.into_iter().map(|finding| describe(document, repository, finding));
                let sentence = object.error.is_none().then(|| format!("{path}: {}\n", object.sentence));
                let text: String = sentence.into_iter().chain(others).chain(open).collect();
                if !text.is_empty() {
                    case.set_system_out(text);
                }
                suite.add_test_case(case);
            }
        }
        for run in &part.runs {
            suite.add_test_case(live(document, repository, run, &path));
        }
        report.add_test_suite(suite);
    }
    let text = report.to_string().map_err(io::Error::other)?;
    out.write_all(text.as_bytes())?;
    writeln!(out)
}

/// Names of suites: a reader that is given two suites of one name shows one.
#[derive(Debug, Default)]
struct Names(HashSet<String>);

impl Names {
    /// The object's title, with where it is in its file, or a number, if another has that.
    fn unlike_others(&mut self, object: &ObjectDoc) -> String {
        let title = object.title();
        let placed = object.embedded.iter().map(|embedded| format!("{title} at {:#x}", embedded.offset));
        let numbered = (2..).map(|number| format!("{title} ({number})"));
        let mut names = std::iter::once(title.clone()).chain(placed).chain(numbered);
        names.find(|name| self.0.insert(name.clone())).unwrap_or_default()
    }
}

fn live(document: &Document, repository: &Repository, run: &LiveRun, path: &str) -> TestCase {
    let texts: String = run.findings.iter().map(|finding| describe(document, repository, finding)).collect();
    let mut status = match (run.outcome, run.findings.first()) {
        (LiveOutcome::Unasked, _) => TestCaseStatus::non_success(NonSuccessKind::Error),
        (_, Some(_)) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        (_, None) => TestCaseStatus::success(),
    };
    if run.outcome == LiveOutcome::Unasked || !run.findings.is_empty() {
        let first = run.findings.first();
        status.set_message(first.map_or(run.words.as_str(), |finding| finding.message.as_str()));
        status.set_type(first.map_or("live-unasked", |finding| finding.rule.name));
        status.set_description(texts);
    }
    let mut case = TestCase::new(format!("live on {}", run.kernel), status);
    case.set_classname(path);
    let unforeseen = run.unforeseen.iter().map(|unforeseen| format!("not foreseen: {unforeseen}\n"));
    let differs = run.differs.iter().map(|difference| format!("differs: {difference}\n"));
    case.set_system_out(format!("{}\n{}", run.words, unforeseen.chain(differs).collect::<String>()));
    case
}

fn describe(document: &Document, repository: &Repository, finding: &FindingDoc) -> String {
    let mut text = String::new();
    let place = &repository.places(&document.objects[finding.object], &finding.locations)[0];
    if let Some(line) = place.line {
        text.push_str(&format!("{}:{line}: ", place.path));
    }
    text.push_str(&format!("{}[{}]: {}\n", finding.level.as_str(), finding.rule.name, finding.message));
    if let Some(words) = &finding.kernel_message {
        let errno = finding.errno.as_ref().map_or_else(String::new, |errno| format!("{errno}: "));
        text.push_str(&format!("at {}: {errno}{words}\n", finding.phase.as_str()));
    }
    if let Some(help) = &finding.help {
        text.push_str(&format!("{help}\n"));
    }
    text
}
