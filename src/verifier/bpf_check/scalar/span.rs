//! A range of numbers of one width, as two pairs of bounds or as an arc.
//!
//! Behaviour of kernel/bpf/{verifier,cnum}.c: bounds of 6.12, arcs of 7.2 and 7.3.

use super::rules::RangeKind;
use crate::verifier::bpf_check::tnum::Tnum;

macro_rules! span {
    ($span:ident, $bounds:ident, $arc:ident, $u:ident, $s:ident) => {
        /// The smallest and the largest number, unsigned and signed. They are out of order where no number is left.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) struct $bounds {
            pub(super) umin: $u,
            pub(super) umax: $u,
            pub(super) smin: $s,
            pub(super) smax: $s,
        }

        /// `size` + 1 numbers from `base` on, past the largest back to 0.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) struct $arc {
            pub(super) base: $u,
            pub(super) size: $u,
        }

        /// A range. The full one and those of one number are the same in either form, and equal.
        #[derive(Debug, Clone, Copy)]
        pub(super) enum $span {
            Bounds($bounds),
            Arc($arc),
        }

        impl $bounds {
            pub(super) const FULL: Self = Self { umin: 0, umax: $u::MAX, smin: $s::MIN, smax: $s::MAX };

            /// No number is left.
            pub(super) const fn is_empty(self) -> bool {
                self.umin > self.umax || self.smin > self.smax
            }

            pub(super) fn at_least(&mut self, min: $u) {
                self.umin = self.umin.max(min);
            }

            pub(super) fn at_most(&mut self, max: $u) {
                self.umax = self.umax.min(max);
            }

            pub(super) fn at_least_signed(&mut self, min: $s) {
                self.smin = self.smin.max(min);
            }

            pub(super) fn at_most_signed(&mut self, max: $s) {
                self.smax = self.smax.min(max);
            }

            pub(super) fn narrow(&mut self, min: $u, max: $u) {
                self.at_least(min);
                self.at_most(max);
            }

            pub(super) fn narrow_signed(&mut self, min: $s, max: $s) {
                self.at_least_signed(min);
                self.at_most_signed(max);
            }

            /// What the signed and the unsigned bounds say of each other.
            pub(super) fn share(&mut self, crosses_sign: bool) {
                // Numbers of one sign come in the same order either way.
                if self.umin as $s <= self.umax as $s {
                    self.narrow_signed(self.umin as $s, self.umax as $s);
                }
                if self.smin as $u <= self.smax as $u {
                    self.narrow(self.smin as $u, self.smax as $u);
                } else if crosses_sign {
                    // The signed range is two unsigned ones, at either end. If just one of them meets the unsigned range, it is
                    // in that one.
                    if self.umax < self.smin as $u {
                        self.smin = self.umin as $s;
                        self.at_most(self.smax as $u);
                    } else if (self.smax as $u) < self.umin {
                        self.smax = self.umax as $s;
                        self.at_least(self.smin as $u);
                    }
                }
            }
        }

        impl $arc {
            const FULL: Self = Self { base: 0, size: $u::MAX };
            const EMPTY: Self = Self { base: $u::MAX, size: $u::MAX };

            const fn unsigned(min: $u, max: $u) -> Self {
                Self { base: min, size: max.wrapping_sub(min) }
            }

            const fn signed(min: $s, max: $s) -> Self {
                let size = (max as $u).wrapping_sub(min as $u);
                Self { base: if size == $u::MAX { 0 } else { min as $u }, size }
            }

            pub(super) const fn is_empty(self) -> bool {
                self.base == $u::MAX && self.size == $u::MAX
            }

            const fn end(self) -> $u {
                self.base.wrapping_add(self.size)
            }

            /// It goes past the largest number.
            pub(super) const fn wraps(self) -> bool {
                self.size > $u::MAX - self.base
            }

            const fn contains(self, number: $u) -> bool {
                if self.is_empty() {
                    false
                } else if self.wraps() {
                    number >= self.base || number <= self.end()
                } else {
                    number >= self.base && number <= self.end()
                }
            }

            const fn bounds(self) -> $bounds {
                let (umin, umax) = if self.wraps() { (0, $u::MAX) } else { (self.base, self.end()) };
                let (smin, smax) = if self.contains($s::MAX as $u) && self.contains($s::MIN as $u) {
                    ($s::MIN, $s::MAX)
                } else {
                    let (base, end) = (self.base as $s, self.end() as $s);
                    if base < end { (base, end) } else { (end, base) }
                };
                $bounds { umin, umax, smin, smax }
            }

            /// Numbers of both; the smaller one if they meet at both ends.
            fn intersect(self, other: Self) -> Self {
                if self.is_empty() || other.is_empty() {
                    return Self::EMPTY;
                }
                let (first, second) = if self.base > other.base { (other, self) } else { (self, other) };
                let apart = second.base - first.base;
                let meets = apart <= first.size;
                // Seen from the start of the first.
                if (Self { base: apart, size: second.size }).wraps() {
                    if meets {
                        if first.size <= second.size { first } else { second }
                    } else {
                        Self { base: first.base, size: first.size.min(apart.wrapping_add(second.size)) }
                    }
                } else if meets {
                    Self { base: second.base, size: second.size.min(first.size - apart) }
                } else {
                    Self::EMPTY
                }
            }

            /// A full circle starts at 0, save for one start that is kept.
            fn at_zero_if_full(self) -> Self {
                if self.size == $u::MAX && self.base != 0 && self.base != $s::MAX as $u {
                    Self::FULL
                } else {
                    self
                }
            }

            fn add(self, other: Self) -> Self {
                if self.is_empty() || other.is_empty() {
                    return Self::EMPTY;
                }
                match self.size.checked_add(other.size) {
                    None => Self::FULL,
                    Some(size) => Self { base: self.base.wrapping_add(other.base), size }.at_zero_if_full(),
                }
            }

            fn neg(self) -> Self {
                if self.is_empty() {
                    return Self::EMPTY;
                }
                Self { base: self.end().wrapping_neg(), size: self.size }.at_zero_if_full()
            }

            fn contains_all(self, other: Self) -> bool {
                if other.is_empty() {
                    return true;
                }
                if self.is_empty() {
                    return false;
                }
                let from = other.base.wrapping_sub(self.base);
                if (Self { base: from, size: other.size }).wraps() && self.size < $u::MAX {
                    return false;
                }
                from.wrapping_add(other.size) <= self.size
            }
        }

        impl PartialEq for $span {
            fn eq(&self, other: &Self) -> bool {
                match (self, other) {
                    (Self::Arc(one), Self::Arc(another)) => one == another,
                    _ => self.bounds() == other.bounds(),
                }
            }
        }

        impl Eq for $span {}

        impl $span {
            pub(super) const FULL: Self = Self::Arc($arc::FULL);

            pub(super) const fn one(number: $u) -> Self {
                Self::Arc($arc { base: number, size: 0 })
            }

            /// From the one to the other, unsigned; nothing is said of the signed side but what follows.
            pub(super) const fn unsigned(kind: RangeKind, umin: $u, umax: $u) -> Self {
                match kind {
                    RangeKind::MinMax => Self::Bounds($bounds { umin, umax, ..$bounds::FULL }),
                    RangeKind::Circular => Self::Arc($arc::unsigned(umin, umax)),
                }
            }

            /// The same, and the signed bounds are the same where no number in between has another sign.
            pub(super) const fn unsigned_and_signed(kind: RangeKind, umin: $u, umax: $u) -> Self {
                match kind {
                    RangeKind::MinMax if umin as $s <= umax as $s => {
                        Self::one_sign(kind, umin as $s, umax as $s)
                    }
                    _ => Self::unsigned(kind, umin, umax),
                }
            }

            /// From the one to the other, signed.
            pub(super) const fn signed(kind: RangeKind, smin: $s, smax: $s) -> Self {
                match kind {
                    RangeKind::MinMax => Self::Bounds($bounds { smin, smax, ..$bounds::FULL }),
                    RangeKind::Circular => Self::Arc($arc::signed(smin, smax)),
                }
            }

            /// From the one to the other, both of one sign, so signed and unsigned.
            pub(super) const fn one_sign(kind: RangeKind, smin: $s, smax: $s) -> Self {
                match kind {
                    RangeKind::MinMax => {
                        Self::Bounds($bounds { umin: smin as $u, umax: smax as $u, smin, smax })
                    }
                    RangeKind::Circular => Self::Arc($arc::signed(smin, smax)),
                }
            }

            /// Both at once.
            pub(super) fn both(kind: RangeKind, bounds: $bounds) -> Self {
                match kind {
                    RangeKind::MinMax => Self::Bounds(bounds),
                    RangeKind::Circular => Self::Arc(
                        $arc::unsigned(bounds.umin, bounds.umax)
                            .intersect($arc::signed(bounds.smin, bounds.smax)),
                    ),
                }
            }

            pub(super) const fn bounds(&self) -> $bounds {
                match self {
                    Self::Bounds(bounds) => *bounds,
                    Self::Arc(arc) => arc.bounds(),
                }
            }

            /// As an arc; a full one if it is none and no single number.
            pub(super) const fn arc(&self) -> $arc {
                match self {
                    Self::Arc(arc) => *arc,
                    Self::Bounds(bounds) if bounds.umin == bounds.umax => $arc { base: bounds.umin, size: 0 },
                    Self::Bounds(_) => $arc::FULL,
                }
            }

            pub(super) const fn is_empty(&self) -> bool {
                match self {
                    Self::Bounds(bounds) => bounds.is_empty(),
                    Self::Arc(arc) => arc.is_empty(),
                }
            }

            /// It is this number and no other, signed and unsigned.
            pub(super) fn is(&self, number: $u) -> bool {
                match self {
                    Self::Bounds(bounds) => *bounds == Self::one(number).bounds(),
                    Self::Arc(arc) => arc.size == 0 && arc.base == number,
                }
            }

            /// The bounds of a kernel that has those.
            pub(super) fn narrowed(self, by: impl FnOnce(&mut $bounds)) -> Self {
                let mut bounds = self.bounds();
                by(&mut bounds);
                Self::Bounds(bounds)
            }

            pub(super) fn intersect(self, kind: RangeKind, other: Self) -> Self {
                match kind {
                    RangeKind::Circular => Self::Arc(self.arc().intersect(other.arc())),
                    RangeKind::MinMax => {
                        let with = other.bounds();
                        self.narrowed(|bounds| {
                            bounds.narrow(with.umin, with.umax);
                            bounds.narrow_signed(with.smin, with.smax);
                        })
                    }
                }
            }

            /// Without one number, where that can be said.
            pub(super) fn without(self, kind: RangeKind, number: $u) -> Self {
                match kind {
                    RangeKind::Circular => Self::Arc(
                        self.arc().intersect($arc { base: number.wrapping_add(1), size: $u::MAX - 1 }),
                    ),
                    RangeKind::MinMax => self.narrowed(|bounds| {
                        if bounds.umin == number {
                            bounds.umin = bounds.umin.wrapping_add(1);
                        }
                        if bounds.umax == number {
                            bounds.umax = bounds.umax.wrapping_sub(1);
                        }
                        if bounds.smin == number as $s {
                            bounds.smin = bounds.smin.wrapping_add(1);
                        }
                        if bounds.smax == number as $s {
                            bounds.smax = bounds.smax.wrapping_sub(1);
                        }
                    }),
                }
            }

            /// From 0 to a number.
            pub(super) fn at_most(self, kind: RangeKind, max: $u) -> Self {
                match kind {
                    RangeKind::Circular => Self::Arc(self.arc().intersect($arc::unsigned(0, max))),
                    RangeKind::MinMax => self.narrowed(|bounds| bounds.at_most(max)),
                }
            }

            /// From a number to the largest.
            pub(super) fn at_least(self, kind: RangeKind, min: $u) -> Self {
                match kind {
                    RangeKind::Circular => Self::Arc(self.arc().intersect($arc::unsigned(min, $u::MAX))),
                    RangeKind::MinMax => self.narrowed(|bounds| bounds.at_least(min)),
                }
            }

            /// From the smallest signed number to another.
            pub(super) fn at_most_signed(self, kind: RangeKind, max: $s) -> Self {
                match kind {
                    RangeKind::Circular => Self::Arc(self.arc().intersect($arc::signed($s::MIN, max))),
                    RangeKind::MinMax => self.narrowed(|bounds| bounds.at_most_signed(max)),
                }
            }

            /// From a signed number to the largest.
            pub(super) fn at_least_signed(self, kind: RangeKind, min: $s) -> Self {
                match kind {
                    RangeKind::Circular => Self::Arc(self.arc().intersect($arc::signed(min, $s::MAX))),
                    RangeKind::MinMax => self.narrowed(|bounds| bounds.at_least_signed(min)),
                }
            }

            /// What known bits say: of a signed kind if the sign may be set, else unsigned.
            pub(super) fn with_tnum(self, kind: RangeKind, tnum: Tnum) -> Self {
                let (value, mask) = (tnum.value as $u, tnum.mask as $u);
                let sign = $s::MIN as $u;
                let (smin, smax) = ((value | mask & sign) as $s, (value | mask & !sign) as $s);
                match kind {
                    RangeKind::MinMax => self.narrowed(|bounds| {
                        bounds.narrow(value, value | mask);
                        bounds.narrow_signed(smin, smax);
                    }),
                    RangeKind::Circular => {
                        let arc = if (value | mask) & sign != 0 {
                            $arc::signed(smin, smax)
                        } else {
                            $arc::unsigned(value, value | mask)
                        };
                        Self::Arc(self.arc().intersect(arc))
                    }
                }
            }

            pub(super) fn add(self, kind: RangeKind, other: Self, wrapping: bool) -> Self {
                if kind == RangeKind::Circular {
                    return Self::Arc(self.arc().add(other.arc()));
                }
                let (a, b) = (self.bounds(), other.bounds());
                let (umin, umin_wraps) = a.umin.overflowing_add(b.umin);
                let (umax, umax_wraps) = a.umax.overflowing_add(b.umax);
                let (smin, smax) = (a.smin.checked_add(b.smin), a.smax.checked_add(b.smax));
                Self::sum(umin, umax, !umin_wraps && !umax_wraps || wrapping && umin_wraps, smin, smax)
            }

            pub(super) fn sub(self, kind: RangeKind, other: Self, wrapping: bool) -> Self {
                if kind == RangeKind::Circular {
                    return Self::Arc(self.arc().add(other.arc().neg()));
                }
                let (a, b) = (self.bounds(), other.bounds());
                let (umin, umin_wraps) = a.umin.overflowing_sub(b.umax);
                let (umax, umax_wraps) = a.umax.overflowing_sub(b.umin);
                let (smin, smax) = (a.smin.checked_sub(b.smax), a.smax.checked_sub(b.smin));
                Self::sum(umin, umax, !umin_wraps || wrapping && umax_wraps, smin, smax)
            }

            fn sum(umin: $u, umax: $u, unsigned: bool, smin: Option<$s>, smax: Option<$s>) -> Self {
                let (umin, umax) = if unsigned { (umin, umax) } else { (0, $u::MAX) };
                let (smin, smax) = smin.zip(smax).unwrap_or(($s::MIN, $s::MAX));
                Self::Bounds($bounds { umin, umax, smin, smax })
            }

            pub(super) fn mul(self, kind: RangeKind, other: Self, signed: bool) -> Self {
                let (a, b) = (self.bounds(), other.bounds());
                if !signed {
                    // Products of half the width cannot overflow.
                    let half = $u::MAX >> ($u::BITS / 2);
                    if a.smin < 0 || b.smin < 0 || a.umax > half || b.umax > half {
                        return Self::FULL;
                    }
                    return Self::unsigned_product(
                        kind,
                        a.umin.wrapping_mul(b.umin),
                        a.umax.wrapping_mul(b.umax),
                    );
                }
                let mut product = $bounds::FULL;
                if let (Some(umin), Some(umax)) = (a.umin.checked_mul(b.umin), a.umax.checked_mul(b.umax)) {
                    (product.umin, product.umax) = (umin, umax);
                }
                if let (Some(one), Some(two), Some(three), Some(four)) = (
                    a.smin.checked_mul(b.smin),
                    a.smin.checked_mul(b.smax),
                    a.smax.checked_mul(b.smin),
                    a.smax.checked_mul(b.smax),
                ) {
                    product.smin = one.min(two).min(three).min(four);
                    product.smax = one.max(two).max(three).max(four);
                }
                Self::both(kind, product)
            }

            fn unsigned_product(kind: RangeKind, umin: $u, umax: $u) -> Self {
                if umax > $s::MAX as $u {
                    Self::unsigned(kind, umin, umax)
                } else {
                    Self::one_sign(kind, umin as $s, umax as $s)
                }
            }

            /// The quotient by a constant that is not 0.
            pub(super) fn udiv(self, kind: RangeKind, by: $u) -> Self {
                let a = self.bounds();
                Self::unsigned(kind, a.umin.checked_div(by).unwrap_or(0), a.umax.checked_div(by).unwrap_or(0))
            }

            /// The signed quotient by a constant that is not 0. The smallest number by -1 is itself.
            pub(super) fn sdiv(self, kind: RangeKind, by: $s) -> Self {
                let $bounds { smin, smax, .. } = self.bounds();
                if by == -1 && smin == $s::MIN {
                    return Self::signed(kind, smin, if smax == smin { smin } else { $s::MAX });
                }
                let (one, two) = (smin.wrapping_div(by), smax.wrapping_div(by));
                Self::signed(kind, one.min(two), one.max(two))
            }

            /// The remainder by a constant that is not 0; `None` if it is what it was.
            pub(super) fn umod(self, kind: RangeKind, by: $u) -> Option<Self> {
                let most = by.wrapping_sub(1);
                let umax = self.bounds().umax;
                (umax > most).then(|| Self::unsigned(kind, 0, umax.min(most)))
            }

            /// The signed remainder by a constant that is not 0; `None` if it is what it was.
            pub(super) fn smod(self, kind: RangeKind, by: $s) -> Option<Self> {
                let most = by.unsigned_abs().wrapping_sub(1) as $s;
                let $bounds { smin, smax, .. } = self.bounds();
                if smin >= -most && smax <= most {
                    return None;
                }
                Some(if smin >= 0 {
                    Self::signed(kind, 0, smax.min(most))
                } else if smax <= 0 {
                    Self::signed(kind, smin.max(-most), 0)
                } else {
                    Self::signed(kind, -most, most)
                })
            }

            /// Every number of the other is in this.
            pub(super) fn contains(&self, other: &Self) -> bool {
                match (self, other) {
                    (Self::Arc(arc), Self::Arc(other)) => arc.contains_all(*other),
                    _ => {
                        let (a, b) = (self.bounds(), other.bounds());
                        a.umin <= b.umin && a.umax >= b.umax && a.smin <= b.smin && a.smax >= b.smax
                    }
                }
            }

            /// A number is in it.
            pub(super) fn has(&self, number: $u) -> bool {
                match self {
                    Self::Bounds(bounds) => {
                        (bounds.umin..=bounds.umax).contains(&number)
                            && (bounds.smin..=bounds.smax).contains(&(number as $s))
                    }
                    Self::Arc(arc) => arc.contains(number),
                }
            }
        }
    };
}

span!(Span64, Bounds64, Arc64, u64, i64);
span!(Span32, Bounds32, Arc32, u32, i32);

impl Span32 {
    /// What the range of a register says of its lower half, as arcs.
    pub(super) fn with_low_of(self, whole: Span64) -> Self {
        let whole = whole.arc();
        let low = if whole.is_empty() {
            Arc32::EMPTY
        } else if whole.size >= u32::MAX.into() {
            Arc32::FULL
        } else {
            Arc32 { base: whole.base as u32, size: whole.size as u32 }
        };
        Self::Arc(self.arc().intersect(low))
    }
}

impl Span64 {
    /// What the range of the lower half says of a register, as arcs: where the ends of the register's have no member with such
    /// a half, they move inwards to the next one that has.
    pub(super) fn with_low(self, low: Span32) -> Self {
        let (whole, low) = (self.arc(), low.arc());
        if whole.is_empty() || low.is_empty() {
            return Self::Arc(Arc64::EMPTY);
        }
        // Both seen from the start of the register's.
        let low = Arc32 { base: low.base.wrapping_sub(whole.base as u32), size: low.size };
        let (first, last) = (u64::from(low.base), low.end());
        let end = whole.size as u32;
        if low.wraps() {
            // The start is a member; the end is one unless it is in the gap.
            let past = if end > last && end < low.base { u64::from(end - last) } else { 0 };
            return Self::Arc(Arc64 { base: whole.base, size: whole.size.wrapping_sub(past) });
        }
        if whole.size < first {
            return Self::Arc(Arc64::EMPTY);
        }
        let size = whole.size - first;
        let past = if end < low.base {
            // Back to the end of the one before.
            u64::from(end) + (1 << 32) - u64::from(last)
        } else {
            u64::from(end.saturating_sub(last))
        };
        Self::Arc(match size.checked_sub(past) {
            Some(size) => Arc64 { base: whole.base.wrapping_add(first), size },
            None => Arc64::EMPTY,
        })
    }
}
