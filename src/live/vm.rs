//! The host's side of a guest: boots a kernel image with QEMU and listens.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::args::{Accel, config_beside};
use super::attach::Job;
use super::initramfs::{Contents, LIBRARIES};
use super::observation::{Failure, KernelSeen, Observation, code};
use super::supervise::interrupted;
use super::sys;
use super::wire::{self, Frame, Orders};
use super::{guest, kconfig};
use crate::kernel::builtin;
use crate::rule::Phase;

/// Console lines that are kept for a report.
const CONSOLE_LINES: usize = 40;

/// How long a guest with KVM may take to its first word on the console, and to come up.
const KVM_PATIENCE: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(20));

/// The same emulated, on a machine that is busy with other things.
const TCG_PATIENCE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(240));

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

/// The program can be a guest's init: guests are x86-64, and it packs itself.
fn check_machine() -> Result<(), Failure> {
    if cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    let words = format!(
        "guests are x86-64 machines, and this scx-lint is built for {}: it can use --attach, or be built for x86-64",
        std::env::consts::ARCH
    );
    Err(Failure::new(code::SETUP, words))
}

/// The image can be read and looks like a kernel that QEMU can boot.
///
/// # Errors
/// One sentence.
pub fn check_image(image: &Path) -> Result<(), Failure> {
    use std::io::Read;
    let bad = |words: String| Failure::new(code::IMAGE, format!("{}: {words}", image.display()));
    let mut head = Vec::new();
    // A FIFO would wait for a writer.
    if fs::metadata(image).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(bad("is no regular file, expected a kernel image".to_owned()));
    }
    let file = fs::File::open(image).map_err(|error| {
        // What --kernel takes, and what --attach is for.
        let name = image.to_str().unwrap_or_default();
        let instead = match name {
            "host" => "; a guest boots a kernel image; --attach asks this machine's kernel",
            "all" => "; a guest boots a kernel image, name each",
            _ if builtin::find(name).is_some() => {
                "; a guest boots a kernel image (a vmlinuz), and of this release only the types are built in"
            }
            _ => "",
        };
        bad(format!("{error}{instead}"))
    })?;
    let len = file.metadata().map_or(u64::MAX, |metadata| metadata.len());
    file.take(0x210).read_to_end(&mut head).map_err(|error| bad(error.to_string()))?;
    // Documentation/arch/x86/boot.rst: the setup header's magic. An ELF vmlinux for x86-64 boots by its PVH note.
    let is_vmlinux = head.starts_with(b"\x7fELF\x02") && head.get(18..20) == Some(&[62, 0]);
    if head.get(0x202..0x206) == Some(b"HdrS") {
        // Sectors of the setup, less the first, and 16-byte paragraphs of the rest.
        let (sectors, paragraphs) = (head.get(0x1f1), head.get(0x1f4..0x1f8).and_then(<[u8]>::first_chunk));
        let setup = sectors.map_or(4, |&sectors| u64::from(if sectors == 0 { 4 } else { sectors }));
        let rest = paragraphs.map_or(0, |raw| u64::from(u32::from_le_bytes(*raw)));
        let needs = (setup + 1) * 512 + rest * 16;
        return match rest {
            1.. if len < needs => Err(bad(format!("is truncated: needs {needs} bytes, has {len}"))),
            _ => Ok(()),
        };
    }
    if is_vmlinux {
        return Ok(());
    }
    Err(bad(match machine_of(&head) {
        Some(machine) => format!("is a kernel image for {machine}; guests are x86-64 machines"),
        None => "is no x86 kernel image (neither bzImage nor vmlinux)".to_owned(),
    }))
}

/// The machine of an image that is not for x86, where its first bytes tell.
fn machine_of(head: &[u8]) -> Option<&'static str> {
    // e_machine of ELF, either byte order.
    if head.starts_with(b"\x7fELF") {
        let number: [u8; 2] = head.get(18..20)?.try_into().ok()?;
        let number = match head.get(5) {
            Some(2) => u16::from_be_bytes(number),
            _ => u16::from_le_bytes(number),
        };
        return match number {
            183 => Some("arm64"),
            243 => Some("RISC-V"),
            21 => Some("POWER"),
            22 => Some("S/390"),
            258 => Some("LoongArch"),
            _ => None,
        };
    }
    // Documentation/arch/arm64/booting.rst and arch/riscv/boot-image-header.rst; both also wrapped for EFI, which
    // Debian and Fedora do.
    match (head.get(0x38..0x3c), head.get(4..8)) {
        (Some(b"ARM\x64"), _) => Some("arm64"),
        (Some(b"RSC\x05"), _) => Some("RISC-V"),
        (_, Some(b"zimg")) => Some("another machine (an EFI image, as of arm64)"),
        _ => None,
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

/// Jobs on one image, in as many boots as it takes. `progress` is told what is being done.
pub fn run(
    image: &Path,
    jobs: &[Job],
    inputs: &[Vec<u8>],
    machine: &Machine,
    progress: &dyn Fn(&str),
) -> Vec<Observation> {
    let mut run = Run {
        image: image.to_owned(),
        machine: machine.clone(),
        kvm: machine.accel != Accel::Tcg && (machine.accel == Accel::Kvm || kvm_is_open()),
        booted: false,
        retries: 0,
        progress,
        done: Vec::new(),
    };
    let setup =
        check_machine().and_then(|()| check_image(image)).and_then(|()| qemu().map(drop)).and_then(|()| {
            if machine.accel == Accel::Kvm && !kvm_is_open() {
                return Err(Failure::new(
                    code::QEMU,
                    "/dev/kvm cannot be opened; --vm-accel tcg does without",
                ));
            }
            Ok(())
        });
    let kconfig = machine.kconfig.clone().or_else(|| config_beside(image));
    if let Err(failure) = setup {
        run.give_up(jobs, &failure);
    }
    while run.done.len() < jobs.len() {
        let rest = &jobs[run.done.len()..];
        if interrupted() {
            run.give_up(rest, &Failure::new(code::INTERRUPTED, "stopped by a signal"));
            break;
        }
        // Reading a kernel's types takes an emulated guest a while: what an earlier boot read is told to the next.
        let rule = run.done.iter().find_map(|seen| seen.kernel.arena_rule.clone());
        let rest: Vec<Job> = rest.iter().map(|job| Job { arena_rule: rule.clone(), ..job.clone() }).collect();
        let rest = rest.as_slice();
        match pack(rest, &inputs[run.done.len()..], kconfig.as_deref()) {
            Ok(initramfs) => run.boot(rest, &initramfs),
            Err(error) => {
                run.give_up(rest, &Failure::new(code::SETUP, format!("cannot pack the initramfs: {error}")));
            }
        }
    }
    run.done
}

/// The worker had no time to begin with the object.
fn never_began(seen: &Observation) -> bool {
    let is_start =
        |failure: &Failure| failure.code == code::TIMEOUT && failure.during.as_deref() == Some("start");
    seen.phases.is_empty() && seen.failure.as_ref().is_some_and(is_start)
}

fn kvm_is_open() -> bool {
    fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

/// This program, its libraries, the kernel's config, the inputs and the orders.
fn pack(jobs: &[Job], inputs: &[Vec<u8>], kconfig: Option<&Path>) -> io::Result<Vec<u8>> {
    let mut contents = Contents::default();
    // Not by its path: the file may have been replaced since we were started.
    contents.add_program("/init", Path::new("/proc/self/exe"))?;
    let mut orders = Orders { jobs: jobs.to_vec() };
    for (number, (job, input)) in orders.jobs.iter_mut().zip(inputs).enumerate() {
        job.path = format!("/inputs/{number}.bpf.o");
        contents.add(&job.path, input.clone());
    }
    contents.add(guest::ORDERS, serde_json::to_vec(&orders)?);
    if let Some(path) = kconfig {
        let data = fs::read(path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        contents.add(guest::KCONFIG, data);
    }
    contents.pack()
}

/// The boots of one image.
struct Run<'a> {
    image: PathBuf,
    machine: Machine,
    kvm: bool,
    /// QEMU was started.
    booted: bool,
    /// Boots in a row that came to nothing, although the kernel came up before or with them.
    retries: u32,
    progress: &'a dyn Fn(&str),
    done: Vec<Observation>,
}

impl Run<'_> {
    fn kernel(&self, release: &str) -> KernelSeen {
        KernelSeen {
            release: release.to_owned(),
            place: "vm".to_owned(),
            image: Some(self.image.display().to_string()),
            accel: self.booted.then(|| if self.kvm { "kvm" } else { "tcg" }.to_owned()),
            arena_rule: None,
        }
    }

    fn finish(&mut self, mut observation: Observation, release: &str) {
        let lacks_config = |text: &String| kconfig::is_to_blame(&observation.edits, text);
        if observation.failure.is_none()
            && observation
                .phase(Phase::Load)
                .is_some_and(|load| !load.ok && load.messages.iter().any(lacks_config))
        {
            let words = "the object reads the kernel's configuration, which the guest does not have; \
                put it beside the image, as config-VER for vmlinuz-VER";
            observation.failure = Some(Failure::new(code::NO_KCONFIG, words));
        }
        let rule = observation.kernel.arena_rule.take();
        observation.kernel = KernelSeen { arena_rule: rule, ..self.kernel(release) };
        self.done.push(observation);
    }

    fn give_up(&mut self, jobs: &[Job], failure: &Failure) {
        for job in jobs {
            let observation = Observation {
                object: job.object,
                loader: job.loader.clone(),
                failure: Some(failure.clone()),
                ..Observation::default()
            };
            self.finish(observation, "");
        }
    }

    /// One boot: goes on until the guest says goodbye or fails.
    fn boot(&mut self, jobs: &[Job], initramfs: &[u8]) {
        (self.progress)("boot");
        self.booted = true;
        let guest = Guest::boot(&self.image, initramfs, &self.machine, self.kvm, guest::INIT);
        let mut guest = match guest {
            Ok(guest) => guest,
            Err(error) => {
                return self.give_up(jobs, &Failure::new(code::QEMU, format!("cannot start QEMU: {error}")));
            }
        };
        let release = match self.wait_for_hello(&mut guest) {
            Ok(release) => release,
            Err(_) if self.kvm && self.machine.accel == Accel::Auto && !interrupted() => {
                (self.progress)("KVM cannot run the guest, emulating");
                self.kvm = false;
                return;
            }
            // A kernel that came up once can do it again: a busy host made it fail.
            Err(_) if self.came_up() && self.retries < 2 && !interrupted() => {
                self.retries += 1;
                return;
            }
            Err(failure) => return self.give_up(jobs, &failure),
        };
        let mut current = 0;
        let mut partial: Option<(Observation, String)> = None;
        // Guests have a watchdog of their own; ours is for a guest whose kernel is stuck.
        let mut patience = self.patience(&jobs[0], "start");
        let mut since = Instant::now();
        while current < jobs.len() {
            let name = &jobs[current].name;
            match guest.next(patience.saturating_sub(since.elapsed())) {
                Ok(Event::Frame(Frame::Doing { observation, step })) => {
                    (self.progress)(&format!("{name}: {step}"));
                    patience = self.patience(&jobs[current], &step);
                    since = Instant::now();
                    partial = Some((*observation, step));
                }
                // Nothing was asked yet: a busy host kept the worker from starting.
                Ok(Event::Frame(Frame::Done { observation }))
                    if never_began(&observation) && self.retries < 1 =>
                {
                    self.retries += 1;
                    return;
                }
                Ok(Event::Frame(Frame::Done { observation })) => {
                    self.retries = 0;
                    self.finish(*observation, &release);
                    current += 1;
                    partial = None;
                    since = Instant::now();
                }
                // The rest gets a fresh boot.
                Ok(Event::Frame(Frame::Bye)) if partial.is_none() && current > 0 => return,
                Ok(Event::Frame(_) | Event::Console(_)) => {}
                Ok(Event::End) => {
                    let failure = self.ended(&guest);
                    return self.fail(&jobs[current], partial, failure, &release);
                }
                Err(_) if interrupted() => {
                    let failure = Failure::new(code::INTERRUPTED, "stopped by a signal");
                    return self.fail(&jobs[current], partial, failure, &release);
                }
                Err(_) => {
                    let words = format!("the guest said nothing for {} s", patience.as_secs());
                    let failure = Failure { console: guest.console(), ..Failure::new(code::HANG, words) };
                    return self.fail(&jobs[current], partial, failure, &release);
                }
            }
        }
    }

    /// How long a guest may be silent in a step.
    fn patience(&self, job: &Job, step: &str) -> Duration {
        let hold = if step.starts_with("hold ") { job.hold_ms } else { 0 };
        Duration::from_millis(job.timeout_ms.saturating_add(hold)) + Duration::from_secs(25)
    }

    fn came_up(&self) -> bool {
        self.done.iter().any(|seen| !seen.kernel.release.is_empty())
    }

    fn wait_for_hello(&self, guest: &mut Guest) -> Result<String, Failure> {
        let (first, up) = if self.kvm { KVM_PATIENCE } else { TCG_PATIENCE };
        let start = Instant::now();
        let mut spoke = false;
        loop {
            let limit = if spoke { up } else { first };
            match guest.next(limit.saturating_sub(start.elapsed())) {
                Ok(Event::Frame(Frame::Hello { release })) => return Ok(release),
                Ok(Event::Console(_)) => spoke = true,
                Ok(Event::Frame(_)) => {}
                Ok(Event::End) => return Err(self.ended(guest)),
                Err(_) if interrupted() => {
                    return Err(Failure::new(code::INTERRUPTED, "stopped by a signal"));
                }
                Err(_) => {
                    let words = format!("the guest did not come up within {} s", limit.as_secs());
                    return Err(Failure { console: guest.console(), ..Failure::new(code::NO_BOOT, words) });
                }
            }
        }
    }

    /// QEMU has ended before the guest was done.
    fn ended(&self, guest: &Guest) -> Failure {
        let console = guest.console();
        let mut failure = match guest.panic() {
            Some(words) => Failure::new(code::PANIC, words),
            None => match console.iter().rfind(|line| line.starts_with("qemu-system-")) {
                Some(line) if self.kvm => {
                    Failure::new(code::QEMU, format!("{line}; --vm-accel tcg does without KVM"))
                }
                Some(line) => Failure::new(code::QEMU, line.as_str()),
                None => Failure::new(
                    code::NO_BOOT,
                    "the machine went off without a word: too little memory, or a kernel that cannot run here",
                ),
            },
        };
        failure.console = console;
        failure
    }

    /// Records a job that did not come to its end.
    fn fail(&mut self, job: &Job, partial: Option<(Observation, String)>, failure: Failure, release: &str) {
        let (observation, step) = partial.unwrap_or_else(|| {
            let nothing =
                Observation { object: job.object, loader: job.loader.clone(), ..Observation::default() };
            (nothing, "start".to_owned())
        });
        let failure = Some(Failure { during: Some(step), ..failure });
        self.finish(Observation { failure, ..observation }, release);
    }
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

    #[test]
    fn an_image_is_told_from_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        assert_eq!(check_image(&path).unwrap_err().code, code::IMAGE);
        for (name, words) in [
            ("7.3", "of this release only the types are built in"),
            ("host", "--attach"),
            ("all", "name each"),
        ] {
            let failure = check_image(Path::new(name)).unwrap_err();
            assert!(failure.message.contains(words), "{}", failure.message);
        }
        assert!(check_image(folder.path()).unwrap_err().message.contains("is no regular file"));
        fs::write(&path, b"text").unwrap();
        assert!(check_image(&path).unwrap_err().message.contains("is no x86 kernel image"));
        let mut head = vec![0; 0x210];
        head[0x202..0x206].copy_from_slice(b"HdrS");
        fs::write(&path, head).unwrap();
        check_image(&path).unwrap();
        let mut cut = vec![0; 0x1000];
        cut[0x202..0x206].copy_from_slice(b"HdrS");
        cut[0x1f4] = 0xff;
        fs::write(&path, &cut).unwrap();
        assert!(check_image(&path).unwrap_err().message.contains("is truncated: needs 6640 bytes, has 4096"));
        cut.resize(6640, 0);
        fs::write(&path, &cut).unwrap();
        check_image(&path).unwrap();
        let mut arm = vec![0; 0x210];
        arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
        fs::write(&path, arm).unwrap();
        assert!(check_image(&path).unwrap_err().message.contains("is a kernel image for arm64"));
        let mut arm = vec![0; 0x210];
        arm[..6].copy_from_slice(b"\x7fELF\x02\x01");
        arm[18] = 183;
        fs::write(&path, arm).unwrap();
        assert!(check_image(&path).unwrap_err().message.contains("is a kernel image for arm64"));
        assert!(check_image(folder.path()).unwrap_err().message.contains("no regular file"));
    }
}
