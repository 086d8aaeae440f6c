//! Integration tests, in one binary.

mod action;
mod arena;
mod builder;
mod ci;
mod cli;
mod config;
mod docs;
mod facts;
mod fixtures;
mod folders;
mod inputs;
mod kernels;
mod layout;
mod libbpf;
mod lines;
mod manners;
mod modules;
mod new_release;
mod odd;
mod opcodes;
mod opening;
mod outputs;
mod pasted;
mod programs_on;
mod reach;
mod readme;
mod robust;
mod schema;
mod services;
mod small_kernels;
mod tools;
mod values;
mod verifier;
mod walk;
mod worst;

use std::path::{Path, PathBuf};

/// The package's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The committed objects, in name order.
fn fixture_objects() -> Vec<PathBuf> {
    objects_in(&root().join("fixtures/obj/clang-19"))
}

/// Recorded objects of real schedulers, where this machine has them; they are no part of the project, and a test that wants them
/// says that it went without.
fn corpus_objects() -> Vec<PathBuf> {
    let found = objects_in(&root().join("../shared/corpus/objects"));
    if found.is_empty() {
        tools::skipped("no recorded objects beside the package");
    }
    found
}

/// Kernels that this machine has, by version: BTF files and images beside the package, else the images that `.ci/kernels` picked or
/// `scripts/fetch-kernel` got.
fn kernels_at_hand() -> Vec<(String, PathBuf)> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).unwrap_or_default();
    let folders = [
        root().join("../shared/kernels/btf"),
        root().join("target/ci-kernels"),
        cache.join("scx-lint/kernels"),
    ];
    for folder in folders {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let mut found: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter_map(|path| {
                let file = name(&path);
                let version = file.strip_prefix("vmlinuz-").or_else(|| file.strip_suffix(".btf.xz"))?;
                Some((version.to_owned(), path))
            })
            .collect();
        found.sort();
        if !found.is_empty() {
            return found;
        }
    }
    tools::missing("no kernel is at hand; .ci/run gets some");
    Vec::new()
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

/// An input of fixtures/malformed and what is expected of it.
#[derive(Debug, Default)]
struct Malformed {
    file: String,
    code: String,
    errno: i32,
    message: String,
}

/// The rows of fixtures/malformed/MANIFEST.toml; its strings are written as JSON, which TOML reads alike.
fn malformed_inputs() -> Vec<Malformed> {
    let text = std::fs::read_to_string(root().join("fixtures/malformed/MANIFEST.toml")).unwrap();
    let mut rows = Vec::new();
    for line in text.lines() {
        if line == "[[input]]" {
            rows.push(Malformed::default());
        }
        let (Some((key, value)), Some(row)) = (line.split_once(" = "), rows.last_mut()) else { continue };
        match key {
            "file" => row.file = serde_json::from_str(value).unwrap(),
            "code" => row.code = serde_json::from_str(value).unwrap(),
            "message" => row.message = serde_json::from_str(value).unwrap(),
            "errno" => row.errno = value.parse().unwrap(),
            other => panic!("unknown key {other}"),
        }
    }
    rows
}
