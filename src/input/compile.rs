//! BPF C sources to objects: clang is found and run as a project's build would.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::input_error;
use crate::report::InputError;

/// How sources are compiled.
#[derive(Debug, Clone, Default)]
pub struct Compiler {
    /// The clang to run; else `$BPF_CLANG`, `clang`, or the newest `clang-NN` in the path.
    pub clang: Option<PathBuf>,
    /// More flags, after all others.
    pub flags: Vec<String>,
}

/// What every BPF program needs: types for CO-RE, optimisation (the verifier refuses -O0 code), and the architecture that
/// bpf_tracing.h asks for.
const ALWAYS: [&str; 5] = ["--target=bpf", "-g", "-O2", "-mcpu=v3", "-D__TARGET_ARCH_x86"];

/// Compiles a source and gives the object's bytes. The compiler's own messages go to `say` as they are.
///
/// # Errors
/// There is no clang, it cannot be run, or it refuses the source.
pub(super) fn compile(
    source: &Path,
    compiler: &Compiler,
    say: &dyn Fn(&[u8]),
) -> Result<Vec<u8>, InputError> {
    if !source.is_file() {
        return Err(input_error("not-found", "no such file"));
    }
    let clang = find_clang(compiler.clang.as_deref())?;
    let folder = tempfile::tempdir().map_err(|error| io_error(&error))?;
    let object = folder.path().join("source.bpf.o");
    let mut command = Command::new(&clang);
    let database = find_database(source);
    command.args(ALWAYS);
    match &database {
        Some(entry) => {
            command.current_dir(&entry.directory).args(&entry.flags);
            // A path that also means the source from the entry's folder, and from anywhere else.
            command.arg("-c").arg(std::path::absolute(source).map_err(|error| io_error(&error))?);
        }
        None => {
            // Lines are shown with the path as it was typed, not with this machine's. One that starts with a dash is no option.
            let dash = source.as_os_str().as_encoded_bytes().starts_with(b"-");
            let source = if dash { Path::new(".").join(source) } else { source.to_owned() };
            command.arg("-fdebug-compilation-dir=.").arg("-c").arg(source);
        }
    }
    if std::io::stderr().is_terminal() {
        command.arg("-fcolor-diagnostics");
    }
    let output = command.args(&compiler.flags).arg("-o").arg(&object).output();
    let output = output
        .map_err(|error| input_error("no-compiler", &format!("cannot run {}: {error}", clang.display())))?;
    say(&output.stderr);
    let status = output.status;
    if !status.success() {
        let how = if database.is_some() {
            "with the flags of compile_commands.json"
        } else {
            "give include paths with --cflag -I... or the [clang] table of scx-lint.toml"
        };
        let message = format!("{} refuses the source ({status}); {how}", clang.display());
        return Err(input_error("does-not-compile", &message));
    }
    fs::read(&object).map_err(|error| io_error(&error))
}

fn io_error(error: &std::io::Error) -> InputError {
    input_error("io", &error.to_string())
}

/// The clang to run.
fn find_clang(named: Option<&Path>) -> Result<PathBuf, InputError> {
    let named = named.map(|path| path.as_os_str().to_owned());
    if let Some(name) = named.or_else(|| env::var_os("BPF_CLANG").filter(|name| !name.is_empty())) {
        return Ok(PathBuf::from(name));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut newest: Option<(u32, PathBuf)> = None;
    for folder in env::split_paths(&path) {
        let plain = folder.join("clang");
        if plain.is_file() {
            return Ok(plain);
        }
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name: OsString = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix("clang-")?.parse().ok());
            if let Some(version) = version
                && newest.as_ref().is_none_or(|(known, _)| version > *known)
            {
                newest = Some((version, entry.path()));
            }
        }
    }
    newest.map(|(_, path)| path).ok_or_else(|| {
        input_error(
            "no-compiler",
            "a BPF source, but there is no clang; install it, set BPF_CLANG, or name a compiled object",
        )
    })
}

/// An entry of a compilation database (clang's JSON Compilation Database Format).
#[derive(Debug, Deserialize)]
struct Entry {
    directory: PathBuf,
    file: PathBuf,
    command: Option<String>,
    arguments: Option<Vec<String>>,
}

/// What a database says of one source.
#[derive(Debug, PartialEq, Eq)]
struct Flags {
    directory: PathBuf,
    flags: Vec<String>,
}

/// The entry of a source in the nearest `compile_commands.json`, going up, or in a `build` folder beside one.
fn find_database(source: &Path) -> Option<Flags> {
    let source = fs::canonicalize(source).ok()?;
    for folder in source.ancestors().skip(1) {
        for file in [folder.join("compile_commands.json"), folder.join("build/compile_commands.json")] {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let Ok(entries) = serde_json::from_str::<Vec<Entry>>(&text) else { continue };
            let here = |entry: &Entry| {
                // A relative directory is one below the database's, which the format does not rule out.
                fs::canonicalize(folder.join(&entry.directory).join(&entry.file))
                    .is_ok_and(|path| path == source)
            };
            if let Some(entry) = entries.into_iter().find(here) {
                let directory = folder.join(&entry.directory);
                let words = entry.arguments.or_else(|| shlex::split(&entry.command?)).unwrap_or_default();
                return Some(Flags { directory, flags: flags(&words, &entry.file) });
            }
        }
    }
    None
}

/// A command line without the compiler, the file, and what says where the output goes.
fn flags(words: &[String], file: &Path) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-o" | "-MF" | "-MT" | "-MQ" | "-target" => {
                words.next();
            }
            "-c" | "-S" | "-E" | "-emit-llvm" | "-MD" | "-MMD" | "-M" | "-MM" => {}
            word if Path::new(word) == file || word.starts_with("--target=") => {}
            word if word.starts_with("-o") && !word.starts_with("-objc") => {}
            _ => kept.push(word.clone()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_recorded_command_the_flags_stay() {
        let words = shlex::split(
            "clang-18 -target bpf -I inc -isystem '/a b' -DX=1 -MD -MF x.d -c a.bpf.c -o a.bpf.o -O1",
        )
        .unwrap();
        assert_eq!(flags(&words, Path::new("a.bpf.c")), ["-I", "inc", "-isystem", "/a b", "-DX=1", "-O1"]);
    }
}
