//! An undefined symbol that libbpf resolves at load.

use crate::btf::TypeId;

/// How an extern is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExternKind {
    /// A kernel configuration value, in the `.kconfig` map.
    Kconfig,
    /// A kernel variable.
    Ksym,
    /// A kernel function.
    Kfunc,
}

/// An undefined symbol that libbpf resolves at load.
#[derive(Debug)]
pub struct Extern<'d> {
    /// Name, with its flavour.
    pub name: &'d str,
    /// Which kind.
    pub kind: ExternKind,
    /// May be missing.
    pub weak: bool,
    /// VAR or FUNC in the object's BTF.
    pub type_id: TypeId,
    /// Index in the ELF symbol table.
    pub(super) symbol: usize,
    /// Alignment and size of a kconfig value, bytes.
    pub(super) layout: (u32, u32),
}
