//! A file to the objects in it.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::compile::{self, Compiler};
use super::embedded;
use super::error::{input_error, io_error};
use crate::regular::Size;
use crate::report::{Embedded, InputError};

/// What an input holds: its bytes, and the objects in them.
#[derive(Debug)]
pub struct Loaded {
    /// The file's bytes, or the compiled object's.
    pub bytes: Vec<u8>,
    /// The objects; one of the whole file for a plain object.
    pub parts: Vec<Part>,
    /// Flags that were found beside a source and left out, a sentence for each file.
    pub dropped: Vec<String>,
}

/// An object in an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The name that libbpf is given: a file name, or the name in a skeleton.
    pub name: String,
    /// Where an executable holds it.
    pub embedded: Option<Embedded>,
    /// Its bytes.
    pub range: Range<usize>,
}

/// Reads a file, compiles a source, and finds the objects in an executable. What the compiler says goes to `say`, in one piece.
///
/// # Errors
/// There is nothing to read, or the compiler refuses the source. A file that turns out to be no BPF object is no
/// error yet: [`crate::object::Object::open`] says what it is.
pub fn load(path: &Path, compiler: &Compiler, say: &dyn Fn(&[u8])) -> Result<Loaded, InputError> {
    let file = &*path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    if file.ends_with(".bpf.c") {
        let (bytes, dropped) = compile::compile(path, compiler, say)?;
        let name = format!("{}.o", file.trim_end_matches(".c"));
        let range = 0..bytes.len();
        return Ok(Loaded { bytes, parts: vec![Part { name, embedded: None, range }], dropped });
    }
    let bytes = read(path)?;
    let mut parts = Vec::new();
    if embedded::is_host_elf(&bytes) {
        let stem = file.split('.').next().unwrap_or(file);
        parts.extend(embedded::find(&bytes).into_iter().map(|found| {
            let start = usize::try_from(found.embedded.offset).unwrap_or(usize::MAX);
            Part {
                // What libbpf is given is not known of a stripped program; the file's own name is what people will look for.
                name: if found.embedded.name.is_empty() { stem } else { &found.embedded.name }.to_owned(),
                range: start..start.saturating_add(found.len),
                embedded: Some(found.embedded),
            }
        }));
    }
    if parts.is_empty() {
        parts.push(Part { name: file.to_owned(), embedded: None, range: 0..bytes.len() });
    }
    Ok(Loaded { bytes, parts, dropped: Vec::new() })
}

/// The most that is read of a file, bytes. No object comes near, and few programs with all their debugging information; a sparse file
/// may be larger.
const MOST: u64 = 1 << 30;

/// The most that is read of standard input, which does not tell its size before it is read.
const MOST_OF_STREAM: u64 = 128 << 20;

/// Enough of a file to see what it is. More is read of an ELF only.
const HEAD: u64 = 4096;

/// `O_NONBLOCK` of Linux on the architectures that sched_ext runs on: files of /proc that wait for events answer at once.
const NONBLOCK: i32 = 0o4000;

/// Reads an input; `-` is standard input. Of what is no ELF only the beginning is read.
///
/// # Errors
/// What is there is no regular file, or cannot be read. The message is one line and says what to do.
pub fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    if path.as_os_str() == "-" {
        return read_from(io::stdin().lock(), 0, MOST_OF_STREAM);
    }
    let metadata = fs::metadata(path).map_err(|error| io_error(&error))?;
    let kind = metadata.file_type();
    // Opening a FIFO would wait for a writer, and a device may have no end.
    if !kind.is_file() {
        return Err(input_error(
            "not-a-file",
            "is no regular file (a FIFO, socket or device), expected a BPF object; pipe it in as '-'",
        ));
    }
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path);
    read_from(file.map_err(|error| io_error(&error))?, metadata.len(), MOST)
}

/// Reads to the end, which is expected after so many bytes and must come before `most`.
fn read_from(mut source: impl Read, expected: u64, most: u64) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    source.by_ref().take(HEAD).read_to_end(&mut bytes).map_err(|error| io_error(&error))?;
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(bytes);
    }
    let too_large = || {
        let instead = if most < MOST { "; name a program as a file" } else { "" };
        let words =
            format!("is larger than {}, which no BPF object is; expected one (.bpf.o){instead}", Size(most));
        input_error("too-large", &words)
    };
    if expected > most {
        return Err(too_large());
    }
    bytes.reserve_exact(usize::try_from(expected.saturating_sub(HEAD)).unwrap_or(0));
    source.take(most).read_to_end(&mut bytes).map_err(|error| io_error(&error))?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

/// The last part of a path as a report shows it.
pub fn file_name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}
