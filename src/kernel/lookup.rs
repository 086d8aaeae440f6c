//! Found, absent, or unknown with the reason and what would tell: the answer to a question about a kernel.

use std::borrow::Cow;
use std::fmt;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reason {
    /// One sentence, lower case, no full stop.
    words: Cow<'static, str>,
    /// What would answer it.
    decided_by: Option<DecidedBy>,
}

/// What would answer an open question, and how the user gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DecidedBy {
    /// A kernel has to be named.
    Kernel,
    /// A value that user space sets, by the name that `--set` takes: a variable, or `OPS.MEMBER`.
    Value(String),
    /// The kernel's configuration.
    Kconfig,
    /// The kernel's image in the place of its bare BTF or of a snapshot.
    Image,
    /// A real kernel, which loads and attaches the object.
    Run,
}

impl Reason {
    /// The question is answered by something that the user can give.
    pub fn decided_by(self, what: DecidedBy) -> Self {
        Self { decided_by: Some(what), ..self }
    }

    /// The same in the words that `say` puts around them.
    pub fn within(&self, say: impl FnOnce(&str) -> String) -> Self {
        Self { words: say(&self.words).into(), decided_by: self.decided_by.clone() }
    }

    /// What would answer the question, where it is known.
    pub fn decider(&self) -> Option<&DecidedBy> {
        self.decided_by.as_ref()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl From<&'static str> for Reason {
    fn from(words: &'static str) -> Self {
        Self { words: words.into(), decided_by: None }
    }
}

impl From<String> for Reason {
    fn from(words: String) -> Self {
        Self { words: words.into(), decided_by: None }
    }
}

/// As it is typed.
impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("--kernel KERNEL"),
            Self::Value(name) => write!(f, "--set {name}=VALUE"),
            Self::Kconfig => f.write_str("--kconfig FILE"),
            Self::Image => f.write_str("--kernel IMAGE"),
            Self::Run => f.write_str("--vm IMAGE"),
        }
    }
}

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
