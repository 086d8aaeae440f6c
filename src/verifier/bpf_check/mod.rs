//! What a kernel's `bpf_check` says of one program: every path walked as that kernel walks it.
//!
//! Behaviour was learned from kernel/bpf/verifier.c and its neighbours of 6.12, 7.2 and 7.3, and from guests.

pub mod refusal;
pub mod scalar;
pub mod tnum;

use crate::load::{Knowledge, Load};
use crate::object::FuncIdx;
pub use refusal::{Outcome, Refusal, Stop, Unwalked, Verification, Why};

/// What the verifier of the load's kernel makes of a program; `None` without a kernel.
pub fn bpf_check(_load: &Load<'_, '_>, _knowledge: &Knowledge, _program: FuncIdx) -> Option<Verification> {
    None
}
