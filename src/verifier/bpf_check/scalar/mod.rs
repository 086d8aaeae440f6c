//! Numbers as the verifier knows them: bits and ranges, what instructions make of them and what branches say of them.
//!
//! Behaviour of kernel/bpf/verifier.c of 6.12, 7.2 and 7.3; in what they differ is in [`ScalarRules`].

mod alu;
mod branch;
mod rules;
mod span;
#[cfg(test)]
mod tests;

pub use alu::{Swap, alu, fork, neg, swap};
pub use branch::{Branch, Refined, branch, branch_of_one, branch_taken, flip, refine};
pub use rules::{Forks, RangeKind, ScalarRules};

use super::tnum::Tnum;
use span::{Bounds32, Bounds64, Span32, Span64};
use std::fmt;

/// What is known of the number in a register or stack slot (`var_off` and the ranges of `struct bpf_reg_state`).
///
/// Two of them are equal if the kernel's are, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scalar {
    var_off: Tnum,
    r64: Span64,
    r32: Span32,
}

impl Scalar {
    /// Nothing is known.
    pub const fn unknown() -> Self {
        Self { var_off: Tnum::UNKNOWN, r64: Span64::FULL, r32: Span32::FULL }
    }

    /// One number.
    pub const fn known(number: u64) -> Self {
        Self { var_off: Tnum::const_(number), r64: Span64::one(number), r32: Span32::one(number as u32) }
    }

    /// 0.
    pub const fn zero() -> Self {
        Self::known(0)
    }

    /// What is known of its bits.
    pub const fn var_off(&self) -> Tnum {
        self.var_off
    }

    /// The smallest number, unsigned.
    pub const fn umin(&self) -> u64 {
        self.r64.bounds().umin
    }

    /// The largest number, unsigned.
    pub const fn umax(&self) -> u64 {
        self.r64.bounds().umax
    }

    /// The smallest number, signed.
    pub const fn smin(&self) -> i64 {
        self.r64.bounds().smin
    }

    /// The largest number, signed.
    pub const fn smax(&self) -> i64 {
        self.r64.bounds().smax
    }

    /// The smallest lower half, unsigned.
    pub const fn u32_min(&self) -> u32 {
        self.r32.bounds().umin
    }

    /// The largest lower half, unsigned.
    pub const fn u32_max(&self) -> u32 {
        self.r32.bounds().umax
    }

    /// The smallest lower half, signed.
    pub const fn s32_min(&self) -> i32 {
        self.r32.bounds().smin
    }

    /// The largest lower half, signed.
    pub const fn s32_max(&self) -> i32 {
        self.r32.bounds().smax
    }

    /// The number, if its bits are known (`tnum_is_const`).
    pub const fn constant(&self) -> Option<u64> {
        if self.var_off.is_const() { Some(self.var_off.value) } else { None }
    }

    /// The lower half, if its bits are known (`tnum_subreg_is_const`).
    pub const fn constant32(&self) -> Option<u32> {
        if self.var_off.subreg_is_const() { Some(self.var_off.value as u32) } else { None }
    }

    /// Nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::unknown()
    }

    /// The constant of a comparison of that width (`is_reg_const`, `reg_const_value`).
    pub(super) const fn constant_of(&self, wide: bool) -> Option<u64> {
        match (wide, self.constant32()) {
            (true, _) => self.constant(),
            (false, Some(low)) => Some(low as u64),
            (false, None) => None,
        }
    }

    /// A range has no number left, or bits and bounds of a known number differ: what `adjust_ptr_min_max_vals` taints the
    /// pointer for.
    pub fn is_ill_formed(&self) -> bool {
        let Bounds64 { umin, umax, smin, smax } = self.r64.bounds();
        umin > umax || smin > smax || self.var_off.is_const() && (umin != umax || smin != smax)
    }

    /// No number is left in a range (`range_bounds_violation`).
    pub fn is_contradictory(&self) -> bool {
        self.r64.is_empty() || self.r32.is_empty()
    }

    /// The ranges given up if they contradict each other or the bits (`reg_bounds_sanity_check`), which the kernel does after
    /// arithmetic, a branch and a few helpers.
    pub fn checked(mut self) -> Self {
        let agrees = !self.is_contradictory()
            && (!self.var_off.is_const() || self.r64.is(self.var_off.value))
            && self.constant32().is_none_or(|low| self.r32.is(low));
        if !agrees {
            self.give_up_ranges();
        }
        self
    }

    /// Nothing is known but the bits (`__mark_reg_unbounded`).
    pub(super) fn give_up_ranges(&mut self) {
        self.r64 = Span64::FULL;
        self.r32 = Span32::FULL;
    }

    /// One concrete number is possible.
    pub fn has(&self, number: u64) -> bool {
        self.var_off.has(number) && self.r64.has(number) && self.r32.has(number as u32)
    }

    /// Every number of `current` is in `self` by each of its parts (`range_within` and `tnum_in`): what pruning asks of the old
    /// state's number.
    pub fn contains(&self, current: &Self) -> bool {
        self.r64.contains(&current.r64)
            && self.r32.contains(&current.r32)
            && self.var_off.contains(current.var_off)
    }

    /// The ranges alone hold those of `current` (`range_within`).
    pub fn range_within(&self, current: &Self) -> bool {
        self.r64.contains(&current.r64) && self.r32.contains(&current.r32)
    }

    /// The lower half is a number (`__mark_reg32_known`).
    pub(super) fn set_low(&mut self, low: u32) {
        self.var_off = self.var_off.const_subreg(low);
        self.r32 = Span32::one(low);
    }

    /// Ranges learn from the bits (`__update_reg_bounds`).
    pub(super) fn learn_from_bits(&mut self, rules: &ScalarRules) {
        self.learn_low_from_bits(rules);
        self.r64 = self.r64.with_tnum(rules.kind, self.var_off);
        if !rules.tnum_step {
            return;
        }
        // If just one number has both those bits and that range, it is that one.
        let Bounds64 { umin, umax, .. } = self.r64.bounds();
        let next = self.var_off.step(umin);
        let only = if self.var_off.has(umin) {
            (next > umax).then_some(umin)
        } else if next == self.var_off.max() || next <= umax && self.var_off.step(next) > umax {
            Some(next)
        } else {
            None
        };
        if let Some(number) = only {
            *self = Self::known(number);
        }
    }

    /// The range of the lower half learns from the bits (`__update_reg32_bounds`).
    pub(super) fn learn_low_from_bits(&mut self, rules: &ScalarRules) {
        self.r32 = self.r32.with_tnum(rules.kind, self.var_off);
    }

    /// Ranges and bits learn from each other (`reg_bounds_sync`).
    pub fn sync(&mut self, rules: &ScalarRules) {
        if rules.simulates && self.is_contradictory() {
            return;
        }
        self.learn_from_bits(rules);
        match rules.kind {
            RangeKind::Circular => {
                for _ in 0..rules.rounds {
                    self.r32 = self.r32.with_low_of(self.r64);
                    self.r64 = self.r64.with_low(self.r32);
                }
            }
            RangeKind::MinMax => {
                let (mut r64, mut r32) = (self.r64.bounds(), self.r32.bounds());
                for _ in 0..rules.rounds {
                    low_learns_from_whole(&mut r32, &r64);
                    r32.share(rules.crosses_sign32);
                    r64.share(rules.crosses_sign64);
                    whole_learns_from_low(&mut r64, &r32, &mut self.var_off);
                }
                self.r64 = Span64::Bounds(r64);
                self.r32 = Span32::Bounds(r32);
            }
        }
        self.bits_learn_from_ranges();
        self.learn_from_bits(rules);
    }

    /// Bits that all numbers of the unsigned ranges share (`__reg_bound_offset`).
    fn bits_learn_from_ranges(&mut self) {
        let Bounds64 { umin, umax, .. } = self.r64.bounds();
        let whole = self.var_off.intersect(Tnum::range(umin, umax));
        let Bounds32 { umin, umax, .. } = self.r32.bounds();
        let low = whole.subreg().intersect(Tnum::range(umin.into(), umax.into()));
        self.var_off = whole.clear_subreg().or(low);
    }

    /// The lower half, with 0 above (`zext_32_to_64`, before `reg_bounds_sync`).
    pub(super) fn zero_extend(&mut self, rules: &ScalarRules) {
        self.var_off = self.var_off.subreg();
        let Bounds32 { umin, umax, smin, smax } = self.r32.bounds();
        let (low, high) = (u64::from(umin), u64::from(umax));
        self.r64 = match rules.kind {
            RangeKind::Circular => Span64::unsigned(rules.kind, low, high),
            RangeKind::MinMax => {
                let (smin, smax) =
                    if smin >= 0 && smax >= 0 { (smin.into(), smax.into()) } else { (0, u32::MAX.into()) };
                Span64::Bounds(Bounds64 { umin: low, umax: high, smin, smax })
            }
        };
    }

    /// A 32-bit move: the lower half, with 0 above.
    #[must_use]
    pub fn mov32(mut self, rules: &ScalarRules) -> Self {
        self.zero_extend(rules);
        self.sync(rules);
        self.checked()
    }

    /// A sign-extending move of the lowest 1, 2 or 4 bytes to 64 bits, or to 32 with 0 above.
    #[must_use]
    pub fn mov_sign_extended(self, bytes: u8, wide: bool, rules: &ScalarRules) -> Self {
        if wide {
            return self.sign_extended(bytes, rules).checked();
        }
        let mut result = self;
        result.sign_extend_low(bytes, rules);
        result.mov32(rules)
    }

    /// What a load of 1, 2 or 4 bytes leaves of a value, with 0 above (`coerce_reg_to_size`). 8 bytes are all of it.
    #[must_use]
    pub fn truncated(mut self, bytes: u8, rules: &ScalarRules) -> Self {
        if bytes >= 8 {
            return self;
        }
        let keep = (1u64 << (bytes * 8)) - 1;
        self.var_off = self.var_off.cast(bytes);
        let Bounds64 { umin, umax, .. } = self.r64.bounds();
        let (low, high) = if umin & !keep == umax & !keep { (umin & keep, umax & keep) } else { (0, keep) };
        self.r64 = Span64::one_sign(rules.kind, low as i64, high as i64);
        if bytes < 4 {
            self.r32 = Span32::FULL;
        }
        self.sync(rules);
        self
    }

    /// What a sign-extending load of 1, 2 or 4 bytes leaves of a value (`coerce_reg_to_size_sx`).
    #[must_use]
    pub fn sign_extended(mut self, bytes: u8, rules: &ScalarRules) -> Self {
        if bytes >= 8 {
            return self;
        }
        let shift = 64 - u32::from(bytes) * 8;
        let extend = |number: i64| number << shift >> shift;
        if let Some(number) = self.constant() {
            return Self::known(extend(number as i64) as u64);
        }
        let Bounds64 { smin, smax, .. } = self.r64.bounds();
        let (one, two) = (extend(smax), extend(smin));
        if smin >> (bytes * 8) == smax >> (bytes * 8) && (one >= 0) == (two >= 0) {
            let (low, high) = (one.min(two), one.max(two));
            self.r64 = Span64::one_sign(rules.kind, low, high);
            self.r32 = Span32::one_sign(rules.kind, low as i32, high as i32);
            self.var_off = Tnum::range(low as u64, high as u64);
        } else {
            let (low, high) = (i64::MIN >> shift, i64::MAX >> shift);
            self.r64 = Span64::signed(rules.kind, low, high);
            self.r32 = Span32::signed(rules.kind, low as i32, high as i32);
            self.var_off = Tnum::UNKNOWN;
        }
        self
    }

    /// The lower half becomes its lowest 1 or 2 bytes, extended by their sign (`coerce_subreg_to_size_sx`); the upper half is
    /// to be cleared.
    fn sign_extend_low(&mut self, bytes: u8, rules: &ScalarRules) {
        let shift = 32 - u32::from(bytes.min(4)) * 8;
        let extend = |number: i32| number << shift >> shift;
        if let Some(number) = self.constant() {
            let low = extend(number as i32);
            self.var_off = Tnum::const_(i64::from(low) as u64);
            self.r32 = Span32::one(low as u32);
            return;
        }
        let Bounds32 { smin, smax, .. } = self.r32.bounds();
        let (one, two) = (extend(smax), extend(smin));
        if shift == 0 || smin >> (32 - shift) == smax >> (32 - shift) && (one >= 0) == (two >= 0) {
            let (low, high) = (one.min(two), one.max(two));
            self.r32 = Span32::one_sign(rules.kind, low, high);
            self.var_off = Tnum::range(i64::from(low) as u64, i64::from(high) as u64).subreg();
        } else {
            self.r32 = Span32::signed(rules.kind, i32::MIN >> shift, i32::MAX >> shift);
            self.var_off = Tnum::UNKNOWN.subreg();
        }
    }

    /// A number added, as to registers that are linked to one that a branch says something of (`sync_linked_regs`); with 0
    /// above if the link is one of lower halves.
    #[must_use]
    pub fn linked(mut self, delta: i64, low: bool, rules: &ScalarRules) -> Self {
        self.plus(Self::known(delta as u64), rules);
        if low {
            self.zero_extend(rules);
        }
        self.sync(rules);
        self
    }

    /// A number added.
    #[must_use]
    pub fn add_const(self, number: i64, rules: &ScalarRules) -> Self {
        self.linked(number, false, rules)
    }

    /// A sum, before `reg_bounds_sync`.
    pub(super) fn plus(&mut self, other: Self, rules: &ScalarRules) {
        self.r32 = self.r32.add(rules.kind, other.r32, rules.wrapping_sums);
        self.r64 = self.r64.add(rules.kind, other.r64, rules.wrapping_sums);
        self.var_off = self.var_off.add(other.var_off);
    }

    /// A difference, before `reg_bounds_sync`.
    pub(super) fn minus(&mut self, other: Self, rules: &ScalarRules) {
        self.r32 = self.r32.sub(rules.kind, other.r32, rules.wrapping_sums);
        self.r64 = self.r64.sub(rules.kind, other.r64, rules.wrapping_sums);
        self.var_off = self.var_off.sub(other.var_off);
    }

    /// The offset of a pointer, a number added: as a sum, but lower halves are not followed, and pairs of bounds are
    /// given up on any overflow (`adjust_ptr_min_max_vals`). Not yet in sync: the kernel looks at it before
    /// (`check_reg_sane_offset`).
    #[must_use]
    pub fn offset_plus(self, number: &Self, rules: &ScalarRules) -> Self {
        Self {
            var_off: self.var_off.add(number.var_off),
            r64: self.r64.add(rules.kind, number.r64, false),
            r32: Span32::FULL,
        }
    }

    /// The offset of a pointer, a number subtracted.
    #[must_use]
    pub fn offset_minus(self, number: &Self, rules: &ScalarRules) -> Self {
        Self {
            var_off: self.var_off.sub(number.var_off),
            r64: self.r64.sub(rules.kind, number.r64, false),
            r32: Span32::FULL,
        }
    }

    /// The offset of a packet pointer that keeps its range: only the lower half learns from the bits (7.3).
    #[must_use]
    pub fn low_in_sync(mut self, rules: &ScalarRules) -> Self {
        self.learn_low_from_bits(rules);
        self
    }

    /// The same in sync.
    #[must_use]
    pub fn in_sync(mut self, rules: &ScalarRules) -> Self {
        self.sync(rules);
        self
    }

    /// Some signed 32-bit number from the one to the other, and what was known of it (`__mark_reg_s32_range`).
    #[must_use]
    pub fn within_s32(mut self, min: i32, max: i32, rules: &ScalarRules) -> Self {
        match rules.kind {
            RangeKind::MinMax => {
                self.r32 = self.r32.narrowed(|bounds| bounds.narrow_signed(min, max));
                self.r64 = self.r64.narrowed(|bounds| bounds.narrow_signed(min.into(), max.into()));
            }
            RangeKind::Circular => {
                let (low, whole) = (self.r32.bounds(), self.r64.bounds());
                self.r32 = Span32::signed(rules.kind, low.smin.max(min), low.smax.min(max));
                self.r64 = Span64::signed(rules.kind, whole.smin.max(min.into()), whole.smax.min(max.into()));
            }
        }
        self.sync(rules);
        self.checked()
    }

    /// The signed bounds of both widths are set to these, whatever they were, and the number is in sync again
    /// (`do_refine_retval_range` of helpers that return a length or an error).
    #[must_use]
    pub fn with_signed_bounds(mut self, min: i64, max: i64, rules: &ScalarRules) -> Self {
        let (low_min, low_max) = (min as i32, max as i32);
        match rules.kind {
            RangeKind::MinMax => {
                self.r32 = self.r32.narrowed(|bounds| (bounds.smin, bounds.smax) = (low_min, low_max));
                self.r64 = self.r64.narrowed(|bounds| (bounds.smin, bounds.smax) = (min, max));
            }
            RangeKind::Circular => {
                self.r32 = Span32::signed(rules.kind, low_min, low_max);
                self.r64 = Span64::signed(rules.kind, min, max);
            }
        }
        self.sync(rules);
        self.checked()
    }

    /// Some number from 0 to another below 2^31 (`do_refine_retval_range` of `bpf_get_smp_processor_id`, for example).
    pub fn up_to(max: u32, rules: &ScalarRules) -> Self {
        let mut number = Self::unknown();
        number.r64 = Span64::unsigned_and_signed(rules.kind, 0, max.into());
        number.r32 = Span32::unsigned_and_signed(rules.kind, 0, max);
        number.sync(rules);
        number.checked()
    }
}

/// Bounds of the lower half by those of the whole: where its upper half does not change, or changes once from one negative lower
/// half to one that is not.
fn low_learns_from_whole(low: &mut Bounds32, whole: &Bounds64) {
    let Bounds64 { umin, umax, smin, smax } = *whole;
    if umin >> 32 == umax >> 32 {
        low.narrow(umin as u32, umax as u32);
        if umin as i32 <= umax as i32 {
            low.narrow_signed(umin as i32, umax as i32);
        }
    }
    if smin >> 32 == smax >> 32 {
        if smin as u32 <= smax as u32 {
            low.narrow(smin as u32, smax as u32);
        }
        if smin as i32 <= smax as i32 {
            low.narrow_signed(smin as i32, smax as i32);
        }
    }
    for (min, max) in [(umin, umax), (smin as u64, smax as u64)] {
        if ((min >> 32) as u32).wrapping_add(1) == (max >> 32) as u32 && (min as i32) < 0 && max as i32 >= 0 {
            low.narrow_signed(min as i32, max as i32);
        }
    }
}

/// Bounds of the whole by those of the lower half: each end takes the lower half's.
fn whole_learns_from_low(whole: &mut Bounds64, low: &Bounds32, var_off: &mut Tnum) {
    let mut learn = |min: u32, max: u32| {
        let end = |bound: u64, half: u32| bound & !u64::from(u32::MAX) | u64::from(half);
        whole.narrow(end(whole.umin, min), end(whole.umax, max));
        let (smin, smax) = (end(whole.smin as u64, min), end(whole.smax as u64, max));
        whole.narrow_signed(smin as i64, smax as i64);
    };
    learn(low.umin, low.umax);
    if low.smin as u32 <= low.smax as u32 {
        learn(low.smin as u32, low.smax as u32);
    }
    // A number that was extended by its sign, and whose lower half is not negative, is its lower half.
    if low.smin >= 0 && whole.smin >= i32::MIN.into() && whole.smax <= i32::MAX.into() {
        (whole.smin, whole.smax) = (low.smin.into(), low.smax.into());
        // The upper bound is negative only where none is left.
        (whole.umin, whole.umax) = (whole.smin as u64, whole.smax as u64);
        *var_off = var_off.intersect(Tnum::range(whole.umin, whole.umax));
    }
}

impl Scalar {
    /// The ranges and bits as the log prints them in a state, without what is unbounded: `smin=0,smax=umax=255`.
    fn write_parts(&self, f: &mut fmt::Formatter<'_>, signed_tnum: bool) -> fmt::Result {
        let (whole, low) = (self.r64.bounds(), self.r32.bounds());
        // Hex digits of 32-bit numbers are not extended.
        let low_signed = |number: i32| match number {
            -0x8000..=0x7fff => i64::from(number) as u64,
            _ => u64::from(number as u32),
        };
        let mut all = [
            ("smin", whole.smin as u64, whole.smin == i64::MIN),
            ("smax", whole.smax as u64, whole.smax == i64::MAX),
            ("umin", whole.umin, whole.umin == 0),
            ("umax", whole.umax, whole.umax == u64::MAX),
            ("smin32", low_signed(low.smin), low.smin == i32::MIN),
            ("smax32", low_signed(low.smax), low.smax == i32::MAX),
            ("umin32", low.umin.into(), low.umin == 0),
            ("umax32", low.umax.into(), low.umax == u32::MAX),
        ];
        let negative = |name: &str, number: u64| name.starts_with('s') && (number as i64) < 0;
        let mut sep = "";
        for at in 0..all.len() {
            let (name, number, omit) = all[at];
            if omit {
                continue;
            }
            write!(f, "{sep}{name}=")?;
            sep = ",";
            // Minima at even places, maxima at odd ones.
            for other in all.iter_mut().skip(at + 2).step_by(2) {
                if !other.2 && other.1 == number && negative(other.0, number) == negative(name, number) {
                    other.2 = true;
                    write!(f, "{}=", other.0)?;
                }
            }
            match number as i64 {
                small @ -0x8000..=0x7fff if name.starts_with('s') => write!(f, "{small}")?,
                small @ 0..=0xffff if name.starts_with('u') => write!(f, "{small}")?,
                _ => write!(f, "{number:#x}")?,
            }
        }
        if !self.var_off.is_unknown() {
            write!(f, "{sep}var_off={}", self.var_off.display(signed_tnum))?;
        }
        Ok(())
    }
}

/// As the log prints it in a state, without precision, id and type flags.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.constant().map(|number| number as i64) {
            Some(small @ -0x8000..=0x7fff) => write!(f, "{small}"),
            Some(number) => write!(f, "{number:#x}"),
            None => {
                f.write_str("scalar(")?;
                self.write_parts(f, true)?;
                f.write_str(")")
            }
        }
    }
}
