//! Where scx-lint and libbpf must agree, and what the oracle itself must get right for that to mean anything.

mod core;
mod oracle;
mod same_on_files;
mod same_on_mutants;
mod types;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use scx_lint::libbpf::Libbpf;
use scx_lint_oracle::client::Oracle;
use serde_json::Value;

/// The libbpf that is asked, which is the one whose answers are foreseen: Cargo.toml pins it.
const LINKED: Libbpf = Libbpf::V1_7;

/// libbpf, behind this package's binary.
fn libbpf() -> Oracle {
    Oracle::new(env!("CARGO_BIN_EXE_scx-lint-oracle"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Recorded objects and outcomes, in `$SCX_LINT_SHARED` or beside the repository; most checkouts have none.
fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("SCX_LINT_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    Some(shared.join("corpus")).filter(|dir| dir.is_dir())
}

/// Says what was not tested, past the harness, which keeps what a test that passes prints to itself.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Kernels' BTFs by name: those beside the repository, else of the images that `.ci/kernels` picked, and this machine's. Sorted.
/// A test that finds none says so, and fails where `SCX_LINT_ALL_TOOLS` is set.
fn kernels() -> Vec<(String, Vec<u8>)> {
    let shared = std::env::var_os("SCX_LINT_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let mut found = Vec::new();
    for folder in [shared.join("kernels/btf"), root().join("target/ci-kernels")] {
        if !found.is_empty() {
            break;
        }
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = fs::read(&path).unwrap();
            let kernel = scx_lint::kernel::image::extract(&bytes);
            found.push((
                name,
                kernel.unwrap_or_else(|error| panic!("{}: {error}", path.display())).btf.into_owned(),
            ));
        }
    }
    found.sort();
    if let Ok(bytes) = fs::read("/sys/kernel/btf/vmlinux") {
        found.push(("this machine's".to_owned(), bytes));
    }
    if found.is_empty() {
        let why = "no kernel is at hand; .ci/run gets some";
        assert!(std::env::var_os("SCX_LINT_ALL_TOOLS").is_none(), "{why}");
        skipped(why);
    }
    found
}

/// Every object there is: fixtures, malformed ones included, and the corpus. Sorted, so that a run can be repeated.
fn objects() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root().join("fixtures/obj"), root().join("fixtures/malformed")];
    todo.extend(corpus().map(|dir| dir.join("objects")));
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "o")
                || path.components().any(|c| c.as_os_str() == "malformed")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no object to compare: build the fixtures or put the corpus in ../shared");
    found
}

/// The report of the scx-lint under test about files; the binary is `$SCX_LINT`, else the one cargo built beside us.
fn report(files: &[PathBuf]) -> Value {
    let beside = || Path::new(env!("CARGO_BIN_EXE_scx-lint-oracle")).with_file_name("scx-lint");
    let exe = std::env::var_os("SCX_LINT").map_or_else(beside, PathBuf::from);
    // No user space edits: bpf_object__open sees the object as it is.
    let mut command = Command::new(&exe);
    command
        .args(["--loader", "plain", "--libbpf", LINKED.as_str(), "--format", "json", "--exit-zero"])
        .args(files);
    let output = command.output().unwrap_or_else(|e| panic!("{}: {e}; build it first", exe.display()));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        panic!("{} on {:?}...: {}: no report: {e}\n{stderr}", exe.display(), files.first(), output.status)
    })
}

/// What scx-lint makes of these bytes, were they in a file of this name: a report about one object.
fn ours(bytes: &[u8], name: &str) -> Value {
    let options = scx_lint::Options::default().loader(scx_lint::load::Loader::Plain).libbpf(LINKED);
    serde_json::to_value(scx_lint::lint_for(name, bytes, &[], &options)).unwrap()
}
