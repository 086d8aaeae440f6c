//! The functions of one program.

use std::collections::HashMap;

use super::code::Body;
use crate::object::{FuncIdx, Object};

/// The functions of one program, by their place in its final code.
#[derive(Debug)]
pub(super) struct Scope<'c> {
    pub(super) codes: Vec<&'c Body>,
    pub(super) places: HashMap<FuncIdx, usize>,
    /// Global functions are looked at on their own.
    pub(super) global: Vec<bool>,
    /// Places by where their slots start, counted over the whole object.
    by_base: Vec<(u32, usize)>,
    /// Entry programs of the object.
    programs: usize,
}

impl<'c> Scope<'c> {
    pub(super) fn new(object: &Object<'_>, codes: Vec<&'c Body>) -> Self {
        let places = codes.iter().enumerate().map(|(place, code)| (code.function, place)).collect();
        let global = codes.iter().map(|code| object[code.function].is_global).collect();
        let mut by_base: Vec<(u32, usize)> =
            codes.iter().enumerate().map(|(place, code)| (code.base, place)).collect();
        by_base.sort_unstable();
        Self { codes, places, global, by_base, programs: object.programs().count() }
    }

    /// The function that holds a slot, counted over the whole object, and which of its own that is.
    pub(super) fn at(&self, slot: usize) -> Option<(&'c Body, usize)> {
        let after = self.by_base.partition_point(|(base, _)| *base as usize <= slot);
        let &(base, place) = self.by_base.get(after.checked_sub(1)?)?;
        let (code, at) = (self.codes[place], slot - base as usize);
        (at < code.insns.len()).then_some((code, at))
    }

    /// Steps that a walk may take beyond those for its length: so many, but for an object of more programs than schedulers have.
    pub(super) fn extra(&self, steps: usize) -> usize {
        const USUAL: usize = 200;
        (steps * USUAL / self.programs.max(USUAL)).max(1_000)
    }

    /// Slots of all of them.
    pub(super) fn len(&self) -> usize {
        self.codes.iter().map(|code| code.insns.len()).sum()
    }
}
