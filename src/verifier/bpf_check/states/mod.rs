//! Where paths are compared and forgotten: `is_state_visited`, `states_equal` and what they need.

mod checkpoints;
mod clean;
mod equal;
mod loops;
mod trace;
mod visited;

pub use checkpoints::{Checkpoint, Checkpoints};
pub use trace::{Jump, LinkedReg, Trace};
