//! Tracked numbers: what is known of each bit of a 64-bit value.
//!
//! Behaviour of kernel/bpf/tnum.c of 6.12, 7.2 and 7.3; multiplication and addition as in "Sound, Precise, and Fast Abstract
//! Interpretation with Tristate Numbers" (<https://arxiv.org/abs/2105.05398>).

use std::fmt;

/// Bits that are known, and bits that are not. A bit set in `mask` is unknown, and then 0 in `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tnum {
    /// The known bits.
    pub value: u64,
    /// The unknown bits.
    pub mask: u64,
}

/// The lower half of a register.
const LOW: u64 = u32::MAX as u64;

impl Tnum {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { value: 0, mask: u64::MAX };

    /// One value.
    pub const fn const_(value: u64) -> Self {
        Self { value, mask: 0 }
    }

    /// Every bit is known.
    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// No bit is known.
    pub const fn is_unknown(self) -> bool {
        self.mask == u64::MAX && self.value == 0
    }

    /// One value, and that.
    pub const fn equals(self, value: u64) -> bool {
        self.is_const() && self.value == value
    }

    /// The smallest member.
    pub const fn min(self) -> u64 {
        self.value
    }

    /// The largest member.
    pub const fn max(self) -> u64 {
        self.value | self.mask
    }

    /// A number is a member.
    pub const fn has(self, number: u64) -> bool {
        number & !self.mask == self.value
    }

    /// The bits that all numbers of a range share.
    pub const fn range(min: u64, max: u64) -> Self {
        // All bits from the highest that differs.
        let mask = match (min ^ max).leading_zeros() {
            64 => 0,
            same => u64::MAX >> same,
        };
        Self { value: min & !mask, mask }
    }

    /// Bits that come of a sum that may carry: those known in `value`, without the unknown ones.
    const fn of(value: u64, mask: u64) -> Self {
        Self { value: value & !mask, mask }
    }

    /// Shifted left, zeros moving in.
    pub const fn lshift(self, shift: u8) -> Self {
        match shift {
            0..64 => Self { value: self.value << shift, mask: self.mask << shift },
            _ => Self::const_(0),
        }
    }

    /// Shifted right, zeros moving in.
    pub const fn rshift(self, shift: u8) -> Self {
        match shift {
            0..64 => Self { value: self.value >> shift, mask: self.mask >> shift },
            _ => Self::const_(0),
        }
    }

    /// Shifted right, the sign moving in; of the lower half if not `wide`.
    pub const fn arshift(self, shift: u8, wide: bool) -> Self {
        if wide {
            let shift = if shift > 63 { 63 } else { shift };
            Self { value: (self.value as i64 >> shift) as u64, mask: (self.mask as i64 >> shift) as u64 }
        } else {
            let shift = if shift > 31 { 31 } else { shift };
            Self {
                value: (self.value as i32 >> shift) as u32 as u64,
                mask: (self.mask as i32 >> shift) as u32 as u64,
            }
        }
    }

    /// A sum.
    pub const fn add(self, other: Self) -> Self {
        let least = self.value.wrapping_add(other.value);
        let most = least.wrapping_add(self.mask.wrapping_add(other.mask));
        Self::of(least, (least ^ most) | self.mask | other.mask)
    }

    /// A difference.
    pub const fn sub(self, other: Self) -> Self {
        let known = self.value.wrapping_sub(other.value);
        let (most, least) = (known.wrapping_add(self.mask), known.wrapping_sub(other.mask));
        Self::of(known, (most ^ least) | self.mask | other.mask)
    }

    /// The negative.
    pub const fn neg(self) -> Self {
        Self::const_(0).sub(self)
    }

    /// Bits of both.
    pub const fn and(self, other: Self) -> Self {
        let value = self.value & other.value;
        Self { value, mask: self.max() & other.max() & !value }
    }

    /// Bits of either.
    pub const fn or(self, other: Self) -> Self {
        let value = self.value | other.value;
        Self { value, mask: (self.mask | other.mask) & !value }
    }

    /// Bits of one.
    pub const fn xor(self, other: Self) -> Self {
        Self::of(self.value ^ other.value, self.mask | other.mask)
    }

    /// A product, as kernels multiply since "bpf: Improve the general precision of tnum_mul" (in
    /// v6.18): an unknown bit leaves the sum as it is, or adds to it.
    pub const fn mul(mut self, mut other: Self) -> Self {
        let mut sum = Self::const_(0);
        while self.value != 0 || self.mask != 0 {
            if self.value & 1 != 0 {
                sum = sum.add(other);
            } else if self.mask & 1 != 0 {
                sum = sum.union(sum.add(other));
            }
            self = self.rshift(1);
            other = other.lshift(1);
        }
        sum
    }

    /// A product, as kernels multiplied before: the known parts apart from the unknown ones.
    pub const fn mul_by_parts(mut self, mut other: Self) -> Self {
        let known = Self::const_(self.value.wrapping_mul(other.value));
        let mut unknown = Self::const_(0);
        while self.value != 0 || self.mask != 0 {
            if self.value & 1 != 0 {
                unknown = unknown.add(Self { value: 0, mask: other.mask });
            } else if self.mask & 1 != 0 {
                unknown = unknown.add(Self { value: 0, mask: other.max() });
            }
            self = self.rshift(1);
            other = other.lshift(1);
        }
        known.add(unknown)
    }

    /// They may be equal: no bit is known to differ.
    pub const fn overlap(self, other: Self) -> bool {
        (self.value ^ other.value) & !self.mask & !other.mask == 0
    }

    /// Members of both; a bit in which they differ comes out as 1.
    pub const fn intersect(self, other: Self) -> Self {
        Self::of(self.value | other.value, self.mask & other.mask)
    }

    /// Members of either, and as few more as can be.
    pub const fn union(self, other: Self) -> Self {
        let mask = (self.value ^ other.value) | self.mask | other.mask;
        Self::of(self.value & other.value, mask)
    }

    /// The lowest bytes, the others 0.
    pub const fn cast(self, bytes: u8) -> Self {
        let keep = match bytes {
            0..8 => (1 << (bytes * 8)) - 1,
            _ => u64::MAX,
        };
        Self { value: self.value & keep, mask: self.mask & keep }
    }

    /// Every member is a multiple of a power of two.
    pub const fn is_aligned(self, size: u64) -> bool {
        size == 0 || self.max() & (size - 1) == 0
    }

    /// Every member of `other` is one of this (the kernel's `tnum_in`).
    pub const fn contains(self, other: Self) -> bool {
        other.mask & !self.mask == 0 && other.value & !self.mask == self.value
    }

    /// The lower half, the upper 0.
    pub const fn subreg(self) -> Self {
        Self { value: self.value & LOW, mask: self.mask & LOW }
    }

    /// The upper half, the lower 0.
    pub const fn clear_subreg(self) -> Self {
        Self { value: self.value & !LOW, mask: self.mask & !LOW }
    }

    /// The upper half with another lower one.
    pub const fn with_subreg(self, subreg: Self) -> Self {
        self.clear_subreg().or(subreg.subreg())
    }

    /// The upper half with a known lower one.
    pub const fn const_subreg(self, value: u32) -> Self {
        self.with_subreg(Self::const_(value as u64))
    }

    /// The lower half is known.
    pub const fn subreg_is_const(self) -> bool {
        self.mask & LOW == 0
    }

    /// The lowest two bytes swapped, the others 0.
    pub const fn bswap16(self) -> Self {
        Self { value: (self.value as u16).swap_bytes() as u64, mask: (self.mask as u16).swap_bytes() as u64 }
    }

    /// The lowest four bytes swapped, the others 0.
    pub const fn bswap32(self) -> Self {
        Self { value: (self.value as u32).swap_bytes() as u64, mask: (self.mask as u32).swap_bytes() as u64 }
    }

    /// All bytes swapped.
    pub const fn bswap64(self) -> Self {
        Self { value: self.value.swap_bytes(), mask: self.mask.swap_bytes() }
    }

    /// The smallest member above a number; the largest member if there is none.
    pub const fn step(self, above: u64) -> u64 {
        if above >= self.max() {
            return self.max();
        }
        if above < self.value {
            return self.value;
        }
        // What the unknown bits have to exceed: known bits that are 1 here are too high already, so all below them start
        // over; then count up in the unknown bits alone.
        let over = above - self.value;
        let start_over = match (over & !self.mask).leading_zeros() {
            64 => 0,
            zeros => u64::MAX >> zeros,
        };
        self.value | ((over | start_over | !self.mask).wrapping_add(1) & self.mask)
    }

    /// As the log prints it; kernels differ in constants below 0, see [`ScalarRules::signed_tnum`](super::scalar::ScalarRules).
    pub fn display(self, signed: bool) -> impl fmt::Display {
        Shown { tnum: self, signed }
    }
}

/// A tnum as one kernel prints it.
struct Shown {
    tnum: Tnum,
    signed: bool,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tnum { value, mask } = self.tnum;
        match value as i64 {
            _ if mask != 0 => write!(f, "({value:#x}; {mask:#x})"),
            0..=0xffff => write!(f, "{value}"),
            small @ -0x8000..0 if self.signed => write!(f, "{small}"),
            _ => write!(f, "{value:#x}"),
        }
    }
}

/// As 7.3 prints it.
impl fmt::Display for Tnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.display(true).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All tnums of so many bits.
    fn all(bits: u32) -> impl Iterator<Item = Tnum> {
        let end = 1u64 << bits;
        (0..end).flat_map(move |mask| {
            (0..end).filter(move |value| value & mask == 0).map(move |value| Tnum { value, mask })
        })
    }

    fn members(tnum: Tnum) -> impl Iterator<Item = u64> {
        (0..=tnum.max()).filter(move |number| tnum.has(*number))
    }

    #[test]
    fn operations_keep_every_member() {
        for (a, b) in all(4).flat_map(|a| all(4).map(move |b| (a, b))) {
            for (x, y) in members(a).flat_map(|x| members(b).map(move |y| (x, y))) {
                assert!(a.add(b).has(x + y) && a.sub(b).has(x.wrapping_sub(y)), "{a} {b}");
                assert!(a.and(b).has(x & y) && a.or(b).has(x | y) && a.xor(b).has(x ^ y), "{a} {b}");
                assert!(a.mul(b).has(x * y) && a.mul_by_parts(b).has(x * y), "{a} {b}");
                assert!(a.union(b).has(x) && a.union(b).has(y), "{a} {b}");
                assert!(x != y || a.overlap(b) && a.intersect(b).has(x), "{a} {b}");
            }
            assert_eq!(a.contains(b), members(b).all(|y| a.has(y)), "{a} {b}");
        }
    }

    #[test]
    fn a_step_leads_to_the_next_member() {
        for (tnum, number) in all(5).flat_map(|tnum| (0..40).map(move |number| (tnum, number))) {
            let next = members(tnum).find(|member| *member > number).unwrap_or(tnum.max());
            assert_eq!(tnum.step(number), next, "{tnum} {number}");
        }
    }

    #[test]
    fn ranges_and_halves_are_what_they_say() {
        assert_eq!(Tnum::range(0, 255), Tnum { value: 0, mask: 0xff });
        assert_eq!(Tnum::range(0x10, 0x13), Tnum { value: 0x10, mask: 3 });
        assert_eq!(Tnum::range(7, 7), Tnum::const_(7));
        assert!(Tnum::range(0, u64::MAX).is_unknown());
        assert_eq!(Tnum::UNKNOWN.const_subreg(5), Tnum { value: 5, mask: !0 << 32 });
        assert_eq!(Tnum { value: 0x12, mask: 0xff00 }.bswap16(), Tnum { value: 0x1200, mask: 0xff });
        assert!(Tnum { value: 8, mask: 0xf0 }.is_aligned(8) && !Tnum { value: 4, mask: 0xf0 }.is_aligned(8));
    }

    #[test]
    fn it_is_printed_as_the_log_prints_it() {
        assert_eq!(Tnum::range(0, 255).to_string(), "(0x0; 0xff)");
        assert_eq!(Tnum::const_(65535).to_string(), "65535");
        assert_eq!(Tnum::const_(65536).to_string(), "0x10000");
        assert_eq!(Tnum::const_(u64::MAX).to_string(), "-1");
        assert_eq!(Tnum::const_(u64::MAX).display(false).to_string(), "0xffffffffffffffff");
    }
}
