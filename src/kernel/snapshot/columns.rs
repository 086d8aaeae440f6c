//! The types of a snapshot as columns: all kinds, all names, all offsets, ... each packed on its own.
//!
//! Like things side by side pack twice as well as records do, and a column of small numbers reads fast.

use std::collections::HashMap;

use super::super::pack::{Cursor, delta, put_fast, take_fast_within, varint};
use super::error::Error;
use super::pool::{Pool, Strings, Usage, join};
use super::raw::{Raw, RawType, Words, extra_words, join_info, kind};
use crate::elf::ByteOrder;

/// Calls back for every name of a record, in its order; `None` for none.
fn names(ty: &RawType<'_>, each: &mut dyn FnMut(u32)) {
    each(ty.name);
    match ty.kind {
        kind::STRUCT | kind::UNION | kind::ENUM64 => {
            ty.extra.chunks_exact(3).for_each(|words| each(words[0]))
        }
        kind::ENUM | kind::FUNC_PROTO => ty.extra.chunks_exact(2).for_each(|words| each(words[0])),
        _ => {}
    }
}

/// Counts the strings of the kept types.
pub(super) fn usage<'d>(raw: &Raw<'d>, ids: &[u32]) -> Usage<'d> {
    let mut usage = Usage::default();
    for &id in ids {
        names(&raw.get(id), &mut |offset| {
            let string = raw.bytes(offset);
            if !string.is_empty() {
                let count = usage.counts.entry(string).or_insert(0);
                if *count == 0 {
                    usage.order.push(string);
                }
                *count += 1;
            }
        });
    }
    usage
}

/// Most bytes that the columns and strings of one snapshot unpack to; those of a distribution's kernel take 4 MiB.
const MAX_COLUMNS: usize = 32 << 20;

/// A name reference: none.
const NO_NAME: u32 = 0;
/// A name reference: the next of the strings that are used once.
const NEXT_NAME: u32 = 1;
/// A name reference: the first of the strings that are used several times.
const FREQUENT: u32 = 2;

/// The columns.
#[derive(Default)]
struct Columns {
    /// Kind, with the kind flag as the top bit.
    kinds: Vec<u8>,
    /// Number of elements, or linkage.
    vlens: Vec<u8>,
    /// Name references.
    names: Vec<u8>,
    /// Target of a pointer, modifier, typedef, function, variable, tag; as the difference to the type's own id.
    targets: Vec<u8>,
    /// Types of members.
    members: Vec<u8>,
    /// Return and parameter types.
    params: Vec<u8>,
    /// Element type, index type, number of elements.
    arrays: Vec<u8>,
    /// Member offsets, as the difference to the member before.
    offsets: Vec<u8>,
    /// Sizes of ints, structs, unions, enums, floats, sections.
    sizes: Vec<u8>,
    /// Values of enumerators, as the difference to the one before.
    values: Vec<u8>,
    /// Everything rare.
    rest: Vec<u8>,
}

impl Columns {
    const COUNT: usize = 11;

    fn all(&self) -> [&Vec<u8>; Self::COUNT] {
        let Self { kinds, vlens, names, targets, members, params, arrays, offsets, sizes, values, rest } =
            self;
        [kinds, vlens, names, targets, members, params, arrays, offsets, sizes, values, rest]
    }
}

/// Packs the kept types. Strings that the pool has are taken from there.
pub(super) fn encode(raw: &Raw<'_>, ids: &[u32], pool: Option<&Pool>) -> Vec<u8> {
    let usage = usage(raw, ids);
    let table = Table::new(&usage, pool);
    let mut renumbered = vec![0u32; raw.len() as usize];
    for (new, &old) in (1..).zip(ids) {
        renumbered[old as usize] = new;
    }
    let renumber = |id: u32| renumbered.get(id as usize).copied().unwrap_or(0);

    let mut columns = Columns::default();
    for (own, &id) in (1u32..).zip(ids) {
        let ty = raw.get(id);
        columns.kinds.push(ty.kind | u8::from(ty.flag) << 7);
        if has_length(ty.kind) {
            varint(&mut columns.vlens, ty.vlen);
        }
        names(&ty, &mut |offset| varint(&mut columns.names, table.reference(raw.bytes(offset))));
        match third(ty.kind) {
            Third::Target => delta(&mut columns.targets, own, renumber(ty.third)),
            Third::Return => varint(&mut columns.params, renumber(ty.third)),
            Third::Size => varint(&mut columns.sizes, ty.third),
            Third::Unused => {}
        }
        match ty.kind {
            kind::ARRAY => {
                varint(&mut columns.arrays, renumber(ty.extra[0]));
                varint(&mut columns.arrays, renumber(ty.extra[1]));
                varint(&mut columns.arrays, ty.extra[2]);
            }
            kind::STRUCT | kind::UNION => {
                let mut previous = 0;
                for member in ty.extra.chunks_exact(3) {
                    varint(&mut columns.members, renumber(member[1]));
                    delta(&mut columns.offsets, previous, member[2]);
                    previous = member[2];
                }
            }
            kind::ENUM => {
                let mut previous = 0;
                for value in ty.extra.chunks_exact(2) {
                    delta(&mut columns.values, previous, value[1]);
                    previous = value[1];
                }
            }
            kind::ENUM64 => {
                for value in ty.extra.chunks_exact(3) {
                    varint(&mut columns.rest, value[1]);
                    varint(&mut columns.rest, value[2]);
                }
            }
            kind::FUNC_PROTO => {
                ty.extra.chunks_exact(2).for_each(|param| varint(&mut columns.params, renumber(param[1])));
            }
            kind::DATASEC => {
                for var in ty.extra.chunks_exact(3) {
                    delta(&mut columns.targets, own, renumber(var[0]));
                    varint(&mut columns.rest, var[1]);
                    varint(&mut columns.rest, var[2]);
                }
            }
            kind::INT | kind::VAR | kind::DECL_TAG => varint(&mut columns.rest, ty.extra[0].wrapping_add(1)),
            _ => {}
        }
    }

    let mut out = vec![u8::from(raw.order == ByteOrder::Big) | u8::from(raw.wide) << 1];
    table.write(&mut out);
    columns.all().into_iter().for_each(|column| put_fast(&mut out, column));
    out
}

fn has_length(number: u8) -> bool {
    extra_words(number, 1) != extra_words(number, 0) || number == kind::FUNC
}

/// What the third word of a record means.
enum Third {
    Size,
    Target,
    Return,
    Unused,
}

fn third(number: u8) -> Third {
    match number {
        kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::FLOAT | kind::DATASEC => {
            Third::Size
        }
        kind::FUNC_PROTO => Third::Return,
        kind::ARRAY | kind::FWD => Third::Unused,
        _ => Third::Target,
    }
}

/// How the names of one snapshot are numbered.
struct Table<'u> {
    /// References of the strings used several times.
    frequent: HashMap<&'u [u8], u32>,
    /// Which of the pool's frequent strings are used, one bit each.
    bits: Vec<u8>,
    /// The strings used once, in order: 0 for the next own one, else the difference to the pool index before.
    sequence: Vec<u8>,
    own_frequent: Vec<&'u [u8]>,
    own_single: Vec<&'u [u8]>,
}

impl<'u> Table<'u> {
    fn new(usage: &Usage<'u>, pool: Option<&Pool>) -> Self {
        let empty = Strings::default();
        let (pool_frequent, pool_single) =
            pool.map_or((&empty, &empty), |pool| (&pool.frequent, &pool.single));
        let (mut bits, mut sequence) = (vec![0u8; pool_frequent.len().div_ceil(8)], Vec::new());
        let mut frequent = HashMap::new();
        for (index, string) in pool_frequent.iter().enumerate() {
            if let Some((&string, _)) = usage.counts.get_key_value(string) {
                bits[index / 8] |= 1 << (index % 8);
                frequent.insert(string, FREQUENT + frequent.len() as u32);
            }
        }
        let mut own_frequent: Vec<&[u8]> = usage
            .order
            .iter()
            .copied()
            .filter(|string| usage.counts[string] > 1 && !frequent.contains_key(string))
            .collect();
        own_frequent.sort_by_key(|string| std::cmp::Reverse(usage.counts[string]));
        for &string in &own_frequent {
            frequent.insert(string, FREQUENT + frequent.len() as u32);
        }
        let pool_index: HashMap<&[u8], u32> = pool_single.iter().zip(1..).collect();
        let mut own_single = Vec::new();
        let mut previous = 0;
        for &string in usage.order.iter().filter(|&string| !frequent.contains_key(string)) {
            match pool_index.get(string) {
                Some(&index) => {
                    delta(&mut sequence, previous, index);
                    previous = index;
                }
                None => {
                    varint(&mut sequence, 0);
                    own_single.push(string);
                }
            }
        }
        Self { frequent, bits, sequence, own_frequent, own_single }
    }

    fn reference(&self, string: &[u8]) -> u32 {
        if string.is_empty() { NO_NAME } else { self.frequent.get(string).copied().unwrap_or(NEXT_NAME) }
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_fast(out, &self.bits);
        put_fast(out, &self.sequence);
        put_fast(out, &join(self.own_frequent.iter().copied()));
        put_fast(out, &join(self.own_single.iter().copied()));
    }
}

/// The strings of a section while it is written.
struct Names<'p> {
    /// The section's strings so far.
    bytes: Vec<u8>,
    /// Where the frequent ones lie in `bytes`.
    frequent: Vec<u32>,
    sequence: Cursor<'p>,
    pool: Option<&'p Pool>,
    previous: u32,
    own_single: std::vec::IntoIter<u32>,
    own: &'p Strings,
}

impl<'p> Names<'p> {
    fn new(
        bits: &[u8],
        sequence: &'p [u8],
        own_frequent: &Strings,
        own: &'p Strings,
        pool: Option<&'p Pool>,
    ) -> Option<Self> {
        let mut bytes = Vec::with_capacity(1 << 20);
        bytes.push(0);
        let mut frequent = Vec::with_capacity(1 << 13);
        let mut push = |string: &[u8]| {
            frequent.push(bytes.len() as u32);
            bytes.extend_from_slice(string);
        };
        for (byte, &used) in bits.iter().enumerate().filter(|(_, used)| **used != 0) {
            for bit in (0..8).filter(|bit| used >> bit & 1 == 1) {
                push(pool?.frequent.terminated(byte * 8 + bit)?);
            }
        }
        (0..own_frequent.len()).try_for_each(|index| own_frequent.terminated(index).map(&mut push))?;
        let own_single = (0..own.len() as u32).collect::<Vec<_>>().into_iter();
        Some(Self { bytes, frequent, sequence: Cursor::new(sequence), pool, previous: 0, own_single, own })
    }

    /// Offset of the string that a reference names.
    #[inline]
    fn offset(&mut self, reference: u32) -> Option<u32> {
        match reference {
            NO_NAME => Some(0),
            NEXT_NAME => self.next(),
            _ => self.frequent.get((reference - FREQUENT) as usize).copied(),
        }
    }

    fn next(&mut self) -> Option<u32> {
        let index = self.sequence.delta(self.previous)?;
        let offset = self.bytes.len() as u32;
        if index == self.previous {
            self.own.append_to(self.own_single.next()? as usize, &mut self.bytes)?;
        } else {
            self.previous = index;
            self.pool?.single.append_to(index.checked_sub(1)? as usize, &mut self.bytes)?;
        }
        Some(offset)
    }
}

/// Writes the section that [`encode`] packed.
pub(super) fn decode(bytes: &[u8], pool: Option<&Pool>) -> Result<Vec<u8>, Error> {
    decode_or_none(bytes, pool)?.ok_or(Error::Corrupt("types"))
}

/// `Ok(None)`: a column ended early or names what is not there.
fn decode_or_none(bytes: &[u8], pool: Option<&Pool>) -> Result<Option<Vec<u8>>, Error> {
    let corrupt = || Error::Corrupt("columns");
    let mut cursor = Cursor::new(bytes);
    let flags = cursor.byte().ok_or_else(corrupt)?;
    let order = if flags & 1 == 0 { ByteOrder::Little } else { ByteOrder::Big };
    let wide = flags & 2 != 0;
    let mut left = MAX_COLUMNS;
    let mut take = || take_fast_within(&mut cursor, &mut left).ok_or_else(corrupt);
    let (bits, sequence, own_frequent, own_single) =
        (take()?, take()?, Strings::new(take()?)?, Strings::new(take()?)?);
    let mut columns = [const { Vec::new() }; Columns::COUNT];
    for column in &mut columns {
        *column = take()?;
    }
    let Some(names) = Names::new(&bits, &sequence, &own_frequent, &own_single, pool) else { return Ok(None) };
    Ok(write_section(&columns, names, order, wide))
}

/// Puts the columns together. Output is bounded by their lengths: every word written costs at least a quarter of a
/// byte of a column.
fn write_section(
    columns: &[Vec<u8>; Columns::COUNT],
    mut strings: Names<'_>,
    order: ByteOrder,
    wide: bool,
) -> Option<Vec<u8>> {
    let [kinds, vlens, names, targets, members, params, arrays, offsets, sizes, values, rest] =
        columns.each_ref().map(|column| column.as_slice());
    let [mut vlens, mut names, mut targets, mut members, mut params] =
        [vlens, names, targets, members, params].map(Cursor::new);
    let [mut arrays, mut offsets, mut sizes, mut values, mut rest] =
        [arrays, offsets, sizes, values, rest].map(Cursor::new);

    let mut out = Words::new(order);
    // Three words a type, two more a name, and one a reference, about.
    out.bytes.reserve(kinds.len() * 12 + columns[2].len() * 12 + (1 << 20));
    out.header(wide, 0, 0);
    let header = out.bytes.len();
    for (own, &kind_and_flag) in (1u32..).zip(kinds) {
        let (number, flag) = (kind_and_flag & 0x7f, kind_and_flag >> 7 == 1);
        let vlen = if has_length(number) { vlens.varint()? } else { 0 };
        let name = strings.offset(names.varint()?)?;
        let third = match third(number) {
            Third::Target => targets.delta(own)?,
            Third::Return => params.varint()?,
            Third::Size => sizes.varint()?,
            Third::Unused => 0,
        };
        out.push([name, join_info(number, flag, vlen), third]);
        match number {
            kind::ARRAY => out.push([arrays.varint()?, arrays.varint()?, arrays.varint()?]),
            kind::STRUCT | kind::UNION => {
                let mut offset = 0;
                for _ in 0..vlen {
                    offset = offsets.delta(offset)?;
                    out.push([strings.offset(names.varint()?)?, members.varint()?, offset]);
                }
            }
            kind::ENUM => {
                let mut value = 0;
                for _ in 0..vlen {
                    value = values.delta(value)?;
                    out.push([strings.offset(names.varint()?)?, value]);
                }
            }
            kind::ENUM64 => {
                for _ in 0..vlen {
                    out.push([strings.offset(names.varint()?)?, rest.varint()?, rest.varint()?]);
                }
            }
            kind::FUNC_PROTO => {
                for _ in 0..vlen {
                    out.push([strings.offset(names.varint()?)?, params.varint()?]);
                }
            }
            kind::DATASEC => {
                for _ in 0..vlen {
                    out.push([targets.delta(own)?, rest.varint()?, rest.varint()?]);
                }
            }
            kind::INT | kind::VAR | kind::DECL_TAG => out.push([rest.varint()?.wrapping_sub(1)]),
            _ => {}
        }
    }
    let types = u32::try_from(out.bytes.len() - header).ok()?;
    out.bytes.extend_from_slice(&strings.bytes);
    let mut head = Words::new(order);
    head.header(wide, types, u32::try_from(strings.bytes.len()).ok()?);
    out.bytes[..header].copy_from_slice(&head.bytes);
    Some(out.bytes)
}
