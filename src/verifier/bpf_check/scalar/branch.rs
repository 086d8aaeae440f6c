//! What branches say of numbers: which way one goes, and what is known on either.
//!
//! Behaviour of `is_scalar_branch_taken`, `regs_refine_cond_op` and `reg_set_min_max` in kernel/bpf/verifier.c.

use super::{Scalar, ScalarRules};
use crate::insn::Condition;
use std::mem::swap;

/// Where a branch goes, with both operands as they are known there.
// Looked at once and never kept, so its size does not matter, while a box would.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    /// It is taken, and the operands stay what they were. The kernel marks both as precise.
    Taken,
    /// It is not, and the operands stay what they were. The kernel marks both as precise.
    Falls,
    /// Either way.
    Both {
        /// Where it is taken.
        taken: (Scalar, Scalar),
        /// Where it is not.
        falls: (Scalar, Scalar),
    },
}

/// Both operands on the two ways; `None` where a way is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refined {
    /// Where it is taken.
    pub taken: Option<(Scalar, Scalar)>,
    /// Where it is not.
    pub falls: Option<(Scalar, Scalar)>,
}

/// `a op b` as `b op a`.
pub fn flip(condition: Condition) -> Condition {
    match condition {
        Condition::Ge => Condition::Le,
        Condition::Gt => Condition::Lt,
        Condition::Le => Condition::Ge,
        Condition::Lt => Condition::Gt,
        Condition::Sge => Condition::Sle,
        Condition::Sgt => Condition::Slt,
        Condition::Sle => Condition::Sge,
        Condition::Slt => Condition::Sgt,
        same @ (Condition::Eq | Condition::Ne | Condition::Set) => same,
    }
}

/// What is known on one way. All others are one of these with the operands exchanged.
#[derive(Debug, Clone, Copy)]
enum Fact {
    Eq,
    Ne,
    Set,
    Clear,
    Le,
    Lt,
    Sle,
    Slt,
}

/// What a way says, and whether of the operands in the other order.
fn fact(condition: Condition, taken: bool) -> (Fact, bool) {
    match (condition, taken) {
        (Condition::Eq, true) | (Condition::Ne, false) => (Fact::Eq, false),
        (Condition::Ne, true) | (Condition::Eq, false) => (Fact::Ne, false),
        (Condition::Set, true) => (Fact::Set, false),
        (Condition::Set, false) => (Fact::Clear, false),
        (Condition::Le, true) | (Condition::Gt, false) => (Fact::Le, false),
        (Condition::Lt, true) | (Condition::Ge, false) => (Fact::Lt, false),
        (Condition::Sle, true) | (Condition::Sgt, false) => (Fact::Sle, false),
        (Condition::Slt, true) | (Condition::Sge, false) => (Fact::Slt, false),
        (Condition::Ge, true) | (Condition::Lt, false) => (Fact::Le, true),
        (Condition::Gt, true) | (Condition::Le, false) => (Fact::Lt, true),
        (Condition::Sge, true) | (Condition::Slt, false) => (Fact::Sle, true),
        (Condition::Sgt, true) | (Condition::Sle, false) => (Fact::Slt, true),
    }
}

/// Which way a branch goes by itself: whether it is taken, if that is known (`is_scalar_branch_taken`).
pub fn branch_taken(
    condition: Condition,
    wide: bool,
    left: &Scalar,
    right: &Scalar,
    rules: &ScalarRules,
) -> Option<bool> {
    match branch(condition, wide, left, right, rules) {
        Branch::Taken => Some(true),
        Branch::Falls => Some(false),
        Branch::Both { .. } => None,
    }
}

/// Both ways of a branch. A way that the kernel does not walk is `None`, and then the operands are on the other what they were.
pub fn refine(
    condition: Condition,
    wide: bool,
    left: &Scalar,
    right: &Scalar,
    rules: &ScalarRules,
) -> Refined {
    let same = Some((*left, *right));
    match branch(condition, wide, left, right, rules) {
        Branch::Taken => Refined { taken: same, falls: None },
        Branch::Falls => Refined { taken: None, falls: same },
        Branch::Both { taken, falls } => Refined { taken: Some(taken), falls: Some(falls) },
    }
}

/// Where a branch goes, and what is known there.
///
/// If a way would leave a range without a number, newer kernels do not walk it (`simulates`); older ones walk it and know
/// nothing but the bits of that operand.
pub fn branch(
    condition: Condition,
    wide: bool,
    left: &Scalar,
    right: &Scalar,
    rules: &ScalarRules,
) -> Branch {
    let decided = if wide {
        decided(condition, &Sides::whole(left), &Sides::whole(right), left, right, rules)
    } else {
        decided(condition, &Sides::low(left), &Sides::low(right), left, right, rules)
    };
    match decided {
        Some(true) => return Branch::Taken,
        Some(false) => return Branch::Falls,
        None => {}
    }
    let mut falls = [*left, *right];
    let mut taken = falls;
    let nothing_said = condition == Condition::Set
        && rules.simulates
        && left.constant_of(wide).is_none()
        && right.constant_of(wide).is_none();
    if !nothing_said {
        learn(condition, false, wide, &mut falls, 1, rules);
        if rules.simulates && falls.iter().any(Scalar::is_contradictory) {
            return Branch::Taken;
        }
        learn(condition, true, wide, &mut taken, 1, rules);
        if rules.simulates && taken.iter().any(Scalar::is_contradictory) {
            return Branch::Falls;
        }
    }
    let checked = |[one, two]: [Scalar; 2]| (one.checked(), two.checked());
    Branch::Both { taken: checked(taken), falls: checked(falls) }
}

/// Where a branch goes that compares a register with itself; both operands are that register.
pub fn branch_of_one(condition: Condition, wide: bool, operand: &Scalar, rules: &ScalarRules) -> Branch {
    if rules.same_register {
        return match condition {
            Condition::Eq | Condition::Ge | Condition::Le | Condition::Sge | Condition::Sle => Branch::Taken,
            Condition::Ne | Condition::Gt | Condition::Lt | Condition::Sgt | Condition::Slt => Branch::Falls,
            Condition::Set => {
                let sides = if wide { Sides::whole(operand) } else { Sides::low(operand) };
                match operand.constant_of(wide) {
                    Some(0) => Branch::Falls,
                    None if sides.smin <= 0 && sides.smax >= 0 => {
                        let both = (operand.checked(), operand.checked());
                        Branch::Both { taken: both, falls: both }
                    }
                    _ => Branch::Taken,
                }
            }
        };
    }
    let sides = if wide { Sides::whole(operand) } else { Sides::low(operand) };
    match decided(condition, &sides, &sides, operand, operand, rules) {
        Some(true) => Branch::Taken,
        Some(false) => Branch::Falls,
        None => {
            // One register, so what is learned of the one operand holds of the other at once.
            let way = |taken| {
                let mut operands = [*operand; 2];
                learn(condition, taken, wide, &mut operands, 0, rules);
                let known = operands[0].checked();
                (known, known)
            };
            Branch::Both { taken: way(true), falls: way(false) }
        }
    }
}

/// What a comparison looks at in an operand.
struct Sides {
    bits: super::Tnum,
    umin: u64,
    umax: u64,
    smin: i64,
    smax: i64,
}

impl Sides {
    fn whole(of: &Scalar) -> Self {
        let super::Bounds64 { umin, umax, smin, smax } = of.r64.bounds();
        Self { bits: of.var_off, umin, umax, smin, smax }
    }

    fn low(of: &Scalar) -> Self {
        let super::Bounds32 { umin, umax, smin, smax } = of.r32.bounds();
        Self {
            bits: of.var_off.subreg(),
            umin: umin.into(),
            umax: umax.into(),
            smin: smin.into(),
            smax: smax.into(),
        }
    }

    /// No number is in both ranges.
    fn apart(&self, other: &Self) -> bool {
        self.umin > other.umax || self.umax < other.umin || self.smin > other.smax || self.smax < other.smin
    }
}

/// Whether it is taken, by ranges and bits alone.
fn decided(
    condition: Condition,
    a: &Sides,
    b: &Sides,
    left: &Scalar,
    right: &Scalar,
    rules: &ScalarRules,
) -> Option<bool> {
    let known = |yes: bool, no: bool| if yes { Some(true) } else { no.then_some(false) };
    match condition {
        Condition::Eq => equal(a, b, left, right, rules),
        Condition::Ne => equal(a, b, left, right, rules).map(|equal| !equal),
        Condition::Set => {
            // One is to be known, the right one first.
            let (bits, mask) = if b.bits.is_const() {
                (a.bits, b.bits.value)
            } else if a.bits.is_const() {
                (b.bits, a.bits.value)
            } else {
                return None;
            };
            known(bits.min() & mask != 0, bits.max() & mask == 0)
        }
        Condition::Gt => known(a.umin > b.umax, a.umax <= b.umin),
        Condition::Ge => known(a.umin >= b.umax, a.umax < b.umin),
        Condition::Lt => known(a.umax < b.umin, a.umin >= b.umax),
        Condition::Le => known(a.umax <= b.umin, a.umin > b.umax),
        Condition::Sgt => known(a.smin > b.smax, a.smax <= b.smin),
        Condition::Sge => known(a.smin >= b.smax, a.smax < b.smin),
        Condition::Slt => known(a.smax < b.smin, a.smin >= b.smax),
        Condition::Sle => known(a.smax <= b.smin, a.smin > b.smax),
    }
}

fn equal(a: &Sides, b: &Sides, left: &Scalar, right: &Scalar, rules: &ScalarRules) -> Option<bool> {
    if a.bits.is_const() && b.bits.is_const() {
        return Some(a.bits.value == b.bits.value);
    }
    let differ = rules.tnum_overlap && !a.bits.overlap(b.bits)
        || a.apart(b)
        // Of a 64-bit comparison the lower halves may say more; of a 32-bit one these are the same again.
        || Sides::low(left).apart(&Sides::low(right));
    differ.then_some(false)
}

/// Takes in what one way says of two operands: the first in `pair`, and the one at `second`, which is 0 if both are one register.
fn learn(
    condition: Condition,
    taken: bool,
    wide: bool,
    pair: &mut [Scalar; 2],
    second: usize,
    rules: &ScalarRules,
) {
    let kind = rules.kind;
    let (fact, exchanged) = fact(condition, taken);
    let (mut a, mut b) = if exchanged { (second, 0) } else { (0, second) };
    match fact {
        Fact::Eq => {
            if wide {
                let r64 = pair[a].r64.intersect(kind, pair[b].r64);
                let bits = pair[a].var_off.intersect(pair[b].var_off);
                for at in [a, b] {
                    (pair[at].r64, pair[at].var_off) = (r64, bits);
                }
            } else {
                let r32 = pair[a].r32.intersect(kind, pair[b].r32);
                let bits = pair[a].var_off.subreg().intersect(pair[b].var_off.subreg());
                for at in [a, b] {
                    pair[at].r32 = r32;
                    pair[at].var_off = pair[at].var_off.with_subreg(bits);
                }
            }
        }
        Fact::Ne | Fact::Set | Fact::Clear => {
            // These say something if one operand is known, of the other.
            if pair[b].constant_of(wide).is_none() {
                swap(&mut a, &mut b);
            }
            if let Some(number) = pair[b].constant_of(wide) {
                learn_by_constant(fact, number, wide, &mut pair[a], rules);
            }
        }
        Fact::Le if wide => {
            pair[a].r64 = pair[a].r64.at_most(kind, pair[b].umax());
            pair[b].r64 = pair[b].r64.at_least(kind, pair[a].umin());
        }
        Fact::Le => {
            pair[a].r32 = pair[a].r32.at_most(kind, pair[b].u32_max());
            pair[b].r32 = pair[b].r32.at_least(kind, pair[a].u32_min());
        }
        Fact::Lt if wide => {
            pair[a].r64 = pair[a].r64.at_most(kind, pair[b].umax().wrapping_sub(1));
            pair[b].r64 = pair[b].r64.at_least(kind, pair[a].umin().wrapping_add(1));
        }
        Fact::Lt => {
            pair[a].r32 = pair[a].r32.at_most(kind, pair[b].u32_max().wrapping_sub(1));
            pair[b].r32 = pair[b].r32.at_least(kind, pair[a].u32_min().wrapping_add(1));
        }
        Fact::Sle if wide => {
            pair[a].r64 = pair[a].r64.at_most_signed(kind, pair[b].smax());
            pair[b].r64 = pair[b].r64.at_least_signed(kind, pair[a].smin());
        }
        Fact::Sle => {
            pair[a].r32 = pair[a].r32.at_most_signed(kind, pair[b].s32_max());
            pair[b].r32 = pair[b].r32.at_least_signed(kind, pair[a].s32_min());
        }
        Fact::Slt if wide => {
            pair[a].r64 = pair[a].r64.at_most_signed(kind, pair[b].smax().wrapping_sub(1));
            pair[b].r64 = pair[b].r64.at_least_signed(kind, pair[a].smin().wrapping_add(1));
        }
        Fact::Slt => {
            pair[a].r32 = pair[a].r32.at_most_signed(kind, pair[b].s32_max().wrapping_sub(1));
            pair[b].r32 = pair[b].r32.at_least_signed(kind, pair[a].s32_min().wrapping_add(1));
        }
    }
    for operand in pair {
        operand.sync(rules);
    }
}

/// What a number that is not this one, has or has not these bits, is known to be.
fn learn_by_constant(fact: Fact, number: u64, wide: bool, of: &mut Scalar, rules: &ScalarRules) {
    use super::Tnum;
    let with_bits = |of: &mut Scalar, bits: fn(Tnum, Tnum) -> Tnum, number: u64| {
        of.var_off = if wide {
            bits(of.var_off, Tnum::const_(number))
        } else {
            of.var_off.with_subreg(bits(of.var_off.subreg(), Tnum::const_(number)))
        };
    };
    match fact {
        Fact::Ne if wide => of.r64 = of.r64.without(rules.kind, number),
        Fact::Ne => of.r32 = of.r32.without(rules.kind, number as u32),
        // Of several bits it is not known which one is set.
        Fact::Set if number.is_power_of_two() => with_bits(of, Tnum::or, number),
        Fact::Clear => {
            if rules.jset_forgets {
                of.give_up_ranges();
            }
            with_bits(of, Tnum::and, !number);
        }
        _ => {}
    }
}
