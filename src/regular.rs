//! Reading files that the user names, without waiting for what never ends.

use std::fs;
use std::io;
use std::path::Path;

/// Reads a regular file of at most so many bytes. A FIFO would wait for a writer, and a device may have no end.
///
/// # Errors
/// The file cannot be read, is no regular file, or is larger.
pub(crate) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    if metadata.len() > max {
        return Err(io::Error::other(format!("is larger than {} MiB", max >> 20)));
    }
    fs::read(path)
}

/// Reads a regular text file of at most so many bytes.
///
/// # Errors
/// As for [`read`], and text that is no UTF-8.
#[cfg(feature = "cli")]
pub(crate) fn read_text(path: &Path, max: u64) -> io::Result<String> {
    String::from_utf8(read(path, max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is no UTF-8 text"))
}
