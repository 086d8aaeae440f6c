//! Loads and stores through pointers to kernel objects (`check_ptr_to_btf_access`, `btf_struct_access`).

use super::checker::Checker;
use super::mem::Access;
use super::refusal::{Step, Stop};
use super::reg::{MapRef, Reg, TypeRef};

impl Checker<'_, '_> {
    /// An access through a pointer to a type; a load puts what it reads into its register.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_btf_access(&mut self, _base: &Reg, _ty: TypeRef, _access: Access) -> Step {
        Err(Stop::unmodelled("fields of kernel objects"))
    }

    /// An access to the kernel's own struct of a map (`check_ptr_to_map_access`).
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_map_struct_access(&mut self, _base: &Reg, _map: MapRef, _access: Access) -> Step {
        Err(Stop::unmodelled("fields of a map"))
    }

    /// A load or store at a kptr in a map's value (`check_map_kptr_access`).
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_kptr_access(&mut self, _field: super::record::Field, _access: Access) -> Step {
        Err(Stop::unmodelled("kptrs in maps"))
    }

    /// A variable of the kernel by its address (`check_pseudo_btf_id`): what the register holds.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn kernel_variable(&mut self, _home: crate::kernel::Home, _var: crate::btf::TypeId) -> Step<Reg> {
        Err(Stop::unmodelled("variables of the kernel"))
    }
}
