//! Words out of a section's bytes.

use crate::elf::ByteOrder;

/// `BTF_MAGIC`.
pub(super) const MAGIC: u16 = 0xeb9f;
/// Bytes of the header that every version has.
pub(super) const HEADER: usize = 24;
/// Bytes of `struct btf_type`, which opens every record.
pub(super) const TYPE_HEADER: usize = 12;

/// Reads words of one byte order out of a slice; every access is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'d> {
    pub(crate) bytes: &'d [u8],
    pub(crate) order: ByteOrder,
    /// The header is longer than version 1's: kinds take 7 bits and lengths 24, in place of 5 and 16.
    pub(crate) wide: bool,
}

impl Reader<'_> {
    pub(crate) fn u32(&self, at: usize) -> Option<u32> {
        let raw = self.bytes.get(at..)?.first_chunk()?;
        Some(match self.order {
            ByteOrder::Little => u32::from_le_bytes(*raw),
            ByteOrder::Big => u32::from_be_bytes(*raw),
        })
    }

    /// A word that an earlier check has seen to lie inside; 0 otherwise.
    pub(crate) fn word(&self, at: usize) -> u32 {
        self.u32(at).unwrap_or(0)
    }
}
