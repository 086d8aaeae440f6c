//! Which instructions of a program the kernel's verifier walks.
//!
//! The verifier explores a program path by path and prunes what it knows cannot be (kernel `do_check`,
//! `is_branch_taken`). Code that it never walks may use what the kernel lacks. Three answers per instruction:
//! sure to be walked, never walked, cannot tell. They come from two passes over the same model of an
//! instruction (`machine`):
//!
//! - `may`: what some path may reach. Paths are joined where they meet; only a branch that every verifier from
//!   6.12 on decides is followed one way. What it does not reach is [`Reached::Never`].
//! - `must`: single paths, as the verifier takes them, along branches that it decides and branches that no
//!   verifier can decide. What they pass is [`Reached::Certain`].
//!
//! Errors are not modelled: the verifier stops at its first one, and what lies behind it is still told apart as
//! if it were not there, except behind code that libbpf poisoned, which is never certain.

mod analysis;
mod code;
mod held;
mod machine;
mod may;
mod model;
mod must;
mod reached;
mod scope;
mod state;
mod value;

pub use analysis::{Analysis, Answers, Reach, Read};
pub use model::{helper_takes, may_return_null, takes};
pub use reached::{Base, Leak, Reached};

#[cfg(test)]
mod tests;
