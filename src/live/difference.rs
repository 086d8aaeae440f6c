//! Where a real kernel and the static report disagree, and what failed there that no report foresees.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::report::escape;
use crate::rule::{Phase, Rule};

/// One disagreement. Printed, it is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A phase succeeded that should have failed.
    Succeeded {
        /// The phase.
        phase: Phase,
        /// The ops variable; `None` for the object as a whole.
        ops: Option<String>,
        /// The rules that foresee a failure.
        rules: Vec<&'static Rule>,
    },
    /// A phase failed that should have succeeded.
    Failed {
        /// The phase.
        phase: Phase,
        /// The ops variable; `None` for the object as a whole.
        ops: Option<String>,
    },
    /// The kernel loaded a program that the report does not have.
    UnknownProgram {
        /// Its name.
        program: String,
    },
    /// The kernel and the report name other maps of a program.
    OtherMaps {
        /// The program.
        program: String,
        /// What the kernel lists, in order.
        seen: Vec<String>,
        /// What the report lists, in order.
        expected: Vec<String>,
    },
}

/// A failure of something that is not modelled: the report never said that it would succeed. Printed, it is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unforeseen {
    /// The verifier refused a program.
    Refused {
        /// The program.
        program: String,
    },
    /// The scheduler failed as it ran.
    Exited {
        /// The ops variable.
        ops: String,
        /// The kernel's short reason.
        reason: String,
        /// The kernel's message.
        message: String,
    },
}

impl Unforeseen {
    /// Escapes control characters in the names that come from the object and in the kernel's words.
    pub(super) fn make_printable(&mut self) {
        let all = |text: &mut String| escape(text, &['\n', '\t']);
        match self {
            Self::Refused { program } => all(program),
            Self::Exited { ops, reason, message } => [ops, reason, message].into_iter().for_each(all),
        }
    }
}

impl fmt::Display for Unforeseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { program } => write!(f, "the verifier, which refuses program '{program}'"),
            Self::Exited { ops, reason, message } => {
                write!(f, "what '{ops}' does when it runs: {reason}: {message}")
            }
        }
    }
}

impl Difference {
    /// Escapes control characters in the names that come from the object and in the kernel's words.
    pub(super) fn make_printable(&mut self) {
        let all = |text: &mut String| escape(text, &['\n', '\t']);
        match self {
            Self::Succeeded { ops, .. } | Self::Failed { ops, .. } => ops.iter_mut().for_each(all),
            Self::UnknownProgram { program } => all(program),
            Self::OtherMaps { program, seen, expected } => {
                all(program);
                seen.iter_mut().chain(expected).for_each(all);
            }
        }
    }
}

/// `attach of 'demo_ops'`.
struct Of<'a>(Phase, &'a Option<String>);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())?;
        self.1.as_ref().map_or(Ok(()), |ops| write!(f, " of '{ops}'"))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded { phase, ops, rules } => {
                let rules: Vec<&str> = rules.iter().map(|rule| rule.name).collect();
                let rules = rules.join(", ");
                write!(f, "{} succeeded, the static report says it fails ({rules})", Of(*phase, ops))
            }
            Self::Failed { phase, ops } => {
                write!(f, "{} failed, the static report says it succeeds", Of(*phase, ops))
            }
            Self::UnknownProgram { program } => {
                write!(f, "program '{program}' was loaded, and the static report has none of that name")
            }
            Self::OtherMaps { program, seen, expected } => {
                let (seen, expected) = (seen.join(", "), expected.join(", "));
                write!(f, "program '{program}' uses the maps [{seen}], the static report says [{expected}]")
            }
        }
    }
}

/// JSON has the sentences.
macro_rules! as_sentence {
    ($($type:ty),+) => {
        $(impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })+
    };
}

as_sentence!(Difference, Unforeseen);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    #[test]
    fn sentences_stay() {
        let rules = ["missing-arena", "missing-kfunc"].map(|name| checks::find(name).unwrap());
        let ops = Some("demo_ops".to_owned());
        let maps = |maps: &[&str]| maps.iter().map(|map| (*map).to_owned()).collect();
        let (program, seen, expected) = ("enqueue".to_owned(), maps(&["a", "b"]), maps(&[]));
        for (difference, words) in [
            (
                Difference::Succeeded { phase: Phase::Attach, ops, rules: rules.to_vec() },
                "attach of 'demo_ops' succeeded, the static report says it fails (missing-arena, missing-kfunc)",
            ),
            (
                Difference::Failed { phase: Phase::Load, ops: None },
                "load failed, the static report says it succeeds",
            ),
            (
                Difference::UnknownProgram { program: program.clone() },
                "program 'enqueue' was loaded, and the static report has none of that name",
            ),
            (
                Difference::OtherMaps { program: program.clone(), seen, expected },
                "program 'enqueue' uses the maps [a, b], the static report says []",
            ),
        ] {
            assert_eq!(difference.to_string(), words);
            assert_eq!(serde_json::to_value(&difference).unwrap(), words);
        }
        let (ops, reason, message) =
            ("demo_ops".to_owned(), "runtime error".to_owned(), "invalid CPU 9".to_owned());
        for (unforeseen, words) in [
            (Unforeseen::Refused { program }, "the verifier, which refuses program 'enqueue'"),
            (
                Unforeseen::Exited { ops, reason, message },
                "what 'demo_ops' does when it runs: runtime error: invalid CPU 9",
            ),
        ] {
            assert_eq!(unforeseen.to_string(), words);
            assert_eq!(serde_json::to_value(&unforeseen).unwrap(), words);
        }
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        let mut difference = Difference::UnknownProgram { program: "\u{1b}[2J".to_owned() };
        difference.make_printable();
        assert!(difference.to_string().starts_with("program '\\u{1b}[2J' was loaded"));
    }
}
