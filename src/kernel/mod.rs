//! What a target kernel offers: types, kfuncs, ops members, and the rules that it enforces.
//!
//! Every question is answered out of the kernel's BTF: distributions backport, so a release string
//! proves little. What BTF cannot show stands in [`exceptions`] and [`kfuncs`]. An answer is found,
//! absent, or unknown with its reason: where the BTF at hand was cut, or is that of a smaller
//! configuration, a name that is missing proves nothing.

#[cfg(test)]
mod at_hand;
pub mod builtin;
pub mod exceptions;
mod forms;
mod gates;
pub mod image;
// What the folder is about is the struct of that name.
#[expect(clippy::module_inception)]
mod kernel;
pub mod kfuncs;
mod limits;
mod lookup;
mod modules;
mod ops;
mod prototypes;
pub mod snapshot;
pub mod target;

pub use forms::cpu_name;
pub use gates::{KernelArenaRule, KfuncGate};
pub use kernel::{Home, Kernel};
pub use lookup::{Lookup, Reason};
pub use modules::{Module, Modules};
pub use ops::{OpsMember, OpsType};
pub use prototypes::Kfunc;
pub use target::{Source, Target};
