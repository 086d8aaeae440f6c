//! What arithmetic makes of numbers.
//!
//! Behaviour of `adjust_scalar_min_max_vals` in kernel/bpf/verifier.c.

use super::span::{Bounds32, Bounds64, Span32, Span64};
use super::{Forks, RangeKind, Scalar, ScalarRules};
use crate::insn::AluOp;

/// What `BPF_END` does, on a little-endian machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Swap {
    /// `bswap`: swaps the bytes (`BPF_ALU64`).
    Always,
    /// `le`: keeps the lowest ones.
    ToLittle,
    /// `be`: swaps the bytes.
    ToBig,
}

/// `dst op src`, with 64 bits, or with the lower 32 and 0 above.
pub fn alu(op: AluOp, wide: bool, dst: Scalar, src: Scalar, rules: &ScalarRules) -> Scalar {
    if !is_computed(op, wide, &src, rules) {
        return Scalar::unknown();
    }
    let mut result = dst;
    match op {
        AluOp::Add => result.plus(src, rules),
        AluOp::Sub => result.minus(src, rules),
        AluOp::Mul => {
            result.var_off = if rules.tnum_mul_by_union {
                dst.var_off.mul(src.var_off)
            } else {
                dst.var_off.mul_by_parts(src.var_off)
            };
            result.r32 = dst.r32.mul(rules.kind, src.r32, rules.signed_products);
            result.r64 = dst.r64.mul(rules.kind, src.r64, rules.signed_products);
        }
        AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod => divide(&mut result, op, wide, &src, rules),
        AluOp::And | AluOp::Or | AluOp::Xor => bitwise(&mut result, op, &src, rules),
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
            let count = if wide { src.umin() } else { src.u32_min().into() };
            shift(&mut result, op, wide, count, rules);
        }
    }
    if !wide {
        result.zero_extend(rules);
    }
    result.sync(rules);
    result.checked()
}

/// The kernel follows this operation; else the result is unknown, also in its upper half (`is_safe_to_compute_dst_reg_range`).
fn is_computed(op: AluOp, wide: bool, src: &Scalar, rules: &ScalarRules) -> bool {
    let constant = || {
        if wide {
            let Bounds64 { umin, umax, smin, smax } = src.r64.bounds();
            src.var_off.is_const() && umin == umax && smin == smax
        } else {
            let Bounds32 { umin, umax, smin, smax } = src.r32.bounds();
            src.var_off.subreg_is_const() && umin == umax && smin == smax
        }
    };
    match op {
        AluOp::Add | AluOp::Sub | AluOp::Mul | AluOp::And | AluOp::Or | AluOp::Xor => true,
        AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod => rules.division && constant(),
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => constant() && src.umax() < if wide { 64 } else { 32 },
    }
}

/// A quotient or remainder by a constant; of the other width nothing is known then.
fn divide(result: &mut Scalar, op: AluOp, wide: bool, src: &Scalar, rules: &ScalarRules) {
    let by = if wide { src.umin() } else { src.u32_min().into() };
    if by == 0 {
        // x / 0 is 0, x % 0 is x.
        if matches!(op, AluOp::Div | AluOp::SDiv) {
            *result = Scalar::zero();
        }
        return;
    }
    let kind = rules.kind;
    if wide {
        let signed = by as i64;
        let range = match op {
            AluOp::Div => Some(result.r64.udiv(kind, by)),
            AluOp::SDiv => Some(result.r64.sdiv(kind, signed)),
            AluOp::SMod => result.r64.smod(kind, signed),
            _ => result.r64.umod(kind, by),
        };
        if let Some(r64) = range {
            *result = Scalar { r64, ..Scalar::unknown() };
        }
    } else {
        let (by, signed) = (by as u32, by as i32);
        let range = match op {
            AluOp::Div => Some(result.r32.udiv(kind, by)),
            AluOp::SDiv => Some(result.r32.sdiv(kind, signed)),
            AluOp::SMod => result.r32.smod(kind, signed),
            _ => result.r32.umod(kind, by),
        };
        if let Some(r32) = range {
            *result = Scalar { r32, ..Scalar::unknown() };
        }
    }
}

/// `&`, `|` and `^`: bits first, and the ranges by them.
fn bitwise(result: &mut Scalar, op: AluOp, src: &Scalar, rules: &ScalarRules) {
    let dst = *result;
    let bits = match op {
        AluOp::And => dst.var_off.and(src.var_off),
        AluOp::Or => dst.var_off.or(src.var_off),
        _ => dst.var_off.xor(src.var_off),
    };
    // Known bits may come of operands that are not, which the kernel looks at, not at the operands before.
    result.var_off = bits;
    if src.var_off.is_const() && bits.is_const() {
        *result = Scalar::known(bits.value);
        return;
    }
    if src.var_off.subreg_is_const() && bits.subreg_is_const() {
        result.set_low(bits.value as u32);
    } else {
        let (a, b) = (dst.r32.bounds(), src.r32.bounds());
        let low = bits.subreg();
        let (min, max) = match op {
            AluOp::And => (low.min() as u32, a.umax.min(b.umax)),
            AluOp::Or => (a.umin.max(b.umin), low.max() as u32),
            _ => (low.min() as u32, low.max() as u32),
        };
        result.r32 = Span32::unsigned_and_signed(rules.kind, min, max);
    }
    let (a, b) = (dst.r64.bounds(), src.r64.bounds());
    let (min, max) = match op {
        AluOp::And => (bits.min(), a.umax.min(b.umax)),
        AluOp::Or => (a.umin.max(b.umin), bits.max()),
        _ => (bits.min(), bits.max()),
    };
    result.r64 = Span64::unsigned_and_signed(rules.kind, min, max);
    // Of `^` the ranges are those of the bits already.
    if op != AluOp::Xor || rules.kind == RangeKind::MinMax {
        result.learn_from_bits(rules);
    }
}

/// Shifts, by less than the width.
fn shift(result: &mut Scalar, op: AluOp, wide: bool, count: u64, rules: &ScalarRules) {
    let (kind, bits) = (rules.kind, count as u8);
    let (whole, low) = (result.r64.bounds(), result.r32.bounds());
    if !wide {
        let subreg = result.var_off.subreg();
        match op {
            AluOp::Lsh => {
                result.r32 = low_lsh(low, count, kind);
                result.var_off = subreg.lshift(bits).subreg();
            }
            AluOp::Rsh => {
                result.r32 = Span32::unsigned(kind, low.umin >> count, low.umax >> count);
                result.var_off = subreg.rshift(bits);
            }
            _ => {
                result.r32 = Span32::signed(kind, low.smin >> count, low.smax >> count);
                result.var_off = subreg.arshift(bits, false);
            }
        }
        result.r64 = Span64::FULL;
        result.learn_low_from_bits(rules);
        return;
    }
    match op {
        AluOp::Lsh => {
            let mut shifted = Bounds64::FULL;
            if count == 32 {
                // As in an extension by the sign, `<< 32 s>> 32`.
                if rules.shifts_sign || low.smin >= 0 {
                    shifted.smin = i64::from(low.smin) << 32;
                }
                if rules.shifts_sign || low.smax >= 0 {
                    shifted.smax = i64::from(low.smax) << 32;
                }
            }
            if whole.umax <= 1 << (63 - count) {
                (shifted.umin, shifted.umax) = (whole.umin << count, whole.umax << count);
            }
            result.r64 = Span64::both(kind, shifted);
            result.r32 = low_lsh(low, count, kind);
            result.var_off = result.var_off.lshift(bits);
        }
        AluOp::Rsh => {
            result.r64 = Span64::unsigned(kind, whole.umin >> count, whole.umax >> count);
            result.r32 = Span32::FULL;
            result.var_off = result.var_off.rshift(bits);
        }
        _ => {
            result.r64 = Span64::signed(kind, whole.smin >> count, whole.smax >> count);
            result.r32 = Span32::FULL;
            result.var_off = result.var_off.arshift(bits, true);
        }
    }
    result.learn_from_bits(rules);
}

/// The lower half shifted left; unknown if the highest bit may get lost.
fn low_lsh(low: Bounds32, count: u64, kind: RangeKind) -> Span32 {
    if count > 31 || low.umax > 1 << (31 - count) {
        Span32::FULL
    } else {
        Span32::unsigned(kind, low.umin << count, low.umax << count)
    }
}

/// `-dst`.
pub fn neg(wide: bool, dst: Scalar, rules: &ScalarRules) -> Scalar {
    if !rules.negation {
        return Scalar::unknown();
    }
    let mut result = Scalar::zero();
    result.minus(dst, rules);
    if !wide {
        result.zero_extend(rules);
    }
    result.sync(rules);
    result.checked()
}

/// `BPF_END` of 16, 32 or 64 bits. Of 64 bits in the machine's own order nothing changes.
pub fn swap(how: Swap, bits: i32, dst: Scalar, rules: &ScalarRules) -> Scalar {
    if !rules.byte_swap {
        return Scalar::unknown();
    }
    let mut result = dst;
    if how != Swap::ToLittle {
        result.give_up_ranges();
        result.var_off = match bits {
            16 => dst.var_off.bswap16(),
            32 => dst.var_off.bswap32(),
            _ => dst.var_off.bswap64(),
        };
    }
    if bits < 64 {
        result = result.truncated((bits / 8) as u8, rules);
    }
    result.sync(rules);
    result.checked()
}

/// The two numbers with which the kernel walks `dst & src` and `dst | src` apart: first that of the path it goes on with, then
/// that of the one it puts aside, which starts with this instruction again or after it ([`ScalarRules::forks`]).
pub fn fork(op: AluOp, dst: &Scalar, src: &Scalar, rules: &ScalarRules) -> Option<(Scalar, Scalar)> {
    if rules.forks == Forks::No || !matches!(op, AluOp::And | AluOp::Or) || !src.var_off.is_const() {
        return None;
    }
    if (dst.smin(), dst.smax()) == (-1, 0) {
        return Some((Scalar::known(u64::MAX), Scalar::zero()));
    }
    if (dst.s32_min(), dst.s32_max()) == (-1, 0) {
        let with = |low| {
            let mut half = *dst;
            half.set_low(low);
            half
        };
        return Some((with(u32::MAX), with(0)));
    }
    None
}
