//! The engine: opens, loads, attaches, holds and detaches one object on the running kernel.
//!
//! Runs in a process of its own (the worker), so that whatever happens to it, the kernel closes its links and
//! the scheduler is gone.

use std::cell::LazyCell;
use std::time::Instant;

use libbpf_rs::{MapCore, MapHandle, MapType, PrintLevel};

use super::exit::exit_data;
use super::job::{Job, RELOAD};
use super::load::{KernelTypes, LOG_STATS, builder, fail, open, phase, programs, read_run_counts, ready};
use super::messages::{collect, errno_of, program_log, tail, take_messages};
use super::observation::{Failure, KernelSeen, Observation, PhaseSeen, code};
use super::running::{self, KernelBtf};
use super::trial::Trial;
use super::{kconfig, sys};
use crate::errno::Errno;
use crate::object::{Form, MemberInit, Object};
use crate::rule::Phase;
use crate::verifier::log;

/// Does a job. `tell` is given the observation so far and what comes next, before each step that may hang.
pub fn run(job: &Job, tell: &mut dyn FnMut(&Observation, &str)) -> Observation {
    let mut seen = Observation {
        object: job.object,
        kernel: KernelSeen { release: running::release(), place: "host".to_owned(), ..KernelSeen::default() },
        loader: job.loader,
        ..Observation::default()
    };
    let btf = LazyCell::new(KernelBtf::read);
    let types = LazyCell::new(|| btf.types());
    let result = prepare(job, &|| types.as_ref(), &mut seen).and_then(|()| {
        let data = std::fs::read(&job.path)
            .map_err(|error| Failure::new(code::SETUP, format!("{}: {error}", job.path)))?;
        drive(job, &data, &|| types.as_ref(), &mut seen, tell)
    });
    seen.failure = result.err();
    seen
}

/// What must be true before anything is loaded.
fn prepare<'k>(job: &Job, types: KernelTypes<'k>, seen: &mut Observation) -> Result<(), Failure> {
    may_use_bpf()?;
    let rule = || types().map(|types| types.arena_rule());
    seen.kernel.arena_rule = job.arena_rule.clone().or_else(rule);
    let state = running::state();
    if running::has_sched_ext() && state != "disabled" {
        let name = running::root_ops().map_or_else(String::new, |name| format!(" ('{name}')"));
        return Err(Failure::new(
            code::BUSY,
            format!("another scheduler{name} is {state}; stop it first, or use --vm"),
        ));
    }
    Ok(())
}

/// Creates a small map, as the plainest use of BPF.
///
/// # Errors
/// One sentence that says what is missing.
pub fn may_use_bpf() -> Result<(), Failure> {
    libbpf_rs::set_print(None);
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let made = MapHandle::create(MapType::Array, Some("scx_lint"), 4, 4, 1, &options);
    match made.map_err(|error| errno_of(&error)) {
        Ok(_) if rustix::process::geteuid().is_root() => Ok(()),
        Ok(_) | Err(Some(Errno::EPERM | Errno::EACCES)) => Err(Failure::new(
            code::NO_BPF,
            "attaching a scheduler needs root (CAP_SYS_ADMIN, CAP_BPF and CAP_PERFMON); run as root, or use --vm",
        )),
        Err(errno) => {
            let errno = errno.map_or_else(String::new, |errno| format!(" ({errno})"));
            Err(Failure::new(code::NO_BPF, format!("this kernel does not let us use BPF{errno}; use --vm")))
        }
    }
}

fn drive<'k>(
    job: &Job,
    data: &[u8],
    types: KernelTypes<'k>,
    seen: &mut Observation,
    tell: &mut dyn FnMut(&Observation, &str),
) -> Result<(), Failure> {
    let object = Object::open_with(data, &format!("{}.bpf.o", job.name), super::LIBBPF).ok();
    libbpf_rs::set_print(Some((PrintLevel::Debug, collect)));

    tell(seen, "open");
    let Some(open) = open(job, data, seen) else { return Ok(()) };

    tell(seen, "load");
    let start = Instant::now();
    let mut forced = Vec::new();
    let mut open = ready(open, job, object.as_ref(), types, LOG_STATS, &mut seen.edits, &mut forced);
    seen.edits.extend(object.as_ref().and_then(|object| kconfig::note(object, &kconfig::path())));
    let mut result = open.load();
    let mut messages = take_messages();
    if let Err(error) = &result
        && messages.iter().any(|(_, text)| text.contains("BEGIN PROG LOAD LOG"))
    {
        // Once more, so that the log tells of every instruction. libbpf asks for it by itself at level 0. What the kernel said
        // stands, should that take too long.
        seen.phases.push(refused(error, &messages, start, job, object.as_ref()));
        tell(seen, RELOAD);
        seen.phases.pop();
        if let Ok(again) = builder(job).open_memory(data) {
            let mut ignored = (Vec::new(), Vec::new());
            open = ready(again, job, object.as_ref(), types, 0, &mut ignored.0, &mut ignored.1);
            take_messages();
            result = open.load();
            messages = take_messages();
        }
    }
    match result {
        Err(error) => {
            seen.phases.push(refused(&error, &messages, start, job, object.as_ref()));
            if !running::has_sched_ext()
                && object.as_ref().is_none_or(|object| object.schedulers().next().is_some())
            {
                return Err(no_sched_ext());
            }
            Ok(())
        }
        Ok(mut loaded) => {
            seen.phases.push(phase(Phase::Load, &messages, start));
            programs(&loaded, &messages, seen);
            let counting = sys::count_runs();
            let result = attach_all(job, object.as_ref(), types, &mut loaded, &forced, seen, tell);
            if counting.is_ok() && !seen.attach.is_empty() {
                read_run_counts(&loaded, seen);
            }
            result
        }
    }
}

/// A load that failed, with what libbpf and the verifier said.
fn refused(
    error: &libbpf_rs::Error,
    messages: &[(PrintLevel, String)],
    start: Instant,
    job: &Job,
    object: Option<&Object<'_>>,
) -> PhaseSeen {
    let mut phase = phase(Phase::Load, messages, start);
    fail(&mut phase, errno_of(error));
    if let Some((program, log)) = program_log(messages) {
        let mut diagnostic = log::parse(&program, &log);
        if let Some(object) = object {
            log::locate(&mut diagnostic, object);
        }
        phase.log = tail(&log, job.max_log);
        phase.diagnostic = Some(diagnostic);
        phase.program = Some(program);
    }
    phase
}

fn no_sched_ext() -> Failure {
    Failure::new(code::NO_SCHED_EXT, "the kernel has no sched_ext (CONFIG_SCHED_CLASS_EXT is off)")
}

/// Attaches the struct_ops maps one after another.
fn attach_all(
    job: &Job,
    object: Option<&Object<'_>>,
    types: KernelTypes<'_>,
    loaded: &mut libbpf_rs::Object,
    forced: &[String],
    seen: &mut Observation,
    tell: &mut dyn FnMut(&Observation, &str),
) -> Result<(), Failure> {
    let maps: Vec<String> = loaded
        .maps()
        .filter(|map| map.map_type() == MapType::StructOps && map.autocreate())
        .map(|map| map.name().to_string_lossy().into_owned())
        .collect();
    for name in maps {
        let ops = object.and_then(|object| object.ops().find(|(_, ops)| object[ops.map].name == name));
        let is_scheduler = ops.as_ref().is_none_or(|(_, ops)| ops.form() != Form::Other);
        if is_scheduler && !running::has_sched_ext() {
            return Err(no_sched_ext());
        }
        let scheduler = ops.and_then(|(_, ops)| match ops.member("name")?.value {
            MemberInit::Bytes(bytes) => {
                let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
            }
            _ => None,
        });
        let trial = Trial {
            job,
            map: &name,
            scheduler,
            is_scheduler,
            link_added: forced.contains(&name),
            exit_data: object.and_then(|object| exit_data(object, loaded)),
            exit_kinds: &|| types().map(|types| types.values_of("scx_exit_kind")).unwrap_or_default(),
        };
        trial.attach(loaded, seen, tell)?;
    }
    Ok(())
}
