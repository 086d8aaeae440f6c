//! Preflight for Linux sched_ext BPF schedulers.

pub mod btf;
pub mod elf;
pub mod errno;
pub mod insn;
pub mod object;
