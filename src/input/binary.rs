//! Files that hold no text.

use std::fs;
use std::io;
use std::path::Path;

/// Whether a file is there and starts as objects, programs, kernels and their types do, packed or not: a report that is
/// written there is a slip.
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
