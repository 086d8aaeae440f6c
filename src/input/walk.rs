//! Arguments to files: folders are searched, patterns expanded.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use super::{embedded, input_error};
use crate::report::InputError;

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it is, in whatever bytes; `-` is standard input.
    pub path: PathBuf,
    /// The user named it. What a search or a pattern found and holds no BPF object is passed over in silence.
    pub named: bool,
    /// There is nothing to read.
    pub error: Option<InputError>,
}

impl Target {
    fn named(path: &OsStr) -> Self {
        Self { path: path.into(), named: true, error: None }
    }

    fn found(path: PathBuf) -> Self {
        Self { path, named: false, error: None }
    }

    fn wrong(path: &OsStr, code: &str, message: &str) -> Self {
        Self { path: path.into(), named: true, error: Some(input_error(code, message)) }
    }

    /// The path as reports show it: bytes that are no UTF-8 are replaced.
    pub fn shown(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

/// The files that the arguments mean, in order; what a folder or pattern gives is sorted, and nothing comes twice.
pub fn expand(arguments: &[OsString]) -> Vec<Target> {
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
            vec![Target::named(argument)]
        };
        targets.extend(found.into_iter().filter(|target| seen.insert(target.path.clone()) || target.named));
    }
    targets
}

fn pattern(pattern: &str) -> Vec<Target> {
    let paths = match glob::glob(pattern) {
        Ok(paths) => paths,
        Err(error) => return vec![Target::wrong(pattern.as_ref(), "bad-pattern", &error.to_string())],
    };
    let mut targets = Vec::new();
    for path in paths.flatten() {
        if path.is_dir() {
            continue;
        }
        targets.push(Target::found(path));
    }
    if targets.is_empty() {
        targets.push(Target::wrong(pattern.as_ref(), "no-inputs", "no file matches this pattern"));
    }
    targets
}

/// The BPF objects, sources and host executables below a folder.
///
/// Ignored folders are not entered, so that a search of a source tree does not end in `target/`; a folder that was
/// named is searched even if it is ignored. Ignored files count: objects are build products, and most projects ignore
/// `*.o`. A source whose object is found too is not compiled again.
fn search(folder: &Path) -> Vec<Target> {
    let mut files = candidates(folder, true);
    if files.is_empty() {
        files = candidates(folder, false);
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
    if files.is_empty() {
        return vec![Target::wrong(
            folder.as_os_str(),
            "no-inputs",
            "no BPF object, BPF source (.bpf.c) or program that embeds one in this folder",
        )];
    }
    files.into_iter().map(|(path, _)| Target::found(path)).collect()
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

fn candidates(folder: &Path, ignoring: bool) -> Vec<(PathBuf, Kind)> {
    let mut walk = WalkBuilder::new(folder);
    walk.standard_filters(ignoring).follow_links(false).require_git(false);
    walk.sort_by_file_name(std::ffi::OsStr::cmp);
    // Folders only: their files are listed whether ignored or not.
    walk.filter_entry(|entry| entry.file_type().is_some_and(|kind| kind.is_dir()));
    let mut found = Vec::new();
    // Cargo links what it builds to a second place.
    let mut seen = HashSet::new();
    for entry in walk.build().flatten() {
        let Ok(files) = fs::read_dir(entry.path()) else { continue };
        let mut files: Vec<_> =
            files.flatten().filter(|file| file.file_type().is_ok_and(|kind| kind.is_file())).collect();
        files.sort_by_key(fs::DirEntry::path);
        files.retain(|file| file.metadata().is_ok_and(|data| seen.insert((data.dev(), data.ino()))));
        let files = files.into_iter().map(|file| file.path());
        found.extend(files.filter_map(|path| kind(&path).map(|kind| (path, kind))));
    }
    found
}

/// What a file is, by its name for sources and by its bytes for the rest.
fn kind(path: &Path) -> Option<Kind> {
    if path.as_os_str().as_bytes().ends_with(b".bpf.c") {
        return Some(Kind::Source);
    }
    // Whatever is in it: an empty or unreadable one is told, not left out.
    if path.as_os_str().as_bytes().ends_with(b".bpf.o") {
        return Some(Kind::Object);
    }
    let mut head = [0u8; 20];
    let mut file = File::open(path).ok()?;
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
