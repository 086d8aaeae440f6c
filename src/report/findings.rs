//! What the document lists: problems, open questions, and what the user allows.

use serde::Serialize;

use super::location::{LocationDoc, locate};
use crate::errno::Errno;
use crate::finding::{Finding, Subject};
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
    /// Equal but for the kernels.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.rule == other.rule && self.subject == other.subject && self.reason == other.reason
    }
}
