//! Bytes to sections, symbols and relocations of a 64-bit relocatable ELF, by the ELF gABI.
//!
//! Knows nothing of BPF but the machine number. What is refused here is what libbpf refuses in
//! `bpf_object__elf_init` and the structural part of `bpf_object__elf_collect` (libbpf 1.7 and 1.8): such
//! an input is no BPF object at all, so it is an [`Error`] and never a finding.

mod error;
mod sniff;

use std::borrow::Cow;

use object::elf;
use object::read::elf::{FileHeader as _, Rel as _, SectionHeader as _, Sym as _};
use object::{Endianness, ReadRef as _};

pub use error::Error;

/// Section type of clang's address-significance table; libbpf skips it.
const SHT_LLVM_ADDRSIG: u32 = 0x6fff_4c03;

/// Index of a section in the section header table; 0 is the reserved null section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionIdx(pub u32);

/// Byte order of the file, from `e_ident[EI_DATA]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// `ELFDATA2LSB`, what x86-64 and arm64 hosts load.
    Little,
    /// `ELFDATA2MSB`, e.g. s390x.
    Big,
}

impl ByteOrder {
    /// The word used in JSON and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Little => "little",
            Self::Big => "big",
        }
    }
}

/// What a section holds, as far as the loader tells sections apart by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionKind {
    /// `SHT_PROGBITS`.
    ProgBits,
    /// `SHT_NOBITS`: has a size and no bytes in the file.
    NoBits,
    /// `SHT_REL`.
    Rel,
    /// `SHT_SYMTAB`.
    SymTab,
    /// `SHT_STRTAB`.
    StrTab,
    /// Any other `sh_type`.
    Other(u32),
}

/// One section header with its name and bytes.
#[derive(Debug, Clone)]
pub struct Section<'d> {
    /// Position in the section header table.
    pub index: SectionIdx,
    /// Name out of the section name table; bytes that are not UTF-8 are replaced.
    pub name: Cow<'d, str>,
    /// `sh_type`.
    pub kind: SectionKind,
    /// `SHF_EXECINSTR` is set.
    pub executable: bool,
    /// `sh_size`, bytes.
    pub size: u64,
    /// The section's bytes; empty for `NOBITS`, and `None` where they lie outside the file.
    pub data: Option<&'d [u8]>,
    /// `sh_info`: for a relocation section the section it applies to.
    pub info: u32,
    /// `sh_link`: for a symbol table the section with its strings.
    pub link: u32,
    /// `sh_entsize`, bytes.
    pub entry_size: u64,
}

impl Section<'_> {
    /// Bytes of one record of the section's type; libelf gives no data where they do not divide the size.
    pub fn record_size(&self) -> u64 {
        match self.kind {
            SectionKind::SymTab => 24,
            SectionKind::Rel => 16,
            SectionKind::ProgBits | SectionKind::NoBits | SectionKind::StrTab => 1,
            SectionKind::Other(kind) => match elf::SectionType(kind) {
                elf::SHT_RELA | elf::SHT_DYNSYM => 24,
                elf::SHT_DYNAMIC => 16,
                elf::SHT_INIT_ARRAY | elf::SHT_FINI_ARRAY | elf::SHT_PREINIT_ARRAY => 8,
                elf::SHT_HASH | elf::SHT_GROUP | elf::SHT_SYMTAB_SHNDX => 4,
                _ => 1,
            },
        }
    }

    /// libbpf never looks at these (`ignore_elf_section`): string tables, DWARF, relocations of
    /// DWARF and BTF, and an empty `.text`.
    pub fn is_ignored(&self) -> bool {
        let debug = |name: &str| name.starts_with(".debug_");
        let rel = self.name.strip_prefix(".rel");
        self.kind == SectionKind::StrTab
            || self.kind == SectionKind::Other(SHT_LLVM_ADDRSIG)
            || (self.kind == SectionKind::ProgBits && self.size == 0 && self.name == ".text")
            || debug(&self.name)
            || rel.is_some_and(|of| debug(of) || of == ".BTF" || of == ".BTF.ext")
    }
}

/// `STB_*` binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// `STB_LOCAL`.
    Local,
    /// `STB_GLOBAL`.
    Global,
    /// `STB_WEAK`.
    Weak,
    /// Any other value.
    Other(u8),
}

impl Binding {
    /// Global and weak are equal to libbpf almost everywhere.
    pub fn is_external(self) -> bool {
        matches!(self, Self::Global | Self::Weak)
    }
}

/// `STT_*` type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    /// `STT_NOTYPE`.
    NoType,
    /// `STT_OBJECT`.
    Object,
    /// `STT_FUNC`.
    Func,
    /// `STT_SECTION`.
    Section,
    /// Any other value.
    Other(u8),
}

/// One entry of the symbol table.
#[derive(Debug, Clone)]
pub struct Symbol<'d> {
    /// Name; `None` where `st_name` lies outside the string table.
    pub name: Option<Cow<'d, str>>,
    /// `st_name` is 0: an anonymous symbol, as of most `STT_SECTION` ones.
    pub unnamed: bool,
    /// `st_value`: byte offset inside the section.
    pub value: u64,
    /// `st_size`, bytes.
    pub size: u64,
    /// `STT_*`.
    pub kind: SymbolKind,
    /// `STB_*`.
    pub binding: Binding,
    /// Visibility is `STV_HIDDEN` or `STV_INTERNAL`.
    pub hidden: bool,
    /// Raw `st_shndx`; 0 is undefined, 0xff00 and above are special.
    pub section: u32,
}

impl Symbol<'_> {
    /// An extern as libbpf sees it (`sym_is_extern`).
    pub fn is_extern(&self) -> bool {
        self.section == 0 && self.binding.is_external() && self.kind == SymbolKind::NoType
    }

    /// The name, or what libbpf prints in its place.
    pub fn name_or_unknown(&self) -> &str {
        self.name.as_deref().unwrap_or("<?>")
    }
}

/// One `SHT_REL` entry. Its type is not kept: libbpf decides by instruction and symbol.
#[derive(Debug, Clone, Copy)]
pub struct Relocation {
    /// `r_offset`: byte offset inside the section it applies to.
    pub offset: u64,
    /// Index into the symbol table.
    pub symbol: u32,
}

/// A 64-bit relocatable ELF for BPF (or for no machine, as old LLVM wrote it).
#[derive(Debug)]
pub struct Elf<'d> {
    /// Byte order of everything in the file.
    pub byte_order: ByteOrder,
    /// All sections, the null section included, so that indices fit.
    pub sections: Vec<Section<'d>>,
    /// The symbol table.
    pub symbols: Vec<Symbol<'d>>,
    endian: Endianness,
}

impl<'d> Elf<'d> {
    /// Reads the headers, section names and the symbol table of `data`.
    ///
    /// # Errors
    /// Whatever libbpf answers with "not a BPF object"; see [`Error`].
    pub fn parse(data: &'d [u8]) -> Result<Self, Error> {
        sniff::expect_elf(data)?;
        let header = elf::FileHeader64::<Endianness>::parse(data)
            .map_err(|_| Error::Truncated { what: "the ELF header", at: 0 })?;
        let endian = header
            .endian()
            .map_err(|_| Error::UnknownByteOrder { value: data.get(5).copied().unwrap_or_default() })?;
        let machine = header.e_machine(endian);
        let file_type = header.e_type(endian);
        if machine != elf::EM_NONE && machine != elf::EM_BPF {
            return Err(Error::HostElf { machine: machine.0, file_type: file_type.0 });
        }
        if file_type != elf::ET_REL {
            return Err(Error::NotRelocatable { file_type: file_type.0 });
        }
        let missing = |what| Error::Truncated { what, at: header.e_shoff(endian) };
        let headers = Self::headers(header, endian, data).ok_or_else(|| missing(error::SECTION_TABLE))?;
        let name_table = match header.e_shstrndx(endian).0 {
            // SHN_XINDEX: the index did not fit and stands in the null section.
            0xffff => headers.first().map_or(0, |null| null.sh_link(endian)),
            index => u32::from(index),
        };
        let names = Self::string_section(name_table, headers, endian, data)
            .ok_or_else(|| missing(error::NAME_TABLE))?;

        let mut sections = Vec::with_capacity(headers.len());
        let mut name_budget = name_budget(data);
        for (index, section) in headers.iter().enumerate() {
            let section = Self::section(index as u32, section, names, endian, data)?;
            spend(&mut name_budget, section.name.len(), "section names")?;
            sections.push(section);
        }
        let symbols = Self::symbols(&sections, headers, endian, data)?;
        let byte_order = match endian {
            Endianness::Little => ByteOrder::Little,
            Endianness::Big => ByteOrder::Big,
        };
        Ok(Self { byte_order, sections, symbols, endian })
    }

    /// The section header table. `e_shentsize` is not looked at, as libelf does not.
    fn headers(
        header: &elf::FileHeader64<Endianness>,
        endian: Endianness,
        data: &'d [u8],
    ) -> Option<&'d [elf::SectionHeader64<Endianness>]> {
        let table = data.get(usize::try_from(header.e_shoff(endian)).ok().filter(|&at| at > 0)?..)?;
        let read = |count| object::pod::slice_from_bytes(table, count).ok().map(|(headers, _)| headers);
        match header.e_shnum(endian) {
            // The number did not fit and stands in the null section.
            0 => {
                let null: &[elf::SectionHeader64<Endianness>] = read(1)?;
                read(usize::try_from(null.first()?.sh_size(endian)).ok()?)
            }
            count => read(usize::from(count)),
        }
    }

    /// The bytes of a string table; `None` where the index, type or range is bad.
    fn string_section(
        index: u32,
        headers: &'d [elf::SectionHeader64<Endianness>],
        endian: Endianness,
        data: &'d [u8],
    ) -> Option<&'d [u8]> {
        let header = headers.get(index as usize)?;
        let compressed = header.sh_flags(endian).0 & elf::SHF_COMPRESSED.0 != 0;
        (index != 0 && header.sh_type(endian) == elf::SHT_STRTAB && !compressed)
            .then(|| header.data(endian, data).ok())
            .flatten()
    }

    fn section(
        index: u32,
        header: &elf::SectionHeader64<Endianness>,
        names: &'d [u8],
        endian: Endianness,
        data: &'d [u8],
    ) -> Result<Section<'d>, Error> {
        let name_off = header.sh_name(endian);
        let name = string(names, name_off).ok_or(Error::SectionName { section: index, offset: name_off })?;
        let kind = match header.sh_type(endian) {
            elf::SHT_PROGBITS => SectionKind::ProgBits,
            elf::SHT_NOBITS => SectionKind::NoBits,
            elf::SHT_REL => SectionKind::Rel,
            elf::SHT_SYMTAB => SectionKind::SymTab,
            elf::SHT_STRTAB => SectionKind::StrTab,
            other => SectionKind::Other(other.0),
        };
        let (offset, size) = (header.sh_offset(endian), header.sh_size(endian));
        let bytes = match kind {
            SectionKind::NoBits => Some(&[][..]),
            _ => data.read_bytes_at(offset, size).ok(),
        };
        Ok(Section {
            index: SectionIdx(index),
            name,
            kind,
            executable: header.sh_flags(endian).0 & elf::SHF_EXECINSTR.0 != 0,
            size,
            data: bytes,
            info: header.sh_info(endian),
            link: header.sh_link(endian),
            entry_size: header.sh_entsize(endian),
        })
    }

    fn symbols(
        sections: &[Section<'d>],
        headers: &'d [elf::SectionHeader64<Endianness>],
        endian: Endianness,
        data: &'d [u8],
    ) -> Result<Vec<Symbol<'d>>, Error> {
        let mut tables = sections.iter().filter(|s| s.kind == SectionKind::SymTab);
        let table = tables.next().ok_or(Error::NoSymbolTable)?;
        if tables.next().is_some() {
            return Err(Error::SeveralSymbolTables);
        }
        if table.link == 0 || table.link as usize >= sections.len() {
            return Err(Error::SymbolStrings { link: table.link });
        }
        // A table that is there and that lacks its strings is read all the same: libbpf only
        // misses the names of the symbols it asks for.
        let strings = Self::string_section(table.link, headers, endian, data).unwrap_or_default();
        let bytes =
            table.data.ok_or(Error::SectionData { section: table.index.0, name: table.name.to_string() })?;
        if table.entry_size != size_of::<elf::Sym64<Endianness>>() as u64 {
            return Err(Error::SymbolSize { size: table.entry_size });
        }
        let count = bytes.len() / size_of::<elf::Sym64<Endianness>>();
        let (raw, _) = object::pod::slice_from_bytes::<elf::Sym64<Endianness>>(bytes, count)
            .map_err(|()| Error::Truncated { what: "the symbol table", at: 0 })?;
        let mut name_budget = name_budget(data);
        let mut name = |sym: &elf::Sym64<Endianness>| {
            let name = string(strings, sym.st_name(endian));
            spend(&mut name_budget, name.as_ref().map_or(0, |name| name.len()), "symbol names")?;
            Ok(name)
        };
        raw.iter()
            .map(|sym| {
                Ok(Symbol {
                    name: name(sym)?,
                    unnamed: sym.st_name(endian) == 0,
                    value: sym.st_value(endian),
                    size: sym.st_size(endian),
                    kind: match sym.st_type() {
                        elf::STT_NOTYPE => SymbolKind::NoType,
                        elf::STT_OBJECT => SymbolKind::Object,
                        elf::STT_FUNC => SymbolKind::Func,
                        elf::STT_SECTION => SymbolKind::Section,
                        other => SymbolKind::Other(other.0),
                    },
                    binding: match sym.st_bind() {
                        elf::STB_LOCAL => Binding::Local,
                        elf::STB_GLOBAL => Binding::Global,
                        elf::STB_WEAK => Binding::Weak,
                        other => Binding::Other(other.0),
                    },
                    hidden: matches!(sym.st_visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL),
                    section: u32::from(sym.st_shndx(endian).0),
                })
            })
            .collect()
    }

    /// The section at `index`, as symbols and `sh_info` name it.
    pub fn section_at(&self, index: u32) -> Option<&Section<'d>> {
        self.sections.get(index as usize)
    }

    /// The entries of a `SHT_REL` section, in file order; none where its bytes are missing.
    pub fn relocations(&self, section: &Section<'d>) -> impl Iterator<Item = Relocation> + use<'d> {
        let endian = self.endian;
        let bytes = section.data.unwrap_or_default();
        let count = bytes.len() / size_of::<elf::Rel64<Endianness>>();
        let raw = object::pod::slice_from_bytes::<elf::Rel64<Endianness>>(bytes, count)
            .map_or(&[][..], |(raw, _)| raw);
        raw.iter().map(move |rel| Relocation { offset: rel.r_offset(endian), symbol: rel.r_sym(endian) })
    }

    /// Reads a 4-byte word of the file's byte order out of section bytes.
    pub fn u32_at(&self, bytes: &[u8], offset: usize) -> Option<u32> {
        let raw = bytes.get(offset..)?.first_chunk()?;
        Some(match self.byte_order {
            ByteOrder::Little => u32::from_le_bytes(*raw),
            ByteOrder::Big => u32::from_be_bytes(*raw),
        })
    }
}

/// Bytes that the names of a file may have in all. Symbols may share a name, which is then kept once and shown many
/// times; more than this is no use of a string table but an attack on whoever reads it.
fn name_budget(data: &[u8]) -> usize {
    data.len().saturating_mul(2).saturating_add(64 << 10)
}

fn spend(budget: &mut usize, bytes: usize, what: &'static str) -> Result<(), Error> {
    *budget = budget.checked_sub(bytes).ok_or(Error::TooComplex { what })?;
    Ok(())
}

/// The NUL-terminated string at `offset`; `None` outside the table or without a terminator.
fn string(table: &[u8], offset: u32) -> Option<Cow<'_, str>> {
    let rest = table.get(offset as usize..)?;
    let len = rest.iter().position(|&b| b == 0)?;
    Some(String::from_utf8_lossy(&rest[..len]))
}

#[cfg(test)]
mod tests {
    use object::write::{
        Object as Writer, Relocation as WrittenRelocation, Symbol as WrittenSymbol, SymbolSection,
    };
    use object::{
        Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind as Written, SymbolFlags,
        SymbolKind as Of, SymbolScope,
    };

    use super::*;

    /// A section with a function that refers to itself, and a license; in the byte order of choice.
    fn sample(order: Endianness) -> Vec<u8> {
        let mut writer = Writer::new(BinaryFormat::Elf, Architecture::Bpf, order);
        let code = writer.add_section(Vec::new(), b"struct_ops/run".to_vec(), Written::Text);
        writer.append_section_data(code, &[0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0], 8);
        let license = writer.add_section(Vec::new(), b"license".to_vec(), Written::Data);
        writer.append_section_data(license, b"GPL\0", 1);
        let symbol = writer.add_symbol(WrittenSymbol {
            name: b"run".to_vec(),
            value: 0,
            size: 16,
            kind: Of::Text,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(code),
            flags: SymbolFlags::None,
        });
        let flags = RelocationFlags::Elf { r_type: elf::RelocationType(1) };
        writer.add_relocation(code, WrittenRelocation { offset: 8, symbol, addend: 0, flags }).unwrap();
        writer.write().unwrap()
    }

    fn put(data: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut out = data.to_vec();
        out[at..at + bytes.len()].copy_from_slice(bytes);
        out
    }

    /// Offset in the file of the header of the section of that name.
    fn header_of(data: &[u8], name: &str) -> usize {
        let table = u64::from_le_bytes(*data[40..].first_chunk().unwrap()) as usize;
        let index = Elf::parse(data).unwrap().sections.iter().position(|s| s.name == name).unwrap();
        table + 64 * index
    }

    #[test]
    fn sections_symbols_and_relocations_are_read_in_both_byte_orders() {
        for (order, expected) in [(Endianness::Little, ByteOrder::Little), (Endianness::Big, ByteOrder::Big)]
        {
            let data = sample(order);
            let elf = Elf::parse(&data).unwrap();
            assert_eq!(elf.byte_order, expected);
            let code = elf.sections.iter().find(|s| s.name == "struct_ops/run").unwrap();
            assert_eq!((code.kind, code.executable, code.size), (SectionKind::ProgBits, true, 16));
            let license = elf.sections.iter().find(|s| s.name == "license").unwrap();
            assert_eq!((license.data, license.executable), (Some(&b"GPL\0"[..]), false));
            let symbol = elf.symbols.iter().find(|s| s.name.as_deref() == Some("run")).unwrap();
            assert_eq!((symbol.kind, symbol.binding), (SymbolKind::Func, Binding::Global));
            assert_eq!((symbol.value, symbol.size, symbol.section), (0, 16, code.index.0));
            assert!(!symbol.hidden && !symbol.is_extern());
            let rel = elf.sections.iter().find(|s| s.kind == SectionKind::Rel).unwrap();
            assert_eq!(rel.info, code.index.0);
            let relocations: Vec<_> = elf.relocations(rel).collect();
            assert_eq!(relocations.len(), 1);
            assert_eq!(relocations[0].offset, 8);
            assert_eq!(elf.symbols[relocations[0].symbol as usize].name.as_deref(), Some("run"));
        }
    }

    #[test]
    fn each_broken_header_field_has_its_error() {
        let data = sample(Endianness::Little);
        let symtab = header_of(&data, ".symtab");
        let license = header_of(&data, "license");
        let code = |data: &[u8]| Elf::parse(data).map(|_| ()).unwrap_err().code();
        assert_eq!(code(&put(&data, 4, &[1])), "wrong-class");
        assert_eq!(code(&put(&data, 5, &[9])), "unknown-byte-order");
        assert_eq!(code(&put(&data, 16, &[2])), "not-relocatable");
        assert_eq!(code(&put(&data, 18, &[62])), "host-elf");
        assert_eq!(code(&put(&data, 40, &[0; 8])), "truncated");
        assert_eq!(code(&put(&data, 40, &[0xff; 8])), "truncated");
        assert_eq!(code(&put(&data, 62, &[0xfe, 0xff])), "truncated");
        assert_eq!(code(&put(&data, symtab + 4, &[1])), "no-symbol-table");
        assert_eq!(code(&put(&data, symtab + 40, &[0])), "malformed-elf");
        assert_eq!(code(&put(&data, symtab + 56, &[16])), "malformed-elf");
        assert_eq!(code(&put(&data, license, &[0xff; 4])), "malformed-elf");
        assert_eq!(code(&put(&data, license + 4, &[2])), "malformed-elf");
    }

    #[test]
    fn old_objects_of_no_machine_are_read() {
        assert!(Elf::parse(&put(&sample(Endianness::Little), 18, &[0, 0])).is_ok());
    }

    #[test]
    fn a_section_outside_the_file_has_no_bytes() {
        let data = sample(Endianness::Little);
        let license = header_of(&data, "license");
        let broken = put(&data, license + 24, &[0xff; 8]);
        let elf = Elf::parse(&broken).unwrap();
        assert_eq!(elf.sections.iter().find(|s| s.name == "license").unwrap().data, None);
    }

    #[test]
    fn a_name_that_all_symbols_share_is_too_much() {
        let data = sample(Endianness::Little);
        let elf = Elf::parse(&data).unwrap();
        let mut budget = name_budget(&data);
        let longest = elf.symbols.iter().filter_map(|s| s.name.as_ref()).map(|n| n.len()).max().unwrap();
        assert!(spend(&mut budget, longest, "symbol names").is_ok());
        assert_eq!(
            spend(&mut budget, name_budget(&data), "symbol names"),
            Err(Error::TooComplex { what: "symbol names" })
        );
    }

    #[test]
    fn strings_end_inside_their_table() {
        assert_eq!(string(b"\0ab\0", 1).as_deref(), Some("ab"));
        assert_eq!(string(b"\0ab\0", 0).as_deref(), Some(""));
        assert_eq!(string(b"\0ab", 1), None);
        assert_eq!(string(b"\0", 1), None);
        assert_eq!(string(b"\0a\xff\0", 1).as_deref(), Some("a\u{fffd}"));
    }
}
