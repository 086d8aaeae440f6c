//! The machines that kernels are for.

use serde::{Deserialize, Serialize};

/// Architectures that kernels with sched_ext are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Arch {
    X86_64,
    Arm64,
    Riscv64,
    Powerpc64,
    S390x,
    Loongarch64,
}

/// What is taken for granted of a kernel that does not tell.
pub const USUAL_ARCH: Arch = Arch::X86_64;
/// The same of its pages; those of x86-64 have no other size.
pub const USUAL_PAGE: u64 = 4096;

impl Arch {
    /// Its name in JSON and texts, as distributions spell it; of ppc64 the byte order is not told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
            Self::Riscv64 => "riscv64",
            Self::Powerpc64 => "ppc64",
            Self::S390x => "s390x",
            Self::Loongarch64 => "loongarch64",
        }
    }

    /// What stands behind `__TARGET_ARCH_` for libbpf's bpf_tracing.h.
    pub fn target_macro(self) -> &'static str {
        match self {
            Self::X86_64 => "x86",
            Self::Arm64 => "arm64",
            Self::Riscv64 => "riscv",
            Self::Powerpc64 => "powerpc",
            Self::S390x => "s390",
            Self::Loongarch64 => "loongarch",
        }
    }

    /// By the machine number of an ELF file.
    pub(super) fn of_elf(machine: object::elf::Machine) -> Option<Self> {
        use object::elf;
        match machine {
            elf::EM_X86_64 => Some(Self::X86_64),
            elf::EM_AARCH64 => Some(Self::Arm64),
            elf::EM_RISCV => Some(Self::Riscv64),
            elf::EM_PPC64 => Some(Self::Powerpc64),
            elf::EM_S390 => Some(Self::S390x),
            elf::EM_LOONGARCH => Some(Self::Loongarch64),
            _ => None,
        }
    }
}
