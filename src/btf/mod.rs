//! The `.BTF` section: types by id, names, sizes; by Documentation/bpf/btf.rst.
//!
//! Zero-copy: parsing notes where each type starts and checks what libbpf's `btf__new` checks
//! (`btf_parse_hdr`, `btf_parse_str_sec`, `btf_parse_type_sec`, `btf_sanity_check`; libbpf 1.7 and 1.8).
//! What libbpf accepts is accepted here, and what it refuses is an [`Error`].

#[doc(hidden)]
pub mod build;
mod compat;
pub mod core;
mod declaration;
mod error;
mod ext;
mod ids;
mod names;
mod parse;
mod reader;
mod section;
mod sizes;
mod tables;
mod types;

pub use compat::{Budget, fields_are_compat, types_are_compat, types_are_compat_within, types_match};
pub use declaration::{PrototypeDifference, prototype_differences};
pub use error::Error;
pub use ext::{BtfExt, CoreRelo, FuncInfo, LineInfo};
pub use ids::{StrOff, TypeId};
pub use names::{Names, essential_name};
pub use section::Btf;
pub(crate) use section::Index;
pub use types::{
    Array, Composite, DataSec, Enumerator, Enumerators, FuncProto, Kind, Linkage, Member, Param, Type,
    VarSecInfo,
};

#[cfg(test)]
mod tests;
