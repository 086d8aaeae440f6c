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

/// Whether a file is there and starts as objects, programs, kernels and their types do, packed or not: a report that is
/// written there is a slip.
#[cfg(feature = "cli")]
pub(crate) fn is_binary(path: &Path) -> bool {
    const STARTS: [&[u8]; 8] = [
        b"\x7fELF",
        b"MZ",
        &[0x9f, 0xeb],
        &[0xeb, 0x9f],
        crate::kernel::snapshot::MAGIC,
        &[0x1f, 0x8b],
        b"\xfd7zXZ",
        &[0x28, 0xb5, 0x2f, 0xfd],
    ];
    if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return false;
    }
    let mut head = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, 8), &mut head));
    read.is_ok() && STARTS.iter().any(|start| head.starts_with(start))
}
