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

/// The objects that an executable holds, in file order. `stem` is the file's own name, for an object that nothing else
/// names.
pub(super) fn find(data: &[u8], stem: &str) -> Vec<Found> {
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
    let cargo = bpf_objs(data);
    let only = (places.len() == 1).then(|| only_skeleton(data)).flatten();
    places
        .into_iter()
        .map(|(start, len)| {
            let object = &data[start..start + len];
            let offset = start as u64;
            let in_section = cargo.as_ref().is_some_and(|range| range.contains(&offset));
            let name = symbols
                .get(&offset)
                .and_then(|symbol| skeleton_name(symbol))
                .or_else(|| source_name(object).map(|source| guess(data, &source, in_section)))
                .or_else(|| only.clone())
                .unwrap_or_else(|| stem.to_owned());
            Found { embedded: Embedded { name, offset }, len }
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

/// The C file that an object was compiled from, up to its first dot: its `STT_FILE` symbol.
fn source_name(object: &[u8]) -> Option<String> {
    let elf = goblin::elf::Elf::parse(object).ok()?;
    let file = elf.syms.iter().find(|symbol| symbol.st_type() == goblin::elf::sym::STT_FILE)?;
    let name = elf.strtab.get_at(file.st_name)?;
    let stem = name.rsplit('/').next().unwrap_or(name).split('.').next().unwrap_or_default();
    (!stem.is_empty()).then(|| stem.to_owned())
}

/// The skeleton's name for the object of a C file: `FILE_bpf`, which is what libbpf-cargo and bpftool make of it, unless the
/// program does not have that string, because the Makefile called bpftool with `name FILE`.
fn guess(data: &[u8], source: &str, cargo: bool) -> String {
    let full = format!("{source}_bpf");
    let there = || memmem::find(data, format!("\0{full}\0").as_bytes()).is_some();
    if cargo || there() { full } else { source.to_owned() }
}

/// The one string of the program that reads as a skeleton's name (`scx_qmap_bpf`); `None` where there are several.
fn only_skeleton(data: &[u8]) -> Option<String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut found: Option<&[u8]> = None;
    for end in memmem::find_iter(data, b"_bpf\0") {
        let end = end + 4;
        // A symbol or string that is longer than any file name is none.
        let from = end.saturating_sub(256);
        let start = data[from..end].iter().rposition(|&byte| !word(byte)).map(|at| from + at + 1)?;
        let name = &data[start..end];
        if start == 0 || data[start - 1] != 0 || name.len() <= 4 || found == Some(name) {
            continue;
        }
        if found.replace(name).is_some() {
            return None;
        }
    }
    found.and_then(|name| std::str::from_utf8(name).ok()).map(str::to_owned)
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
        assert!(find(&data, "x").is_empty());
        for end in 0..data.len() {
            find(&data[..end], "x");
        }
    }
}
