//! What an answer depends on that user space may set: the object is judged a second time, with all of it as in the file.

use super::options::Options;
use super::run::{Checker, Prepared};
use crate::finding::{AsInFile, Finding, Knob, Outcome, Site, SubjectKind, Undecided};
use crate::kernel::{DecidedBy, Kernel};
use crate::load::{Edit, Knobs, Knowledge, Load, Loader, Values, in_file, name_at};
use crate::object::{FuncIdx, Object};
use crate::rule::Level;
use crate::verifier::reach::Analysis;
use crate::verifier::{At, Reached, Verifier};

/// Variables that are tried one by one at most, to find the one that decides.
const MOST_TRIED: usize = 64;

impl Checker<'_, '_> {
    /// Runs every check, for one kernel or none, with the values that user space is said to set.
    pub fn check(&self, kernel: Option<&Kernel<'_>>, options: &Options, values: &Values) -> Outcome {
        let mut outcome = self.pass(kernel, options, values);
        if outcome.loader == Loader::Scx && values.knobs == Knobs::Open {
            weigh(self, kernel, options, values, &mut outcome);
        }
        if let Some(kernel) = kernel.filter(|_| options.programs) {
            outcome.programs = self.programs(kernel, options, values);
        }
        outcome
    }
}

/// Judges an object whose values user space may set, where that leaves questions open: once more, with the values as they
/// stand in the file. Each question that this answers is told which values decide it.
fn weigh(
    checker: &Checker<'_, '_>,
    kernel: Option<&Kernel<'_>>,
    options: &Options,
    values: &Values,
    open: &mut Outcome,
) {
    if !open.undecided.iter().any(|open| open.rule.level >= Level::Warning) {
        return;
    }
    let as_in_file = Values { knobs: Knobs::AsInFile, ..values.clone() };
    let pass = checker.pass(kernel, options, &as_in_file);
    let asked = |one: &Undecided, other: &Undecided| {
        (one.rule, one.phase) == (other.rule, other.phase)
            && one.subject == other.subject
            // One that is not about an instruction sums up calls: those that the file's values leave ask the same.
            && (one.reason == other.reason || place(checker.object(), other).is_none())
    };
    let Prepared { load, knowledge } = checker.prepare(kernel, options, values);
    let verifier = checker.verifier(&load, &knowledge);
    let refused = |one: &Finding, other: &Finding| {
        one.rule == other.rule && one.subject == other.subject && one.message == other.message
    };
    let is_sound = pass
        .findings
        .iter()
        .filter(|finding| finding.refuses)
        .all(|finding| open.findings.iter().any(|known| known.refuses && refused(known, finding)));
    let mut knobs: Vec<Knob> = Vec::new();
    for question in &mut open.undecided {
        if pass.undecided.iter().any(|still| asked(still, question)) {
            continue;
        }
        question.answered_by_file = is_sound;
        for name in deciding(&load, &knowledge, &verifier, question) {
            question.decided_by(DecidedBy::Value(name));
        }
        // What only makes a note of it keeps no answer open.
        if question.rule.level < Level::Warning {
            continue;
        }
        for what in &question.decided_by {
            if let DecidedBy::Value(name) = what
                && knobs.iter().all(|known| known.name != *name)
            {
                knobs.push(Knob { name: name.clone(), value: in_file(load.object, name) });
            }
        }
    }
    if is_sound && !knobs.is_empty() {
        open.as_in_file = Some(AsInFile { undecided: pass.undecided, knobs });
    }
}

/// The variables that decide whether the verifier comes to the place of a question: each that does so by itself, else all that
/// the program reads.
fn deciding(
    load: &Load<'_, '_>,
    knowledge: &Knowledge,
    verifier: &Verifier<'_, '_>,
    question: &Undecided,
) -> Vec<String> {
    let object = load.object;
    let Some((program, at)) = place(object, question) else { return Vec::new() };
    let reads = verifier.walk(program).unknown_reads();
    let mut names: Vec<String> = Vec::new();
    for &(map, offset, _) in reads {
        if let Some(name) = name_at(object, map, offset)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    let decides = |name: &&String| {
        let mut known = knowledge.clone();
        known.rodata.extend(reads.iter().filter_map(|&(map, offset, bytes)| {
            let of = name_at(object, map, offset)?;
            let section = object.elf.section_at(object[map].section.0)?.data?;
            let start = usize::try_from(offset).ok()?;
            let value = section.get(start..start.checked_add(usize::from(bytes))?)?.to_vec();
            let (len, bytes) = (u64::from(bytes), Some(value));
            (of == **name).then_some(Edit { map, start: offset, len, bytes })
        }));
        let analysis = Analysis::new(object, &known).remembering(verifier.answers());
        analysis.program(program).at(at.0, at.1) != Reached::Possible
    };
    let by_itself: Vec<String> = names.iter().take(MOST_TRIED).filter(decides).cloned().collect();
    if by_itself.is_empty() { names } else { by_itself }
}

/// The entry program and the instruction that a question is about.
fn place(object: &Object<'_>, question: &Undecided) -> Option<(FuncIdx, At)> {
    let location = question.locations.first()?;
    let Site::Insn(function, insn) = location.site else { return None };
    let named = (question.subject.kind == SubjectKind::Program)
        .then(|| object.functions.iter().position(|function| function.name == question.subject.name))
        .flatten()
        .map(FuncIdx);
    let program = location.program.or(named).unwrap_or(function);
    object[program].entry.is_some().then_some((program, (function, insn)))
}
