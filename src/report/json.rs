//! JSON version 1.

use std::io::{self, Write};

use super::document::Document;

/// The JSON Schema (2020-12) of the document.
pub const SCHEMA: &str = include_str!("../../schema/scx-lint-1.json");

/// Prints JSON version 1 and a line feed.
///
/// # Errors
/// The writer's.
pub fn json(document: &Document, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    writeln!(out)
}
