//! Loads, stores and atomic operations (`check_mem_access` and what it asks).

use super::checker::Checker;
use super::refusal::{Step, Stop};
use super::reg::Reg;
use crate::insn::{Op, Width};

/// A load or store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The register that holds the address.
    pub base: u8,
    /// What is added to it, bytes.
    pub off: i32,
    /// How much.
    pub width: Width,
    /// It is a store.
    pub write: bool,
    /// The register that is stored or loaded into; `None` where something unknown is stored, or what is loaded does not matter.
    pub value: Option<u8>,
    /// The number that is stored (`BPF_ST`).
    pub imm: Option<i32>,
    /// The load extends by the sign.
    pub sign: bool,
    /// The address must be aligned whatever the pointer.
    pub strict: bool,
}

impl Access {
    /// Bytes.
    pub fn size(&self) -> i64 {
        i64::from(self.width.bytes())
    }
}

impl Checker<'_, '_> {
    /// A load, store or atomic instruction.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_memory(&mut self, _op: Op) -> Step {
        Err(Stop::unmodelled("memory"))
    }

    /// An access to memory of known size at a register plus an offset (`check_mem_region_access`); `name` is the register's.
    ///
    /// # Errors
    /// It may lie outside.
    pub fn check_region(
        &self,
        _reg: &Reg,
        _name: &str,
        _off: i64,
        _size: i64,
        _mem_size: u64,
        _zero_ok: bool,
    ) -> Step {
        Err(Stop::unmodelled("memory"))
    }

    /// An access to the value of a map, by an instruction (`direct`) or a helper (`check_map_access`).
    ///
    /// # Errors
    /// It may lie outside, or touch a special field.
    pub fn check_map_access(
        &mut self,
        _reg: &Reg,
        _name: &str,
        _off: i64,
        _size: i64,
        _zero_ok: bool,
        _direct: bool,
    ) -> Step {
        Err(Stop::unmodelled("memory"))
    }

    /// What may be done with the values of a map at all (`check_map_access_type`).
    ///
    /// # Errors
    /// The map's flags forbid it.
    pub fn check_map_access_type(&self, _reg: &Reg, _off: i64, _size: i64, _write: bool) -> Step {
        Err(Stop::unmodelled("memory"))
    }

    /// A helper or kfunc reads or writes the stack (`check_stack_range_initialized`). With `raw` what it reads may be
    /// uninitialized: it is written.
    ///
    /// # Errors
    /// It lies outside the stack, or is not initialized.
    pub fn check_stack_range(
        &mut self,
        _reg: &Reg,
        _name: &str,
        _off: i64,
        _size: i64,
        _zero_ok: bool,
        _write: bool,
        _raw: bool,
    ) -> Step {
        Err(Stop::unmodelled("memory"))
    }

    /// A pointer is used as it was handed out (`__check_ptr_off_reg`).
    ///
    /// # Errors
    /// Something was added to it.
    pub fn check_ptr_off(&self, _reg: &Reg, _name: &str, _fixed_ok: bool) -> Step {
        Err(Stop::unmodelled("memory"))
    }

    /// An access to memory by an instruction, or as if by one (`check_mem_access`); `base` is the register as it is.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_mem_access(&mut self, _base: &Reg, _access: Access) -> Step {
        Err(Stop::unmodelled("memory"))
    }
}
