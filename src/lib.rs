//! Preflight for Linux sched_ext BPF schedulers: will a compiled object open, load, attach and stay enabled, on which kernels,
//! and which line is to blame if not. No kernel is asked, and no program is run.
//!
//! [`lint()`] judges an object on its own, [`lint_for`] for named kernels. Both give a [`Report`], which is the document of
//! `--format json` (schema in [`report::SCHEMA`]).
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/obj/clang-19");
//! let object = std::fs::read(format!("{folder}/missing-arena__no_arena.bpf.o"))?;
//! let report = scx_lint::lint(&object, &scx_lint::Options::default());
//!
//! let error = report.errors().next().expect("this scheduler does not attach");
//! assert_eq!(error.rule.name, "missing-arena");
//! assert_eq!(error.phase, scx_lint::rule::Phase::Attach);
//! assert_eq!(error.errno, Some(scx_lint::errno::Errno::EINVAL));
//! assert!(error.locations[0].file.as_deref().is_some_and(|file| file.ends_with(".bpf.c")));
//! # Ok(())
//! # }
//! ```
//!
//! In a build script, a scheduler that some kernel of its users would refuse ends the build:
//!
//! ```no_run
//! use scx_lint::kernel::{Kernel, target};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let targets = target::load("6.18,7.3")?;
//! let kernels = targets.iter().map(Kernel::new).collect::<Result<Vec<_>, _>>()?;
//! let object = std::fs::read("sched.bpf.o")?;
//! let report = scx_lint::lint_for("sched.bpf.o", &object, &kernels, &scx_lint::Options::default());
//! for error in report.errors() {
//!     println!("cargo::error={}: {}", error.rule.name, error.message);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Cargo features: `cli` (default) is the command line with its reports; without it the crate is what these functions need.

#![cfg_attr(not(feature = "live"), forbid(unsafe_code))]

#[macro_use]
pub mod rule;

pub mod btf;
pub mod checks;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
pub mod elf;
pub mod errno;
pub mod finding;
#[cfg(feature = "cli")]
pub mod input;
pub mod insn;
pub mod kernel;
pub mod libbpf;
pub mod lint;
#[cfg(feature = "cli")]
pub mod live;
pub mod load;
pub mod object;
mod regular;
#[cfg(feature = "cli")]
mod replace;
pub mod report;
mod suggest;
pub mod suppress;
pub mod verifier;

pub use checks::Options;
pub use report::Document as Report;

use kernel::Kernel;
use object::Object;

/// Lints the bytes of a BPF object on its own: a rule reports an error only where every built-in release that has the ops
/// type would refuse.
///
/// Bytes that are no BPF object give a report whose one object has an [`error`](report::ObjectDoc::error). Programs that embed
/// objects, and sources, are for the command line.
pub fn lint(bytes: &[u8], options: &Options) -> Report {
    lint_for("object.bpf.o", bytes, &[], options)
}

/// Lints the bytes of a BPF object for kernels. `name` stands for it in the report, and libbpf's name for the object, which goes into
/// the names of its data maps, is the file name in it up to the first dot.
///
/// Findings that a tag in the object allows ([`suppress`]) are in [`Report::suppressed`].
pub fn lint_for(name: &str, bytes: &[u8], kernels: &[Kernel<'_>], options: &Options) -> Report {
    let kernels: Vec<&Kernel<'_>> = kernels.iter().collect();
    let file = name.rsplit('/').next().unwrap_or(name);
    match Object::open_with(bytes, file, options.libbpf) {
        Ok(object) => lint::lint(name, &object, &kernels, &load::Values::default(), &[], options),
        Err(error) => {
            let mut report = Report::for_kernels(&kernels);
            report.assumptions.libbpf = options.libbpf.as_str();
            report.add_error(name, error.code(), error.to_string());
            report
        }
    }
}
