//! Arguments to files: folders are searched, patterns expanded.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use super::embedded;
use super::error::input_error;
use crate::report::InputError;

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Where it is, in whatever bytes; `-` is standard input.
    pub path: PathBuf,
    /// The user named it. What a search or a pattern found and holds no BPF object is passed over in silence.
    pub named: bool,
    /// There is nothing to read.
    pub error: Option<InputError>,
}

impl InputFile {
    fn named(path: &OsStr) -> Self {
        Self { path: path.into(), named: true, error: None }
    }

    fn found(path: PathBuf) -> Self {
        Self { path, named: false, error: None }
    }

    fn wrong(path: &OsStr, code: &str, message: &str) -> Self {
        Self { path: path.into(), named: true, error: Some(input_error(code, message)) }
    }

    /// A folder or file that could not be looked into, so that nobody takes it for empty. What has gone meanwhile is no matter.
    fn unread(path: &Path, error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::NotFound => None,
            kind => {
                let code = if kind == io::ErrorKind::PermissionDenied { "permission-denied" } else { "io" };
                Some(Self::wrong(path.as_os_str(), code, &format!("is not searched: {error}")))
            }
        }
    }

    /// The path as reports show it: bytes that are no UTF-8 are replaced.
    pub fn shown(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

/// The files that the arguments mean, in order; what a folder or pattern gives is sorted, and nothing comes twice.
pub fn expand(arguments: &[OsString]) -> Vec<InputFile> {
    let mut targets = Vec::new();
    let mut seen = HashSet::new();
    for argument in arguments {
        let path = Path::new(argument);
        let is_pattern = |text: &&str| text.contains(['*', '?', '[']) && !path.exists();
        let found = if path.is_dir() {
            search(path)
        } else if let Some(text) = argument.to_str().filter(is_pattern) {
            pattern(text)
        } else {
            vec![InputFile::named(argument)]
        };
        targets.extend(found.into_iter().filter(|target| seen.insert(target.path.clone()) || target.named));
    }
    targets
}

fn pattern(pattern: &str) -> Vec<InputFile> {
    let paths = match glob::glob(pattern) {
        Ok(paths) => paths,
        Err(error) => return vec![InputFile::wrong(pattern.as_ref(), "bad-pattern", &error.to_string())],
    };
    let mut targets = Vec::new();
    for path in paths {
        match path {
            Ok(path) if path.is_dir() => {}
            Ok(path) => targets.push(InputFile::found(path)),
            Err(error) => targets.extend(InputFile::unread(error.path(), error.error())),
        }
    }
    if targets.is_empty() {
        targets.push(InputFile::wrong(pattern.as_ref(), "no-inputs", "no file matches this pattern"));
    }
    targets
}

/// The BPF objects, sources and host executables below a folder, and what could not be looked into.
///
/// Ignored folders are not entered, so that a search of a source tree does not end in `target/`; a folder that was
/// named is searched even if it is ignored. Ignored files count: objects are build products, and most projects ignore
/// `*.o`. A source whose object is found too is not compiled again.
fn search(folder: &Path) -> Vec<InputFile> {
    let (mut files, mut unread) = candidates(folder, true);
    if files.is_empty() {
        (files, unread) = candidates(folder, false);
    }
    let built: HashSet<String> = files
        .iter()
        .flat_map(|(path, kind)| match kind {
            Kind::Source => Vec::new(),
            Kind::Object => stem(path).into_iter().collect(),
            Kind::Host(objects) => objects.clone(),
        })
        .collect();
    files.retain(|(path, kind)| {
        *kind != Kind::Source || !stem(path).is_some_and(|stem| built.contains(&stem))
    });
    if files.is_empty() && unread.is_empty() {
        return vec![InputFile::wrong(
            folder.as_os_str(),
            "no-inputs",
            "no BPF object, BPF source (.bpf.c) or program that embeds one in this folder",
        )];
    }
    files.into_iter().map(|(path, _)| InputFile::found(path)).chain(unread).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Object,
    Source,
    /// An executable or shared library that holds objects, of C files with these stems.
    Host(Vec<String>),
}

/// `sched` for `build/sched.bpf.o` and `src/sched.bpf.c`.
fn stem(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().split('.').next()?.to_owned())
}

fn candidates(folder: &Path, ignoring: bool) -> (Vec<(PathBuf, Kind)>, Vec<InputFile>) {
    let mut walk = WalkBuilder::new(folder);
    walk.standard_filters(ignoring).follow_links(false).require_git(false);
    walk.sort_by_file_name(std::ffi::OsStr::cmp);
    // Folders only: their files are listed whether ignored or not.
    walk.filter_entry(|entry| entry.file_type().is_some_and(|kind| kind.is_dir()));
    let mut found = Vec::new();
    let mut unread = Vec::new();
    // Cargo links what it builds to a second place.
    let mut seen = HashSet::new();
    // A folder that the walk cannot list comes as an entry before it comes as an error; what else goes wrong in a walk is about an
    // ignore file, which then counts as far as it can be read.
    for entry in walk.build().flatten() {
        let files = match fs::read_dir(entry.path()) {
            Ok(files) => files,
            Err(error) => {
                unread.extend(InputFile::unread(entry.path(), &error));
                continue;
            }
        };
        let mut files: Vec<_> =
            files.flatten().filter(|file| file.file_type().is_ok_and(|kind| kind.is_file())).collect();
        files.sort_by_key(fs::DirEntry::path);
        files.retain(|file| file.metadata().is_ok_and(|data| seen.insert((data.dev(), data.ino()))));
        for path in files.into_iter().map(|file| file.path()) {
            match kind(&path) {
                Ok(kind) => found.extend(kind.map(|kind| (path, kind))),
                Err(error) if may_be_built(&path) => unread.extend(InputFile::unread(&path, &error)),
                Err(_) => {}
            }
        }
    }
    (found, unread)
}

/// By its name or mode a file may be an object or a program. Of others that cannot be read, say a key, nothing is said.
fn may_be_built(path: &Path) -> bool {
    let name = path.as_os_str().as_bytes();
    let is_executable = || fs::metadata(path).is_ok_and(|data| data.mode() & 0o111 != 0);
    name.ends_with(b".o") || name.ends_with(b".so") || is_executable()
}

/// What a file is, by its name for sources and by its bytes for the rest; `None` for what is neither object, source nor program.
///
/// # Errors
/// It cannot be opened.
fn kind(path: &Path) -> io::Result<Option<Kind>> {
    if path.as_os_str().as_bytes().ends_with(b".bpf.c") {
        return Ok(Some(Kind::Source));
    }
    // Whatever is in it: an empty or unreadable one is told, not left out.
    if path.as_os_str().as_bytes().ends_with(b".bpf.o") {
        return Ok(Some(Kind::Object));
    }
    Ok(kind_of(File::open(path)?, path))
}

fn kind_of(mut file: File, path: &Path) -> Option<Kind> {
    let mut head = [0u8; 20];
    file.read_exact(&mut head).ok()?;
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    if !embedded::is_host_elf(&head) {
        return Some(Kind::Object);
    }
    // Executables (2) and shared libraries (3); host objects have their executable nearby.
    let file_type = if head[5] == 2 { head[17] } else { head[16] };
    if !matches!(file_type, 2 | 3) {
        return None;
    }
    let data = fs::read(path).ok()?;
    let objects = embedded::find(&data, "");
    let stem = |name: &str| name.strip_suffix("_bpf").unwrap_or(name).to_owned();
    let stems: Vec<String> = objects.iter().map(|found| stem(&found.embedded.name)).collect();
    (!stems.is_empty()).then_some(Kind::Host(stems))
}
