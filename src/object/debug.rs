//! What DWARF tells of an object that still has it: where inlined code was called from, and where functions and variables stand.
//!
//! libbpf's static linker and most build scripts drop DWARF, and `.BTF.ext` says nothing of either. It is read when the first place is
//! asked for; whatever does not hold together there is as if it were absent.

use std::collections::HashMap;

use gimli::{AttributeValue, EndianSlice, Reader, RelocateReader, RunTimeEndian, UnitOffset, constants};

use crate::elf::{ByteOrder, Elf, SectionIdx};

/// Entries that are looked at, ranges and names that are kept, at most; a large scheduler has some ten thousand.
const MOST: usize = 1 << 20;
/// Bytes of a name or path that is kept.
const MOST_BYTES: usize = 4096;

/// Where something stands in a C file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decl {
    /// Number of the file.
    file: usize,
    pub(super) line: u32,
    /// 0 where unknown.
    pub(super) column: u32,
}

/// A piece of a function that another one was inlined into.
#[derive(Debug, Clone, Copy)]
struct Inlined {
    start: u64,
    end: u64,
    /// The call, in the function that has a symbol.
    call: Decl,
}

/// The answers, sorted.
#[derive(Debug, Default)]
pub(super) struct Debug {
    files: Vec<String>,
    functions: HashMap<String, Decl>,
    variables: HashMap<String, Decl>,
    /// They do not overlap, and are sorted by their start.
    inlined: Vec<Inlined>,
}

/// An instruction's place in the file, as the relocated addresses are made to tell it.
fn address(section: SectionIdx, offset: u64) -> u64 {
    u64::from(section.0) << 32 | offset & 0xffff_ffff
}

impl Debug {
    /// Reads what there is; `None` for an object without DWARF.
    pub(super) fn read(elf: &Elf<'_>) -> Option<Self> {
        elf.sections.iter().find(|section| section.name == ".debug_info")?;
        let mut reading = Reading::default();
        // What was read before something that makes no sense holds.
        let _ = reading.units(elf);
        let mut found = reading.found;
        found.inlined.sort_unstable_by_key(|piece| piece.start);
        Some(found)
    }

    /// The path of a declaration's file.
    pub(super) fn file(&self, decl: Decl) -> &str {
        self.files.get(decl.file).map_or("", String::as_str)
    }

    /// Where a function that has a symbol starts.
    pub(super) fn function(&self, name: &str) -> Option<Decl> {
        self.functions.get(name).copied()
    }

    /// Where a variable stands.
    pub(super) fn variable(&self, name: &str) -> Option<Decl> {
        self.variables.get(name).copied()
    }

    /// Where code was called from that is inlined at an offset of a section; `None` for the function's own.
    pub(super) fn call(&self, section: SectionIdx, offset: u64) -> Option<Decl> {
        let at = address(section, offset);
        let after = self.inlined.partition_point(|piece| piece.start <= at);
        let piece = self.inlined.get(after.checked_sub(1)?)?;
        (at < piece.end).then_some(piece.call)
    }
}

/// The relocations of one section: by offset the section and value of the symbol.
#[derive(Debug, Clone, Default)]
struct Relocations(std::rc::Rc<Vec<(usize, (u32, u64))>>);

impl Relocations {
    fn of(elf: &Elf<'_>, section: SectionIdx) -> Self {
        let mut found = Vec::new();
        let rels = elf.sections.iter().filter(|rel| rel.name.starts_with(".rel.") && rel.info == section.0);
        for relocation in rels.flat_map(|rel| elf.relocations(rel)) {
            let symbol = elf.symbols.get(relocation.symbol as usize);
            if let (Ok(at), Some(symbol)) = (usize::try_from(relocation.offset), symbol) {
                found.push((at, (symbol.section, symbol.value)));
            }
        }
        // They are in order as a rule.
        found.sort_by_key(|(at, _)| *at);
        Self(std::rc::Rc::new(found))
    }

    fn at(&self, offset: usize) -> Option<(u32, u64)> {
        let found = self.0.binary_search_by_key(&offset, |(at, _)| *at).ok()?;
        self.0.get(found).map(|(_, symbol)| *symbol)
    }
}

impl gimli::Relocate<usize> for Relocations {
    fn relocate_address(&self, offset: usize, value: u64) -> gimli::Result<u64> {
        Ok(match self.at(offset) {
            Some((section, start)) => address(SectionIdx(section), start.wrapping_add(value)),
            None => value,
        })
    }

    fn relocate_offset(&self, offset: usize, value: usize) -> gimli::Result<usize> {
        let start = self.at(offset).and_then(|(_, start)| usize::try_from(start).ok());
        Ok(value.wrapping_add(start.unwrap_or(0)))
    }
}

type Input<'d> = RelocateReader<EndianSlice<'d, RunTimeEndian>, Relocations>;
type Unit<'d> = gimli::Unit<Input<'d>>;
type Entry<'d> = gimli::DebuggingInformationEntry<Input<'d>>;

#[derive(Default)]
struct Reading {
    found: Debug,
    /// Numbers of files by path.
    numbers: HashMap<String, usize>,
    entries: usize,
}

impl Reading {
    fn units(&mut self, elf: &Elf<'_>) -> Option<()> {
        let endian = match elf.byte_order {
            ByteOrder::Little => RunTimeEndian::Little,
            ByteOrder::Big => RunTimeEndian::Big,
        };
        let dwarf = gimli::Dwarf::load(|id| -> gimli::Result<Input<'_>> {
            let section = elf.sections.iter().find(|section| section.name == id.name());
            let data = section.and_then(|section| section.data).unwrap_or_default();
            let relocations = section.map(|section| Relocations::of(elf, section.index)).unwrap_or_default();
            Ok(RelocateReader::new(EndianSlice::new(data, endian), relocations))
        })
        .ok()?;
        let mut units = dwarf.units();
        while let Some(header) = units.next().ok()? {
            let unit = dwarf.unit(header).ok()?;
            self.unit(&dwarf, &unit)?;
        }
        Some(())
    }

    fn unit<'d>(&mut self, dwarf: &gimli::Dwarf<Input<'d>>, unit: &Unit<'d>) -> Option<()> {
        // What entries refer to may come behind them.
        let mut known: HashMap<UnitOffset, Option<Decl>> = HashMap::new();
        let mut inlines = false;
        self.each(unit, |reading, tag, depth, offset| {
            inlines |= tag == constants::DW_TAG_inlined_subroutine;
            let is_variable = tag == constants::DW_TAG_variable && depth == 1;
            if !is_variable && tag != constants::DW_TAG_subprogram {
                return Some(());
            }
            let entry = &unit.entry(offset).ok()?;
            let decl =
                reading.decl(dwarf, unit, entry, constants::DW_AT_decl_file, constants::DW_AT_decl_line);
            let found = if is_variable { &mut reading.found.variables } else { &mut reading.found.functions };
            if let (Some(name), Some(decl)) = (name(dwarf, unit, entry), decl) {
                found.entry(name).or_insert(decl);
            }
            if !is_variable {
                known.insert(offset, decl);
            }
            Some(())
        })?;
        if inlines { self.inlined(dwarf, unit, &known) } else { Some(()) }
    }

    /// Goes through the entries of a unit: tag, depth and offset of each. Most of them are types, whose attributes are passed over.
    fn each<'d>(
        &mut self,
        unit: &Unit<'d>,
        mut look: impl FnMut(&mut Self, gimli::DwTag, isize, UnitOffset) -> Option<()>,
    ) -> Option<()> {
        let mut entries = unit.entries_raw(None).ok()?;
        while !entries.is_empty() {
            let (depth, offset) = (entries.next_depth(), entries.next_offset());
            let Some(kind) = entries.read_abbreviation().ok()? else { continue };
            entries.skip_attributes(kind.attributes()).ok()?;
            self.count()?;
            look(self, kind.tag(), depth, offset)?;
        }
        Some(())
    }

    /// The outermost inlined code in each function. `BPF_PROG` and its like make two functions of a line, of which the outer one, which
    /// has the symbol, only calls the inner one, which has the body; the two are one.
    fn inlined<'d>(
        &mut self,
        dwarf: &gimli::Dwarf<Input<'d>>,
        unit: &Unit<'d>,
        known: &HashMap<UnitOffset, Option<Decl>>,
    ) -> Option<()> {
        let mut function = None;
        // Entries below this depth are in inlined code that was seen to.
        let mut inside: Option<isize> = None;
        self.each(unit, |reading, tag, depth, offset| {
            inside = inside.filter(|outer| depth > *outer);
            if tag != constants::DW_TAG_subprogram && tag != constants::DW_TAG_inlined_subroutine {
                return Some(());
            }
            let entry = &unit.entry(offset).ok()?;
            let origin = || {
                let origin = match entry.attr_value(constants::DW_AT_abstract_origin) {
                    Some(AttributeValue::UnitRef(origin)) => origin,
                    _ => offset,
                };
                known.get(&origin).copied().flatten()
            };
            if tag == constants::DW_TAG_subprogram {
                function = origin();
                return Some(());
            }
            if inside.is_some() || function.is_some() && origin() == function {
                return Some(());
            }
            inside = Some(depth);
            let (file, line) = (constants::DW_AT_call_file, constants::DW_AT_call_line);
            let Some(mut call) = reading.decl(dwarf, unit, entry, file, line) else { return Some(()) };
            call.column = number(entry, constants::DW_AT_call_column).unwrap_or(0);
            let mut ranges = dwarf.die_ranges(unit, entry).ok()?;
            while let Some(range) = ranges.next().ok()? {
                reading.count()?;
                reading.found.inlined.push(Inlined { start: range.begin, end: range.end, call });
            }
            Some(())
        })
    }

    fn count(&mut self) -> Option<()> {
        self.entries += 1;
        (self.entries <= MOST).then_some(())
    }

    fn decl<'d>(
        &mut self,
        dwarf: &gimli::Dwarf<Input<'d>>,
        unit: &Unit<'d>,
        entry: &Entry<'d>,
        file: gimli::DwAt,
        line: gimli::DwAt,
    ) -> Option<Decl> {
        let line = number(entry, line).filter(|line| *line > 0)?;
        let file = match entry.attr_value(file)? {
            AttributeValue::FileIndex(file) => file,
            other => other.udata_value()?,
        };
        let path = path(dwarf, unit, file)?;
        let next = self.found.files.len();
        let number = *self.numbers.entry(path).or_insert_with_key(|path| {
            self.found.files.push(path.clone());
            next
        });
        Some(Decl { file: number, line, column: 0 })
    }
}

fn number(entry: &Entry<'_>, name: gimli::DwAt) -> Option<u32> {
    u32::try_from(entry.attr_value(name)?.udata_value()?).ok()
}

fn text<'d>(
    dwarf: &gimli::Dwarf<Input<'d>>,
    unit: &Unit<'d>,
    value: AttributeValue<Input<'d>>,
) -> Option<String> {
    let text = dwarf.attr_string(unit, value).ok()?;
    (text.len() <= MOST_BYTES).then(|| text.to_string_lossy().ok().map(|text| text.into_owned())).flatten()
}

fn name<'d>(dwarf: &gimli::Dwarf<Input<'d>>, unit: &Unit<'d>, entry: &Entry<'d>) -> Option<String> {
    text(dwarf, unit, entry.attr_value(constants::DW_AT_name)?)
}

/// A path as `.BTF.ext` has it: the folder that the compiler was given, and the file in it.
fn path<'d>(dwarf: &gimli::Dwarf<Input<'d>>, unit: &Unit<'d>, file: u64) -> Option<String> {
    let header = unit.line_program.as_ref()?.header();
    let file = header.file(file)?;
    let name = text(dwarf, unit, file.path_name())?;
    if name.starts_with('/') {
        return Some(name);
    }
    let folder = file.directory(header).and_then(|folder| text(dwarf, unit, folder)).unwrap_or_default();
    Some(if folder.is_empty() { name } else { format!("{folder}/{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_by_section_and_offset() {
        let call = Decl { file: 0, line: 7, column: 3 };
        let piece = |section, start, end| Inlined {
            start: address(SectionIdx(section), start),
            end: address(SectionIdx(section), end),
            call,
        };
        let files = vec!["a.c".to_owned()];
        let debug = Debug { files, inlined: vec![piece(3, 8, 16), piece(4, 0, 8)], ..Debug::default() };
        let at = |section, offset| debug.call(SectionIdx(section), offset);
        assert_eq!([at(3, 0), at(3, 8), at(3, 15), at(3, 16)], [None, Some(call), Some(call), None]);
        assert_eq!([at(4, 0), at(4, 8), at(5, 0)], [Some(call), None, None]);
        assert_eq!(debug.file(call), "a.c");
    }
}
