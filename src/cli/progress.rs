//! A line on a terminal's standard error while many inputs are linted; nothing elsewhere.

use std::io::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::{Spelling, without_commands};

/// Work that takes less shows nothing.
const PATIENCE: Duration = Duration::from_millis(300);

/// How far the work is.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    /// Waits until there is something to show; ends when the other end is dropped.
    clock: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// With `quiet`, or on what is no terminal that can move its cursor, nothing is ever shown.
    pub(super) fn new(quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_message("looking for objects");
        let dumb = std::env::var("TERM").as_deref() == Ok("dumb");
        // Hidden by itself off a terminal.
        if quiet || dumb || ProgressDrawTarget::stderr().is_hidden() {
            return Self { bar, clock: None };
        }
        let (sender, receiver) = mpsc::channel();
        let shown = bar.clone();
        let clock = thread::spawn(move || {
            if receiver.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(Duration::from_millis(120));
            }
        });
        Self { bar, clock: Some((sender, clock)) }
    }

    /// What is to be done is known.
    pub(super) fn start(&self, inputs: usize) {
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {pos}/{len}") {
            self.bar.set_style(style.tick_chars(r"-\|/ "));
        }
        self.bar.set_length(inputs as u64);
        self.bar.set_message("linting");
    }

    /// One more input is done.
    pub(super) fn step(&self) {
        self.bar.inc(1);
    }

    /// Prints what somebody else has to say, in one piece, above the line.
    pub(super) fn say(&self, words: &[u8]) {
        if !words.is_empty() {
            // It quotes sources, which may hold anything.
            let words = String::from_utf8_lossy(words);
            let words = without_commands(&words, Spelling::Text);
            self.bar.suspend(|| {
                let _ = std::io::stderr().lock().write_all(words.as_bytes());
            });
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((sender, clock)) = self.clock.take() {
            drop(sender);
            let _ = clock.join();
        }
        self.bar.finish_and_clear();
    }
}
