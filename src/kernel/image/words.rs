//! `.BTF_ids` as numbers.

/// Numbers of 32 bits; bytes behind the last are left out, and so is what no `.BTF_ids` is as long as.
pub(super) fn words(bytes: &[u8], big: bool) -> Vec<u32> {
    const MOST: usize = 256 << 10;
    let word = if big { u32::from_be_bytes } else { u32::from_le_bytes };
    let (chunks, _) = bytes[..bytes.len().min(MOST)].as_chunks();
    chunks.iter().copied().map(word).collect()
}
