//! The releases that scx-lint knows without being given a file.
//!
//! Each is a snapshot of the BTF of one kernel of that release; they share one pool of strings. The data files are
//! written by `scripts/builtin-kernels`, and NOTICE says where they come from.

mod table;

use std::sync::OnceLock;

use super::snapshot::{self, Pool, Snapshot};

pub use self::table::RELEASES;

/// The strings that the releases share.
static STRINGS: &[u8] = include_bytes!("builtin/strings.pool");

/// A built-in release.
#[derive(Debug)]
pub struct Release {
    /// What users call it: `7.3`.
    pub name: &'static str,
    /// The point release whose BTF stands for it: `7.3.4`.
    pub release: &'static str,
    /// The package that the BTF is from.
    pub source: &'static str,
    /// The day that kernel was built, `YYYY-MM-DD`.
    pub date: &'static str,
    /// SHA-256 of the BTF, before anything was derived.
    pub btf_sha256: &'static str,
    /// SHA-256 of `bytes`.
    pub sha256: &'static str,
    /// The snapshot.
    pub bytes: &'static [u8],
}

impl Release {
    /// Unpacks the snapshot.
    ///
    /// # Errors
    /// None, unless the program was built from damaged data files.
    pub fn load(&self) -> Result<Snapshot, snapshot::Error> {
        static POOL: OnceLock<Result<Pool, snapshot::Error>> = OnceLock::new();
        let pool = POOL.get_or_init(|| Pool::read(STRINGS)).as_ref().map_err(Clone::clone)?;
        snapshot::read_with(self.bytes, Some(pool))
    }
}

/// The release of that name. A full version such as `7.3.4` is found where it is the very point
/// release whose BTF stands for the series.
pub fn find(name: &str) -> Option<&'static Release> {
    let name = name.strip_prefix('v').unwrap_or(name);
    RELEASES.iter().find(|release| release.name == name || release.release == name)
}
