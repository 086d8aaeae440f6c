//! Reading files that the user names, without waiting for what never ends.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// How much is read of a file to see what it is.
const HEAD: u64 = 4096;

/// Reads a regular file of at most so many bytes. A FIFO would wait for a writer, and a device may have no end.
///
/// # Errors
/// The file cannot be read, is no regular file, or is larger.
pub(crate) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_if(path, max, |_| true)
}

/// The same, but only the beginning of a file whose beginning is not `wanted`.
///
/// # Errors
/// As for [`read`]; a file that is not wanted may have any size.
pub(crate) fn read_if(path: &Path, max: u64, wanted: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut bytes)?;
    if !wanted(&bytes) {
        return Ok(bytes);
    }
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("is larger than {}", Size(max)));
    if metadata.len() > max {
        return Err(too_large());
    }
    bytes.reserve_exact(usize::try_from(metadata.len().saturating_sub(HEAD)).unwrap_or(0));
    // Files of /proc have more than they say, and any may grow.
    file.take(max).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(too_large()) } else { Ok(bytes) }
}

/// Bytes, for people.
pub(crate) struct Size(pub(crate) u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 >> 20 {
            mib if mib > 0 && mib % 1024 == 0 => write!(f, "{} GiB", mib >> 10),
            mib => write!(f, "{mib} MiB"),
        }
    }
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
