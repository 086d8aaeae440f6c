//! The engine: opens, loads, attaches, holds and detaches one object on the running kernel.
//!
//! Runs in a process of its own (the worker), so that whatever happens to it, the kernel closes its links and
//! the scheduler is gone.

use std::cell::LazyCell;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, ObjectBuilder, OpenObject, PrintLevel};
use serde::{Deserialize, Serialize};

use super::kmsg;
use super::observation::{
    ArenaRuleSeen, AttachSeen, ExitSeen, Failure, KernelSeen, Observation, PhaseSeen, ProgramSeen, code,
};
use super::running::{self, KernelBtf, Types};
use super::workload::Workload;
use super::{edits, guest, kconfig, map_name, meaning, sys, verifier};
use crate::btf::Kind;
use crate::elf::SymbolKind;
use crate::errno::Errno;
use crate::object::{F_LINK, Form, Object, Value};
use crate::rule::Phase;

/// libbpf messages that are kept of one phase.
const MAX_MESSAGES: usize = 200;

/// `BPF_LOG_STATS`: the verifier prints its statistics only.
const LOG_STATS: u32 = 4;

/// How long the kernel may take to change the scheduler's state before we call it stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a worker is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Index into the report's `objects`.
    pub object: usize,
    /// File to read.
    pub path: String,
    /// libbpf's name for the object.
    pub name: String,
    /// `plain` or `scx`.
    pub loader: String,
    /// How long to hold each scheduler, milliseconds.
    pub hold_ms: u64,
    /// How long one step may take, milliseconds, the hold not counted.
    pub timeout_ms: u64,
    /// Run the workload while holding.
    pub workload: bool,
    /// Bytes of a verifier log that are kept, from its end.
    pub max_log: usize,
    /// The kernel's arena rule, where it is known already: reading the kernel's BTF takes a while in a guest.
    pub arena_rule: Option<ArenaRuleSeen>,
}

/// Messages of libbpf since the last look. libbpf has one print function per process.
static MESSAGES: Mutex<Vec<(PrintLevel, String)>> = Mutex::new(Vec::new());

fn collect(level: PrintLevel, text: String) {
    // Debug messages are many and of no use, but for the logs of programs that loaded.
    if (level != PrintLevel::Debug || text.contains("BEGIN PROG LOAD LOG"))
        && let Ok(mut messages) = MESSAGES.lock()
    {
        messages.push((level, text));
    }
}

fn take_messages() -> Vec<(PrintLevel, String)> {
    MESSAGES.lock().map(|mut messages| std::mem::take(&mut *messages)).unwrap_or_default()
}

/// Does a job. `tell` is given the observation so far and what comes next, before each step that may hang.
pub fn run(job: &Job, tell: &mut dyn FnMut(&Observation, &str)) -> Observation {
    let mut seen = Observation {
        object: job.object,
        kernel: KernelSeen { release: running::release(), place: "host".to_owned(), ..KernelSeen::default() },
        loader: job.loader.clone(),
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

/// The error number. libbpf-rs hides the `io::Error`, but prints its number.
fn errno_of(error: &libbpf_rs::Error) -> Option<Errno> {
    let text = format!("{error:#}");
    let (number, _) = text.rsplit_once("(os error ")?.1.split_once(')')?;
    number.parse().ok().map(Errno)
}

/// The running kernel's types, read when first asked for; `None` where it has none.
type KernelTypes<'k> = &'k dyn Fn() -> Option<&'k Types<'k>>;

fn drive<'k>(
    job: &Job,
    data: &[u8],
    types: KernelTypes<'k>,
    seen: &mut Observation,
    tell: &mut dyn FnMut(&Observation, &str),
) -> Result<(), Failure> {
    let object = Object::open(data, &format!("{}.bpf.o", job.name)).ok();
    libbpf_rs::set_print(Some((PrintLevel::Debug, collect)));

    tell(seen, "open");
    let Some(open) = open(job, data, seen) else { return Ok(()) };

    tell(seen, "load");
    let start = Instant::now();
    let mut forced = Vec::new();
    let mut open = ready(open, job, object.as_ref(), types, LOG_STATS, &mut seen.edits, &mut forced);
    seen.edits.extend(object.as_ref().and_then(|object| kconfig::note(object, &guest::kconfig_path())));
    let mut result = open.load();
    let mut messages = take_messages();
    if result.is_err() && messages.iter().any(|(_, text)| text.contains("BEGIN PROG LOAD LOG")) {
        // Once more, so that the log tells of every instruction. libbpf asks for it by itself at level 0.
        tell(seen, "load (for the verifier's log)");
        if let Ok(again) = builder(job).open_memory(data) {
            let mut ignored = (Vec::new(), Vec::new());
            open = ready(again, job, object.as_ref(), types, 0, &mut ignored.0, &mut ignored.1);
            take_messages();
            result = open.load();
            messages = take_messages();
        }
    }
    let mut phase = phase(Phase::Load, &messages, start);
    match result {
        Err(error) => {
            fail(&mut phase, errno_of(&error));
            if let Some((program, log)) = program_log(&messages) {
                let mut diagnostic = verifier::parse(&program, &log);
                if let Some(object) = &object {
                    verifier::locate(&mut diagnostic, object);
                }
                phase.log = tail(&log, job.max_log);
                phase.diagnostic = Some(diagnostic);
                phase.program = Some(program);
            }
            seen.phases.push(phase);
            if !running::has_sched_ext()
                && object.as_ref().is_none_or(|object| object.schedulers().next().is_some())
            {
                return Err(no_sched_ext());
            }
            Ok(())
        }
        Ok(mut loaded) => {
            seen.phases.push(phase);
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

fn no_sched_ext() -> Failure {
    Failure::new(code::NO_SCHED_EXT, "the kernel has no sched_ext (CONFIG_SCHED_CLASS_EXT is off)")
}

fn builder(job: &Job) -> ObjectBuilder {
    let mut builder = ObjectBuilder::default();
    // A name with a NUL cannot be; libbpf then makes one up.
    let _ = builder.name(&job.name);
    builder
}

fn open(job: &Job, data: &[u8], seen: &mut Observation) -> Option<OpenObject> {
    let start = Instant::now();
    let result = builder(job).open_memory(data);
    let mut phase = phase(Phase::Open, &take_messages(), start);
    if let Err(error) = &result {
        fail(&mut phase, errno_of(error));
    }
    seen.phases.push(phase);
    result.ok()
}

/// Edits an open object as the loader would, and sets how it is loaded.
fn ready(
    mut open: OpenObject,
    job: &Job,
    object: Option<&Object<'_>>,
    types: KernelTypes<'_>,
    log_level: u32,
    said: &mut Vec<String>,
    forced: &mut Vec<String>,
) -> OpenObject {
    if job.loader == "scx"
        && let (Some(object), Some(types)) = (object, types())
    {
        *said = edits::apply(&mut open, object, types);
    }
    for mut map in open.maps_mut().filter(|map| map.map_type() == MapType::StructOps) {
        let flags = map.map_flags();
        let name = map.name().to_string_lossy().into_owned();
        if flags & F_LINK == 0 && map.autocreate() && map.set_map_flags(flags | F_LINK).is_ok() {
            said.push(format!("loaded '{name}' with BPF_F_LINK, so that it cannot stay attached without us"));
            forced.push(name);
        }
    }
    for mut program in open.progs_mut() {
        program.set_log_level(log_level);
    }
    open
}

fn phase(phase: Phase, messages: &[(PrintLevel, String)], start: Instant) -> PhaseSeen {
    PhaseSeen {
        phase,
        ok: true,
        messages: messages
            .iter()
            .filter(|(level, text)| *level == PrintLevel::Warn && !text.contains("-- BEGIN PROG LOAD LOG --"))
            .map(|(_, text)| text.trim_end().to_owned())
            .take(MAX_MESSAGES)
            .collect(),
        ms: start.elapsed().as_millis() as u64,
        ..PhaseSeen::default()
    }
}

fn fail(phase: &mut PhaseSeen, errno: Option<Errno>) {
    phase.ok = false;
    phase.errno = errno.map(|errno| errno.to_string());
    phase.meaning = errno.and_then(|errno| meaning(errno, phase.phase)).map(str::to_owned);
}

/// The program and log in libbpf's message about the last program that was refused.
fn program_log(messages: &[(PrintLevel, String)]) -> Option<(String, String)> {
    let (_, text) = messages
        .iter()
        .rfind(|(level, text)| *level == PrintLevel::Warn && text.contains("-- BEGIN PROG LOAD LOG --"))?;
    let (head, rest) = text.split_once("-- BEGIN PROG LOAD LOG --\n")?;
    let log = rest.split_once("-- END PROG LOAD LOG --").map_or(rest, |(log, _)| log);
    Some((quoted(head)?.to_owned(), log.to_owned()))
}

/// What stands between the first two single quotes.
fn quoted(text: &str) -> Option<&str> {
    text.split_once('\'')?.1.split_once('\'').map(|(quoted, _)| quoted)
}

/// The last bytes of a log, as whole lines.
fn tail(log: &str, max: usize) -> Vec<String> {
    let mut size = 0;
    let mut lines: Vec<String> = log
        .lines()
        .rev()
        .take_while(|line| {
            size += line.len() + 1;
            size <= max
        })
        .map(str::to_owned)
        .collect();
    if lines.len() < log.lines().count() {
        lines.push(format!("[the first {} lines are left out]", log.lines().count() - lines.len()));
    }
    lines.reverse();
    lines
}

/// Is a map one that libbpf has made of a jump table: it is none of the object's.
fn is_jump_table(id: u32) -> bool {
    libbpf_rs::MapHandle::from_map_id(id).is_ok_and(|map| map.name() == ".jumptables")
}

/// Reads back what the kernel made of the programs.
fn programs(object: &libbpf_rs::Object, messages: &[(PrintLevel, String)], seen: &mut Observation) {
    use std::os::fd::AsFd;
    let mut names: Vec<(u32, String)> = Vec::new();
    for map in object.maps().filter(libbpf_rs::Map::autocreate) {
        if let Ok(info) = libbpf_rs::MapInfo::new(map.as_fd()) {
            names.push((info.info.id, map_name(&map.name().to_string_lossy()).to_owned()));
        }
    }
    for program in object.progs().filter(|program| program.autoload()) {
        let Ok(info) = sys::prog_info(program.as_fd()) else { continue };
        let name = program.name().to_string_lossy().into_owned();
        let maps = info.map_ids.iter().filter_map(|id| {
            let known = names.iter().find(|(known, _)| known == id).map(|(_, name)| name.clone());
            known.or_else(|| if is_jump_table(*id) { None } else { Some(format!("id {id}")) })
        });
        let start = format!("prog '{name}': -- BEGIN PROG LOAD LOG --");
        let log = messages.iter().find_map(|(_, text)| text.split_once(start.as_str()).map(|(_, log)| log));
        seen.programs.push(ProgramSeen {
            maps: maps.collect(),
            verified_insns: info.verified_insns,
            xlated_bytes: info.xlated_bytes,
            jited_bytes: info.jited_bytes,
            verify_us: log.and_then(verification_time),
            runs: None,
            name,
        });
    }
}

/// How often the programs ran while the kernel counted.
fn read_run_counts(object: &libbpf_rs::Object, seen: &mut Observation) {
    use std::os::fd::AsFd;
    for program in object.progs().filter(|program| program.autoload()) {
        let known = seen.programs.iter_mut().find(|known| *known.name == *program.name());
        if let (Some(known), Ok(info)) = (known, sys::prog_info(program.as_fd())) {
            known.runs = Some(info.run_count);
        }
    }
}

/// `verification time 123 usec`.
fn verification_time(log: &str) -> Option<u64> {
    log.lines()
        .find_map(|line| line.trim().strip_prefix("verification time ")?.strip_suffix(" usec")?.parse().ok())
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
            Value::Bytes(bytes) => {
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

/// One struct_ops map to attach.
struct Trial<'a> {
    job: &'a Job,
    map: &'a str,
    scheduler: Option<String>,
    is_scheduler: bool,
    link_added: bool,
    exit_data: Option<ExitData>,
    /// Enumerators of `enum scx_exit_kind`.
    exit_kinds: &'a dyn Fn() -> Vec<(String, u64)>,
}

impl Trial<'_> {
    fn attach(
        &self,
        loaded: &mut libbpf_rs::Object,
        seen: &mut Observation,
        tell: &mut dyn FnMut(&Observation, &str),
    ) -> Result<(), Failure> {
        let mut log = kmsg::Log::open().ok();
        let mut records = Vec::new();
        let count = running::enable_count();
        let mut found = AttachSeen {
            map: self.map.to_owned(),
            before: running::state(),
            link_added: self.link_added,
            ..AttachSeen::default()
        };
        tell(seen, &format!("attach '{}'", self.map));
        let link = loaded
            .maps_mut()
            .find(|map| map.name().to_string_lossy() == self.map)
            .ok_or_else(|| Failure::new(code::SETUP, format!("libbpf lost map '{}'", self.map)))?
            .attach_struct_ops();
        take_messages();
        found.call_ok = link.is_ok();
        if let Err(error) = &link {
            let errno = errno_of(error);
            found.errno = errno.map(|errno| errno.to_string());
            found.meaning = errno.and_then(|errno| meaning(errno, Phase::Attach)).map(str::to_owned);
        }
        let mut name_taken = true;
        if link.is_ok() && self.is_scheduler {
            found.state = running::wait_for(|state| state != "enabling" && state != "disabling", PATIENCE);
            found.enabled = found.state == "enabled";
            // Another scheduler may have come in before us.
            if let (true, Some(expected), Some(root)) = (found.enabled, &self.scheduler, running::root_ops())
            {
                name_taken = root == *expected;
            }
        } else if link.is_ok() {
            found.enabled = true;
        }
        if found.enabled {
            tell(seen, &format!("hold '{}'", self.map));
            let workload = self.job.workload.then(Workload::start);
            let start = Instant::now();
            let hold = Duration::from_millis(self.job.hold_ms);
            while start.elapsed() < hold && (!self.is_scheduler || running::state() == "enabled") {
                std::thread::sleep(Duration::from_millis(10).min(hold.saturating_sub(start.elapsed())));
                if let Some(log) = &mut log {
                    records.extend(log.read());
                }
            }
            found.held_ms = start.elapsed().as_millis() as u64;
            if self.is_scheduler {
                found.state = running::state();
                let root = running::root_ops();
                found.ejected = found.state != "enabled" || root.is_none();
            }
            tell(seen, &format!("detach '{}'", self.map));
            if found.ejected {
                running::wait_for(|state| state == "disabled", PATIENCE);
            }
            // What was said up to here is the scheduler's; detaching says more.
            if let Some(log) = &mut log {
                records.extend(log.read());
            }
            let exit = self.exit(&records);
            drop(link);
            drop(workload);
            found.exit = found.ejected.then_some(exit).flatten();
        } else {
            tell(seen, &format!("detach '{}'", self.map));
            if self.is_scheduler {
                running::wait_for(|state| state == "disabled", PATIENCE);
            }
            if let Some(log) = &mut log {
                records.extend(log.read());
            }
            let exit = self.exit(&records);
            found.exit = found.call_ok.then_some(exit).flatten();
            drop(link);
        }
        found.after = if self.is_scheduler {
            running::wait_for(|state| state == "disabled", PATIENCE)
        } else {
            running::state()
        };
        // The kernel may have enabled and ejected it before we looked.
        let enabled_line = |record: &kmsg::Record| {
            record.text.starts_with("sched_ext: BPF scheduler ") && record.text.ends_with(" enabled")
        };
        let counted = count.zip(running::enable_count()).is_some_and(|(before, after)| after > before);
        if found.call_ok && !found.enabled && (counted || records.iter().any(enabled_line)) {
            found.enabled = true;
            found.ejected = true;
        }
        if let Some(log) = &mut log {
            records.extend(log.read());
        }
        let ours = |record: &&kmsg::Record| {
            record.text.starts_with("sched_ext: ") || record.text.starts_with("sched_ext ")
        };
        let errors = records.iter().filter(ours).any(|record| record.level <= 3);
        found.kernel_log = records.iter().filter(ours).map(|record| record.text.clone()).collect();
        found.ok = found.call_ok
            && found.enabled
            && !found.ejected
            && name_taken
            && !errors
            && (!self.is_scheduler || found.after == "disabled");
        let after = found.after.clone();
        seen.attach.push(found);
        if !name_taken {
            return Err(Failure::new(code::BUSY, "another scheduler was started meanwhile"));
        }
        if self.is_scheduler && after != "disabled" {
            return Err(Failure::new(
                code::STUCK,
                format!("after detach the state is '{after}', expected 'disabled'"),
            ));
        }
        Ok(())
    }

    /// Why the scheduler exited: from its own data, else from the kernel log.
    fn exit(&self, records: &[kmsg::Record]) -> Option<ExitSeen> {
        let logged = exit_from_log(records);
        let Some(mut own) = self.exit_data.as_ref().and_then(|data| data.read(self.exit_kinds)) else {
            return logged;
        };
        if let Some(logged) = logged {
            if own.message.is_empty() {
                own.message = logged.message;
            }
            if own.reason.is_empty() {
                own.reason = logged.reason;
            }
        }
        Some(own)
    }
}

/// `sched_ext: BPF scheduler "NAME" disabled (REASON)` and, after it, `sched_ext: NAME: MESSAGE`.
fn exit_from_log(records: &[kmsg::Record]) -> Option<ExitSeen> {
    let mut lines = records.iter().map(|record| record.text.as_str());
    let (name, reason) = lines.by_ref().find_map(|line| {
        let rest = line.strip_prefix("sched_ext: BPF scheduler \"")?;
        let (name, rest) = rest.split_once('"')?;
        let reason = rest.strip_prefix(" disabled (")?.strip_suffix(')')?;
        Some((name, reason))
    })?;
    let message =
        lines.find_map(|line| line.strip_prefix("sched_ext: ")?.strip_prefix(name)?.strip_prefix(": "));
    Some(ExitSeen {
        kind: None,
        code: None,
        reason: reason.to_owned(),
        message: message.unwrap_or_default().to_owned(),
        source: "kernel log".to_owned(),
    })
}

/// Where an object keeps its `struct user_exit_info`, as scx's headers define it.
struct ExitData {
    map: MapHandle,
    /// Byte offset of the variable in the map's value.
    offset: usize,
    /// Byte offset and size of each member that is there.
    members: Vec<(String, usize, usize)>,
}

fn exit_data(object: &Object<'_>, loaded: &libbpf_rs::Object) -> Option<ExitData> {
    let btf = object.btf.as_ref()?;
    let (name, ty) = btf.types().find_map(|(_, ty)| {
        let (_, inner) = (ty.kind() == Kind::Var).then(|| btf.resolve(ty.target())).flatten()?;
        (inner.kind() == Kind::Struct && btf.name(&inner) == "user_exit_info").then(|| (btf.name(&ty), inner))
    })?;
    let symbol = object
        .elf
        .symbols
        .iter()
        .find(|symbol| symbol.kind == SymbolKind::Object && symbol.name.as_deref() == Some(name))?;
    let section = &object.elf.section_at(symbol.section)?.name;
    let map = loaded.maps().find(|map| map_name(&map.name().to_string_lossy()) == section)?;
    let members = ty.composite()?.members().filter_map(|member| {
        let size = btf.size_of(member.ty)?;
        Some((btf.str(member.name).to_owned(), member.bit_offset as usize / 8, usize::try_from(size).ok()?))
    });
    Some(ExitData {
        map: MapHandle::try_from(&map).ok()?,
        offset: usize::try_from(symbol.value).ok()?,
        members: members.collect(),
    })
}

impl ExitData {
    /// What `ops.exit` recorded; `None` where it recorded nothing.
    fn read(&self, kinds: &dyn Fn() -> Vec<(String, u64)>) -> Option<ExitSeen> {
        let value = self.map.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY).ok()??;
        let member = |name: &str| {
            let (_, offset, size) = self.members.iter().find(|(known, _, _)| known == name)?;
            value.get(self.offset.checked_add(*offset)?..)?.get(..*size)
        };
        let number = |name: &str| {
            let bytes = member(name)?;
            match bytes.len() {
                4 => Some(i64::from(i32::from_ne_bytes(bytes.try_into().ok()?))),
                8 => Some(i64::from_ne_bytes(bytes.try_into().ok()?)),
                _ => None,
            }
        };
        let text = |name: &str| {
            let bytes = member(name).unwrap_or_default();
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let kind = number("kind").filter(|&kind| kind != 0)?;
        let name =
            kinds().iter().find(|(_, value)| i64::try_from(*value) == Ok(kind)).map(|(name, _)| name.clone());
        Some(ExitSeen {
            kind: Some(name.unwrap_or_else(|| kind.to_string())),
            code: number("exit_code"),
            reason: text("reason"),
            message: text("msg"),
            source: "object".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> kmsg::Record {
        kmsg::Record { level: 3, text: text.to_owned() }
    }

    #[test]
    fn the_kernel_log_gives_reason_and_message() {
        let records = [
            record("sched_ext: BPF scheduler \"a\" enabled"),
            record("sched_ext: BPF scheduler \"a\" disabled (runtime error)"),
            record("sched_ext: a: ops.init() failed (-17)"),
        ];
        let exit = exit_from_log(&records).unwrap();
        assert_eq!(
            (exit.reason.as_str(), exit.message.as_str()),
            ("runtime error", "ops.init() failed (-17)")
        );
        assert_eq!(exit_from_log(&records[..1]), None);
    }

    #[test]
    fn the_end_of_a_log_is_kept() {
        assert_eq!(tail("a\nb\nc\n", 4), ["[the first 1 lines are left out]", "b", "c"]);
        assert_eq!(tail("a\nb\n", 100), ["a", "b"]);
        assert_eq!(verification_time("\nverification time 42 usec\nstack depth 0\n"), Some(42));
    }

    #[test]
    fn the_log_of_the_refused_program_is_found() {
        let messages = [
            (
                PrintLevel::Debug,
                "libbpf: prog 'a': -- BEGIN PROG LOAD LOG --\nok\n-- END PROG LOAD LOG --\n".to_owned(),
            ),
            (
                PrintLevel::Warn,
                "libbpf: prog 'b': -- BEGIN PROG LOAD LOG --\nbad\n-- END PROG LOAD LOG --\n".to_owned(),
            ),
        ];
        assert_eq!(program_log(&messages), Some(("b".to_owned(), "bad\n".to_owned())));
        assert_eq!(program_log(&messages[..1]), None);
    }
}
