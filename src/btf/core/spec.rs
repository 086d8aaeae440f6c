//! What an access string means by the types of one BTF.

use std::fmt;

use crate::btf::compat::{Budget, DEPTH, Pair};
use crate::btf::names::essential;
use crate::btf::{Array, Btf, CoreRelo, Kind, Member, TypeId};
use crate::errno::Errno;

/// How many indexes an access may have. Mirrors BPF_CORE_SPEC_MAX_LEN in libbpf.
const MAX_LEN: usize = 64;

/// `enum bpf_core_relo_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelocationKind {
    /// `bpf_core_field_offset`, and every access that is to be relocated: the field's offset, bytes.
    FieldByteOffset,
    /// `bpf_core_field_size`: the field's size, bytes.
    FieldByteSize,
    /// `bpf_core_field_exists`: 1 or 0.
    FieldExists,
    /// Is the field's type signed; for bitfields.
    FieldSigned,
    /// How far to shift a bitfield's load to the left.
    FieldLshiftU64,
    /// And then to the right.
    FieldRshiftU64,
    /// `bpf_core_type_id_local`: the type's id in the object.
    TypeIdLocal,
    /// `bpf_core_type_id_kernel`: the type's id in the kernel, 0 if there is none.
    TypeIdTarget,
    /// `bpf_core_type_exists`: 1 or 0.
    TypeExists,
    /// `bpf_core_type_size`: bytes, 0 if there is no such type.
    TypeSize,
    /// `bpf_core_enum_value_exists`: 1 or 0.
    EnumvalExists,
    /// `bpf_core_enum_value`.
    EnumvalValue,
    /// `bpf_core_type_matches`: 1 or 0.
    TypeMatches,
}

impl RelocationKind {
    /// Kinds by number.
    const ALL: [Self; 13] = [
        Self::FieldByteOffset,
        Self::FieldByteSize,
        Self::FieldExists,
        Self::FieldSigned,
        Self::FieldLshiftU64,
        Self::FieldRshiftU64,
        Self::TypeIdLocal,
        Self::TypeIdTarget,
        Self::TypeExists,
        Self::TypeSize,
        Self::EnumvalExists,
        Self::EnumvalValue,
        Self::TypeMatches,
    ];

    /// The kind of that number; `None` above 12.
    pub fn new(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// The spelling of libbpf's messages (`core_relo_kind_str`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FieldByteOffset => "byte_off",
            Self::FieldByteSize => "byte_sz",
            Self::FieldExists => "field_exists",
            Self::FieldSigned => "signed",
            Self::FieldLshiftU64 => "lshift_u64",
            Self::FieldRshiftU64 => "rshift_u64",
            Self::TypeIdLocal => "local_type_id",
            Self::TypeIdTarget => "target_type_id",
            Self::TypeExists => "type_exists",
            Self::TypeSize => "type_size",
            Self::EnumvalExists => "enumval_exists",
            Self::EnumvalValue => "enumval_value",
            Self::TypeMatches => "type_matches",
        }
    }

    /// About a field of the root type.
    pub fn is_field(self) -> bool {
        matches!(
            self,
            Self::FieldByteOffset
                | Self::FieldByteSize
                | Self::FieldExists
                | Self::FieldSigned
                | Self::FieldLshiftU64
                | Self::FieldRshiftU64
        )
    }

    /// About an enumerator of the root type.
    pub fn is_enumerator(self) -> bool {
        matches!(self, Self::EnumvalExists | Self::EnumvalValue)
    }

    /// 1 or 0, and so never poison.
    pub fn is_existence(self) -> bool {
        matches!(self, Self::FieldExists | Self::TypeExists | Self::TypeMatches | Self::EnumvalExists)
    }
}

/// A named field, an array index or an enumerator on the way; anonymous members are passed through unnoticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access<'d> {
    /// The struct or union that has the field, the type of the array's elements, or the enum.
    pub ty: TypeId,
    /// Which member, element or enumerator.
    pub index: u32,
    /// Name of the field or enumerator; `None` for an array index.
    pub name: Option<&'d str>,
}

/// An access to a type, or the type alone (`struct bpf_core_spec`). Displays as libbpf prints it, e.g.
/// `<byte_off> [2] struct foo.bar (0:0 @ offset 0)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec<'d> {
    /// What is asked for.
    pub kind: RelocationKind,
    /// The type that it starts from, modifiers and all.
    pub root: TypeId,
    /// The way, without anonymous members. Empty for kinds that are about a type alone.
    pub accesses: Vec<Access<'d>>,
    /// The way with every single member, as in the access string.
    pub raw: Vec<u32>,
    /// Where the field starts, bits from the start of the root.
    pub bit_offset: u32,
    root_kind: Kind,
    root_name: &'d str,
    /// Of the enumerator, for displaying.
    value: Option<Value>,
}

/// An enumerator's value as printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Signed(i64),
    Unsigned(u64),
}

impl<'d> Spec<'d> {
    /// A way that has not been gone yet.
    pub(super) fn empty(kind: RelocationKind, root: TypeId, btf: &Btf<'d>) -> Self {
        let (root_kind, root_name) = btf.get(root).map_or((Kind::Void, ""), |ty| (ty.kind(), btf.name(&ty)));
        Self {
            kind,
            root,
            accesses: Vec::new(),
            raw: Vec::new(),
            bit_offset: 0,
            root_kind,
            root_name,
            value: None,
        }
    }

    /// libbpf `bpf_core_parse_spec`. Negative indexes are refused, as by libbpf 1.8; 1.7 reads out of bounds.
    pub(super) fn parse(btf: &Btf<'d>, record: &CoreRelo, kind: RelocationKind) -> Result<Self, Errno> {
        let text = btf.bytes(record.access);
        if text.is_empty() || text[0] == b':' {
            return Err(Errno::EINVAL);
        }
        let mut spec = Self::empty(kind, record.type_id, btf);
        if !kind.is_field() && !kind.is_enumerator() {
            return if text == b"0" { Ok(spec) } else { Err(Errno::EINVAL) };
        }
        spec.raw = indexes(text)?;
        let first = *spec.raw.first().ok_or(Errno::EINVAL)?;
        let (mut id, ty) = btf.resolve(record.type_id).ok_or(Errno::EINVAL)?;
        if kind.is_enumerator() {
            let values = ty.enumerators().ok_or(Errno::EINVAL)?;
            if spec.raw.len() > 1 {
                return Err(Errno::EINVAL);
            }
            let value = values.value(first as usize).ok_or(Errno::EINVAL)?;
            spec.accesses.push(Access { ty: id, index: first, name: Some(btf.str(value.name)) });
            spec.show_value(btf);
            return Ok(spec);
        }
        spec.accesses.push(Access { ty: id, index: first, name: None });
        spec.bit_offset = bits(first, btf.resolve_size(id)?);
        for at in 1..spec.raw.len() {
            let index = spec.raw[at];
            let (here, ty) = btf.resolve(id).ok_or(Errno::EINVAL)?;
            if let Some(composite) = ty.composite() {
                let member = composite.member(index as usize).ok_or(Errno::EINVAL)?;
                spec.bit_offset = spec.bit_offset.wrapping_add(member.bit_offset);
                if member.name.0 != 0 {
                    let name = btf.str(member.name);
                    if name.is_empty() {
                        return Err(Errno::EINVAL);
                    }
                    spec.accesses.push(Access { ty: here, index, name: Some(name) });
                }
                id = member.ty;
            } else if let Some(array) = ty.array() {
                id = btf.resolve(array.elem).ok_or(Errno::EINVAL)?.0;
                if index >= array.nelems && !spec.is_flexible(btf, &array) {
                    return Err(Errno::EINVAL);
                }
                spec.accesses.push(Access { ty: id, index, name: None });
                spec.bit_offset = spec.bit_offset.wrapping_add(bits(index, btf.resolve_size(id)?));
            } else {
                return Err(Errno::EINVAL);
            }
        }
        Ok(spec)
    }

    /// Is an array that the way has come to the last member of its struct and of no length (libbpf `is_flex_arr`).
    fn is_flexible(&self, btf: &Btf<'_>, array: &Array) -> bool {
        let Some(access) = self.accesses.last() else { return false };
        let composite = btf.get(access.ty).and_then(|ty| ty.composite());
        let len = composite.map_or(0, |ty| ty.members().len());
        access.name.is_some() && array.nelems == 0 && access.index as usize + 1 == len
    }

    /// Goes the same way through a candidate of the target (libbpf `bpf_core_spec_match`); `found` starts out empty.
    pub(super) fn matches<'t>(
        &self,
        pair: Pair<'_, 'd, 't>,
        found: &mut Spec<'t>,
        budget: &mut Budget,
    ) -> Result<bool, Errno> {
        let target = pair.target;
        if self.kind == RelocationKind::TypeMatches {
            return pair.match_types(self.root, found.root, false, DEPTH, budget);
        }
        if !self.kind.is_field() && !self.kind.is_enumerator() {
            return pair.are_compat(self.root, found.root, DEPTH, budget);
        }
        if self.kind.is_enumerator() {
            let (id, ty) = target.resolve(found.root).ok_or(Errno::EINVAL)?;
            let (Some(values), Some(name)) = (ty.enumerators(), self.accesses.first().and_then(|a| a.name))
            else {
                return Ok(false);
            };
            for (index, value) in values.values().enumerate() {
                budget.spend()?;
                if essential(target.bytes(value.name)) == essential(name.as_bytes()) {
                    let index = index as u32;
                    found.accesses.push(Access { ty: id, index, name: Some(target.str(value.name)) });
                    found.raw.push(index);
                    found.show_value(target);
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        let mut id = found.root;
        for (number, access) in self.accesses.iter().enumerate() {
            let (here, ty) = target.resolve(id).ok_or(Errno::EINVAL)?;
            id = here;
            if access.name.is_some() {
                let composite = pair.local.get(access.ty).and_then(|ty| ty.composite());
                let member = composite.and_then(|ty| ty.member(access.index as usize));
                let member = member.ok_or(Errno::EINVAL)?;
                match match_member(pair, &member, id, found, budget)? {
                    Some(next) => id = next,
                    None => return Ok(false),
                }
                continue;
            }
            // The first index is into the root as if it were an array.
            if number > 0 {
                let Some(array) = ty.array() else { return Ok(false) };
                if access.index >= array.nelems && !found.is_flexible(target, &array) {
                    return Ok(false);
                }
                id = target.resolve(array.elem).ok_or(Errno::EINVAL)?.0;
            }
            if found.raw.len() == MAX_LEN {
                return Err(Errno::E2BIG);
            }
            found.accesses.push(Access { ty: id, index: access.index, name: None });
            found.raw.push(access.index);
            found.bit_offset = found.bit_offset.wrapping_add(bits(access.index, target.resolve_size(id)?));
        }
        Ok(true)
    }

    /// Remembers the value of the enumerator that was found.
    fn show_value(&mut self, btf: &Btf<'_>) {
        let Some(access) = self.accesses.first() else { return };
        let Some(ty) = btf.get(access.ty) else { return };
        let value = ty.enumerators().and_then(|values| values.value(access.index as usize));
        self.value = value.map(|value| match ty.is_signed_enum() {
            true => Value::Signed(value.value.cast_signed()),
            false => Value::Unsigned(value.value),
        });
    }

    /// The way as C spells it: `.scx.slice`, `[2].bits`, `::SCX_SLICE_DFL`; empty for a type alone.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for (number, access) in self.accesses.iter().enumerate() {
            match access.name {
                Some(name) if self.kind.is_enumerator() => path += &format!("::{name}"),
                Some(name) => path += &format!(".{name}"),
                None if number > 0 || access.index > 0 => path += &format!("[{}]", access.index),
                None => {}
            }
        }
        path
    }

    /// As displayed, in the 255 bytes that libbpf has for it.
    pub(super) fn cut(&self) -> String {
        let text = self.to_string();
        String::from_utf8_lossy(&text.as_bytes()[..text.len().min(255)]).into_owned()
    }
}

impl fmt::Display for Spec<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.root_name.is_empty() { "<anon>" } else { self.root_name };
        write!(f, "<{}> {} {} {name}", self.kind.as_str(), self.root, self.root_kind.as_str())?;
        f.write_str(&self.path())?;
        match self.value {
            Some(Value::Signed(value)) => write!(f, " = {value}")?,
            Some(Value::Unsigned(value)) => write!(f, " = {value}")?,
            None => {}
        }
        if self.kind.is_field() {
            let raw: Vec<_> = self.raw.iter().map(u32::to_string).collect();
            write!(f, " ({} @ offset {}", raw.join(":"), self.bit_offset / 8)?;
            if !self.bit_offset.is_multiple_of(8) {
                write!(f, ".{}", self.bit_offset % 8)?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Looks for a member of the local name in the target, through anonymous structs and unions (libbpf
/// `bpf_core_match_member`); gives the type of the one found.
fn match_member<'t>(
    pair: Pair<'_, '_, 't>,
    local: &Member,
    target_id: TypeId,
    spec: &mut Spec<'t>,
    budget: &mut Budget,
) -> Result<Option<TypeId>, Errno> {
    let (target_id, ty) = pair.target.resolve(target_id).ok_or(Errno::EINVAL)?;
    let Some(composite) = ty.composite() else { return Ok(None) };
    let local_name = pair.local.bytes(local.name);
    for (index, member) in composite.members().enumerate() {
        budget.spend()?;
        if spec.raw.len() == MAX_LEN {
            return Err(Errno::E2BIG);
        }
        let index = index as u32;
        spec.bit_offset = spec.bit_offset.wrapping_add(member.bit_offset);
        spec.raw.push(index);
        let name = pair.target.bytes(member.name);
        if name.is_empty() {
            if let Some(found) = match_member(pair, local, member.ty, spec, budget)? {
                return Ok(Some(found));
            }
        } else if name == local_name {
            if !pair.fields_are_compat(local.ty, member.ty, budget)? {
                // As libbpf leaves it: the way so far stays in the spec.
                return Ok(None);
            }
            spec.accesses.push(Access { ty: target_id, index, name: Some(pair.target.str(member.name)) });
            return Ok(Some(member.ty));
        }
        spec.bit_offset = spec.bit_offset.wrapping_sub(member.bit_offset);
        spec.raw.pop();
    }
    Ok(None)
}

/// Bits that `index` elements of `size` bytes take, as libbpf's 32-bit offset keeps them.
fn bits(index: u32, size: u64) -> u32 {
    u64::from(index).wrapping_mul(size).wrapping_mul(8) as u32
}

/// What is wrong with a record of no known kind: libbpf first reads its access string.
pub(super) fn unknown_kind(text: &[u8]) -> Errno {
    if text.first() == Some(&b':') {
        return Errno::EINVAL;
    }
    indexes(text).err().unwrap_or(Errno::EINVAL)
}

/// The numbers of an access string, as a loop of `sscanf("%d")` with an optional colon before each reads them.
fn indexes(text: &[u8]) -> Result<Vec<u32>, Errno> {
    let mut indexes = Vec::new();
    let mut rest = text;
    while let Some(&next) = rest.first() {
        if next == b':' {
            rest = &rest[1..];
        }
        let space = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
        rest = &rest[rest.iter().take_while(|b| space(b)).count()..];
        let (negative, number) = match rest.first() {
            Some(b'-') => (true, &rest[1..]),
            Some(b'+') => (false, &rest[1..]),
            _ => (false, rest),
        };
        let digits = number.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Err(Errno::EINVAL);
        }
        if indexes.len() == MAX_LEN {
            return Err(Errno::E2BIG);
        }
        // What does not fit a long is the greatest, and an int is its low half.
        let value = number[..digits]
            .iter()
            .try_fold(0i64, |value, digit| value.checked_mul(10)?.checked_add(i64::from(digit - b'0')));
        let value = match (value, negative) {
            (Some(value), false) => value,
            (Some(value), true) => -value,
            (None, false) => i64::MAX,
            (None, true) => i64::MIN,
        } as i32;
        indexes.push(u32::try_from(value).map_err(|_| Errno::EINVAL)?);
        rest = &number[digits..];
    }
    Ok(indexes)
}
