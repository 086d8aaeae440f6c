//! What scx's user space edits between open and load (`SCX_OPS_OPEN`, `scx_ops_open!`), done for real.

use libbpf_rs::OpenObject;

use super::job::MapWrite;
use super::names::map_name;
use super::running::{self, Types};
use crate::elf::SymbolKind;
use crate::load::scx_loader;
use crate::object::{MemberInit, Object, StructOps};

/// Edits an object for the running kernel. Gives one sentence for each edit, or for each that failed.
pub fn apply(open: &mut OpenObject, object: &Object<'_>, kernel: &Types<'_>) -> Vec<String> {
    let mut said = Vec::new();
    let mut patches = constants(object, kernel, &mut said);
    for (_, ops) in object.schedulers() {
        patches.extend(members(object, ops, kernel, &mut said));
    }
    write(open, patches, &mut said);
    said
}

/// Writes values that the user tells. Gives one sentence for each.
pub fn tell(open: &mut OpenObject, values: &[MapWrite]) -> Vec<String> {
    let mut said: Vec<String> = values.iter().map(|value| format!("set {}", value.told)).collect();
    write(open, values.to_vec(), &mut said);
    said
}

fn write(open: &mut OpenObject, patches: Vec<MapWrite>, said: &mut Vec<String>) {
    for patch in patches {
        let mut maps = open.maps_mut();
        let map = maps.find(|map| map_name(&map.name().to_string_lossy()) == patch.map);
        let done = map.is_some_and(|mut map| {
            let room = map.initial_value_mut();
            let room = room.and_then(|value| value.get_mut(patch.offset..)?.get_mut(..patch.bytes.len()));
            room.is_some_and(|room| {
                room.copy_from_slice(&patch.bytes);
                true
            })
        });
        if !done {
            said.push(format!(
                "could not write {} bytes at {:#x} of map '{}'",
                patch.bytes.len(),
                patch.offset,
                patch.map
            ));
        }
    }
}

/// The `__SCX_*` variables: `__SCX_NAME` gets the value of enumerator `SCX_NAME`, and stays 0 where the
/// kernel has none.
fn constants(object: &Object<'_>, kernel: &Types<'_>, said: &mut Vec<String>) -> Vec<MapWrite> {
    let variables: Vec<_> = object
        .elf
        .symbols
        .iter()
        .filter(|symbol| symbol.kind == SymbolKind::Object && matches!(symbol.size, 4 | 8))
        .filter_map(|symbol| {
            let name = symbol.name.as_deref()?.strip_prefix("__").filter(|name| name.starts_with("SCX_"))?;
            let section = object.elf.section_at(symbol.section)?;
            section.name.starts_with(".rodata").then(|| (name.to_owned(), section.name.to_string(), symbol))
        })
        .collect();
    if variables.is_empty() {
        return Vec::new();
    }
    let values = kernel.enumerators(|name| variables.iter().any(|(wanted, _, _)| wanted == name));
    let mut patches = Vec::new();
    let mut missing = Vec::new();
    for (name, map, symbol) in &variables {
        match (values.iter().find(|(known, _)| known == name), usize::try_from(symbol.value)) {
            (Some((_, value)), Ok(offset)) => patches.push(MapWrite {
                map: map.clone(),
                offset,
                bytes: value.to_le_bytes()[..symbol.size as usize].to_vec(),
                told: String::new(),
            }),
            _ => missing.push(name.as_str()),
        }
    }
    said.push(format!(
        "set {} of {} __SCX_* constants from the kernel's enumerators",
        patches.len(),
        variables.len()
    ));
    if !missing.is_empty() {
        missing.sort_unstable();
        said.push(format!("left 0, as the kernel has no such enumerator: {}", missing.join(", ")));
    }
    patches
}

/// The ops variable: clears what the kernel lacks and ties the scheduler to the present hotplug state.
fn members(
    object: &Object<'_>,
    ops: &StructOps<'_>,
    kernel: &Types<'_>,
    said: &mut Vec<String>,
) -> Vec<MapWrite> {
    let map = object[ops.map].name.to_string();
    let mut patches = Vec::new();
    for member in &ops.members {
        let set = !matches!(member.value, MemberInit::Null | MemberInit::Scalar(0));
        if set
            && scx_loader::clears(member.name)
            && kernel.has_member(&ops.type_name, member.name) == Some(false)
        {
            said.push(format!("cleared {map}.{}, which the kernel lacks", member.name));
            patches.push(MapWrite {
                map: map.clone(),
                offset: member.offset as usize,
                bytes: vec![0; 8],
                told: String::new(),
            });
        }
        if member.name == "hotplug_seq"
            && let Some(count) = running::hotplug_count()
            && kernel.has_member(&ops.type_name, member.name) == Some(true)
        {
            said.push(format!("set {map}.hotplug_seq to {count}"));
            patches.push(MapWrite {
                map: map.clone(),
                offset: member.offset as usize,
                bytes: count.to_le_bytes().to_vec(),
                told: String::new(),
            });
        }
    }
    patches
}
