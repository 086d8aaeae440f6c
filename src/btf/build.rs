//! Writes BTF, so that a test shows its whole input; nothing is checked, so what is wrong can be written too.
//!
//! ```
//! use scx_lint::btf::build::{Builder, Field};
//! use scx_lint::btf::{Btf, Kind};
//!
//! let mut btf = Builder::new();
//! let int = btf.int("int", 4, true);
//! let pair = btf.composite("pair", 8, &[Field::new("a", int, 0), Field::new("b", int, 32)]);
//! let bytes = btf.finish();
//! assert_eq!(Btf::parse(&bytes).unwrap().find("pair", Kind::Struct), Some(pair));
//! ```

use std::collections::HashMap;

use super::ids::TypeId;
use super::reader::MAGIC;
use super::section::Btf;
use super::types::Kind;
use crate::elf::ByteOrder;

/// A BTF section in the making. Every method that adds a type gives its id.
#[derive(Debug, Clone)]
pub struct Builder {
    order: ByteOrder,
    header_len: u32,
    words: Vec<u32>,
    strings: Vec<u8>,
    offsets: HashMap<String, u32>,
    first_str: u32,
    next: u32,
}

/// A member of a struct or union.
#[derive(Debug, Clone, Copy)]
pub struct Field<'s> {
    name: &'s str,
    ty: TypeId,
    bit_offset: u32,
    bits: u8,
}

impl<'s> Field<'s> {
    /// An ordinary member, at a number of bits from the start. An empty name makes it anonymous.
    pub fn new(name: &'s str, ty: TypeId, bit_offset: u32) -> Self {
        Self { name, ty, bit_offset, bits: 0 }
    }

    /// A bitfield so many bits wide.
    pub fn bits(name: &'s str, ty: TypeId, bit_offset: u32, bits: u8) -> Self {
        Self { name, ty, bit_offset, bits }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A little-endian section with the 24-byte header.
    pub fn new() -> Self {
        Self {
            order: ByteOrder::Little,
            header_len: 24,
            words: Vec::new(),
            strings: vec![0],
            offsets: HashMap::from([(String::new(), 0)]),
            first_str: 0,
            next: 1,
        }
    }

    /// A section that continues another, whose strings it uses, as a kernel module's does.
    pub fn split(base: &Btf<'_>) -> Self {
        let mut offsets = base.base().map_or_else(|| Self::new().offsets, |below| Self::split(below).offsets);
        let mut at = base.first_str;
        for string in base.strings.split_inclusive(|&b| b == 0) {
            if let Some(Ok(text)) = string.strip_suffix(&[0]).map(str::from_utf8) {
                offsets.entry(text.to_owned()).or_insert(at);
            }
            at += string.len() as u32;
        }
        Self { first_str: at, next: base.len() as u32, strings: Vec::new(), offsets, ..Self::new() }
    }

    /// In that byte order.
    pub fn order(mut self, order: ByteOrder) -> Self {
        self.order = order;
        self
    }

    /// With a header of so many bytes, zeros beyond the known 24.
    pub fn header_len(mut self, len: u32) -> Self {
        self.header_len = len;
        self
    }

    /// Offset of a string, added where it is new.
    pub fn string(&mut self, text: &str) -> u32 {
        if let Some(&at) = self.offsets.get(text) {
            return at;
        }
        let at = self.first_str + self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        self.offsets.insert(text.to_owned(), at);
        at
    }

    /// A type from its raw parts: the info word without the kind, the size or type, and what follows the header.
    pub fn raw(&mut self, kind: Kind, name: &str, info: u32, size_or_type: u32, rest: &[u32]) -> TypeId {
        let name = self.string(name);
        self.words.extend([name, info | (kind as u32) << 24, size_or_type]);
        self.words.extend(rest);
        let id = TypeId(self.next);
        self.next += 1;
        id
    }

    /// The id that the next type will have, to refer to it ahead of time.
    #[cfg(test)]
    pub fn next_id(&self) -> TypeId {
        TypeId(self.next)
    }

    /// An integer of so many bytes.
    pub fn int(&mut self, name: &str, size: u32, signed: bool) -> TypeId {
        self.int_encoded(name, size, u32::from(signed))
    }

    /// An integer with other encoding bits: 1 signed, 2 char, 4 bool.
    pub fn int_encoded(&mut self, name: &str, size: u32, encoding: u32) -> TypeId {
        self.raw(Kind::Int, name, 0, size, &[encoding << 24 | (size * 8)])
    }

    /// A floating-point number of so many bytes.
    pub fn float(&mut self, name: &str, size: u32) -> TypeId {
        self.raw(Kind::Float, name, 0, size, &[])
    }

    /// A pointer, modifier, typedef, type tag or function: what refers to one type.
    pub fn refer(&mut self, kind: Kind, name: &str, to: TypeId) -> TypeId {
        self.raw(kind, name, 0, to.0, &[])
    }

    /// A pointer.
    pub fn ptr(&mut self, to: TypeId) -> TypeId {
        self.refer(Kind::Ptr, "", to)
    }

    /// A typedef.
    pub fn typedef(&mut self, name: &str, to: TypeId) -> TypeId {
        self.refer(Kind::Typedef, name, to)
    }

    /// An array. Its index type is its element type.
    pub fn array(&mut self, elem: TypeId, nelems: u32) -> TypeId {
        self.raw(Kind::Array, "", 0, 0, &[elem.0, elem.0, nelems])
    }

    /// A struct of so many bytes.
    pub fn composite(&mut self, name: &str, size: u32, fields: &[Field<'_>]) -> TypeId {
        self.fields(Kind::Struct, name, size, fields)
    }

    /// A union of so many bytes.
    pub fn union(&mut self, name: &str, size: u32, fields: &[Field<'_>]) -> TypeId {
        self.fields(Kind::Union, name, size, fields)
    }

    fn fields(&mut self, kind: Kind, name: &str, size: u32, fields: &[Field<'_>]) -> TypeId {
        let bitfields = fields.iter().any(|field| field.bits > 0);
        let mut rest = Vec::new();
        for field in fields {
            let offset = field.bit_offset | u32::from(field.bits) << 24;
            rest.extend([self.string(field.name), field.ty.0, offset]);
        }
        self.raw(kind, name, fields.len() as u32 | u32::from(bitfields) << 31, size, &rest)
    }

    /// An enum of 4 bytes, signed where a value is negative.
    pub fn enumeration(&mut self, name: &str, values: &[(&str, i64)]) -> TypeId {
        let signed = values.iter().any(|&(_, value)| value < 0);
        let mut rest = Vec::new();
        for &(name, value) in values {
            rest.extend([self.string(name), value as u32]);
        }
        self.raw(Kind::Enum, name, values.len() as u32 | u32::from(signed) << 31, 4, &rest)
    }

    /// An enum of 8 bytes, unsigned.
    pub fn enum64(&mut self, name: &str, values: &[(&str, u64)]) -> TypeId {
        let mut rest = Vec::new();
        for &(name, value) in values {
            rest.extend([self.string(name), value as u32, (value >> 32) as u32]);
        }
        self.raw(Kind::Enum64, name, values.len() as u32, 8, &rest)
    }

    /// A forward declaration of a struct, or of a union.
    pub fn fwd(&mut self, name: &str, union: bool) -> TypeId {
        self.raw(Kind::Fwd, name, u32::from(union) << 31, 0, &[])
    }

    /// A function prototype: return type, and parameters by name and type.
    pub fn proto(&mut self, ret: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let mut rest = Vec::new();
        for &(name, ty) in params {
            rest.extend([self.string(name), ty.0]);
        }
        self.raw(Kind::FuncProto, "", params.len() as u32, ret.0, &rest)
    }

    /// A global function.
    pub fn func(&mut self, name: &str, proto: TypeId) -> TypeId {
        self.raw(Kind::Func, name, 1, proto.0, &[])
    }

    /// A variable; linkage 0 static, 1 global, 2 extern.
    pub fn var(&mut self, name: &str, ty: TypeId, linkage: u32) -> TypeId {
        self.raw(Kind::Var, name, 0, ty.0, &[linkage])
    }

    /// A data section: its variables with their offset and size, bytes.
    pub fn data_sec(&mut self, name: &str, size: u32, vars: &[(TypeId, u32, u32)]) -> TypeId {
        let rest: Vec<_> = vars.iter().flat_map(|&(ty, offset, size)| [ty.0, offset, size]).collect();
        self.raw(Kind::DataSec, name, vars.len() as u32, size, &rest)
    }

    /// A declaration tag, on a member or parameter or (-1) on the whole.
    pub fn decl_tag(&mut self, text: &str, on: TypeId, component: i32) -> TypeId {
        self.raw(Kind::DeclTag, text, 0, on.0, &[component.cast_unsigned()])
    }

    /// The section's bytes: header, types, strings.
    pub fn finish(&self) -> Vec<u8> {
        let type_len = self.words.len() as u32 * 4;
        let mut bytes = Vec::new();
        let half = |bytes: &mut Vec<u8>, n: u16| match self.order {
            ByteOrder::Little => bytes.extend(n.to_le_bytes()),
            ByteOrder::Big => bytes.extend(n.to_be_bytes()),
        };
        half(&mut bytes, MAGIC);
        bytes.extend([1, 0]);
        let header = [self.header_len, 0, type_len, type_len, self.strings.len() as u32];
        let filler = (self.header_len.max(24) as usize - 24) / 4;
        for word in header.into_iter().chain(vec![0; filler]).chain(self.words.iter().copied()) {
            match self.order {
                ByteOrder::Little => bytes.extend(word.to_le_bytes()),
                ByteOrder::Big => bytes.extend(word.to_be_bytes()),
            }
        }
        bytes.extend(&self.strings);
        bytes
    }
}
