//! A parsed `.BTF` section: types by id, strings, and what is found by looking at every type.

use std::ops::Deref;

use super::error::Error;
use super::ids::{StrOff, TypeId};
use super::parse::{self, sections};
use super::reader::Reader;
use super::tables::Tables;
use super::types::{self, Kind, Type};
use crate::elf::ByteOrder;

/// How many modifiers, typedefs and array levels are followed. Mirrors MAX_RESOLVE_DEPTH in libbpf.
pub(super) const MAX_DEPTH: usize = 32;

/// A parsed `.BTF` section, or one that continues another ([`parse_split`](Self::parse_split)).
#[derive(Debug)]
pub struct Btf<'d> {
    types: Reader<'d>,
    pub(super) strings: &'d [u8],
    /// Byte offset of every type of this section inside `types`. Without a base the first stands for void, which has
    /// no bytes.
    pub(super) offsets: Held<'d, Vec<u32>>,
    /// What this section continues.
    pub(super) base: Option<&'d Btf<'d>>,
    /// Id of the first of `offsets`.
    pub(super) first_id: u32,
    /// String offset of the first of `strings`.
    pub(super) first_str: u32,
    truncated_enums: Held<'d, Vec<TypeId>>,
    pub(super) tables: Held<'d, Tables>,
}

/// A thing of one's own, or someone else's.
#[derive(Debug)]
pub(super) enum Held<'d, T> {
    Own(T),
    Shared(&'d T),
}

impl<T: Clone> Held<'_, T> {
    fn into_own(self) -> T {
        match self {
            Self::Own(own) => own,
            Self::Shared(shared) => shared.clone(),
        }
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Own(own) => own,
            Self::Shared(shared) => shared,
        }
    }
}

/// What parsing found out about a section, without the section: whoever cannot keep a [`Btf`] beside the base that it
/// borrows keeps this.
#[derive(Debug)]
pub(crate) struct Index {
    pub(super) offsets: Vec<u32>,
    truncated_enums: Vec<TypeId>,
    tables: Tables,
}

impl<'d> Btf<'d> {
    /// Parses and checks a whole section. The magic tells the byte order.
    ///
    /// # Errors
    /// What libbpf's `btf__new` refuses.
    pub fn parse(data: &'d [u8]) -> Result<Self, Error> {
        Self::parse_on(data, None)
    }

    /// Parses a section that continues another, as a kernel module's does the kernel's: its ids and string offsets
    /// start where the base's end, and it refers to the base's types and strings by theirs.
    ///
    /// # Errors
    /// What libbpf's `btf__new_split` refuses.
    pub fn parse_split(data: &'d [u8], base: &'d Btf<'d>) -> Result<Self, Error> {
        Self::parse_on(data, Some(base))
    }

    fn parse_on(data: &'d [u8], base: Option<&'d Btf<'d>>) -> Result<Self, Error> {
        let (types, strings) = sections(data, base.is_some())?;
        let (first_id, first_str) = match base {
            Some(base) => (base.len() as u32, base.end_str()),
            None => (0, 0),
        };
        let scan = parse::scan(&types, first_id)?;
        let end_str = u64::from(first_str) + strings.len() as u64;
        let btf = Self {
            types,
            strings,
            offsets: Held::Own(scan.offsets),
            base,
            first_id,
            first_str,
            truncated_enums: Held::Own(scan.truncated_enums),
            tables: Held::Own(Tables::default()),
        };
        let fits = u64::from(scan.max_str) < end_str && (scan.max_id as usize) < btf.len();
        if !fits || !scan.protos.iter().all(|&id| btf.is_func_proto(TypeId(id))) {
            btf.validate()?;
        }
        Ok(btf)
    }

    /// Keeps what parsing found out, and lets the bytes go.
    pub(crate) fn into_index(self) -> Index {
        let tables = match self.tables {
            Held::Own(tables) => tables,
            Held::Shared(_) => Tables::default(),
        };
        Index { offsets: self.offsets.into_own(), truncated_enums: self.truncated_enums.into_own(), tables }
    }

    /// The split section that an index was made of, without parsing it again: `data` and `base` have to be the same. With
    /// others the types make no sense, as after a wrong id.
    ///
    /// # Errors
    /// The header is broken.
    pub(crate) fn with_index(data: &'d [u8], base: &'d Btf<'d>, index: &'d Index) -> Result<Self, Error> {
        let (types, strings) = sections(data, true)?;
        Ok(Self {
            types,
            strings,
            offsets: Held::Shared(&index.offsets),
            base: Some(base),
            first_id: base.len() as u32,
            first_str: base.end_str(),
            truncated_enums: Held::Shared(&index.truncated_enums),
            tables: Held::Shared(&index.tables),
        })
    }

    /// The same section for a while, its indexes included.
    pub(crate) fn view(&self) -> Btf<'_> {
        Btf {
            types: self.types,
            strings: self.strings,
            offsets: Held::Shared(&self.offsets),
            base: self.base,
            first_id: self.first_id,
            first_str: self.first_str,
            truncated_enums: Held::Shared(&self.truncated_enums),
            tables: Held::Shared(&self.tables),
        }
    }

    /// String offset that follows the last of this section.
    fn end_str(&self) -> u32 {
        self.first_str.saturating_add(self.strings.len() as u32)
    }

    fn is_func_proto(&self, id: TypeId) -> bool {
        self.get(id).is_some_and(|ty| ty.kind() == Kind::FuncProto)
    }

    /// Checks every reference to a type or string, and tells the first bad one (libbpf `btf_validate_type`).
    pub(super) fn validate(&self) -> Result<(), Error> {
        let strings = u64::from(self.first_str) + self.strings.len() as u64;
        for (id, ty) in self.types() {
            let kind = ty.kind();
            for reference in ty.references() {
                match reference {
                    types::Reference::Type(target) if target.0 as usize >= self.len() => {
                        return Err(Error::TypeId { id, kind, target, count: self.len() as u32 });
                    }
                    types::Reference::Str(offset) if u64::from(offset.0) >= strings => {
                        return Err(Error::StringOffset { id, kind, offset: offset.0, len: strings });
                    }
                    types::Reference::Proto(target) if !self.is_func_proto(target) => {
                        return Err(Error::NotFuncProto { id, target });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// What this section continues.
    pub fn base(&self) -> Option<&'d Btf<'d>> {
        self.base
    }

    /// The first id of this section itself: 1, or what follows the base's last.
    pub fn first_id(&self) -> TypeId {
        TypeId(self.first_id.max(1))
    }

    /// Number of types, void and the base's included; ids run from 0 to this, exclusive.
    pub fn len(&self) -> usize {
        self.first_id as usize + self.offsets.len()
    }

    /// Only void is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 1
    }

    /// The type with this id; `None` outside the table. Id 0 is void.
    pub fn get(&self, id: TypeId) -> Option<Type<'d>> {
        if id == TypeId::VOID {
            return Some(Type::void(self.types.order));
        }
        let Some(index) = id.0.checked_sub(self.first_id) else {
            return self.base?.get(id);
        };
        let at = *self.offsets.get(index as usize)? as usize;
        Some(Type::at(self.types, at))
    }

    /// All types of this section but void, in id order; the base's are not among them.
    pub fn types(&self) -> impl DoubleEndedIterator<Item = (TypeId, Type<'d>)> + '_ {
        let (types, first) = (self.types, self.first_id);
        self.offsets
            .iter()
            .enumerate()
            .skip(usize::from(self.base.is_none()))
            .map(move |(index, &at)| (TypeId(first + index as u32), Type::at(types, at as usize)))
    }

    /// The order of the bytes in its words.
    pub fn byte_order(&self) -> ByteOrder {
        self.types.order
    }

    /// Enums of this section that are 8 bytes long, with room for 4 bytes of each value only.
    pub fn truncated_enums(&self) -> &[TypeId] {
        &self.truncated_enums
    }

    /// The string's bytes, without the NUL; empty for an offset outside.
    pub fn bytes(&self, offset: StrOff) -> &'d [u8] {
        let rest = self.string_from(offset);
        let len = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
        &rest[..len]
    }

    /// The strings from this one on; empty for an offset outside.
    pub(super) fn string_from(&self, offset: StrOff) -> &'d [u8] {
        match offset.0.checked_sub(self.first_str) {
            Some(index) => self.strings.get(index as usize..).unwrap_or_default(),
            None => self.base.map_or(&[], |base| base.string_from(offset)),
        }
    }

    /// The string; what is not UTF-8 reads as one U+FFFD: no lookup asks for it, and it is a name all the same, as it
    /// is to libbpf, which takes any bytes.
    pub fn str(&self, offset: StrOff) -> &'d str {
        std::str::from_utf8(self.bytes(offset)).unwrap_or("\u{fffd}")
    }

    /// The string, if it has so many bytes at most and is UTF-8; strings may lie in each other, and are as long as the section then.
    pub fn str_within(&self, offset: StrOff, most: usize) -> Option<&'d str> {
        let rest = self.string_from(offset);
        let rest = &rest[..rest.len().min(most + 1)];
        let len = rest.iter().position(|&b| b == 0)?;
        std::str::from_utf8(&rest[..len]).ok()
    }

    /// The name of a type; empty where it has none.
    pub fn name(&self, ty: &Type<'_>) -> &'d str {
        self.str(ty.name())
    }

    /// The lowest id of that name and kind (libbpf `btf__find_by_name_kind`), by looking at every type. For more
    /// than a few lookups ask [`names`](Self::names).
    pub fn find(&self, name: &str, kind: Kind) -> Option<TypeId> {
        let in_base = self.base.and_then(|base| base.find(name, kind));
        in_base.or_else(|| self.find_own(name, kind))
    }

    fn find_own(&self, name: &str, kind: Kind) -> Option<TypeId> {
        self.types()
            .find(|(_, ty)| ty.kind() == kind && self.bytes(ty.name()) == name.as_bytes())
            .map(|(id, _)| id)
    }

    /// Skips const, volatile, restrict, typedef and type tags; `None` for a cycle or a bad id.
    pub fn resolve(&self, id: TypeId) -> Option<(TypeId, Type<'d>)> {
        let mut id = id;
        for _ in 0..=MAX_DEPTH {
            let ty = self.get(id)?;
            match ty.kind() {
                Kind::Const | Kind::Volatile | Kind::Restrict | Kind::Typedef | Kind::TypeTag => {
                    id = ty.target()
                }
                _ => return Some((id, ty)),
            }
        }
        None
    }

    /// All declaration tags: what they tag, which member or parameter (-1: the whole), and the text.
    pub fn decl_tags(&self) -> impl Iterator<Item = (TypeId, i32, &'d str)> + '_ {
        let find = || self.types().filter(|(_, ty)| ty.kind() == Kind::DeclTag).map(|(id, _)| id).collect();
        let tags = self.tables.decl_tags.get_or_init(find);
        tags.iter().filter_map(|id| {
            let ty = self.get(*id)?;
            Some((ty.target(), ty.component(), self.name(&ty)))
        })
    }
}
