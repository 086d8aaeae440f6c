//! How much of a register or of memory an operation takes.

/// How much of a register or of memory an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// `BPF_B`, 1 byte.
    B1,
    /// `BPF_H`, 2 bytes.
    B2,
    /// `BPF_W`, 4 bytes.
    B4,
    /// `BPF_DW`, 8 bytes.
    B8,
}

impl Width {
    /// Size in bytes.
    pub fn bytes(self) -> u8 {
        match self {
            Self::B1 => 1,
            Self::B2 => 2,
            Self::B4 => 4,
            Self::B8 => 8,
        }
    }

    /// The width of so many bytes.
    pub fn of(bytes: u32) -> Option<Self> {
        Some(match bytes {
            1 => Self::B1,
            2 => Self::B2,
            4 => Self::B4,
            8 => Self::B8,
            _ => return None,
        })
    }

    /// `BPF_SIZE` of an opcode.
    pub(super) fn in_code(code: u8) -> Self {
        match code & 0x18 {
            0x00 => Self::B4,
            0x08 => Self::B2,
            0x10 => Self::B1,
            _ => Self::B8,
        }
    }

    /// The bits that stand for it in an opcode.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::B4 => 0x00,
            Self::B2 => 0x08,
            Self::B1 => 0x10,
            Self::B8 => 0x18,
        }
    }
}
