//! The releases of libbpf, as far as they differ in what is modelled.

use std::fmt;

/// A release of libbpf.
///
/// The default is the newest that is modelled: the one of the 7.3 kernel's tree, which calls itself 1.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
#[non_exhaustive]
pub enum Libbpf {
    /// 1.7, the newest that was released on its own, and what libbpf-rs links.
    V1_7,
    /// 1.8.
    #[default]
    V1_8,
}

impl Libbpf {
    /// All of them, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1_7, Self::V1_8];

    /// Its number, as `libbpf_version_string` gives it without the `v`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_7 => "1.7",
            Self::V1_8 => "1.8",
        }
    }
}

impl fmt::Display for Libbpf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
