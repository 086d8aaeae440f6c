//! Standard output, for what is no report.

use std::io::{self, Write as _};

use super::failure::Failure;

/// Writes to standard output. What writes into memory cannot panic over a pipe that is gone.
pub(super) fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<u8, Failure> {
    let mut text = Vec::new();
    write(&mut text)?;
    io::stdout().lock().write_all(&text)?;
    Ok(0)
}
