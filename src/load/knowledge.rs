//! What the verifier will know before a program runs, for [`crate::reach`].

use std::collections::HashMap;

use super::{CoreFate, ExternFate, Load};
use crate::elf::{ByteOrder, Symbol, SymbolKind};
use crate::kernel::Kernel;
use crate::object::{MapIdx, MapOrigin, Object};
use crate::reach::{CoreFact, Edit, ExternFact, Knowledge};

/// Bytes that a loader may write into a variable at most; a larger one becomes unknown as a whole.
const WORD: u64 = 8;

pub(super) fn knowledge(object: &Object<'_>, kernel: Option<&Kernel<'_>>, load: &Load<'_, '_>) -> Knowledge {
    let externs = object.externs.iter().zip(&load.externs).map(|(external, fate)| match fate {
        ExternFate::Kfunc(_) | ExternFate::Variable(..) => ExternFact::Resolved,
        ExternFate::Null | ExternFate::NullMismatched(_) => ExternFact::Null,
        ExternFate::Kconfig(value) => {
            let btf = object.btf.as_ref();
            let size = btf.and_then(|btf| btf.size_of(btf.get(external.type_id)?.target()));
            match size.filter(|size| (1..=WORD).contains(size)) {
                Some(size) => ExternFact::Value(bytes(*value, size, object.elf.byte_order)),
                None => ExternFact::Unknown,
            }
        }
        // With these the load fails before the verifier sees anything.
        ExternFate::Missing
        | ExternFate::MismatchedKfunc(_)
        | ExternFate::MismatchedVariable(..)
        | ExternFate::UnknownKconfig => ExternFact::Resolved,
        ExternFate::Unknown(_) => ExternFact::Unknown,
    });
    let core = load.core.iter().map(|used| {
        let fact = match &used.fate {
            CoreFate::Value(value) => CoreFact::Value(*value),
            CoreFate::Poison(_) => CoreFact::Poison,
            CoreFate::Refused { .. } | CoreFate::Unknown(_) => CoreFact::Unknown,
        };
        ((used.function, used.insn), fact)
    });
    Knowledge {
        externs: externs.collect(),
        core: core.collect(),
        rodata: if load.is_edited() { edits(object, kernel) } else { Vec::new() },
        created: HashMap::new(),
    }
}

/// The low bytes of a value as they lie in memory.
fn bytes(value: u64, size: u64, order: ByteOrder) -> Vec<u8> {
    let size = size.min(WORD) as usize;
    match order {
        ByteOrder::Little => value.to_le_bytes()[..size].to_vec(),
        ByteOrder::Big => value.to_be_bytes()[8 - size..].to_vec(),
    }
}

/// What scx's user space does to `.rodata`: `__SCX_X` becomes the kernel's enumerator `SCX_X`, or 0 where there is none
/// (`SCX_ENUM_INIT`, `import_enums!`); any other global variable is a knob.
fn edits(object: &Object<'_>, kernel: Option<&Kernel<'_>>) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (index, map) in object.maps.iter().enumerate().filter(|(_, map)| map.origin == MapOrigin::Rodata) {
        let is_knob = |symbol: &&Symbol<'_>| {
            symbol.section == map.section.0
                && symbol.kind == SymbolKind::Object
                && symbol.binding.is_external()
        };
        for symbol in object.elf.symbols.iter().filter(is_knob) {
            let constant = symbol.name.as_deref().and_then(|name| name.strip_prefix("__SCX_"));
            let value = match (constant, kernel) {
                (Some(name), Some(kernel)) if symbol.size <= WORD => {
                    let name = format!("SCX_{name}");
                    Some(kernel.any_enumerator(&name).unwrap_or(0))
                }
                _ => None,
            };
            edits.push(Edit {
                map: MapIdx(index),
                start: symbol.value,
                len: symbol.size,
                bytes: value.map(|value| bytes(value, symbol.size, object.elf.byte_order)),
            });
        }
    }
    edits
}
