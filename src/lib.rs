//! Preflight for Linux sched_ext BPF schedulers.

pub mod btf;
pub mod checks;
pub mod elf;
pub mod errno;
pub mod finding;
pub mod insn;
pub mod object;
pub mod report;
