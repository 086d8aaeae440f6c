//! What an answer depends on that user space may set: the object is judged a second time, with all of it as in the file.

use std::collections::HashSet;

use super::options::Options;
use super::run::{Checker, Prepared};
use crate::finding::{AsInFile, Finding, Knob, Outcome, Site, SubjectKind, Undecided};
use crate::kernel::{DecidedBy, Kernel};
use crate::load::{Edit, Knobs, Knowledge, Load, Loader, Values, in_file, name_at};
use crate::object::{FuncIdx, MapIdx, Object};
use crate::rule::Level;
use crate::verifier::bpf_check::{self, Verification};
use crate::verifier::reach::Analysis;
use crate::verifier::{At, Reached, Verifier};

/// Variables that are tried one by one at most for a question, to find the one that decides.
const MOST_TRIED: usize = 64;

impl Checker<'_, '_> {
    /// Runs every check, for one kernel or none, with the values that user space is said to set.
    pub fn check(&self, kernel: Option<&Kernel<'_>>, options: &Options, values: &Values) -> Outcome {
        let mut outcome = self.pass(kernel, options, values, &[]);
        if outcome.loader == Loader::Scx && values.knobs == Knobs::Open {
            weigh(self, kernel, options, values, &mut outcome);
        }
        if let Some(kernel) = kernel.filter(|_| options.programs) {
            outcome.programs = self.programs(kernel, options, values, &outcome.verifications);
        }
        outcome
    }
}

/// Judges an object whose values user space may set, where that leaves something open: once more, with the values as they stand in
/// the file. Each question that this answers is told which values decide it.
fn weigh(
    checker: &Checker<'_, '_>,
    kernel: Option<&Kernel<'_>>,
    options: &Options,
    values: &Values,
    open: &mut Outcome,
) {
    let Prepared { load, knowledge } = checker.prepare(kernel, options, values);
    let object = checker.object();
    let is_knob = |&(map, at, bytes): &Place| knowledge.rodata_value(object, map, at, bytes).is_none();
    // What the verifier does whatever the values are need not be found out again.
    let (unsure, known): (Vec<_>, Vec<_>) = open
        .verifications
        .iter()
        .cloned()
        .partition(|(_, walk)| is_unknown(walk) && walk.reads.iter().any(is_knob));
    if unsure.is_empty() && !open.undecided.iter().any(|open| open.rule.level >= Level::Warning) {
        return;
    }
    let as_in_file = Values { knobs: Knobs::AsInFile, ..values.clone() };
    let pass = checker.pass(kernel, options, &as_in_file, &known);
    let asked = |one: &Undecided, other: &Undecided| {
        if (one.rule, one.phase) != (other.rule, other.phase) {
            return false;
        }
        let is_about_same = one.subject == other.subject
            // One that is not about an instruction sums up calls: those that the file's values leave ask the same.
            && (one.reason == other.reason || places(object, other).is_empty());
        // One about several programs is answered where it is for all of them.
        let (left, all) = (places(object, one), places(object, other));
        let is_left =
            all.len() > 1 && left.iter().any(|(program, _)| all.iter().any(|(of_all, _)| of_all == program));
        is_about_same || is_left
    };
    let verifier = checker.verifier(&load, &knowledge);
    let refused = |one: &Finding, other: &Finding| {
        one.rule == other.rule && one.subject == other.subject && one.message == other.message
    };
    let is_sound = pass
        .findings
        .iter()
        .filter(|finding| finding.refuses)
        .all(|finding| open.findings.iter().any(|known| known.refuses && refused(known, finding)));
    let mut names: Vec<String> = Vec::new();
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
        names.extend(question.decided_by.iter().filter_map(|what| match what {
            DecidedBy::Value(name) => Some(name.clone()),
            _ => None,
        }));
    }
    let mut otherwise = None;
    for (program, walk) in pass.verifications.iter().filter(|(_, walk)| !is_unknown(walk)) {
        if let Some((_, open)) = unsure.iter().find(|(unsure, _)| unsure == program) {
            if let (None, bpf_check::Outcome::Unknown(open)) = (&otherwise, &open.outcome) {
                otherwise.clone_from(&open.otherwise);
            }
            let knobs = walk.reads.iter().filter(|place| is_knob(place));
            names.extend(knobs.filter_map(|&(map, at, _)| name_at(object, map, at)));
        }
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if is_sound && !names.is_empty() {
        let knobs = names.into_iter().map(|name| Knob { value: in_file(object, &name), name }).collect();
        open.as_in_file =
            Some(AsInFile { undecided: pass.undecided, unproven: pass.unproven, knobs, otherwise });
    }
}

/// Bytes of a map: the first, and how many.
type Place = (MapIdx, u64, u8);

fn is_unknown(walk: &Verification) -> bool {
    matches!(walk.outcome, bpf_check::Outcome::Unknown(_))
}

/// The variables that decide whether the verifier comes to the places of a question: for each those that do so by themselves, else
/// all that its program reads.
fn deciding(
    load: &Load<'_, '_>,
    knowledge: &Knowledge,
    verifier: &Verifier<'_, '_>,
    question: &Undecided,
) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut budget = MOST_TRIED;
    for place in places(load.object, question) {
        let mut names = deciding_at(load, knowledge, verifier, place, &mut budget);
        names.retain(|name| !all.contains(name));
        all.append(&mut names);
    }
    all
}

/// The same for one place.
fn deciding_at(
    load: &Load<'_, '_>,
    knowledge: &Knowledge,
    verifier: &Verifier<'_, '_>,
    (program, at): (FuncIdx, At),
    budget: &mut usize,
) -> Vec<String> {
    let object = load.object;
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
    let tried = names.len().min(*budget);
    *budget -= tried;
    let by_itself: Vec<String> = names.iter().take(tried).filter(decides).cloned().collect();
    if by_itself.is_empty() { names } else { by_itself }
}

/// The entry programs that a question is about, each with the first of its instructions.
fn places(object: &Object<'_>, question: &Undecided) -> Vec<(FuncIdx, At)> {
    let mut places: Vec<(FuncIdx, At)> = Vec::new();
    for location in &question.locations {
        let Site::Insn(function, insn) = location.site else { continue };
        let named = || {
            let functions = &mut object.functions.iter();
            let is_named = question.subject.kind == SubjectKind::Program;
            functions.position(|known| known.name == question.subject.name).filter(|_| is_named).map(FuncIdx)
        };
        let own = Some(function).filter(|&function| object[function].entry.is_some());
        let Some(program) = location.program.or(own).or_else(named) else { continue };
        if object[program].entry.is_some() && places.iter().all(|(known, _)| *known != program) {
            places.push((program, (function, insn)));
        }
    }
    places
}
