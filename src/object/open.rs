//! The order of `bpf_object__open`: sections, programs, BTF, externs, data sections, maps, relocations.

mod externs;
mod maps;
mod programs;
mod relocs;
mod sec;
mod struct_ops;

use std::collections::HashMap;
use std::sync::OnceLock;

use super::object::Object;
use super::refusal::{Cause, Item, Refusal};
use crate::btf::{Btf, BtfExt, Kind, Linkage, TypeId, VarSecInfo};
use crate::elf::{self, Elf, Section, SectionIdx, SectionKind, SymbolKind};
use crate::errno::Errno;
use crate::libbpf::Libbpf;

/// What libbpf makes of a section (`enum sec_type` and the indices beside it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Not looked at.
    None,
    /// Instructions.
    Code,
    /// `.maps`.
    Maps,
    /// `.data*`.
    Data,
    /// `.rodata*`.
    Rodata,
    /// `.bss*`.
    Bss,
    /// `.percpu*`.
    Percpu,
    /// `.struct_ops*` and `?.struct_ops*`.
    StructOps,
    /// `.addr_space.1`.
    ArenaGlobals,
    /// `.jumptables`.
    JumpTables,
    /// Relocations that are applied.
    Relocations,
}

/// A variable of a data section, its place taken from the symbol where the compiler left it open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Var {
    pub(super) ty: TypeId,
    pub(super) offset: u32,
    pub(super) size: u32,
    pub(super) linkage: Linkage,
}

/// The object under construction and what only opening needs.
pub(super) struct Opening<'d> {
    pub(super) object: Object<'d>,
    pub(super) roles: Vec<Role>,
    pub(super) maps: Option<SectionIdx>,
    pub(super) arena_globals: Option<SectionIdx>,
    /// Variables of each DATASEC after `btf_fixup_datasec`, by offset.
    pub(super) data_secs: HashMap<TypeId, Vec<Var>>,
    data_sec_names: HashMap<&'d str, TypeId>,
}

impl<'d> Object<'d> {
    /// Opens an object as `bpf_object__open_file` of the newest libbpf would.
    ///
    /// `file_name` is the last part of its path; the object is named after it.
    ///
    /// # Errors
    /// The input is not a relocatable BPF ELF. One that is, and that libbpf refuses, is `Ok` with
    /// [`Object::refusals`].
    pub fn open(data: &'d [u8], file_name: &str) -> Result<Self, elf::Error> {
        Self::open_with(data, file_name, Libbpf::default())
    }

    /// Opens an object as a release of libbpf would; else as [`Object::open`].
    ///
    /// # Errors
    /// The input is not a relocatable BPF ELF.
    pub fn open_with(data: &'d [u8], file_name: &str, libbpf: Libbpf) -> Result<Self, elf::Error> {
        let elf = Elf::parse(data)?;
        let mut opening = Opening {
            roles: vec![Role::None; elf.sections.len()],
            maps: None,
            arena_globals: None,
            data_secs: HashMap::new(),
            data_sec_names: HashMap::new(),
            object: Self {
                libbpf,
                name: object_name(file_name),
                license: String::new(),
                elf,
                btf: None,
                ext: None,
                functions: Vec::new(),
                maps: Vec::new(),
                struct_ops: Vec::new(),
                externs: Vec::new(),
                arena_globals: 0,
                refusals: Vec::new(),
                text: None,
                lines: OnceLock::new(),
                own_lines: OnceLock::new(),
                debug: OnceLock::new(),
            },
        };
        opening.sections()?;
        let (btf, ext) = opening.btf_sections();
        opening.programs();
        if opening.types(btf, ext) {
            opening.settle_globals();
            opening.externs();
            opening.fix_data_secs();
            opening.init_maps();
            opening.relocations();
        }
        opening.link(data.len())?;
        Ok(opening.object)
    }
}

/// File name to object name: at most 15 bytes, then up to the first dot (`bpf_object__new`).
fn object_name(file_name: &str) -> String {
    let cut = &file_name.as_bytes()[..file_name.len().min(15)];
    let end = cut.iter().position(|&b| b == b'.').unwrap_or(cut.len());
    String::from_utf8_lossy(&cut[..end]).into_owned()
}

impl<'d> Opening<'d> {
    /// Notes a reason to refuse the object.
    pub(super) fn refuse(&mut self, cause: Cause, errno: Errno, item: Item, text: impl Into<String>) {
        self.object.refusals.push(Refusal { cause, errno, text: text.into(), item });
    }

    /// The role of a section; `None` for an index outside the table.
    pub(super) fn role(&self, section: u32) -> Role {
        self.roles.get(section as usize).copied().unwrap_or(Role::None)
    }

    /// Sorts the sections by name and type (second half of `bpf_object__elf_collect`).
    fn sections(&mut self) -> Result<(), elf::Error> {
        let count = self.object.elf.sections.len();
        for index in 1..count {
            let section = self.object.elf.sections[index].clone();
            if section.is_ignored() {
                continue;
            }
            let whole = section.size.is_multiple_of(section.record_size());
            if section.data.is_none() || !whole {
                return Err(elf::Error::SectionData {
                    section: index as u32,
                    name: section.name.to_string(),
                });
            }
            self.roles[index] = self.classify(&section)?;
        }
        Ok(())
    }

    fn classify(&mut self, section: &Section<'d>) -> Result<Role, elf::Error> {
        let form = |problem| elf::Error::SectionForm {
            section: section.index.0,
            name: section.name.to_string(),
            problem,
        };
        let family = |base: &str| {
            section.name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        Ok(match &*section.name {
            // libelf has no bytes for NOBITS and for an empty section.
            "license" | "version" if section.data.is_none_or(<[u8]>::is_empty) => {
                return Err(form("has no content in the file"));
            }
            "license" => {
                let bytes = section.data.unwrap_or_default();
                let bytes = &bytes[..bytes.len().min(63)];
                let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
                self.object.license = String::from_utf8_lossy(&bytes[..end]).into_owned();
                Role::None
            }
            "version" if section.size != 4 => return Err(form("holds no 4-byte kernel version")),
            "version" => Role::None,
            "maps" => {
                self.refuse(
                    Cause::LegacyMaps,
                    Errno::EOPNOTSUPP,
                    Item::Section("maps".into()),
                    "elf: legacy map definitions in 'maps' section are not supported by libbpf v1.0+",
                );
                Role::None
            }
            ".maps" => {
                self.maps = Some(section.index);
                Role::Maps
            }
            ".BTF" | ".BTF.ext" if section.kind != SectionKind::ProgBits => {
                return Err(form("is not of type PROGBITS"));
            }
            ".BTF" | ".BTF.ext" => Role::None,
            _ if section.kind == SectionKind::ProgBits && section.size > 0 => match &*section.name {
                _ if section.executable => Role::Code,
                _ if family(".data") => Role::Data,
                _ if family(".rodata") => Role::Rodata,
                _ if family(".percpu") && self.object.libbpf >= Libbpf::V1_8 => Role::Percpu,
                ".struct_ops" | ".struct_ops.link" | "?.struct_ops" | "?.struct_ops.link" => Role::StructOps,
                ".addr_space.1" => {
                    self.arena_globals = Some(section.index);
                    self.object.arena_globals = section.size;
                    Role::ArenaGlobals
                }
                ".jumptables" => Role::JumpTables,
                _ => Role::None,
            },
            _ if section.kind == SectionKind::Rel => {
                let Some(target) = self.object.elf.section_at(section.info) else {
                    return Err(form("applies to a section that does not exist"));
                };
                if section.entry_size != 16 {
                    return Err(form("has entries that are not 16 bytes long"));
                }
                let named = matches!(
                    &*section.name,
                    ".rel.struct_ops"
                        | ".rel.struct_ops.link"
                        | ".rel?.struct_ops"
                        | ".rel?.struct_ops.link"
                        | ".rel.maps"
                );
                if target.executable || named { Role::Relocations } else { Role::None }
            }
            _ if section.kind == SectionKind::NoBits && family(".bss") => Role::Bss,
            _ => Role::None,
        })
    }

    /// The last `.BTF` and `.BTF.ext` of the file.
    fn btf_sections(&self) -> (Option<&'d [u8]>, Option<&'d [u8]>) {
        let last = |name: &str| {
            let mut found = self.object.elf.sections.iter().rev();
            found.find(|s| s.name == name && !s.is_ignored()).and_then(|section| section.data)
        };
        (last(".BTF"), last(".BTF.ext"))
    }

    /// Parses the types. False: the object needs them and they are not there, nothing can follow.
    fn types(&mut self, btf: Option<&'d [u8]>, ext: Option<&'d [u8]>) -> bool {
        let needed = self.maps.is_some() || self.roles.contains(&Role::StructOps);
        let mut problem = None;
        match btf.map(Btf::parse) {
            Some(Ok(btf)) => self.object.btf = Some(btf),
            Some(Err(error)) => problem = Some((Cause::MalformedBtf, Errno::EINVAL, format!(".BTF {error}"))),
            None => problem = Some((Cause::MissingBtf, Errno::ENOENT, "no .BTF section".to_owned())),
        }
        if self.object.btf.is_some() {
            match ext.map(BtfExt::parse) {
                Some(Ok(ext)) => self.object.ext = Some(ext),
                Some(Err(error)) => {
                    problem = Some((Cause::MalformedBtf, Errno::EINVAL, format!(".BTF.ext {error}")));
                }
                None => {}
            }
        }
        match problem {
            Some((cause, errno, detail)) if needed => {
                self.refuse(
                    cause,
                    errno,
                    Item::Section(detail),
                    "BTF is required, but is missing or corrupted.",
                );
                self.object.btf.is_some()
            }
            _ => true,
        }
    }

    /// Gives variables their offsets (libbpf `bpf_object_fixup_btf`, `btf_fixup_datasec`).
    fn fix_data_secs(&mut self) {
        let Some(btf) = self.object.btf.take() else { return };
        let symbols: HashMap<&str, (u64, bool)> = self
            .object
            .elf
            .symbols
            .iter()
            .rev()
            .filter(|s| s.binding.is_external() && s.kind == SymbolKind::Object)
            .filter_map(|s| Some((s.name.as_deref()?, (s.value, s.hidden))))
            .collect();
        let mut failed = None;
        let mut fixed = HashMap::new();
        let mut names = HashMap::new();
        for (id, ty) in btf.types().filter(|(_, ty)| ty.kind() == Kind::DataSec) {
            let name = btf.name(&ty);
            let Some(data_sec) = ty.data_sec() else { continue };
            names.entry(name).or_insert(id);
            let fix = !matches!(name, ".kconfig" | ".ksyms");
            if fix
                && data_sec.size() == 0
                && !self.object.elf.sections.iter().any(|s| s.name == name && s.size > 0)
            {
                failed.get_or_insert((
                    name,
                    "has no size and no ELF section of its name".to_owned(),
                    Errno::ENOENT,
                ));
                continue;
            }
            let mut vars = Vec::with_capacity(data_sec.vars().len());
            for info in data_sec.vars() {
                match fix_var(&btf, info, fix, data_sec.size() == 0, &symbols) {
                    Ok(var) => vars.push(var),
                    Err((detail, errno)) => {
                        failed.get_or_insert((name, detail, errno));
                    }
                }
            }
            vars.sort_by_key(|var| var.offset);
            fixed.insert(id, vars);
        }
        drop(symbols);
        // libbpf fails here without a word, so there is nothing to quote.
        if let Some((name, detail, errno)) = failed {
            self.refuse(Cause::MalformedBtf, errno, Item::Section(format!("DATASEC '{name}' {detail}")), "");
        }
        self.data_secs = fixed;
        self.data_sec_names = names;
        self.object.btf = Some(btf);
    }

    /// The DATASEC of an ELF section's name, with its variables by offset.
    pub(super) fn data_sec(&self, name: &str) -> Option<(TypeId, &[Var])> {
        let id = *self.data_sec_names.get(name)?;
        Some((id, self.data_secs.get(&id).map_or(&[], Vec::as_slice)))
    }
}

fn fix_var(
    btf: &Btf<'_>,
    info: VarSecInfo,
    fix: bool,
    place: bool,
    symbols: &HashMap<&str, (u64, bool)>,
) -> Result<Var, (String, Errno)> {
    let ty = btf.get(info.ty).filter(|ty| ty.kind() == Kind::Var || !fix);
    let ty = ty.ok_or_else(|| (format!("holds type {} that is no variable", info.ty), Errno::EINVAL))?;
    let linkage = ty.linkage().unwrap_or(Linkage::Unknown(u32::MAX));
    let mut var = Var { ty: info.ty, offset: info.offset, size: info.size, linkage };
    if fix && !matches!(linkage, Linkage::Static | Linkage::Extern) {
        let name = btf.name(&ty);
        let &(value, hidden) = symbols
            .get(name)
            .ok_or_else(|| (format!("holds variable '{name}' that has no ELF symbol"), Errno::ENOENT))?;
        if place {
            var.offset = value as u32;
        }
        if hidden {
            var.linkage = Linkage::Static;
        }
    }
    Ok(var)
}
