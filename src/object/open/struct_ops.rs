//! Ops variables (libbpf `init_struct_ops_maps`, `bpf_object__collect_st_ops_relos`).

use super::{Opening, Role};
use crate::btf::{Btf, Kind, TypeId, essential_name};
use crate::elf::{ByteOrder, Section};
use crate::errno::Errno;
use crate::object::indexes::MapIdx;
use crate::object::kind::ProgramKind;
use crate::object::map::{Map, MapOrigin};
use crate::object::map_flags::F_LINK;
use crate::object::map_type::MapType;
use crate::object::object::Object;
use crate::object::ops::{Member, MemberInit, StructOps};
use crate::object::refusal::{Cause, Item};

impl<'d> Opening<'d> {
    /// One map per variable of each struct_ops section.
    pub(super) fn struct_ops_maps(&mut self, btf: &Btf<'d>) {
        for index in 0..self.roles.len() {
            if self.roles[index] == Role::StructOps {
                let section = self.object.elf.sections[index].clone();
                if let Err((errno, text)) = self.struct_ops_section(btf, &section) {
                    self.refuse(Cause::StructOps, errno, Item::Section(section.name.to_string()), text);
                }
            }
        }
    }

    fn struct_ops_section(&mut self, btf: &Btf<'d>, section: &Section<'d>) -> Result<(), (Errno, String)> {
        let fail = |errno, text: String| Err((errno, format!("struct_ops init: {text}")));
        let Some((_, vars)) = self.data_sec(&section.name) else {
            return fail(Errno::EINVAL, format!("DATASEC {} not found", section.name));
        };
        let vars = vars.to_vec();
        let optional = section.name.starts_with('?');
        let bare = section.name.trim_start_matches('?').to_owned();
        for (number, var) in vars.iter().enumerate() {
            let name = btf.get(var.ty).map_or("", |ty| btf.name(&ty));
            let resolved = btf.get(var.ty).and_then(|ty| btf.resolve(ty.target()));
            let Some((type_id, ty)) = resolved else {
                return fail(
                    Errno::EINVAL,
                    format!("Cannot resolve var type_id {} in DATASEC {}", var.ty.0, section.name),
                );
            };
            let type_name = btf.name(&ty);
            if type_name.is_empty() {
                return fail(Errno::EOPNOTSUPP, "anonymous type is not supported".into());
            }
            if ty.kind() != Kind::Struct {
                return fail(Errno::EINVAL, format!("{type_name} is not a struct"));
            }
            let bytes = section.data.unwrap_or_default();
            let value = usize::try_from(var.offset)
                .ok()
                .and_then(|start| bytes.get(start..)?.get(..ty.size() as usize));
            let Some(value) = value else {
                return fail(
                    Errno::EINVAL,
                    format!(
                        "var {name} is beyond the end of DATASEC {}",
                        if number == 0 { &section.name } else { bare.as_str() }
                    ),
                );
            };
            let map = MapIdx(self.object.maps.len());
            self.object.maps.push(Map {
                name: name.into(),
                kernel_name: name.chars().take(15).collect(),
                origin: MapOrigin::StructOps,
                map_type: MapType::STRUCT_OPS,
                flags: if bare == ".struct_ops.link" { F_LINK } else { 0 },
                numa_node: 0,
                key_size: 4,
                value_size: ty.size(),
                max_entries: 1,
                map_extra: 0,
                key_type: TypeId::VOID,
                value_type: type_id,
                // The `?` is dropped after the first variable, which alone is left out (libbpf 1.6 to 1.8).
                autocreate: !(optional && number == 0),
                section: section.index,
                offset: u64::from(var.offset),
                type_id,
                inner: None,
                programs: Vec::new(),
            });
            self.object.struct_ops.push(StructOps {
                map,
                type_name: essential_name(type_name).to_owned(),
                link: bare == ".struct_ops.link",
                optional_section: optional,
                members: members(btf, type_id, value, self.object.elf.byte_order),
            });
        }
        Ok(())
    }

    /// Callbacks: one relocation each.
    pub(super) fn struct_ops_relocations(&mut self, btf: &Btf<'d>, section: &Section<'d>) {
        let elf = &self.object.elf;
        let relocations: Vec<_> = elf.relocations(section).collect();
        for relocation in relocations {
            if let Err((errno, item, text)) = self.callback(btf, section.info, relocation) {
                self.refuse(Cause::StructOps, errno, item, text);
            }
        }
    }

    fn callback(
        &mut self,
        btf: &Btf<'d>,
        target: u32,
        relocation: crate::elf::Relocation,
    ) -> Result<(), (Errno, Item, String)> {
        let object = &self.object;
        let Some(symbol) = object.elf.symbols.get(relocation.symbol as usize) else {
            let text = format!("struct_ops reloc: symbol {:x} not found", relocation.symbol);
            return Err((Errno::LIBBPF_ERRNO__FORMAT, Item::Object, text));
        };
        let found = object.struct_ops.iter().enumerate().find(|(_, ops)| {
            let map = &object[ops.map];
            let inside = relocation.offset.checked_sub(map.offset);
            map.section.0 == target && inside.is_some_and(|at| at < u64::from(map.value_size))
        });
        let Some((index, ops)) = found else {
            let text = format!("struct_ops reloc: cannot find map at rel->r_offset {}", relocation.offset);
            return Err((Errno::EINVAL, Item::Object, text));
        };
        let map = &object[ops.map];
        let at = relocation.offset - map.offset;
        let fail = |errno, member: &str, text: String| {
            let item = Item::Member(map.name.to_string(), member.to_owned());
            Err((errno, item, format!("struct_ops reloc {}: {text}", map.name)))
        };
        if symbol.section >= 0xff00 {
            return fail(
                Errno::LIBBPF_ERRNO__RELOC,
                "",
                format!(
                    "rel->r_offset {} shdr_idx {} unsupported non-static function",
                    relocation.offset, symbol.section
                ),
            );
        }
        if symbol.value % 8 != 0 {
            return fail(
                Errno::LIBBPF_ERRNO__FORMAT,
                "",
                format!("invalid target program offset {}", symbol.value),
            );
        }
        let members = btf.get(map.type_id).and_then(|ty| ty.composite());
        let member = members.and_then(|ty| {
            ty.members().enumerate().find(|(_, member)| u64::from(member.bit_offset) == at * 8)
        });
        let Some((number, member)) = member else {
            return fail(Errno::EINVAL, "", format!("cannot find member at moff {at}"));
        };
        let name = btf.str(member.name);
        if !is_func_pointer(btf, member.ty) {
            return fail(Errno::EINVAL, name, format!("cannot relocate non func ptr {name}"));
        }
        let slot = usize::try_from(symbol.value / 8).unwrap_or(usize::MAX);
        let program = object.function_at(crate::elf::SectionIdx(symbol.section), slot);
        let Some(program) = program else {
            let text = format!("cannot find prog at shdr_idx {} to relocate func ptr {name}", symbol.section);
            return fail(Errno::EINVAL, name, text);
        };
        if object[program].entry.as_ref().is_none_or(|entry| entry.kind != ProgramKind::STRUCT_OPS) {
            let text = format!("prog {} is not struct_ops BPF program", object[program].name);
            return fail(Errno::EINVAL, name, text);
        }
        self.object.struct_ops[index].members[number].value = MemberInit::Program(program);
        Ok(())
    }
}

fn is_func_pointer(btf: &Btf<'_>, ty: TypeId) -> bool {
    btf.resolve(ty)
        .filter(|(_, ty)| ty.kind() == Kind::Ptr)
        .and_then(|(_, ty)| btf.resolve(ty.target()))
        .is_some_and(|(_, ty)| ty.kind() == Kind::FuncProto)
}

fn members<'d>(btf: &Btf<'d>, type_id: TypeId, value: &'d [u8], order: ByteOrder) -> Vec<Member<'d>> {
    let Some(ty) = btf.get(type_id).and_then(|ty| ty.composite()) else { return Vec::new() };
    ty.members()
        .map(|member| {
            let size = btf.size_of(member.ty).unwrap_or(0) as usize;
            let start = member.bit_offset as usize / 8;
            let bytes = value.get(start..).map_or(&[][..], |rest| &rest[..rest.len().min(size)]);
            let kind = btf.resolve(member.ty).map_or(Kind::Void, |(_, ty)| ty.kind());
            let value = match kind {
                Kind::Ptr if bytes.iter().all(|&b| b == 0) => MemberInit::Null,
                Kind::Int | Kind::Enum | Kind::Enum64 if bytes.len() <= 8 => {
                    MemberInit::Scalar(scalar(bytes, order))
                }
                _ => MemberInit::Bytes(bytes),
            };
            Member {
                name: btf.str(member.name),
                offset: member.bit_offset / 8,
                pointer: kind == Kind::Ptr,
                value,
            }
        })
        .collect()
}

fn scalar(bytes: &[u8], order: ByteOrder) -> u64 {
    let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    match order {
        ByteOrder::Little => bytes.iter().rev().fold(0, fold),
        ByteOrder::Big => bytes.iter().fold(0, fold),
    }
}

impl Object<'_> {
    /// Name of a type without its flavour.
    pub fn essential_name(name: &str) -> &str {
        essential_name(name)
    }
}
