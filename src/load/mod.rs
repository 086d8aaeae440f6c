//! What loading would make of an object: user space's edits, then libbpf's `bpf_object__load` against one kernel.
//!
//! Follows libbpf: externs (`bpf_object__resolve_externs`), struct_ops maps
//! (`bpf_map__init_kern_struct_ops`), the choice of programs (`bpf_object_adjust_struct_ops_autoload`)
//! and CO-RE (`bpf_object__relocate_core`). Without a kernel everything that depends on one is unknown.

mod core;
mod edit;
mod externs;
mod knowledge;
// What the folder is about is the struct of that name.
#[expect(clippy::module_inception)]
mod load;
mod loader;
mod ops;
pub mod scx_loader;
mod values;

pub use self::core::{CoreFate, CoreUse};
pub use edit::Edit;
pub(crate) use edit::number;
pub use externs::{ExternFate, is_always_set};
pub use knowledge::{CoreFact, ExternFact, Knowledge};
pub use load::Load;
pub use loader::Loader;
pub use ops::{MemberFate, OpsFate};
pub use values::{Assignment, Destination, Knobs, Setting, ValueError, Values, in_file, name_at};
