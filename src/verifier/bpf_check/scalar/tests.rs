//! Every concrete number that goes in comes out, whatever is known of it; and what is known afterwards is what kernels know.

use super::*;
use crate::insn::{AluOp, Condition};

const OPS: [AluOp; 13] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Div,
    AluOp::SDiv,
    AluOp::Or,
    AluOp::And,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Mod,
    AluOp::SMod,
    AluOp::Xor,
    AluOp::Arsh,
];

const CONDITIONS: [Condition; 11] = [
    Condition::Eq,
    Condition::Gt,
    Condition::Ge,
    Condition::Set,
    Condition::Ne,
    Condition::Sgt,
    Condition::Sge,
    Condition::Lt,
    Condition::Le,
    Condition::Slt,
    Condition::Sle,
];

/// Pairs of bounds with all that newer kernels know, as 7.0 and 7.1 have them.
const NEWEST_BOUNDS: ScalarRules = ScalarRules { kind: RangeKind::MinMax, rounds: 3, ..ScalarRules::v7_2() };

/// Pairs of bounds with nothing that was added since 6.12.0.
const OLDEST_BOUNDS: ScalarRules = ScalarRules {
    forks: false,
    tnum_overlap: false,
    jset_forgets: false,
    crosses_sign64: false,
    crosses_sign32: false,
    rounds: 2,
    ..ScalarRules::v6_12()
};

const ALL_RULES: [ScalarRules; 4] = [OLDEST_BOUNDS, ScalarRules::v6_12(), NEWEST_BOUNDS, ScalarRules::v7_3()];

/// What a processor computes.
fn concrete(op: AluOp, wide: bool, a: u64, b: u64) -> u64 {
    if !wide {
        let (a, b) = (a as u32, b as u32);
        let (sa, sb) = (a as i32, b as i32);
        return u64::from(match op {
            AluOp::Add => a.wrapping_add(b),
            AluOp::Sub => a.wrapping_sub(b),
            AluOp::Mul => a.wrapping_mul(b),
            AluOp::Div => a.checked_div(b).unwrap_or(0),
            AluOp::SDiv if b == 0 => 0,
            AluOp::SDiv => sa.wrapping_div(sb) as u32,
            AluOp::Or => a | b,
            AluOp::And => a & b,
            AluOp::Lsh => a << (b & 31),
            AluOp::Rsh => a >> (b & 31),
            AluOp::Mod => a.checked_rem(b).unwrap_or(a),
            AluOp::SMod if b == 0 => a,
            AluOp::SMod => sa.wrapping_rem(sb) as u32,
            AluOp::Xor => a ^ b,
            AluOp::Arsh => (sa >> (b & 31)) as u32,
        });
    }
    let (sa, sb) = (a as i64, b as i64);
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::SDiv if b == 0 => 0,
        AluOp::SDiv => sa.wrapping_div(sb) as u64,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Lsh => a << (b & 63),
        AluOp::Rsh => a >> (b & 63),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::SMod if b == 0 => a,
        AluOp::SMod => sa.wrapping_rem(sb) as u64,
        AluOp::Xor => a ^ b,
        AluOp::Arsh => (sa >> (b & 63)) as u64,
    }
}

fn holds(condition: Condition, wide: bool, a: u64, b: u64) -> bool {
    let (a, b) = if wide { (a, b) } else { (a & 0xffff_ffff, b & 0xffff_ffff) };
    let (sa, sb) = if wide { (a as i64, b as i64) } else { (i64::from(a as i32), i64::from(b as i32)) };
    match condition {
        Condition::Eq => a == b,
        Condition::Ne => a != b,
        Condition::Set => a & b != 0,
        Condition::Gt => a > b,
        Condition::Ge => a >= b,
        Condition::Lt => a < b,
        Condition::Le => a <= b,
        Condition::Sgt => sa > sb,
        Condition::Sge => sa >= sb,
        Condition::Slt => sa < sb,
        Condition::Sle => sa <= sb,
    }
}

/// Numbers about which something goes wrong, and any.
fn number(rng: &mut fastrand::Rng) -> u64 {
    let edge = [0, 1, 31, 32, 1 << 31, 1 << 32, 1 << 63, u64::from(u32::MAX), u64::MAX, i64::MAX as u64];
    match rng.u8(0..4) {
        0 => edge[rng.usize(0..edge.len())].wrapping_add(rng.u64(0..4)).wrapping_sub(2),
        1 => rng.u64(0..300),
        2 => (rng.i32(..) as i64 as u64) >> rng.u32(0..32),
        _ => rng.u64(..) >> rng.u32(0..64),
    }
}

/// What may be known of a number: some of its bits, or what it is compared with.
fn about(rng: &mut fastrand::Rng, member: u64, rules: &ScalarRules) -> Scalar {
    if rng.u8(0..6) == 0 {
        return Scalar::known(member);
    }
    let mut known = Scalar::unknown();
    if rng.bool() {
        let mask = rng.u64(..) & rng.u64(..) | if rng.bool() { 0xffff_ffff } else { 0 };
        known.var_off = Tnum { value: member & !mask, mask };
        known.sync(rules);
    }
    for _ in 0..rng.u8(0..5) {
        let other =
            if rng.bool() { number(rng) } else { member.wrapping_add(rng.u64(0..64)).wrapping_sub(32) };
        let (condition, wide) = (CONDITIONS[rng.usize(0..CONDITIONS.len())], rng.bool());
        let ways = refine(condition, wide, &known, &Scalar::known(other), rules);
        let way = if holds(condition, wide, member, other) { ways.taken } else { ways.falls };
        known = way.unwrap_or_else(|| panic!("{member:#x} of {known} {condition:?} {other:#x}")).0;
        assert!(known.has(member), "{member:#x} in {known} after {condition:?} {other:#x} ({wide})");
    }
    known
}

fn each(rounds: u32, mut of: impl FnMut(&mut fastrand::Rng, &ScalarRules)) {
    for (at, rules) in ALL_RULES.iter().enumerate() {
        let mut rng = fastrand::Rng::with_seed(7 + at as u64);
        for _ in 0..rounds {
            of(&mut rng, rules);
        }
    }
}

#[test]
fn arithmetic_keeps_every_number() {
    each(40_000, |rng, rules| {
        let op = OPS[rng.usize(0..OPS.len())];
        let wide = rng.bool();
        let a = number(rng);
        let b = match op {
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => rng.u64(0..if wide { 64 } else { 32 }),
            _ => number(rng),
        };
        let (known_a, known_b) = (about(rng, a, rules), about(rng, b, rules));
        let result = alu(op, wide, known_a, known_b, rules);
        let expected = concrete(op, wide, a, b);
        assert!(
            result.has(expected),
            "{a:#x} {op:?} {b:#x} = {expected:#x} (wide {wide}): {known_a}, {known_b} -> {result}"
        );
    });
}

#[test]
fn branches_keep_every_number_on_its_way() {
    each(40_000, |rng, rules| {
        let (condition, wide) = (CONDITIONS[rng.usize(0..CONDITIONS.len())], rng.bool());
        let a = number(rng);
        let b = if rng.bool() { a.wrapping_add(rng.u64(0..4)).wrapping_sub(2) } else { number(rng) };
        let (known_a, known_b) = (about(rng, a, rules), about(rng, b, rules));
        let ways = refine(condition, wide, &known_a, &known_b, rules);
        let taken = holds(condition, wide, a, b);
        let what = format!("{a:#x} {condition:?} {b:#x} (wide {wide}): {known_a}, {known_b}");
        let (one, two) = if taken { ways.taken } else { ways.falls }.expect(&what);
        assert!(one.has(a) && two.has(b), "{what} -> {one}, {two}");
        let by_itself = branch_taken(condition, wide, &known_a, &known_b, rules);
        assert!(by_itself.is_none_or(|way| way == taken), "{what}");
    });
}

#[test]
fn a_register_and_itself_keep_every_number() {
    each(20_000, |rng, rules| {
        let (condition, wide) = (CONDITIONS[rng.usize(0..CONDITIONS.len())], rng.bool());
        let a = number(rng);
        let known = about(rng, a, rules);
        match (branch_of_one(condition, wide, &known, rules), holds(condition, wide, a, a)) {
            (Branch::Taken, true) | (Branch::Falls, false) => {}
            (Branch::Both { taken, .. }, true) => assert!(taken.0.has(a) && taken.1.has(a)),
            (Branch::Both { falls, .. }, false) => assert!(falls.0.has(a) && falls.1.has(a)),
            (way, _) => panic!("{a:#x} {condition:?} itself: {way:?}"),
        }
    });
}

#[test]
fn extensions_and_swaps_keep_every_number() {
    each(40_000, |rng, rules| {
        let a = number(rng);
        let known = about(rng, a, rules);
        let bytes = [1, 2, 4][rng.usize(0..3)];
        let (low, shift) = (64 - u32::from(bytes) * 8, u32::from(bytes) * 8);
        let sign = ((a << low) as i64 >> low) as u64;
        let zero = a << low >> low;
        assert_eq!(shift + low, 64);
        assert!(known.truncated(bytes, rules).has(zero), "{a:#x} in {known}, {bytes}");
        assert!(known.sign_extended(bytes, rules).has(sign), "{a:#x} in {known}, {bytes}");
        assert!(known.mov_sign_extended(bytes, true, rules).has(sign), "{a:#x} in {known}, {bytes}");
        assert!(
            known.mov_sign_extended(bytes, false, rules).has(sign & 0xffff_ffff),
            "{a:#x} in {known}, {bytes}"
        );
        assert!(known.mov32(rules).has(a & 0xffff_ffff), "{a:#x} in {known}");
        assert!(neg(true, known, rules).has(a.wrapping_neg()), "{a:#x} in {known}");
        assert!(neg(false, known, rules).has(u64::from((a as u32).wrapping_neg())), "{a:#x} in {known}");
        for (bits, swapped, kept) in [
            (16, u64::from((a as u16).swap_bytes()), a & 0xffff),
            (32, u64::from((a as u32).swap_bytes()), a & 0xffff_ffff),
            (64, a.swap_bytes(), a),
        ] {
            assert!(swap(Swap::Always, bits, known, rules).has(swapped), "{a:#x} in {known}, {bits}");
            assert!(swap(Swap::ToBig, bits, known, rules).has(swapped), "{a:#x} in {known}, {bits}");
            assert!(swap(Swap::ToLittle, bits, known, rules).has(kept), "{a:#x} in {known}, {bits}");
        }
    });
}

#[test]
fn offsets_and_links_keep_every_number() {
    each(20_000, |rng, rules| {
        let (a, b) = (number(rng), number(rng));
        let (known_a, known_b) = (about(rng, a, rules), about(rng, b, rules));
        let sum = a.wrapping_add(b);
        assert!(known_a.offset_plus(&known_b, rules).in_sync(rules).has(sum));
        assert!(known_a.offset_minus(&known_b, rules).in_sync(rules).has(a.wrapping_sub(b)));
        assert!(known_a.add_const(b as i64, rules).has(sum));
        let low = known_a.mov32(rules);
        assert!(low.linked(b as i64, true, rules).has(sum & 0xffff_ffff));
        if let Some((goes_on, aside)) = fork(AluOp::Or, &known_a, &Scalar::known(b), rules) {
            assert!(goes_on.has(a) || aside.has(a), "{a:#x} of {known_a}");
        }
    });
}

#[test]
fn what_contains_holds_what_is_contained() {
    each(40_000, |rng, rules| {
        let a = number(rng);
        let (old, current) = (about(rng, a, rules), about(rng, a, rules));
        let narrower =
            refine(Condition::Eq, true, &old, &current, rules).taken.expect("they share a number").0;
        assert!(old.contains(&old) && Scalar::unknown().contains(&old));
        let probe = number(rng);
        if old.contains(&current) && current.has(probe) {
            assert!(old.has(probe), "{probe:#x} in {current}, not in {old}");
        }
        if narrower.has(probe) {
            assert!(old.contains(&Scalar::known(probe)) && old.has(probe));
        }
    });
}
