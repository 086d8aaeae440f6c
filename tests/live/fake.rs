//! A QEMU that boots nothing: this program under QEMU's name, first in the path. It says over the line what a guest could
//! say, so that guests that hang and results that no real scheduler gives on demand can be had in no time.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use quick_xml::events::Event;
use scx_lint::live::observation::{AttachSeen, ExitSeen, Failure, Observation, PhaseSeen, ProgramSeen, code};
use scx_lint::live::wire::{self, Frame};
use scx_lint::rule::Phase;
use scx_lint::verifier::log::Diagnostic;
use serde_json::Value;

use super::outcomes::tempfile_folder;
use super::{check, fixture};

/// Names what the guest does.
const PLAY: &str = "SCX_LINT_FAKE_GUEST";

/// QEMU's part, if this process was started under its name.
pub fn role() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    if !std::path::Path::new(&name).ends_with("qemu-system-x86_64") {
        return None;
    }
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--version") {
        return Some(ExitCode::SUCCESS);
    }
    let descriptor = arguments.iter().find_map(|argument| argument.strip_prefix("socket,id=line,fd="))?;
    let mut line = socket(descriptor).ok()?;
    play(&std::env::var(PLAY).unwrap_or_default(), &mut line);
    Some(ExitCode::SUCCESS)
}

/// The open socket of that number, by way of a child that writes to it: Rust opens a number in unsafe code only.
fn socket(descriptor: &str) -> std::io::Result<File> {
    use std::process::Stdio;
    let child =
        Command::new("sh").args(["-c", &format!("exec cat >&{descriptor}")]).stdin(Stdio::piped()).spawn()?;
    let input = child.stdin.ok_or_else(|| std::io::Error::other("no pipe"))?;
    Ok(File::from(std::os::fd::OwnedFd::from(input)))
}

fn phase(phase: Phase, ok: bool) -> PhaseSeen {
    PhaseSeen { phase, ok, ..PhaseSeen::default() }
}

fn loaded() -> Observation {
    let program = ProgramSeen { name: "demo_running".to_owned(), ..ProgramSeen::default() };
    Observation {
        phases: vec![phase(Phase::Open, true), phase(Phase::Load, true)],
        programs: vec![program],
        ..Observation::default()
    }
}

/// A name that is markup in every format.
const HOSTILE: &str = "<b>|`]\r\n:,%\"\u{1b}[31m";

fn play(what: &str, line: &mut File) {
    let mut say = |frame: &Frame| {
        let _ = wire::send(line, frame);
    };
    let hang = || std::thread::sleep(Duration::from_secs(600));
    if what == "dead" {
        return hang();
    }
    say(&Frame::Hello { release: "9.9.9-fake".to_owned() });
    let done = |observation: Observation| Frame::Done { observation: Box::new(observation) };
    match what {
        "hang" => {
            say(&Frame::Doing { observation: Box::new(loaded()), step: "attach 'demo_ops'".to_owned() });
            hang();
        }
        "verifier" => {
            let mut seen = loaded();
            seen.programs.clear();
            seen.phases[1] = PhaseSeen {
                errno: Some("EACCES".to_owned()),
                program: Some("demo_running".to_owned()),
                diagnostic: Some(Diagnostic {
                    message: "R1 invalid mem access 'scalar'".to_owned(),
                    program: "demo_running".to_owned(),
                    file: Some("sched.bpf.c".to_owned()),
                    line: Some(42),
                    column: Some(7),
                    text: Some("\treturn task->pid;".to_owned()),
                    ..Diagnostic::default()
                }),
                ..phase(Phase::Load, false)
            };
            say(&done(seen));
        }
        "ejected" => {
            let exit = ExitSeen {
                reason: "runtime error".to_owned(),
                message: format!("invalid DSQ ID {HOSTILE}"),
                source: "kernel log".to_owned(),
                ..ExitSeen::default()
            };
            let attach = AttachSeen {
                map: "demo_ops".to_owned(),
                call_ok: true,
                enabled: true,
                ejected: true,
                exit: Some(exit),
                ..AttachSeen::default()
            };
            say(&done(Observation { attach: vec![attach], ..loaded() }));
        }
        "unasked" => {
            let failure = Failure::new(code::BUSY, format!("another scheduler ('{HOSTILE}') is enabled"));
            say(&done(Observation { failure: Some(failure), ..Observation::default() }));
        }
        _ => {
            let attach = AttachSeen {
                map: "demo_ops".to_owned(),
                ok: true,
                call_ok: true,
                enabled: true,
                held_ms: 3000,
                ..AttachSeen::default()
            };
            say(&done(Observation { attach: vec![attach], ..loaded() }));
        }
    }
    say(&Frame::Bye);
    // The line must be read to its end before the machine is off.
    let _ = line.flush();
    std::thread::sleep(Duration::from_millis(500));
}

/// Tests with this machine that is none.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("a_guest_that_hangs_is_a_result", hangs),
        Trial::test("a_guest_that_never_speaks_is_a_result", never_speaks),
        Trial::test("every_format_shows_what_fails_the_run", formats),
        Trial::test("options_without_a_kernel_to_ask_are_refused", strays),
    ]
}

/// scx-lint with this program as QEMU.
fn run(what: &str, arguments: &[&str]) -> Result<Output, Failed> {
    let folder = tempfile_folder()?.join("fake");
    std::fs::create_dir_all(&folder)?;
    let fake = folder.join("qemu-system-x86_64");
    if let Err(error) = std::os::unix::fs::symlink(std::env::current_exe()?, &fake)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(error.into());
    }
    let image = folder.join("vmlinuz-fake");
    let mut head = vec![0; 0x400];
    head[0x202..0x206].copy_from_slice(b"HdrS");
    std::fs::write(&image, head)?;
    let path = std::env::join_paths(
        [folder].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    Ok(Command::new(env!("CARGO_BIN_EXE_scx-lint"))
        .arg("--vm")
        .arg(&image)
        .args(["--vm-accel", "tcg"])
        .args(arguments)
        .env("PATH", path)
        .env(PLAY, what)
        .output()?)
}

fn object() -> PathBuf {
    fixture("live__good")
}

fn hangs() -> Result<(), Failed> {
    let start = Instant::now();
    let object = object().display().to_string();
    let output = run("hang", &["--timeout", "1s", "--format", "json", &object])?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let failure = &report["live"][0]["failure"];
    check(output.status.code() == Some(1) && failure["code"] == code::HANG, || report.to_string())?;
    check(failure["during"] == "attach 'demo_ops'", || report.to_string())?;
    check(start.elapsed() < Duration::from_secs(120), || format!("{:?}", start.elapsed()))
}

fn never_speaks() -> Result<(), Failed> {
    let object = object().display().to_string();
    let output = run("dead", &["--format", "json", &object])?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let failure = &report["live"][0]["failure"];
    check(output.status.code() == Some(1) && failure["code"] == code::NO_BOOT, || report.to_string())
}

/// `live` of a run by itself does not show in these formats: its failures are there as findings.
fn formats() -> Result<(), Failed> {
    let object = object().display().to_string();
    for (play, status, word, at) in [
        ("verifier", 1, "invalid mem access", Some("42")),
        ("ejected", 1, "invalid DSQ ID", None),
        ("unasked", 2, "another scheduler", None),
        ("passed", 0, "", None),
    ] {
        for format in ["sarif", "github", "gitlab", "junit", "markdown", "html", "concise", "full", "json"] {
            let output = run(play, &["--format", format, &object])?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let all = || format!("{play} as {format}: {}\n{text}", output.status);
            check(output.status.code() == Some(status), all)?;
            check(text.contains(word), all)?;
            check(at.is_none_or(|at| format == "concise" || text.contains(at)), all)?;
            // JSON writes it as \u001b.
            check(!text.contains('\u{1b}'), all)?;
            let failed = status == 1;
            match format {
                "sarif" => sarif(&text, play)?,
                "github" => {
                    let errors = text.lines().filter(|line| line.starts_with("::error ")).count();
                    check(errors == usize::from(status > 0), all)?;
                }
                "gitlab" => {
                    let issues: Value = serde_json::from_str(&text)?;
                    let issues = issues.as_array().ok_or("no array")?;
                    let severe = ["critical", "blocker"];
                    let severe = |issue: &&Value| severe.iter().any(|word| issue["severity"] == *word);
                    check(issues.iter().filter(severe).count() == usize::from(status > 0), all)?;
                }
                "junit" => {
                    let count = elements(&text, "failure")?;
                    check(count == usize::from(failed), all)?;
                    check(elements(&text, "error")? == usize::from(status == 2), all)?;
                    check(elements(&text, "testcase")? == 2, all)?;
                }
                "markdown" => {
                    let signs = ["✅ passed", "❌ failed", "⚠️ not asked"];
                    let index = usize::try_from(status)?;
                    check(text.contains(signs[index]), all)?;
                    check(text.contains("**error**") == failed, all)?;
                }
                "html" => {
                    check(!text.contains("<b>|"), all)?;
                    check(text.contains("class=\"finding error\"") == failed, all)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn sarif(text: &str, play: &str) -> Result<(), Failed> {
    let log: Value = serde_json::from_str(text)?;
    let schema: Value = serde_json::from_str(include_str!("../data/sarif-schema-2.1.0.json"))?;
    let problems: Vec<String> =
        jsonschema::validator_for(&schema)?.iter_errors(&log).map(|error| error.to_string()).collect();
    check(problems.is_empty(), || problems.join("\n"))?;
    let run = &log["runs"][0];
    let results = run["results"].as_array().ok_or("no results")?;
    let errors: Vec<&Value> = results.iter().filter(|result| result["level"] == "error").collect();
    let failed = matches!(play, "verifier" | "ejected");
    check(errors.len() == usize::from(failed), || text.to_owned())?;
    for result in errors {
        let index = usize::try_from(result["ruleIndex"].as_u64().ok_or("no index")?)?;
        check(run["tool"]["driver"]["rules"][index]["id"] == "live-failure", || text.to_owned())?;
        if play == "verifier" {
            let place = &result["locations"][0]["physicalLocation"];
            let uri = place["artifactLocation"]["uri"].as_str().unwrap_or_default();
            check(uri.ends_with("sched.bpf.c") && place["region"]["startLine"] == 42, || text.to_owned())?;
        }
    }
    check(run["invocations"][0]["executionSuccessful"] == (play != "unasked"), || text.to_owned())
}

/// How many elements of a name an XML text has; it must be well-formed.
fn elements(text: &str, name: &str) -> Result<usize, Failed> {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut count = 0;
    loop {
        match reader.read_event()? {
            Event::Start(element) | Event::Empty(element) => {
                count += usize::from(element.name().as_ref() == name);
            }
            Event::Eof => return Ok(count),
            _ => {}
        }
    }
}

fn strays() -> Result<(), Failed> {
    let object = object().display().to_string();
    for arguments in [
        &["--hold", "1s"][..],
        &["--workload", "off"],
        &["--timeout", "1s"],
        &["--save", "x"],
        &["--compare", "x"],
        &["--vm-memory", "512"],
        &["--vm-cpus", "1"],
        &["--vm-accel", "tcg"],
        // A guest's options with this machine's kernel, and a threshold for nothing.
        &["--attach", "--vm-memory", "512"],
        &["--attach", "--threshold", "insns=1"],
        // Before any kernel is asked.
        &["--vm", "no/such/image", "--compare", "no/such/file"],
        &["--vm", "no/such/image", "--save", "no/such/folder/file"],
        &["--vm", "no/such/image", "--vm-cpus", "0"],
        &["--vm", "no/such/image", "--vm-memory", "31"],
        &["--vm", "no/such/image", "--hold", "-1s"],
    ] {
        let (code, out, err) = super::scx_lint(&[arguments, &[&object]].concat());
        check(code == 2 && out.is_empty() && !err.is_empty(), || {
            format!("{arguments:?}: {code}\n{out}\n{err}")
        })?;
    }
    Ok(())
}
