//! Change objects where it hurts: seeded, structure aware, and small enough to explain.
//!
//! A mutant is its base and a list of edits, so one that the two sides disagree about can be cut down to the edits
//! that matter ([`minimise`]) and printed as such.

use std::fmt;

use fastrand::Rng;

/// Bytes to put at an offset, and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// File offset.
    pub offset: usize,
    /// What replaces the bytes there; the file does not grow.
    pub bytes: Vec<u8>,
    /// What is changed, for people: `shdr[3].sh_type`.
    pub what: String,
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x} = ", self.what, self.offset)?;
        self.bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// The edits of one mutant; [`Mutant::apply`] makes its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mutant {
    /// In the order in which they are made.
    pub edits: Vec<Edit>,
    /// Cut the file to this many bytes, after the edits.
    pub cut: Option<usize>,
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edits = self.edits.iter().map(ToString::to_string);
        let cut = self.cut.map(|n| format!("cut to {n} bytes"));
        f.write_str(&edits.chain(cut).collect::<Vec<_>>().join("; "))
    }
}

impl Mutant {
    /// The mutated file.
    pub fn apply(&self, base: &[u8]) -> Vec<u8> {
        let mut out = base.to_vec();
        for edit in &self.edits {
            for (i, &byte) in edit.bytes.iter().enumerate() {
                if let Some(at) = out.get_mut(edit.offset + i) {
                    *at = byte;
                }
            }
        }
        out.truncate(self.cut.unwrap_or(out.len()));
        out
    }
}

/// A field worth changing: offset, width in bytes, name.
type Field = (usize, usize, String);

/// The places of a base object, by kind, so that a kind with few places is chosen as often as one with many.
#[derive(Debug)]
pub struct Base {
    /// The unchanged object.
    pub bytes: Vec<u8>,
    kinds: Vec<Vec<Field>>,
}

const EHDR: [(usize, usize, &str); 17] = [
    (0, 4, "magic"),
    (4, 1, "class"),
    (5, 1, "data"),
    (6, 1, "version"),
    (7, 1, "osabi"),
    (16, 2, "e_type"),
    (18, 2, "e_machine"),
    (20, 4, "e_version"),
    (24, 8, "e_entry"),
    (32, 8, "e_phoff"),
    (40, 8, "e_shoff"),
    (48, 4, "e_flags"),
    (52, 2, "e_ehsize"),
    (56, 2, "e_phnum"),
    (58, 2, "e_shentsize"),
    (60, 2, "e_shnum"),
    (62, 2, "e_shstrndx"),
];
const SHDR: [(usize, usize, &str); 10] = [
    (0, 4, "sh_name"),
    (4, 4, "sh_type"),
    (8, 8, "sh_flags"),
    (16, 8, "sh_addr"),
    (24, 8, "sh_offset"),
    (32, 8, "sh_size"),
    (40, 4, "sh_link"),
    (44, 4, "sh_info"),
    (48, 8, "sh_addralign"),
    (56, 8, "sh_entsize"),
];
const SYM: [(usize, usize, &str); 6] = [
    (0, 4, "st_name"),
    (4, 1, "st_info"),
    (5, 1, "st_other"),
    (6, 2, "st_shndx"),
    (8, 8, "st_value"),
    (16, 8, "st_size"),
];
const REL: [(usize, usize, &str); 3] = [(0, 8, "r_offset"), (8, 4, "r_type"), (12, 4, "r_sym")];
const BTF_HEADER: [(usize, usize, &str); 8] = [
    (0, 2, "magic"),
    (2, 1, "version"),
    (3, 1, "flags"),
    (4, 4, "hdr_len"),
    (8, 4, "off1"),
    (12, 4, "len1"),
    (16, 4, "off2"),
    (20, 4, "len2"),
];

const SHT_SYMTAB: u64 = 2;
const SHT_STRTAB: u64 = 3;
const SHT_REL: u64 = 9;

impl Base {
    /// Find the fields of a little-endian 64-bit object. What does not parse has fewer places to change, and always
    /// its header and single bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        let field = |at: usize, width: usize| -> u64 {
            let read = |i| bytes.get(at + i).copied().unwrap_or(0);
            (0..width).map(|i| u64::from(read(i)) << (8 * i)).sum()
        };
        let size = |at, width| usize::try_from(field(at, width)).unwrap_or(0).min(bytes.len());
        let at = |prefix: &str, start: usize, fields: &[(usize, usize, &str)]| -> Vec<Field> {
            fields.iter().map(|&(o, w, name)| (start + o, w, format!("{prefix}.{name}"))).collect()
        };
        let (shoff, shnum, strndx) = (size(40, 8), size(60, 2), size(62, 2));
        let names = size(shoff + 64 * strndx + 24, 8);
        let mut sections = Vec::new();
        let mut parts: [Vec<Field>; 9] = Default::default();
        let [ehdr, section_headers, symbols, relocations, btf, types, ext, strings, contents] = &mut parts;
        ehdr.extend(at("ehdr", 0, &EHDR));
        for index in 1..shnum {
            let header = shoff + 64 * index;
            let (offset, len) = (size(header + 24, 8), size(header + 32, 8));
            let name: Vec<u8> = bytes[(names + size(header, 4)).min(bytes.len())..]
                .iter()
                .copied()
                .take_while(|&b| b != 0)
                .collect();
            let name = String::from_utf8_lossy(&name).into_owned();
            sections.extend(at(&format!("shdr[{index}:{name}]"), header, &SHDR));
            if name.starts_with(".debug") || name.starts_with(".rel.debug") {
                continue;
            }
            match (field(header + 4, 4), name.as_str()) {
                (SHT_SYMTAB, _) => (0..len / 24)
                    .for_each(|i| symbols.extend(at(&format!("sym[{i}]"), offset + 24 * i, &SYM))),
                (SHT_REL, _) => (0..len / 16)
                    .for_each(|i| relocations.extend(at(&format!("{name}[{i}]"), offset + 16 * i, &REL))),
                (SHT_STRTAB, _) => {
                    strings.extend((0..len).map(|i| (offset + i, 1, format!("{name}+{i:#x}"))))
                }
                (_, ".BTF") => {
                    btf.extend(at(".BTF", offset, &BTF_HEADER));
                    let strings_at = size(offset + 16, 4) + 24;
                    types.extend(
                        (24..strings_at.min(len)).step_by(4).map(|o| (offset + o, 4, format!(".BTF+{o:#x}"))),
                    );
                    strings.extend((strings_at..len).map(|o| (offset + o, 1, format!(".BTF+{o:#x}"))));
                }
                (_, ".BTF.ext") => {
                    btf.extend(at(".BTF.ext", offset, &BTF_HEADER));
                    ext.extend((24..len).step_by(4).map(|o| (offset + o, 4, format!(".BTF.ext+{o:#x}"))));
                }
                (8, _) => {}
                _ => contents.extend((0..len).map(|o| (offset + o, 1, format!("{name}+{o:#x}")))),
            }
        }
        section_headers.extend(sections);
        let kinds = parts.into_iter().filter(|kind| !kind.is_empty()).collect();
        Self { bytes, kinds }
    }

    /// One mutant: one to three edits, now and then a cut.
    pub fn mutant(&self, rng: &mut Rng) -> Mutant {
        let mut mutant = Mutant::default();
        if rng.u8(..) < 6 {
            mutant.cut = Some(rng.usize(..=self.bytes.len()));
            return mutant;
        }
        for _ in 0..[1, 1, 1, 2, 3][rng.usize(..5)] {
            let kind = &self.kinds[rng.usize(..self.kinds.len())];
            let (offset, width, what) = &kind[rng.usize(..kind.len())];
            let old = (0..*width)
                .map(|i| u64::from(self.bytes.get(offset + i).copied().unwrap_or(0)) << (8 * i))
                .sum();
            let new = self.value(old, kind, *width, rng);
            mutant.edits.push(Edit {
                offset: *offset,
                bytes: new.to_le_bytes()[..*width].to_vec(),
                what: what.clone(),
            });
        }
        mutant
    }

    /// A new value for a field: near the old one, a boundary, another field's of the same kind, or anything.
    fn value(&self, old: u64, kind: &[Field], width: usize, rng: &mut Rng) -> u64 {
        match rng.u8(..10) {
            0 => old.wrapping_add(1),
            1 => old.wrapping_sub(1),
            2 => old ^ (1 << rng.usize(..8 * width)),
            3 => old.wrapping_add(8),
            4 => rng.u64(..16),
            5 => [0, 1, 7, 8, u64::MAX, u64::MAX - 7, 1 << 31, (1 << 31) - 1, 0xff00, 0xfff1, 0xfff2]
                [rng.usize(..11)],
            6 | 7 => {
                let (offset, _, _) = kind[rng.usize(..kind.len())];
                (0..width)
                    .map(|i| u64::from(self.bytes.get(offset + i).copied().unwrap_or(0)) << (8 * i))
                    .sum()
            }
            8 => rng.u64(..=self.bytes.len() as u64),
            _ => rng.u64(..),
        }
    }
}

/// Drop what a mutant does not need to keep `still` true.
pub fn minimise(mutant: &Mutant, mut still: impl FnMut(&Mutant) -> bool) -> Mutant {
    let mut best = mutant.clone();
    let mut index = 0;
    while index < best.edits.len() {
        let mut fewer = best.clone();
        fewer.edits.remove(index);
        if still(&fewer) {
            best = fewer;
        } else {
            index += 1;
        }
    }
    if best.cut.is_some() {
        let whole = Mutant { cut: None, ..best.clone() };
        if still(&whole) {
            best = whole;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_mutants() {
        let base = Base::new(vec![0; 64]);
        let three = |seed| -> Vec<Mutant> {
            let mut rng = Rng::with_seed(seed);
            (0..3).map(|_| base.mutant(&mut rng)).collect()
        };
        assert_eq!(three(7), three(7));
        assert_ne!(three(7), three(8));
    }

    #[test]
    fn only_the_edits_that_matter_are_kept() {
        let edit = |offset, byte| Edit { offset, bytes: vec![byte], what: String::new() };
        let mutant = Mutant { edits: vec![edit(0, 1), edit(1, 2), edit(2, 3)], cut: Some(3) };
        let small = minimise(&mutant, |m| m.apply(&[0; 4])[1] == 2);
        assert_eq!(small, Mutant { edits: vec![edit(1, 2)], cut: None });
    }
}
