//! What the document lists: problems, open questions, and what the user allows.

use serde::Serialize;

use super::location::{LocationDoc, locate};
use crate::errno::Errno;
use crate::finding::{Finding, Subject, Undecided};
use crate::kernel::DecidedBy;
use crate::object::Object;
use crate::rule::{Level, Phase, Rule};

/// A problem.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct FindingDoc {
    pub rule: &'static Rule,
    pub level: Level,
    pub object: usize,
    pub kernels: Vec<usize>,
    pub phase: Phase,
    pub errno: Option<Errno>,
    pub kernel_message: Option<String>,
    pub subject: Subject,
    pub message: String,
    pub help: Option<String>,
    pub locations: Vec<LocationDoc>,
    /// It decides the verdict, whatever its level is.
    #[serde(skip)]
    pub refuses: bool,
    /// The baseline has it: it does not fail the run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub known: bool,
}

/// An open question.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct UndecidedDoc {
    pub rule: &'static Rule,
    pub object: usize,
    pub kernels: Vec<usize>,
    pub subject: Subject,
    pub reason: String,
    pub locations: Vec<LocationDoc>,
    /// What would answer it, as it is typed on the command line.
    pub decided_by: Vec<DecidedBy>,
    /// It is answered where user space leaves its variables as they stand in the file.
    #[serde(skip)]
    pub answered_by_file: bool,
    /// The baseline has it: it does not fail the run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub known: bool,
}

/// Who allows a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedBy {
    /// An `[[allow]]` of the configuration.
    Config,
    /// A tag in the source.
    Source,
}

impl AllowedBy {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Source => "source",
        }
    }
}

/// An allow that allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct UnmatchedDoc {
    pub object: Option<usize>,
    pub by: AllowedBy,
    pub rule: String,
    /// Where it stands.
    pub place: String,
    pub problem: String,
}

/// A finding that the user has allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct SuppressedDoc {
    pub rule: &'static Rule,
    pub object: usize,
    pub subject: Subject,
    pub message: String,
    /// Where it is allowed.
    pub by: AllowedBy,
    pub reason: String,
}

impl FindingDoc {
    /// A finding at the rule's level and phase; what more there is to say comes in its fields.
    pub fn new(rule: &'static Rule, object: usize, subject: Subject, message: String) -> Self {
        Self {
            rule,
            level: rule.level,
            object,
            kernels: Vec::new(),
            phase: rule.phase,
            errno: None,
            kernel_message: None,
            subject,
            message,
            help: None,
            locations: Vec::new(),
            refuses: rule.level == Level::Error,
            known: false,
        }
    }

    /// What a check found in an object.
    pub(super) fn of(number: usize, object: &Object<'_>, finding: &Finding) -> Self {
        Self {
            level: finding.level,
            phase: finding.phase,
            errno: finding.errno,
            kernel_message: finding.kernel_message.clone(),
            help: finding.help.clone(),
            locations: finding.locations.iter().flat_map(|location| locate(object, location)).collect(),
            refuses: finding.refuses,
            ..Self::new(finding.rule, number, finding.subject.clone(), finding.message.clone())
        }
    }

    /// Equal but for the kernels.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.rule, self.level, self.phase) == (other.rule, other.level, other.phase)
            && self.subject == other.subject
            && self.message == other.message
            && self.errno == other.errno
            && self.kernel_message == other.kernel_message
            && self.help == other.help
            && self.locations == other.locations
    }
}

impl UndecidedDoc {
    /// What a check left open in an object.
    pub(super) fn of(number: usize, object: &Object<'_>, open: &Undecided) -> Self {
        let mut decided_by = open.decided_by.clone();
        // A kernel that runs the scheduler answers what is asked about a kernel.
        if !decided_by.iter().any(|what| matches!(what, DecidedBy::Kernel | DecidedBy::Run)) {
            decided_by.push(DecidedBy::Run);
        }
        let locations = open.locations.iter().flat_map(|location| locate(object, location)).collect();
        let (subject, reason) = (open.subject.clone(), open.reason.clone());
        Self {
            rule: open.rule,
            object: number,
            kernels: Vec::new(),
            subject,
            reason,
            locations,
            decided_by,
            answered_by_file: open.answered_by_file,
            known: false,
        }
    }

    /// Equal but for the kernels.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.rule == other.rule
            && self.subject == other.subject
            && self.reason == other.reason
            && self.decided_by == other.decided_by
            && self.answered_by_file == other.answered_by_file
            && self.locations == other.locations
    }

    /// What is open, in a sentence without a full stop: `program 'x': calls ...`.
    pub(super) fn question(&self) -> String {
        format!("{} '{}': {}", self.subject.kind.as_str(), self.subject.name, self.reason)
    }

    /// How it can be decided: `--kconfig FILE`, `--vm IMAGE`. What this program was built without is said to be so.
    pub(super) fn ways(&self) -> impl Iterator<Item = String> {
        self.decided_by.iter().map(|what| match what {
            DecidedBy::Run if !cfg!(feature = "live") => format!("{what} (of a build with live mode)"),
            what => what.to_string(),
        })
    }

    /// The same as a part of a sentence.
    pub(super) fn way_out(&self) -> String {
        self.ways().collect::<Vec<_>>().join(" or ")
    }
}
