//! One small mistake in each program of an object, as a person or a compiler might make it.
//!
//! The instructions keep their places, so that jumps, relocations, line information and functions stay true; an
//! instruction that goes is replaced by `goto +0`. What libbpf will patch (relocations, CO-RE) is left alone or taken
//! out with its relocation.

use std::collections::{HashMap, HashSet};

use fastrand::Rng;

const LD_IMM64: u8 = 0x18;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const JA: u8 = 0x05;
const SHT_PROGBITS: u64 = 1;
const SHT_SYMTAB: u64 = 2;
const SHT_REL: u64 = 9;
const SHF_EXECINSTR: u64 = 4;
const STT_FUNC: u8 = 2;
const SECTION_HEADER: usize = 64;

/// One instruction's eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Insn {
    code: u8,
    dst: u8,
    src: u8,
    off: i16,
    imm: i32,
}

impl Insn {
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let raw: [u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
        let [code, regs, o0, o1, i0, i1, i2, i3] = raw;
        Some(Self {
            code,
            dst: regs & 15,
            src: regs >> 4,
            off: i16::from_le_bytes([o0, o1]),
            imm: i32::from_le_bytes([i0, i1, i2, i3]),
        })
    }

    fn bytes(self) -> [u8; 8] {
        let [o0, o1] = self.off.to_le_bytes();
        let [i0, i1, i2, i3] = self.imm.to_le_bytes();
        [self.code, self.dst & 15 | self.src << 4, o0, o1, i0, i1, i2, i3]
    }

    const fn class(self) -> u8 {
        self.code & 7
    }

    const fn nop() -> Self {
        Self { code: JA, dst: 0, src: 0, off: 0, imm: 0 }
    }

    const fn is_alu(self) -> bool {
        matches!(self.class(), 4 | 7)
    }

    /// A conditional jump.
    const fn is_test(self) -> bool {
        matches!(self.class(), 5 | 6) && !matches!(self.code >> 4, 0 | 8 | 9 | 14)
    }

    /// A load, a store, or an atomic operation.
    const fn is_access(self) -> bool {
        matches!(self.class(), 1..=3)
    }

    /// The second operand is the constant.
    const fn has_constant(self) -> bool {
        (self.is_alu() || self.is_test()) && self.code & 8 == 0 && !matches!(self.code >> 4, 8 | 13)
    }
}

/// A function of the object.
#[derive(Debug)]
struct Function {
    name: String,
    /// Programs have sections of their own; the rest is in `.text`.
    is_program: bool,
    /// Where its instructions are in the file, the second halves of wide ones left out.
    insns: Vec<usize>,
}

/// What was changed where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The function.
    pub function: String,
    /// It is a program's own: only that program is changed.
    pub is_program: bool,
    /// In words: `insn 12: drop the test (15 ...)`.
    pub what: String,
}

/// An object whose programs can be changed.
#[derive(Debug)]
pub struct Programs {
    bytes: Vec<u8>,
    functions: Vec<Function>,
    /// Where in the file an instruction is, and the section header of the relocations of its section.
    relocated: HashMap<usize, Relocation>,
    core: HashSet<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Relocation {
    /// File offset of the header of the section of relocations.
    header: usize,
    /// `r_offset`.
    offset: u64,
}

/// The mistakes, each as likely as the others where it can be made.
const MISTAKES: [(&str, Mistake); 17] = [
    ("drop the test", Mistake::DropTest),
    ("always jump", Mistake::AlwaysJump),
    ("another condition", Mistake::Condition),
    ("another width of the test or the arithmetic", Mistake::Width),
    ("another constant", Mistake::Constant),
    ("another mask", Mistake::Mask),
    ("another offset", Mistake::Offset),
    ("another size", Mistake::Size),
    ("drop the call", Mistake::DropCall),
    ("another helper", Mistake::Helper),
    ("swap the registers", Mistake::Swap),
    ("another register", Mistake::Register),
    ("remove", Mistake::Remove),
    ("repeat over the next", Mistake::Repeat),
    ("another operation", Mistake::Operation),
    ("another way to jump", Mistake::Target),
    ("return here", Mistake::Exit),
];

#[derive(Debug, Clone, Copy)]
enum Mistake {
    DropTest,
    AlwaysJump,
    Condition,
    Width,
    Constant,
    Mask,
    Offset,
    Size,
    DropCall,
    Helper,
    Swap,
    Register,
    Remove,
    Repeat,
    Operation,
    Target,
    Exit,
}

fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    (0..width).map(|i| u64::from(bytes.get(at + i).copied().unwrap_or(0)) << (8 * i)).sum()
}

fn size(bytes: &[u8], at: usize, width: usize) -> usize {
    usize::try_from(number(bytes, at, width)).unwrap_or(0).min(bytes.len())
}

fn text(bytes: &[u8], at: usize) -> String {
    let tail = bytes.get(at..).unwrap_or_default();
    String::from_utf8_lossy(tail.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}

impl Programs {
    /// Finds the functions of a little-endian object, what is relocated, and what CO-RE will patch.
    pub fn new(bytes: Vec<u8>) -> Self {
        let (table, count, names) = (size(&bytes, 40, 8), size(&bytes, 60, 2), size(&bytes, 62, 2));
        let header = |index: usize| table + SECTION_HEADER * index;
        let names = size(&bytes, header(names) + 24, 8);
        let name = |index: usize| text(&bytes, names + size(&bytes, header(index), 4));
        let place = |index: usize| (size(&bytes, header(index) + 24, 8), size(&bytes, header(index) + 32, 8));
        let is_code = |index: usize| {
            number(&bytes, header(index) + 4, 4) == SHT_PROGBITS
                && number(&bytes, header(index) + 8, 8) & SHF_EXECINSTR != 0
        };
        let (mut functions, mut relocated, mut core) = (Vec::new(), HashMap::new(), HashSet::new());
        for index in 1..count {
            let (offset, len) = place(index);
            match number(&bytes, header(index) + 4, 4) {
                SHT_SYMTAB => {
                    let strings = place(size(&bytes, header(index) + 40, 4)).0;
                    for at in (offset..offset + len).step_by(24) {
                        let section = size(&bytes, at + 6, 2);
                        let kind = number(&bytes, at + 4, 1).to_le_bytes()[0] & 15;
                        if kind != STT_FUNC || section == 0 || section >= count || !is_code(section) {
                            continue;
                        }
                        let start = place(section).0 + size(&bytes, at + 8, 8);
                        let end = (start + size(&bytes, at + 16, 8)).min(bytes.len());
                        functions.push(Function {
                            name: text(&bytes, strings + size(&bytes, at, 4)),
                            is_program: name(section) != ".text",
                            insns: insns(&bytes, start, end),
                        });
                    }
                }
                SHT_REL => {
                    let target = size(&bytes, header(index) + 44, 4);
                    if target == 0 || target >= count || !is_code(target) {
                        continue;
                    }
                    for at in (offset..offset + len).step_by(16) {
                        let place = place(target).0 + size(&bytes, at, 8);
                        let relocation = Relocation { header: header(index), offset: number(&bytes, at, 8) };
                        relocated.insert(place, relocation);
                    }
                }
                _ if name(index) == ".BTF.ext" => {
                    let btf =
                        (1..count).find(|&index| name(index) == ".BTF").map_or(0, |index| place(index).0);
                    let strings = btf + size(&bytes, btf + 4, 4) + size(&bytes, btf + 16, 4);
                    let sections: HashMap<String, usize> = (1..count)
                        .filter(|&index| is_code(index))
                        .map(|index| (name(index), place(index).0))
                        .collect();
                    let head = size(&bytes, offset + 4, 4);
                    if head >= 32 {
                        let start = offset + head + size(&bytes, offset + 24, 4);
                        core.extend(core_relocated(
                            &bytes,
                            start,
                            start + size(&bytes, offset + 28, 4),
                            strings,
                            &sections,
                        ));
                    }
                }
                _ => {}
            }
        }
        functions.retain(|function: &Function| function.insns.len() > 1);
        Self { bytes, functions, relocated, core }
    }

    /// The object as it is.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The mutant of a number: one change in each program, or, now and then, one in a function that programs share.
    pub fn mutant(&self, seed: u64, number: u64) -> (Vec<u8>, Vec<Change>) {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
        let mut bytes = self.bytes.clone();
        let mut changes = Vec::new();
        let shared: Vec<&Function> = self.functions.iter().filter(|function| !function.is_program).collect();
        if !shared.is_empty() && rng.u8(..4) == 0 {
            let function = shared[rng.usize(..shared.len())];
            changes.extend(self.change(function, &mut bytes, &mut rng));
        } else {
            for function in self.functions.iter().filter(|function| function.is_program) {
                changes.extend(self.change(function, &mut bytes, &mut rng));
            }
        }
        (bytes, changes)
    }

    fn change(&self, function: &Function, bytes: &mut Vec<u8>, rng: &mut Rng) -> Option<Change> {
        for _ in 0..40 {
            let (words, mistake) = MISTAKES[rng.usize(..MISTAKES.len())];
            for _ in 0..30 {
                let index = rng.usize(..function.insns.len());
                let at = function.insns[index];
                let old = Insn::read(bytes, at)?;
                let Some((place, new)) = self.make(mistake, function, index, bytes, rng) else { continue };
                let slot = (at - function.insns[0]) / 8;
                let what = format!("insn {slot}: {words}: {} -> {}", show(old), show(new));
                if let Some(&relocation) = self.relocated.get(&place)
                    && new.code != LD_IMM64
                {
                    unrelocate(bytes, relocation);
                }
                bytes.get_mut(place..place + 8)?.copy_from_slice(&new.bytes());
                return Some(Change {
                    function: function.name.clone(),
                    is_program: function.is_program,
                    what,
                });
            }
        }
        None
    }

    /// What to write and where, if that mistake can be made here.
    fn make(
        &self,
        mistake: Mistake,
        function: &Function,
        index: usize,
        bytes: &[u8],
        rng: &mut Rng,
    ) -> Option<(usize, Insn)> {
        let at = function.insns[index];
        let old = Insn::read(bytes, at)?;
        let (is_relocated, is_core) = (self.relocated.contains_key(&at), self.core.contains(&at));
        let is_wide = old.code == LD_IMM64;
        let mut new = old;
        match mistake {
            Mistake::DropTest if old.is_test() => new = Insn::nop(),
            Mistake::AlwaysJump if old.is_test() => new = Insn { off: old.off, ..Insn::nop() },
            Mistake::Condition if old.is_test() => {
                new.code = old.code & 0x0f | [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13][rng.usize(..11)] << 4;
            }
            // JMP and JMP32, ALU and ALU64.
            Mistake::Width if old.is_test() || old.is_alu() && old.code >> 4 != 13 => {
                new.code ^= 3;
                if old.is_alu() && old.class() == 7 && old.off == 32 {
                    new.off = 16;
                }
            }
            Mistake::Constant if old.has_constant() || old.class() == 2 => new.imm = constant(old.imm, rng),
            // The constant of a variable's address is added to it.
            Mistake::Constant if is_wide && !matches!(old.src, 3 | 4) => new.imm = constant(old.imm, rng),
            Mistake::Mask if old.is_alu() && old.code & 0xf8 == 0x50 => {
                new.imm = match rng.u8(..4) {
                    0 => old.imm.wrapping_mul(2) | 1,
                    1 => old.imm >> 1,
                    2 => -1,
                    _ => i32::MAX,
                };
            }
            Mistake::Offset if old.is_access() => {
                let by = [1, 2, 4, 8, 16, 64, 256, 4096, -1, -2, -4, -8, -16, -64][rng.usize(..14)];
                new.off = if rng.u8(..8) == 0 { 0 } else { old.off.wrapping_add(by) };
            }
            Mistake::Size if old.is_access() => new.code = old.code & !0x18 | rng.u8(..4) << 3,
            Mistake::DropCall if old.code == CALL => {
                new = Insn { code: 0xb7, dst: 0, src: 0, off: 0, imm: 0 };
            }
            Mistake::Helper if old.code == CALL && old.src == 0 && !is_relocated => {
                let others: Vec<i32> = function
                    .insns
                    .iter()
                    .filter_map(|&at| Insn::read(bytes, at))
                    .filter(|insn| insn.code == CALL && insn.src == 0)
                    .map(|insn| insn.imm)
                    .collect();
                new.imm = if rng.bool() { others[rng.usize(..others.len())] } else { rng.i32(1..=212) };
            }
            Mistake::Swap if !is_wide && (old.is_access() || old.is_alu() || old.is_test()) => {
                (new.dst, new.src) = (old.src, old.dst);
            }
            Mistake::Register if old.code != CALL && old.code != EXIT && old.code != JA => {
                if is_wide || rng.bool() {
                    new.dst = rng.u8(..11);
                } else if old.is_access() || old.code & 8 != 0 {
                    new.src = rng.u8(..11);
                }
            }
            Mistake::Remove if !is_wide => new = Insn::nop(),
            Mistake::Repeat if !is_wide && !is_relocated && !is_core => {
                let next = *function.insns.get(index + 1)?;
                let over = Insn::read(bytes, next)?;
                let is_free = over.code != LD_IMM64 && !self.core.contains(&next) && over != old;
                let last = index + 2 == function.insns.len();
                return (is_free && !last).then_some((next, old));
            }
            Mistake::Operation if old.is_alu() && !matches!(old.code >> 4, 13) => {
                new.code = old.code & 0x0f | rng.u8(..14) << 4;
                new.off = if rng.u8(..6) == 0 { [0, 1, 8, 16, 32][rng.usize(..5)] } else { old.off };
            }
            // Atomic operations: which, and whether the old value comes back.
            Mistake::Operation if old.class() == 3 && old.code >> 5 == 6 => {
                new.imm =
                    [0, 0x40, 0x50, 0xa0, 1, 0x41, 0x51, 0xa1, 0xe1, 0xf1, 0x100, 0x110][rng.usize(..12)];
            }
            // Plain, sign-extending, probed.
            Mistake::Operation if old.class() == 1 => {
                new.code = old.code & 0x1f | [3, 4, 6][rng.usize(..3)] << 5
            }
            Mistake::Target if old.is_test() || old.code == JA => {
                new.off = old.off.wrapping_add([1, -1, 2, -2, 5, -5, -20][rng.usize(..7)]);
            }
            Mistake::Exit if !is_wide && old.code != EXIT => {
                new = Insn { code: EXIT, dst: 0, src: 0, off: 0, imm: 0 };
            }
            _ => return None,
        }
        // Where CO-RE writes, only registers and what is not patched can change.
        if is_core && !matches!(mistake, Mistake::Register | Mistake::Swap) {
            return None;
        }
        (new != old).then_some((at, new))
    }
}

fn constant(old: i32, rng: &mut Rng) -> i32 {
    match rng.u8(..12) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_mul(2),
        3 => old / 2,
        4 => 0,
        5 => -1,
        6 => old.wrapping_neg(),
        7 => old ^ (1 << rng.u8(..32)),
        8 => old.wrapping_add(8),
        9 => [i32::MAX, i32::MIN, 4096, 65535, 64, 63, 32, 31][rng.usize(..8)],
        10 => 1 << rng.u8(..31),
        _ => rng.i32(..),
    }
}

fn show(insn: Insn) -> String {
    insn.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn insns(bytes: &[u8], start: usize, end: usize) -> Vec<usize> {
    let (mut at, mut out) = (start, Vec::new());
    while at + 8 <= end {
        out.push(at);
        at += if bytes[at] == LD_IMM64 { 16 } else { 8 };
    }
    out
}

/// Where instructions are that CO-RE patches.
fn core_relocated(
    bytes: &[u8],
    start: usize,
    end: usize,
    strings: usize,
    sections: &HashMap<String, usize>,
) -> Vec<usize> {
    let record = size(bytes, start, 4);
    let (mut at, mut out) = (start + 4, Vec::new());
    while record >= 16 && at + 8 <= end {
        let section = sections.get(&text(bytes, strings + size(bytes, at, 4))).copied();
        let count = size(bytes, at + 4, 4);
        at += 8;
        for _ in 0..count {
            if at >= end {
                break;
            }
            out.extend(section.map(|section| section + size(bytes, at, 4)));
            at += record;
        }
    }
    out
}

/// Takes a relocation out: the last one of the section takes its place.
fn unrelocate(bytes: &mut [u8], relocation: Relocation) {
    let (offset, len) = (size(bytes, relocation.header + 24, 8), size(bytes, relocation.header + 32, 8));
    let found = (offset..offset + len).step_by(16).find(|&at| number(bytes, at, 8) == relocation.offset);
    if let (Some(at), Some(len)) = (found, len.checked_sub(16)) {
        bytes.copy_within(offset + len..offset + len + 16, at);
        bytes[relocation.header + 32..relocation.header + 40].copy_from_slice(&(len as u64).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &[u8] = include_bytes!("../../../src/verifier/reach/testdata/reach.bpf.o");

    #[test]
    fn a_mutant_has_one_change_in_each_program() {
        let base = Programs::new(OBJECT.to_vec());
        let (bytes, changes) = base.mutant(1, 2);
        assert_eq!((&bytes, &changes), (&base.mutant(1, 2).0, &base.mutant(1, 2).1));
        assert_eq!(bytes.len(), OBJECT.len());
        assert!(!changes.is_empty());
        assert_ne!(base.mutant(1, 3).1, changes);
    }
}
