//! Kernels that this machine has, for tests; they are no part of the package.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Kernels by version, sorted: their BTF, which is kept beside the package, else images.
pub(super) fn kernels() -> Vec<(String, PathBuf)> {
    let beside = within(&root().join("../shared/kernels/btf"), "", ".btf.xz");
    if beside.is_empty() { images() } else { beside }
}

/// Kernel images by version, sorted: those beside the package, else what `.ci/kernels` picked or `scripts/fetch-kernel` got. A
/// test that finds none says so, past the harness, and fails where `SCX_LINT_ALL_TOOLS` is set.
pub(super) fn images() -> Vec<(String, PathBuf)> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).unwrap_or_default();
    for folder in
        [root().join("../shared/kernels"), root().join("target/ci-kernels"), cache.join("scx-lint/kernels")]
    {
        let found = within(&folder, "vmlinuz-", "");
        if !found.is_empty() {
            return found;
        }
    }
    let why = "no kernel image is at hand; .ci/run gets some";
    assert!(std::env::var_os("SCX_LINT_ALL_TOOLS").is_none(), "{why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
    Vec::new()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn within(folder: &Path, start: &str, end: &str) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths
        .filter_map(|path| {
            let version = path.file_name()?.to_str()?.strip_prefix(start)?.strip_suffix(end)?.to_owned();
            path.is_file().then_some((version, path))
        })
        .collect();
    found.sort();
    found
}
