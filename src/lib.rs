//! Preflight for Linux sched_ext BPF schedulers.

#![cfg_attr(not(feature = "live"), forbid(unsafe_code))]

pub mod btf;
pub mod checks;
#[cfg(feature = "cli")]
pub mod cli;
pub mod elf;
pub mod errno;
pub mod finding;
#[cfg(feature = "cli")]
pub mod input;
pub mod insn;
#[cfg(feature = "cli")]
pub mod live;
pub mod object;
pub mod report;
