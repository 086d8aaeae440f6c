//! How far an object comes, in the words and signs of tables.

use crate::rule::Phase;

/// How far an object comes on a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// Every phase passes, and that is proven.
    Works,
    /// The same, with values that user space may set as they are in the file.
    WorksIf,
    /// Nothing speaks against it; what the verifier will say is not known.
    NothingFound,
    /// Nothing speaks against it until it runs; whether it then stays enabled is open.
    MayNotStay,
    /// Fails at that phase.
    Fails(Phase),
    /// Cannot be told: a question is open.
    #[default]
    Unknown,
    /// The input cannot be read.
    Unreadable,
}

impl Fate {
    /// One of each, in the order of a legend.
    pub const ALL: [Self; 7] = [
        Self::Works,
        Self::WorksIf,
        Self::NothingFound,
        Self::MayNotStay,
        Self::Unknown,
        Self::Fails(Phase::Load),
        Self::Unreadable,
    ];

    /// In two or three words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::WorksIf => "works if",
            Self::NothingFound => "nothing found",
            Self::MayNotStay => "may not stay",
            Self::Fails(Phase::Open) => "does not open",
            Self::Fails(Phase::Load) => "does not load",
            Self::Fails(Phase::Attach) => "does not attach",
            Self::Fails(Phase::Run) => "is ejected",
            Self::Unknown => "unknown",
            Self::Unreadable => "unreadable",
        }
    }

    /// In one word, for tables of many kernels.
    pub fn word(self) -> &'static str {
        match self {
            Self::NothingFound => "pass",
            Self::MayNotStay => "stay?",
            Self::Fails(phase) => phase.as_str(),
            other => other.words(),
        }
    }

    /// One character for narrow columns.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Works => "✓",
            Self::WorksIf => "◎",
            Self::NothingFound => "○",
            Self::MayNotStay => "◐",
            Self::Fails(_) => "✗",
            Self::Unknown => "?",
            Self::Unreadable => "!",
        }
    }

    /// The same in colour.
    pub fn emoji(self) -> &'static str {
        match self {
            Self::Works => "✅",
            Self::WorksIf => "🟢",
            Self::NothingFound => "⚪",
            Self::MayNotStay => "🟡",
            Self::Fails(_) => "❌",
            Self::Unknown => "❔",
            Self::Unreadable => "⚠️",
        }
    }

    /// What it means, for a legend.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Works => "every phase is proven, and the verifier is known to accept each program",
            Self::WorksIf => {
                "works with values that user space may set as they are in the file; with others it is not proven"
            }
            Self::NothingFound => "nothing is found; what the verifier will say is not proven",
            Self::MayNotStay => {
                "nothing is found before it runs; whether it then stays enabled cannot be told"
            }
            Self::Fails(_) => "fails; the cell says at what",
            Self::Unknown => "cannot be told: a question is open",
            Self::Unreadable => "the input cannot be read",
        }
    }
}
