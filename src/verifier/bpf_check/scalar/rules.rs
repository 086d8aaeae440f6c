//! In what kernels differ about numbers: one field per behaviour.
//!
//! Read in kernel/bpf/{verifier,tnum,cnum}.c of 6.12.118, 7.2.13 and 7.3.4. The release in which a change landed is said as far
//! as we know it; those marked `*` are from memory, not from a source at hand.

/// How ranges are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeKind {
    /// A smallest and a largest number, signed and unsigned (`umin_value` to `s32_max_value`): up to 7.1*.
    MinMax,
    /// An arc of the circle of all numbers (`struct cnum64 r64`, `struct cnum32 r32`): 7.2 on. `bpf_reg_state` in the BTF shows it.
    Circular,
}

/// How `&` and `|` of a constant with a number that is -1 or 0 are walked (`maybe_fork_scalars`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forks {
    /// As any other.
    No,
    /// Once with -1; and from the next instruction on with 0, also of `|`, which was wrong: 6.12.75 to 6.12.79.
    After,
    /// Once with -1, and from the same instruction on with 0: 7.0*, and 6.12.80.
    Again,
}

/// How a kernel computes with what it knows of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScalarRules {
    /// How ranges are kept.
    pub kind: RangeKind,
    /// `tnum_mul` takes the union of both cases of an unknown bit: "bpf: Improve the general precision of tnum_mul", 6.18*.
    pub tnum_mul_by_union: bool,
    /// An unsigned sum or difference of which both ends wrap keeps its range: "bpf, verifier: Improve precision for BPF_ADD and
    /// BPF_SUB", 6.17*. Arcs do without.
    pub wrapping_sums: bool,
    /// A product has a range if neither end overflows, also of negative numbers: "bpf: Improve verifier's multiplication range",
    /// 6.14*. Before, only of numbers from 0 to half the width.
    pub signed_products: bool,
    /// `-x` has a range: "bpf: Track range of BPF_NEG", 6.17*. Before, it is unknown.
    pub negation: bool,
    /// Quotients and remainders by a constant have ranges, 7.0*. Before, they are unknown.
    pub division: bool,
    /// `bswap`, `to_le` and `to_be` keep known bits, 7.0*. Before, the result is unknown.
    pub byte_swap: bool,
    /// `&` and `|` of a constant with a number that is -1 or 0.
    pub forks: Forks,
    /// `<< 32` keeps the signed bounds of a lower half that may be negative, as `<< 32 s>> 32` needs: "bpf: verifier improvement
    /// in 32bit shift sign extension pattern", 7.0*, and 6.12.75. Before, each bound by itself if it is not negative.
    pub shifts_sign: bool,
    /// A comparison of a register with itself is decided, 6.19*.
    pub same_register: bool,
    /// `==` and `!=` are decided by known bits that differ though neither is a constant, 6.18*, and 6.12.58.
    pub tnum_overlap: bool,
    /// A branch is dead if to take it would leave a range without a number: `simulate_both_branches_taken`, 7.1*. Before, such a
    /// range is given up. The same series made `reg_bounds_sync` leave such a register as it is.
    pub simulates: bool,
    /// `!(x & bits)` gives up the ranges first: "bpf: Forget ranges when refining tnum after JSET", 6.17*, and
    /// 6.12.43.
    pub jset_forgets: bool,
    /// A signed 64-bit range about 0 and an unsigned one that meet on one side only improve each other, 6.17*, and 6.12.81.
    pub crosses_sign64: bool,
    /// The same of 32-bit ranges, 7.0*, and 6.12.81.
    pub crosses_sign32: bool,
    /// How often `reg_bounds_sync` lets ranges improve each other: 3 from 6.17* on (and 6.12.81), before and with arcs 2.
    pub rounds: u8,
    /// A range that holds just one number with those bits is that number (`tnum_step`), 7.0*.
    pub tnum_step: bool,
    /// Known numbers from -32768 to -1 are printed in decimal as tnums too, 7.2 or before. Else they are printed in hex.
    pub signed_tnum: bool,
}

impl ScalarRules {
    /// 6.12.118. What it had from which 6.12.y on is from the stable changelogs; see [`Self::v6_12_0`] for the start.
    pub const fn v6_12() -> Self {
        Self {
            kind: RangeKind::MinMax,
            tnum_mul_by_union: false,
            wrapping_sums: false,
            signed_products: false,
            negation: false,
            division: false,
            byte_swap: false,
            forks: Forks::Again,
            shifts_sign: true,
            same_register: false,
            tnum_overlap: true,
            simulates: false,
            jset_forgets: true,
            crosses_sign64: true,
            crosses_sign32: true,
            rounds: 3,
            tnum_step: false,
            signed_tnum: false,
        }
    }

    /// 6.12.0, and what a kernel without the backports of 6.12.y knows.
    pub const fn v6_12_0() -> Self {
        Self {
            forks: Forks::No,
            shifts_sign: false,
            tnum_overlap: false,
            jset_forgets: false,
            crosses_sign64: false,
            crosses_sign32: false,
            rounds: 2,
            ..Self::v6_12()
        }
    }

    /// 7.2.13.
    pub const fn v7_2() -> Self {
        Self {
            kind: RangeKind::Circular,
            tnum_mul_by_union: true,
            wrapping_sums: true,
            signed_products: true,
            negation: true,
            division: true,
            byte_swap: true,
            forks: Forks::Again,
            shifts_sign: true,
            same_register: true,
            tnum_overlap: true,
            simulates: true,
            jset_forgets: true,
            crosses_sign64: true,
            crosses_sign32: true,
            rounds: 2,
            tnum_step: true,
            signed_tnum: true,
        }
    }

    /// 7.3.4, which computes with numbers as 7.2 does.
    pub const fn v7_3() -> Self {
        Self::v7_2()
    }
}
