//! Integration tests, in one binary.

mod cli;
mod fixtures;
mod inputs;
mod robust;
mod schema;
mod services;
mod tools;

use std::path::{Path, PathBuf};

/// The package's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The committed objects, in name order.
fn fixture_objects() -> Vec<PathBuf> {
    objects_in(&root().join("fixtures/obj/clang-19"))
}

/// Recorded objects of real schedulers, where this machine has them; they are no part of the project.
fn corpus_objects() -> Vec<PathBuf> {
    objects_in(&root().join("../shared/corpus/objects"))
}

fn objects_in(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "o"));
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
