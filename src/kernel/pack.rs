//! Numbers of varying length, and compressed byte strings.

use std::io::Read;

/// Most bytes that one packed string may unpack to.
pub(super) const MAX_UNPACKED: usize = 64 << 20;
/// The same of what is packed for size: a configuration, numbers of types.
const MAX_PACKED: usize = 16 << 20;

/// Appends a number, 7 bits a byte, low ones first.
pub(super) fn varint(out: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a difference; small ones of either sign are short.
pub(super) fn delta(out: &mut Vec<u8>, from: u32, to: u32) {
    let difference = to.wrapping_sub(from).cast_signed();
    varint(out, (difference << 1 ^ difference >> 31).cast_unsigned());
}

/// Appends a byte string, compressed, with its length in front.
pub(super) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut packed = Vec::new();
    let mut encoder = flate2::read::DeflateEncoder::new(bytes, flate2::Compression::best());
    // SANITY: reading from memory into memory does not fail.
    let _ = encoder.read_to_end(&mut packed);
    varint(out, bytes.len() as u32);
    varint(out, packed.len() as u32);
    out.extend_from_slice(&packed);
}

/// Undoes [`put`]; `None` where the bytes are not its work.
pub(super) fn take_packed(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    let len = cursor.varint()? as usize;
    let packed_len = cursor.varint()? as usize;
    let packed = cursor.take(packed_len)?;
    // Deflate cannot shrink by more than 1032.
    if len > MAX_PACKED || len / 1032 > packed.len() {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let mut inflate = flate2::Decompress::new(false);
    let status = inflate.decompress_vec(packed, &mut out, flate2::FlushDecompress::Finish).ok()?;
    (status == flate2::Status::StreamEnd && out.len() == len).then_some(out)
}

/// Appends a byte string, compressed so that it unpacks in a fraction of the time that [`put`] costs; larger.
pub(super) fn put_fast(out: &mut Vec<u8>, bytes: &[u8]) {
    let packed = lz4_flex::block::compress(bytes);
    varint(out, bytes.len() as u32);
    varint(out, packed.len() as u32);
    out.extend_from_slice(&packed);
}

/// Undoes [`put_fast`]; `None` where the bytes are not its work.
pub(super) fn take_fast(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    take_fast_within(cursor, &mut { MAX_UNPACKED })
}

/// The same of one of several byte strings that may not unpack to more than `left` together.
pub(super) fn take_fast_within(cursor: &mut Cursor<'_>, left: &mut usize) -> Option<Vec<u8>> {
    let len = cursor.varint()? as usize;
    let packed_len = cursor.varint()? as usize;
    let packed = cursor.take(packed_len)?;
    *left = left.checked_sub(len)?;
    // LZ4 cannot shrink by more than 255.
    if len / 255 > packed.len() {
        return None;
    }
    let mut out = vec![0; len];
    let filled = lz4_flex::block::decompress_into(packed, &mut out).ok()?;
    (filled == len).then_some(out)
}

/// Reads what the functions above wrote.
pub(super) struct Cursor<'d> {
    bytes: &'d [u8],
}

impl<'d> Cursor<'d> {
    pub fn new(bytes: &'d [u8]) -> Self {
        Self { bytes }
    }

    pub fn rest(&self) -> &'d [u8] {
        self.bytes
    }

    pub fn take(&mut self, len: usize) -> Option<&'d [u8]> {
        let (head, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(head)
    }

    #[inline]
    pub fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(byte)
    }

    #[inline]
    pub fn varint(&mut self) -> Option<u32> {
        let (&first, rest) = self.bytes.split_first()?;
        if first < 0x80 {
            self.bytes = rest;
            return Some(u32::from(first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Undoes [`delta`].
    #[inline]
    pub fn delta(&mut self, from: u32) -> Option<u32> {
        let coded = self.varint()?;
        Some(from.wrapping_add(coded >> 1 ^ 0u32.wrapping_sub(coded & 1)))
    }
}
