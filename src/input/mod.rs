//! What a user names to bytes: files, folders, patterns, sources, and programs that embed objects.

mod binary;
mod compile;
mod embedded;
mod error;
mod flags;
mod link;
mod load;
mod once;
mod walk;

pub(crate) use binary::is_binary;
pub use compile::{Compiler, Refused};
pub(crate) use compile::{left_out, relative_to};
pub(crate) use flags::describing;
pub use load::{Loaded, Part, file_name, load, read};
pub use walk::{Expanded, InputFile, expand};
