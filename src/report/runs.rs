//! What schedulers did on real kernels, in the shape of findings, for the formats that show findings.
//!
//! JSON has all of it in `live`; `full` and `concise` print it in their own words.

use super::findings::FindingDoc;
use crate::rule::{Family, Level, Phase, Rule};

/// One object on one real kernel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LiveRun {
    /// Index into the report's `objects`.
    pub object: usize,
    /// The kernel, as `7.3.4 (guest of vmlinuz-7.3.4, tcg)`.
    pub kernel: String,
    /// How it went.
    pub outcome: LiveOutcome,
    /// How far it came and why no further, in one sentence.
    pub words: String,
    /// What fails the run, as findings: one where the outcome is [`LiveOutcome::Failed`], and one for each statistic that grew.
    pub findings: Vec<FindingDoc>,
    /// Where kernel and report disagree, one sentence each.
    pub differs: Vec<String>,
    /// What failed that the report does not model.
    pub unforeseen: Vec<String>,
}

/// How a run on a real kernel went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveOutcome {
    /// Enabled, held and detached.
    Passed,
    /// It failed.
    Failed,
    /// The kernel could not be asked.
    Unasked,
}

impl LiveRun {
    /// A run; what there is to say comes in its fields.
    pub fn new(object: usize, kernel: String, outcome: LiveOutcome, words: String) -> Self {
        Self {
            object,
            kernel,
            outcome,
            words,
            findings: Vec::new(),
            differs: Vec::new(),
            unforeseen: Vec::new(),
        }
    }
}

impl LiveOutcome {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unasked => "not asked",
        }
    }

    /// In a character.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Passed => "✅",
            Self::Failed => "❌",
            Self::Unasked => "⚠️",
        }
    }
}

/// What the findings of a run go by. Neither is a rule that can be allowed: no file shows it, a kernel did it.
pub static LIVE_RULES: [&Rule; 2] = [&LIVE_FAILURE, &LIVE_GROWTH];

/// A scheduler failed.
pub static LIVE_FAILURE: Rule = Rule {
    name: "live-failure",
    family: Family::Kernel,
    level: Level::Error,
    phase: Phase::Run,
    since: "0.1.0",
    doc: " The scheduler failed on a real kernel.\n\n \
        `--attach` or `--vm` loaded and attached it, and the kernel refused it, ejected it, or did not come through.\n \
        The message has the kernel's own reason. The phase is the one that failed. It cannot be allowed: leave out the\n \
        kernel instead.\n",
};

/// A statistic grew.
pub static LIVE_GROWTH: Rule = Rule {
    name: "live-growth",
    family: Family::Kernel,
    level: Level::Error,
    phase: Phase::Load,
    since: "0.1.0",
    doc: " A program has grown more than `--threshold` permits.\n\n \
        `--compare` holds the instructions that the verifier walked, the sizes of the translated program and of its\n \
        machine code, and the verifier's time against a file that `--save` wrote.\n",
};

/// The description of a finding of a run.
pub fn live_rule(name: &str) -> Option<&'static Rule> {
    LIVE_RULES.into_iter().find(|rule| rule.name == name)
}
