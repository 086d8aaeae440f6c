//! Which C lines are a function's own, and not of code that was inlined into it.

use crate::btf::{LineInfo, StrOff};

/// Which lines are a function's own.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnLines {
    /// Strings are in a BTF once.
    pub(super) file: StrOff,
    /// The line with its name; 1 where no record shows that.
    pub(super) first: u32,
    /// That record.
    pub(super) opening: Option<LineInfo>,
}
