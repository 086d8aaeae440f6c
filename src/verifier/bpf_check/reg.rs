//! Registers and stack slots as the verifier keeps them (`struct bpf_reg_state`, `struct bpf_stack_state`).

use super::scalar::Scalar;
use crate::btf::TypeId;
use crate::kernel::Home;
use crate::object::MapIdx;

/// Most that may be added to a pointer (`BPF_MAX_VAR_OFF`).
pub const MAX_VAR_OFF: i64 = 1 << 29;

/// Bits of `enum bpf_type_flag`; the kernel numbers them otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u32);

#[allow(missing_docs)]
impl Flags {
    pub const NONE: Self = Self(0);
    pub const MAYBE_NULL: Self = Self(1);
    pub const RDONLY: Self = Self(1 << 1);
    pub const RINGBUF: Self = Self(1 << 2);
    pub const USER: Self = Self(1 << 3);
    pub const PERCPU: Self = Self(1 << 4);
    pub const UNTRUSTED: Self = Self(1 << 5);
    pub const TRUSTED: Self = Self(1 << 6);
    pub const RCU: Self = Self(1 << 7);
    pub const ALLOC: Self = Self(1 << 8);
    pub const NON_OWN_REF: Self = Self(1 << 9);
    pub const UNINIT: Self = Self(1 << 10);
    pub const DYNPTR_SKB: Self = Self(1 << 11);
    pub const DYNPTR_XDP: Self = Self(1 << 12);
    pub const DYNPTR_LOCAL: Self = Self(1 << 13);
    pub const DYNPTR_RINGBUF: Self = Self(1 << 14);
    pub const DYNPTR_SKB_META: Self = Self(1 << 15);
    pub const DYNPTR_FILE: Self = Self(1 << 16);

    /// All of them are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// One of them is set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Those of both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that the other has not.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Which BTF a type is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BtfOf {
    /// The kernel's, or a module's.
    Kernel(Home),
    /// The object's own: what `bpf_obj_new` allocates.
    Object,
}

/// A type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeRef {
    /// The BTF.
    pub btf: BtfOf,
    /// The id in it.
    pub id: TypeId,
}

impl TypeRef {
    /// A type of vmlinux.
    pub fn kernel(id: TypeId) -> Self {
        Self { btf: BtfOf::Kernel(Home::Vmlinux), id }
    }

    /// A type of the object.
    pub fn object(id: TypeId) -> Self {
        Self { btf: BtfOf::Object, id }
    }
}

/// A map: one of the object's, or the template of what a map in map holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MapRef {
    /// The map of the object.
    pub map: MapIdx,
    /// Its inner map is meant.
    pub inner: bool,
}

/// What a dynptr points to (`enum bpf_dynptr_type`).
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DynptrKind {
    Local,
    Ringbuf,
    Skb,
    Xdp,
    SkbMeta,
    File,
}

/// Where an iterator is (`enum bpf_iter_state`).
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IterState {
    Active,
    Drained,
}

/// The base of `enum bpf_reg_type`, with what goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `NOT_INIT`.
    NotInit,
    /// `SCALAR_VALUE`.
    Scalar,
    /// `PTR_TO_CTX`.
    Ctx,
    /// `CONST_PTR_TO_MAP`.
    MapPtr(MapRef),
    /// `PTR_TO_MAP_VALUE`.
    MapValue(MapRef),
    /// `PTR_TO_MAP_KEY`.
    MapKey(MapRef),
    /// `PTR_TO_STACK`, of this frame.
    Stack(u8),
    /// `PTR_TO_MEM`, so many bytes.
    Mem(u32),
    /// `PTR_TO_BUF`.
    Buf,
    /// `PTR_TO_TP_BUFFER`.
    TpBuffer,
    /// `PTR_TO_BTF_ID`.
    BtfId(TypeRef),
    /// `PTR_TO_FUNC`: a subprogram of the program, by number.
    Func(u32),
    /// `PTR_TO_ARENA`.
    Arena,
    /// `CONST_PTR_TO_DYNPTR`.
    Dynptr(DynptrKind),
    /// `PTR_TO_SOCKET`.
    Socket,
    /// `PTR_TO_SOCK_COMMON`.
    SockCommon,
    /// `PTR_TO_TCP_SOCK`.
    TcpSock,
    /// `PTR_TO_XDP_SOCK`.
    XdpSock,
    /// `PTR_TO_PACKET` and the like, which are not modelled.
    Packet,
    /// In a stack slot: half of a dynptr.
    StackDynptr {
        /// What it points to.
        kind: DynptrKind,
        /// The half at the higher address, which the kernel calls the first slot.
        first: bool,
    },
    /// In a stack slot: part of an iterator.
    StackIter {
        /// Its struct.
        ty: TypeRef,
        /// Where it is.
        state: IterState,
        /// How often it was asked for the next element.
        depth: u32,
    },
    /// In a stack slot: saved interrupt flags.
    StackIrq {
        /// Saved by a lock's kfunc, not by `bpf_local_irq_save`.
        of_lock: bool,
    },
}

/// How a scalar is linked to others of its id (`BPF_ADD_CONST64`, `BPF_ADD_CONST32`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Linked {
    /// It is equal.
    #[default]
    Equal,
    /// A constant was added with 64 bits.
    Add64(i32),
    /// A constant was added with 32 bits.
    Add32(i32),
}

/// A register (`struct bpf_reg_state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reg {
    /// What it holds.
    pub kind: Kind,
    /// The type's flags.
    pub flags: Flags,
    /// A number: what is known of it. A pointer: what was added to where it pointed first, constants included.
    pub value: Scalar,
    /// Registers of the same id hold the same, or come from the same; 0 is none.
    pub id: u32,
    /// How a scalar differs from the others of its id.
    pub linked: Linked,
    /// The reference that it holds, 0 is none (`ref_obj_id`; from 7.2 on its own `id` where that is a reference's).
    pub ref_obj_id: u32,
    /// The object that it is part of, a dynptr for instance, by its id (`dynptr_id`; from 7.2 on `parent_id`), 0 is none.
    pub parent_id: u32,
    /// Which lookup of an inner map it comes from, 0 is none.
    pub map_uid: u32,
    /// The number matters to what was accepted after it.
    pub precise: bool,
}

impl Reg {
    /// Holds nothing that may be read.
    pub const fn not_init() -> Self {
        Self::NOT_INIT
    }

    const NOT_INIT: Self = Self::new(Kind::NotInit, Flags::NONE);
    const UNKNOWN: Self = Self { value: Scalar::unknown(), ..Self::new(Kind::Scalar, Flags::NONE) };

    /// A pointer as it was handed out, or `NOT_INIT`.
    pub const fn new(kind: Kind, flags: Flags) -> Self {
        Self {
            kind,
            flags,
            value: Scalar::zero(),
            id: 0,
            linked: Linked::Equal,
            ref_obj_id: 0,
            parent_id: 0,
            map_uid: 0,
            precise: false,
        }
    }

    /// A number.
    pub fn scalar(value: Scalar) -> Self {
        Self { value, ..Self::new(Kind::Scalar, Flags::NONE) }
    }

    /// A number of which nothing is known.
    pub const fn unknown() -> Self {
        Self::UNKNOWN
    }

    /// This number.
    pub fn known(value: u64) -> Self {
        Self::scalar(Scalar::known(value))
    }

    /// It holds a value.
    pub fn is_init(&self) -> bool {
        !matches!(self.kind, Kind::NotInit)
    }

    /// It is a number.
    pub fn is_scalar(&self) -> bool {
        matches!(self.kind, Kind::Scalar)
    }

    /// It is a pointer.
    pub fn is_pointer(&self) -> bool {
        !matches!(self.kind, Kind::Scalar | Kind::NotInit)
    }

    /// The number, if it is a constant.
    pub fn constant(&self) -> Option<u64> {
        if self.is_scalar() { self.value.constant() } else { None }
    }

    /// It is the number 0 (`register_is_null`).
    pub fn is_null(&self) -> bool {
        self.constant() == Some(0)
    }

    /// It may be NULL.
    pub fn may_be_null(&self) -> bool {
        self.flags.has(Flags::MAYBE_NULL)
    }

    /// What was added to a pointer, if that is a constant (`tnum_is_const(reg->var_off)`).
    pub fn offset(&self) -> Option<i64> {
        self.value.constant().map(u64::cast_signed)
    }

    /// The id of a scalar is forgotten (`clear_scalar_id`).
    pub fn clear_id(&mut self) {
        self.id = 0;
        self.linked = Linked::Equal;
    }
}

/// What a byte of stack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Byte {
    /// Nothing was stored.
    Invalid,
    /// Part of a register that was stored.
    Spill,
    /// Something.
    Misc,
    /// 0.
    Zero,
    /// Part of a dynptr.
    Dynptr,
    /// Part of an iterator.
    Iter,
    /// Part of saved interrupt flags.
    Irq,
    /// Dead: what was stored is never read (7.1 on).
    Poison,
}

/// The kinds of eight bytes, to be compared at once.
pub const fn packed(bytes: [Byte; 8]) -> u64 {
    let [a, b, c, d, e, f, g, h] = bytes;
    u64::from_le_bytes([a as u8, b as u8, c as u8, d as u8, e as u8, f as u8, g as u8, h as u8])
}

/// Eight bytes of stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// What each byte holds; the last one decides (`slot_type[BPF_REG_SIZE - 1]`).
    pub bytes: [Byte; 8],
    /// The register that was stored, or the dynptr, iterator or flags.
    pub reg: Reg,
}

impl Slot {
    /// Nothing was stored.
    pub const fn invalid() -> Self {
        Self { bytes: [Byte::Invalid; 8], reg: Reg::not_init() }
    }

    /// All its bytes are of this kind, and no register is left of them.
    pub fn is_all(&self, byte: Byte) -> bool {
        !self.reg.is_init() && packed(self.bytes) == packed([byte; 8])
    }

    /// It holds a register (`is_spilled_reg`).
    pub fn is_spilled(&self) -> bool {
        matches!(self.bytes[7], Byte::Spill)
    }

    /// It holds a number that was stored as a register (`is_spilled_scalar_reg`).
    pub fn is_spilled_scalar(&self) -> bool {
        self.is_spilled() && self.reg.is_scalar()
    }
}
