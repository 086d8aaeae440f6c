//! What a kernel's `bpf_check` says of one program: every path walked as that kernel walks it.
//!
//! Behaviour was learned from kernel/bpf/verifier.c and its neighbours of 6.12, 7.2 and 7.3, and from guests.

mod alu;
mod args;
mod branch;
mod btf_access;
mod btf_match;
mod checker;
mod code;
mod dynptr;
mod func;
mod graph;
mod helper;
mod hook;
mod imm;
mod irq;
mod iter;
mod kfunc;
mod liveness;
mod lock;
mod mem;
mod names;
mod precision;
mod prog;
mod record;
mod refs;
pub mod refusal;
mod reg;
mod rules;
pub mod scalar;
mod stack;
mod state;
mod states;
mod story;
#[cfg(test)]
mod tests;
pub mod tnum;

use self::checker::Checker;
use crate::load::{Knowledge, Load};
use crate::object::FuncIdx;
pub use names::register_named;
pub use refusal::{Came, Origin, Outcome, Refusal, Stop, Unwalked, Verification, Why};

/// What the verifier of the load's kernel makes of a program; `None` without a kernel.
pub fn bpf_check(load: &Load<'_, '_>, knowledge: &Knowledge, program: FuncIdx) -> Option<Verification> {
    let kernel = load.kernel?;
    Some(match Checker::new(load, kernel, knowledge, program) {
        Ok(checker) => checker.run(),
        Err(stop) => Verification { outcome: stop.into_outcome(), insns: 0, reads: Vec::new() },
    })
}
