//! Who opens and loads the object.

use crate::elf::SymbolKind;
use crate::object::Object;

/// What user space does between open and load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Loader {
    /// Nothing.
    #[default]
    Plain,
    /// What `SCX_OPS_OPEN` and `scx_ops_open!` do: set constants, and clear members that the kernel lacks.
    Scx,
}

impl Loader {
    /// The loader that an object is made for: `__SCX_*` constants mark those that the headers of scx made.
    pub fn of(object: &Object<'_>) -> Self {
        let is_marked = object.elf.symbols.iter().any(|symbol| {
            symbol.kind == SymbolKind::Object
                && symbol.name.as_deref().is_some_and(|name| name.starts_with("__SCX_"))
        });
        if is_marked { Self::Scx } else { Self::Plain }
    }

    /// The word used in JSON and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Scx => "scx",
        }
    }
}
