//! The command, as a user meets it.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::{malformed_inputs, root};

fn scx_lint(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
    command.current_dir(root().join("fixtures/src")).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command.env("LANG", "C.UTF-8").env("COLUMNS", "120").args(arguments).output().unwrap()
}

fn object(stem: &str) -> String {
    format!("../obj/clang-19/{stem}.bpf.o")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A folder of this test's own.
fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_good_object_exits_0_and_says_so_in_one_sentence() {
    let output = scx_lint(&[&object("good__realistic_cid")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("nothing in the file keeps it from loading and attaching"));
}

#[test]
fn a_bad_object_exits_1_and_shows_members_and_lines() {
    let output = scx_lint(&[&object("arena-not-always-mapped__plain")]);
    assert_eq!(output.status.code(), Some(1));
    let report = text(&output.stdout);
    for part in [
        "arena-not-always-mapped",
        "sched_ext: arena map requires BPF_F_ARENA_MAP_ALWAYS for cid-form",
        "member 'running' (demo_running) uses arena 'arena'",
        "TOUCH(arena);",
        "arena-not-always-mapped__plain.bpf.c:9:",
        "--arena-rule one",
        "will not attach",
    ] {
        assert!(report.contains(part), "{part:?} is missing from\n{report}");
    }
    // The source is on disk, so the lines around are shown too.
    assert!(report.contains("void OP(demo_running"), "{report}");
    let relaxed = scx_lint(&["--arena-rule", "one", &object("arena-not-always-mapped__plain")]);
    assert_eq!(relaxed.status.code(), Some(0));
}

#[test]
fn the_recorded_line_is_enough() {
    let folder = scratch("no-source");
    let copy = folder.join("copy.bpf.o");
    std::fs::copy(root().join("fixtures/src").join(object("arena-not-always-mapped__plain")), &copy).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_scx-lint")).current_dir(&folder).arg("copy.bpf.o").output().unwrap();
    let report = text(&output.stdout);
    assert!(report.contains("TOUCH(arena);") && report.contains(":9:"), "{report}");
    assert!(!report.contains("void OP(demo_running"), "{report}");
}

#[test]
fn what_is_assumed_is_what_applies() {
    let first = |arguments: &[&str]| {
        let output = scx_lint(&[arguments, &["-v", &object("good__realistic_cpu")]].concat());
        text(&output.stdout).lines().next().unwrap_or_default().to_owned()
    };
    let none = first(&[]);
    assert!(none.contains("libbpf 1.8; no kernel named: an error means"), "{none}");
    let named = first(&["--kernel", "7.3", "--libbpf", "1.7"]);
    assert_eq!(named, "assuming: x86_64 with 4096-byte pages where the kernel does not tell, libbpf 1.7");
}

#[test]
fn concise_is_a_line_per_finding() {
    let output = scx_lint(&["--format", "concise", &object("multiple-arenas__two_members")]);
    let report = text(&output.stdout);
    assert!(
        report.lines().any(|line| line.contains("bpf.c:") && line.contains("error[multiple-arenas]: ")),
        "{report}"
    );
    assert!(report.lines().last().unwrap().starts_with("2 errors"), "{report}");
}

#[test]
fn json_is_written_in_every_case_and_2_wins_over_1() {
    let output = scx_lint(&[
        "--format",
        "json",
        "missing",
        &object("missing-arena__no_arena"),
        &object("good__realistic_cpu"),
    ]);
    assert_eq!(output.status.code(), Some(2));
    let report = json(&output);
    assert_eq!(report["objects"][0]["error"]["code"], "not-found");
    assert_eq!(report["objects"][1]["error"], serde_json::Value::Null);
    assert_eq!(report["findings"][0]["rule"], "missing-arena");
    assert_eq!(report["findings"][0]["object"], 1);
    assert_eq!(report["verdicts"][0]["attach"], "fail");
    assert_eq!(report["verdicts"][0]["open"], "pass");
    assert_eq!(report["summary"]["objects"], 3);
}

#[test]
fn levels_and_exit_codes() {
    let bad = object("missing-arena__no_arena");
    let warned = object("deprecated-op__cpu_release");
    let code = |arguments: &[&str]| scx_lint(arguments).status.code();
    assert_eq!(code(&["-A", "missing-arena", &bad]), Some(0));
    assert_eq!(code(&["-W", "missing-arena", &bad]), Some(0));
    assert_eq!(code(&["--level", "missing-arena=note", &bad]), Some(0));
    assert_eq!(code(&["--exit-zero", &bad]), Some(0));
    assert_eq!(code(&[&warned]), Some(0));
    assert_eq!(code(&["--fail-on", "warning", &warned]), Some(1));
    assert_eq!(code(&["-D", "deprecated-op", &warned]), Some(1));
    // A constant that the file sets to false prunes the cast; one that a loader may set does not.
    let dead = object("cast-without-arena__near_dead");
    assert_eq!(code(&["--fail-on", "undecided", &dead]), Some(0));
    assert_eq!(code(&["--loader", "scx", "--fail-on", "undecided", &dead]), Some(1));
    assert_eq!(code(&["--fail-on", "undecided", &object("good__realistic_cpu")]), Some(0));
    // What is open about the time after the attach does not hide that it attaches.
    let ejected = object("idle-kfunc-without-builtin-idle__node");
    let told = scx_lint(&["--loader", "scx", "--kernel", "6.18,7.3", &ejected]);
    let told = text(&told.stdout);
    assert!(
        told.contains(": nothing found against 6.18, 7.3, but it may not stay enabled: struct_ops 'demo_ops': flags are 0x0"),
        "{told}"
    );
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["--no-such-flag", &bad]), Some(2));
    let unknown = scx_lint(&["-A", "mising-arena", &bad]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("did you mean 'missing-arena'"));
}

#[test]
fn what_is_no_object_gets_one_line_that_says_what_it_is() {
    let folder = scratch("inputs");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = std::fs::read(root().join("fixtures/src").join(object("good__realistic_cpu"))).unwrap();
    let mut narrow = good.clone();
    narrow[4] = 1;
    let mut host = good.clone();
    host[18..20].copy_from_slice(&62u16.to_le_bytes());
    let mut executable = good.clone();
    executable[16] = 2;
    let fifo = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let locked = file("locked.o", &good);
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o0)).unwrap();
    std::fs::create_dir(folder.join("nothing")).unwrap();
    let mut cases = vec![
        (file("empty.o", b""), "empty"),
        (file("text.o", b"int main(void) { return 0; }\n"), "text"),
        (file("noise.o", &[0, 1, 2, 3, 0xff, 0xfe]), "not-elf"),
        (file("bitcode.o", b"BC\xc0\xde\x35\x14\0\0"), "llvm-bitcode"),
        (file("macho.o", b"\xcf\xfa\xed\xfe\x07\0\0\x01"), "mach-o"),
        (file("lib.a", b"!<arch>\nfoo"), "archive"),
        (file("packed.o", b"\x1f\x8b\x08\0"), "compressed"),
        (file("narrow.o", &narrow), "wrong-class"),
        (file("host.o", &host), "host-elf"),
        (file("executable.o", &executable), "not-relocatable"),
        (file("truncated.o", &good[..good.len() / 2]), "truncated"),
        (env!("CARGO_BIN_EXE_scx-lint").to_owned(), "host-elf"),
        (folder.join("nothing").to_str().unwrap().to_owned(), "no-inputs"),
        (folder.join("*.none").to_str().unwrap().to_owned(), "no-inputs"),
        (fifo.to_str().unwrap().to_owned(), "not-a-file"),
        (folder.join("absent").to_str().unwrap().to_owned(), "not-found"),
    ];
    // Root reads everything.
    if std::fs::File::open(&locked).is_err() {
        cases.push((locked, "permission-denied"));
    }
    for (path, code) in cases {
        let output = scx_lint(&["--format", "json", &path]);
        assert_eq!(output.status.code(), Some(2), "{path}");
        assert_eq!(json(&output)["objects"][0]["error"]["code"], code, "{path}");
        let output = scx_lint(&[&path, &object("missing-arena__no_arena")]);
        assert_eq!(output.status.code(), Some(2), "{path}");
        let report = text(&output.stdout);
        assert_eq!(
            report.lines().filter(|line| line.starts_with(&format!("{path}: error: "))).count(),
            1,
            "{report}"
        );
        assert!(report.contains("missing-arena"), "the other input is linted all the same: {report}");
    }
}

#[test]
fn malformed_inputs_get_exactly_the_line_that_their_manifest_says() {
    let rows = malformed_inputs();
    assert!(rows.len() >= 20, "only {} rows", rows.len());
    let folder = root().join("fixtures/malformed");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    let inputs = files.filter(|name| name != "MANIFEST.toml" && name != "README.md").count();
    assert_eq!(inputs, rows.len(), "files and rows of the manifest");
    for row in rows {
        let path = format!("../malformed/{}", row.file);
        let output = scx_lint(&[&path]);
        assert_eq!(output.status.code(), Some(2), "{path}");
        let expected =
            format!("{path}: error: {}\n0 errors, 0 warnings in 1 input, 1 unusable\n", row.message);
        assert_eq!(text(&output.stdout), expected);
        assert_eq!(text(&output.stderr), "");
        let output = scx_lint(&["--format", "json", &path]);
        assert_eq!(output.status.code(), Some(2), "{path}");
        assert_eq!(json(&output)["objects"][0]["error"]["code"], *row.code, "{path}");
        assert_eq!(json(&output)["objects"][0]["error"]["message"], *row.message, "{path}");
    }
}

#[test]
fn standard_input_is_read() {
    let data = std::fs::read(root().join("fixtures/src").join(object("missing-arena__no_arena"))).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_scx-lint"))
        .args(["--format", "json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&data).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["findings"][0]["rule"], "missing-arena");
}

#[test]
fn inspect_shows_members_programs_and_maps() {
    let output = scx_lint(&["inspect", &object("missing-arena__near_timer")]);
    assert_eq!(output.status.code(), Some(0));
    let report = text(&output.stdout);
    let row = report.lines().find(|line| line.trim_start().starts_with("init ")).unwrap();
    assert!(row.contains("demo_init") && row.contains("alarms arena"), "{report}");
    let output = scx_lint(&["inspect", "--format", "json", &object("missing-arena__near_timer")]);
    assert_eq!(json(&output)["objects"][0]["programs"][0]["maps"], serde_json::json!(["alarms", "arena"]));
}

#[test]
fn rules_are_listed_and_explained() {
    let list = text(&scx_lint(&["rules", "--names"]).stdout);
    assert_eq!(list.lines().count(), scx_lint::checks::RULES.len());
    for rule in list.lines() {
        let output = scx_lint(&["explain", rule]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).starts_with(rule));
    }
    assert_eq!(scx_lint(&["explain", "nothing"]).status.code(), Some(2));
}

#[test]
fn colour_follows_the_flag_and_the_environment() {
    let bad = object("missing-arena__no_arena");
    assert!(!text(&scx_lint(&[&bad]).stdout).contains('\x1b'));
    assert!(text(&scx_lint(&["--color", "always", &bad]).stdout).contains('\x1b'));
}
