//! A built-in release, and the strings that all of them share.

use std::sync::OnceLock;

use crate::kernel::snapshot::{self, Pool, Snapshot};

/// The strings that the releases share.
pub(super) static STRINGS: &[u8] = include_bytes!("strings.pool");

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
