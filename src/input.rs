//! Paths to bytes: the files that a user names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::report::InputError;

/// Reads an input; `-` is standard input.
///
/// # Errors
/// What is there is no regular file, or cannot be read. The message is one line and says what to do.
pub fn read(path: &str) -> Result<Vec<u8>, InputError> {
    if path == "-" {
        let mut bytes = Vec::new();
        return match io::stdin().lock().read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(io_error(&error)),
        };
    }
    let metadata = fs::metadata(path).map_err(|error| io_error(&error))?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(input_error(
            "is-directory",
            "is a directory, expected a BPF object; name the .bpf.o files in it",
        ));
    }
    // Opening a FIFO would wait for a writer, and a device may have no end.
    if !kind.is_file() {
        return Err(input_error(
            "not-a-file",
            "is no regular file (a FIFO, socket or device), expected a BPF object; pipe it in as '-'",
        ));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(|error| io_error(&error))?;
    Ok(bytes)
}

/// The part of a path that libbpf names the object after.
pub fn file_name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}

fn input_error(code: &str, message: &str) -> InputError {
    InputError { code: code.to_owned(), message: message.to_owned() }
}

fn io_error(error: &io::Error) -> InputError {
    match error.kind() {
        io::ErrorKind::NotFound => input_error("not-found", "no such file"),
        io::ErrorKind::PermissionDenied => {
            input_error("permission-denied", "permission denied; make the file readable for this user")
        }
        _ => InputError { code: "io".to_owned(), message: error.to_string() },
    }
}
