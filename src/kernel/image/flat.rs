//! Boot images that are the kernel's memory, without sections: BTF has to be looked for.

use std::ops::Range;

use memchr::memmem;

use super::super::arch::Arch;
use super::words::words;
use crate::btf::Btf;

/// How many places are parsed in full.
const MAX_CANDIDATES: usize = 16;

/// An uncompressed arm64 or RISC-V Image, by the magic that both have at the same place.
pub(super) fn is_image(data: &[u8]) -> bool {
    matches!(data.get(56..60), Some(b"ARM\x64" | b"RSC\x05"))
}

/// The architecture of such an image.
pub(super) fn arch(data: &[u8]) -> Option<Arch> {
    match data.get(56..60)? {
        b"ARM\x64" => Some(Arch::Arm64),
        _ => Some(Arch::Riscv64),
    }
}

/// Where the largest BTF section lies. There may be smaller ones: the kernel carries BPF programs of its own.
pub(super) fn find_btf(data: &[u8]) -> Option<Range<usize>> {
    // Magic, version 1, no flags, and the low byte of the header length, 24 or 32, in either order.
    const LITTLE: &[u8] = &[0x9f, 0xeb, 1, 0];
    const BIG: &[u8] = &[0xeb, 0x9f, 1, 0];
    let little = memmem::find_iter(data, LITTLE).filter_map(|at| extent(data, at, u32::from_le_bytes));
    let big = memmem::find_iter(data, BIG).filter_map(|at| extent(data, at, u32::from_be_bytes));
    let mut candidates: Vec<Range<usize>> = little.chain(big).collect();
    candidates.sort_by_key(|range| std::cmp::Reverse(range.len()));
    candidates.into_iter().take(MAX_CANDIDATES).find(|range| Btf::parse(&data[range.clone()]).is_ok())
}

/// The words behind a BTF section. Linkers put `.BTF_ids` there, at the next multiple of 4 or of a page.
pub(super) fn behind(data: &[u8], btf: &Range<usize>) -> Vec<u32> {
    let big = data[btf.clone()].starts_with(&[0xeb, 0x9f]);
    data.get(btf.end.next_multiple_of(4)..).map_or_else(Vec::new, |rest| words(rest, big))
}

/// From the header to the end of the strings, where the header makes sense.
fn extent(data: &[u8], at: usize, word: fn([u8; 4]) -> u32) -> Option<Range<usize>> {
    let field = |offset: usize| data.get(at + offset..)?.first_chunk().map(|raw| word(*raw) as usize);
    let header = field(4).filter(|len| matches!(len, 24 | 32))?;
    let end = at.checked_add(header)?.checked_add(field(16)?)?.checked_add(field(20)?)?;
    (end <= data.len()).then_some(at..end)
}
