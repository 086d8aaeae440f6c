//! One sentence on an object: on which kernels nothing stands against it, and what stops it on the others.

use super::document::{Document, KernelDoc};
use super::dossier::Dossier;
use super::fate::Fate;
use super::findings::FindingDoc;
use super::runs::LiveOutcome;
use super::verdict::Verdict;
use crate::kernel::Source;
use crate::kernel::builtin::RELEASES;
use crate::rule::{Level, Phase};

/// Kernels by name; a run of three and more releases that follow each other as `first-last`.
pub(super) fn kernel_list(document: &Document, kernels: &[usize]) -> String {
    let name = |kernel: usize| document.kernels.get(kernel).map_or_else(|| "?".to_owned(), KernelDoc::title);
    let mut parts: Vec<String> = Vec::new();
    let mut rest = kernels;
    while let Some(&first) = rest.first() {
        // A range of file names would say nothing, nor one of releases in another order.
        let release = |kernel: usize| {
            let known = document.kernels.get(kernel).filter(|kernel| kernel.source == Source::BuiltIn)?;
            RELEASES.iter().position(|release| release.name == known.name)
        };
        let start = release(first);
        let follows =
            |(i, kernel): (usize, &usize)| start.is_some_and(|start| release(*kernel) == Some(start + i));
        let run = rest.iter().enumerate().take_while(|&(i, kernel)| follows((i, kernel))).count();
        let take = if run >= 3 { run } else { 1 };
        parts.push(match take {
            1 => name(first),
            _ => format!("{}-{}", name(first), name(rest[take - 1])),
        });
        rest = &rest[take..];
    }
    parts.join(", ")
}

/// The kernels that something is about, as `kernel_list` spells them; `None` where it is about all, or none is named.
#[cfg(feature = "cli")]
pub(super) fn only_on(document: &Document, kernels: &[usize]) -> Option<String> {
    (kernels.len() < document.kernels.len()).then(|| kernel_list(document, kernels))
}

impl Document {
    /// Writes the sentence of each object. What the report is about has to be complete.
    pub fn conclude(&mut self) {
        let parts = self.parts();
        let sentences: Vec<String> = parts.iter().map(|part| sentence(self, part)).collect();
        for (object, sentence) in self.objects.iter_mut().zip(sentences) {
            object.sentence = sentence;
        }
    }
}

/// The sentence.
fn sentence(document: &Document, part: &Dossier<'_>) -> String {
    if part.object.error.is_some() {
        return "cannot be read".to_owned();
    }
    if part.kernels.is_empty() {
        return without_kernel(part);
    }
    let mut works = Reasons::default();
    let mut clear = Reasons::default();
    let mut may_not_stay: Vec<(String, Reasons)> = Vec::new();
    let mut unknown = Reasons::default();
    let mut fails = Reasons::default();
    for kernel in 0..part.kernels.len() {
        match part.fate(Some(kernel), None) {
            Fate::Works | Fate::WorksIf => works.add(kernel, with_knobs(part, kernel)),
            Fate::NothingFound => clear.add(kernel, with_knobs(part, kernel)),
            Fate::MayNotStay => {
                let (reason, with) = (first_question(part, kernel), with_knobs(part, kernel));
                match may_not_stay.iter_mut().find(|(known, _)| *known == reason) {
                    Some((_, known)) => known.add(kernel, with),
                    None => may_not_stay.push((reason, Reasons(vec![(vec![kernel], with)]))),
                }
            }
            Fate::Unreadable | Fate::Unknown => unknown.add(kernel, first_question(part, kernel)),
            fate @ Fate::Fails(phase) => {
                fails.add(kernel, format!("{}: {}", fate.words(), first_reason(part, kernel, phase)));
            }
        }
    }
    let list = |kernels: &[usize]| kernel_list(document, kernels);
    let unproven = !clear.0.is_empty() || !may_not_stay.is_empty();
    let mut parts = Vec::new();
    for (kernels, with) in works.0 {
        parts.push(format!("works on {}{with}", list(&kernels)));
    }
    for (kernels, with) in clear.0 {
        parts.push(format!("nothing found against {}{with}", list(&kernels)));
    }
    for (kernels, reason) in fails.0 {
        parts.push(format!("on {} {reason}", list(&kernels)));
    }
    for (reason, Reasons(groups)) in may_not_stay {
        let groups: Vec<String> =
            groups.iter().map(|(kernels, with)| format!("against {}{with}", list(kernels))).collect();
        let stays = "it may not stay enabled";
        parts.push(match &*groups {
            [first @ .., last] if !first.is_empty() => {
                let first = first.join(", ");
                format!("nothing found {first}, and {last}, but on each of these {stays}: {reason}")
            }
            groups => format!("nothing found {}, but {stays}: {reason}", groups.concat()),
        });
    }
    for (kernels, reason) in unknown.0 {
        parts.push(format!("cannot tell for {}: {reason}", list(&kernels)));
    }
    if unproven {
        parts.extend(unverified(part));
    }
    // A real kernel has said otherwise, or may have: what it did comes further down.
    let is_refuted = part.runs.iter().any(|run| run.outcome != LiveOutcome::Passed);
    if is_refuted { format!("by the file alone: {}", parts.join("; ")) } else { parts.join("; ") }
}

/// ` with 'a', 'b' as in the file (0, 1)` where the answer on a kernel depends on values that user space may set, and what comes
/// of others where that is seen.
fn with_knobs(part: &Dossier<'_>, kernel: usize) -> String {
    let Some(Verdict { knobs, otherwise, .. }) = part.verdict(Some(kernel), None) else {
        return String::new();
    };
    let otherwise = otherwise.as_ref().map_or_else(String::new, |words| {
        format!(" (if set otherwise, the verifier may refuse it: {words})")
    });
    let names: Vec<String> = knobs.iter().map(|knob| format!("'{}'", knob.name)).collect();
    match names.as_slice() {
        [] => String::new(),
        [first, others @ ..] if names.len() > NAMED => {
            format!(" with {first} and {} more as in the file{otherwise}", others.len())
        }
        names => {
            let values: Option<Vec<String>> =
                knobs.iter().map(|knob| Some(knob.value?.to_string())).collect();
            let values = values.map_or_else(String::new, |values| format!(" ({})", values.join(", ")));
            format!(" with {} as in the file{values}{otherwise}", names.join(", "))
        }
    }
}

/// What keeps an answer from being proven where nothing is found: programs of which nobody knows what some verifier will say.
fn unverified(part: &Dossier<'_>) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    for verdict in part.verdicts.iter().filter(|verdict| verdict.struct_ops.is_none() && !verdict.proven) {
        for program in verdict.unproven.iter().filter(|_| verdict.failure().is_none()) {
            if !open.contains(&program.as_str()) {
                open.push(program);
            }
        }
    }
    let all = part.object.loaded();
    let quoted = |names: &[&str]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    Some(match open.as_slice() {
        [] => return None,
        names if names.len() < all && names.len() <= NAMED => {
            format!("not proven: the verification of {}", quoted(names))
        }
        names if names.len() < all => {
            format!("not proven: the verification of {} of its {all} programs", names.len())
        }
        [_] => "not proven: the verification of its program".to_owned(),
        _ => format!("not proven: the verification of its {all} programs"),
    })
}

/// Programs, and values, that are named one by one at most.
const NAMED: usize = 3;

/// Reasons, each with the kernels for which it is given, in the order of the first.
#[derive(Debug, Default)]
struct Reasons(Vec<(Vec<usize>, String)>);

impl Reasons {
    fn add(&mut self, kernel: usize, reason: String) {
        match self.0.iter_mut().find(|(_, known)| *known == reason) {
            Some((kernels, _)) => kernels.push(kernel),
            None => self.0.push((vec![kernel], reason)),
        }
    }
}

/// The first finding that stops an object on a kernel.
fn first_reason(part: &Dossier<'_>, kernel: usize, phase: Phase) -> String {
    let here = |finding: &&&FindingDoc| {
        finding.refuses
            && finding.phase == phase
            && (finding.kernels.is_empty() || finding.kernels.contains(&kernel))
    };
    // An error first, else what the user made a warning or note of.
    let mut found = part.findings.iter().filter(here);
    let first = found.clone().find(|finding| finding.level == Level::Error).or_else(|| found.next());
    first.map_or_else(|| "by a rule that is allowed".to_owned(), |finding| finding.message.clone())
}

/// The first open question about an object on a kernel.
fn first_question(part: &Dossier<'_>, kernel: usize) -> String {
    // Open questions about notes do not keep a verdict open, nor do those that the file's own values answer, if others are left;
    // of these the one that comes up first.
    let here = part
        .undecided
        .iter()
        .filter(|open| open.kernels.contains(&kernel) && open.rule.level >= Level::Warning);
    here.min_by_key(|open| (open.answered_by_file, open.rule.phase))
        .map_or_else(|| "no rule says".to_owned(), |open| open.question())
}

fn without_kernel(part: &Dossier<'_>) -> String {
    let failure = part.verdict(None, None).and_then(|verdict| verdict.failure());
    let Some(phase) = failure else {
        let matters = part.undecided.iter().filter(|open| open.rule.level >= Level::Warning);
        return match matters.min_by_key(|open| open.rule.phase) {
            Some(open) => format!("opens; cannot tell more (no kernel named): {}", open.question()),
            None => {
                "opens; nothing in the file keeps it from loading and attaching (no kernel named)".to_owned()
            }
        };
    };
    let words = match phase {
        Phase::Open => "will not open",
        Phase::Load => "will not load",
        Phase::Attach => "will not attach",
        Phase::Run => "will be ejected",
    };
    let mut rules: Vec<&str> = Vec::new();
    for finding in part.findings.iter().filter(|f| f.phase == phase && f.level == Level::Error) {
        if !rules.contains(&finding.rule.name) {
            rules.push(finding.rule.name);
        }
    }
    if rules.is_empty() { words.to_owned() } else { format!("{words}: {}", rules.join(", ")) }
}
