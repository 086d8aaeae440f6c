//! What would happen to an object, phase by phase.

use serde::Serialize;

use super::objects::ObjectDoc;
use crate::finding::{Knob, Outcome, Subject, Undecided};
use crate::rule::{Level, Phase};

/// `pass`, `fail` or `unknown`.
///
/// `pass` means that nothing which the file and the kernel's types can show stands against it. Only where the verdict is
/// [proven](Verdict::proven) too does it mean that it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Answer {
    Pass,
    Fail,
    Unknown,
}

impl Answer {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

/// What would happen to an object or to one of its ops variables.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct Verdict {
    pub object: usize,
    pub kernel: Option<usize>,
    pub struct_ops: Option<String>,
    pub open: Answer,
    pub load: Answer,
    pub attach: Answer,
    pub run: Answer,
    /// Every phase passes, and nothing that a kernel decides was left out of the account: the verifier is known to accept
    /// every program, if [values](Self::knobs) are as in the file.
    pub proven: bool,
    /// Programs of which that is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unproven: Vec<String>,
    /// Values that user space may set and that this depends on: it is so where they are as in the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub knobs: Vec<Knob>,
    /// With what words the verifier may refuse a program if they are set otherwise, where that is seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

impl Verdict {
    /// What would happen at a phase.
    pub fn at(&self, phase: Phase) -> Answer {
        match phase {
            Phase::Open => self.open,
            Phase::Load => self.load,
            Phase::Attach => self.attach,
            Phase::Run => self.run,
        }
    }

    /// The phase that fails, if one does.
    pub fn failure(&self) -> Option<Phase> {
        Phase::ALL.into_iter().find(|&phase| self.at(phase) == Answer::Fail)
    }
}

/// The verdict of an object, or of one ops variable: the earliest phase at which something refuses.
///
/// A refusal at open or load concerns everything in the object; one at attach or run only the ops
/// variable that it names. From the phase of an open question on nothing is certain. Without a kernel the
/// file alone proves no more than that it opens.
pub(super) fn verdict(
    object: &ObjectDoc,
    number: usize,
    kernel: Option<usize>,
    ops: Option<&str>,
    outcome: &Outcome,
) -> Verdict {
    let about = object.struct_ops.iter().find(|known| Some(known.map.as_str()) == ops);
    let concerns = |found: &Subject| about.is_none_or(|ops| ops.is_meant_by(found));
    let failed = outcome
        .findings
        .iter()
        .filter(|finding| finding.refuses)
        .filter(|finding| finding.phase <= Phase::Load || concerns(&finding.subject))
        .map(|finding| finding.phase)
        .min();
    let first_open = |undecided: &[Undecided]| {
        let matters = undecided.iter().filter(|open| open.rule.level >= Level::Warning);
        let here = matters.filter(|open| open.phase <= Phase::Load || concerns(&open.subject));
        here.map(|open| open.phase).min()
    };
    let mut open = first_open(&outcome.undecided);
    let mut unproven = if kernel.is_some() { outcome.unproven.as_slice() } else { &[] };
    let (mut knobs, mut otherwise) = (Vec::new(), None);
    // Never unknown where the file's own values decide.
    if let Some(as_in_file) = outcome.as_in_file.as_ref().filter(|_| failed.is_none()) {
        let left = first_open(&as_in_file.undecided);
        let answers = open.is_some() && (left.is_none() || left > open);
        let proves = left == open && as_in_file.unproven.len() < unproven.len();
        if answers || proves {
            open = left;
            unproven = if kernel.is_some() { &as_in_file.unproven } else { &[] };
            knobs.clone_from(&as_in_file.knobs);
            otherwise.clone_from(&as_in_file.otherwise);
        }
    }
    let answer = |phase: Phase| match failed {
        Some(at) if at == phase => Answer::Fail,
        Some(at) if at < phase => Answer::Unknown,
        _ if phase == Phase::Open => Answer::Pass,
        _ if kernel.is_none() || open.is_some_and(|at| at <= phase) => Answer::Unknown,
        _ => Answer::Pass,
    };
    // What is not created is not attached either.
    let answer = |phase: Phase| match about {
        Some(ops) if !ops.autocreate && phase > Phase::Load => Answer::Unknown,
        _ => answer(phase),
    };
    let passes = Phase::ALL.into_iter().all(|phase| answer(phase) == Answer::Pass);
    Verdict {
        object: number,
        kernel,
        struct_ops: ops.map(str::to_owned),
        open: answer(Phase::Open),
        load: answer(Phase::Load),
        attach: answer(Phase::Attach),
        run: answer(Phase::Run),
        proven: passes && unproven.is_empty(),
        unproven: unproven.to_vec(),
        knobs,
        otherwise,
    }
}
