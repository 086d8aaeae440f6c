//! The `.BTF.ext` section: which function and which C line an instruction belongs to, and CO-RE records.

use super::error::Error;
use super::ids::{StrOff, TypeId};
use super::reader::{MAGIC, Reader};
use super::section::Btf;
use crate::elf::ByteOrder;

/// Bytes of the header up to the line info; what the oldest form has.
const HEADER_MIN: usize = 24;
/// Bytes of the header with the CO-RE records' place.
const HEADER_CORE: usize = 32;

/// A function starts here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FuncInfo {
    /// Bytes from the start of the ELF section.
    pub insn_off: u32,
    /// Its FUNC.
    pub type_id: TypeId,
}

/// A C line starts here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineInfo {
    /// Bytes from the start of the ELF section.
    pub insn_off: u32,
    /// Path of the source file, as the compiler was given it.
    pub file: StrOff,
    /// Text of the line.
    pub text: StrOff,
    /// Line, 1-based.
    pub line: u32,
    /// Column, 1-based; 0 where the compiler does not know.
    pub column: u32,
}

/// One sub-section: blocks of records, each for one ELF section.
#[derive(Debug, Default)]
struct Info {
    record_size: usize,
    /// ELF section name, first record's offset in the data, number of records.
    blocks: Vec<(StrOff, usize, usize)>,
}

/// A parsed `.BTF.ext` section.
#[derive(Debug)]
pub struct BtfExt<'d> {
    data: Reader<'d>,
    funcs: Info,
    lines: Info,
    core_relos: Info,
}

impl<'d> BtfExt<'d> {
    /// Parses and checks a section as libbpf's `btf_ext__new` does (`btf_ext_parse_sec_info`).
    ///
    /// # Errors
    /// A header or sub-section that does not hold together.
    pub fn parse(data: &'d [u8]) -> Result<Self, Error> {
        let magic = data.first_chunk().ok_or(Error::HeaderTruncated { len: data.len() as u64 })?;
        let order = match (u16::from_le_bytes(*magic), u16::from_be_bytes(*magic)) {
            (MAGIC, _) => ByteOrder::Little,
            (_, MAGIC) => ByteOrder::Big,
            (got, _) => return Err(Error::Magic { got }),
        };
        let reader = Reader { bytes: data, order, wide: false };
        if data.len() < 8 {
            return Err(Error::HeaderTruncated { len: data.len() as u64 });
        }
        if data[2] != 1 {
            return Err(Error::Version { got: data[2] });
        }
        let ext = |problem| Error::Ext { what: "header", offset: 0, problem };
        if data[3] != 0 {
            return Err(ext("unknown flags are set"));
        }
        let header_len = reader.word(4) as usize;
        if header_len < HEADER_MIN || header_len >= data.len() {
            return Err(Error::HeaderLength { got: header_len as u64, len: data.len() as u64 });
        }
        let info = |what, at: usize, min| Self::info(reader, header_len, what, at, min);
        Ok(Self {
            data: reader,
            funcs: info("func_info", 8, 8)?,
            lines: info("line_info", 16, 16)?,
            core_relos: if header_len >= HEADER_CORE { info("core_relo", 24, 16)? } else { Info::default() },
        })
    }

    fn info(
        data: Reader<'d>,
        header_len: usize,
        what: &'static str,
        at: usize,
        min: usize,
    ) -> Result<Info, Error> {
        let (offset, len) = (data.word(at), data.word(at + 4) as usize);
        let fail = |problem| Error::Ext { what, offset: u64::from(offset), problem };
        if len == 0 {
            return Ok(Info::default());
        }
        if offset % 4 != 0 {
            return Err(fail("not aligned to 4 bytes"));
        }
        let start = header_len + offset as usize;
        let end = start.checked_add(len).filter(|&end| end <= data.bytes.len());
        let end = end.ok_or_else(|| fail("runs beyond the end of the section"))?;
        if len < 4 {
            return Err(fail("has no record size"));
        }
        let record_size = data.word(start) as usize;
        let exact = data.order == ByteOrder::Little || record_size == min;
        if record_size < min || !record_size.is_multiple_of(4) || !exact {
            return Err(fail("has an invalid record size"));
        }
        let mut at = start + 4;
        if at == end {
            return Err(fail("has no records"));
        }
        let mut blocks = Vec::new();
        while at < end {
            if end - at < 8 {
                return Err(fail("ends inside a block header"));
            }
            let (section, count) = (StrOff(data.word(at)), data.word(at + 4) as usize);
            let size = count.checked_mul(record_size).filter(|&size| size <= end - at - 8);
            let size = size.filter(|_| count > 0).ok_or_else(|| fail("has an invalid number of records"))?;
            blocks.push((section, at + 8, count));
            at += 8 + size;
        }
        Ok(Info { record_size, blocks })
    }

    /// Byte offsets of the records for the ELF section of that name.
    fn records<'a>(
        &'a self,
        info: &'a Info,
        btf: &'a Btf<'_>,
        section: &'a str,
    ) -> impl Iterator<Item = usize> + 'a {
        info.blocks
            .iter()
            .filter(move |(name, ..)| btf.bytes(*name) == section.as_bytes())
            .flat_map(move |&(_, first, count)| (0..count).map(move |i| first + i * info.record_size))
    }

    /// Which functions start in the ELF section.
    pub fn funcs<'a>(&'a self, btf: &'a Btf<'_>, section: &'a str) -> impl Iterator<Item = FuncInfo> + 'a {
        self.records(&self.funcs, btf, section)
            .map(|at| FuncInfo { insn_off: self.data.word(at), type_id: TypeId(self.data.word(at + 4)) })
    }

    /// The C lines of the ELF section, in file order.
    pub fn lines<'a>(&'a self, btf: &'a Btf<'_>, section: &'a str) -> impl Iterator<Item = LineInfo> + 'a {
        self.records(&self.lines, btf, section).map(|at| {
            let line_col = self.data.word(at + 12);
            LineInfo {
                insn_off: self.data.word(at),
                file: StrOff(self.data.word(at + 4)),
                text: StrOff(self.data.word(at + 8)),
                line: line_col >> 10,
                column: line_col & 0x3ff,
            }
        })
    }

    /// Are there any line records at all.
    pub fn has_lines(&self) -> bool {
        !self.lines.blocks.is_empty()
    }

    /// The CO-RE records of the ELF section: instruction offset (bytes), local type, access string, kind.
    pub fn core_relos<'a>(
        &'a self,
        btf: &'a Btf<'_>,
        section: &'a str,
    ) -> impl Iterator<Item = CoreRelo> + 'a {
        self.records(&self.core_relos, btf, section).map(|at| CoreRelo {
            insn_off: self.data.word(at),
            type_id: TypeId(self.data.word(at + 4)),
            access: StrOff(self.data.word(at + 8)),
            kind: self.data.word(at + 12),
        })
    }

    /// Number of CO-RE records in the whole section.
    pub fn core_relo_count(&self) -> usize {
        self.core_relos.blocks.iter().map(|(.., count)| count).sum()
    }
}

/// A CO-RE relocation record (`struct bpf_core_relo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreRelo {
    /// Bytes from the start of the ELF section.
    pub insn_off: u32,
    /// Root type in the object's own BTF.
    pub type_id: TypeId,
    /// Access string, e.g. `0:1:2`.
    pub access: StrOff,
    /// `enum bpf_core_relo_kind`, 0 to 12.
    pub kind: u32,
}
