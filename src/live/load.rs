//! Opens and loads an object as its loader would, and reads back what the kernel made of it.

use std::time::Instant;

use libbpf_rs::{MapCore, MapType, ObjectBuilder, OpenObject, PrintLevel};

use super::edits;
use super::job::Job;
use super::meaning::meaning;
use super::messages::{errno_of, take_messages, verification_time};
use super::names::map_name;
use super::observation::{Observation, PhaseSeen, ProgramSeen};
use super::running::Types;
use super::sys;
use crate::errno::Errno;
use crate::load::Loader;
use crate::object::{F_LINK, Object};
use crate::rule::Phase;

/// libbpf messages that are kept of one phase.
const MAX_MESSAGES: usize = 200;

/// `BPF_LOG_STATS`: the verifier prints its statistics only.
pub(super) const LOG_STATS: u32 = 4;

/// The running kernel's types, read when first asked for; `None` where it has none.
pub(super) type KernelTypes<'k> = &'k dyn Fn() -> Option<&'k Types<'k>>;

pub(super) fn builder(job: &Job) -> ObjectBuilder {
    let mut builder = ObjectBuilder::default();
    // A name with a NUL cannot be; libbpf then makes one up.
    let _ = builder.name(&job.name);
    builder
}

pub(super) fn open(job: &Job, data: &[u8], seen: &mut Observation) -> Option<OpenObject> {
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
pub(super) fn ready(
    mut open: OpenObject,
    job: &Job,
    object: Option<&Object<'_>>,
    types: KernelTypes<'_>,
    log_level: u32,
    said: &mut Vec<String>,
    forced: &mut Vec<String>,
) -> OpenObject {
    if job.loader == Loader::Scx
        && let (Some(object), Some(types)) = (object, types())
    {
        *said = edits::apply(&mut open, object, types);
    }
    said.extend(edits::tell(&mut open, &job.values));
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

pub(super) fn phase(phase: Phase, messages: &[(PrintLevel, String)], start: Instant) -> PhaseSeen {
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

pub(super) fn fail(phase: &mut PhaseSeen, errno: Option<Errno>) {
    phase.ok = false;
    phase.errno = errno.map(|errno| errno.to_string());
    phase.meaning = errno.and_then(|errno| meaning(errno, phase.phase)).map(str::to_owned);
}

/// Is a map one that libbpf has made of a jump table: it is none of the object's.
fn is_jump_table(id: u32) -> bool {
    libbpf_rs::MapHandle::from_map_id(id).is_ok_and(|map| map.name() == ".jumptables")
}

/// Reads back what the kernel made of the programs.
pub(super) fn programs(
    object: &libbpf_rs::Object,
    messages: &[(PrintLevel, String)],
    seen: &mut Observation,
) {
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
pub(super) fn read_run_counts(object: &libbpf_rs::Object, seen: &mut Observation) {
    use std::os::fd::AsFd;
    for program in object.progs().filter(|program| program.autoload()) {
        let known = seen.programs.iter_mut().find(|known| *known.name == *program.name());
        if let (Some(known), Ok(info)) = (known, sys::prog_info(program.as_fd())) {
            known.runs = Some(info.run_count);
        }
    }
}
