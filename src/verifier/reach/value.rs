//! What the verifier knows of one register: its type, and for scalars which bits (kernel `struct bpf_reg_state`, `struct tnum`).
//!
//! Two claims are kept apart. The bits given as known *are* known to every verifier, so a branch that they
//! decide is pruned. A value that is also `exact` is one of which no verifier knows anything more, so a branch
//! that its bits leave open is walked both ways.

use super::reached::Reached::{self, Certain, Never, Possible};
use crate::insn::{AluOp, Condition};
use crate::object::{ExternIdx, FuncIdx, MapIdx};

/// Where a value came into being: slot numbers of instructions, counted over the whole program, plus 1; 0 for
/// nowhere in particular. Values of one origin are copies of each other, values of one root hang together, as
/// the verifier links registers that differ by a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Origin {
    /// The instruction that the value, or what it was computed from, was made by.
    pub root: u32,
    /// The instruction that made this value.
    pub at: u32,
}

impl Origin {
    pub(super) const NONE: Self = Self { root: 0, at: 0 };

    pub(super) fn new(at: u32) -> Self {
        Self { root: at, at }
    }

    fn derived(self, at: u32) -> Self {
        if self.root == 0 { Self::NONE } else { Self { root: self.root, at } }
    }
}

/// A scalar: the bits in `mask` are not known, the others are those of `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Scalar {
    pub value: u64,
    pub mask: u64,
    /// Every combination of the unknown bits is possible, as far as any verifier can tell.
    pub exact: bool,
    /// If not 0: any signed number of so many bytes, as far as any verifier can tell, which bits cannot say.
    pub sign: u8,
    pub origin: Origin,
}

/// What a pointer points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum PointsTo {
    /// A map itself (`CONST_PTR_TO_MAP`); `None` for one that is not named.
    Map(Option<MapIdx>),
    /// Into the value of a map; `None` for one that is not named, or for other memory of the program.
    Value(Option<MapIdx>),
    /// A value of the kernel's configuration.
    Config(ExternIdx),
    /// Into the stack of this frame.
    Stack,
    /// Into the stack of a calling frame.
    Outer,
    /// The program's context.
    Context,
    /// An object of the kernel's, by its type (`PTR_TO_BTF_ID`).
    Kernel,
    /// Arena memory (`PTR_TO_ARENA`).
    Arena,
    /// A function of the program.
    Function(FuncIdx),
}

/// What becomes of a test of a pointer for NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Null {
    /// Every verifier knows that it is not NULL.
    No,
    /// May or may not be known; code for not NULL is walked in any case.
    Unsure,
    /// May be NULL; after a test the verifier knows.
    Maybe,
    /// As `Maybe`, but newer kernels may know better (lookups in arrays, since 6.14).
    Elided,
}

/// What is known of one register or stack slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RegState {
    /// Nothing that we track; may point into the stack. The verifier may know more.
    Top,
    /// A number.
    Scalar(Scalar),
    /// Eight bytes from memory: a number of which nothing is known, or a pointer to an object of the kernel's.
    /// `null` says that zero is possible in either case.
    Word { null: bool, exact: bool, origin: Origin },
    /// A pointer, so many bytes into what it points to where that is known.
    Pointer { place: PointsTo, offset: Option<i32>, null: Null, origin: Origin },
}

/// All bits of a width of so many bytes.
pub(super) fn ones(bytes: u8) -> u64 {
    if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 }
}

impl Scalar {
    pub(super) fn known(value: u64) -> Self {
        Self { value, mask: 0, exact: true, sign: 0, origin: Origin::NONE }
    }

    /// Nothing known but the width.
    pub(super) fn unknown(bytes: u8, origin: Origin) -> Self {
        Self { value: 0, mask: ones(bytes), exact: true, sign: 0, origin }
    }

    /// At least the width is known.
    pub(super) fn vague(bytes: u8) -> Self {
        Self { value: 0, mask: ones(bytes), exact: false, sign: 0, origin: Origin::NONE }
    }

    pub(super) fn constant(self) -> Option<u64> {
        (self.mask == 0).then_some(self.value)
    }

    fn inexact(self) -> Self {
        if self.mask == 0 { self } else { Self { exact: false, sign: 0, origin: Origin::NONE, ..self } }
    }

    /// The lower half, zero-extended (kernel `zext_32_to_64`).
    pub(super) fn low(self) -> Self {
        Self { value: self.value & ones(4), mask: self.mask & ones(4), sign: 0, ..self }
    }

    fn unsigned(self) -> (u64, u64) {
        (self.value, self.value | self.mask)
    }

    fn signed(self, bytes: u8) -> (i64, i64) {
        let sign = 1u64 << (8 * bytes - 1);
        let extend = |v: u64| if bytes == 8 { v as i64 } else { i64::from(v as u32 as i32) };
        (extend(self.value | (self.mask & sign)), extend(self.value | (self.mask & !sign)))
    }

    fn join(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        let mask = self.mask | other.mask | (self.value ^ other.value);
        Self { value: self.value & !mask, mask, exact: false, sign: 0, origin: Origin::NONE }
    }
}

impl RegState {
    pub(super) fn known(value: u64) -> Self {
        Self::Scalar(Scalar::known(value))
    }

    pub(super) fn pointer(place: PointsTo, null: Null, origin: Origin) -> Self {
        Self::Pointer { place, offset: Some(0), null, origin }
    }

    pub(super) fn constant(self) -> Option<u64> {
        match self {
            Self::Scalar(scalar) => scalar.constant(),
            _ => None,
        }
    }

    pub(super) fn origin(self) -> Origin {
        match self {
            Self::Top => Origin::NONE,
            Self::Scalar(Scalar { origin, .. })
            | Self::Word { origin, .. }
            | Self::Pointer { origin, .. } => origin,
        }
    }

    /// The same, of which the verifier may now know more.
    pub(super) fn inexact(self) -> Self {
        match self {
            Self::Top => Self::Top,
            Self::Scalar(scalar) => Self::Scalar(scalar.inexact()),
            Self::Word { null, .. } => Self::Word { null, exact: false, origin: Origin::NONE },
            Self::Pointer { place, offset, null: null @ (Null::No | Null::Unsure), .. } => {
                Self::Pointer { place, offset, null, origin: Origin::NONE }
            }
            Self::Pointer { place: PointsTo::Stack, .. } => Self::Top,
            Self::Pointer { .. } => Self::Word { null: false, exact: false, origin: Origin::NONE },
        }
    }

    /// As the caller sees it: the frame that it points into is gone.
    pub(super) fn returned(self) -> Self {
        match self {
            Self::Pointer { place: PointsTo::Stack | PointsTo::Outer, .. } => Self::Top,
            other => other,
        }
    }

    /// What holds of both.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            _ if self == other => self,
            (Self::Scalar(a), Self::Scalar(b)) => Self::Scalar(a.join(b)),
            (
                Self::Pointer { place, offset: a, null: n, .. },
                Self::Pointer { place: other, offset: b, null: m, .. },
            ) if place == other && n == m => {
                Self::Pointer { place, offset: if a == b { a } else { None }, null: n, origin: Origin::NONE }
            }
            (Self::Word { null: a, .. }, Self::Word { null: b, .. }) => {
                Self::Word { null: a && b, exact: false, origin: Origin::NONE }
            }
            _ if self.may_be_stack() || other.may_be_stack() => Self::Top,
            _ => Self::Word { null: false, exact: false, origin: Origin::NONE },
        }
    }

    fn may_be_stack(self) -> bool {
        matches!(self, Self::Top | Self::Pointer { place: PointsTo::Stack, .. })
    }

    /// As [`RegState::join`], but gives up on numbers that differ, so that loops come to rest.
    pub(super) fn widen(self, other: Self) -> Self {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) if a != b => {
                let bytes = if (a.value | a.mask | b.value | b.mask) <= ones(4) { 4 } else { 8 };
                Self::Scalar(Scalar::vague(bytes))
            }
            _ => self.join(other),
        }
    }

    /// The number in a register, as arithmetic sees it that pointers are not allowed in.
    fn number(self) -> Scalar {
        match self {
            Self::Scalar(scalar) => scalar,
            Self::Word { exact, origin, .. } => Scalar { exact, ..Scalar::unknown(8, origin) },
            _ => Scalar::vague(8),
        }
    }
}

/// `dst op src` for everything but moves (kernel `adjust_reg_min_max_vals`).
pub(super) fn arithmetic(operation: AluOp, wide: bool, dst: RegState, src: RegState, at: u32) -> RegState {
    if let Some(pointer) = pointer_arithmetic(operation, wide, dst, src, at) {
        return pointer;
    }
    let bytes = if wide { 8 } else { 4 };
    let (mut a, mut b) = (dst.number(), src.number());
    if !wide {
        (a, b) = (a.low(), b.low());
    }
    (a.sign, b.sign) = (0, 0);
    a.origin = a.origin.derived(at);
    let all = ones(bytes);
    let vague = RegState::Scalar(Scalar::vague(bytes));
    let full = a.mask == all && a.exact;
    let Some(k) = b.constant() else {
        // The sum with a number that nothing is known of is another one.
        let open = |s: Scalar| s.mask == all && s.exact;
        return match operation {
            AluOp::Add | AluOp::Sub
                if a.mask != 0
                    && (open(a) && b.exact || open(b) && a.exact)
                    && a.origin.root != b.origin.root =>
            {
                RegState::Scalar(Scalar::unknown(bytes, Origin::new(at)))
            }
            AluOp::Add | AluOp::Sub if a.mask == 0 && open(b) => {
                RegState::Scalar(Scalar::unknown(bytes, b.origin.derived(at)))
            }
            AluOp::Or | AluOp::Xor | AluOp::And if a.mask == 0 => {
                arithmetic(operation, wide, RegState::Scalar(b), RegState::Scalar(a), at)
            }
            _ => vague,
        };
    };
    let shift = (k as u32) & (8 * u32::from(bytes) - 1);
    let in_range = k < 8 * u64::from(bytes);
    let (value, mask) = match operation {
        AluOp::Add | AluOp::Sub | AluOp::Mul if a.mask == 0 => {
            let value = match operation {
                AluOp::Add => a.value.wrapping_add(k),
                AluOp::Sub => a.value.wrapping_sub(k),
                _ => a.value.wrapping_mul(k),
            };
            (value & all, 0)
        }
        // Adding a constant to a value that nothing is known of leaves one.
        AluOp::Add | AluOp::Sub if full => return RegState::Scalar(a),
        AluOp::Or => (a.value | k, a.mask & !k),
        AluOp::And => (a.value & k, a.mask & k),
        AluOp::Xor => ((a.value ^ k) & !a.mask, a.mask),
        AluOp::Lsh if in_range => ((a.value << shift) & all, (a.mask << shift) & all),
        AluOp::Rsh if in_range => (a.value >> shift, a.mask >> shift),
        AluOp::Arsh if in_range => {
            let signed = |v: u64| {
                if wide {
                    ((v as i64) >> shift) as u64
                } else {
                    u64::from(((v as u32 as i32) >> shift) as u32)
                }
            };
            let sign_known = a.mask >> (8 * bytes - 1) == 0;
            let (value, mask) = (signed(a.value), signed(a.mask));
            // Copies of an unknown sign are not independent bits.
            let exact = a.exact && (sign_known || shift == 0);
            return RegState::Scalar(Scalar { value: value & !mask, mask, exact, ..a });
        }
        _ => return vague,
    };
    RegState::Scalar(Scalar { value, mask, ..a })
}

/// `-dst`. Old verifiers know nothing of negation; of a value that nothing is known of, new ones do not either.
pub(super) fn negated(wide: bool, dst: RegState, at: u32) -> RegState {
    let bytes = if wide { 8 } else { 4 };
    let mut scalar = if wide { dst.number() } else { dst.number().low() };
    scalar.sign = 0;
    scalar.origin = scalar.origin.derived(at);
    let full = scalar.mask == ones(bytes) && scalar.exact;
    RegState::Scalar(if full { scalar } else { Scalar::vague(bytes) })
}

/// A pointer moved by a number stays what it is; `None` where no pointer is involved.
fn pointer_arithmetic(
    operation: AluOp,
    wide: bool,
    dst: RegState,
    src: RegState,
    at: u32,
) -> Option<RegState> {
    let moved = |value: RegState, by: Option<i64>| match value {
        RegState::Pointer { place, offset, null, origin } => {
            let offset = offset.zip(by).and_then(|(a, b)| i32::try_from(i64::from(a).checked_add(b)?).ok());
            RegState::Pointer { place, offset, null, origin }
        }
        _ => RegState::Top,
    };
    let is_pointer = |value| matches!(value, RegState::Pointer { .. });
    let maybe_pointer = |value| matches!(value, RegState::Top | RegState::Pointer { .. });
    let distance = |value: RegState| value.constant().map(|v| v as i64);
    match operation {
        AluOp::Add | AluOp::Sub if wide => match (dst, src) {
            _ if is_pointer(dst) && maybe_pointer(src) => Some(RegState::Top),
            _ if is_pointer(dst) => {
                let by = distance(src);
                Some(moved(dst, if operation == AluOp::Sub { by.and_then(i64::checked_neg) } else { by }))
            }
            _ if is_pointer(src) && !maybe_pointer(dst) && operation == AluOp::Add => {
                Some(moved(src, distance(dst)))
            }
            // A pointer, or something that may be one: what comes out of it may be one too.
            (RegState::Word { exact: true, null, origin }, RegState::Scalar(s)) if s.mask == 0 => {
                Some(RegState::Word { exact: true, null, origin: origin.derived(at) })
            }
            (
                RegState::Word { exact: true, origin: a, .. },
                RegState::Word { exact: true, origin: b, .. }
                | RegState::Scalar(Scalar { exact: true, origin: b, .. }),
            )
            | (
                RegState::Scalar(Scalar { exact: true, origin: a, .. }),
                RegState::Word { exact: true, origin: b, .. },
            ) if a.root != b.root => {
                Some(RegState::Word { exact: true, null: false, origin: Origin::new(at) })
            }
            (RegState::Top | RegState::Word { .. }, _)
            | (_, RegState::Top | RegState::Word { .. } | RegState::Pointer { .. }) => {
                Some(if dst.may_be_stack() || src.may_be_stack() {
                    RegState::Top
                } else {
                    RegState::Word { null: false, exact: false, origin: Origin::NONE }
                })
            }
            _ => None,
        },
        _ => None,
    }
}

/// `(s8)`, `(s16)` and `(s32)` moves and loads (kernel `coerce_reg_to_size_sx`).
pub(super) fn sign_extended(value: RegState, bytes: u8, wide: bool, at: u32) -> RegState {
    let scalar = value.number();
    let shift = 64 - 8 * u32::from(bytes);
    let extend = |v: u64| (((v << shift) as i64) >> shift) as u64;
    let (low, mask) = (scalar.value & ones(bytes), scalar.mask & ones(bytes));
    let sign_known = mask >> (8 * bytes - 1) == 0;
    let mask = extend(mask);
    let whole = scalar.exact && scalar.mask & ones(bytes) == ones(bytes);
    let result = Scalar {
        value: extend(low) & !mask,
        mask,
        exact: scalar.exact && sign_known,
        sign: if whole { bytes } else { 0 },
        origin: scalar.origin.derived(at),
    };
    RegState::Scalar(if wide { result } else { result.low() })
}

/// What the verifier makes of the two ways of a branch: taken, not taken.
pub(super) type Ways = (Reached, Reached);

const OPEN: Ways = (Certain, Certain);
const VAGUE: Ways = (Possible, Possible);

/// Can the verifier decide the branch (kernel `is_branch_taken`).
pub(super) fn compare(condition: Condition, wide: bool, a: RegState, b: RegState) -> Ways {
    let equality = matches!(condition, Condition::Eq | Condition::Ne);
    let related = a.origin().root != 0 && a.origin().root == b.origin().root;
    let flip = |(equal, unequal): Ways| {
        if condition == Condition::Eq { (equal, unequal) } else { (unequal, equal) }
    };
    match (a, b) {
        (RegState::Scalar(a), RegState::Scalar(b)) => scalars(condition, wide, a, b, related),
        (RegState::Pointer { .. } | RegState::Word { .. }, RegState::Scalar(zero))
        | (RegState::Scalar(zero), RegState::Pointer { .. } | RegState::Word { .. })
            if equality && wide && zero.constant() == Some(0) =>
        {
            let pointer = if matches!(a, RegState::Scalar(_)) { b } else { a };
            flip(match pointer {
                RegState::Pointer { null: Null::No, .. } => (Never, Certain),
                RegState::Pointer { null: Null::Maybe, .. } => OPEN,
                RegState::Word { null, exact: true, .. } => (if null { Certain } else { Possible }, Certain),
                RegState::Word { .. } => VAGUE,
                _ => (Possible, Certain),
            })
        }
        (RegState::Word { exact: true, .. }, RegState::Scalar(Scalar { exact: true, .. })) if !related => {
            OPEN
        }
        (RegState::Scalar(Scalar { exact: true, .. }), RegState::Word { exact: true, .. }) if !related => {
            OPEN
        }
        // Two pointers, or what may be one, are never decided, unless they are one value.
        (RegState::Pointer { origin: o, .. }, RegState::Word { exact: true, .. })
        | (RegState::Word { exact: true, .. }, RegState::Pointer { origin: o, .. })
            if o.root != 0 && !related && equality && wide =>
        {
            OPEN
        }
        (RegState::Word { exact: true, .. }, RegState::Word { exact: true, .. }) if !related => OPEN,
        _ => VAGUE,
    }
}

fn scalars(condition: Condition, wide: bool, a: Scalar, b: Scalar, related: bool) -> Ways {
    let bytes = if wide { 8 } else { 4 };
    let (a, b) = if wide { (a, b) } else { (a.low(), b.low()) };
    let exact = a.exact && b.exact && !related;
    let open = if exact { OPEN } else { VAGUE };
    let (au, bu) = (a.unsigned(), b.unsigned());
    let (as_, bs) = (a.signed(bytes), b.signed(bytes));
    let order = |never: bool, always: bool| match (never, always) {
        (true, _) => (Never, Certain),
        (_, true) => (Certain, Never),
        _ => open,
    };
    let less = |a: (u64, u64), b: (u64, u64)| order(a.0 >= b.1, a.1 < b.0);
    let less_signed = |a: (i64, i64), b: (i64, i64)| order(a.0 >= b.1, a.1 < b.0);
    let not = |(taken, fall): Ways| (fall, taken);
    if let Some(k) = b.constant().filter(|_| wide && a.sign != 0) {
        return signed_number(condition, a.sign, k as i64);
    }
    match condition {
        Condition::Eq => {
            if a.mask == 0 && b.mask == 0 {
                return if a.value == b.value { (Certain, Never) } else { (Never, Certain) };
            }
            let apart = au.1 < bu.0 || au.0 > bu.1 || as_.1 < bs.0 || as_.0 > bs.1;
            // Newer kernels also see bits that contradict each other, older ones only ranges.
            let contradict = (a.value ^ b.value) & !a.mask & !b.mask != 0;
            match (apart, contradict) {
                (true, _) => (Never, Certain),
                (false, true) => (Possible, if exact { Certain } else { Possible }),
                (false, false) => open,
            }
        }
        Condition::Ne => not(scalars(Condition::Eq, wide, a, b, related)),
        Condition::Set => match (a.constant(), b.constant()) {
            (_, Some(k)) => any_bit(a, k, open),
            (Some(k), _) => match any_bit(b, k, open) {
                // Only the second operand is looked at as a constant by older kernels.
                (Never, Certain) | (Certain, Never) => VAGUE,
                other => other,
            },
            _ => open,
        },
        Condition::Lt => less(au, bu),
        Condition::Ge => not(less(au, bu)),
        Condition::Gt => less(bu, au),
        Condition::Le => not(less(bu, au)),
        Condition::Slt => less_signed(as_, bs),
        Condition::Sge => not(less_signed(as_, bs)),
        Condition::Sgt => less_signed(bs, as_),
        Condition::Sle => not(less_signed(bs, as_)),
    }
}

/// Any signed number of so many bytes against a constant. Only what is sure to stay open is told.
fn signed_number(condition: Condition, bytes: u8, k: i64) -> Ways {
    let low = i64::MIN >> (64 - 8 * u32::from(bytes));
    let inside = match condition {
        Condition::Eq | Condition::Ne => low <= k && k <= !low,
        Condition::Sgt | Condition::Sle => low <= k && k < !low,
        Condition::Sge | Condition::Slt => low < k && k <= !low,
        _ => false,
    };
    if inside { OPEN } else { VAGUE }
}

fn any_bit(a: Scalar, k: u64, open: Ways) -> Ways {
    if a.value & k != 0 {
        (Certain, Never)
    } else if (a.value | a.mask) & k == 0 {
        (Never, Certain)
    } else {
        open
    }
}

/// What a value is known to be on one way of a branch against `other` (kernel `reg_set_min_max`,
/// `mark_ptr_or_null_regs`). `immediate`: the other side stands in the instruction.
pub(super) fn refined(
    condition: Condition,
    taken: bool,
    wide: bool,
    value: RegState,
    other: RegState,
    immediate: bool,
) -> RegState {
    let equal = match condition {
        Condition::Eq => taken,
        Condition::Ne => !taken,
        _ => return value.inexact(),
    };
    let Some(k) = other.constant() else { return value.inexact() };
    match value {
        RegState::Scalar(s) if s.mask == 0 => value,
        RegState::Scalar(_) if equal && wide => RegState::known(k),
        RegState::Scalar(s) if equal && (s.value | s.mask) <= ones(4) => RegState::known(k & ones(4)),
        RegState::Pointer { place, offset, null: Null::Maybe | Null::Elided, .. }
            if wide && immediate && k == 0 =>
        {
            if equal {
                RegState::known(0)
            } else {
                let null = if matches!(place, PointsTo::Value(_)) { Null::No } else { Null::Unsure };
                RegState::Pointer { place, offset, null, origin: Origin::NONE }
            }
        }
        _ => value.inexact(),
    }
}
