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
}

impl<'c> Scope<'c> {
    pub(super) fn new(object: &Object<'_>, codes: Vec<&'c Body>) -> Self {
        let places = codes.iter().enumerate().map(|(place, code)| (code.function, place)).collect();
        let global =
            codes.iter().map(|code| object[code.function].global && !object[code.function].hidden).collect();
        Self { codes, places, global }
    }

    /// Slots of all of them.
    pub(super) fn len(&self) -> usize {
        self.codes.iter().map(|code| code.insns.len()).sum()
    }
}
