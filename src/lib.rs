//! Preflight for Linux sched_ext BPF schedulers.

#![cfg_attr(not(feature = "live"), forbid(unsafe_code))]

pub mod btf;
pub mod checks;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
pub mod elf;
pub mod errno;
pub mod finding;
#[cfg(feature = "cli")]
pub mod input;
pub mod insn;
pub mod kernel;
#[cfg(feature = "cli")]
pub mod live;
pub mod load;
pub mod object;
pub mod reach;
pub mod report;
#[cfg(feature = "cli")]
mod suggest;
pub mod suppress;
