//! Bytes of a map that user space writes before the load.

use crate::elf::ByteOrder;
use crate::object::MapIdx;

/// Bytes of a `.rodata` map that user space sets before load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which map.
    pub map: MapIdx,
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub len: u64,
    /// What they become, `len` bytes; `None` where that is not known.
    pub bytes: Option<Vec<u8>>,
}

/// Up to eight bytes as a number.
pub(crate) fn number(bytes: &[u8], order: ByteOrder) -> u64 {
    let push = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    match order {
        ByteOrder::Little => bytes.iter().rev().fold(0, push),
        ByteOrder::Big => bytes.iter().fold(0, push),
    }
}
