//! What a document says of one object, gathered in one pass over the document.

use super::document::{Document, KernelDoc};
use super::fate::Fate;
use super::findings::{FindingDoc, UndecidedDoc};
use super::objects::ObjectDoc;
use super::runs::LiveRun;
use super::verdict::{Answer, Verdict};
use crate::rule::{Level, Phase};

/// All about one object.
#[derive(Debug)]
pub(super) struct Dossier<'a> {
    /// The object.
    pub(super) object: &'a ObjectDoc,
    /// Its verdicts.
    pub(super) verdicts: Vec<&'a Verdict>,
    /// Problems.
    pub(super) findings: Vec<&'a FindingDoc>,
    /// Open questions.
    pub(super) undecided: Vec<&'a UndecidedDoc>,
    /// What real kernels did with it.
    pub(super) runs: Vec<&'a LiveRun>,
    /// Names of the document's kernels.
    pub(super) kernels: Vec<String>,
}

impl Document {
    /// What it says of each object, in their order; what is said of none of them is left out.
    pub(super) fn parts(&self) -> Vec<Dossier<'_>> {
        let kernels: Vec<String> = self.kernels.iter().map(KernelDoc::title).collect();
        let part = |object| Dossier {
            object,
            verdicts: Vec::new(),
            findings: Vec::new(),
            undecided: Vec::new(),
            runs: Vec::new(),
            kernels: kernels.clone(),
        };
        let mut parts: Vec<Dossier<'_>> = self.objects.iter().map(part).collect();
        for verdict in &self.verdicts {
            if let Some(part) = parts.get_mut(verdict.object) {
                part.verdicts.push(verdict);
            }
        }
        for finding in &self.findings {
            if let Some(part) = parts.get_mut(finding.object) {
                part.findings.push(finding);
            }
        }
        for open in &self.undecided {
            if let Some(part) = parts.get_mut(open.object) {
                part.undecided.push(open);
            }
        }
        for run in &self.runs {
            if let Some(part) = parts.get_mut(run.object) {
                part.runs.push(run);
            }
        }
        parts
    }
}

impl Document {
    /// How many questions are open whose answer still matters and that the baseline does not have.
    pub fn open_questions(&self) -> usize {
        questions(&self.parts()).count()
    }
}

/// The open questions of all objects whose answer still matters, each with its object and the kernels that it is about.
pub(super) fn questions<'a>(
    parts: &'a [Dossier<'a>],
) -> impl Iterator<Item = (&'a Dossier<'a>, &'a UndecidedDoc, Vec<usize>)> {
    parts.iter().flat_map(|part| part.questions().map(move |(open, kernels)| (part, open, kernels)))
}

impl<'a> Dossier<'a> {
    /// The verdict of the whole object, or of an ops variable, on a kernel or on none.
    pub(super) fn verdict(&self, kernel: Option<usize>, ops: Option<&str>) -> Option<&'a Verdict> {
        let mut verdicts = self.verdicts.iter().copied();
        verdicts.find(|verdict| verdict.kernel == kernel && verdict.struct_ops.as_deref() == ops)
    }

    /// How far it, or an ops variable of it, comes.
    pub(super) fn fate(&self, kernel: Option<usize>, ops: Option<&str>) -> Fate {
        if self.object.error.is_some() {
            return Fate::Unreadable;
        }
        let Some(verdict) = self.verdict(kernel, ops) else { return Fate::Unknown };
        // The file alone proves nothing of a kernel; what it leaves open is asked.
        if kernel.is_none() && verdict.failure().is_none() {
            let is_open = self.undecided.iter().any(|open| open.rule.level >= Level::Warning);
            return if is_open { Fate::Unknown } else { Fate::NothingFound };
        }
        if let Some(phase) = verdict.failure() {
            return Fate::Fails(phase);
        }
        match Phase::ALL.into_iter().find(|&phase| verdict.at(phase) != Answer::Pass) {
            None if verdict.proven && verdict.knobs.is_empty() => Fate::Works,
            None if verdict.proven => Fate::WorksIf,
            None => Fate::NothingFound,
            Some(Phase::Run) => Fate::MayNotStay,
            Some(_) => Fate::Unknown,
        }
    }

    /// The kernels of an open question on which the object does not fail anyway.
    pub(super) fn still_open(&self, open: &UndecidedDoc) -> Vec<usize> {
        let fails = |kernel| self.verdict(Some(kernel), None).is_some_and(|v| v.failure().is_some());
        open.kernels.iter().copied().filter(|&kernel| !fails(kernel)).collect()
    }

    /// An open question is about kernels only on which the object fails all the same.
    pub(super) fn is_moot(&self, open: &UndecidedDoc) -> bool {
        !open.kernels.is_empty() && self.still_open(open).is_empty()
    }

    /// The open questions whose answer still matters, each with the kernels that it is about: empty where none is named.
    pub(super) fn questions(&self) -> impl Iterator<Item = (&'a UndecidedDoc, Vec<usize>)> {
        let asked = self.undecided.iter().copied().filter(|open| !open.known && !self.is_moot(open));
        asked.map(|open| (open, self.still_open(open)))
    }
}
