//! BPF objects inside executables and shared libraries.
//!
//! libbpf-cargo (0.26 and later) puts each object into a static in section `.bpf.objs`, where the linker packs them back
//! to back, aligned to one byte. A bpftool skeleton has it as a string in `.rodata`. Both are found by their ELF
//! header, so that a stripped executable, or one without section headers, gives the same objects.

use std::collections::HashMap;

use memchr::memmem;
use object::elf;

use crate::report::Embedded;

/// More than any real program has; a file made to hold more is not worth the time.
const MOST: usize = 1024;

/// An object in an executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Name and offset.
    pub(super) embedded: Embedded,
    /// Length, bytes.
    pub(super) len: usize,
}

/// Is this an ELF file for a CPU, an executable or a shared library (or what a kernel module is linked from)?
pub(super) fn is_host_elf(data: &[u8]) -> bool {
    let Some(head) = data.get(..20) else { return false };
    head.starts_with(b"\x7fELF") && machine(head) != elf::EM_BPF.0
}

/// `e_machine`, in the file's own byte order.
fn machine(head: &[u8]) -> u16 {
    let bytes = [head[18], head[19]];
    if head[5] == 2 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
}

/// The objects that an executable holds, in file order. One that nothing in the executable names has no name.
pub(super) fn find(data: &[u8]) -> Vec<Found> {
    let mut places: Vec<(usize, usize)> = Vec::new();
    // The first bytes are the executable's own header.
    let mut at = 1;
    while places.len() < MOST
        && let Some(next) = data.get(at..).and_then(|rest| memmem::find(rest, b"\x7fELF\x02"))
    {
        let start = at + next;
        match extent(&data[start..]) {
            Some(len) => {
                places.push((start, len));
                at = start + len;
            }
            None => at = start + 4,
        }
    }
    if places.is_empty() {
        return Vec::new();
    }
    let symbols = symbols(data);
    let words = Words::of(data, &places);
    let only = (places.len() == 1).then(|| words.only_skeleton()).flatten();
    let name = |start: usize, len: usize| {
        let symbol = symbols.get(&(start as u64)).and_then(|symbol| skeleton_name(symbol));
        symbol.or_else(|| words.skeleton_of(&data[start..start + len])).or_else(|| only.clone())
    };
    let names: Vec<String> =
        places.iter().map(|&(start, len)| name(start, len).unwrap_or_default()).collect();
    let is_one_of_several = |name: &String| names.iter().filter(|&other| other == name).count() > 1;
    places
        .iter()
        .zip(&names)
        .map(|(&(start, len), name)| Found {
            embedded: Embedded {
                name: name.clone(),
                offset: start as u64,
                is_one_of_several: is_one_of_several(name),
            },
            len,
        })
        .collect()
}

/// The length of the BPF object that starts here, if one does: the end of its section headers or of its last section.
fn extent(data: &[u8]) -> Option<usize> {
    let head = data.get(..64)?;
    let big = match head[5] {
        1 => false,
        2 => true,
        _ => return None,
    };
    let u16_at = |at: usize| -> u16 {
        let bytes = [head[at], head[at + 1]];
        if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    };
    let u64_in = |bytes: &[u8], at: usize| -> Option<u64> {
        let bytes = *bytes.get(at..)?.first_chunk::<8>()?;
        Some(if big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    };
    let relocatable = head[6] == 1 && u16_at(16) == elf::ET_REL.0 && u16_at(18) == elf::EM_BPF.0;
    if !relocatable || u16_at(58) != 64 {
        return None;
    }
    let table = usize::try_from(u64_in(head, 40)?).ok()?;
    let count = usize::from(u16_at(60));
    let mut end = table.checked_add(count.checked_mul(64)?)?;
    let headers = data.get(table..end)?;
    for header in headers.chunks_exact(64) {
        let kind = *header[4..].first_chunk::<4>()?;
        let kind = if big { u32::from_be_bytes(kind) } else { u32::from_le_bytes(kind) };
        if kind != elf::SHT_NOBITS.0 && kind != elf::SHT_NULL.0 {
            let last = u64_in(header, 24)?.checked_add(u64_in(header, 32)?)?;
            end = end.max(usize::try_from(last).ok()?);
        }
    }
    (count > 1 && end <= data.len()).then_some(end)
}

/// Names of the data symbols by the file offset of what they cover. Empty where the file is stripped or odd.
fn symbols(data: &[u8]) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    let Ok(elf) = goblin::elf::Elf::parse(data) else { return found };
    for symbol in elf.syms.iter().filter(|symbol| symbol.st_type() == goblin::elf::sym::STT_OBJECT) {
        let section = elf.section_headers.get(symbol.st_shndx);
        let offset = section
            .and_then(|section| symbol.st_value.checked_sub(section.sh_addr)?.checked_add(section.sh_offset));
        if let (Some(offset), Some(name)) = (offset, elf.strtab.get_at(symbol.st_name)) {
            found.entry(offset).or_insert_with(|| name.to_owned());
        }
    }
    found
}

/// File range of section `.bpf.objs`.
fn bpf_objs(data: &[u8]) -> Option<std::ops::Range<u64>> {
    let elf = goblin::elf::Elf::parse(data).ok()?;
    let section =
        elf.section_headers.iter().find(|s| elf.shdr_strtab.get_at(s.sh_name) == Some(".bpf.objs"))?;
    Some(section.sh_offset..section.sh_offset.checked_add(section.sh_size)?)
}

/// The name under which the skeleton of a symbol opens its object; `None` where the symbol does not tell.
///
/// libbpf-cargo: `program::MODULE::imp::DATA`, where the module is the file's name, with `_skel` in scx; the object is
/// `MODULE_bpf`. bpftool and clang: `NAME__elf_bytes.data`; gcc leaves `data.0`, which tells nothing. Any other symbol
/// is somebody's own array and names its object.
fn skeleton_name(symbol: &str) -> Option<String> {
    let path = format!("{:#}", rustc_demangle::demangle(symbol));
    if let Some(module) = path.strip_suffix("::imp::DATA") {
        let module = module.rsplit("::").next().unwrap_or(module);
        return Some(format!("{}_bpf", module.strip_suffix("_skel").unwrap_or(module)));
    }
    if let Some((name, _)) = path.split_once("__elf_bytes") {
        return Some(name.to_owned());
    }
    let last = path.rsplit("::").next().unwrap_or(&path);
    let plain = last.split('.').next().unwrap_or(last);
    (!plain.is_empty() && plain != "data" && plain != "DATA").then(|| plain.to_owned())
}

/// The C files that an object was compiled or linked from, up to their first dots: its `STT_FILE` symbols.
fn source_names(object: &[u8]) -> Vec<String> {
    let Ok(elf) = goblin::elf::Elf::parse(object) else { return Vec::new() };
    let files = elf.syms.iter().filter(|symbol| symbol.st_type() == goblin::elf::sym::STT_FILE);
    let mut stems: Vec<String> = files
        .filter_map(|file| elf.strtab.get_at(file.st_name))
        .map(|name| name.rsplit('/').next().unwrap_or(name).split('.').next().unwrap_or_default().to_owned())
        .filter(|stem| !stem.is_empty())
        .collect();
    stems.sort();
    stems.dedup();
    stems
}

/// Strings of a stripped executable that name a skeleton. What stands in the objects themselves says nothing of how they are opened.
struct Words<'d> {
    data: &'d [u8],
    objects: &'d [(usize, usize)],
    /// rustc packs strings back to back; C ends each with a NUL.
    packed: bool,
}

impl<'d> Words<'d> {
    fn of(data: &'d [u8], objects: &'d [(usize, usize)]) -> Self {
        Self { data, objects, packed: bpf_objs(data).is_some() }
    }

    /// Where a text stands outside of the objects.
    fn places<'s>(&'s self, text: &'s [u8]) -> impl Iterator<Item = usize> + 's {
        let inside = |at: usize| self.objects.iter().any(|&(start, len)| (start..start + len).contains(&at));
        memmem::find_iter(self.data, text).filter(move |&at| !inside(at))
    }

    fn has(&self, name: &str) -> bool {
        match self.packed {
            true => self.places(name.as_bytes()).next().is_some(),
            false => self.places(format!("\0{name}\0").as_bytes()).next().is_some(),
        }
    }

    /// The name under which a skeleton opens the object of one of these C files: `FILE_bpf`, which is what libbpf-cargo and bpftool make
    /// of a file's name, or `FILE`, where bpftool was called with `name FILE`. `None` where the executable has no such string, or several.
    fn skeleton_of(&self, object: &[u8]) -> Option<String> {
        let sources = source_names(object);
        let one = |mut names: Vec<String>| {
            names.retain(|name| self.has(name));
            if names.len() == 1 { names.pop() } else { None }
        };
        one(sources.iter().map(|source| format!("{source}_bpf")).collect())
            // Short words stand somewhere among packed strings by chance.
            .or_else(|| (!self.packed).then(|| one(sources)).flatten())
    }

    /// The skeleton of an executable that has one.
    fn only_skeleton(&self) -> Option<String> {
        if self.packed { self.only_module() } else { self.only_string() }
    }

    /// The one string that reads as a skeleton's name (`scx_qmap_bpf`); `None` where there are several.
    fn only_string(&self) -> Option<String> {
        let mut found: Option<&[u8]> = None;
        for end in self.places(b"_bpf\0") {
            let end = end + 4;
            // A symbol or string that is longer than any file name is none.
            let from = end.saturating_sub(LONGEST);
            let start =
                self.data[from..end].iter().rposition(|&byte| !is_word(byte)).map(|at| from + at + 1)?;
            let name = &self.data[start..end];
            if start == 0 || self.data[start - 1] != 0 || name.len() <= 4 || found == Some(name) {
                continue;
            }
            if found.replace(name).is_some() {
                return None;
            }
        }
        found.and_then(|name| std::str::from_utf8(name).ok()).map(str::to_owned)
    }

    /// The one module that libbpf-cargo generated, which panics name by its file (`.../out/bpf_skel.rs`): the object is `MODULE_bpf`, a
    /// string that is there too.
    fn only_module(&self) -> Option<String> {
        let mut found: Option<String> = None;
        for end in [&b"_skel.rs"[..], b".skel.rs"].into_iter().flat_map(|end| self.places(end)) {
            let from = end.saturating_sub(LONGEST);
            let start =
                self.data[from..end].iter().rposition(|&byte| !is_word(byte)).map(|at| from + at + 1)?;
            let Ok(module) = std::str::from_utf8(&self.data[start..end]) else { continue };
            let name = format!("{module}_bpf");
            if self.data[start - 1] != b'/' || found.as_ref() == Some(&name) || !self.has(&name) {
                continue;
            }
            if found.replace(name).is_some() {
                return None;
            }
        }
        found
    }
}

/// No file's name is longer, bytes.
const LONGEST: usize = 255;

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_give_the_skeletons_name() {
        let name = |symbol: &str| skeleton_name(symbol);
        assert_eq!(name("_ZN5embed4qmap3imp4DATA17hab3cd5bbc8ccc0e0E").unwrap(), "qmap_bpf");
        assert_eq!(name("_ZN9scx_rusty8bpf_skel3imp4DATA17h258d2b10475d3cdeE").unwrap(), "bpf_bpf");
        assert_eq!(name("_RNvNtNtCseJHY3YXOpf8_5embed4qmap3imp4DATA").unwrap(), "qmap_bpf");
        assert_eq!(name("scx_qmap__elf_bytes.data").unwrap(), "scx_qmap");
        assert_eq!(name("data.0"), None);
        assert_eq!(name("my_sched_obj").unwrap(), "my_sched_obj");
    }

    #[test]
    fn strings_name_a_skeleton_where_one_does() {
        let object = *b"[bpf_bpf and main_bpf in the object]";
        let words = |text: &[u8], packed: bool| {
            let data = [&object[..], text].concat();
            let objects = [(0, object.len())];
            let words = Words { data: &data, objects: &objects, packed };
            (words.only_skeleton(), words.has("main_bpf"))
        };
        assert_eq!(words(b"\0", false), (None, false), "what the object says does not count");
        assert_eq!(
            words(b"\0scx_qmap_bpf\0x\0scx_qmap_bpf\0", false),
            (Some("scx_qmap_bpf".to_owned()), false)
        );
        assert_eq!(words(b"\0a_bpf\0b_bpf\0", false).0, None, "two");
        assert_eq!(words(b"rodatabpf_bpfatq/x/out/bpf_skel.rsx", true).0.as_deref(), Some("bpf_bpf"));
        assert_eq!(
            words(b"rodata/x/out/bpf_skel.rsx", true).0,
            None,
            "the module alone does not say what it opens"
        );
        assert_eq!(words(b"a_bpfb_bpf/out/a_skel.rs/out/b_skel.rs", true).0, None, "two");
        assert!(words(b"xmain_bpfx", true).1 && !words(b"xmain_bpfx", false).1);
    }

    #[test]
    fn what_only_looks_like_an_object_is_passed_over() {
        let header = |count: u8, table: u8| {
            let mut head = vec![0u8; 128];
            head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
            head[16] = 1;
            head[18] = 247;
            head[40] = table;
            head[58] = 64;
            head[60] = count;
            head
        };
        assert_eq!(extent(&header(200, 64)), None, "the table would end outside");
        assert_eq!(extent(&header(0, 64)), None, "no sections at all");
        let mut data = b"\x7fELF of a host".to_vec();
        data.extend(header(200, 64));
        assert!(find(&data).is_empty());
        for end in 0..data.len() {
            find(&data[..end]);
        }
    }
}
