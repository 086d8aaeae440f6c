//! Stands in until the module of scalars is merged.

use super::tnum::Tnum;
use crate::insn::{AluOp, Condition, Width};

/// What differs between kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScalarRules;

#[allow(missing_docs)]
impl ScalarRules {
    pub fn v6_12() -> Self {
        Self
    }
    pub fn v7_2() -> Self {
        Self
    }
    pub fn v7_3() -> Self {
        Self
    }
}

/// What is known of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scalar {
    tnum: Tnum,
}

#[allow(missing_docs)]
impl Scalar {
    pub fn unknown() -> Self {
        Self { tnum: Tnum { value: 0, mask: u64::MAX } }
    }
    pub fn zero() -> Self {
        Self::known(0)
    }
    pub fn known(value: u64) -> Self {
        Self { tnum: Tnum { value, mask: 0 } }
    }
    pub fn constant(&self) -> Option<u64> {
        self.tnum.is_const().then_some(self.tnum.value)
    }
    pub fn var_off(&self) -> Tnum {
        self.tnum
    }
    pub fn umin(&self) -> u64 {
        0
    }
    pub fn umax(&self) -> u64 {
        u64::MAX
    }
    pub fn smin(&self) -> i64 {
        i64::MIN
    }
    pub fn smax(&self) -> i64 {
        i64::MAX
    }
    pub fn with_signed_bounds(self, _: i64, _: i64, _: &ScalarRules) -> Self {
        self
    }
}

#[allow(missing_docs)]
pub fn unused(_: AluOp, _: Condition, _: Width) {}
