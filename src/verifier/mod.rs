//! What the kernel's verifier will make of the programs of an object.
//!
//! [`Walk`] is the one face of all that follows registers: whether an instruction is [`reached`](Walk::reached), and
//! what registers hold there ([`Walk::regs_at`]). Behind it are, for now, several followers that know parts of this:
//! [`reach`] paths and what is held on them, `arguments` what is left of a program's arguments, `constants` numbers on a
//! straight line, `callees` and `stack` frames.

mod arguments;
pub mod bpf_check;
mod callees;
mod constants;
mod kept;
pub mod log;
pub mod reach;
mod stack;
mod walk;
pub mod words;

pub use arguments::{Access, Holds, MAX_ARGUMENTS, Tested};
pub use callees::Callees;
pub use kept::Kept;
pub use reach::{Base, Leak, Reached, Read, helper_takes, may_return_null, takes};
pub use stack::{accessed, addressed, without_saved};
pub use walk::{At, Regs, Verifier, Walk};
