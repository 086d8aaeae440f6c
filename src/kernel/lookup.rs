//! Found, absent, or unknown with the reason: the answer to a question about a kernel.

use std::borrow::Cow;

/// Why a question has no answer: one sentence, lower case, no full stop.
pub type Reason = Cow<'static, str>;

/// The answer to a question about a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It is there.
    Found(T),
    /// It is not there.
    Absent,
    /// The data at hand does not tell.
    Unknown(Reason),
}

impl<T> Lookup<T> {
    /// What was found.
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(value) => Some(value),
            _ => None,
        }
    }

    /// Turns what was found into something else.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(value) => Lookup::Found(f(value)),
            Self::Absent => Lookup::Absent,
            Self::Unknown(reason) => Lookup::Unknown(reason),
        }
    }
}

impl Lookup<()> {
    /// Whether it is there, for those who ask yes or no: absence is an answer too.
    pub fn holds(self) -> Lookup<bool> {
        match self {
            Self::Found(()) => Lookup::Found(true),
            Self::Absent => Lookup::Found(false),
            Self::Unknown(reason) => Lookup::Unknown(reason),
        }
    }
}
