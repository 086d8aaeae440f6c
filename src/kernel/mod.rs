//! What a target kernel offers: types, kfuncs, ops members, and the rules that it enforces.
//!
//! Every question is answered out of the kernel's BTF: distributions backport, so a release string
//! proves little. What BTF cannot show stands in [`exceptions`] and [`kfuncs`]. An answer is found,
//! absent, or unknown with its reason: where the BTF at hand was cut, or is that of a smaller
//! configuration, a name that is missing proves nothing.

mod arch;
#[cfg(test)]
mod at_hand;
pub mod builtin;
pub mod cache;
pub mod callback;
pub mod config;
pub mod exceptions;
mod forms;
mod gates;
mod healed;
pub mod helpers;
pub mod image;
// What the folder is about is the struct of that name.
#[expect(clippy::module_inception)]
mod kernel;
pub mod kfunc_flags;
mod kfunc_lookup;
pub mod kfuncs;
pub mod license;
mod limits;
mod lookup;
mod machine;
pub mod map_types;
mod modules;
mod ops;
pub mod ops_flags;
mod pack;
mod prototypes;
pub mod snapshot;
pub mod special_fields;
pub mod target;
pub mod trust;

pub use arch::{Arch, USUAL_ARCH, USUAL_PAGE};
pub use config::{ConfigOrigin, KernelConfig};
pub use forms::cpu_name;
pub use gates::{KernelArenaRule, KfuncGate};
pub use kernel::{Home, Kernel};
pub use limits::MAX_CALL_FRAMES;
pub use lookup::{DecidedBy, Lookup, Reason};
pub use modules::{Module, Modules};
pub use ops::{NULLABLE_ARGUMENTS, OpsMember, OpsType, usual_nullable_argument};
pub use prototypes::Kfunc;
pub use target::{Source, Target};
