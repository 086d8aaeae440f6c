//! Program types.

/// What a section name makes of the programs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramKind(pub(super) &'static str);

impl ProgramKind {
    /// `BPF_PROG_TYPE_STRUCT_OPS`.
    pub const STRUCT_OPS: Self = Self("struct_ops");
    /// `BPF_PROG_TYPE_SYSCALL`.
    pub const SYSCALL: Self = Self("syscall");
    /// No section name that libbpf knows.
    pub const UNSPEC: Self = Self("unspec");

    /// The program type's name in lower case, as bpftool prints it.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}
