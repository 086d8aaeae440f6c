//! Enums that travel between processes by their word.

use std::borrow::Cow;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::load::Loader;
use crate::rule::Phase;

/// An enum whose values have a word each.
pub(super) trait Word: Copy + 'static {
    /// What it is, in messages.
    const WHAT: &'static str;
    /// Every value.
    const ALL: &'static [Self];
    /// The word of a value.
    fn word(self) -> &'static str;
}

impl Word for Phase {
    const WHAT: &'static str = "phase";
    const ALL: &'static [Self] = &Self::ALL;
    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Word for Loader {
    const WHAT: &'static str = "loader";
    const ALL: &'static [Self] = &[Self::Plain, Self::Scx];
    fn word(self) -> &'static str {
        self.as_str()
    }
}

pub(super) fn serialize<T: Word, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.word().serialize(serializer)
}

pub(super) fn deserialize<'d, T: Word, D: Deserializer<'d>>(deserializer: D) -> Result<T, D::Error> {
    let word = Cow::<str>::deserialize(deserializer)?;
    let value = T::ALL.iter().copied().find(|value| value.word() == word);
    value.ok_or_else(|| D::Error::custom(format!("'{word}' is no {}", T::WHAT)))
}
