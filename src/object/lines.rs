//! The C line of an instruction.

use std::borrow::Cow;
use std::collections::HashMap;

use super::indexes::{FuncIdx, InsnIdx};
use super::object::Object;
use crate::btf::LineInfo;

/// A C line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceLine<'a> {
    /// Path as the compiler was given it.
    pub file: &'a str,
    /// Line, 1-based.
    pub line: u32,
    /// Column, 1-based; 0 where unknown.
    pub column: u32,
    /// The line's text as the compiler recorded it.
    pub text: &'a str,
}

impl<'d> Object<'d> {
    /// The C line of an instruction: the last record with a line at or before it, inside its function.
    pub fn source_line(&self, function: FuncIdx, insn: InsnIdx) -> Option<SourceLine<'d>> {
        let (btf, function) = (self.btf.as_ref()?, &self[function]);
        let section = &self.elf.section_at(function.section.0)?.name;
        let lines = self.lines.get_or_init(|| self.lines_by_section()).get(section)?;
        let bytes = |slot: usize| u64::try_from(slot).unwrap_or(u64::MAX).saturating_mul(8);
        let (first, at) = (bytes(function.start), bytes(function.start.saturating_add(insn.0)));
        let after = lines.partition_point(|line| u64::from(line.insn_off) <= at);
        let mut here = lines[..after].iter().rev().take_while(|line| u64::from(line.insn_off) >= first);
        // Line 0 stands for code that the compiler made; the line before it led there.
        let line = here.find(|line| line.line > 0)?;
        Some(SourceLine {
            file: btf.str(line.file),
            line: line.line,
            column: line.column,
            text: btf.str(line.text),
        })
    }

    /// The line records of every section that holds functions, by offset; of equal ones the last counts.
    /// Sections of one name share their records, as `.BTF.ext` knows them by name only.
    fn lines_by_section(&self) -> HashMap<Cow<'d, str>, Vec<LineInfo>> {
        let mut sections = HashMap::new();
        let (Some(btf), Some(ext)) = (&self.btf, &self.ext) else { return sections };
        for function in &self.functions {
            let Some(section) = self.elf.section_at(function.section.0) else { continue };
            sections.entry(section.name.clone()).or_insert_with(|| {
                let mut lines: Vec<_> = ext.lines(btf, &section.name).collect();
                lines.sort_by_key(|line| line.insn_off);
                lines
            });
        }
        sections
    }
}
