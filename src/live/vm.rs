//! The host's side of a guest: boots a kernel image with QEMU and listens.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::args::{Accel, config_beside};
use super::initramfs::Contents;
use super::job::Job;
use super::observation::{Failure, KernelSeen, Observation, code};
use super::supervise::interrupted;
use super::wire::{Frame, Orders};
use super::{guest, kconfig};
use crate::rule::Phase;

pub use super::image::check_image;
pub use super::qemu::{Event, Guest, Machine, qemu};

/// How long a guest with KVM may take to its first word on the console, and to come up.
const KVM_PATIENCE: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(20));

/// The same emulated, on a machine that is busy with other things.
const TCG_PATIENCE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(240));

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
        contents.add(kconfig::PLACE, data);
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
                loader: job.loader,
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
            let nothing = Observation { object: job.object, loader: job.loader, ..Observation::default() };
            (nothing, "start".to_owned())
        });
        let failure = Some(Failure { during: Some(step), ..failure });
        self.finish(Observation { failure, ..observation }, release);
    }
}
