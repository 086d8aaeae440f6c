//! Live mode: asks a real kernel, on this machine or in a throwaway guest, and compares.
//!
//! ```text
//! scx-lint --attach ──> supervise ── pipe ──> worker: attach::run      (this machine)
//! scx-lint --vm ──> vm ── QEMU, serial line ──> guest ── pipe ──> worker (one boot for many objects)
//!                                              └─ Observation, as JSON, all the way back ─> agree, text
//! ```
//!
//! Without the feature `live` only the options exist, and what reads what a kernel and libbpf said ([`pasted`]), which needs no kernel.

pub mod args;

#[cfg(feature = "live")]
pub mod agree;
#[cfg(feature = "live")]
pub mod attach;
#[cfg(feature = "live")]
pub mod difference;
#[cfg(feature = "live")]
mod edits;
#[cfg(feature = "live")]
mod exit;
#[cfg(feature = "live")]
pub mod guest;
#[cfg(feature = "live")]
mod image;
#[cfg(feature = "live")]
pub mod initramfs;
#[cfg(feature = "live")]
pub mod job;
#[cfg(feature = "live")]
mod kconfig;
#[cfg(feature = "live")]
mod kmsg;
#[cfg(feature = "live")]
mod load;
#[cfg(feature = "live")]
mod matrix;
#[cfg(feature = "live")]
mod meaning;
#[cfg(feature = "live")]
mod messages;
#[cfg(feature = "live")]
mod names;
#[cfg(feature = "live")]
mod objection;
pub mod observation;
pub mod pasted;
#[cfg(feature = "live")]
mod qemu;
#[cfg(feature = "live")]
mod run;
#[cfg(feature = "live")]
pub mod running;
#[cfg(feature = "live")]
mod runs;
#[cfg(feature = "live")]
mod sentence;
#[cfg(feature = "live")]
pub mod statistics;
#[cfg(feature = "live")]
pub mod supervise;
#[cfg(feature = "live")]
mod sys;
#[cfg(feature = "live")]
mod text;
#[cfg(feature = "live")]
mod trial;
#[cfg(feature = "live")]
pub mod vm;
#[cfg(feature = "live")]
pub mod wire;
mod word;
#[cfg(feature = "live")]
mod workload;

pub use args::MISSING;

/// The libbpf that is linked here, and that objects are loaded with.
#[cfg(feature = "live")]
pub const LIBBPF: crate::libbpf::Libbpf = crate::libbpf::Libbpf::V1_7;
#[cfg(feature = "live")]
pub use meaning::meaning;
#[cfg(feature = "live")]
pub use run::{Asked, Input, Live, check_files, own_role, run};
#[cfg(feature = "live")]
pub use runs::runs;
#[cfg(feature = "live")]
pub use text::{concise, full};
