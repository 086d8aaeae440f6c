//! The `.BTF` section: types by id, names, sizes; by Documentation/bpf/btf.rst.
//!
//! Zero-copy: parsing notes where each type starts and checks what libbpf's `btf__new` checks
//! (`btf_parse_hdr`, `btf_parse_str_sec`, `btf_parse_type_sec`, `btf_sanity_check`; libbpf 1.7).
//! What libbpf accepts is accepted here, and what it refuses is an [`Error`].

mod error;
mod ext;
mod types;

use std::fmt;

pub use error::Error;
pub use ext::{BtfExt, CoreRelo, FuncInfo, LineInfo};
pub use types::{
    Array, Composite, DataSec, Enumerator, Enumerators, FuncProto, Kind, Linkage, Member, Param, Type,
    VarSecInfo,
};

use crate::elf::ByteOrder;

/// `BTF_MAGIC`.
const MAGIC: u16 = 0xeb9f;
/// Bytes of the header that every version has.
const HEADER: usize = 24;
/// Bytes of `struct btf_type`, which opens every record.
const TYPE_HEADER: usize = 12;
/// How many modifiers, typedefs and array levels are followed. Mirrors MAX_RESOLVE_DEPTH in libbpf.
const MAX_DEPTH: usize = 32;

/// Index of a type; 0 is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

impl TypeId {
    /// The type id of `void`.
    pub const VOID: Self = Self(0);
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

/// Byte offset into the string section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrOff(pub u32);

/// Reads words of one byte order out of a slice; every access is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'d> {
    pub(crate) bytes: &'d [u8],
    pub(crate) order: ByteOrder,
    /// The header is longer than version 1's: kinds take 7 bits and lengths 24, in place of 5 and 16.
    pub(crate) wide: bool,
}

impl Reader<'_> {
    pub(crate) fn u32(&self, at: usize) -> Option<u32> {
        let raw = self.bytes.get(at..)?.first_chunk()?;
        Some(match self.order {
            ByteOrder::Little => u32::from_le_bytes(*raw),
            ByteOrder::Big => u32::from_be_bytes(*raw),
        })
    }

    /// A word that an earlier check has seen to lie inside; 0 otherwise.
    pub(crate) fn word(&self, at: usize) -> u32 {
        self.u32(at).unwrap_or(0)
    }
}

/// A parsed `.BTF` section.
#[derive(Debug)]
pub struct Btf<'d> {
    types: Reader<'d>,
    strings: &'d [u8],
    /// Byte offset of every type inside `types`; index 0 is unused, void has no bytes.
    offsets: Vec<u32>,
}

impl<'d> Btf<'d> {
    /// Parses and checks a whole section. The magic tells the byte order.
    ///
    /// # Errors
    /// What libbpf's `btf__new` refuses.
    pub fn parse(data: &'d [u8]) -> Result<Self, Error> {
        let (types, strings) = Self::sections(data)?;
        let mut offsets = Vec::with_capacity(types.bytes.len() / 20 + 1);
        offsets.push(0);
        let mut at = 0;
        while at < types.bytes.len() {
            let id = TypeId(offsets.len() as u32);
            let len = types::record_len(&types, at).map_err(|problem| problem.at(id, at))?;
            if types.bytes.len() - at < len {
                return Err(Error::TypeTruncated {
                    id,
                    offset: at as u64,
                    needs: len as u64,
                    left: (types.bytes.len() - at) as u64,
                });
            }
            offsets.push(at as u32);
            at += len;
        }
        let btf = Self { types, strings, offsets };
        btf.validate()?;
        Ok(btf)
    }

    /// Header checks; gives the type section and the strings.
    fn sections(data: &'d [u8]) -> Result<(Reader<'d>, &'d [u8]), Error> {
        let magic = data.first_chunk().ok_or(Error::HeaderTruncated { len: data.len() as u64 })?;
        let order = match (u16::from_le_bytes(*magic), u16::from_be_bytes(*magic)) {
            (MAGIC, _) => ByteOrder::Little,
            (_, MAGIC) => ByteOrder::Big,
            (got, _) => return Err(Error::Magic { got }),
        };
        let all = Reader { bytes: data, order, wide: false };
        if data.len() < HEADER {
            return Err(Error::HeaderTruncated { len: data.len() as u64 });
        }
        let header_len = all.word(4) as usize;
        if header_len < HEADER || header_len > data.len() {
            return Err(Error::HeaderLength { got: header_len as u64, len: data.len() as u64 });
        }
        let body = &data[header_len..];
        let (type_off, type_len) = (u64::from(all.word(8)), u64::from(all.word(12)));
        let (str_off, str_len) = (u64::from(all.word(16)), u64::from(all.word(20)));
        let len = body.len() as u64;
        if str_off + str_len > len || type_off + type_len > str_off || type_off % 4 != 0 {
            return Err(Error::Layout { type_off, type_len, str_off, str_len, len });
        }
        let strings = &body[str_off as usize..(str_off + str_len) as usize];
        if strings.first() != Some(&0) || strings.last() != Some(&0) {
            return Err(Error::Strings { offset: str_off, len: str_len });
        }
        let types = &body[type_off as usize..(type_off + type_len) as usize];
        Ok((Reader { bytes: types, order, wide: header_len > HEADER }, strings))
    }

    /// Checks every reference to a type or string (libbpf `btf_validate_type`).
    fn validate(&self) -> Result<(), Error> {
        for (id, ty) in self.types() {
            ty.references(&mut |reference| self.validate_reference(id, &ty, reference))?;
        }
        Ok(())
    }

    fn validate_reference(
        &self,
        id: TypeId,
        ty: &Type<'_>,
        reference: types::Reference,
    ) -> Result<(), Error> {
        match reference {
            types::Reference::Type(target) if target.0 as usize >= self.offsets.len() => {
                Err(Error::TypeId { id, kind: ty.kind(), target, count: self.offsets.len() as u32 })
            }
            types::Reference::Str(offset) if offset.0 as usize >= self.strings.len() => {
                Err(Error::StringOffset {
                    id,
                    kind: ty.kind(),
                    offset: offset.0,
                    len: self.strings.len() as u64,
                })
            }
            types::Reference::Proto(target)
                if !matches!(self.get(target).map(|t| t.kind()), Some(Kind::FuncProto)) =>
            {
                Err(Error::NotFuncProto { id, target })
            }
            _ => Ok(()),
        }
    }

    /// Number of types, void included; ids run from 0 to this, exclusive.
    pub fn len(&self) -> usize {
        self.offsets.len()
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
        let at = *self.offsets.get(id.0 as usize)? as usize;
        Some(Type::at(self.types, at))
    }

    /// All types but void, in id order.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, Type<'d>)> + '_ {
        let types = self.types;
        self.offsets
            .iter()
            .enumerate()
            .skip(1)
            .map(move |(id, &at)| (TypeId(id as u32), Type::at(types, at as usize)))
    }

    /// The string's bytes, without the NUL; empty for an offset outside.
    pub fn bytes(&self, offset: StrOff) -> &'d [u8] {
        let rest = self.strings.get(offset.0 as usize..).unwrap_or_default();
        let len = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
        &rest[..len]
    }

    /// The string; what is not UTF-8 reads as the empty string, which no lookup asks for.
    pub fn str(&self, offset: StrOff) -> &'d str {
        std::str::from_utf8(self.bytes(offset)).unwrap_or("")
    }

    /// The name of a type; empty where it has none.
    pub fn name(&self, ty: &Type<'_>) -> &'d str {
        self.str(ty.name())
    }

    /// The lowest id of that name and kind (libbpf `btf__find_by_name_kind`).
    pub fn find(&self, name: &str, kind: Kind) -> Option<TypeId> {
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

    /// Size in bytes of a value of the type; `None` for void, functions, cycles and overflow
    /// (libbpf `btf__resolve_size`). Pointers take 8.
    pub fn size_of(&self, id: TypeId) -> Option<u64> {
        let (mut id, mut count) = (id, 1u64);
        for _ in 0..MAX_DEPTH {
            let ty = self.get(id)?;
            let size = match ty.kind() {
                Kind::Ptr => 8,
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::DataSec
                | Kind::Float => u64::from(ty.size()),
                Kind::Typedef
                | Kind::Volatile
                | Kind::Const
                | Kind::Restrict
                | Kind::Var
                | Kind::DeclTag
                | Kind::TypeTag => {
                    id = ty.target();
                    continue;
                }
                Kind::Array => {
                    let array = ty.array()?;
                    count =
                        count.checked_mul(u64::from(array.nelems)).filter(|&n| n <= u64::from(u32::MAX))?;
                    id = array.elem;
                    continue;
                }
                _ => return None,
            };
            return size.checked_mul(count).filter(|&n| n <= u64::from(u32::MAX));
        }
        None
    }

    /// Natural alignment in bytes (libbpf `btf__align_of`); `None` where it has none.
    pub fn align_of(&self, id: TypeId) -> Option<u32> {
        self.align_within(id, MAX_DEPTH)
    }

    fn align_within(&self, id: TypeId, depth: usize) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        let ty = self.get(id)?;
        match ty.kind() {
            Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Float => Some(ty.size().clamp(1, 8)),
            Kind::Ptr => Some(8),
            Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                self.align_within(ty.target(), depth)
            }
            Kind::Array => self.align_within(ty.array()?.elem, depth),
            Kind::Struct | Kind::Union => ty
                .composite()?
                .members()
                .map(|member| self.align_within(member.ty, depth))
                .try_fold(1, |most, align| Some(most.max(align?))),
            _ => None,
        }
    }

    /// All declaration tags: what they tag, which member or parameter (-1: the whole), and the text.
    pub fn decl_tags(&self) -> impl Iterator<Item = (TypeId, i32, &'d str)> + '_ {
        self.types()
            .filter(|(_, ty)| ty.kind() == Kind::DeclTag)
            .map(|(_, ty)| (ty.target(), ty.component(), self.name(&ty)))
    }
}
