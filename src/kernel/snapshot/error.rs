//! Why a snapshot is refused.

use crate::btf;

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 2;

/// Why a snapshot is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The magic is missing.
    #[error("not a kernel snapshot")]
    NotASnapshot,
    /// Written by another version of the format.
    #[error("kernel snapshot of version {got}, this scx-lint reads version {VERSION}; {}", other_version(*got))]
    Version {
        /// What the header says.
        got: u32,
    },
    /// Ends early.
    #[error("kernel snapshot is truncated: {len} bytes")]
    Truncated {
        /// Length of the file.
        len: u64,
    },
    /// The checksum does not match.
    #[error("kernel snapshot is damaged: checksum {got:#010x}, expected {expected:#010x}")]
    Checksum {
        /// Of the bytes read.
        got: u32,
        /// What the header says.
        expected: u32,
    },
    /// The checksum matches, and the content makes no sense.
    #[error("kernel snapshot is malformed: {0}")]
    Corrupt(&'static str),
    /// It shares strings with the built-in releases of another build.
    #[error("kernel snapshot needs the built-in releases of another scx-lint build (strings {wanted:#010x})")]
    Pool {
        /// Which strings it needs.
        wanted: u32,
    },
    /// The types inside are not acceptable.
    #[error("kernel snapshot: {0}")]
    Btf(#[from] btf::Error),
}

/// What to do about a snapshot of another version than this one reads.
fn other_version(got: u32) -> &'static str {
    if got > VERSION {
        "a newer scx-lint wrote it: update this one"
    } else {
        "an older scx-lint wrote it: take it again from the kernel, with 'scx-lint kernel snapshot'"
    }
}

impl Error {
    /// A short stable word for the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotASnapshot => "not-a-snapshot",
            Self::Version { .. } => "unsupported-snapshot",
            Self::Truncated { .. } => "truncated-snapshot",
            Self::Checksum { .. } | Self::Corrupt(_) | Self::Btf(_) => "malformed-snapshot",
            Self::Pool { .. } => "foreign-snapshot",
        }
    }
}
