//! Map definitions: `.maps`, data sections and `.kconfig` (libbpf `bpf_object__init_maps`).

use super::{Opening, Role, Var};
use crate::btf::{Btf, Composite, Kind, Linkage, TypeId};
use crate::elf::{Section, SectionIdx};
use crate::errno::Errno;
use crate::object::external::ExternKind;
use crate::object::indexes::{FuncIdx, MapIdx};
use crate::object::map::{Map, MapOrigin, PAGE_SIZE, ProgramSlot};
use crate::object::map_flags::{F_MMAPABLE, F_RDONLY_PROG};
use crate::object::map_type::MapType;
use crate::object::refusal::{Cause, Item};

/// What a definition says, before fix-ups (`struct btf_map_def`).
#[derive(Debug, Clone, Copy)]
struct Definition {
    map_type: MapType,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    numa_node: u32,
    map_extra: u64,
    key_type: TypeId,
    value_type: TypeId,
}

impl Definition {
    /// Nothing is said yet.
    const EMPTY: Self = Self {
        map_type: MapType::UNSPEC,
        key_size: 0,
        value_size: 0,
        max_entries: 0,
        flags: 0,
        numa_node: 0,
        map_extra: 0,
        key_type: TypeId::VOID,
        value_type: TypeId::VOID,
    };
}

type Refused = (Errno, String);

impl<'d> Opening<'d> {
    /// All maps in libbpf's order.
    pub(super) fn init_maps(&mut self) {
        let Some(btf) = self.object.btf.take() else {
            self.data_maps(None);
            return;
        };
        self.declared_maps(&btf);
        self.data_maps(Some(&btf));
        self.kconfig_map();
        self.struct_ops_maps(&btf);
        self.object.btf = Some(btf);
    }

    fn declared_maps(&mut self, btf: &Btf<'d>) {
        let Some(index) = self.maps else { return };
        let section = self.object.elf.sections[index.0 as usize].clone();
        let Some((_, vars)) = self.data_sec(".maps") else {
            self.refuse(
                Cause::MapDefinition,
                Errno::ENOENT,
                Item::Section(".maps".into()),
                "DATASEC '.maps' not found.",
            );
            return;
        };
        let vars = vars.to_vec();
        for (number, var) in vars.into_iter().enumerate() {
            let name = btf.get(var.ty).map_or("", |ty| btf.name(&ty));
            match declared_map(btf, &section, number, var, name) {
                Ok(map) => self.object.maps.push(map),
                Err((errno, text)) => {
                    self.refuse(Cause::MapDefinition, errno, Item::Map(name.to_owned()), text);
                    // What is left of it keeps its place, so that uses of it are still understood.
                    self.object.maps.push(build(&Definition::EMPTY, name, index, var, TypeId::VOID));
                }
            }
        }
        self.arena();
    }

    /// At most one arena, and room for the globals in it.
    fn arena(&mut self) {
        let arenas: Vec<MapIdx> = self.object.arenas().collect();
        let first = arenas.first().map(|&index| self.object[index].clone());
        let globals = self.object.arena_globals;
        let refused = |name: &str| Item::Map(name.to_owned());
        if let Some(first) = &first
            && self.arena_globals.is_some()
        {
            let size = u64::from(first.max_entries) * PAGE_SIZE;
            if globals.next_multiple_of(PAGE_SIZE) > size {
                self.refuse(
                    Cause::ArenaGlobalsTooLarge,
                    Errno::E2BIG,
                    refused(&first.name),
                    format!(
                        "elf: sec '.addr_space.1': declared ARENA map size ({size}) is too small to hold global __arena variables of size {globals}"
                    ),
                );
            }
        }
        if let (Some(first), Some(&second)) = (&first, arenas.get(1)) {
            let second = self.object[second].name.to_string();
            let text = format!(
                "map '{second}': only single ARENA map is supported (map '{}' is also ARENA)",
                first.name
            );
            self.refuse(Cause::SeveralArenas, Errno::EINVAL, refused(&second), text);
        }
        if first.is_none() && self.arena_globals.is_some() {
            self.refuse(
                Cause::ArenaGlobalsWithoutArena,
                Errno::ENOENT,
                Item::Section(".addr_space.1".into()),
                "elf: sec '.addr_space.1': to use global __arena variables the ARENA map should be explicitly declared in SEC(\".maps\")",
            );
        }
    }

    fn data_maps(&mut self, btf: Option<&Btf<'d>>) {
        for index in 0..self.roles.len() {
            let (origin, readonly) = match self.roles[index] {
                Role::Data => (MapOrigin::Data, 0),
                Role::Rodata => (MapOrigin::Rodata, F_RDONLY_PROG),
                Role::Bss if self.object.elf.sections[index].size > 0 => (MapOrigin::Bss, 0),
                Role::Percpu => (MapOrigin::Percpu, 0),
                _ => continue,
            };
            let section = self.object.elf.sections[index].clone();
            let vars = btf.and_then(|_| self.data_sec(&section.name));
            let percpu = origin == MapOrigin::Percpu;
            let mmapable = !percpu
                && vars.is_some_and(|(_, vars)| vars.iter().any(|var| var.linkage != Linkage::Static));
            let kernel_name = self.internal_name(&section.name, percpu);
            let type_id = vars.map_or(TypeId::VOID, |(id, _)| id);
            // libbpf keeps 32 bits of the size, rounds them up to 8 in 32 bits, and maps that much memory.
            let value_size = section.size as u32;
            if value_size.wrapping_add(7) < 8 {
                let text = format!("failed to alloc map '{kernel_name}' content buffer: -EINVAL");
                self.refuse(Cause::MapDefinition, Errno::EINVAL, Item::Map(section.name.to_string()), text);
            }
            self.object.maps.push(Map {
                kernel_name,
                name: section.name,
                origin,
                map_type: if percpu { MapType::PERCPU_ARRAY } else { MapType::ARRAY },
                flags: readonly | if mmapable { F_MMAPABLE } else { 0 },
                numa_node: 0,
                key_size: 4,
                value_size,
                max_entries: 1,
                map_extra: 0,
                key_type: TypeId::VOID,
                value_type: type_id,
                autocreate: true,
                section: section.index,
                offset: 0,
                type_id,
                inner: None,
                programs: Vec::new(),
            });
        }
    }

    fn kconfig_map(&mut self) {
        let mut end = 0u32;
        let mut any = false;
        for external in self.object.externs.iter().filter(|e| e.kind == ExternKind::Kconfig) {
            let (align, size) = external.layout;
            end = end.checked_next_multiple_of(align.max(1)).unwrap_or(u32::MAX).saturating_add(size);
            any = true;
        }
        if !any {
            return;
        }
        let (data_sec, mmapable) = match self.data_sec(".kconfig") {
            // The externs have been made global by now.
            Some((id, vars)) => (id, !vars.is_empty()),
            None => (TypeId::VOID, false),
        };
        self.object.maps.push(Map {
            name: ".kconfig".into(),
            kernel_name: self.internal_name(".kconfig", false),
            origin: MapOrigin::Kconfig,
            map_type: MapType::ARRAY,
            flags: F_RDONLY_PROG | if mmapable { F_MMAPABLE } else { 0 },
            numa_node: 0,
            key_size: 4,
            value_size: end,
            max_entries: 1,
            map_extra: 0,
            key_type: TypeId::VOID,
            value_type: data_sec,
            autocreate: true,
            section: SectionIdx(0),
            offset: 0,
            type_id: data_sec,
            inner: None,
            programs: Vec::new(),
        });
    }

    /// The kernel's name of an internal map (libbpf `internal_map_name`): object name and section
    /// name share 15 bytes; a section name with a second dot, and one of per-CPU data, stands alone.
    fn internal_name(&self, section: &str, percpu: bool) -> String {
        let suffix = section.len().clamp(7, 15);
        let alone = percpu || section.get(1..).is_some_and(|rest| rest.contains('.'));
        let prefix = if alone { 0 } else { 15 - suffix };
        let clean =
            |b: &u8| if b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.') { *b as char } else { '_' };
        let (object, section) = (self.object.name.as_bytes(), section.as_bytes());
        object.iter().take(prefix).chain(section.iter().take(suffix)).map(clean).collect()
    }

    /// Initial values of maps in maps and program arrays (`bpf_object__collect_map_relos`). Which map fills a slot changes
    /// nothing that is modelled here.
    pub(super) fn map_relocations(&mut self, btf: &Btf<'d>, section: &Section<'d>) {
        let relocations: Vec<_> = self.object.elf.relocations(section).collect();
        for (number, relocation) in relocations.into_iter().enumerate() {
            match self.map_relocation(btf, number, relocation) {
                Ok(None) => {}
                Ok(Some((map, slot))) => self.object.maps[map.0].programs.push(slot),
                Err((errno, name, text)) => self.refuse(Cause::MapDefinition, errno, Item::Map(name), text),
            }
        }
    }

    fn map_relocation(
        &self,
        btf: &Btf<'d>,
        number: usize,
        relocation: crate::elf::Relocation,
    ) -> Result<Option<(MapIdx, ProgramSlot)>, (Errno, String, String)> {
        let object = &self.object;
        let mut map_name = String::new();
        let Some(symbol) = object.elf.symbols.get(relocation.symbol as usize) else {
            let text = format!(".maps relo #{number}: symbol {:x} not found", relocation.symbol);
            return Err((Errno::LIBBPF_ERRNO__FORMAT, map_name, text));
        };
        let name = symbol.name_or_unknown();
        let vars = self.data_sec(".maps").map_or(&[][..], |(_, vars)| vars);
        let at = relocation.offset;
        let var = vars.iter().find(|var| {
            let start = u64::from(var.offset);
            start <= at && at.saturating_add(8) <= start + u64::from(var.size)
        });
        let map = var.and_then(|var| {
            let mut maps = object.maps.iter().enumerate();
            maps.find(|(_, map)| map.origin == MapOrigin::Declared && map.offset == u64::from(var.offset))
        });
        let Some((index, map)) = map else {
            let text = format!(".maps relo #{number}: cannot find map '{name}' at rel->r_offset {at}");
            return Err((Errno::EINVAL, map_name, text));
        };
        map_name.push_str(&map.name);
        let fail =
            |errno, text: String| Err((errno, map_name.clone(), format!(".maps relo #{number}: {text}")));
        let mut filled: Option<FuncIdx> = None;
        if map.map_type.is_map_in_map() {
            if Some(symbol.section) != self.maps.map(|s| s.0) {
                return fail(Errno::LIBBPF_ERRNO__RELOC, format!("'{name}' isn't a BTF-defined map"));
            }
            if map.map_type == MapType::HASH_OF_MAPS && map.key_size != 4 {
                return fail(Errno::EINVAL, format!("hash-of-maps '{}' should have key size 4.", map.name));
            }
            if !object.maps.iter().any(|other| other.name == name) {
                return fail(Errno::ESRCH, format!("'{name}' isn't a valid map reference"));
            }
        } else if map.map_type == MapType::PROG_ARRAY {
            let Some((number, program, _)) = object.programs().find(|(_, f, _)| f.name == name) else {
                return fail(Errno::ESRCH, format!("'{name}' isn't a valid program reference"));
            };
            if program.section.0 != symbol.section || program.start as u64 * 8 != symbol.value {
                return fail(Errno::LIBBPF_ERRNO__RELOC, format!("'{name}' isn't an entry-point program"));
            }
            filled = Some(number);
        } else {
            return Err((Errno::EINVAL, map_name, String::new()));
        }
        let last = btf
            .get(map.type_id)
            .and_then(|ty| ty.composite())
            .and_then(|ty| ty.members().last())
            .filter(|member| btf.str(member.name) == "values");
        let values = last.map(|member| map.offset + u64::from(member.bit_offset / 8));
        let Some(from) = values.and_then(|values| at.checked_sub(values)).filter(|at| at.is_multiple_of(8))
        else {
            return Err((Errno::EINVAL, map_name, String::new()));
        };
        Ok(filled.map(|program| (MapIdx(index), ProgramSlot { slot: from / 8, program })))
    }
}

fn build<'d>(def: &Definition, name: &'d str, section: SectionIdx, var: Var, type_id: TypeId) -> Map<'d> {
    let ringbuf = matches!(def.map_type, MapType::RINGBUF | MapType::USER_RINGBUF);
    Map {
        name: name.into(),
        kernel_name: name.chars().take(15).collect(),
        origin: MapOrigin::Declared,
        map_type: def.map_type,
        flags: def.flags,
        numa_node: def.numa_node,
        key_size: def.key_size,
        value_size: def.value_size,
        max_entries: if ringbuf { ringbuf_size(def.max_entries) } else { def.max_entries },
        map_extra: def.map_extra,
        key_type: def.key_type,
        value_type: def.value_type,
        autocreate: true,
        section,
        offset: u64::from(var.offset),
        type_id,
        inner: None,
        programs: Vec::new(),
    }
}

/// Rounds a ring buffer up to a power of two of pages; 0 stays 0 (libbpf `adjust_ringbuf_sz`).
fn ringbuf_size(size: u32) -> u32 {
    let page = PAGE_SIZE as u32;
    match size {
        0 => 0,
        _ if size.is_multiple_of(page) && (size / page).is_power_of_two() => size,
        _ => (size / page + 1).checked_next_power_of_two().and_then(|n| n.checked_mul(page)).unwrap_or(size),
    }
}

/// One variable of `.maps` (`bpf_object__init_user_btf_map`).
fn declared_map<'d>(
    btf: &Btf<'d>,
    section: &Section<'d>,
    number: usize,
    var: Var,
    name: &'d str,
) -> Result<Map<'d>, Refused> {
    let fail = |errno, text: String| Err((errno, format!("map '{name}': {text}")));
    if name.is_empty() {
        return Err((Errno::EINVAL, format!("map #{number}: empty name.")));
    }
    if u64::from(var.offset) + u64::from(var.size) > section.size {
        return Err((Errno::EINVAL, format!("map '{name}' BTF data is corrupted.")));
    }
    let ty = btf.get(var.ty).filter(|ty| ty.kind() == Kind::Var);
    let Some(ty) = ty else { return fail(Errno::EINVAL, "unexpected var kind UNKNOWN.".into()) };
    if var.linkage != Linkage::Global {
        return fail(Errno::EOPNOTSUPP, format!("unsupported map linkage {}.", var.linkage.as_str()));
    }
    let resolved = btf.resolve(ty.target()).filter(|(_, ty)| ty.kind() == Kind::Struct);
    let Some((type_id, def)) = resolved.and_then(|(id, ty)| Some((id, ty.composite()?))) else {
        // libbpf names the kind of the variable here, not of its type.
        return fail(Errno::EINVAL, "unexpected def kind VAR.".into());
    };
    if def.size() > var.size {
        return fail(Errno::EINVAL, "invalid def size.".into());
    }
    let mut inner = None;
    let def = definition(btf, name, def, Some(&mut inner))?;
    let mut map = build(&def, name, section.index, var, type_id);
    map.inner = inner.map(|inner| Box::new(build(&inner, name, section.index, var, TypeId::VOID)));
    Ok(map)
}

/// The members of a definition (`parse_btf_map_def`); `inner` is `None` inside a map in map.
fn definition(
    btf: &Btf<'_>,
    map: &str,
    def: Composite<'_>,
    mut inner: Option<&mut Option<Definition>>,
) -> Result<Definition, Refused> {
    let fail = |errno, text: String| Err((errno, format!("map '{map}': {text}")));
    let mut out = Definition::EMPTY;
    let count = def.members().len();
    for (number, member) in def.members().enumerate() {
        let name = btf.str(member.name);
        let uint = || uint(btf, map, name, member.ty);
        match name {
            "type" => out.map_type = MapType(uint()?),
            "max_entries" => out.max_entries = uint()?,
            "map_flags" => out.flags = uint()?,
            "numa_node" => out.numa_node = uint()?,
            "key_size" => merge(&mut out.key_size, uint()?, map, "key")?,
            "value_size" => merge(&mut out.value_size, uint()?, map, "value")?,
            "key" => {
                let (ty, size) = pointee(btf, map, "key", member.ty)?;
                merge(&mut out.key_size, size, map, "key")?;
                out.key_type = ty;
            }
            "value" => {
                let (ty, size) = pointee(btf, map, "value", member.ty)?;
                merge(&mut out.value_size, size, map, "value")?;
                out.value_type = ty;
            }
            "values" => {
                let Some(inner) = inner.as_deref_mut() else {
                    return fail(Errno::EOPNOTSUPP, "multi-level inner maps not supported.".into());
                };
                if number != count - 1 {
                    return fail(Errno::EINVAL, "'values' member should be last.".into());
                }
                *inner = values(btf, map, &mut out, member.ty)?;
            }
            "pinning" if inner.is_none() => return fail(Errno::EINVAL, "inner def can't be pinned.".into()),
            "pinning" => match uint()? {
                0 | 1 => {}
                other => return fail(Errno::EINVAL, format!("invalid pinning value {other}.")),
            },
            "map_extra" => out.map_extra = ulong(btf, map, member.ty)?,
            other => return fail(Errno::EOPNOTSUPP, format!("unknown field '{other}'.")),
        }
    }
    if out.map_type == MapType::UNSPEC {
        return fail(Errno::EINVAL, "map type isn't specified.".into());
    }
    Ok(out)
}

fn merge(slot: &mut u32, size: u32, map: &str, what: &str) -> Result<(), Refused> {
    if *slot != 0 && *slot != size {
        return Err((Errno::EINVAL, format!("map '{map}': conflicting {what} size {slot} != {size}.")));
    }
    *slot = size;
    Ok(())
}

/// `__array(values, ...)`: the template of a map in map, or the signature of a program array.
fn values(btf: &Btf<'_>, map: &str, out: &mut Definition, ty: TypeId) -> Result<Option<Definition>, Refused> {
    let fail = |errno, text: String| Err((errno, format!("map '{map}': {text}")));
    let map_in_map = out.map_type.is_map_in_map();
    if !map_in_map && out.map_type != MapType::PROG_ARRAY {
        return fail(Errno::EOPNOTSUPP, "should be map-in-map or prog-array.".into());
    }
    if out.value_size != 0 && out.value_size != 4 {
        return fail(Errno::EINVAL, format!("conflicting value size {} != 4.", out.value_size));
    }
    out.value_size = 4;
    let what = if map_in_map { "map-in-map inner" } else { "prog-array value" };
    let array = btf.get(ty).and_then(|ty| ty.array()).filter(|array| array.nelems == 0);
    let Some(array) = array else {
        return fail(Errno::EINVAL, format!("{what} spec is not a zero-sized array."));
    };
    let elem = btf.resolve(array.elem).map(|(_, ty)| ty);
    let Some(pointer) = elem.filter(|ty| ty.kind() == Kind::Ptr) else {
        let kind = elem.map_or("UNKNOWN", |ty| ty.kind().as_str());
        return fail(Errno::EINVAL, format!("{what} def is of unexpected kind {kind}."));
    };
    let target = btf.resolve(pointer.target()).map(|(_, ty)| ty);
    let kind = target.map_or("UNKNOWN", |ty| ty.kind().as_str());
    let unexpected = || fail(Errno::EINVAL, format!("{what} def is of unexpected kind {kind}."));
    if !map_in_map {
        return if target.is_some_and(|ty| ty.kind() == Kind::FuncProto) { Ok(None) } else { unexpected() };
    }
    match target.filter(|ty| ty.kind() == Kind::Struct).and_then(|ty| ty.composite()) {
        Some(def) => definition(btf, &format!("{map}.inner"), def, None).map(Some),
        None => unexpected(),
    }
}

/// `__uint(name, value)`: a pointer to an array of so many elements.
fn uint(btf: &Btf<'_>, map: &str, attr: &str, ty: TypeId) -> Result<u32, Refused> {
    let fail = |text: String| Err((Errno::EINVAL, format!("map '{map}': attr '{attr}': {text}")));
    let resolved = btf.resolve(ty).map(|(_, ty)| ty);
    let Some(pointer) = resolved.filter(|ty| ty.kind() == Kind::Ptr) else {
        let kind = resolved.map_or("UNKNOWN", |ty| ty.kind().as_str());
        return fail(format!("expected PTR, got {kind}."));
    };
    let Some(target) = btf.get(pointer.target()) else {
        return fail(format!("type [{}] not found.", pointer.target().0));
    };
    match target.array() {
        Some(array) => Ok(array.nelems),
        None => fail(format!("expected ARRAY, got {}.", target.kind().as_str())),
    }
}

/// `__ulong(name, value)`: an enum of one value, or the form of `__uint`.
fn ulong(btf: &Btf<'_>, map: &str, ty: TypeId) -> Result<u64, Refused> {
    let fail = |text: String| Err((Errno::EINVAL, format!("map '{map}': attr 'map_extra': {text}")));
    let resolved = btf.resolve(ty).map(|(_, ty)| ty);
    if resolved.is_some_and(|ty| ty.kind() == Kind::Ptr) {
        return uint(btf, map, "map_extra", ty).map(u64::from);
    }
    let Some(values) = resolved.and_then(|ty| ty.enumerators()) else {
        let kind = resolved.map_or("UNKNOWN", |ty| ty.kind().as_str());
        return fail(format!("expected ENUM or ENUM64, got {kind}."));
    };
    let mut values = values.values();
    match (values.next(), values.next()) {
        // libbpf widens the signed 32-bit field of an ENUM.
        (Some(value), None) if resolved.is_some_and(|ty| ty.kind() == Kind::Enum) => {
            Ok(i64::from(value.value as u32 as i32).cast_unsigned())
        }
        (Some(value), None) => Ok(value.value),
        _ => fail("invalid __ulong".into()),
    }
}

/// What `__type(key, T)` or `__type(value, T)` points to, and its size.
fn pointee(btf: &Btf<'_>, map: &str, what: &str, ty: TypeId) -> Result<(TypeId, u32), Refused> {
    let fail = |text: String| Err((Errno::EINVAL, format!("map '{map}': {text}")));
    let Some(pointer) = btf.get(ty).filter(|ty| ty.kind() == Kind::Ptr) else {
        let kind = btf.get(ty).map_or("UNKNOWN", |ty| ty.kind().as_str());
        return fail(format!("{what} spec is not PTR: {kind}."));
    };
    match btf.size_of(pointer.target()).and_then(|size| u32::try_from(size).ok()) {
        Some(size) => Ok((pointer.target(), size)),
        None => fail(format!("can't determine {what} size for type [{}]: -22.", pointer.target().0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_buffers_are_rounded_up_as_libbpf_rounds_them() {
        assert_eq!(ringbuf_size(0), 0);
        assert_eq!(ringbuf_size(1), 4096);
        assert_eq!(ringbuf_size(4096), 4096);
        assert_eq!(ringbuf_size(4097), 8192);
        assert_eq!(ringbuf_size(3 * 4096), 4 * 4096);
        assert_eq!(ringbuf_size(u32::MAX), u32::MAX);
    }
}
