//! The side that survives: asks a worker process, and starts another when one dies of what it was shown.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::worker::{Request, write_frame};

/// How long an open may take. The largest real object takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests before a worker is replaced, so that what libbpf leaks or tramples on cannot pile up.
const SHIFT: usize = 2000;

/// libbpf at the other end of a pipe.
pub struct Oracle {
    exe: PathBuf,
    worker: Option<Worker>,
}

struct Worker {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    served: usize,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be stuck in libbpf; it owns nothing that has to be put away.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Worker {
    fn start(exe: &Path) -> io::Result<Self> {
        let mut child = Command::new(exe)
            .arg("worker")
            // Fresh heap memory is filled, so that what libbpf reads past the end of something is the same each time.
            .env("MALLOC_PERTURB_", "90")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("worker: no pipes"));
        };
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, stdin, lines, served: 0 })
    }
}

impl Oracle {
    /// An oracle whose workers run `exe worker`: this package's binary.
    pub fn new(exe: impl Into<PathBuf>) -> Self {
        Self { exe: exe.into(), worker: None }
    }

    /// What libbpf makes of these bytes, were they in a file of this name. See [`crate::view::open_file`] for the
    /// fields; an object that killed the worker has `"ok": false` and a `crash` field instead of an errno.
    ///
    /// # Errors
    /// The worker cannot be started.
    pub fn open_memory(&mut self, name: &str, bytes: &[u8]) -> io::Result<Value> {
        self.ask(&Request::Memory(name.as_bytes().to_vec(), bytes.to_vec()))
    }

    /// What libbpf makes of this file.
    ///
    /// # Errors
    /// As for [`open_memory`](Self::open_memory).
    pub fn open_file(&mut self, path: &str) -> io::Result<Value> {
        self.ask(&Request::File(path.as_bytes().to_vec()))
    }

    /// Pass one request on.
    ///
    /// # Errors
    /// As for [`open_memory`](Self::open_memory).
    pub fn ask(&mut self, request: &Request) -> io::Result<Value> {
        if self.worker.as_ref().is_some_and(|w| w.served >= SHIFT) {
            self.worker = None;
        }
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(&self.exe)?,
        };
        worker.served += 1;
        // A worker that died before reading everything shows as a broken pipe here and as a closed channel below.
        let _ = write_frame(&mut worker.stdin, request);
        match worker.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.worker = Some(worker);
                serde_json::from_str(&line).map_err(io::Error::other)
            }
            Err(RecvTimeoutError::Timeout) => Ok(crash(request, "no answer in 10 seconds".to_owned())),
            Err(RecvTimeoutError::Disconnected) => {
                let status = worker.child.wait()?;
                Ok(crash(
                    request,
                    match (status.signal(), status.code()) {
                        (Some(signal), _) => format!("signal {signal}"),
                        (None, code) => format!("exit {}", code.unwrap_or(-1)),
                    },
                ))
            }
        }
    }
}

fn crash(request: &Request, how: String) -> Value {
    json!({"path": String::from_utf8_lossy(request.name()), "ok": false, "errno": null, "crash": how, "messages": [], "infos": []})
}
