//! From an object to what the document says of it.

use super::objects::{KfuncDoc, MapDoc, MemberDoc, MemberValue, ObjectDoc, ProgramDoc, StructOpsDoc};
use crate::load::Loader;
use crate::object::{FuncIdx, MapIdx, MapType, MemberInit, Object, StructOps, flag_names};

/// Describes an object.
pub(super) fn describe(path: &str, object: &Object<'_>, loader: Loader) -> ObjectDoc {
    let name = |map: MapIdx| object[map].name.to_string();
    let mut users: Vec<Vec<String>> = vec![Vec::new(); object.maps.len()];
    let mut programs = Vec::new();
    for (index, function, entry) in object.programs() {
        let uses = object.maps_of(index);
        for used in uses {
            users[used.map.0].push(function.name.to_string());
        }
        programs.push(ProgramDoc {
            name: function.name.to_string(),
            section: function.section_name.clone(),
            kind: entry.kind,
            sleepable: entry.sleepable,
            autoload: entry.autoload,
            insns: function.code.len(),
            insns_linked: object.code_of(index).map(|(_, function)| function.code.len()).sum(),
            subprograms: entry.linked.iter().map(|&sub| object[sub].name.to_string()).collect(),
            maps: uses.iter().map(|used| name(used.map)).collect(),
            bound_maps: object.bound_maps(uses).into_iter().map(name).collect(),
            kfuncs: object
                .kfuncs_of(index)
                .into_iter()
                .map(|kfunc| KfuncDoc { name: kfunc.name.to_owned(), weak: kfunc.weak })
                .collect(),
        });
    }
    let maps = object.maps.iter().zip(users).map(|(map, used_by)| MapDoc {
        name: map.name.to_string(),
        kernel_name: map.kernel_name.clone(),
        map_type: map.map_type,
        flags: map.flags,
        flag_names: flag_names(map.flags),
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        map_extra: map.map_extra,
        used_by,
    });
    ObjectDoc {
        path: path.to_owned(),
        embedded: None,
        name: object.name.clone(),
        license: object.license.clone(),
        byte_order: Some(object.elf.byte_order),
        loader,
        values: Vec::new(),
        error: None,
        sentence: String::new(),
        struct_ops: object.ops().map(|(_, ops)| describe_ops(object, ops)).collect(),
        programs,
        maps: maps.collect(),
    }
}

fn describe_ops(object: &Object<'_>, ops: &StructOps<'_>) -> StructOpsDoc {
    let mut arenas: Vec<String> = Vec::new();
    let callbacks: Vec<FuncIdx> = ops.callbacks().map(|(_, program)| program).collect();
    for used in callbacks.into_iter().flat_map(|program| object.maps_of(program)) {
        let map = &object[used.map];
        if map.map_type == MapType::ARENA && !arenas.iter().any(|known| *known == map.name) {
            arenas.push(map.name.to_string());
        }
    }
    let members = ops.members.iter().filter_map(|member| {
        let (program, value) = match member.value {
            MemberInit::Program(program) => (Some(object[program].name.to_string()), None),
            MemberInit::Null | MemberInit::Scalar(0) => return None,
            MemberInit::Scalar(value) => (None, Some(MemberValue::Number(value))),
            MemberInit::Bytes(bytes) if bytes.iter().all(|&b| b == 0) => return None,
            MemberInit::Bytes(bytes) => (None, Some(MemberValue::Text(text(bytes)))),
        };
        Some(MemberDoc { name: member.name.to_owned(), program, value })
    });
    StructOpsDoc {
        map: object[ops.map].name.to_string(),
        type_name: ops.type_name.clone(),
        form: ops.form(),
        link: ops.link,
        autocreate: object[ops.map].autocreate,
        members: members.collect(),
        arenas,
    }
}

/// Bytes up to the first NUL as text.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
