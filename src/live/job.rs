//! What a supervisor hands over to a worker, and a host to a guest.

use serde::{Deserialize, Serialize};

use super::observation::ArenaRuleSeen;
use super::word;
use crate::load::{Destination, Loader, Setting};
use crate::object::Object;

/// The step in which a program that the kernel has refused is loaded again, for the verifier's whole log.
pub const RELOAD: &str = "load (for the verifier's log)";

/// A value to write into a map's initial content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapWrite {
    /// Map by libbpf's name, or section name for a data map.
    pub map: String,
    /// First byte.
    pub offset: usize,
    /// What is written.
    pub bytes: Vec<u8>,
    /// What it is, as the user told it; empty for what was not told.
    pub told: String,
}

impl MapWrite {
    /// A value that user space is said to set.
    pub fn of(object: &Object<'_>, setting: &Setting) -> Option<Self> {
        let map = match setting.home {
            Destination::Data(map) => map,
            Destination::Member(ops, _) => object[ops].map,
        };
        Some(Self {
            map: object[map].name.to_string(),
            offset: usize::try_from(setting.offset).ok()?,
            bytes: setting.bytes.clone(),
            told: setting.assignment.to_string(),
        })
    }
}

/// What a worker is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Index into the report's `objects`.
    pub object: usize,
    /// File to read.
    pub path: String,
    /// libbpf's name for the object.
    pub name: String,
    /// Values that the user tells, written last.
    #[serde(default)]
    pub values: Vec<MapWrite>,
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
