//! What the asking side is told to do: which objects, which mutants of them.

use std::io;

use serde_json::{Value, json};

use super::attempt;
use super::mutation::{Change, Programs};

/// Mutants by number: mutant `n` is one of base `n % bases`, or, unchanged, base `n` itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// The seed.
    pub seed: u64,
    /// The first number.
    pub first: u64,
    /// The number after the last.
    pub end: u64,
    /// Nothing is changed.
    pub unchanged: bool,
    /// How long the kernel may take over one program, seconds.
    pub seconds: u32,
}

impl Orders {
    /// As JSON.
    pub fn write(&self) -> Value {
        json!({"seed": self.seed, "first": self.first, "end": self.end, "unchanged": self.unchanged, "seconds": self.seconds})
    }

    /// From JSON.
    pub fn read(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name)?.as_u64();
        Some(Self {
            seed: number("seed")?,
            first: number("first")?,
            end: number("end")?,
            unchanged: value.get("unchanged")?.as_bool()?,
            seconds: number("seconds")?.try_into().ok()?,
        })
    }

    /// The base that a mutant is made of.
    pub fn base<'a, T>(&self, bases: &'a [T], number: u64) -> Option<&'a T> {
        bases.get(usize::try_from(number % bases.len().max(1) as u64).ok()?)
    }

    /// A mutant of a base, and what was changed.
    pub fn mutant(&self, base: &Programs, number: u64) -> (Vec<u8>, Vec<Change>) {
        if self.unchanged { (base.bytes().to_vec(), Vec::new()) } else { base.mutant(self.seed, number) }
    }

    /// Asks the running kernel about each mutant; `tell` is given a line for each, with its number.
    ///
    /// # Errors
    /// No process can be made.
    pub fn attempt(&self, bases: &[Programs], mut tell: impl FnMut(String)) -> io::Result<()> {
        for number in self.first..self.end {
            let Some(base) = self.base(bases, number) else { break };
            let rows = attempt::object(&self.mutant(base, number).0, self.seconds)?;
            tell(json!({"i": number, "rows": rows}).to_string());
        }
        Ok(())
    }
}
