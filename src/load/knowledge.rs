//! What the verifier will know before a program runs.

use std::collections::HashMap;

use super::core::CoreFate;
use super::edit::{Edit, number};
use super::externs::ExternFate;
use super::load::Load;
use super::loader::Loader;
use super::values::Knobs;
use crate::elf::{ByteOrder, Symbol, SymbolKind};
use crate::kernel::{Kernel, Lookup, usual_nullable_argument};
use crate::object::{FuncIdx, InsnIdx, MapIdx, MapOrigin, MemberInit, Object, OpsIdx};

/// What is known of an extern before the program runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ExternFact {
    /// Nothing.
    #[default]
    Unknown,
    /// It is there: its address is not NULL.
    Resolved,
    /// Weak and not there: its address is 0 and a call to it is poisoned.
    Null,
    /// A kernel configuration value, as libbpf puts it into `.kconfig`: bytes in the object's byte order.
    Value(Vec<u8>),
}

/// What CO-RE makes of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreFact {
    /// Not known. The instruction is taken not to be poisoned: if it is, the program fails all the same.
    Unknown,
    /// This value stands in it: an immediate, or the byte offset of a load or store.
    Value(u64),
    /// It is poisoned: the verifier refuses where it comes to it.
    Poison,
}

/// What is known before the program runs, of the kernel and of what the loader does. By default nothing of the
/// kernel, and `.rodata` is as it stands in the file.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// Per extern, in the order of [`Object::externs`]; one that is missing is unknown.
    pub externs: Vec<ExternFact>,
    /// CO-RE results by function and instruction. A record of the object that is missing here is unknown.
    pub core: HashMap<(FuncIdx, InsnIdx), CoreFact>,
    /// The argument of a callback that may be NULL, if any, as the kernel marks it: by ops variable and member. Of one that is missing
    /// here, the kernel is not known.
    pub nullable: HashMap<(OpsIdx, usize), Option<usize>>,
    /// Edits of `.rodata` maps, the last one for a byte counts.
    pub rodata: Vec<Edit>,
}

impl Knowledge {
    /// The argument of a callback that may be NULL, if any: the kernel's word, or else what is so in all kernels.
    pub(crate) fn nullable_argument(&self, ops: OpsIdx, at: usize, member: &str) -> Option<usize> {
        self.nullable.get(&(ops, at)).copied().unwrap_or_else(|| usual_nullable_argument(member))
    }

    /// The value of so many bytes of a `.rodata` map at load; `None` where it is not known.
    pub(crate) fn rodata_value(&self, object: &Object<'_>, map: MapIdx, at: u64, bytes: u8) -> Option<u64> {
        let end = at.checked_add(u64::from(bytes))?;
        let section = object.elf.section_at(object[map].section.0)?.data?;
        let raw = section.get(usize::try_from(at).ok()?..usize::try_from(end).ok()?)?;
        let (mut value, mut known) = ([0; 8], [true; 8]);
        let value = value.get_mut(..raw.len())?;
        value.copy_from_slice(raw);
        for edit in self.rodata.iter().filter(|edit| edit.map == map) {
            let (from, to) = (edit.start.max(at), edit.start.saturating_add(edit.len).min(end));
            for byte in from..to {
                let index = usize::try_from(byte - edit.start).ok()?;
                let place = usize::try_from(byte - at).ok()?;
                let told = edit.bytes.as_ref().and_then(|bytes| bytes.get(index));
                known[place] = told.is_some();
                value[place] = told.copied().unwrap_or_default();
            }
        }
        known.iter().all(|known| *known).then(|| number(value, object.elf.byte_order))
    }
}

/// Bytes that a loader may write into a variable at most; a larger one becomes unknown as a whole.
const WORD: u64 = 8;

impl Load<'_, '_> {
    /// What the verifier will know before a program runs.
    pub fn knowledge(&self) -> Knowledge {
        let object = self.object;
        let externs = object.externs.iter().zip(&self.externs).map(|(external, fate)| match fate {
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
            | ExternFate::UnknownKconfig
            | ExternFate::UnreadKconfig => ExternFact::Resolved,
            ExternFate::Unknown(_) => ExternFact::Unknown,
        });
        let core = self.core.iter().map(|used| {
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
            nullable: self.kernel.map_or_else(HashMap::new, |kernel| nullable(self, kernel)),
            rodata: self.rodata(),
        }
    }
}

impl Load<'_, '_> {
    /// What becomes of `.rodata`: what scx's loaders do to it, then what is told.
    fn rodata(&self) -> Vec<Edit> {
        let mut edits = match self.loader {
            Loader::Plain => Vec::new(),
            Loader::Scx => edits(self.object, self.kernel, self.values.knobs),
        };
        edits.extend(self.values.edits());
        edits
    }
}

/// What the kernel says of the arguments of its callbacks.
fn nullable(load: &Load<'_, '_>, kernel: &Kernel<'_>) -> HashMap<(OpsIdx, usize), Option<usize>> {
    let mut known = HashMap::new();
    for ((index, ops), fate) in load.object.ops().zip(&load.ops) {
        let Lookup::Found(ops_type) = &fate.ops_type else { continue };
        let members = ops.members.iter().enumerate();
        let callbacks = members.filter(|(_, member)| matches!(member.value, MemberInit::Program(_)));
        for (at, member) in callbacks {
            if let Some(member) = ops_type.member(member.name) {
                known.insert((index, at), member.nullable_argument(kernel));
            }
        }
    }
    known
}

/// The low bytes of a value as they lie in memory.
fn bytes(value: u64, size: u64, order: ByteOrder) -> Vec<u8> {
    let size = size.min(WORD) as usize;
    match order {
        ByteOrder::Little => value.to_le_bytes()[..size].to_vec(),
        ByteOrder::Big => value.to_be_bytes()[8 - size..].to_vec(),
    }
}

/// How long the text of an exit dump is: `UEI_SET_SIZE` and `uei_set_size!` make the array as long as they say here, so that the
/// length that it has in the file stands for whatever they choose.
fn dump_size(object: &Object<'_>, length: &Symbol<'_>) -> Option<u64> {
    let array = length.name.as_deref()?.strip_suffix("_len").filter(|name| name.ends_with("_dump"))?;
    let map = object.maps.iter().find(|map| map.name.strip_prefix(".data.") == Some(array))?;
    Some(map.value_size.into()).filter(|size| *size > 0)
}

/// What scx's user space does to `.rodata`: `__SCX_X` becomes the kernel's enumerator `SCX_X`, or 0 where there is none
/// (`SCX_ENUM_INIT`, `import_enums!`); any other global variable is a knob.
fn edits(object: &Object<'_>, kernel: Option<&Kernel<'_>>, knobs: Knobs) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (index, map) in object.maps.iter().enumerate().filter(|(_, map)| map.origin == MapOrigin::Rodata) {
        let is_knob = |symbol: &&Symbol<'_>| {
            symbol.section == map.section.0
                && symbol.kind == SymbolKind::Object
                && symbol.binding.is_external()
        };
        for symbol in object.elf.symbols.iter().filter(is_knob) {
            let constant = symbol.name.as_deref().and_then(|name| name.strip_prefix("__SCX_"));
            if constant.is_none() && knobs == Knobs::AsInFile {
                continue;
            }
            let value = match (constant, kernel) {
                (Some(name), Some(kernel)) if symbol.size <= WORD => {
                    let name = format!("SCX_{name}");
                    Some(kernel.any_enumerator(&name).unwrap_or(0))
                }
                _ => dump_size(object, symbol),
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
