//! What lay among the inputs and was not judged, or was left out of how one was compiled.

use serde::Serialize;

/// Something that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PassedDoc {
    /// What it was.
    pub path: String,
    /// Why, as a word.
    pub why: PassedOver,
    /// Why, in a sentence that goes on after the path.
    pub words: String,
}

/// Why something was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PassedOver {
    /// An object that another one is linked from.
    LinkInput,
    /// The same bytes as an object in a better place.
    Copy,
    /// A source in a folder, without leave to compile it.
    NotCompiled,
    /// A folder whose name starts with a dot.
    Hidden,
    /// A folder that `.gitignore` or the like names.
    Ignored,
    /// A symbolic link to an object, a source or a folder.
    Link,
    /// A symbolic link that leads to nothing.
    Dangling,
    /// A FIFO, socket or device.
    Special,
    /// Flags that were found beside a source and do more than describe it.
    Flags,
}

impl PassedDoc {
    /// Something that was passed over.
    pub fn new(path: impl Into<String>, why: PassedOver, words: impl Into<String>) -> Self {
        Self { path: path.into(), why, words: words.into() }
    }
}
