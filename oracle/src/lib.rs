//! libbpf's own view of a BPF object, to be held against scx-lint's.
//!
//! scx-lint predicts what `bpf_object__open` does with a file. This crate asks libbpf 1.7.0, the newest that
//! is a crate, and compares the two answers. Opening needs no privilege and no kernel support: it is pure
//! parsing.
//!
//! libbpf trusts its input more than we may: mutated objects make it read out of bounds, so it only ever runs in a
//! subprocess ([`client::Oracle`]), whose death is an answer like any other.
//!
//! ```text
//! bytes -> client ─frame─> worker process: view (libbpf) ─JSON line─> client -> compare <- scx-lint's JSON
//! ```

pub mod client;
pub mod compare;
pub mod core;
pub mod differ;
pub mod mutate;
pub mod view;
pub mod worker;
