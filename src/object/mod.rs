//! What libbpf would build out of a file: maps, programs, struct_ops maps, externs, and which maps each program uses.
//!
//! Follows `bpf_object__open` of a release of libbpf ([`Libbpf`](crate::libbpf::Libbpf)) step by step. Every reason for which libbpf would
//! refuse the file is kept as a [`Refusal`]; reading goes on past those that leave something to read.

mod debug;
mod external;
mod function;
mod indexes;
mod kind;
mod lines;
mod map;
mod map_flags;
mod map_type;
// What the folder is about is the struct of that name.
#[expect(clippy::module_inception)]
mod object;
mod open;
mod ops;
mod own_lines;
mod refusal;
mod section_name;

pub use external::{Extern, ExternKind};
pub use function::{Entry, Function, MapUse, Ref, Referent};
pub use indexes::{ExternIdx, FuncIdx, InsnIdx, MapIdx, OpsIdx};
pub use kind::ProgramKind;
pub use lines::{Blame, SourceLine};
pub use map::{Map, MapOrigin, PAGE_SIZE, ProgramSlot};
pub use map_flags::*;
pub use map_type::MapType;
pub use object::Object;
pub use ops::{Form, Member, MemberInit, StructOps};
pub use refusal::{Cause, Item, Refusal};
pub use section_name::{AttachTarget, SectionName};
