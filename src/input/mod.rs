//! What a user names to bytes: files, folders, patterns, sources, and programs that embed objects.

mod binary;
mod compile;
mod embedded;
mod error;
mod load;
mod walk;

pub(crate) use binary::is_binary;
pub use compile::Compiler;
pub(crate) use compile::relative_to;
pub use load::{Loaded, Part, file_name, load, read};
pub use walk::{InputFile, expand};
