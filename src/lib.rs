//! Preflight for Linux sched_ext BPF schedulers.

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
pub mod load;
pub mod object;
pub mod reach;
pub mod report;
#[cfg(feature = "cli")]
mod suggest;
pub mod suppress;
