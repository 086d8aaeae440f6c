//! Odd names, odd files and odd surroundings.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use scx_lint::Options;
use scx_lint::kernel::{Kernel, snapshot, target};
use scx_lint::report;
use scx_lint::verifier::log as verifier_log;
use serde_json::Value;

use super::tools::{run, scratch, tool};
use super::{objects_in, root};

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
    command.current_dir(folder).env_remove("GITHUB_WORKSPACE").env_remove("CI_PROJECT_DIR");
    command
}

fn scx_lint<S: AsRef<OsStr>>(folder: &Path, arguments: &[S]) -> Output {
    command(folder).args(arguments).output().unwrap()
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn fixture(stem: &str) -> PathBuf {
    root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"))
}

/// A folder with an object that does not attach, `bad.bpf.o`, and one that does.
fn two_objects(name: &str) -> PathBuf {
    let folder = scratch(name);
    fs::copy(fixture("missing-arena__no_arena"), folder.join("bad.bpf.o")).unwrap();
    fs::copy(fixture("good__realistic_cid"), folder.join("good.bpf.o")).unwrap();
    folder
}

#[test]
fn names_that_are_no_utf8_are_linted_like_others() {
    let folder = two_objects("no-utf8");
    let name = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    fs::create_dir(folder.join("sub")).unwrap();
    for (from, place) in [
        ("bad.bpf.o", &b"n\xff\xfe.bpf.o"[..]),
        ("bad.bpf.o", b"sub/\xff.bpf.o"),
        ("good.bpf.o", b"sub/\xfe.bpf.o"),
    ] {
        fs::copy(folder.join(from), folder.join(OsStr::from_bytes(place))).unwrap();
    }
    let format = ["--format", "json"].map(OsString::from);
    let report = |inputs: &[OsString]| -> Value {
        let output = scx_lint(&folder, &[&format[..], inputs].concat());
        assert_eq!(output.status.code(), Some(1), "{}", both(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let paths = |report: &Value| -> Vec<String> {
        let objects = report["objects"].as_array().unwrap().iter();
        objects.map(|object| format!("{} {}", object["path"].as_str().unwrap(), object["error"])).collect()
    };
    let named = report(&[name(b"n\xff\xfe.bpf.o"), name(b"good.bpf.o")]);
    assert_eq!(paths(&named), ["n\u{fffd}\u{fffd}.bpf.o null", "good.bpf.o null"]);
    assert_eq!(named["findings"][0]["rule"], "missing-arena");
    // Two that look alike once they are shown are two.
    let found = report(&[name(b"sub")]);
    assert_eq!(paths(&found), ["sub/\u{fffd}.bpf.o null", "sub/\u{fffd}.bpf.o null"]);
    let inspected = scx_lint(&folder, &[name(b"inspect"), name(b"n\xff\xfe.bpf.o")]);
    assert!(inspected.status.success() && both(&inspected).contains("demo_ops"), "{}", both(&inspected));
    let absent = scx_lint(&folder, &[name(b"\xff"), name(b"bad.bpf.o")]);
    assert_eq!(absent.status.code(), Some(2));
    let text = both(&absent);
    assert!(text.contains("\u{fffd}: error: no such file") && text.contains("missing-arena"), "{text}");
    let Some(clang) = tool("clang-19") else { return };
    let source = folder.join(OsStr::from_bytes(b"-\xff.bpf.c"));
    fs::copy(root().join("fixtures/src/missing-arena__no_arena.bpf.c"), &source).unwrap();
    let include = format!("-I{}", root().join("fixtures/include").display());
    let mut command = command(&folder);
    command.arg("--clang").arg(clang).args([
        "--cflag",
        &include,
        "--cflag",
        "-w",
        "--cflag",
        "-Wno-int-conversion",
    ]);
    let output =
        command.args(["--format", "concise", "--"]).arg(source.file_name().unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(both(&output).contains("error[missing-arena]"), "{}", both(&output));
}

#[test]
fn progress_is_for_terminals_only() {
    let (Some(script), Some(clang)) = (tool("script"), tool("clang-19")) else { return };
    let folder = scratch("progress");
    // A compiler that takes long enough for something to be shown.
    let slow = folder.join("slow");
    fs::write(
        &slow,
        format!("#!/bin/sh\nsleep 1\necho said by the compiler >&2\nexec {} \"$@\"\n", clang.display()),
    )
    .unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    let source = root().join("fixtures/src/missing-arena__no_arena.bpf.c");
    for name in ["a.bpf.c", "b.bpf.c"] {
        fs::copy(&source, folder.join(name)).unwrap();
    }
    let line = format!(
        "{} --clang ./slow --cflag -I{} --cflag -w --cflag -Wno-int-conversion --format concise",
        env!("CARGO_BIN_EXE_scx-lint"),
        root().join("fixtures/include").display()
    );
    // What the terminal sees, and what standard output gets.
    let on_terminal = |more: &str, term: &str| {
        let mut command = Command::new(&script);
        command.current_dir(&folder).env("TERM", term).args(["--quiet", "--return", "--command"]);
        let output =
            command.arg(format!("{line} {more} a.bpf.c b.bpf.c > report")).arg("/dev/null").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", both(&output));
        (both(&output), fs::read_to_string(folder.join("report")).unwrap())
    };
    let (seen, report) = on_terminal("", "xterm");
    assert!(seen.contains("linting 0/2"), "{seen:?}");
    assert_eq!(seen.matches("said by the compiler").count(), 2, "{seen:?}");
    assert!(seen.trim_end().ends_with("\x1b[2K"), "the line is gone in the end: {seen:?}");
    assert!(!report.contains('\x1b') && report.contains("missing-arena"), "{report}");
    for (more, term) in [("--quiet", "xterm"), ("", "dumb")] {
        let (seen, again) = on_terminal(more, term);
        assert!(!seen.contains("linting") && !seen.contains('\x1b'), "{more} {term}: {seen:?}");
        assert!(again.contains("missing-arena"));
    }
    // Off a terminal there is the compiler's own word and nothing else.
    let mut shell = Command::new("sh");
    let output = shell.current_dir(&folder).args(["-c", &format!("{line} a.bpf.c")]).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "said by the compiler\n");
}

#[test]
fn a_full_disk_is_an_error_and_a_reader_that_has_gone_is_none() {
    let folder = two_objects("full-disk");
    let all: [&[&str]; 11] = [
        &["bad.bpf.o"],
        &["--format", "json", "bad.bpf.o"],
        &["--format", "html", "bad.bpf.o"],
        &["inspect", "bad.bpf.o"],
        &["inspect", "--graph", "dot", "bad.bpf.o"],
        &["explain", "EINVAL"],
        &["explain", "missing-arena"],
        &["rules"],
        &["man"],
        &["kernel", "info", "7.3"],
        &["--dump-config", "--kernel", "7.3"],
    ];
    for arguments in all {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(&folder).args(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(both(&output).contains("No space left on device"), "{arguments:?}: {}", both(&output));
        let mut child =
            command(&folder).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap().code();
        assert_eq!(said, "", "{arguments:?}");
        // The answer stands whoever reads it.
        let expected = if arguments.contains(&"bad.bpf.o") && arguments[0] != "inspect" { 1 } else { 0 };
        assert_eq!(status, Some(expected), "{arguments:?}");
    }
    for (output, words) in
        [("/dev/full", "No space left"), ("absent/report", "No such file"), (".", "Is a directory")]
    {
        let output = scx_lint(&folder, &["--output", output, "bad.bpf.o"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(both(&output).contains(words), "{}", both(&output));
    }
}

#[test]
fn a_file_name_is_no_markup_in_any_format() {
    let folder = two_objects("odd-names");
    let odd = "a&<b>\"|\n`x`%::, [l](u)\\$\u{202e}\x1b[31m.bpf.o";
    fs::rename(folder.join("bad.bpf.o"), folder.join(odd)).unwrap();
    let report = |format: &str| {
        let output = scx_lint(&folder, &["--format", format, odd]);
        assert_eq!(output.status.code(), Some(1), "{format}: {}", both(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    for format in ["full", "concise"] {
        let text = report(format);
        assert!(text.contains("|\\n`x`%::, [l](u)\\$\\u{202e}\\u{1b}[31m.bpf.o: "), "{format}: {text}");
    }
    assert!(!report("markdown").contains(['\x1b', '\u{202e}']));
    for format in ["json", "sarif", "gitlab"] {
        let value: Value = serde_json::from_str(&report(format)).unwrap();
        assert!(value.to_string().contains("[l](u)"), "{format}");
    }
    let json: Value = serde_json::from_str(&report("json")).unwrap();
    assert_eq!(json["objects"][0]["path"], odd);
    // A workflow command is a line; the last one counts.
    let text = report("github");
    let (count, commands) =
        text.trim_end().rsplit_once('\n').map(|(commands, count)| (count, commands)).unwrap();
    assert!(count.contains("1 error") && !count.contains("::"), "{count}");
    for line in commands.lines() {
        let is_command = line.starts_with("::error ") || line.starts_with("::notice ");
        // The verdict is a line of the log.
        assert!(is_command || line.starts_with("- a&<b>"), "{line:?}");
    }
    for format in ["junit", "html"] {
        let text = report(format);
        assert!(!text.contains("<b>") && text.contains("a&amp;&lt;b&gt;"), "{format}: {text}");
    }
    let Some(cmark) = tool("cmark-gfm") else { return };
    fs::write(folder.join("report.md"), report("markdown")).unwrap();
    let html =
        run(Command::new(cmark).current_dir(&folder).args(["-e", "table", "--unsafe", "report.md"])).stdout;
    let html = String::from_utf8(html).unwrap();
    assert!(!html.contains("<b>") && !html.contains("href=\"u\""), "{html}");
}

#[test]
fn links_in_circles_end() {
    let folder = two_objects("circles");
    fs::create_dir(folder.join("deep")).unwrap();
    fs::copy(folder.join("bad.bpf.o"), folder.join("deep/bad.bpf.o")).unwrap();
    std::os::unix::fs::symlink("..", folder.join("deep/up")).unwrap();
    std::os::unix::fs::symlink("b", folder.join("a")).unwrap();
    std::os::unix::fs::symlink("a", folder.join("b")).unwrap();
    std::os::unix::fs::symlink("deep", folder.join("linked")).unwrap();
    let report = |input: &str| -> Value {
        serde_json::from_slice(&scx_lint(&folder, &["--format", "json", input]).stdout).unwrap()
    };
    assert_eq!(report("deep")["summary"]["objects"], 1);
    assert_eq!(report(".")["summary"]["objects"], 2, "that in 'deep' is a copy");
    assert_eq!(report("linked")["summary"]["objects"], 1, "a link that is named is followed");
    assert_eq!(report("a")["objects"][0]["error"]["code"], "io");
}

#[test]
fn a_narrow_terminal_gets_a_report_too() {
    let folder = two_objects("narrow");
    for columns in ["1", "0", "nonsense", "40", "-3", "99999999999999999999"] {
        let mut command = command(&folder);
        command.env("COLUMNS", columns).args(["--kernel", "all", "bad.bpf.o", "good.bpf.o"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{columns}: {}", both(&output));
        assert!(both(&output).contains("missing-arena"), "{columns}");
    }
}

#[test]
fn colour_follows_what_is_agreed_on() {
    let folder = two_objects("colours");
    let coloured = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = command(&folder);
        for name in ["NO_COLOR", "CLICOLOR_FORCE", "TERM"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied()).args(arguments).arg("bad.bpf.o");
        String::from_utf8(command.output().unwrap().stdout).unwrap().contains('\x1b')
    };
    assert!(!coloured(&[("TERM", "xterm")], &[]), "standard output is no terminal");
    assert!(coloured(&[("CLICOLOR_FORCE", "1")], &[]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "0")], &[]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &[]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")], &[]), "an empty NO_COLOR does not count");
    assert!(coloured(&[("NO_COLOR", "1")], &["--color", "always"]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1")], &["--color", "never"]));
    let Some(script) = tool("script") else { return };
    let on_terminal = |term: &str| {
        let mut command = Command::new(&script);
        command.current_dir(&folder).env("TERM", term).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        let line = format!("{} bad.bpf.o", env!("CARGO_BIN_EXE_scx-lint"));
        both(&command.args(["--quiet", "--command", &line, "/dev/null"]).output().unwrap()).contains("\x1b[")
    };
    assert!(on_terminal("xterm") && !on_terminal("dumb"));
}

/// Inputs on which a fuzz target found fault once, each named after its target.
#[test]
fn what_fuzzing_found_stays_mended() {
    let targets = target::load("6.12,7.1,7.3").unwrap();
    let kernels: Vec<Kernel<'_>> = targets.iter().map(|target| Kernel::new(target).unwrap()).collect();
    let files = fs::read_dir(root().join("tests/data/crashers")).unwrap();
    let mut count = 0;
    for path in files.map(|entry| entry.unwrap().path()) {
        let data = fs::read(&path).unwrap();
        for kernels in [&[][..], &kernels] {
            let mut document = scx_lint::lint_for("fuzz.bpf.o", &data, kernels, &Options::default());
            for location in document.findings.iter().flat_map(|finding| &finding.locations) {
                assert_ne!(location.line, Some(0), "{}", path.display());
            }
            document.make_printable();
            let style = report::Style { color: false, unicode: true, width: 60 };
            let mut text = Vec::new();
            report::full(&document, &style, &report::Sources::default(), &mut text).unwrap();
            assert!(!String::from_utf8(text).unwrap().contains("18446744073709551615"), "{}", path.display());
            for object in &document.objects {
                assert!(object.error.iter().all(|error| !error.message.contains('\n')), "{}", path.display());
            }
        }
        let text = String::from_utf8_lossy(&data);
        let (program, log) = text.split_once('\n').unwrap_or(("", &text));
        assert_ne!(verifier_log::parse(program, log).line, Some(0), "{}", path.display());
        if let Ok(target) = target::from_file("fuzz", &data)
            && let Ok(kernel) = Kernel::new(&target)
        {
            let kernels = [kernel];
            for object in objects_in(&root().join("fixtures/obj/clang-19")).iter().step_by(40) {
                scx_lint::lint_for("x.bpf.o", &fs::read(object).unwrap(), &kernels, &Options::default());
            }
        }
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn mistakes_on_the_command_line_say_what_was_meant() {
    let folder = two_objects("mistakes-typed");
    fs::write(folder.join("binary"), [0xff, 0xfe, 0]).unwrap();
    fs::write(folder.join("other.json"), "{\"a\": 1}").unwrap();
    let btf = scx_lint::btf::build::Builder::new().finish();
    fs::write(folder.join("cut.btf"), &btf[..btf.len() - 1]).unwrap();
    for (name, version) in [("older", snapshot::VERSION - 1), ("newer", snapshot::VERSION + 1)] {
        let head = [&snapshot::MAGIC[..], &version.to_le_bytes(), &[0; 64]].concat();
        fs::write(folder.join(format!("{name}.snapshot")), head).unwrap();
    }
    fs::write(folder.join("crlf.toml"), "[levels]\r\nmissing-arena = \"allow\"\r\n").unwrap();
    for (arguments, words) in [
        (&["-", "-"][..], "'-' is named more than once"),
        (&[""], "is a variable unset?"),
        (&["bad.bpf.o", "--output", "bad.bpf.o"], "is an input too"),
        (&["bad.bpf.o", "--output", "./bad.bpf.o"], "is an input too"),
        (&["bad.bpf.o", "--baseline", "binary"], "no UTF-8"),
        (&["bad.bpf.o", "--baseline", "other.json"], "no JSON report of scx-lint"),
        (&["bad.bpf.o", "--baseline", "absent"], "No such file"),
        (&["bad.bpf.o", "--baseline", "."], "no regular file"),
        (&["bad.bpf.o", "--config", "absent.toml"], "No such file"),
        (&["bad.bpf.o", "--config", "x", "--no-config"], "cannot be used with"),
        (&["bad.bpf.o", "--quiet", "--verbose"], "cannot be used with"),
        (&["bad.bpf.o", "-A", "missing-aren"], "did you mean 'missing-arena'?"),
        (&["bad.bpf.o", "--level", "missing-arena"], "expected RULE=LEVEL"),
        (&["bad.bpf.o", "--level", "missing-arena=high"], "expected allow, note, warn or deny"),
        (&["bad.bpf.o", "--format", "sraif"], "a similar value exists: 'sarif'"),
        (&["bad.bpf.o", "--kernl", "7.3"], "a similar argument exists: '--kernel'"),
        (&["bad.bpf.o", "--kernel", "7.33"], "built in are 6.12"),
        (&["bad.bpf.o", "--kernel", "7.3-rc1"], "did you mean '7.3'"),
        (&["bad.bpf.o", "--kernel", "6.18.15-amd64"], "did you mean '6.18', its series? built in are 6.12, "),
        (&["bad.bpf.o", "--kernel", "5.15.0-91-generic"], "'host' is this machine's kernel"),
        (&["bad.bpf.o", "--kernel", "cut.btf"], "kernel 'cut.btf': truncated: its header tells of "),
        (&["bad.bpf.o", "--kernel", "older.snapshot"], "an older scx-lint wrote it: take it again"),
        (&["bad.bpf.o", "--kernel", "newer.snapshot"], "a newer scx-lint wrote it: update this one"),
        (&["bad.bpf.o", "--kernel", "7.3,"], "between the commas"),
        (&["bad.bpf.o", "--kernel", "good.bpf.o"], "good.bpf.o"),
        (&["bad.bpf.o", "--kernel", "", "-k", "7.3"], "a kernel is the empty string; is a variable unset?"),
        (&["bad.bpf.o", "--kernel", "6.12.1=7.3"], "'7.3' says its release itself"),
        (&["bad.bpf.o", "--kernel", "mine=cut.btf"], "'mine' is no release, expected RELEASE=FILE"),
        (&["bad.bpf.o", "--kernel", "7.3", "--kconfig", "binary"], "binary"),
        (&["bad.bpf.o", "--kconfig", "binary"], "and none is named; --kernel names one"),
        (&["bad.bpf.o", "--remap-path", "x"], "expected FROM=TO"),
        (&["explain", "missing-aren"], "did you mean 'missing-arena'?"),
        (&["kernel", "snapshot", "all", "-o", "s"], "names several kernels"),
        (&["kernel", "snapshot", "7.3", "-o", "s"], "take the snapshot from the kernel itself"),
    ] {
        let mut command = command(&folder);
        let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", both(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(both(&output).contains(words), "{arguments:?}: {}", both(&output));
    }
    let untouched = fs::read(folder.join("bad.bpf.o")).unwrap();
    assert_eq!(untouched, fs::read(fixture("missing-arena__no_arena")).unwrap());
    assert_eq!(scx_lint(&folder, &["--config", "crlf.toml", "bad.bpf.o"]).status.code(), Some(0));
    // What is said twice is linted twice: its findings are told under both.
    let twice = scx_lint(&folder, &["--format", "json", "bad.bpf.o", "bad.bpf.o"]);
    let twice: Value = serde_json::from_slice(&twice.stdout).unwrap();
    assert_eq!(twice["summary"]["objects"], 2);
}

#[test]
fn many_threads_say_what_one_says() {
    let report = |threads: &str| {
        let mut command = command(&root().join("fixtures/obj"));
        command.env("RAYON_NUM_THREADS", threads).args(["--kernel", "all", "--format", "json", "clang-19"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        output.stdout
    };
    let one = report("1");
    for _ in 0..2 {
        assert!(report("7") == one, "the order depends on threads");
    }
}

/// What a folder holds under the name of an object is told of, whatever it is.
#[test]
fn an_empty_object_in_a_folder_is_told_of() {
    let folder = two_objects("empty-object");
    fs::remove_file(folder.join("bad.bpf.o")).unwrap();
    assert_eq!(scx_lint(&folder, &["."]).status.code(), Some(0));
    fs::write(folder.join("empty.bpf.o"), "").unwrap();
    let output = scx_lint(&folder, &["."]);
    assert_eq!(output.status.code(), Some(2), "{}", both(&output));
    assert!(both(&output).contains("empty.bpf.o"), "{}", both(&output));
}

/// A slip of the shell's completion costs nobody an object or a kernel.
#[test]
fn binaries_are_not_overwritten() {
    let folder = two_objects("overwritten");
    let before = fs::read(folder.join("good.bpf.o")).unwrap();
    fs::hard_link(folder.join("good.bpf.o"), folder.join("link")).unwrap();
    for output in ["good.bpf.o", "link"] {
        let said = scx_lint(&folder, &[OsStr::new("-o"), OsStr::new(output), OsStr::new(".")]);
        assert_eq!(said.status.code(), Some(2), "{}", both(&said));
        assert!(both(&said).contains("overwritten"), "{}", both(&said));
    }
    let btf = scx_lint::btf::build::Builder::new().finish();
    fs::write(folder.join("kernel.btf"), &btf).unwrap();
    let said = scx_lint(&folder, &["kernel", "snapshot", "kernel.btf", "-o", "kernel.btf"]);
    assert_eq!(said.status.code(), Some(2), "{}", both(&said));
    assert!(both(&said).contains("overwritten"), "{}", both(&said));
    assert_eq!(fs::read(folder.join("kernel.btf")).unwrap(), btf);
    assert_eq!(fs::read(folder.join("good.bpf.o")).unwrap(), before);
    // A report and a snapshot are written anew.
    for _ in 0..2 {
        assert_eq!(scx_lint(&folder, &["-o", "report.txt", "good.bpf.o"]).status.code(), Some(0));
        let said = scx_lint(&folder, &["kernel", "snapshot", "kernel.btf", "-o", "new.snapshot"]);
        assert_eq!(said.status.code(), Some(0), "{}", both(&said));
    }
}

/// As ruff's: the diagnostics and nothing else. What is fine is silent.
#[test]
fn quiet_prints_what_fails_the_run_and_nothing_else() {
    let folder = two_objects("quiet");
    fs::copy(fixture("good__realistic_cpu"), folder.join("good.bpf.o")).unwrap();
    let said = |arguments: &[&str]| {
        let output = scx_lint(&folder, &[&["-q"], arguments].concat());
        assert!(output.stderr.is_empty(), "{}", both(&output));
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for format in ["full", "concise", "github"] {
        for kernels in [&[][..], &["--kernel", "7.2,7.3"]] {
            let choice = [&["--format", format], kernels].concat();
            assert_eq!(
                said(&[&choice[..], &["good.bpf.o"]].concat()),
                (Some(0), String::new()),
                "{choice:?}"
            );
            let (status, text) = said(&[&choice[..], &["good.bpf.o", "bad.bpf.o"]].concat());
            assert_eq!(status, Some(1));
            assert!(text.contains("missing-arena") && text.contains("bad.bpf.o"), "{text}");
            for extra in ["good.bpf.o", " in 2 inputs", "does not attach", "scheduler   "] {
                assert!(!text.contains(extra), "{choice:?}: {extra}: {text}");
            }
            let (status, text) = said(&[&choice[..], &["absent.bpf.o"]].concat());
            assert!(status == Some(2) && text.contains("no such file"), "{text}");
        }
    }
    // JSON is for programs, which count on all of it.
    let (status, text) = said(&["--format", "json", "good.bpf.o"]);
    assert!(status == Some(0) && text.contains("\"summary\""), "{text}");
}

#[test]
fn blanks_and_empty_variables_mean_nothing() {
    let folder = two_objects("blanks");
    let said = scx_lint(&folder, &["--kernel", "7.2, 7.3", "good.bpf.o"]);
    assert!(both(&said).contains("7.3"), "{}", both(&said));
    assert_ne!(said.status.code(), Some(2), "{}", both(&said));
    let said = command(&folder).env("BPF_CLANG", "").arg("good.bpf.o").output().unwrap();
    assert_eq!(said.status.code(), Some(0), "{}", both(&said));
    let said = scx_lint(&folder, &["--kernel", "7.3", "--kconfig", "nowhere", "good.bpf.o"]);
    assert!(both(&said).contains("kernel configuration 'nowhere'"), "{}", both(&said));
    // In the configuration file it waits for kernels, and one on the command line finds those of the file.
    fs::write(folder.join("kconfig"), "CONFIG_HZ=1000\n").unwrap();
    fs::write(folder.join("waits.toml"), "kconfig = \"kconfig\"\n").unwrap();
    let said = scx_lint(&folder, &["--config", "waits.toml", "good.bpf.o"]);
    assert_eq!(said.status.code(), Some(0), "{}", both(&said));
    fs::write(folder.join("names.toml"), "kernels = [\"7.3\"]\n").unwrap();
    let said = scx_lint(&folder, &["--config", "names.toml", "--kconfig", "kconfig", "good.bpf.o"]);
    assert_ne!(said.status.code(), Some(2), "{}", both(&said));
}
