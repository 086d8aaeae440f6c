//! Runs a job in a worker process and looks after it: a watchdog for each step, and nothing left behind.
//!
//! Links of a process that dies are closed by the kernel, which detaches the scheduler; so killing the worker is
//! always a way out. The worker dies with its supervisor: it is killed by the kernel when the supervisor's
//! thread ends, and by itself when its standard input closes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::attach;
use super::job::{Job, RELOAD};
use super::observation::{Failure, KernelSeen, Observation, code};
use super::{running, sys};

/// The hidden argument that makes the program a worker.
pub const WORKER: &str = "--live-worker";

/// How long the kernel may take to detach after the worker is gone.
const DETACH: Duration = Duration::from_secs(30);

/// What a worker says: a step begins, or the job is done.
#[derive(Debug, Serialize, Deserialize)]
struct Update {
    /// The next step; `None` when the job is done.
    doing: Option<String>,
    observation: Observation,
}

/// Set by SIGINT, SIGTERM and SIGHUP.
static INTERRUPT: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(false)));

/// From here on SIGINT, SIGTERM and SIGHUP are noted instead of ending the process.
pub fn catch_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Without a handler the signal ends us, and the worker with us.
        let _ = signal_hook::flag::register(signal, Arc::clone(&INTERRUPT));
    }
}

/// A signal asked us to stop.
pub fn interrupted() -> bool {
    INTERRUPT.load(Ordering::Relaxed)
}

/// Does a job in a worker process. `progress` is told each step.
pub fn run(job: &Job, progress: &mut dyn FnMut(&Observation, &str)) -> Observation {
    let nothing = || Observation {
        object: job.object,
        kernel: KernelSeen { release: running::release(), place: "host".to_owned(), ..KernelSeen::default() },
        loader: job.loader,
        ..Observation::default()
    };
    let failed = |error: io::Error| Observation {
        failure: Some(Failure::new(code::SETUP, format!("cannot start the worker: {error}"))),
        ..nothing()
    };
    let mut command = Command::new("/proc/self/exe");
    command.arg(WORKER).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = match sys::die_with_parent(&mut command).spawn() {
        Ok(child) => child,
        Err(error) => return failed(error),
    };
    // Held open for as long as we live; its end tells the worker that we are gone.
    let Some(mut input) = child.stdin.take() else { return nothing() };
    let Some(output) = child.stdout.take() else { return nothing() };
    let sent =
        serde_json::to_string(job).map_err(io::Error::other).and_then(|text| writeln!(input, "{text}"));
    let (sender, updates) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Ok(update) = serde_json::from_str::<Update>(&line)
                && sender.send(update).is_err()
            {
                break;
            }
        }
    });
    let mut last = nothing();
    let mut doing = "start".to_owned();
    let mut patience = Duration::from_millis(job.timeout_ms);
    let mut since = Instant::now();
    let failure = loop {
        match updates.recv_timeout(Duration::from_millis(50)) {
            Ok(Update { doing: None, observation }) => {
                last = observation;
                break None;
            }
            Ok(Update { doing: Some(step), observation }) => {
                progress(&observation, &step);
                patience = Duration::from_millis(job.timeout_ms);
                if step.starts_with("hold ") {
                    patience = patience.saturating_add(Duration::from_millis(job.hold_ms));
                }
                (last, doing, since) = (observation, step, Instant::now());
            }
            Err(_) if interrupted() => break Some(Failure::new(code::INTERRUPTED, "stopped by a signal")),
            Err(RecvTimeoutError::Disconnected) => {
                break Some(Failure::new(code::DIED, "the worker died"));
            }
            Err(RecvTimeoutError::Timeout) if since.elapsed() > patience => {
                let words = format!("took longer than {} s", job.timeout_ms as f64 / 1000.0);
                break Some(Failure::new(code::TIMEOUT, words));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    };
    let failure = match (failure, sent) {
        (Some(failure), Err(error)) if failure.code == code::DIED => {
            Some(Failure { message: format!("the worker died: {error}"), ..failure })
        }
        (failure, _) => failure,
    };
    if failure.is_none() {
        drop(input);
    } else {
        let _ = child.kill();
    }
    let status = reap(&mut child);
    if let Some(failure) = failure {
        let mut failure = Failure { during: Some(doing), ..failure };
        if let (code::DIED, Some(status)) = (failure.code.as_str(), status) {
            failure.message = format!("{} ({status})", failure.message);
        }
        if is_answered(&failure, &last) {
            last.edits.push(format!("gave up the verifier's whole log: {}", failure.message));
        } else if last.failure.is_none() {
            last.failure = Some(failure);
        }
        if running::has_sched_ext() {
            let state = running::wait_for(|state| state == "disabled", DETACH);
            if state != "disabled"
                && let Some(failure) = &mut last.failure
            {
                failure.message.push_str(&format!("; the scheduler's state is still '{state}'"));
            }
        }
    }
    // The reader ends with the worker's output. A worker that cannot even be killed keeps it open.
    if status.is_some() {
        let _ = reader.join();
    }
    last
}

/// Did the kernel answer before patience ended: what took too long was to hear more of it.
fn is_answered(failure: &Failure, last: &Observation) -> bool {
    failure.code == code::TIMEOUT
        && failure.during.as_deref() == Some(RELOAD)
        && last.phases.iter().any(|phase| !phase.ok)
}

/// Waits for a worker that ends or was killed; not for ever, as one can hang in the kernel.
fn reap(child: &mut std::process::Child) -> Option<std::process::ExitStatus> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if start.elapsed() < DETACH => std::thread::sleep(Duration::from_millis(10)),
            _ => return None,
        }
    }
}

/// The worker's `main`: reads a job, does it, and prints updates.
pub fn worker() -> ExitCode {
    let mut line = String::new();
    let mut input = BufReader::new(io::stdin());
    let job: Job = match input.read_line(&mut line).map(|_| serde_json::from_str(&line)) {
        Ok(Ok(job)) => job,
        _ => {
            eprintln!("scx-lint: {WORKER} is for scx-lint's own use");
            return ExitCode::from(2);
        }
    };
    std::thread::spawn(move || {
        // Nothing more comes; the end of the input is the supervisor's end.
        let _ = io::copy(&mut input.take(u64::MAX), &mut io::sink());
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
    let realtime = sys::become_realtime();
    let mut tell = |observation: &Observation, doing: &str| {
        say(&Update { doing: Some(doing.to_owned()), observation: observation.clone() });
    };
    let mut observation = attach::run(&job, &mut tell);
    if let Err(error) = realtime {
        observation
            .edits
            .push(format!("could not become a real-time process ({error}): a stall also stalls us"));
    }
    say(&Update { doing: None, observation });
    ExitCode::SUCCESS
}

fn say(update: &Update) {
    let mut out = io::stdout().lock();
    // A supervisor that is gone needs no answer: we are about to be killed.
    let _ = serde_json::to_writer(&mut out, update);
    let _ = writeln!(out);
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::super::observation::PhaseSeen;
    use super::*;
    use crate::rule::Phase;

    #[test]
    fn an_answer_survives_the_wait_for_its_log() {
        let timeout = |during: &str| Failure {
            during: Some(during.to_owned()),
            ..Failure::new(code::TIMEOUT, "took longer than 1 s")
        };
        let load = |ok| Observation {
            phases: vec![PhaseSeen { phase: Phase::Load, ok, ..PhaseSeen::default() }],
            ..Observation::default()
        };
        assert!(is_answered(&timeout(RELOAD), &load(false)));
        // The first load is what takes long, or there is no answer yet.
        assert!(!is_answered(&timeout("load"), &load(false)));
        assert!(!is_answered(&timeout(RELOAD), &Observation::default()));
        assert!(!is_answered(&timeout(RELOAD), &load(true)));
        let died = Failure { during: Some(RELOAD.to_owned()), ..Failure::new(code::DIED, "the worker died") };
        assert!(!is_answered(&died, &load(false)));
    }
}
