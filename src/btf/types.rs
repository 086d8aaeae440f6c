//! Views of single BTF types.

use super::ids::{StrOff, TypeId};
use super::reader::{Reader, TYPE_HEADER};
use crate::elf::ByteOrder;

/// `BTF_KIND_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Void,
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    DataSec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    /// Kinds by number, as the kernel's uapi/linux/btf.h counts them.
    const ALL: [Self; 20] = [
        Self::Void,
        Self::Int,
        Self::Ptr,
        Self::Array,
        Self::Struct,
        Self::Union,
        Self::Enum,
        Self::Fwd,
        Self::Typedef,
        Self::Volatile,
        Self::Const,
        Self::Restrict,
        Self::Func,
        Self::FuncProto,
        Self::Var,
        Self::DataSec,
        Self::Float,
        Self::DeclTag,
        Self::TypeTag,
        Self::Enum64,
    ];

    /// The spelling of libbpf's messages (`btf_kind_str`).
    pub fn as_str(self) -> &'static str {
        const NAMES: [&str; 20] = [
            "void",
            "int",
            "ptr",
            "array",
            "struct",
            "union",
            "enum",
            "fwd",
            "typedef",
            "volatile",
            "const",
            "restrict",
            "func",
            "func_proto",
            "var",
            "datasec",
            "float",
            "decl_tag",
            "type_tag",
            "enum64",
        ];
        NAMES[self as usize]
    }
}

/// Linkage of a variable or function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linkage {
    /// Defined, visible in its file only.
    Static,
    /// Defined and visible.
    Global,
    /// Declared; defined elsewhere.
    Extern,
    /// A number without meaning.
    Unknown(u32),
}

impl Linkage {
    fn new(raw: u32) -> Self {
        match raw {
            0 => Self::Static,
            1 => Self::Global,
            2 => Self::Extern,
            other => Self::Unknown(other),
        }
    }

    /// The spelling of libbpf's messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Global => "global",
            Self::Extern => "extern",
            Self::Unknown(_) => "(unknown)",
        }
    }
}

/// Kind field: bits 24 to 28, and up to 30 behind a longer header.
pub(super) fn kind_number(info: u32, wide: bool) -> u32 {
    (info >> 24) & if wide { 0x7f } else { 0x1f }
}

pub(super) fn kind(info: u32, wide: bool) -> Option<Kind> {
    Kind::ALL.get(kind_number(info, wide) as usize).copied()
}

/// Number of elements: bits 0 to 15, and up to 23 behind a longer header.
pub(super) fn vlen(info: u32, wide: bool) -> usize {
    (info & if wide { 0x00ff_ffff } else { 0xffff }) as usize
}

/// What a type refers to; see [`Type::references`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Reference {
    Type(TypeId),
    Str(StrOff),
    Proto(TypeId),
}

/// One type; a view into the section.
#[derive(Debug, Clone, Copy)]
pub struct Type<'d> {
    types: Reader<'d>,
    at: usize,
    name: StrOff,
    info: u32,
    size_or_type: u32,
}

impl<'d> Type<'d> {
    pub(super) fn void(order: ByteOrder) -> Self {
        Self {
            types: Reader { bytes: &[], order, wide: false },
            at: 0,
            name: StrOff(0),
            info: 0,
            size_or_type: 0,
        }
    }

    pub(super) fn at(types: Reader<'d>, at: usize) -> Self {
        Self {
            types,
            at: at + TYPE_HEADER,
            name: StrOff(types.word(at)),
            info: types.word(at + 4),
            size_or_type: types.word(at + 8),
        }
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        kind(self.info, self.types.wide).unwrap_or(Kind::Void)
    }

    /// Number of members, values, parameters or variables. For a function it holds the linkage.
    pub fn vlen(&self) -> usize {
        vlen(self.info, self.types.wide)
    }

    /// Offset of the name, 0 for none.
    pub fn name(&self) -> StrOff {
        self.name
    }

    /// Size in bytes of an int, struct, union, enum, float or data section.
    pub fn size(&self) -> u32 {
        self.size_or_type
    }

    /// The type that a pointer, modifier, typedef, function, variable or tag refers to.
    pub fn target(&self) -> TypeId {
        TypeId(self.size_or_type)
    }

    fn kind_flag(&self) -> bool {
        self.info >> 31 == 1
    }

    fn word(&self, index: usize) -> u32 {
        self.types.word(self.at + index * 4)
    }

    /// For an int: is it signed.
    pub fn is_signed_int(&self) -> bool {
        self.kind() == Kind::Int && (self.word(0) >> 24) & 1 != 0
    }

    /// For an int: is it a bool.
    pub fn is_bool(&self) -> bool {
        self.kind() == Kind::Int && (self.word(0) >> 24) & 4 != 0
    }

    /// For an int: its encoding bits, 1 signed, 2 char, 4 bool (`BTF_INT_ENCODING`); 0 for other kinds.
    pub fn int_encoding(&self) -> u32 {
        if self.kind() == Kind::Int { (self.word(0) >> 24) & 0xf } else { 0 }
    }

    /// For an int: where its value starts inside its bytes, bits (`BTF_INT_OFFSET`). Only the bitfields of compilers
    /// before 2018 have one.
    pub fn int_offset(&self) -> u32 {
        if self.kind() == Kind::Int { (self.word(0) >> 16) & 0xff } else { 0 }
    }

    /// For an enum: its values are signed.
    pub fn is_signed_enum(&self) -> bool {
        matches!(self.kind(), Kind::Enum | Kind::Enum64) && self.kind_flag()
    }

    /// Linkage of a function or variable.
    pub fn linkage(&self) -> Option<Linkage> {
        match self.kind() {
            Kind::Func => Some(Linkage::new(self.vlen() as u32)),
            Kind::Var => Some(Linkage::new(self.word(0))),
            _ => None,
        }
    }

    /// For a declaration tag: the member or parameter it is on, -1 for the whole.
    pub fn component(&self) -> i32 {
        self.word(0).cast_signed()
    }

    /// For a forward declaration: of a union, not of a struct.
    pub fn is_fwd_union(&self) -> bool {
        self.kind() == Kind::Fwd && self.kind_flag()
    }

    /// An array.
    pub fn array(&self) -> Option<Array> {
        (self.kind() == Kind::Array).then(|| Array {
            elem: TypeId(self.word(0)),
            index: TypeId(self.word(1)),
            nelems: self.word(2),
        })
    }

    /// A struct or union.
    pub fn composite(&self) -> Option<Composite<'d>> {
        matches!(self.kind(), Kind::Struct | Kind::Union).then_some(Composite(*self))
    }

    /// An enum, 32 or 64 bits wide.
    pub fn enumerators(&self) -> Option<Enumerators<'d>> {
        matches!(self.kind(), Kind::Enum | Kind::Enum64).then_some(Enumerators(*self))
    }

    /// A function prototype.
    pub fn func_proto(&self) -> Option<FuncProto<'d>> {
        (self.kind() == Kind::FuncProto).then_some(FuncProto(*self))
    }

    /// A data section.
    pub fn data_sec(&self) -> Option<DataSec<'d>> {
        (self.kind() == Kind::DataSec).then_some(DataSec(*self))
    }

    /// Everything that libbpf's `btf_validate_type` looks at, in its order.
    pub(super) fn references(&self) -> impl Iterator<Item = Reference> + use<'d> {
        use Reference::{Proto, Str, Type};
        let ty = *self;
        let refers = |target| [Some(Type(target)), None];
        let (more, stride, name, target) = match self.kind() {
            Kind::Void | Kind::Int | Kind::Fwd | Kind::Float => ([None, None], 0, None, None),
            Kind::Ptr
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Var
            | Kind::DeclTag
            | Kind::TypeTag => (refers(self.target()), 0, None, None),
            Kind::Func => ([Some(Type(self.target())), Some(Proto(self.target()))], 0, None, None),
            Kind::Array => {
                ([Some(Type(TypeId(self.word(0)))), Some(Type(TypeId(self.word(1))))], 0, None, None)
            }
            Kind::Struct | Kind::Union => ([None, None], 3, Some(0), Some(1)),
            Kind::Enum => ([None, None], 2, Some(0), None),
            Kind::Enum64 => ([None, None], 3, Some(0), None),
            // The return type is not checked, as it is not by libbpf 1.7.
            Kind::FuncProto => ([None, None], 2, Some(0), Some(1)),
            Kind::DataSec => ([None, None], 3, None, Some(0)),
        };
        let whole = std::iter::once(Str(self.name)).chain(more.into_iter().flatten());
        let elements = if stride == 0 { 0 } else { self.vlen() };
        whole.chain((0..elements).flat_map(move |i| {
            let name = name.map(|at| Str(StrOff(ty.word(i * stride + at))));
            let target = target.map(|at| Type(TypeId(ty.word(i * stride + at))));
            name.into_iter().chain(target)
        }))
    }
}

/// An array type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    /// Element type.
    pub elem: TypeId,
    /// Index type.
    pub index: TypeId,
    /// Number of elements.
    pub nelems: u32,
}

/// A struct or union.
#[derive(Debug, Clone, Copy)]
pub struct Composite<'d>(Type<'d>);

/// A member of a struct or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Name, 0 for an anonymous one.
    pub name: StrOff,
    /// Type.
    pub ty: TypeId,
    /// Offset from the start of the struct, bits.
    pub bit_offset: u32,
    /// Width of a bitfield, bits; 0 for an ordinary member.
    pub bitfield_size: u8,
}

impl<'d> Composite<'d> {
    /// Size, bytes.
    pub fn size(&self) -> u32 {
        self.0.size()
    }

    /// The members in order.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member> + use<'d> {
        let this = *self;
        (0..this.0.vlen()).map(move |index| this.read(index))
    }

    /// The member of that number.
    pub fn member(&self, index: usize) -> Option<Member> {
        (index < self.0.vlen()).then(|| self.read(index))
    }

    fn read(&self, index: usize) -> Member {
        let ty = self.0;
        let offset = ty.word(index * 3 + 2);
        let (bit_offset, bitfield_size) =
            if ty.kind_flag() { (offset & 0x00ff_ffff, (offset >> 24) as u8) } else { (offset, 0) };
        let (name, id) = (StrOff(ty.word(index * 3)), TypeId(ty.word(index * 3 + 1)));
        Member { name, ty: id, bit_offset, bitfield_size }
    }
}

/// The values of an enum.
#[derive(Debug, Clone, Copy)]
pub struct Enumerators<'d>(Type<'d>);

/// One value of an enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enumerator {
    /// Name.
    pub name: StrOff,
    /// Value, sign-extended to 64 bits where the enum is signed.
    pub value: u64,
}

impl<'d> Enumerators<'d> {
    /// The values in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = Enumerator> + use<'d> {
        let this = *self;
        (0..this.0.vlen()).map(move |index| this.read(index))
    }

    /// The value of that number.
    pub fn value(&self, index: usize) -> Option<Enumerator> {
        (index < self.0.vlen()).then(|| self.read(index))
    }

    fn read(&self, index: usize) -> Enumerator {
        let ty = self.0;
        let wide = ty.kind() == Kind::Enum64;
        let base = index * if wide { 3 } else { 2 };
        let low = ty.word(base + 1);
        let value = if wide {
            u64::from(low) | u64::from(ty.word(base + 2)) << 32
        } else if ty.kind_flag() {
            i64::from(low.cast_signed()).cast_unsigned()
        } else {
            u64::from(low)
        };
        Enumerator { name: StrOff(ty.word(base)), value }
    }
}

/// A function prototype.
#[derive(Debug, Clone, Copy)]
pub struct FuncProto<'d>(Type<'d>);

/// A parameter of a prototype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Name, 0 for none.
    pub name: StrOff,
    /// Type; void stands for "...".
    pub ty: TypeId,
}

impl<'d> FuncProto<'d> {
    /// Return type.
    pub fn ret(&self) -> TypeId {
        self.0.target()
    }

    /// The parameters in order.
    pub fn params(&self) -> impl ExactSizeIterator<Item = Param> + use<'d> {
        let ty = self.0;
        (0..ty.vlen()).map(move |i| Param { name: StrOff(ty.word(i * 2)), ty: TypeId(ty.word(i * 2 + 1)) })
    }
}

/// The variables of an ELF section.
#[derive(Debug, Clone, Copy)]
pub struct DataSec<'d>(Type<'d>);

/// A variable's place in its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VarSecInfo {
    /// The VAR (or, in `.ksyms`, FUNC).
    pub ty: TypeId,
    /// Byte offset in the section; 0 in fresh clang output for global variables.
    pub offset: u32,
    /// Size, bytes.
    pub size: u32,
}

impl<'d> DataSec<'d> {
    /// Section size in bytes; 0 in fresh clang output.
    pub fn size(&self) -> u32 {
        self.0.size()
    }

    /// The variables in file order.
    pub fn vars(&self) -> impl ExactSizeIterator<Item = VarSecInfo> + use<'d> {
        let ty = self.0;
        (0..ty.vlen()).map(move |i| VarSecInfo {
            ty: TypeId(ty.word(i * 3)),
            offset: ty.word(i * 3 + 1),
            size: ty.word(i * 3 + 2),
        })
    }
}
