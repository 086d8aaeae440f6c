//! Packs a program, the shared libraries that it needs, and its inputs into an initramfs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cpio::newc::{Builder, ModeFileType, trailer};
use flate2::Compression;
use flate2::write::GzEncoder;
use goblin::elf::Elf;
use goblin::elf::program_header::PT_LOAD;

/// The folder of the guest that holds the shared libraries; `LD_LIBRARY_PATH` names it.
pub const LIBRARIES: &str = "/lib/scx-lint";

/// Files of a guest, by absolute path.
#[derive(Debug, Default)]
pub struct Contents {
    files: BTreeMap<String, (Vec<u8>, u32)>,
}

impl Contents {
    /// Adds a plain file.
    pub fn add(&mut self, path: &str, data: Vec<u8>) {
        self.files.insert(path.to_owned(), (data, 0o644));
    }

    /// Adds an executable, and the interpreter and shared libraries that it needs.
    ///
    /// # Errors
    /// The program cannot be read, is no ELF, or needs a library that is not to be found.
    pub fn add_program(&mut self, path: &str, program: &Path) -> io::Result<()> {
        let data = read(program)?;
        let (interpreter, needed) = needs(&data, program)?;
        self.files.insert(path.to_owned(), (loadable(data), 0o755));
        if let Some(interpreter) = interpreter {
            let data = read(Path::new(&interpreter))?;
            self.files.insert(interpreter, (data, 0o755));
        }
        let search = Search::new(program);
        let mut open: Vec<String> = needed;
        let mut known = BTreeSet::new();
        while let Some(name) = open.pop() {
            if !known.insert(name.clone()) {
                continue;
            }
            let library = search.find(&name).ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("shared library '{name}' is not to be found"))
            })?;
            let data = read(&library)?;
            open.extend(needs(&data, &library)?.1);
            self.files.insert(format!("{LIBRARIES}/{name}"), (loadable(data), 0o755));
        }
        Ok(())
    }

    /// The archive, gzipped, as every kernel with an initramfs can unpack it.
    ///
    /// # Errors
    /// A file of 4 GiB or more.
    pub fn pack(&self) -> io::Result<Vec<u8>> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        let mut inode = 1;
        let mut entry = |out: &mut GzEncoder<Vec<u8>>, path: &str, kind, mode, data: &[u8]| {
            let size = u32::try_from(data.len()).map_err(io::Error::other)?;
            let builder =
                Builder::new(path.trim_start_matches('/')).ino(inode).mode(mode).set_mode_file_type(kind);
            inode += 1;
            let mut writer = builder.write(out, size);
            writer.write_all(data)?;
            writer.finish().map(drop)
        };
        let mut folders: BTreeSet<&str> = ["/dev", "/proc", "/sys", "/tmp"].into();
        for path in self.files.keys() {
            let mut rest = path.as_str();
            while let Some((folder, _)) = rest.rsplit_once('/').filter(|(folder, _)| !folder.is_empty()) {
                folders.insert(folder);
                rest = folder;
            }
        }
        for folder in folders {
            entry(&mut out, folder, ModeFileType::Directory, 0o755, &[])?;
        }
        for (path, (data, mode)) in &self.files {
            entry(&mut out, path, ModeFileType::Regular, *mode, data)?;
        }
        trailer(out)?.finish()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The interpreter and the libraries that an ELF names.
fn needs(data: &[u8], path: &Path) -> io::Result<(Option<String>, Vec<String>)> {
    let elf = Elf::parse(data).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    })?;
    Ok((elf.interpreter.map(str::to_owned), elf.libraries.into_iter().map(str::to_owned).collect()))
}

/// Cuts off what the kernel does not map: DWARF makes a debug build ten times as large, and the guest
/// would have to unpack it.
fn loadable(mut data: Vec<u8>) -> Vec<u8> {
    let end = Elf::parse(&data).ok().filter(|elf| elf.is_64).and_then(|elf| {
        let ends = elf
            .program_headers
            .iter()
            .map(|header| (header.p_type, header.p_offset.saturating_add(header.p_filesz)));
        // Notes and the like lie in loaded segments; if not, keep them too.
        ends.clone().any(|(kind, _)| kind == PT_LOAD).then(|| ends.map(|(_, end)| end).max()).flatten()
    });
    if let Some(end) =
        end.and_then(|end| usize::try_from(end).ok()).filter(|&end| (64..data.len()).contains(&end))
    {
        data.truncate(end);
        // No section headers: e_shoff, e_shentsize, e_shnum, e_shstrndx.
        data[0x28..0x30].fill(0);
        data[0x3a..0x40].fill(0);
    }
    data
}

/// Where shared libraries are.
struct Search {
    /// Of this very process, by soname: the dynamic linker has found them already.
    mapped: BTreeMap<String, PathBuf>,
    folders: Vec<PathBuf>,
}

impl Search {
    fn new(program: &Path) -> Self {
        let mut mapped = BTreeMap::new();
        let own = fs::canonicalize("/proc/self/exe").ok();
        // Another program than this one is searched for by folder only.
        let is_own =
            program == Path::new("/proc/self/exe") || own.is_some() && own == fs::canonicalize(program).ok();
        if is_own {
            let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
            let paths: BTreeSet<&str> =
                maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).collect();
            for path in paths.into_iter().filter(|path| path.contains(".so")) {
                let Ok(data) = fs::read(path) else { continue };
                let Ok(elf) = Elf::parse(&data) else { continue };
                if let Some(name) = elf.soname {
                    mapped.insert(name.to_owned(), PathBuf::from(path));
                }
            }
        }
        let set = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
        let standard = [
            "/lib/x86_64-linux-gnu",
            "/usr/lib/x86_64-linux-gnu",
            "/lib64",
            "/usr/lib64",
            "/lib",
            "/usr/lib",
            "/usr/local/lib",
        ];
        let folders =
            set.split(':').filter(|folder| !folder.is_empty()).chain(standard).map(PathBuf::from).collect();
        Self { mapped, folders }
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let in_folder = || self.folders.iter().map(|folder| folder.join(name)).find(|path| is_elf64(path));
        self.mapped.get(name).cloned().or_else(in_folder)
    }
}

/// 32-bit libraries may lie in the same folders.
fn is_elf64(path: &Path) -> bool {
    fs::read(path).is_ok_and(|data| data.starts_with(b"\x7fELF\x02"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_program_travels_with_its_libraries() {
        let mut contents = Contents::default();
        let own = std::env::current_exe().unwrap();
        contents.add_program("/init", &own).unwrap();
        contents.add("/inputs/0", b"abc".to_vec());
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(contents.pack().unwrap().as_slice()).read_to_end(&mut archive).unwrap();
        let mut names = BTreeMap::new();
        let mut rest = archive.as_slice();
        loop {
            let mut reader = cpio::NewcReader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let name = reader.entry().name().to_owned();
            let mut data = Vec::new();
            reader.read_to_end(&mut data).unwrap();
            names.insert(name, data);
            rest = reader.finish().unwrap();
        }
        assert_eq!(names["inputs/0"], b"abc");
        assert!(names.contains_key("proc") && names.contains_key("inputs"));
        // Whatever this test links, its libraries came along, under the names that it asks for.
        let (interpreter, needed) = needs(&fs::read(&own).unwrap(), &own).unwrap();
        for name in needed {
            assert!(names.contains_key(&format!("{}/{name}", LIBRARIES.trim_start_matches('/'))), "{name}");
        }
        if let Some(interpreter) = interpreter {
            assert!(names.contains_key(interpreter.trim_start_matches('/')));
        }
        // What the kernel maps is all there, and starts as it did.
        assert!(names["init"].starts_with(b"\x7fELF"));
        assert!(Elf::parse(&names["init"]).unwrap().program_headers.len() > 3);
    }
}
