//! What a supervisor hands over to a worker, and a host to a guest.

use serde::{Deserialize, Serialize};

use super::observation::ArenaRuleSeen;
use super::word;
use crate::load::Loader;

/// What a worker is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Index into the report's `objects`.
    pub object: usize,
    /// File to read.
    pub path: String,
    /// libbpf's name for the object.
    pub name: String,
    /// What is edited between open and load.
    #[serde(with = "word")]
    pub loader: Loader,
    /// How long to hold each scheduler, milliseconds.
    pub hold_ms: u64,
    /// How long one step may take, milliseconds, the hold not counted.
    pub timeout_ms: u64,
    /// Run the workload while holding.
    pub workload: bool,
    /// Bytes of a verifier log that are kept, from its end.
    pub max_log: usize,
    /// The kernel's arena rule, where it is known already: reading the kernel's BTF takes a while in a guest.
    pub arena_rule: Option<ArenaRuleSeen>,
}
