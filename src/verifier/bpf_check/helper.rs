//! Calls of helpers (`check_helper_call`).

use super::checker::{Checker, Next};
use super::refusal::{Step, Stop};

impl Checker<'_, '_> {
    /// A call of a helper.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_helper_call(&mut self, number: i32) -> Step<Next> {
        Err(Stop::unmodelled(format!("the call of helper {number}")))
    }
}
