//! Preflight for Linux sched_ext BPF schedulers.
