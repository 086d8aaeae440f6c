//! BPF C sources to objects: clang is found and run as a project's build would.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::error::input_error;
use super::flags::{Found, describing};
use crate::kernel::{Arch, USUAL_ARCH};
use crate::regular;
use crate::report::InputError;

/// How sources are compiled.
#[derive(Debug, Clone, Default)]
pub struct Compiler {
    /// The clang to run; else `$BPF_CLANG`, `clang`, or the newest `clang-NN` in the path.
    pub clang: Option<PathBuf>,
    /// More flags, after all others.
    pub flags: Vec<String>,
    /// Sources that a search of a folder finds are compiled too, not only those that are named.
    pub folders: bool,
    /// What a configuration that was found, and not given, wanted and does not get: why no other clang is looked for, and flags.
    pub refused: Refused,
    /// The machine that the programs are for; the usual one where none is named.
    pub arch: Option<Arch>,
}

/// What is not taken from a configuration that lies above the current folder: whoever put it there is not who runs this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// The clang that it names.
    pub clang: Option<String>,
    /// The flags that it names and that do more than describe a source.
    pub flags: Option<String>,
}

/// What every BPF program needs: types for CO-RE and optimisation (the verifier refuses -O0 code); besides, the architecture
/// that bpf_tracing.h asks for.
const ALWAYS: [&str; 4] = ["--target=bpf", "-g", "-O2", "-mcpu=v3"];

/// Compiles a source and gives the object's bytes, and which flags beside it were left out. The compiler's own messages go to `say`.
///
/// # Errors
/// There is no clang, it cannot be run, or it refuses the source.
pub(super) fn compile(
    source: &Path,
    compiler: &Compiler,
    say: &dyn Fn(&[u8]),
) -> Result<(Vec<u8>, Vec<String>), InputError> {
    if !source.is_file() {
        return Err(input_error("not-found", "no such file"));
    }
    let clang = find_clang(compiler)?;
    let folder = tempfile::tempdir().map_err(|error| io_error(&error))?;
    let object = folder.path().join("source.bpf.o");
    let mut command = Command::new(&clang);
    let mut passed = Vec::new();
    let mut dropped: Vec<String> = compiler.refused.flags.iter().cloned().collect();
    let flags = find_database(source, &mut passed).or_else(|| find_flags(source, &mut passed));
    command.args(ALWAYS);
    command.arg(format!("-D__TARGET_ARCH_{}", compiler.arch.unwrap_or(USUAL_ARCH).target_macro()));
    if let Some(found) = &flags {
        command.args(&found.flags.kept);
        if !found.flags.dropped.is_empty() {
            dropped.push(left_out(&found.file.display().to_string(), &found.flags.dropped));
        }
    }
    match flags.as_ref().and_then(|found| found.directory.as_ref()) {
        Some(directory) => {
            command.current_dir(directory);
            // A path that also means the source from the entry's folder, and from anywhere else.
            command.arg("-c").arg(std::path::absolute(source).map_err(|error| io_error(&error))?);
        }
        None => {
            // Lines are shown with the path as it was typed, not with this machine's. One that starts with a dash is no option, and one
            // that starts with `@` no file of options.
            let start = source.as_os_str().as_encoded_bytes().first();
            let mistaken = matches!(start, Some(b'-' | b'@'));
            let source = if mistaken { Path::new(".").join(source) } else { source.to_owned() };
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
        let said = uncoloured(&String::from_utf8_lossy(&output.stderr));
        let first = said.lines().find(|line| line.contains("error:"));
        let first = first.map_or_else(|| status.to_string(), |line| line.trim().to_owned());
        let from = flags.as_ref().map_or("", |found| found.origin);
        let mut message = format!("{} refuses the source: {first}{}", clang.display(), remedy(&said, from));
        for why in passed {
            message.push_str("; passed over: ");
            message.push_str(&why);
        }
        for why in dropped {
            message.push_str("; ");
            message.push_str(&why);
        }
        return Err(input_error("does-not-compile", &message));
    }
    let bytes = fs::read(&object).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let message = format!("{} succeeded and wrote no object; is it a clang?", clang.display());
            input_error("no-compiler", &message)
        }
        _ => io_error(&error),
    })?;
    Ok((bytes, dropped))
}

/// What is said of flags that a file names and that are not taken from it.
pub(crate) fn left_out(file: &str, flags: &[String]) -> String {
    format!(
        "flags of {file} left out, as they do more than describe a source: {} (--cflag gives one)",
        flags.join(" ")
    )
}

/// What to do about a source that clang refuses, by what it said. Other errors in a source are its author's.
fn remedy(said: &str, origin: &str) -> String {
    let from = match origin {
        "" => String::new(),
        file => format!(" (with the flags of {file})"),
    };
    let more = if said.contains("file not found") {
        "; give include paths with --cflag -I... or the [clang] table of scx-lint.toml"
    } else if said.contains("unknown target") || said.contains("unable to create target") {
        "; name a clang that knows BPF with --clang or BPF_CLANG"
    } else {
        ""
    };
    from + more
}

/// Without the escape sequences that set colours and clear lines (`ESC [ ... letter`).
fn uncoloured(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

fn io_error(error: &std::io::Error) -> InputError {
    input_error("io", &error.to_string())
}

/// The clang to run.
fn find_clang(compiler: &Compiler) -> Result<PathBuf, InputError> {
    let named = compiler.clang.as_ref().map(|path| path.as_os_str().to_owned());
    if let Some(name) = named.or_else(|| env::var_os("BPF_CLANG").filter(|name| !name.is_empty())) {
        let path = PathBuf::from(name);
        // Clang may be run in another folder, where a path from here would lead to somebody else's program.
        let is_path = path.components().count() > 1;
        return if is_path { std::path::absolute(path).map_err(|error| io_error(&error)) } else { Ok(path) };
    }
    if let Some(why) = &compiler.refused.clang {
        return Err(input_error("no-compiler", why));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut newest: Option<(u32, PathBuf)> = None;
    for folder in env::split_paths(&path).filter(|folder| folder.is_absolute()) {
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

/// What a project's files say of one source.
#[derive(Debug, PartialEq, Eq)]
struct Flags {
    /// Name of the file that says so.
    origin: &'static str,
    /// The file.
    file: PathBuf,
    /// Where clang is to be run; `None` for where we are.
    directory: Option<PathBuf>,
    flags: Found,
}

/// The entry of a source in the nearest `compile_commands.json`, going up, or in a `build` folder beside one.
/// Those that are no use are told in `passed`.
fn find_database(source: &Path, passed: &mut Vec<String>) -> Option<Flags> {
    let source = fs::canonicalize(source).ok()?;
    for folder in source.ancestors().skip(1) {
        for file in [folder.join("compile_commands.json"), folder.join("build/compile_commands.json")] {
            let Some(text) = read_if_there(&file, passed) else { continue };
            let entries = match serde_json::from_str::<Vec<Entry>>(&text) {
                Ok(entries) => entries,
                Err(error) => {
                    passed.push(format!("{}: {error}", file.display()));
                    continue;
                }
            };
            let here = |entry: &Entry| {
                // A relative directory is one below the database's, which the format does not rule out.
                fs::canonicalize(folder.join(&entry.directory).join(&entry.file))
                    .is_ok_and(|path| path == source)
            };
            if let Some(entry) = entries.into_iter().find(here) {
                let directory = folder.join(&entry.directory);
                let words = entry.arguments.or_else(|| shlex::split(&entry.command?)).unwrap_or_default();
                // The first is the compiler.
                let flags = describing(words.get(1..).unwrap_or_default(), &directory, Some(&entry.file));
                return Some(Flags {
                    origin: "compile_commands.json",
                    file,
                    directory: Some(directory),
                    flags,
                });
            }
        }
    }
    None
}

/// The nearest `compile_flags.txt`, going up: a flag a line, for all sources below, with paths relative to the file (clang's tools read
/// it where there is no compilation database).
fn find_flags(source: &Path, passed: &mut Vec<String>) -> Option<Flags> {
    let source = fs::canonicalize(source).ok()?;
    let mut read = |folder: &Path| {
        let file = folder.join("compile_flags.txt");
        Some((folder.to_owned(), read_if_there(&file, passed)?, file))
    };
    let (folder, text, file) = source.ancestors().skip(1).find_map(&mut read)?;
    let words: Vec<String> =
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    Some(Flags {
        origin: "compile_flags.txt",
        file,
        directory: None,
        flags: describing(&words, &folder, None),
    })
}

/// Largest file of flags, bytes; the database of a whole kernel has a few million.
const MAX_FLAGS: u64 = 256 << 20;

/// The text of a file that need not be there; why it cannot be read goes to `passed`.
fn read_if_there(file: &Path, passed: &mut Vec<String>) -> Option<String> {
    match regular::read_text(file, MAX_FLAGS) {
        Ok(text) => Some(text),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                passed.push(format!("{}: {error}", file.display()));
            }
            None
        }
    }
}

/// Include paths of flags, relative to a folder.
pub(crate) fn relative_to(folder: &Path, flags: &[String]) -> Vec<String> {
    const BEFORE_A_PATH: [&str; 6] = ["-I", "-isystem", "-iquote", "-idirafter", "-include", "-imacros"];
    let mut out = Vec::new();
    let mut path_follows = false;
    for flag in flags {
        let join = |path: &str| folder.join(path).display().to_string();
        out.push(match flag.strip_prefix("-I") {
            _ if path_follows => join(flag),
            Some(path) if !path.is_empty() => format!("-I{}", join(path)),
            _ => flag.clone(),
        });
        path_follows = BEFORE_A_PATH.contains(&flag.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn include_paths_are_relative_to_the_file() {
        let flags = ["-Iinc", "-I", "a b", "-isystem", "/usr/x", "-DX", "-include", "v.h", "-O2"];
        let flags: Vec<String> = flags.map(str::to_owned).to_vec();
        assert_eq!(
            relative_to(Path::new("/p"), &flags),
            ["-I/p/inc", "-I", "/p/a b", "-isystem", "/usr/x", "-DX", "-include", "/p/v.h", "-O2"]
        );
    }

    #[test]
    fn colours_are_taken_off() {
        let coloured = "\x1b[1ma.c:1:8: \x1b[0m\x1b[0;1;31merror: \x1b[0m\x1b[1mexpected\x1b[0m\n\x1b";
        assert_eq!(uncoloured(coloured), "a.c:1:8: error: expected\n");
    }
}
