//! Arguments to files: folders are searched, patterns expanded.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use super::embedded;
use super::error::input_error;
use super::load;
use super::once::{self, Candidate};
use crate::report::{InputError, PassedDoc, PassedOver};

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Where it is, in whatever bytes; `-` is standard input.
    pub path: PathBuf,
    /// The user named it. What a search or a pattern found and holds no BPF object is passed over in silence.
    pub named: bool,
    /// Offsets of the objects in it that are judged here; `None` for all. The others are judged where they are in a better place.
    pub only: Option<Vec<u64>>,
    /// There is nothing to read.
    pub error: Option<InputError>,
}

/// What the arguments mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The files to read, in order.
    pub files: Vec<InputFile>,
    /// What the searches found and passed over.
    pub passed: Vec<PassedDoc>,
}

impl InputFile {
    fn named(path: &OsStr) -> Self {
        Self { path: path.into(), named: true, only: None, error: None }
    }

    fn found(path: PathBuf) -> Self {
        Self { path, named: false, only: None, error: None }
    }

    fn wrong(path: &OsStr, code: &str, message: &str) -> Self {
        Self { path: path.into(), named: true, only: None, error: Some(input_error(code, message)) }
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

    /// There are bytes to read that may be objects.
    fn is_read(&self) -> bool {
        let path = self.path.as_os_str().as_bytes();
        self.error.is_none() && path != b"-" && !path.ends_with(b".bpf.c")
    }

    /// The path as reports show it: bytes that are no UTF-8 are replaced.
    pub fn shown(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

/// The files that the arguments mean, in order; what a folder or pattern gives is sorted, and nothing comes twice.
///
/// A search gives the objects that somebody would load, each once, at its best place: a program rather than the object that a build left
/// beside it, and not the objects that another was linked from. What is named, by a pattern too, is taken as it is. Sources that a
/// search finds are compiled with `compile` only: whoever wrote them writes what the compiler does.
pub fn expand(arguments: &[OsString], compile: bool) -> Expanded {
    let mut all = Expanded::default();
    let mut seen = HashSet::new();
    let short = |path: &Path| path.strip_prefix(".").unwrap_or(path).to_owned();
    let named: HashSet<PathBuf> = arguments.iter().map(|argument| short(Path::new(argument))).collect();
    let is_named = |path: &Path| named.contains(&short(path));
    let mut candidates: Vec<Candidate> = Vec::new();
    for argument in arguments {
        let path = Path::new(argument);
        let is_pattern = |text: &&str| text.contains(['*', '?', '[']) && !path.exists();
        let found = if path.is_dir() {
            search(path, compile, &is_named, &mut all.passed)
        } else if let Some(text) = argument.to_str().filter(is_pattern) {
            pattern(text).into_iter().map(|file| (file, Vec::new())).collect()
        } else {
            vec![(InputFile::named(argument), Vec::new())]
        };
        for (file, objects) in found {
            if seen.insert(file.path.clone()) || file.named {
                let number = all.files.len();
                candidates.extend(objects.into_iter().map(|object| object.of(number, false)));
                all.files.push(file);
            }
        }
    }
    if !candidates.is_empty() {
        // What is named is the best place of what is in it.
        let found: HashSet<usize> = candidates.iter().map(|candidate| candidate.file).collect();
        let rest =
            all.files.iter().enumerate().filter(|(number, file)| file.is_read() && !found.contains(number));
        for (number, file) in rest {
            let Ok(data) = load::read(&file.path) else { continue };
            let objects = Candidate::all_in(&file.path, &data).into_iter();
            candidates.extend(objects.map(|object| object.of(number, true)));
        }
        all.pass_over(&candidates);
    }
    all
}

impl Expanded {
    /// Takes out what is judged elsewhere or not at all.
    fn pass_over(&mut self, candidates: &[Candidate]) {
        let (dropped, passed) = once::pass_over(candidates);
        self.passed.extend(passed);
        let mut left: HashMap<usize, Vec<u64>> = HashMap::new();
        for (number, candidate) in candidates.iter().enumerate() {
            let left = left.entry(candidate.file).or_default();
            if !dropped.contains(&number) {
                left.push(candidate.embedded.as_ref().map_or(0, |embedded| embedded.offset));
            }
        }
        let with_fewer: HashSet<usize> = dropped.iter().map(|&number| candidates[number].file).collect();
        for number in &with_fewer {
            self.files[*number].only = left.remove(number);
        }
        self.files.retain(|file| file.only.as_ref().is_none_or(|only| !only.is_empty()));
    }
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

/// The BPF objects, sources and host executables below a folder, each file with the objects in it, and what could not be looked into.
/// What is left aside goes to `passed`.
///
/// Ignored folders are not entered, so that a search of a source tree does not end in `target/`; a folder that was
/// named is searched even if it is ignored, and so is one where nothing else can be judged. Ignored files count: objects are build
/// products, and most projects ignore `*.o`. A source whose object is found too is not compiled again.
fn search(
    folder: &Path,
    compile: bool,
    is_named: &dyn Fn(&Path) -> bool,
    passed: &mut Vec<PassedDoc>,
) -> Vec<(InputFile, Vec<Candidate>)> {
    let mut all = candidates(folder, true);
    if all.files.iter().all(|(_, kind)| kind.is_source() && !compile) {
        all = candidates(folder, false);
    }
    let Candidates { mut files, unread, aside } = all;
    passed.extend(aside.into_iter().filter(|(path, _)| !is_named(path)).map(|(path, aside)| aside.of(&path)));
    let built: HashSet<String> = files
        .iter()
        .flat_map(|(path, kind)| match kind {
            Kind::Source => Vec::new(),
            Kind::Object(_) => stem(path).into_iter().collect(),
            Kind::Host(_, objects) => objects.clone(),
        })
        .collect();
    files.retain(|(path, kind)| !kind.is_source() || !stem(path).is_some_and(|stem| built.contains(&stem)));
    let mut sources = 0;
    let mut any_named = false;
    if !compile {
        for (path, _) in files.extract_if(.., |(_, kind)| kind.is_source()) {
            if is_named(&path) {
                any_named = true;
                continue;
            }
            sources += 1;
            let words = "not compiled: sources in folders are compiled with --compile";
            passed.push(PassedDoc::new(path.to_string_lossy(), PassedOver::NotCompiled, words));
        }
    }
    if files.is_empty() && unread.is_empty() && !any_named {
        let words = match sources {
            0 => "no BPF object, BPF source (.bpf.c) or program that embeds one in this folder".to_owned(),
            1 => "no BPF object or program that embeds one in this folder; --compile compiles its BPF source"
                .to_owned(),
            _ => format!(
                "no BPF object or program that embeds one in this folder; --compile compiles its {sources} BPF sources"
            ),
        };
        return vec![(InputFile::wrong(folder.as_os_str(), "no-inputs", &words), Vec::new())];
    }
    let objects = |kind: Kind| match kind {
        Kind::Object(objects) | Kind::Host(objects, _) => objects,
        Kind::Source => Vec::new(),
    };
    let files = files.into_iter().map(|(path, kind)| (InputFile::found(path), objects(kind)));
    files.chain(unread.into_iter().map(|file| (file, Vec::new()))).collect()
}

#[derive(Debug, Clone)]
enum Kind {
    Object(Vec<Candidate>),
    Source,
    /// An executable or shared library that holds objects, of C files with these stems.
    Host(Vec<Candidate>, Vec<String>),
}

impl Kind {
    fn is_source(&self) -> bool {
        matches!(self, Self::Source)
    }
}

/// `sched` for `build/sched.bpf.o` and `src/sched.bpf.c`.
fn stem(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().split('.').next()?.to_owned())
}

/// What is below a folder.
#[derive(Debug, Default)]
struct Candidates {
    files: Vec<(PathBuf, Kind)>,
    /// What could not be looked into.
    unread: Vec<InputFile>,
    aside: Vec<(PathBuf, Aside)>,
}

/// What a search leaves aside without a look into it.
#[derive(Debug)]
enum Aside {
    /// A folder whose name starts with a dot.
    Hidden,
    /// A folder that an ignore file names.
    Ignored,
    /// A symbolic link, with where it leads.
    Link(PathBuf),
    /// The same, and nothing is there.
    Dangling(PathBuf),
    /// No regular file: whoever opens one may wait for ever.
    Special(&'static str),
}

impl Aside {
    fn of(&self, path: &Path) -> PassedDoc {
        let named = "one that is named is";
        let (why, words) = match self {
            Self::Hidden => (PassedOver::Hidden, format!("not searched: a hidden folder; {named}")),
            Self::Ignored => (PassedOver::Ignored, format!("not searched: an ignored folder; {named}")),
            Self::Link(target) => {
                (PassedOver::Link, format!("not followed: a link to {}; {named}", target.display()))
            }
            Self::Dangling(target) => {
                (PassedOver::Dangling, format!("a link to {}, which is not there", target.display()))
            }
            Self::Special(what) => {
                (PassedOver::Special, format!("not read: {what}, expected a regular file"))
            }
        };
        PassedDoc::new(path.to_string_lossy(), why, words)
    }

    /// What is neither file nor folder and may be meant for an input: by its name, or as it leads to a folder.
    fn of_entry(path: &Path, kind: fs::FileType) -> Option<Self> {
        let name = path.as_os_str().as_bytes();
        let is_input = name.ends_with(b".bpf.o") || name.ends_with(b".bpf.c");
        if kind.is_symlink() {
            let target = fs::read_link(path).ok()?;
            return match fs::metadata(path) {
                Ok(data) => (is_input || data.is_dir()).then_some(Self::Link(target)),
                Err(_) => is_input.then_some(Self::Dangling(target)),
            };
        }
        let what = match kind {
            kind if kind.is_fifo() => "a FIFO",
            kind if kind.is_socket() => "a socket",
            _ => "a device",
        };
        is_input.then_some(Self::Special(what))
    }
}

fn candidates(folder: &Path, ignoring: bool) -> Candidates {
    let mut walk = WalkBuilder::new(folder);
    walk.standard_filters(ignoring).follow_links(false).require_git(false);
    walk.sort_by_file_name(std::ffi::OsStr::cmp);
    // Folders only: their files are listed whether ignored or not.
    walk.filter_entry(|entry| entry.file_type().is_some_and(|kind| kind.is_dir()));
    let mut all = Candidates::default();
    // Cargo links what it builds to a second place.
    let mut seen = HashSet::new();
    let mut entered = HashSet::new();
    let mut folders = Vec::new();
    // A folder that the walk cannot list comes as an entry before it comes as an error; what else goes wrong in a walk is about an
    // ignore file, which then counts as far as it can be read.
    for entry in walk.build().flatten() {
        entered.insert(entry.path().to_owned());
        let listed = match fs::read_dir(entry.path()) {
            Ok(listed) => listed,
            Err(error) => {
                all.unread.extend(InputFile::unread(entry.path(), &error));
                continue;
            }
        };
        let mut files = Vec::new();
        for file in listed.flatten() {
            let Ok(kind) = file.file_type() else { continue };
            let path = file.path();
            if kind.is_file() {
                files.push(file);
            } else if kind.is_dir() {
                folders.push(path);
            } else if let Some(aside) = Aside::of_entry(&path, kind) {
                all.aside.push((path, aside));
            }
        }
        files.sort_by_key(fs::DirEntry::path);
        files.retain(|file| file.metadata().is_ok_and(|data| seen.insert((data.dev(), data.ino()))));
        for path in files.into_iter().map(|file| file.path()) {
            match kind(&path) {
                Ok(kind) => all.files.extend(kind.map(|kind| (path, kind))),
                Err(error) if may_be_built(&path) => all.unread.extend(InputFile::unread(&path, &error)),
                Err(_) => {}
            }
        }
    }
    // The walk does not tell which folders it leaves out.
    for path in folders.into_iter().filter(|path| !entered.contains(path)) {
        let is_hidden = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
        all.aside.push((path, if is_hidden { Aside::Hidden } else { Aside::Ignored }));
    }
    all.aside.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
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
        return Ok(Some(object(path)));
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
        return Some(object(path));
    }
    // Executables (2) and shared libraries (3); host objects have their executable nearby.
    let file_type = if head[5] == 2 { head[17] } else { head[16] };
    if !matches!(file_type, 2 | 3) {
        return None;
    }
    let objects = Candidate::all_in(path, &load::read(path).ok()?);
    let stem = |name: &str| name.strip_suffix("_bpf").unwrap_or(name).to_owned();
    let names = objects.iter().filter_map(|object| object.embedded.as_ref());
    let stems: Vec<String> = names.map(|embedded| stem(&embedded.name)).collect();
    (!objects.is_empty()).then_some(Kind::Host(objects, stems))
}

/// A file of its own. One that cannot be read is told of when it is judged.
fn object(path: &Path) -> Kind {
    Kind::Object(load::read(path).map_or_else(|_| Vec::new(), |data| Candidate::all_in(path, &data)))
}
