//! The indexes of names, which a section keeps and [`names`](super::names) fills.

use std::sync::OnceLock;

use super::ids::TypeId;

/// The indexes of a [`Btf`](super::Btf), each built when first needed.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) types: OnceLock<TypeNames>,
    pub(super) enumerators: OnceLock<EnumeratorNames>,
    /// The declaration tags, in their order.
    pub(super) decl_tags: OnceLock<Vec<TypeId>>,
}

/// No entry, at the end of a chain.
const END: u32 = u32::MAX;

/// Chains of entry numbers by hash, lowest number first.
#[derive(Debug)]
pub(super) struct Chains {
    heads: Vec<u32>,
    next: Vec<u32>,
}

impl Chains {
    /// For `count` entries; all have to be [`insert`](Self::insert)ed, the last first.
    pub(super) fn new(count: usize) -> Self {
        Self { heads: vec![END; count.next_power_of_two().max(2)], next: vec![END; count] }
    }

    fn slot(&self, hash: u64) -> usize {
        // The top bits of a product are its best.
        (hash >> (64 - self.heads.len().trailing_zeros())) as usize
    }

    pub(super) fn insert(&mut self, hash: u64, entry: usize) {
        let slot = self.slot(hash);
        self.next[entry] = std::mem::replace(&mut self.heads[slot], entry as u32);
    }

    pub(super) fn entries(&self, hash: u64) -> impl Iterator<Item = usize> + '_ {
        let mut at = self.heads[self.slot(hash)];
        std::iter::from_fn(move || {
            let entry = at;
            at = *self.next.get(entry as usize)?;
            Some(entry as usize)
        })
    }
}

/// Own types by name; entry numbers are ids less the first.
#[derive(Debug)]
pub(super) struct TypeNames {
    pub(super) chains: Chains,
    /// Of types whose name has a flavour: hash of the name without it, and id. Sorted.
    pub(super) flavoured: Vec<(u64, u32)>,
}

/// Own enumerators by name; an entry is a type and which of its values.
#[derive(Debug)]
pub(super) struct EnumeratorNames {
    pub(super) chains: Chains,
    pub(super) entries: Vec<(TypeId, u32)>,
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
/// 2^64 over the golden ratio, as in Fibonacci hashing.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes eight bytes more of a name into its hash.
fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(FACTOR);
    product ^ (product >> 29)
}

/// A spread of the last mix over the top bits, where [`Chains`] looks.
fn finish(hash: u64) -> u64 {
    hash.wrapping_mul(FACTOR)
}

/// Hash of a name, in words of eight bytes, the last one filled up with zeros (a whole one if the name ends before it).
pub(super) fn hash(name: &[u8]) -> u64 {
    let (words, rest) = name.as_chunks::<8>();
    let hash = words.iter().fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    finish(mix(hash, u64::from_le_bytes(last)))
}

/// Marks the bytes of a word that are zero with their top bit; exact up to the first one, and some above it may be
/// marked in error.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & TOPS
}

/// [`hash`] of the name that `rest` starts with, and whether three underscores in a row may be in it. A NUL ends it.
pub(super) fn hash_string(rest: &[u8]) -> (u64, bool) {
    let (mut hash, mut marks, mut flavoured) = (0, 0, 0);
    let mut rest = rest;
    loop {
        let mut word = match rest.split_first_chunk::<8>() {
            Some((word, next)) => {
                rest = next;
                u64::from_le_bytes(*word)
            }
            None => {
                let mut word = [0; 8];
                word[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(word)
            }
        };
        let end = zeros(word);
        if end != 0 {
            // Keeps what is below the mark on the first zero, whose own lower bits are zero as they are.
            word &= (end & end.wrapping_neg()) - 1;
        }
        let underscores = zeros(word ^ (ONES * u64::from(b'_')));
        flavoured |= underscores & (underscores << 8 | marks >> 56) & (underscores << 16 | marks >> 48);
        marks = underscores;
        hash = mix(hash, word);
        if end != 0 {
            return (finish(hash), flavoured != 0);
        }
    }
}
