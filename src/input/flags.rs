//! The flags of a compiler that only describe a source.
//!
//! What lies beside a source was written by whoever wrote the source. Clang runs code that some flags name (`-fplugin=`, `-Xclang -load`),
//! writes where others say, and reads more flags from `@FILE`. So flags that were found, and not given, are held against lists of those
//! that say what the source means, and the rest is left out. (`Options.td` of clang 19; "Clang Compiler User's Manual".)

use std::path::Path;

/// Flags with a path of a folder for headers, as a word of its own or in the same word.
const FOLDERS: [&str; 4] = ["-isystem", "-iquote", "-idirafter", "-I"];

/// Flags with a value that defines a macro or takes one away.
const MACROS: [&str; 2] = ["-D", "-U"];

/// Flags that stand alone.
const ALONE: [&str; 27] = [
    "-O",
    "-O0",
    "-O1",
    "-O2",
    "-O3",
    "-Os",
    "-Oz",
    "-g",
    "-g1",
    "-g2",
    "-g3",
    "-gdwarf-3",
    "-gdwarf-4",
    "-gdwarf-5",
    "-w",
    "-ansi",
    "-pedantic",
    "-pedantic-errors",
    "-nostdinc",
    "-nostdlibinc",
    "-undef",
    "-pipe",
    "-trigraphs",
    "-malu32",
    "-mlittle-endian",
    "-mbig-endian",
    "-xc",
];

/// Flags that start like this, with any value.
const WITH_VALUE: [&str; 3] = ["-std=", "-mcpu=", "-fdebug-prefix-map="];

/// What may stand behind `-f` or `-fno-`: the language and what the optimizer may take for granted.
const LANGUAGE: [&str; 32] = [
    "addrsig",
    "asm-blocks",
    "asynchronous-unwind-tables",
    "blocks",
    "builtin",
    "common",
    "delete-null-pointer-checks",
    "dollars-in-identifiers",
    "freestanding",
    "gnu-keywords",
    "gnu89-inline",
    "hosted",
    "ident",
    "inline",
    "inline-functions",
    "jump-tables",
    "merge-all-constants",
    "ms-extensions",
    "omit-frame-pointer",
    "pic",
    "PIC",
    "pie",
    "PIE",
    "short-enums",
    "signed-char",
    "stack-protector",
    "standalone-debug",
    "strict-aliasing",
    "strict-overflow",
    "unroll-loops",
    "unsigned-char",
    "wrapv",
];

/// Flags whose value is the next word, among those that are left out.
const TAKE_A_WORD: [&str; 22] = [
    "-Xclang",
    "-Xpreprocessor",
    "-Xlinker",
    "-Xassembler",
    "-Xanalyzer",
    "-mllvm",
    "-include",
    "-imacros",
    "-include-pch",
    "-T",
    "-L",
    "-B",
    "-F",
    "-z",
    "-u",
    "-e",
    "-arch",
    "-dependency-file",
    "--config",
    "-specs",
    "-wrapper",
    "-resource-dir",
];

/// Flags about where the output goes, which is decided here; their value is the next word.
const OUTPUT: [&str; 5] = ["-o", "-MF", "-MT", "-MQ", "-MJ"];

/// Flags about what is made of the source, which is decided here.
const MAKES: [&str; 11] = [
    "-c",
    "-S",
    "-E",
    "-emit-llvm",
    "-MD",
    "-MMD",
    "-M",
    "-MM",
    "-MP",
    "-fcolor-diagnostics",
    "-fno-color-diagnostics",
];

/// Flags that were found beside a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Those that describe it, each in one word, so that no word reads as another flag or as a file of flags.
    pub(crate) kept: Vec<String>,
    /// Those that do more, or may.
    pub(crate) dropped: Vec<String>,
}

/// Takes flags apart. Folders are relative to `folder`; `source` among the words is the source itself.
pub(crate) fn describing(words: &[String], folder: &Path, source: Option<&Path>) -> Found {
    let mut found = Found::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if let Some((flag, value)) = valued(word, &FOLDERS) {
            let Some(value) = value.or_else(|| words.next()) else { break };
            found.kept.push(format!("{flag}{}", folder.join(value).display()));
        } else if let Some((flag, value)) = valued(word, &MACROS) {
            let Some(value) = value.or_else(|| words.next()) else { break };
            found.kept.push(format!("{flag}{value}"));
        } else if OUTPUT.contains(&word) {
            words.next();
        } else if word == "-target" || word == "--target" || word.starts_with("--target=") {
            // Ours is BPF's; a source for another machine does not become one by it.
            let machine = word.strip_prefix("--target=").or_else(|| words.next()).unwrap_or_default();
            if let Some(order) = byte_order(machine) {
                found.kept.push(order.to_owned());
            }
        } else if word == "-x" {
            let language = words.next().unwrap_or_default();
            if language != "c" {
                found.dropped.push(format!("-x {language}"));
            }
        } else if MAKES.contains(&word)
            || source.is_some_and(|source| Path::new(word) == source)
            || (word.starts_with("-o") && !word.starts_with("-objc"))
        {
            // Decided here.
        } else if is_harmless(word) {
            found.kept.push(word.to_owned());
        } else if TAKE_A_WORD.contains(&word) {
            found.dropped.push(format!("{word} {}", words.next().unwrap_or_default()).trim_end().to_owned());
        } else {
            found.dropped.push(word.to_owned());
        }
    }
    found
}

/// A flag and its value, if it has it in the same word.
fn valued<'w>(word: &'w str, flags: &[&'static str]) -> Option<(&'static str, Option<&'w str>)> {
    flags
        .iter()
        .find_map(|&flag| Some((flag, Some(word.strip_prefix(flag)?).filter(|value| !value.is_empty()))))
}

fn is_harmless(word: &str) -> bool {
    let language = word.strip_prefix("-f").map(|name| name.strip_prefix("no-").unwrap_or(name));
    // `-Wp,`, `-Wl,` and `-Wa,` hand on what is behind the comma.
    let warning = word.starts_with("-W") && !word.contains(',');
    ALONE.contains(&word)
        || WITH_VALUE.iter().any(|start| word.starts_with(start))
        || warning
        || language.is_some_and(|name| LANGUAGE.contains(&name) || name.starts_with("builtin-"))
}

/// The flag for the byte order of a BPF target; the usual one needs none.
fn byte_order(machine: &str) -> Option<&'static str> {
    match machine.split('-').next()? {
        "bpfeb" => Some("--target=bpfeb"),
        "bpfel" => Some("--target=bpfel"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(command: &str) -> Found {
        describing(&shlex::split(command).unwrap(), Path::new("/p"), Some(Path::new("a.bpf.c")))
    }

    #[test]
    fn what_describes_a_source_stays() {
        let found = taken(
            "-target bpf -Iinc -I 'a b' -isystem /usr/x -iquoteq -DX=1 -D Y -UZ -std=gnu11 -mcpu=v3 -fno-builtin -fms-extensions \
             -Wall -Wno-unknown-warning-option -g -O1 -MD -MF x.d -c a.bpf.c -o a.bpf.o -oother",
        );
        assert_eq!(
            found.kept,
            [
                "-I/p/inc",
                "-I/p/a b",
                "-isystem/usr/x",
                "-iquote/p/q",
                "-DX=1",
                "-DY",
                "-UZ",
                "-std=gnu11",
                "-mcpu=v3",
                "-fno-builtin",
                "-fms-extensions",
                "-Wall",
                "-Wno-unknown-warning-option",
                "-g",
                "-O1",
            ]
        );
        assert!(found.dropped.is_empty(), "{:?}", found.dropped);
        assert_eq!(taken("--target=bpfeb").kept, ["--target=bpfeb"]);
    }

    #[test]
    fn what_does_more_goes() {
        for flag in [
            "-fplugin=./evil.so",
            "-fplugin-arg-x-y",
            "-fpass-plugin=./evil.so",
            "-Xclang -load",
            "-Xclang -fplugin=x",
            "-mllvm -load=./evil.so",
            "-load",
            "@flags",
            "-Wl,-plugin,x",
            "-Wp,-MD,/etc/x",
            "-include evil.h",
            "-include-pch evil.pch",
            "-fmodule-file=x.pcm",
            "-fmodules",
            "-fprofile-use=x",
            "-ftime-trace=/etc/x",
            "-save-temps",
            "-gsplit-dwarf",
            "-B./bin",
            "-B bin",
            "-ccc-gcc-name x",
            "--config x.cfg",
            "--config=x.cfg",
            "-resource-dir x",
            "-specs x",
            "-wrapper x",
            "-fsanitize-ignorelist=x",
            "-dumpdir x",
            "-fcrash-diagnostics-dir=x",
            "other.c",
        ] {
            let found = taken(&format!("-DA {flag} -DB"));
            assert_eq!(found.kept, ["-DA", "-DB"], "{flag}");
            assert!(!found.dropped.is_empty(), "{flag}");
        }
        // A value never becomes a word of its own.
        assert_eq!(taken("-I @flags").kept, ["-I/p/@flags"]);
        assert_eq!(taken("-D @flags").kept, ["-D@flags"]);
        assert_eq!(taken("-I -fplugin=x").kept, ["-I/p/-fplugin=x"]);
        assert_eq!(taken("-o -fplugin=x -DA").kept, ["-DA"]);
        assert_eq!(taken("-x ir").dropped, ["-x ir"]);
    }
}
