//! Nothing stays attached, whoever dies and however. A guest, with this program as its init, starts `scx-lint --attach`,
//! waits until the scheduler is enabled, and then kills.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use scx_lint::live::args::Accel;
use scx_lint::live::initramfs::Contents;
use scx_lint::live::vm::{Event, Guest, Machine};
use scx_lint::live::wire::{self, Frame};
use scx_lint::live::{guest, running};

use super::check;
use super::fixture;
use super::kernels::Kernel;

/// Argument under which this program is a guest's init.
const ROLE: &str = "--kill-in-guest";

/// Argument under which this program attaches a scheduler as a careless loader does, and is killed.
const CARELESS: &str = "--attach-and-die";

/// Starts a line that tells how a case ended.
const CASE: &str = "case ";

/// One boot for all cases.
pub fn trials(kernel: &Kernel) -> Vec<Trial> {
    let kernel = kernel.clone();
    vec![Trial::test("nothing_stays_attached", move || host(&kernel))]
}

/// Who gets what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Supervisor,
    Worker,
}

/// Signal numbers of x86 and arm64, as `kill` takes them.
const CASES: [(Victim, &str); 7] = [
    (Victim::Supervisor, "KILL"),
    (Victim::Worker, "KILL"),
    (Victim::Supervisor, "INT"),
    (Victim::Supervisor, "TERM"),
    // A panic in a release build is an abort.
    (Victim::Supervisor, "ABRT"),
    (Victim::Worker, "ABRT"),
    // A worker that says nothing any more: the watchdog must end it.
    (Victim::Worker, "STOP"),
];

const OBJECTS: [&str; 2] = ["live__good", "live__without_link"];

fn host(kernel: &Kernel) -> Result<(), Failed> {
    let mut contents = Contents::default();
    contents.add_program("/init", &std::env::current_exe()?)?;
    contents.add_program("/bin/scx-lint", Path::new(env!("CARGO_BIN_EXE_scx-lint")))?;
    for name in OBJECTS {
        contents.add(&format!("/inputs/{name}.bpf.o"), fs::read(fixture(name))?);
    }
    let machine = Machine { memory: 1024, cpus: 2, accel: Accel::Tcg, kconfig: None };
    let mut guest = Guest::boot(&kernel.path, &contents.pack()?, &machine, false, ROLE)?;
    let mut told = Vec::new();
    loop {
        match guest.next(Duration::from_secs(600)) {
            Ok(Event::Frame(Frame::Note { text })) => told.push(text),
            Ok(Event::Frame(Frame::Bye)) => break,
            Ok(Event::End) | Err(_) => {
                return Err(format!(
                    "the guest ended early\n{}\n{}",
                    told.join("\n"),
                    guest.console().join("\n")
                )
                .into());
            }
            Ok(_) => {}
        }
    }
    let done = told.iter().filter(|text| text.starts_with(CASE) && text.ends_with(": ok")).count();
    // Two more: a second run over the first, and what happens without scx-lint's care.
    check(done == CASES.len() * OBJECTS.len() + 2 && done == told.len(), || told.join("\n"))
}

/// The guest's part, if this process is a guest's init.
pub fn guest_role() -> Option<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some(CARELESS) {
        let result =
            std::env::args().nth(2).ok_or("no object".to_owned()).and_then(|path| attach_and_die(&path));
        eprintln!("{result:?}");
        return Some(ExitCode::FAILURE);
    }
    if std::env::args().nth(1).as_deref() != Some(ROLE) || !guest::is_init() {
        return None;
    }
    guest::mount_all();
    let Ok(mut line) = guest::line() else { return Some(ExitCode::FAILURE) };
    let mut tell = |text: String| drop(wire::send(&mut line, &Frame::Note { text }));
    for object in OBJECTS {
        for (victim, signal) in CASES {
            let result = case(object, victim, signal);
            tell(format!(
                "{CASE}{object} {victim:?} {signal}: {}",
                result.err().unwrap_or_else(|| "ok".to_owned())
            ));
        }
    }
    tell(format!("{CASE}busy: {}", busy().err().unwrap_or_else(|| "ok".to_owned())));
    tell(format!("{CASE}careless: {}", careless().err().unwrap_or_else(|| "ok".to_owned())));
    let _ = wire::send(&mut line, &Frame::Bye);
    Some(guest::power_off(&line))
}

/// Loads an object as it is, attaches it and dies.
fn attach_and_die(path: &str) -> Result<(), String> {
    use libbpf_rs::MapCore;
    let words = |error: libbpf_rs::Error| format!("{error:#}");
    let open = libbpf_rs::ObjectBuilder::default().open_file(path).map_err(words)?;
    let mut object = open.load().map_err(words)?;
    for mut map in object.maps_mut().filter(|map| map.map_type() == libbpf_rs::MapType::StructOps) {
        let link = map.attach_struct_ops().map_err(words)?;
        kill("KILL", &std::process::id().to_string())?;
        drop(link);
    }
    Err("it was not killed".to_owned())
}

/// The other cases could fail: a loader that does not take scx-lint's care leaves a scheduler of a map without link
/// attached when it is killed, and this test sees it.
fn careless() -> Result<(), String> {
    use libbpf_rs::{MapCore, MapHandle, MapType, query::MapInfoIter};
    wait_for("disabled", 60)?;
    let before = running::enable_count();
    let mut child = Command::new("/proc/self/exe")
        .args([CARELESS, &format!("/inputs/{}.bpf.o", OBJECTS[1])])
        .spawn()
        .map_err(|error| error.to_string())?;
    let status = child.wait().map_err(|error| error.to_string())?;
    // Longer than the detaching of the others takes.
    sleep(Duration::from_secs(3));
    let (state, after) = (running::state(), running::enable_count());
    for map in MapInfoIter::default().filter(|map| map.ty == MapType::StructOps) {
        let handle = MapHandle::from_map_id(map.id).map_err(|error| error.to_string())?;
        let _ = handle.delete(&0_u32.to_ne_bytes());
    }
    wait_for("disabled", 60)?;
    match state.as_str() {
        "enabled" if status.code().is_none() && after > before => Ok(()),
        _ => Err(format!("expected a scheduler that stays, the state is '{state}', {status}")),
    }
}

fn start(object: &str, hold: &str, timeout: &str) -> Result<Child, String> {
    Command::new("/bin/scx-lint")
        .args(["--attach", "--hold", hold, "--timeout", timeout, "--format", "concise"])
        .arg(format!("/inputs/{object}.bpf.o"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())
}

fn wait_for(state: &str, patience: u64) -> Result<(), String> {
    let last = running::wait_for(|now| now == state, Duration::from_secs(patience));
    if last == state { Ok(()) } else { Err(format!("the state is '{last}', expected '{state}'")) }
}

/// Process ids of workers; of a process that is just being forked the name is still its parent's.
fn workers() -> Vec<(String, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
            let is_worker =
                String::from_utf8_lossy(&line).split('\0').any(|argument| argument == "--live-worker");
            is_worker.then(|| (entry.file_name().to_string_lossy().into_owned(), parent))
        })
        .collect()
}

/// Sends a signal by name to a process by number.
pub fn kill(signal: &str, process: &str) -> Result<(), String> {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = match signal {
        "KILL" => Signal::KILL,
        "INT" => Signal::INT,
        "TERM" => Signal::TERM,
        "ABRT" => Signal::ABORT,
        _ => Signal::STOP,
    };
    let pid = process.parse().ok().and_then(Pid::from_raw).ok_or("no process id")?;
    kill_process(pid, signal).map_err(|error| error.to_string())
}

fn case(object: &str, victim: Victim, signal: &str) -> Result<(), String> {
    wait_for("disabled", 60)?;
    // The watchdog's time counts from the end of the hold; a busy host needs some for the load.
    let (hold, timeout) = if signal == "STOP" { ("500ms", "10s") } else { ("300s", "120s") };
    let mut child = start(object, hold, timeout)?;
    let result = kill_one(&mut child, victim, signal);
    // One case that fails must not make the next fail.
    let _ = child.kill();
    let _ = child.wait();
    result
}

fn kill_one(child: &mut Child, victim: Victim, signal: &str) -> Result<(), String> {
    wait_for("enabled", 120)?;
    let own = workers().into_iter().find(|(_, parent)| *parent == child.id());
    let (worker, _) = own.ok_or("no worker")?;
    let target = if victim == Victim::Worker { worker } else { child.id().to_string() };
    kill(signal, &target)?;
    // Detaching takes a moment after the last file is closed.
    wait_for("disabled", 60)?;
    let output = wait(child)?;
    let start = Instant::now();
    while !workers().is_empty() {
        if start.elapsed() > Duration::from_secs(30) {
            return Err("a worker is left".to_owned());
        }
        sleep(Duration::from_millis(20));
    }
    // Who is still alive says what happened.
    let expected = match (victim, signal) {
        (Victim::Worker, "STOP") => Some((1, "timeout")),
        (Victim::Worker, _) => Some((1, "the worker died")),
        (Victim::Supervisor, "INT" | "TERM") => Some((2, "stopped by a signal")),
        (Victim::Supervisor, _) => None,
    };
    match (expected, output) {
        (None, (None, _)) => Ok(()),
        (Some((code, words)), (Some(got), text)) if code == got && text.contains(words) => Ok(()),
        (expected, output) => Err(format!("expected {expected:?}, got {output:?}")),
    }
}

/// Exit code and standard output.
fn wait(child: &mut Child) -> Result<(Option<i32>, String), String> {
    use std::io::Read;
    let mut text = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut text).map_err(|error| error.to_string())?;
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    Ok((status.code(), text))
}

/// A second run refuses to start over the first.
fn busy() -> Result<(), String> {
    let mut first = start(OBJECTS[0], "300s", "120s")?;
    wait_for("enabled", 120)?;
    let mut second = start(OBJECTS[0], "1s", "120s")?;
    let (code, text) = wait(&mut second)?;
    let still = running::state();
    kill("KILL", &first.id().to_string())?;
    let _ = first.wait();
    wait_for("disabled", 60)?;
    if code == Some(2) && text.contains("another scheduler ('good') is enabled") && still == "enabled" {
        Ok(())
    } else {
        Err(format!("exit {code:?}, state '{still}': {text}"))
    }
}
