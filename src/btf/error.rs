//! Why a `.BTF` or `.BTF.ext` section is refused.

use super::ids::TypeId;
use super::types::Kind;

/// A section that libbpf's parser refuses. Offsets of types count from the start of the type section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    #[error("header: {len} bytes, expected at least 24")]
    HeaderTruncated { len: u64 },
    #[error("header: magic {got:#06x}, expected 0xeb9f")]
    Magic { got: u16 },
    #[error("header: version {got}, expected 1")]
    Version { got: u8 },
    #[error("truncated: its header tells of {needs} bytes, there are {len}")]
    Truncated { needs: u64, len: u64 },
    #[error("header: length {got}, there are {len} bytes")]
    HeaderLength { got: u64, len: u64 },
    #[error("header: length {got}, expected 24 in the other byte order")]
    ForeignHeaderLength { got: u64 },
    #[error(
        "header: types at {type_off:#x} of {type_len} bytes and strings at {str_off:#x} of {str_len} bytes do not fit {len} bytes in that order"
    )]
    Layout { type_off: u64, type_len: u64, str_off: u64, str_len: u64, len: u64 },
    #[error("strings at {offset:#x} of {len} bytes: expected a NUL first and last")]
    Strings { offset: u64, len: u64 },
    #[error("type {id} at {offset:#x}: needs {needs} bytes, {left} left")]
    TypeTruncated { id: TypeId, offset: u64, needs: u64, left: u64 },
    #[error("type {id} at {offset:#x}: kind {kind} is unknown, expected 1 to 19")]
    UnknownKind { id: TypeId, offset: u64, kind: u32 },
    #[error("type {id} {}: refers to type {target}, there are {count}", kind.as_str())]
    TypeId { id: TypeId, kind: Kind, target: TypeId, count: u32 },
    #[error("type {id} {}: name offset {offset:#x}, there are {len} bytes of strings", kind.as_str())]
    StringOffset { id: TypeId, kind: Kind, offset: u32, len: u64 },
    #[error("type {id} func: refers to type {target}, expected a func_proto")]
    NotFuncProto { id: TypeId, target: TypeId },
    #[error(".BTF.ext {what} at {offset:#x}: {problem}")]
    Ext { what: &'static str, offset: u64, problem: &'static str },
}
