//! Where a real kernel and the static report disagree.

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
        /// Could the report have foreseen it?
        foreseeable: Foreseeable,
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

/// Whether a failure could have been foreseen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreseeable {
    /// By the file and the kernel's types: that it was not is a bug in scx-lint.
    Yes,
    /// The verifier refused a program. The static report does not take its place.
    Refused {
        /// The program.
        program: String,
    },
    /// The scheduler failed as it ran. No report takes the place of that either.
    Exited {
        /// The kernel's short reason.
        reason: String,
        /// The kernel's message.
        message: String,
    },
}

/// Says in a sentence that no file shows a failure in advance.
pub const UNFORESEEN: &str = "no file shows this";

impl Difference {
    /// The static report should have known better: a bug in scx-lint.
    pub fn is_foreseeable(&self) -> bool {
        match self {
            Self::Failed { foreseeable, .. } => *foreseeable == Foreseeable::Yes,
            Self::Succeeded { .. } | Self::UnknownProgram { .. } | Self::OtherMaps { .. } => true,
        }
    }

    /// Escapes control characters in the names that come from the object and in the kernel's words.
    pub(super) fn make_printable(&mut self) {
        let all = |text: &mut String| escape(text, &['\n', '\t']);
        match self {
            Self::Succeeded { ops, .. } => ops.iter_mut().for_each(all),
            Self::Failed { ops, foreseeable, .. } => {
                ops.iter_mut().for_each(all);
                match foreseeable {
                    Foreseeable::Yes => {}
                    Foreseeable::Refused { program } => all(program),
                    Foreseeable::Exited { reason, message } => [reason, message].into_iter().for_each(all),
                }
            }
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
            Self::Failed { phase, ops, foreseeable } => {
                write!(f, "{} failed, the static report says it succeeds", Of(*phase, ops))?;
                match foreseeable {
                    Foreseeable::Yes => Ok(()),
                    Foreseeable::Refused { program } => {
                        write!(f, "; {UNFORESEEN}: the verifier refuses program '{program}'")
                    }
                    Foreseeable::Exited { reason, message } => {
                        write!(f, "; {UNFORESEEN}: {reason}: {message}")
                    }
                }
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

/// JSON has the sentence.
impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    #[test]
    fn sentences_stay() {
        let rules = ["missing-arena", "missing-kfunc"].map(|name| checks::find(name).unwrap());
        let failed = |foreseeable| Difference::Failed { phase: Phase::Load, ops: None, foreseeable };
        let refused = failed(Foreseeable::Refused { program: "enqueue".to_owned() });
        let exited = Difference::Failed {
            phase: Phase::Run,
            ops: Some("demo_ops".to_owned()),
            foreseeable: Foreseeable::Exited {
                reason: "runtime error".to_owned(),
                message: "0x0".to_owned(),
            },
        };
        let ops = Some("demo_ops".to_owned());
        let maps = |maps: &[&str]| maps.iter().map(|map| (*map).to_owned()).collect();
        let (program, seen, expected) = ("enqueue".to_owned(), maps(&["a", "b"]), maps(&[]));
        for (difference, is_foreseeable, words) in [
            (
                Difference::Succeeded { phase: Phase::Attach, ops, rules: rules.to_vec() },
                true,
                "attach of 'demo_ops' succeeded, the static report says it fails (missing-arena, missing-kfunc)",
            ),
            (failed(Foreseeable::Yes), true, "load failed, the static report says it succeeds"),
            (
                refused,
                false,
                "load failed, the static report says it succeeds; no file shows this: the verifier refuses program 'enqueue'",
            ),
            (
                exited,
                false,
                "run of 'demo_ops' failed, the static report says it succeeds; no file shows this: runtime error: 0x0",
            ),
            (
                Difference::UnknownProgram { program: program.clone() },
                true,
                "program 'enqueue' was loaded, and the static report has none of that name",
            ),
            (
                Difference::OtherMaps { program, seen, expected },
                true,
                "program 'enqueue' uses the maps [a, b], the static report says []",
            ),
        ] {
            assert_eq!(difference.to_string(), words);
            assert_eq!(serde_json::to_value(&difference).unwrap(), words);
            assert_eq!(difference.is_foreseeable(), is_foreseeable, "{words}");
        }
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        let mut difference = Difference::UnknownProgram { program: "\u{1b}[2J".to_owned() };
        difference.make_printable();
        assert!(difference.to_string().starts_with("program '\\u{1b}[2J' was loaded"));
    }
}
