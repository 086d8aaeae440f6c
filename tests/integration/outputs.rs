//! Reports and snapshots that are written to files, and what reports must not do to who reads them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::root;
use super::tools::{run, scratch, skipped};

const GOOD: &str = "good__realistic_cpu";

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
    command.current_dir(folder).env("COLUMNS", "60").args(arguments);
    command
}

fn scx_lint(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn fixture(stem: &str) -> PathBuf {
    root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A BTF that is small enough to be written by hand: `int`, little endian.
fn raw_btf() -> Vec<u8> {
    let mut btf = vec![0x9f, 0xeb, 1, 0];
    let (types, strings): ([u32; 4], &[u8]) = ([1, 1 << 24, 4, 1 << 24 | 32], b"\0int\0");
    for word in [24, 0, 16, 16, strings.len() as u32].into_iter().chain(types) {
        btf.extend(word.to_le_bytes());
    }
    btf.extend(strings);
    btf
}

/// Both commands that write a file, with their arguments up to its name.
fn writers(folder: &Path) -> [Vec<String>; 2] {
    fs::write(folder.join("kernel.btf"), raw_btf()).unwrap();
    let object = fixture(GOOD).display().to_string();
    let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    [own(&["--format", "html", &object, "-o"]), own(&["kernel", "snapshot", "kernel.btf", "-o"])]
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let folder = scratch("full-disk");
    for words in writers(&folder) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let to = |file: &str| scx_lint(&folder, &[&words[..], &[file]].concat());
        let made = to("made");
        assert_eq!(made.status.code(), Some(0), "{}", text(&made));
        let whole = fs::read(folder.join("made")).unwrap();
        assert!(!whole.is_empty());
        // No file may grow, as on a full disk; the signal for it is ignored, so that the write fails.
        fs::write(folder.join("kept"), "a former one").unwrap();
        let script = format!("trap '' XFSZ; ulimit -f 0; exec '{}' \"$@\"", env!("CARGO_BIN_EXE_scx-lint"));
        let mut shell = Command::new("sh");
        shell.current_dir(&folder).args(["-c", &script, "sh"]).args(&words).arg("kept");
        let output = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert_eq!(fs::read(folder.join("kept")).unwrap(), b"a former one");
        // What is no file has nothing to keep.
        let output = to("/dev/full");
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output).contains("/dev/full: No space left on device"), "{}", text(&output));
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains(".tmp")), "{left:?}");
        on_a_small_disk(&folder, &words);
        fs::remove_file(folder.join("made")).unwrap();
    }
}

/// A file system of one page, where this test may mount one.
fn on_a_small_disk(folder: &Path, words: &[&str]) {
    let disk = folder.join("disk");
    fs::create_dir_all(&disk).unwrap();
    let script = "mount -t tmpfs -o size=4k none disk 2>/dev/null || exit 77
        printf 'a former one' > disk/kept; scx_lint=$1; shift
        \"$scx_lint\" \"$@\" disk/kept; status=$?
        cat disk/kept; ls -A disk >&2; umount disk; exit $status";
    let mut shell = Command::new("unshare");
    shell.current_dir(folder).args(["--mount", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_scx-lint")]);
    let output = match shell.args(words).output() {
        Ok(output) if matches!(output.status.code(), Some(0 | 2)) => output,
        _ => {
            return skipped(
                "no file system may be mounted here: a full disk is told by the limit of a file's size alone",
            );
        }
    };
    // The snapshot fits beside the former one's page, or does not; the report does not.
    if output.status.code() == Some(2) {
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("a former one"), "{}", text(&output));
    }
    assert!(!String::from_utf8_lossy(&output.stderr).contains(".tmp"), "{}", text(&output));
}

#[test]
fn links_modes_and_pipes_stay_what_they_are() {
    let folder = scratch("output-kinds");
    for words in writers(&folder) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let write = |file: &str| {
            let output = scx_lint(&folder, &[&words[..], &[file]].concat());
            assert_eq!(output.status.code(), Some(0), "{file}: {}", text(&output));
            output
        };
        write("whole");
        let whole = fs::read(folder.join("whole")).unwrap();
        fs::create_dir_all(folder.join("deep")).unwrap();
        fs::write(folder.join("deep/file"), "old").unwrap();
        fs::set_permissions(folder.join("deep/file"), fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("deep/file", folder.join("link")).unwrap();
        write("link");
        assert_eq!(fs::read(folder.join("deep/file")).unwrap(), whole);
        assert_eq!(fs::metadata(folder.join("deep/file")).unwrap().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(folder.join("link")).unwrap().is_symlink());
        assert!(write("/dev/stdout").stdout.starts_with(&whole));
        // Into a file that the shell has open.
        let shell = format!("'{}' \"$@\" /dev/stdout > redirected", env!("CARGO_BIN_EXE_scx-lint"));
        run(Command::new("sh").current_dir(&folder).args(["-c", &shell, "sh"]).args(&words));
        assert_eq!(fs::read(folder.join("redirected")).unwrap(), whole);
        run(Command::new("mkfifo").current_dir(&folder).arg("pipe"));
        let mut child =
            command(&folder, &[&words[..], &["pipe"]].concat()).stderr(Stdio::null()).spawn().unwrap();
        let mut read = Vec::new();
        fs::File::open(folder.join("pipe")).unwrap().read_to_end(&mut read).unwrap();
        assert!(child.wait().unwrap().success() && read == whole);
        fs::remove_dir_all(folder.join("deep")).unwrap();
        ["link", "pipe", "whole"].iter().for_each(|name| fs::remove_file(folder.join(name)).unwrap());
    }
}

const FORMATS: [&str; 9] =
    ["full", "concise", "json", "sarif", "github", "gitlab", "junit", "markdown", "html"];

/// What a runner of GitHub Actions takes for a command: the words behind `::` or `##[`.
fn commands(text: &str) -> Vec<String> {
    let lines = text.split(['\n', '\r']).map(str::trim);
    let word = |rest: &str| rest.split([' ', ':', ']']).next().unwrap_or_default().to_owned();
    lines
        .filter_map(|line| {
            line.strip_prefix("::").or_else(|| line.split_once("##[").map(|(_, rest)| rest)).map(word)
        })
        .collect()
}

/// Replaces every place of a name by one of the same length.
fn renamed(data: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut count = 0;
    for at in 0..data.len().saturating_sub(from.len()) {
        if data[at..].starts_with(from.as_bytes()) {
            data[at..at + to.len()].copy_from_slice(to.as_bytes());
            count += 1;
        }
    }
    assert!(count > 0, "{from}");
}

/// An object whose names, recorded path and lines do what they can to a terminal and to a runner.
fn hostile(folder: &Path) -> [&'static str; 2] {
    let mut data = fs::read(fixture("multiple-arenas__two_members")).unwrap();
    let source = "./multiple-arenas__two_members.bpf.c";
    let path = format!("{:x<1$}", "::error file=x::\u{1b}[31m\u{7}##[error]", source.len());
    renamed(&mut data, source, &path);
    renamed(&mut data, "demo_running", "a ::error::b");
    renamed(&mut data, "demo_ops\0", "\u{1b}]0;x\u{7}##\0");
    let names = ["::error file=a,line=1::owned.bpf.o", "\u{1b}[2Jx ##[error]\u{7}.bpf.o"];
    names.iter().for_each(|name| fs::write(folder.join(name), &data).unwrap());
    names
}

#[test]
fn no_report_commands_a_runner_or_a_terminal() {
    let folder = scratch("hostile-names");
    let names = hostile(&folder);
    fs::write(folder.join("::error::absent"), "no object").unwrap();
    let mut arguments = vec!["--kernel", "7.2,7.3"];
    arguments.extend(names);
    arguments.extend(["::error::absent", "./##[error]nothing"]);
    let check = |text: &str, what: &str, ours: &[&str]| {
        let raw = text.chars().find(|&c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(raw, None, "{what}: {text:?}");
        let found = commands(text);
        assert!(found.iter().all(|word| ours.contains(&&**word)), "{what}: {found:?}\n{text}");
    };
    for format in FORMATS {
        let output = scx_lint(&folder, &[&["--format", format], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{format}: {}", text(&output));
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(out.contains("owned") && out.contains("absent"), "{format}: {out}");
        let ours: &[&str] =
            if format == "github" { &["error", "warning", "notice", "group", "endgroup"] } else { &[] };
        check(&out, format, ours);
        if format == "github" {
            // Each is one that we wrote: the hostile ones are no file, line and title of ours.
            for line in out.lines().filter(|line| line.starts_with("::error")) {
                assert!(line.starts_with("::error file=") || line.starts_with("::error title="), "{line}");
                assert!(
                    !line.starts_with("::error file=x::") && !line.starts_with("::error file=a,line=1::"),
                    "{line}"
                );
            }
        }
        if let "json" | "sarif" | "gitlab" = format {
            let value: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert!(value.to_string().contains("##[error]"), "the reader of {format} gets the name as it is");
        }
    }
    for more in [&["-v", "--format", "full"][..], &["--color", "never"], &["--format", "concise", "-v"]] {
        let output = scx_lint(&folder, &[more, &arguments[..]].concat());
        check(&text(&output), &format!("{more:?}"), &[]);
    }
    for more in [
        &["inspect"][..],
        &["inspect", "--format", "json"],
        &["inspect", "--graph", "dot"],
        &["inspect", "--graph", "mermaid"],
    ] {
        for name in names {
            check(&text(&scx_lint(&folder, &[more, &[name]].concat())), &format!("{more:?}"), &[]);
        }
    }
    // Failures quote what was typed and what files say.
    fs::write(folder.join("::error::x.toml"), "\u{1b}[31m ::error::y = 1\n##[error]z").unwrap();
    for words in [
        &["--config", "::error::x.toml", "x"][..],
        &["--kernel", "\u{1b}::error::", "x"],
        &["-D", "##[error]x", "x"],
        &["kernel", "info", "\u{1b}##[error]./x"],
    ] {
        let output = scx_lint(&folder, words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        check(&text(&output), &format!("{words:?}"), &[]);
    }
    fs::write(folder.join("::error::\u{1b}k.btf"), raw_btf()).unwrap();
    for format in ["full", "json"] {
        let output = scx_lint(&folder, &["kernel", "info", "--format", format, "::error::\u{1b}k.btf"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        check(&text(&output), format, &[]);
    }
}

/// A line of a source on disk is as little ours as one that an object records.
#[test]
fn lines_around_a_finding_are_printed_safely() {
    let folder = scratch("hostile-source");
    let source =
        fs::read_to_string(root().join("fixtures/src/arena-not-always-mapped__plain.bpf.c")).unwrap();
    let line = source.lines().nth(7).unwrap();
    let evil = source.replace(&format!("{line}\n"), &format!("{line} // \u{1b}[31m ##[error]x \u{7}\n"));
    assert_ne!(source, evil);
    fs::write(folder.join("arena-not-always-mapped__plain.bpf.c"), evil).unwrap();
    fs::copy(fixture("arena-not-always-mapped__plain"), folder.join("s.bpf.o")).unwrap();
    for format in ["full", "html"] {
        let out = text(&scx_lint(&folder, &["--format", format, "s.bpf.o"]));
        assert!(out.contains("\\u{1b}[31m"), "the line is shown: {out}");
        assert!(!out.contains(['\u{1b}', '\u{7}']) && commands(&out).is_empty(), "{out}");
    }
}

/// As large as a sparse file may be, and never read.
#[test]
fn large_files_and_streams_are_refused_at_the_limit() {
    let folder = scratch("large");
    let sparse = |name: &str, head: &[u8]| {
        let mut file = fs::File::create(folder.join(name)).unwrap();
        file.write_all(head).unwrap();
        file.set_len(4 << 30).unwrap();
    };
    sparse("zeros", b"");
    sparse("elf", b"\x7fELF\x02\x01\x01");
    sparse("btf", &[0x9f, 0xeb, 1, 0]);
    let object = fixture(GOOD).display().to_string();
    // In a quarter of a gigabyte of memory.
    let limited = |arguments: &[&str], input: &str| {
        let script = format!("ulimit -v 1500000; {input} '{}' \"$@\"", env!("CARGO_BIN_EXE_scx-lint"));
        let mut shell = Command::new("sh");
        shell.current_dir(&folder).env("RAYON_NUM_THREADS", "2").args(["-c", &script, "sh"]).args(arguments);
        shell.output().unwrap()
    };
    for (arguments, words) in [
        (&["--kernel", "zeros", &*object][..], "not a kernel: nothing but zero bytes"),
        (&["--kernel", "elf", &object], "kernel 'elf': is larger than 1 GiB, which no kernel needs"),
        (&["--kernel", "btf", &object], "kernel 'btf': is larger than 1 GiB"),
        (&["--kernel", "7.3", "--kconfig", "zeros", &object], "is larger than 16 MiB"),
        (&["elf"], "is larger than 1 GiB, which no BPF object is"),
    ] {
        let output = limited(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(words), "{arguments:?}: {}", text(&output));
    }
    let output = limited(&["-"], "cat elf |");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("is larger than 128 MiB, which no BPF object is"), "{}", text(&output));
}

#[test]
fn a_configuration_may_be_all_off() {
    let folder = scratch("all-off");
    let ask = |config: &str| {
        fs::write(folder.join("config"), config).unwrap();
        scx_lint(&folder, &["--kernel", "7.3", "--kconfig", "config", fixture(GOOD).to_str().unwrap()])
    };
    assert_eq!(
        ask("#\n# Automatically generated\n#\n# CONFIG_PREEMPT_RT is not set\n").status.code(),
        Some(0)
    );
    for config in ["", "# CONFIG is what this is not\n", "# nothing is not set\n"] {
        assert!(text(&ask(config)).contains("holds no kernel configuration"), "{config}");
    }
}
