//! 64-bit immediates (`check_ld_imm`) and loads from packets.

use super::checker::{Checker, Next};
use super::refusal::{Step, Stop};
use crate::insn::Op;

impl Checker<'_, '_> {
    /// A 64-bit immediate.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_load_imm(&mut self, _dst: u8) -> Step {
        Err(Stop::unmodelled("immediates"))
    }

    /// A load from a packet.
    ///
    /// # Errors
    /// It is not modelled.
    pub fn check_load_packet(&mut self, _op: Op) -> Step<Next> {
        Err(Stop::unmodelled("loads from packets"))
    }
}
