//! A guest in QEMU: started, listened to, ended.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::args::Accel;
use super::initramfs::LIBRARIES;
use super::observation::{Failure, code};
use super::supervise::interrupted;
use super::sys;
use super::wire::{self, Frame};

/// Console lines that are kept for a report.
const CONSOLE_LINES: usize = 40;

/// How guests are made.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Memory, MiB.
    pub memory: u32,
    /// CPUs.
    pub cpus: u32,
    /// How it runs.
    pub accel: Accel,
    /// The kernel's config, for `__kconfig` externs; else `config-VER` beside `vmlinuz-VER` is taken, if there.
    pub kconfig: Option<PathBuf>,
}

/// What happens in a guest.
#[derive(Debug)]
pub enum Event {
    /// A frame came over the line.
    Frame(Frame),
    /// The console printed a line.
    Console(String),
    /// QEMU ended.
    End,
}

/// A running guest; dropping it ends it.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    events: Receiver<Event>,
    console: VecDeque<String>,
    /// The line that says so, which the last lines of a long backtrace leave behind.
    panic: Option<String>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Name of the QEMU binary, or what to install.
///
/// # Errors
/// It is not in the path.
pub fn qemu() -> Result<&'static str, Failure> {
    let name = "qemu-system-x86_64";
    match Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
    {
        Ok(_) => Ok(name),
        Err(error) => Err(Failure::new(
            code::NO_QEMU,
            format!(
                "{name}: {error}; install QEMU (Debian and Ubuntu: qemu-system-x86, Fedora: qemu-system-x86-core, Arch: qemu-system-x86)"
            ),
        )),
    }
}

impl Guest {
    /// Starts QEMU with an image and an initramfs.
    ///
    /// # Errors
    /// There is no memory for the initramfs, or QEMU cannot be started.
    pub fn boot(
        image: &Path,
        initramfs: &[u8],
        machine: &Machine,
        kvm: bool,
        init_argument: &str,
    ) -> io::Result<Self> {
        // QEMU gets both as open files, so that no file is left behind when we are killed.
        let initrd = sys::memory_file("initrd", initramfs)?;
        let (line, far_end) = UnixStream::pair()?;
        // Multi-threaded TCG now and then loses an int3 while the kernel patches static keys at enable.
        let accel = if kvm { ["kvm", "host"] } else { ["tcg,thread=single", "max"] };
        // An oops is an end too: what comes after it proves nothing. On a busy host an emulated timer looks broken
        // to the kernel, which panics over it unless told not to look.
        let command_line = format!(
            "console=ttyS0 quiet panic=-1 oops=panic no_timer_check 8250.nr_uarts=4 rdinit=/init LD_LIBRARY_PATH={LIBRARIES} -- {init_argument}"
        );
        let mut command = Command::new(qemu().map_err(|failure| io::Error::other(failure.message))?);
        command
            .args([
                "-nodefaults",
                "-no-user-config",
                "-nographic",
                "-no-reboot",
                "-accel",
                accel[0],
                "-cpu",
                accel[1],
            ])
            .args(["-m", &machine.memory.to_string(), "-smp", &machine.cpus.to_string()])
            .arg("-kernel")
            .arg(image)
            .args(["-initrd", &format!("/proc/self/fd/{}", initrd.as_raw_fd())])
            .args(["-append", &command_line])
            .args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"])
            .args([
                "-chardev",
                &format!("socket,id=line,fd={}", far_end.as_raw_fd()),
                "-serial",
                "chardev:line",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        sys::hand_over(&mut command, vec![OwnedFd::from(initrd), OwnedFd::from(far_end)]);
        let mut child = sys::die_with_parent(&mut command).spawn()?;
        // Our copy of QEMU's end: with it the line would never end.
        drop(command);
        let (sender, events) = mpsc::channel();
        for pipe in
            [child.stdout.take().map(Pipe::Out), child.stderr.take().map(Pipe::Err)].into_iter().flatten()
        {
            let sender = sender.clone();
            thread::spawn(move || pipe.read(&sender));
        }
        thread::spawn(move || {
            let mut line = BufReader::new(line);
            while let Ok(Some(frame)) = wire::receive(&mut line) {
                if sender.send(Event::Frame(frame)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, events, console: VecDeque::new(), panic: None })
    }

    /// The next frame, noise kept aside.
    ///
    /// # Errors
    /// `Timeout` where none comes in time, `Disconnected` where none will come.
    pub fn next(&mut self, patience: Duration) -> Result<Event, RecvTimeoutError> {
        let start = Instant::now();
        let mut exited: Option<Instant> = None;
        loop {
            match self.events.recv_timeout(Duration::from_millis(50)) {
                Ok(Event::Console(line)) => {
                    if let Some(at) = line.find("Kernel panic - not syncing") {
                        self.panic.get_or_insert_with(|| line[at..].to_owned());
                    }
                    self.console.push_back(line.clone());
                    if self.console.len() > CONSOLE_LINES {
                        self.console.pop_front();
                    }
                    return Ok(Event::Console(line));
                }
                Ok(event) => return Ok(event),
                Err(RecvTimeoutError::Disconnected) => return Ok(Event::End),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                // What it said last is still in the pipes.
                let since = exited.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(200) {
                    return Ok(Event::End);
                }
            }
            if interrupted() || start.elapsed() >= patience {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }

    /// The last lines of the console.
    pub fn console(&self) -> Vec<String> {
        self.console.iter().cloned().collect()
    }

    /// What the kernel said when it panicked, if it did.
    pub fn panic(&self) -> Option<&str> {
        self.panic.as_deref()
    }
}

enum Pipe {
    Out(std::process::ChildStdout),
    Err(std::process::ChildStderr),
}

impl Pipe {
    fn read(self, sender: &Sender<Event>) {
        match self {
            Self::Out(pipe) => lines(pipe, sender),
            Self::Err(pipe) => lines(pipe, sender),
        }
    }
}

/// Sends the lines of a stream, without the control characters of firmware and kernel consoles.
fn lines(stream: impl io::Read, sender: &Sender<Event>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let text = plain(&String::from_utf8_lossy(&line));
        line.clear();
        if !text.is_empty() && sender.send(Event::Console(text)).is_err() {
            return;
        }
    }
}

/// Text without escape sequences and control characters.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            if chars.next_if_eq(&'[').is_some() {
                // CSI: parameters, then one letter.
                while chars.next_if(|c| !c.is_ascii_alphabetic()).is_some() {}
            }
            chars.next();
        } else if !c.is_control() || c == '\t' {
            out.push(c);
        }
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_lines_lose_their_control_characters() {
        assert_eq!(plain("\x1b[2J\x1b[1;1HSeaBIOS (version 1)\r\n"), "SeaBIOS (version 1)");
        assert_eq!(plain("\x1bc\x1b[?7lok\tx\r"), "ok\tx");
        assert_eq!(plain("\x1b"), "");
    }
}
