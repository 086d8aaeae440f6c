//! A small load on all CPUs while a scheduler is held: it forks, wakes, sleeps, renices and changes affinity.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

/// The hidden argument that makes the program end at once: what the workload forks.
pub const NOTHING: &str = "--live-nothing";

/// A running workload; dropping it stops it and waits for its threads.
#[derive(Debug)]
pub struct Workload {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workload {
    /// Starts the threads.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let mut add = |name: &str, step: Box<dyn FnMut(u32) + Send>| {
            let (stop, mut step) = (Arc::clone(&stop), step);
            let run = move || {
                let mut round = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    step(round);
                    round = round.wrapping_add(1);
                }
            };
            // A thread that cannot be started only makes the load smaller.
            threads.extend(thread::Builder::new().name(name.to_owned()).spawn(run));
        };
        add("scx-lint-fork", Box::new(|_| fork()));
        add(
            "scx-lint-sleep",
            Box::new(|round| thread::sleep(Duration::from_micros(u64::from(round % 7) * 300))),
        );
        add(
            "scx-lint-nice",
            Box::new(|round| {
                // 19, 14, 9, 4: an unprivileged process could not go back, but we are root.
                let _ = setpriority_process(Some(gettid()), 19 - (round % 4 * 5).cast_signed());
                burn(20_000);
                thread::sleep(Duration::from_millis(1));
            }),
        );
        let all = sched_getaffinity(None).ok();
        add(
            "scx-lint-move",
            Box::new(move |round| {
                if let Some(all) = &all {
                    let _ = sched_setaffinity(None, &one_of(all, round));
                }
                burn(20_000);
                thread::sleep(Duration::from_millis(2));
            }),
        );
        // Two threads that wake each other.
        let (ping, pong) = (mpsc::channel::<()>(), mpsc::channel::<()>());
        add("scx-lint-ping", Box::new(bounce(ping.0, pong.1)));
        add("scx-lint-pong", Box::new(bounce(pong.0, ping.1)));
        Self { stop, threads }
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Starts this program to do nothing, and waits for it.
fn fork() {
    let child = Command::new("/proc/self/exe")
        .arg(NOTHING)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match child {
        Ok(mut child) => {
            let _ = child.wait();
        }
        Err(_) => thread::sleep(Duration::from_millis(10)),
    }
}

/// Sends, and waits a moment for the other side.
fn bounce(to: Sender<()>, from: Receiver<()>) -> impl FnMut(u32) + Send {
    let from = Mutex::new(from);
    move |_| {
        let _ = to.send(());
        if let Ok(from) = from.lock() {
            let _ = from.recv_timeout(Duration::from_millis(5));
        }
    }
}

/// Uses the CPU for a while.
fn burn(rounds: u32) {
    let mut x = 1_u32;
    for i in 0..rounds {
        x = std::hint::black_box(x.wrapping_mul(1_664_525).wrapping_add(i));
    }
}

/// Every fourth time all CPUs, else one of them.
fn one_of(all: &CpuSet, round: u32) -> CpuSet {
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect();
    if round.is_multiple_of(4) || cpus.is_empty() {
        return *all;
    }
    let mut one = CpuSet::new();
    one.set(cpus[round as usize % cpus.len()]);
    one
}
