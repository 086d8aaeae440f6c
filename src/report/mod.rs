//! Reports: one owned document, printed in several formats.
//!
//! [`Document`] is JSON version 1; the formats for people print the same document.

mod document;

pub use document::*;
