//! Types and enumerators by name.

use std::sync::OnceLock;

use super::{Btf, Kind, StrOff, TypeId};

/// Cuts a `___flavour` off (libbpf `bpf_core_essential_name_len`): at the last `___` whose neighbours are no underscores.
pub fn essential_name(name: &str) -> &str {
    let len = essential_len(name.as_bytes());
    // A cut lies before an underscore, so between characters.
    name.get(..len).unwrap_or(name)
}

/// The same for a name that may not be UTF-8.
pub(super) fn essential(name: &[u8]) -> &[u8] {
    &name[..essential_len(name)]
}

fn essential_len(name: &[u8]) -> usize {
    let is_flavour = |w: &[u8]| matches!(w, [x, b'_', b'_', b'_', y] if *x != b'_' && *y != b'_');
    name.windows(5).rposition(is_flavour).map_or(name.len(), |at| at + 1)
}

/// The indexes of a [`Btf`], each built when first needed.
#[derive(Debug, Default)]
pub(super) struct Tables {
    types: OnceLock<TypeNames>,
    enumerators: OnceLock<EnumeratorNames>,
}

/// No entry, at the end of a chain.
const END: u32 = u32::MAX;

/// Chains of entry numbers by hash, lowest number first.
#[derive(Debug)]
struct Chains {
    heads: Vec<u32>,
    next: Vec<u32>,
}

impl Chains {
    /// For `count` entries; all have to be [`insert`](Self::insert)ed, the last first.
    fn new(count: usize) -> Self {
        Self { heads: vec![END; count.next_power_of_two().max(2)], next: vec![END; count] }
    }

    fn slot(&self, hash: u64) -> usize {
        // The top bits of a product are its best.
        (hash >> (64 - self.heads.len().trailing_zeros())) as usize
    }

    fn insert(&mut self, hash: u64, entry: usize) {
        let slot = self.slot(hash);
        self.next[entry] = std::mem::replace(&mut self.heads[slot], entry as u32);
    }

    fn entries(&self, hash: u64) -> impl Iterator<Item = usize> + '_ {
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
struct TypeNames {
    chains: Chains,
    /// Of types whose name has a flavour: hash of the name without it, and id. Sorted.
    flavoured: Vec<(u64, u32)>,
}

/// Own enumerators by name; an entry is a type and which of its values.
#[derive(Debug)]
struct EnumeratorNames {
    chains: Chains,
    entries: Vec<(TypeId, u32)>,
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
fn hash(name: &[u8]) -> u64 {
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
fn hash_string(rest: &[u8]) -> (u64, bool) {
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

/// Lookups by name. Names are compared byte by byte; those that are not UTF-8 are never found.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a, 'd> {
    btf: &'a Btf<'d>,
}

impl<'a, 'd> Names<'a, 'd> {
    pub(super) fn new(btf: &'a Btf<'d>) -> Self {
        Self { btf }
    }

    /// The lowest id of that name and kind, the base's included (libbpf `btf__find_by_name_kind`).
    pub fn find(&self, name: &str, kind: Kind) -> Option<TypeId> {
        let in_base = self.btf.base.and_then(|base| base.names().find(name, kind));
        in_base.or_else(|| {
            self.own(name.as_bytes()).find(|&id| self.btf.get(id).is_some_and(|ty| ty.kind() == kind))
        })
    }

    /// Every type of exactly that name, in id order, the base's included.
    pub fn all(&self, name: &str) -> Vec<TypeId> {
        let mut found = self.btf.base.map_or_else(Vec::new, |base| base.names().all(name));
        found.extend(self.own(name.as_bytes()));
        found
    }

    /// Every type whose [`essential_name`] is that name, in id order, the base's included.
    pub fn essential(&self, name: &str) -> Vec<TypeId> {
        let mut found = self.btf.base.map_or_else(Vec::new, |base| base.names().essential(name));
        found.extend(self.own_essential(name.as_bytes()));
        found
    }

    /// The first enumerator of that name, in id order, the base's first: its enum and value. The value is
    /// sign-extended where the enum is signed.
    pub fn enumerator(&self, name: &str) -> Option<(TypeId, u64)> {
        if let Some(found) = self.btf.base.and_then(|base| base.names().enumerator(name)) {
            return Some(found);
        }
        let names = self.enumerators();
        names.chains.entries(hash(name.as_bytes())).find_map(|entry| {
            let &(id, number) = names.entries.get(entry)?;
            let value = self.btf.get(id)?.enumerators()?.values().nth(number as usize)?;
            (self.btf.bytes(value.name) == name.as_bytes()).then_some((id, value.value))
        })
    }

    /// Builds the index of types now, as the first question about one would: for whoever has time before it.
    pub fn index_types(&self) {
        self.types();
    }

    /// Builds the index of enumerators now.
    pub fn index_enumerators(&self) {
        self.enumerators();
    }

    fn types(&self) -> &'a TypeNames {
        self.btf.tables.types.get_or_init(|| TypeNames::new(self.btf))
    }

    fn enumerators(&self) -> &'a EnumeratorNames {
        self.btf.tables.enumerators.get_or_init(|| EnumeratorNames::new(self.btf))
    }

    fn named(&self, id: TypeId) -> &'d [u8] {
        self.btf.get(id).map_or(&[], |ty| self.btf.bytes(ty.name()))
    }

    /// Own types of exactly that name.
    fn own(self, name: &[u8]) -> impl Iterator<Item = TypeId> {
        let first = self.btf.first_id;
        let entries = (!name.is_empty()).then(|| self.types().chains.entries(hash(name)));
        entries
            .into_iter()
            .flatten()
            .map(move |entry| TypeId(first + entry as u32))
            .filter(move |&id| self.named(id) == name)
    }

    /// Own types of that essential name, in id order.
    pub(super) fn own_essential(self, name: &[u8]) -> Vec<TypeId> {
        let mut found = Vec::new();
        if essential(name) == name {
            found.extend(self.own(name));
        }
        if !name.is_empty() {
            let (flavoured, hash) = (&self.types().flavoured, hash(name));
            let start = flavoured.partition_point(|&(h, _)| h < hash);
            let same = flavoured[start..].iter().take_while(|&&(h, _)| h == hash);
            found.extend(same.map(|&(_, id)| TypeId(id)).filter(|&id| essential(self.named(id)) == name));
            found.sort_unstable();
        }
        found
    }
}

impl TypeNames {
    fn new(btf: &Btf<'_>) -> Self {
        let mut chains = Chains::new(btf.offsets.len());
        let mut flavoured = Vec::new();
        for (id, ty) in btf.types().rev() {
            if ty.name() == StrOff(0) {
                continue;
            }
            let (hash_of, maybe_flavoured) = hash_string(btf.string_from(ty.name()));
            chains.insert(hash_of, (id.0 - btf.first_id) as usize);
            if maybe_flavoured {
                let name = btf.bytes(ty.name());
                let essential = essential(name);
                if essential.len() < name.len() {
                    flavoured.push((hash(essential), id.0));
                }
            }
        }
        flavoured.sort_unstable();
        Self { chains, flavoured }
    }
}

impl EnumeratorNames {
    fn new(btf: &Btf<'_>) -> Self {
        let mut entries = Vec::new();
        let mut hashes = Vec::new();
        for (id, ty) in btf.types() {
            for (number, value) in ty.enumerators().into_iter().flat_map(|values| values.values()).enumerate()
            {
                entries.push((id, number as u32));
                hashes.push(hash_string(btf.string_from(value.name)).0);
            }
        }
        let mut chains = Chains::new(entries.len());
        for (entry, &hash) in hashes.iter().enumerate().rev() {
            chains.insert(hash, entry);
        }
        Self { chains, entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::build::{Builder, Field};

    #[test]
    fn a_flavour_is_what_follows_the_last_triple_underscore() {
        assert_eq!(essential_name("task_struct___old"), "task_struct");
        assert_eq!(essential_name("a___b___c"), "a___b");
        assert_eq!(essential_name("a____b"), "a____b");
        assert_eq!(essential_name("___a"), "___a");
        assert_eq!(essential_name("a___"), "a___");
        assert_eq!(essential_name(""), "");
        assert_eq!(essential_name("ä___ö"), "ä");
    }

    /// A name's hash does not depend on what follows it, and underscores are seen wherever they fall in the words.
    #[test]
    fn strings_hash_as_names() {
        for len in 0..40 {
            for at in 0..len {
                let mut name = vec![b'x'; len];
                for b in name.iter_mut().skip(at).take(3) {
                    *b = b'_';
                }
                let mut string = name.clone();
                string.extend(b"\0tail");
                let (hashed, flavoured) = hash_string(&string);
                assert_eq!(hashed, hash(&name), "{len} {at}");
                assert_eq!(hash_string(&string[..len + 1]).0, hash(&name));
                assert!(flavoured || essential(&name).len() == name.len(), "{len} {at}");
            }
        }
    }

    #[test]
    fn finds_by_name_kind_and_flavour() {
        let mut build = Builder::new();
        let int = build.int("int", 4, true);
        let fwd = build.fwd("foo", false);
        let foo = build.composite("foo", 4, &[Field::new("a", int, 0)]);
        let old = build.composite("foo___old", 4, &[Field::new("a", int, 0)]);
        let second = build.composite("foo", 4, &[Field::new("a", int, 0)]);
        let twice = build.composite("foo___a___b", 4, &[Field::new("a", int, 0)]);
        build.composite("", 4, &[Field::new("a", int, 0)]);
        let bytes = build.finish();
        let btf = Btf::parse(&bytes).unwrap();
        let names = btf.names();
        assert_eq!(names.find("foo", Kind::Struct), Some(foo));
        assert_eq!(names.find("foo", Kind::Fwd), Some(fwd));
        assert_eq!(names.find("foo", Kind::Union), None);
        assert_eq!(names.find("", Kind::Struct), None);
        assert_eq!(names.all("foo"), [fwd, foo, second]);
        assert_eq!(names.essential("foo"), [fwd, foo, old, second]);
        assert_eq!(names.essential("foo___a"), [twice]);
        assert_eq!(names.essential("foo___old"), []);
        assert_eq!(names.essential(""), []);
        assert_eq!(btf.find("foo", Kind::Struct), Some(foo));
    }

    #[test]
    fn finds_enumerators() {
        let mut build = Builder::new();
        let narrow = build.enumeration("e", &[("A", 1), ("B", -1)]);
        let wide = build.enum64("f", &[("B", 7), ("C", 1 << 63)]);
        let bytes = build.finish();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.names().enumerator("A"), Some((narrow, 1)));
        assert_eq!(btf.names().enumerator("B"), Some((narrow, u64::MAX)));
        assert_eq!(btf.names().enumerator("C"), Some((wide, 1 << 63)));
        assert_eq!(btf.names().enumerator("D"), None);
        let none = Builder::new().finish();
        assert_eq!(Btf::parse(&none).unwrap().names().enumerator("A"), None);
    }
}
