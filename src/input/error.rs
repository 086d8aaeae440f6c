//! Why an input cannot be used, in one line.

use std::io;

use crate::report::InputError;

pub(super) fn input_error(code: &str, message: &str) -> InputError {
    InputError { code: code.to_owned(), message: message.to_owned() }
}

pub(super) fn io_error(error: &io::Error) -> InputError {
    match error.kind() {
        io::ErrorKind::NotFound => input_error("not-found", "no such file"),
        io::ErrorKind::PermissionDenied => {
            input_error("permission-denied", "permission denied; make the file readable for this user")
        }
        _ => input_error("io", &format!("cannot be read: {error}; name a regular file")),
    }
}
