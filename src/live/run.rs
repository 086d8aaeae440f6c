//! From options and inputs to observations.

use std::io;
use std::num::NonZero;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::agree::Compared;
use super::args::{LiveArgs, OnOff};
use super::attach;
use super::difference::{Difference, Unforeseen};
use super::job::{Job, MapWrite};
use super::observation::{Failure, KernelSeen, Observation, code};
use super::statistics::{self, Comparison};
use super::vm::{self, Machine};
use super::{agree, guest, running, supervise, sys, workload};
use crate::checks::Options;
use crate::kernel::Kernel;
use crate::load::{Loader, Values};
use crate::object::Object;
use crate::report::Document;

/// Bytes of a verifier log that a report keeps, and that `--save` keeps.
const LOG: (usize, usize) = (64 << 10, 8 << 20);

/// The same in a guest, whose line is slow.
const GUEST_LOG: (usize, usize) = (16 << 10, 512 << 10);

/// Most guests at a time.
const MAX_GUESTS: usize = 16;

/// An input that was read.
#[derive(Debug)]
pub struct Input<'a> {
    /// Index into the report's `objects`.
    pub object: usize,
    /// Path as the report shows it.
    pub path: &'a str,
    /// The path, and which of a file's objects it is.
    pub title: String,
    /// File name, which libbpf names the object after.
    pub file_name: &'a str,
    /// The file.
    pub data: &'a [u8],
    /// libbpf's name for the object.
    pub name: &'a str,
    /// The loader that the report is about.
    pub loader: Loader,
    /// What user space is said to set.
    pub values: &'a Values,
    /// What is foreseen on each of the report's kernels.
    pub foreseen: &'a [Document],
}

/// A kernel that is asked, as a target.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The kernel.
    pub kernel: &'a Kernel<'a>,
    /// Its index into the report's `kernels`, if the report is about it.
    pub number: Option<usize>,
}

/// What live mode found.
#[derive(Debug, Default)]
pub struct Live {
    /// By kernel, then by object.
    pub observations: Vec<Observation>,
    /// Names of the kernels' columns in the matrix; one for this machine.
    pub kernels: Vec<String>,
    /// What `--compare` found.
    pub comparison: Option<Comparison>,
}

impl Live {
    /// Some scheduler failed, or a statistic grew too much: exit status 1.
    pub fn has_failed(&self) -> bool {
        self.observations.iter().any(|seen| !seen.is_ok())
            || self
                .comparison
                .as_ref()
                .is_some_and(|comparison| comparison.changes.iter().any(|change| change.fails))
    }

    /// Some kernel could not be asked: exit status 2.
    pub fn is_unanswered(&self) -> bool {
        let failures = self.observations.iter().filter_map(|seen| seen.failure.as_ref());
        failures.into_iter().any(|failure| code::is_unanswered(&failure.code))
    }

    /// Escapes control characters in all texts, for the formats that people read: names in an object, and thus what
    /// libbpf and the kernel say of them, may hold anything.
    pub fn make_printable(&mut self) {
        fn walk(value: &mut serde_json::Value) {
            match value {
                serde_json::Value::String(text) => crate::report::escape(text, &['\n', '\t']),
                serde_json::Value::Array(all) => all.iter_mut().for_each(walk),
                serde_json::Value::Object(all) => all.values_mut().for_each(walk),
                _ => {}
            }
        }
        for seen in &mut self.observations {
            let (mut differs, mut unforeseen) =
                (std::mem::take(&mut seen.differs), std::mem::take(&mut seen.unforeseen));
            differs.iter_mut().for_each(Difference::make_printable);
            unforeseen.iter_mut().for_each(Unforeseen::make_printable);
            if let Ok(mut value) = serde_json::to_value(&*seen) {
                walk(&mut value);
                if let Ok(printable) = serde_json::from_value(value) {
                    *seen = printable;
                }
            }
            (seen.differs, seen.unforeseen) = (differs, unforeseen);
        }
        let comparison = self.comparison.iter_mut();
        for comparison in comparison {
            for change in &mut comparison.changes {
                for text in [&mut change.path, &mut change.release, &mut change.program] {
                    crate::report::escape(text, &[]);
                }
            }
            comparison.unmatched.iter_mut().for_each(|text| crate::report::escape(text, &[]));
        }
        self.kernels.iter_mut().for_each(|text| crate::report::escape(text, &[]));
    }

    /// The report's `live` array.
    ///
    /// # Errors
    /// None that can happen with these types.
    pub fn values(&self, with_logs: bool) -> io::Result<Vec<serde_json::Value>> {
        let value = |seen: &Observation| {
            let mut seen = seen.clone();
            for phase in &mut seen.phases {
                let keep = if with_logs { phase.log.len() } else { 60.min(phase.log.len()) };
                phase.log.drain(..phase.log.len() - keep);
            }
            serde_json::to_value(seen).map_err(io::Error::other)
        };
        self.observations.iter().map(value).collect()
    }
}

/// What this process was started for, other than by a user: worker, a guest's init, or the nothing that the
/// workload forks. `None` for everything else.
pub fn own_role() -> Option<ExitCode> {
    let argument = std::env::args_os().nth(1)?;
    match argument.to_str()? {
        workload::NOTHING => Some(ExitCode::SUCCESS),
        supervise::WORKER => Some(supervise::worker()),
        guest::INIT if guest::is_init() => Some(guest::main()),
        _ => None,
    }
}

/// Tries every input on every kernel that the options name. `kernels` are the same kernels as targets, this machine's
/// first, `None` where its types cannot be read; `kconfig` is the guests' configuration, where the user names one; `quiet` shows no progress; `options` are those for an input's path.
///
/// # Errors
/// A file of `--save` or `--compare`, with its name in the message.
pub fn run(
    args: &LiveArgs,
    inputs: &[Input<'_>],
    kernels: &[Option<Asked<'_>>],
    kconfig: Option<&Path>,
    quiet: bool,
    options: &dyn Fn(&str) -> Options,
) -> io::Result<Live> {
    let bars = bars(quiet);
    supervise::catch_signals();
    let mut live = Live::default();
    let jobs: Vec<Job> = inputs.iter().map(|input| job(args, input)).collect();
    let mut by_kernel: Vec<Vec<Observation>> = Vec::new();
    if args.attach {
        live.kernels.push("host".to_owned());
        by_kernel.push(on_host(&jobs, inputs, &bars));
    }
    live.kernels.extend(image_names(&args.vm));
    by_kernel.extend(in_guests(args, kconfig, &jobs, inputs, &bars));
    for (number, observations) in by_kernel.into_iter().enumerate() {
        let asked = kernels.get(number).copied().flatten();
        for mut seen in observations {
            if let Some(input) = inputs.iter().find(|input| input.object == seen.object) {
                let Compared { differs, unforeseen } = compared(input, asked, &seen, options);
                (seen.differs, seen.unforeseen) = (differs, unforeseen);
            }
            live.observations.push(seen);
        }
    }
    let named: Vec<(String, Observation)> = live
        .observations
        .iter()
        .filter_map(|seen| {
            let input = inputs.iter().find(|input| input.object == seen.object)?;
            Some((input.title.clone(), seen.clone()))
        })
        .collect();
    // Nothing was asked: there is nothing to compare, and what an earlier run has saved stays.
    let asked =
        |seen: &Observation| seen.failure.as_ref().is_none_or(|failure| !code::is_unanswered(&failure.code));
    if !live.observations.iter().any(asked) {
        return Ok(live);
    }
    if let Some(path) = &args.compare {
        let found =
            statistics::compare(path, &named, &args.threshold).map_err(|error| in_file(path, error))?;
        live.comparison = Some(found);
    }
    if let Some(path) = &args.save {
        statistics::save(path, &named).map_err(|error| in_file(path, error))?;
    }
    Ok(live)
}

/// Short names of images: the file's, or the whole path of one that shares it with another.
fn image_names(images: &[PathBuf]) -> Vec<String> {
    let short = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let name = |image: &PathBuf| {
        let is_shared = images.iter().any(|other| other != image && short(other) == short(image));
        if is_shared { image.display().to_string() } else { short(image) }
    };
    images.iter().map(name).collect()
}

/// Looks at the files of `--save` and `--compare` before a kernel is asked, which may take minutes.
///
/// # Errors
/// The file's, with its name in the message.
pub fn check_files(args: &LiveArgs) -> io::Result<()> {
    if let Some(path) = &args.compare {
        statistics::read(path).map_err(|error| in_file(path, error))?;
    }
    if let Some(path) = &args.save {
        if crate::input::is_binary(path) {
            let why = "is an object, a program or a kernel, which would be overwritten; remove it first";
            return Err(in_file(path, io::Error::other(why)));
        }
        // Neither emptied, which would be too early, nor left behind.
        let is_new = !path.exists();
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|_| if is_new { std::fs::remove_file(path) } else { Ok(()) })
            .map_err(|error| in_file(path, error))?;
    }
    Ok(())
}

fn in_file(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Holds what a kernel did with an input against what the report foresees there, or against what is foreseen for that kernel
/// now that it has shown itself.
fn compared(
    input: &Input<'_>,
    asked: Option<Asked<'_>>,
    seen: &Observation,
    options: &dyn Fn(&str) -> Options,
) -> Compared {
    if let Some(foreseen) = asked.and_then(|asked| input.foreseen.get(asked.number?)) {
        return agree::compare(foreseen, seen);
    }
    let Ok(object) = Object::open_with(input.data, input.file_name, super::LIBBPF) else {
        return Compared::default();
    };
    let kernel = asked.map(|asked| asked.kernel);
    let foreseen = agree::foreseen(input.path, &object, (input.values, &options(input.path)), kernel, seen);
    agree::compare(&foreseen, seen)
}

fn job(args: &LiveArgs, input: &Input<'_>) -> Job {
    let (report, save) = if args.vm.is_empty() { LOG } else { GUEST_LOG };
    Job {
        object: input.object,
        path: String::new(),
        name: input.name.to_owned(),
        values: patches(input),
        loader: input.loader,
        hold_ms: args.hold.as_millis() as u64,
        timeout_ms: args.timeout.as_millis() as u64,
        workload: args.workload == OnOff::On,
        max_log: if args.save.is_some() { save } else { report },
        arena_rule: None,
    }
}

/// What the user tells of an input's values.
fn patches(input: &Input<'_>) -> Vec<MapWrite> {
    let Ok(object) = Object::open_with(input.data, input.file_name, super::LIBBPF) else { return Vec::new() };
    input.values.settings.iter().filter_map(|setting| MapWrite::of(&object, setting)).collect()
}

fn on_host(jobs: &[Job], inputs: &[Input<'_>], bars: &MultiProgress) -> Vec<Observation> {
    let nothing = |job: &Job, failure: Failure| Observation {
        object: job.object,
        loader: job.loader,
        kernel: KernelSeen { release: running::release(), place: "host".to_owned(), ..KernelSeen::default() },
        failure: Some(failure),
        ..Observation::default()
    };
    if let Err(failure) = attach::may_use_bpf() {
        return jobs.iter().map(|job| nothing(job, failure.clone())).collect();
    }
    let bar = bar(bars, "host", jobs.len());
    let mut seen: Vec<Observation> = Vec::new();
    for (job, input) in jobs.iter().zip(inputs) {
        let stop = seen
            .last()
            .and_then(|seen| seen.failure.clone())
            .filter(|failure| matches!(failure.code.as_str(), code::INTERRUPTED | code::STUCK));
        let observation = if let Some(failure) = stop {
            nothing(job, Failure { during: None, ..failure })
        } else {
            match sys::memory_file("object", input.data) {
                Err(error) => {
                    nothing(job, Failure::new(code::SETUP, format!("no memory for the object: {error}")))
                }
                Ok(file) => {
                    // The worker reads it before anything else, while we live.
                    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
                    let job = Job { path, ..job.clone() };
                    supervise::run(&job, &mut |_, step| bar.set_message(format!("{}: {step}", input.title)))
                }
            }
        };
        bar.inc(1);
        seen.push(observation);
    }
    bar.finish_and_clear();
    seen
}

/// All images, several guests at a time.
fn in_guests(
    args: &LiveArgs,
    kconfig: Option<&Path>,
    jobs: &[Job],
    inputs: &[Input<'_>],
    bars: &MultiProgress,
) -> Vec<Vec<Observation>> {
    let data: Vec<Vec<u8>> = inputs.iter().map(|input| input.data.to_vec()).collect();
    let machine = Machine {
        memory: args.vm_memory,
        cpus: args.vm_cpus,
        accel: args.vm_accel,
        kconfig: kconfig.map(Path::to_owned),
    };
    let all: Vec<ProgressBar> =
        image_names(&args.vm).iter().map(|name| bar(bars, name, jobs.len())).collect();
    let at_a_time =
        thread::available_parallelism().map_or(1, NonZero::get).clamp(1, MAX_GUESTS).min(args.vm.len());
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, Vec<Observation>)> = thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(image) = args.vm.get(number) else { return done };
                let progress = |words: &str| all[number].set_message(words.to_owned());
                done.push((number, vm::run(image, jobs, &data, &machine, &progress)));
                all[number].finish_with_message("done");
            }
        };
        let threads: Vec<_> = (0..at_a_time).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let _ = bars.clear();
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, seen)| seen).collect()
}

/// Lines on standard error, where it is a terminal that can move its cursor.
fn bars(quiet: bool) -> MultiProgress {
    let dumb = std::env::var("TERM").as_deref() == Ok("dumb");
    MultiProgress::with_draw_target(if quiet || dumb {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    })
}

/// A line on a terminal's standard error; nothing elsewhere.
fn bar(bars: &MultiProgress, name: &str, len: usize) -> ProgressBar {
    let bar = bars.add(ProgressBar::new(len as u64));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_owned());
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(120));
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::super::observation::PhaseSeen;
    use super::*;
    use crate::rule::Phase;

    /// What the report has judged is not judged again: here it foresees what no check would.
    #[test]
    fn an_observation_is_held_against_the_report() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/obj/clang-19/missing-arena__no_arena.bpf.o");
        let data = std::fs::read(path).unwrap();
        let targets = crate::kernel::target::load("6.18,7.3").unwrap();
        let kernel = Kernel::new(&targets[1]).unwrap();
        let object = Object::open(&data, "sched.bpf.o").unwrap();
        let judged =
            crate::lint::Judged::new("sched.bpf.o", &object, &[], &Values::default(), &Options::default())
                .foreseen();
        let mut foreseen = [Document::default(), judged[0].clone()];
        foreseen[1].verdicts[0].open = crate::report::Answer::Fail;
        let input = Input {
            object: 0,
            path: "sched.bpf.o",
            title: "sched.bpf.o".to_owned(),
            file_name: "sched.bpf.o",
            data: &data,
            name: "sched",
            loader: Loader::Plain,
            values: &Values::default(),
            foreseen: &foreseen,
        };
        let phase = PhaseSeen { phase: Phase::Open, ok: true, ..PhaseSeen::default() };
        let seen = Observation { phases: vec![phase], ..Observation::default() };
        let said = |number| {
            let asked = Some(Asked { kernel: &kernel, number });
            compared(&input, asked, &seen, &|_| Options::default()).differs.len()
        };
        assert_eq!(said(Some(1)), 1);
        // The report is about other kernels: this one is judged now.
        assert_eq!(said(None), 0);
    }

    #[test]
    fn images_of_one_name_are_told_apart() {
        let names = |images: &[&str]| image_names(&images.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(names(&["/boot/vmlinuz-7.3", "b/bzImage"]), ["vmlinuz-7.3", "bzImage"]);
        assert_eq!(names(&["a/bzImage", "b/bzImage"]), ["a/bzImage", "b/bzImage"]);
        // One kernel twice is one kernel.
        assert_eq!(names(&["a/bzImage", "a/bzImage"]), ["bzImage", "bzImage"]);
    }
}
