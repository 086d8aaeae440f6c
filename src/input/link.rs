//! Which objects are only there to be linked into another.
//!
//! A build with several sources compiles each to an object and links these to the one that is loaded (`bpf_linker`, `bpftool gen object`).
//! The linker keeps every symbol that is not local, and the name of every source (`STT_FILE`), so the whole tells what it was made of.

use std::collections::{BTreeMap, BTreeSet};

use crate::elf::{Binding, Elf, SymbolKind};

/// `STT_FILE`: the name of a source.
const STT_FILE: SymbolKind = SymbolKind::Other(4);
/// First of the section indexes that are none.
const SHN_LORESERVE: u32 = 0xff00;

/// What linking an object turns on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Linkage {
    /// Sources that it was compiled from.
    sources: BTreeSet<String>,
    /// What it defines for others.
    defines: BTreeMap<String, Definition>,
    /// What it wants of others: of another object, or of the kernel.
    wants: BTreeSet<String>,
    /// It has an ops variable: it may be a scheduler by itself.
    has_ops: bool,
}

/// A symbol that others may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Definition {
    kind: SymbolKind,
    size: u64,
    /// Another object's may be taken in its place.
    weak: bool,
}

impl Definition {
    /// Whether this is what the linker made of the other.
    fn is_of(self, part: Self) -> bool {
        self.kind == part.kind && (part.weak || self.size == part.size)
    }
}

impl Linkage {
    /// Of an object's bytes; `None` where they are none.
    pub(super) fn of(data: &[u8]) -> Option<Self> {
        let elf = Elf::parse(data).ok()?;
        let mut found = Self {
            has_ops: elf.sections.iter().any(|section| section.name.starts_with(".struct_ops")),
            ..Self::default()
        };
        for symbol in &elf.symbols {
            let Some(name) = symbol.name.as_deref().filter(|name| !name.is_empty()) else { continue };
            match symbol.section {
                _ if symbol.kind == STT_FILE => {
                    found.sources.insert(name.to_owned());
                }
                _ if !symbol.binding.is_external() => {}
                0 => {
                    found.wants.insert(name.to_owned());
                }
                1..SHN_LORESERVE => {
                    let weak = symbol.binding == Binding::Weak;
                    let definition = Definition { kind: symbol.kind, size: symbol.size, weak };
                    found.defines.insert(name.to_owned(), definition);
                }
                _ => {}
            }
        }
        Some(found)
    }

    /// The names that it defines.
    pub(super) fn defined(&self) -> impl Iterator<Item = &str> {
        self.defines.keys().map(String::as_str)
    }

    /// Whether this object is linked from the other and more: it has all that the other defines, and either what the other wants, or
    /// sources besides the other's. An object with an ops variable that wants nothing of the whole is a scheduler by itself.
    pub(super) fn is_linked_from(&self, part: &Self) -> bool {
        let wants = part.wants.iter().any(|name| self.defines.contains_key(name));
        let has_more = !part.sources.is_empty()
            && part.sources.len() < self.sources.len()
            && part.sources.is_subset(&self.sources);
        (wants || (has_more && !part.has_ops))
            && !part.defines.is_empty()
            && part
                .defines
                .iter()
                .all(|(name, what)| self.defines.get(name).is_some_and(|own| own.is_of(*what)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linkage(sources: &[&str], defines: &[(&str, u64)], wants: &[&str], has_ops: bool) -> Linkage {
        Linkage {
            sources: sources.iter().map(|&name| name.to_owned()).collect(),
            defines: defines
                .iter()
                .map(|&(name, size)| {
                    (name.to_owned(), Definition { kind: SymbolKind::Func, size, weak: name == "weak" })
                })
                .collect(),
            wants: wants.iter().map(|&name| name.to_owned()).collect(),
            has_ops,
        }
    }

    #[test]
    fn an_object_that_wants_what_the_whole_defines_is_a_part_of_it() {
        let whole = linkage(&[], &[("enqueue", 80), ("helper", 40)], &["kfunc"], true);
        assert!(whole.is_linked_from(&linkage(&[], &[("enqueue", 80)], &["helper", "kfunc"], true)));
        // A kfunc is wanted of the kernel, by the whole too.
        assert!(!whole.is_linked_from(&linkage(&[], &[("enqueue", 80)], &["kfunc"], true)));
        // Another of the same name.
        assert!(!whole.is_linked_from(&linkage(&[], &[("enqueue", 88)], &["helper"], true)));
        assert!(!whole.is_linked_from(&linkage(&[], &[("enqueue", 80), ("more", 8)], &["helper"], true)));
        assert!(!whole.is_linked_from(&linkage(&[], &[], &["helper"], false)));
        // Of several weak ones the linker takes one.
        let whole = linkage(&[], &[("weak", 80), ("helper", 40)], &[], true);
        assert!(whole.is_linked_from(&linkage(&[], &[("weak", 8)], &["helper"], true)));
    }

    #[test]
    fn sources_tell_where_nothing_is_wanted() {
        let whole = linkage(&["main.bpf.c", "lib.bpf.c"], &[("enqueue", 80), ("helper", 40)], &[], true);
        let lib = linkage(&["lib.bpf.c"], &[("helper", 40)], &[], false);
        assert!(whole.is_linked_from(&lib));
        // It has an ops variable and wants nothing of the whole: it can be loaded.
        assert!(!whole.is_linked_from(&linkage(&["lib.bpf.c"], &[("helper", 40)], &[], true)));
        // From elsewhere, or not told from where.
        assert!(!whole.is_linked_from(&linkage(&["other.bpf.c"], &[("helper", 40)], &[], false)));
        assert!(!whole.is_linked_from(&linkage(&[], &[("helper", 40)], &[], false)));
        // Neither is a part of itself.
        assert!(!whole.is_linked_from(&whole) && !lib.is_linked_from(&lib));
    }
}
