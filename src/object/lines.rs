//! The C line of an instruction, and of what has none.
//!
//! `.BTF.ext` names a line for each instruction, but not where inlined code was inlined: an instruction of a helper in a header has the
//! header's line. Whoever wrote the scheduler wants the line of their own that calls the helper. DWARF knows it where it is
//! there; else it is the nearest line of the function itself, which is told from others by its file and by where it begins.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::debug::{Debug, Decl};
use super::indexes::{FuncIdx, InsnIdx, MapIdx};
use super::object::Object;
use super::own_lines::OwnLines;
use crate::btf::{LineInfo, StrOff};

/// Bytes of a line that are looked at.
const MOST_TEXT: usize = 512;
/// Bytes of a path.
const MOST_PATH: usize = 4096;

/// A C line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceLine<'a> {
    /// Path as the compiler was given it.
    pub file: &'a str,
    /// Line, 1-based.
    pub line: u32,
    /// Column, 1-based; 0 where unknown.
    pub column: u32,
    /// The line's text as the compiler recorded it; empty where it did not.
    pub text: &'a str,
}

/// Where an instruction comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blame<'a> {
    /// The line of the function that holds the instruction.
    pub line: SourceLine<'a>,
    /// Of code that was inlined there: its own line.
    pub inlined: Option<SourceLine<'a>>,
    /// The object does not say where it was inlined: `line` is the nearest one.
    pub is_near: bool,
}

impl<'d> Object<'d> {
    /// The C line of an instruction: the last record with a line at or before it, inside its function. Of inlined code it is the
    /// line there; see [`place`](Self::place).
    pub fn source_line(&self, function: FuncIdx, insn: InsnIdx) -> Option<SourceLine<'d>> {
        let (lines, at) = self.records_of(function)?;
        let after = lines.partition_point(|line| u64::from(line.insn_off) <= at(insn));
        let line = lines[..after].iter().rev().find(|line| line.line > 0)?;
        self.line(line)
    }

    /// Where an instruction comes from: the line of its function, and that of the inlined code that it is part of.
    pub fn place(&self, function: FuncIdx, insn: InsnIdx) -> Option<Blame<'_>> {
        let line = self.source_line(function, insn)?;
        if let Some(debug) = self.debug() {
            let code = &self[function];
            let offset = (code.start as u64).saturating_add(insn.0 as u64).saturating_mul(8);
            return Some(match debug.call(code.section, offset) {
                Some(call) => Blame { line: self.declared(debug, call), inlined: Some(line), is_near: false },
                None => Blame { line, inlined: None, is_near: false },
            });
        }
        let own = |other: &LineInfo| other.line > 0 && self.is_own(function, other);
        let (lines, at) = self.records_of(function)?;
        let after = lines.partition_point(|line| u64::from(line.insn_off) <= at(insn));
        let here = lines[..after].iter().rposition(|line| line.line > 0)?;
        if own(&lines[here]) {
            return Some(Blame { line, inlined: None, is_near: false });
        }
        // Control comes from what stands before.
        let nearest = lines[..here]
            .iter()
            .rfind(|line| own(line))
            .or_else(|| lines[after..].iter().find(|line| own(line)));
        Some(match nearest.and_then(|nearest| self.line(nearest)) {
            Some(nearest) => Blame { line: nearest, inlined: Some(line), is_near: true },
            None => Blame { line, inlined: None, is_near: false },
        })
    }

    /// The line that a function begins with.
    pub fn function_line(&self, function: FuncIdx) -> Option<SourceLine<'_>> {
        if let Some(debug) = self.debug()
            && let Some(decl) = debug.function(&self[function].name)
        {
            return Some(self.declared(debug, decl));
        }
        let (lines, _) = self.records_of(function)?;
        let opening = self.own_lines(function).and_then(|own| own.opening);
        let first = || lines.iter().find(|line| line.line > 0 && self.is_own(function, line)).copied();
        opening
            .or_else(first)
            .or_else(|| lines.iter().find(|line| line.line > 0).copied())
            .and_then(|line| self.line(&line))
    }

    /// The line of a map's definition, or of an ops variable; DWARF alone knows it.
    pub fn map_line(&self, map: MapIdx) -> Option<SourceLine<'_>> {
        let debug = self.debug()?;
        Some(self.declared(debug, debug.variable(&self[map].name)?))
    }

    /// The C files that the line records name, sources before headers.
    pub fn files(&self) -> Vec<&'d str> {
        let Some(btf) = &self.btf else { return Vec::new() };
        let offsets: HashSet<u32> = self.lines().values().flatten().map(|line| line.file.0).collect();
        let files = offsets.into_iter().filter_map(|file| btf.str_within(StrOff(file), MOST_PATH));
        let mut files: Vec<&str> = files.filter(|file| !file.is_empty()).collect();
        files.sort_by_key(|file| (file.ends_with(".h"), *file));
        files
    }

    fn debug(&self) -> Option<&Debug> {
        self.debug.get_or_init(|| Debug::read(&self.elf)).as_ref()
    }

    /// A place that DWARF tells, with the text that the records have for its line.
    fn declared<'a>(&'a self, debug: &'a Debug, decl: Decl) -> SourceLine<'a> {
        let file = debug.file(decl);
        let recorded = self.lines().values().flatten();
        let mut same = recorded.filter(|line| line.line == decl.line).filter_map(|line| self.line(line));
        let text = same.find(|line| line.file == file).map_or("", |line| line.text);
        SourceLine { file, line: decl.line, column: decl.column, text }
    }

    fn line(&self, line: &LineInfo) -> Option<SourceLine<'d>> {
        let btf = self.btf.as_ref()?;
        let (file, text) = (btf.str(line.file), btf.str(line.text));
        Some(SourceLine { file, line: line.line, column: line.column, text })
    }

    /// The records of a function, and what gives the offset of an instruction as they count it.
    fn records_of(&self, function: FuncIdx) -> Option<(&[LineInfo], impl Fn(InsnIdx) -> u64 + use<'d>)> {
        let function = &self[function];
        let section = &self.elf.section_at(function.section.0)?.name;
        let lines = self.lines().get(section)?;
        let start = function.start;
        let at = move |insn: InsnIdx| {
            u64::try_from(start.saturating_add(insn.0)).unwrap_or(u64::MAX).saturating_mul(8)
        };
        let place = |insn| lines.partition_point(|line| u64::from(line.insn_off) < at(InsnIdx(insn)));
        Some((&lines[place(0)..place(function.code.len())], at))
    }

    fn is_own(&self, function: FuncIdx, line: &LineInfo) -> bool {
        self.own_lines(function).is_none_or(|own| own.first <= line.line && own.file == line.file)
    }

    fn own_lines(&self, function: FuncIdx) -> Option<OwnLines> {
        let all = || (0..self.functions.len()).map(|index| self.find_own_lines(FuncIdx(index))).collect();
        *self.own_lines.get_or_init(all).get(function.0)?
    }

    /// The line that names the function tells its file and where it begins. Where the compiler left no instruction of that
    /// line, its file is that of its returns.
    fn find_own_lines(&self, index: FuncIdx) -> Option<OwnLines> {
        let btf = self.btf.as_ref()?;
        let (lines, at) = self.records_of(index)?;
        let function = &self[index];
        let text = |line: &LineInfo| btf.str_within(line.text, MOST_TEXT).unwrap_or_default();
        let opening = lines.iter().find(|line| line.line > 0 && defines(text(line), &function.name));
        if let Some(&opening) = opening {
            return Some(OwnLines { file: opening.file, first: opening.line, opening: Some(opening) });
        }
        let mut files: HashMap<StrOff, usize> = HashMap::new();
        for (insn, _) in function.code.insns().filter(|(_, insn)| insn.is_exit()) {
            let after = lines.partition_point(|line| u64::from(line.insn_off) <= at(InsnIdx(insn)));
            if let Some(line) = lines[..after].iter().rev().find(|line| line.line > 0) {
                *files.entry(line.file).or_default() += 1;
            }
        }
        let (file, _) = files.into_iter().max_by_key(|&(file, count)| (count, Reverse(file.0)))?;
        Some(OwnLines { file, first: 1, opening: None })
    }

    /// The line records of every section that holds functions, by offset; of equal ones the last counts.
    /// Sections of one name share their records, as `.BTF.ext` knows them by name only.
    fn lines(&self) -> &HashMap<Cow<'d, str>, Vec<LineInfo>> {
        self.lines.get_or_init(|| {
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
        })
    }
}

/// Is this the first line of the definition of a function: it has its name as a word, outside of quotes, and does not end as a statement
/// does.
fn defines(line: &str, name: &str) -> bool {
    let line = line.trim_end();
    if name.is_empty() || line.ends_with(';') {
        return false;
    }
    let bytes = line.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    line.match_indices(name).any(|(at, _)| {
        let quoted = line[..at].matches('"').count() % 2 == 1;
        !quoted && (at == 0 || !is_word(at - 1)) && !is_word(at + name.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_defines_a_function_has_its_name() {
        let name = "demo_enqueue";
        for line in [
            "void BPF_STRUCT_OPS(demo_enqueue, struct task_struct *p, u64 enq_flags)",
            "static int demo_enqueue(void) { return 0; }",
            "int demo_enqueue(struct task_struct *p,",
            "SEC(\"struct_ops/demo_enqueue\") void BPF_PROG(demo_enqueue, struct task_struct *p)",
        ] {
            assert!(defines(line, name), "{line}");
        }
        for line in [
            "bpf_printk(\"demo_enqueue\");",
            "\tdemo_enqueue(p);",
            "SEC(\"struct_ops/demo_enqueue\")",
            "void BPF_STRUCT_OPS(demo_enqueue_other, struct task_struct *p)",
            "my_demo_enqueue(",
            "",
        ] {
            assert!(!defines(line, name), "{line}");
        }
    }
}
