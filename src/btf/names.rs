//! Types and enumerators by name.

use super::ids::{StrOff, TypeId};
use super::section::Btf;
use super::tables::{Chains, EnumeratorNames, TypeNames, hash, hash_string};
use super::types::Kind;

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

/// Lookups by name. Names are compared byte by byte; those that are not UTF-8 are never found.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a, 'd> {
    btf: &'a Btf<'d>,
}

impl<'d> Btf<'d> {
    /// The index of names, built when first asked for.
    pub fn names(&self) -> Names<'_, 'd> {
        Names::new(self)
    }
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
            let value = self.btf.get(id)?.enumerators()?.value(number as usize)?;
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
