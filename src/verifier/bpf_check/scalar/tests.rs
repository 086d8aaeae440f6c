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

const ALL_RULES: [ScalarRules; 4] =
    [ScalarRules::v6_12_0(), ScalarRules::v6_12(), NEWEST_BOUNDS, ScalarRules::v7_3()];

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
        assert!(old.contains(&old) && Scalar::unknown().contains(&old));
        let probe = number(rng);
        if old.contains(&current) && current.has(probe) {
            assert!(old.has(probe), "{probe:#x} in {current}, not in {old}");
        }
        assert_eq!(old.has(probe), old.contains(&Scalar::known(probe)), "{probe:#x} in {old}");
    });
}

/// Some number of which these comparisons hold.
fn such(rules: &ScalarRules, facts: &[(Condition, u64)]) -> Scalar {
    facts.iter().fold(Scalar::unknown(), |known, (condition, number)| {
        refine(*condition, true, &known, &Scalar::known(*number), rules).taken.expect("some are left").0
    })
}

fn signed(rules: &ScalarRules, min: i64, max: i64) -> Scalar {
    such(rules, &[(Condition::Sge, min as u64), (Condition::Sle, max as u64)])
}

fn bounds(number: &Scalar) -> (i64, i64, u64, u64) {
    (number.smin(), number.smax(), number.umin(), number.umax())
}

#[test]
fn states_are_printed_as_the_log_prints_them() {
    for rules in &ALL_RULES {
        let byte = alu(AluOp::And, true, Scalar::unknown(), Scalar::known(0xff), rules);
        assert_eq!(byte.to_string(), "scalar(smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))");
        assert_eq!(such(rules, &[(Condition::Ne, 0)]).to_string(), "scalar(umin=1)");
        assert_eq!(signed(rules, -4095, 0x2_0000).smin(), -4095);
    }
    assert_eq!(Scalar::unknown().to_string(), "scalar()");
    assert_eq!(Scalar::known(u64::MAX).to_string(), "-1");
    assert_eq!(Scalar::known(0x12345).to_string(), "0x12345");
}

#[test]
fn an_arc_may_lack_one_number_in_its_middle() {
    let (bounds, arcs) = (ScalarRules::v6_12(), ScalarRules::v7_3());
    assert!(such(&bounds, &[(Condition::Ne, 5)]).is_unknown());
    let not_five = such(&arcs, &[(Condition::Ne, 5)]);
    assert!(!not_five.is_unknown());
    assert_eq!((not_five.umin(), not_five.umax()), (0, u64::MAX));
    assert_eq!(branch_taken(Condition::Eq, true, &not_five, &Scalar::known(5), &arcs), Some(false));
    assert_eq!(branch_taken(Condition::Eq, true, &not_five, &Scalar::known(6), &arcs), None);
    assert!(Scalar::unknown().contains(&not_five) && !not_five.contains(&Scalar::unknown()));
}

#[test]
fn sums_about_zero_are_kept() {
    for rules in &ALL_RULES {
        let number = signed(rules, -5, 5);
        let sum = alu(AluOp::Add, true, number, Scalar::known(10), rules);
        assert_eq!(bounds(&sum), (5, 15, 5, 15));
        assert_eq!((sum.s32_min(), sum.s32_max(), sum.u32_min(), sum.u32_max()), (5, 15, 5, 15));
        assert_eq!(bounds(&number.add_const(10, rules)), bounds(&sum));
    }
}

#[test]
fn ranges_that_meet_on_one_side_of_zero_improve_each_other() {
    let signed = [(Condition::Sge, -2i64 as u64), (Condition::Sle, 10)];
    let unsigned = [(Condition::Ge, 3), (Condition::Le, (1 << 63) + 1)];
    let of =
        |rules: &ScalarRules, facts: [[(Condition, u64); 2]; 2]| bounds(&such(rules, facts.as_flattened()));
    let (oldest, old, new) = (ScalarRules::v6_12_0(), ScalarRules::v6_12(), ScalarRules::v7_3());
    assert_eq!(of(&oldest, [signed, unsigned]), (-2, 10, 3, (1 << 63) + 1));
    assert_eq!(of(&old, [signed, unsigned]), (3, 10, 3, 10));
    // An arc cannot be what is left after `>= 3`, -2, -1 and 3 to 10, so it forgets that again.
    assert_eq!(of(&new, [signed, unsigned]), (0, 10, 0, 10));
    assert_eq!(of(&new, [unsigned, signed]), (3, 10, 3, 10));
}

#[test]
fn newer_kernels_follow_more_operations() {
    let (old, new) = (ScalarRules::v6_12(), ScalarRules::v7_3());
    let three = Scalar::known(3);
    assert!(alu(AluOp::Div, true, signed(&old, 10, 100), three, &old).is_unknown());
    let quotient = alu(AluOp::Div, true, signed(&new, 10, 100), three, &new);
    assert_eq!(bounds(&quotient), (3, 33, 3, 33));
    let remainder = alu(AluOp::SMod, true, signed(&new, -100, 100), three, &new);
    assert_eq!((remainder.smin(), remainder.smax()), (-2, 2));
    assert!(neg(true, signed(&old, 1, 5), &old).is_unknown());
    let negative = neg(true, signed(&new, 1, 5), &new);
    assert_eq!((negative.smin(), negative.smax()), (-5, -1));
    let product = alu(AluOp::Mul, true, signed(&new, -3, -2), signed(&new, 4, 5), &new);
    assert_eq!((product.smin(), product.smax()), (-15, -8));
    let swapped = swap(Swap::Always, 16, Scalar::known(0x1234), &new);
    assert_eq!(swapped, Scalar::known(0x3412));
    assert!(swap(Swap::Always, 16, Scalar::known(0x1234), &old).is_unknown());
}

#[test]
fn division_by_zero_gives_what_the_processor_is_made_to_give() {
    let rules = ScalarRules::v7_3();
    let number = signed(&rules, 10, 100);
    assert_eq!(alu(AluOp::Div, true, number, Scalar::zero(), &rules), Scalar::zero());
    assert_eq!(alu(AluOp::Mod, true, number, Scalar::zero(), &rules), number);
}

#[test]
fn a_shift_is_followed_if_its_count_is_known_and_small() {
    for rules in &ALL_RULES {
        let byte = alu(AluOp::And, true, Scalar::unknown(), Scalar::known(0xff), rules);
        let by = |wide, count| alu(AluOp::Lsh, wide, byte, count, rules);
        assert_eq!(bounds(&by(true, Scalar::known(3))), (0, 255 << 3, 0, 255 << 3));
        assert_eq!(by(true, Scalar::known(3)).var_off(), Tnum { value: 0, mask: 0x7f8 });
        assert!(by(true, Scalar::known(64)).is_unknown());
        assert!(by(false, Scalar::known(32)).is_unknown());
        assert!(by(true, signed(rules, 1, 2)).is_unknown());
    }
}

#[test]
fn a_lower_half_is_extended_by_shifts() {
    let of = |rules: &ScalarRules| {
        let known = refine(Condition::Sge, false, &Scalar::unknown(), &Scalar::known(-4i64 as u64), rules);
        let known = known.taken.expect("any").0;
        let known = refine(Condition::Sle, false, &known, &Scalar::known(4), rules).taken.expect("any").0;
        let by = Scalar::known(32);
        let extended = alu(AluOp::Arsh, true, alu(AluOp::Lsh, true, known, by, rules), by, rules);
        (extended.smin(), extended.smax())
    };
    assert_eq!(of(&ScalarRules::v6_12_0()), (i32::MIN.into(), 4));
    assert_eq!(of(&ScalarRules::v6_12()), (-4, 4));
    assert_eq!(of(&ScalarRules::v7_3()), (-4, 4));
}

#[test]
fn a_way_without_numbers_is_dead_or_walked_without_ranges() {
    let of = |rules: &ScalarRules| {
        // 0 or 16, and not 0.
        let either = alu(AluOp::And, true, Scalar::unknown(), Scalar::known(16), rules);
        refine(Condition::Gt, true, &either, &Scalar::zero(), rules).taken.expect("16").0
    };
    let (old, new) = (ScalarRules::v6_12(), ScalarRules::v7_3());
    let sixteen = Scalar::known(16);
    assert_eq!((of(&old).umin(), of(&old).umax()), (1, 16));
    let ways = refine(Condition::Lt, true, &of(&old), &sixteen, &old);
    let dead = ways.taken.expect("old kernels walk it").0;
    assert_eq!((dead.var_off(), dead.umin(), dead.umax()), (Tnum::const_(0), 0, u64::MAX));
    assert_eq!(of(&new), sixteen);
    assert_eq!(refine(Condition::Lt, true, &of(&new), &sixteen, &new).taken, None);
}

#[test]
fn a_bit_that_is_tested_is_known() {
    for rules in &ALL_RULES {
        let ways = refine(Condition::Set, true, &Scalar::unknown(), &Scalar::known(4), rules);
        let (set, clear) = (ways.taken.expect("any").0, ways.falls.expect("any").0);
        assert_eq!(set.var_off(), Tnum { value: 4, mask: !4 });
        assert_eq!(clear.var_off(), Tnum { value: 0, mask: !4 });
        let ways = refine(Condition::Set, true, &Scalar::unknown(), &Scalar::known(6), rules);
        assert!(ways.taken.expect("any").0.is_unknown());
    }
}

#[test]
fn numbers_that_are_minus_one_or_zero_are_walked_apart() {
    let rules = ScalarRules::v6_12();
    let mask = signed(&rules, -1, 0);
    let fifteen = Scalar::known(15);
    let apart = Some((Scalar::known(u64::MAX), Scalar::zero()));
    assert_eq!(fork(AluOp::And, &mask, &fifteen, &rules), apart);
    assert_eq!(fork(AluOp::Or, &mask, &fifteen, &rules), apart);
    assert_eq!(fork(AluOp::Xor, &mask, &fifteen, &rules), None);
    assert_eq!(fork(AluOp::And, &mask, &fifteen, &ScalarRules::v6_12_0()), None);
}

#[test]
fn what_is_known_of_all_or_of_nothing_is_the_same_of_both_kinds() {
    let rules = ScalarRules::v6_12();
    let one = such(&rules, &[(Condition::Eq, 1)]);
    assert_eq!(one, Scalar::known(1));
    assert_eq!(Scalar::known(1).sign_extended(4, &rules), one);
    assert_eq!(alu(AluOp::Add, true, Scalar::unknown(), Scalar::unknown(), &rules), Scalar::unknown());
}
