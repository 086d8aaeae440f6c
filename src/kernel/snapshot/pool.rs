//! Strings that several snapshots share.
//!
//! Releases differ in a few per cent of their names, and names are most of a snapshot. The built-in releases keep
//! theirs in one pool; a snapshot that stands alone carries its own. A pool has three parts: names that one BTF uses
//! several times, most used first; names used once, in the order in which types mention them; and, packed
//! apart because few questions need them, names of functions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use super::super::pack::{Cursor, put_fast, take_fast, take_fast_within, varint};
use super::error::Error;

/// Strings one after another, each ended by a NUL.
#[derive(Debug, Default)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    /// Where each starts, and the end.
    starts: Vec<u32>,
}

impl Strings {
    pub fn new(bytes: Vec<u8>) -> Result<Self, Error> {
        if bytes.last().is_some_and(|&last| last != 0) || bytes.len() > u32::MAX as usize {
            return Err(Error::Corrupt("strings"));
        }
        let mut starts = Vec::with_capacity(bytes.len() / 16 + 1);
        starts.push(0);
        starts.extend(memchr::memchr_iter(0, &bytes).map(|at| at as u32 + 1));
        Ok(Self { bytes, starts })
    }

    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// With its NUL.
    pub fn terminated(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = (*self.starts.get(index)?, *self.starts.get(index + 1)?);
        self.bytes.get(start as usize..end as usize)
    }

    /// Appends a string with its NUL.
    #[inline]
    pub fn append_to(&self, index: usize, out: &mut Vec<u8>) -> Option<()> {
        /// Most names are shorter, and a copy of a fixed length is a few instructions.
        const SHORT: usize = 32;
        let (start, end) = (*self.starts.get(index)? as usize, *self.starts.get(index + 1)? as usize);
        let len = end - start;
        match self.bytes.get(start..start + SHORT) {
            Some(more) if len <= SHORT => {
                let before = out.len();
                out.extend_from_slice(more);
                out.truncate(before + len);
            }
            _ => out.extend_from_slice(self.bytes.get(start..end)?),
        }
        Some(())
    }

    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.terminated(index)?.split_last().map(|(_, string)| string)
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Index of a string, where they are sorted.
    pub fn search(&self, wanted: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle)?.cmp(wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

/// The shared strings, unpacked.
#[derive(Debug)]
pub struct Pool {
    /// Tells this pool from others.
    pub(super) id: u32,
    /// Used several times by one BTF.
    pub(super) frequent: Strings,
    /// Used once.
    pub(super) single: Strings,
    packed_functions: Vec<u8>,
    functions: OnceLock<Result<Strings, Error>>,
}

impl Pool {
    /// Unpacks what [`super::write_pool`] made.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for anything else.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(bytes);
        let frequent = Strings::new(take_fast(&mut cursor).ok_or(Error::Corrupt("string pool"))?)?;
        let single = Strings::new(take_fast(&mut cursor).ok_or(Error::Corrupt("string pool"))?)?;
        Ok(Self {
            id: crc32fast::hash(bytes),
            frequent,
            single,
            packed_functions: cursor.rest().to_vec(),
            functions: OnceLock::new(),
        })
    }

    /// Names of functions, sorted.
    pub(super) fn functions(&self) -> Result<&Strings, Error> {
        self.functions.get_or_init(|| unpack_sorted(&self.packed_functions)).as_ref().map_err(Clone::clone)
    }
}

/// Strings of the kept types.
#[derive(Default)]
pub(super) struct Usage<'d> {
    /// Each once, in the order in which the types mention them.
    pub order: Vec<&'d [u8]>,
    /// How often.
    pub counts: HashMap<&'d [u8], u32>,
}

/// Packs the strings of several BTFs, newest first, and the names of their functions.
pub(super) fn build(usages: &[Usage<'_>], functions: &[&BTreeSet<&[u8]>]) -> Vec<u8> {
    let mut total: BTreeMap<&[u8], u32> = BTreeMap::new();
    let mut frequent: BTreeSet<&[u8]> = BTreeSet::new();
    for usage in usages {
        for (string, &count) in &usage.counts {
            *total.entry(string).or_default() += count;
            if count > 1 {
                frequent.insert(string);
            }
        }
    }
    let mut by_count: Vec<&[u8]> = frequent.iter().copied().collect();
    by_count.sort_by_key(|string| std::cmp::Reverse(total[string]));

    let singles = merge_orders(usages, &frequent);
    let mut out = Vec::new();
    put_fast(&mut out, &join(by_count));
    put_fast(&mut out, &join(singles));
    let functions: BTreeSet<&[u8]> = functions.iter().flat_map(|names| names.iter().copied()).collect();
    out.extend(pack_sorted(functions));
    out
}

/// One order that follows each of several orders as far as it can: a string that an earlier one does not have comes
/// behind its predecessor.
fn merge_orders<'d>(usages: &[Usage<'d>], left_out: &BTreeSet<&[u8]>) -> Vec<&'d [u8]> {
    let mut nodes: Vec<(&'d [u8], usize)> = vec![(b"", usize::MAX)];
    let mut known: HashMap<&[u8], usize> = HashMap::new();
    for usage in usages {
        let mut at = 0;
        for &string in usage.order.iter().filter(|string| !left_out.contains(*string)) {
            at = *known.entry(string).or_insert_with(|| {
                let next = nodes[at].1;
                nodes.push((string, next));
                nodes[at].1 = nodes.len() - 1;
                nodes.len() - 1
            });
        }
    }
    let mut merged = Vec::with_capacity(nodes.len());
    let mut at = nodes[0].1;
    while at != usize::MAX {
        merged.push(nodes[at].0);
        at = nodes[at].1;
    }
    merged
}

/// Strings one after another, each with a NUL behind.
pub(super) fn join<'d>(strings: impl IntoIterator<Item = &'d [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for string in strings {
        out.extend_from_slice(string);
        out.push(0);
    }
    out
}

/// Packs sorted strings: how much each shares with the one before, and the rest of it.
pub(super) fn pack_sorted<'d>(strings: impl IntoIterator<Item = &'d [u8]>) -> Vec<u8> {
    let (mut shared, mut rests) = (Vec::new(), Vec::new());
    let mut previous: &[u8] = b"";
    for string in strings {
        let common = previous.iter().zip(string).take_while(|(a, b)| a == b).count();
        varint(&mut shared, common as u32);
        rests.extend_from_slice(&string[common..]);
        rests.push(0);
        previous = string;
    }
    let mut out = Vec::new();
    put_fast(&mut out, &shared);
    put_fast(&mut out, &rests);
    out
}

/// Undoes [`pack_sorted`].
pub(super) fn unpack_sorted(bytes: &[u8]) -> Result<Strings, Error> {
    let corrupt = || Error::Corrupt("function names");
    let mut cursor = Cursor::new(bytes);
    let mut left = MAX_NAMES;
    let shared = take_fast_within(&mut cursor, &mut left).ok_or_else(corrupt)?;
    let rests = Strings::new(take_fast_within(&mut cursor, &mut left).ok_or_else(corrupt)?)?;
    let mut shared = Cursor::new(&shared);
    let mut out = Vec::with_capacity(rests.bytes.len() * 2);
    let mut previous = 0..0;
    for index in 0..rests.len() {
        let common = shared.varint().ok_or_else(corrupt)? as usize;
        let rest = rests.terminated(index).ok_or_else(corrupt)?;
        // Strings that only repeat each other could grow without bound.
        if common > previous.len() || common > MAX_NAME || out.len() > MAX_NAMES {
            return Err(corrupt());
        }
        let start = out.len();
        out.extend_from_within(previous.start..previous.start + common);
        out.extend_from_slice(rest);
        previous = start..out.len() - 1;
    }
    Strings::new(out)
}

/// Longest beginning that a function's name shares with its neighbour; KSYM_NAME_LEN of the kernel is 512.
const MAX_NAME: usize = 4096;
/// Most bytes that the names of functions take; those of a distribution's kernel have 2 MiB.
const MAX_NAMES: usize = 16 << 20;
