//! What becomes of each program of an object that is loaded alone, with the object's maps: what libbpf and the kernel do
//! in the order in which they do it (libbpf `bpf_object_load`, kernel `bpf_check`).

use super::context::Context;
use super::{
    ambiguous_core_relocation, foreign_byte_order, invalid_core_relocation, missing_attach_target,
    missing_program_type, program_in_several_members, unknown_map_flag, unknown_map_type,
    unreferenced_struct_ops_program,
};
use crate::errno::Errno;
use crate::finding::{Fate, Finding, Location, Outcome, Site, Stops, Subject, SubjectKind, Undecided};
use crate::object::{FuncIdx, InsnIdx, Object};
use crate::rule::{Family, Level, Phase, Rule};
use crate::verifier::bpf_check;
use crate::verifier::bpf_check::Verification;

/// What a load does, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// `bpf_object__open`, and what the load looks at first.
    Open,
    /// `bpf_object__resolve_externs`.
    Externs,
    /// `bpf_object__init_kern_struct_ops_maps`.
    StructOps,
    /// `bpf_object__relocate`.
    Core,
    /// `bpf_object__sanitize_and_load_btf`.
    Btf,
    /// `bpf_object__create_maps`.
    Maps,
    /// `bpf_object_prepare_progs`, and what else libbpf asks of a program.
    Prepare,
    /// The kernel's verifier.
    Verifier,
}

impl Stage {
    /// When a rule's problem with a subject shows.
    fn of(rule: &'static Rule, phase: Phase, subject: &Subject) -> Self {
        let is = |one: &'static Rule| rule == one;
        let core = [
            &ambiguous_core_relocation::AMBIGUOUS_CORE_RELOCATION,
            &invalid_core_relocation::INVALID_CORE_RELOCATION,
        ];
        let prepare = [
            &missing_program_type::MISSING_PROGRAM_TYPE,
            &missing_attach_target::MISSING_ATTACH_TARGET,
            &unreferenced_struct_ops_program::UNREFERENCED_STRUCT_OPS_PROGRAM,
        ];
        match subject.kind {
            _ if phase == Phase::Open || is(&foreign_byte_order::FOREIGN_BYTE_ORDER) => Self::Open,
            _ if is(&program_in_several_members::PROGRAM_IN_SEVERAL_MEMBERS) => Self::StructOps,
            _ if core.into_iter().any(is) => Self::Core,
            _ if prepare.into_iter().any(is) => Self::Prepare,
            SubjectKind::Extern => Self::Externs,
            SubjectKind::StructOps | SubjectKind::Member => Self::StructOps,
            SubjectKind::Map => Self::Maps,
            SubjectKind::Object | SubjectKind::Section => match rule.family {
                Family::Extern => Self::Externs,
                _ => Self::Btf,
            },
            SubjectKind::Program => Self::Verifier,
        }
    }

    fn of_finding(finding: &Finding) -> Self {
        match finding.stops {
            Stops::Programs(_) => Self::Verifier,
            _ => Self::of(finding.rule, finding.phase, &finding.subject),
        }
    }

    fn of_question(open: &Undecided) -> Self {
        Self::of(open.rule, open.phase, &open.subject)
    }
}

/// What becomes of programs, in their order. `said` is what the rules say where every program loads, at their own levels.
/// `loads` says which of them load with the object.
pub(super) fn fates(
    cx: &Context<'_, '_>,
    said: &Outcome,
    programs: &[FuncIdx],
    loads: impl Fn(FuncIdx) -> bool,
) -> Vec<Fate> {
    let object = cx.object;
    let refusal_of = |program: FuncIdx| {
        let here = said.findings.iter().filter(|finding| {
            finding.level == Level::Error && finding.phase <= Phase::Load && stops(object, finding, program)
        });
        here.min_by_key(|finding| (Stage::of_finding(finding), place(object, finding)))
    };
    // What the verifier never sees it says nothing of.
    let reaches = |refusal: &Option<&Finding>| {
        refusal.is_none_or(|finding| Stage::of_finding(finding) == Stage::Verifier)
    };
    let verifier_says = |program: FuncIdx| {
        let known = said.verifications.iter().find(|(known, _)| *known == program);
        known.map(|(_, verification)| verification.clone())
    };
    let mut fates = Vec::new();
    for &program in programs {
        let refusal = refusal_of(program);
        let walk = if reaches(&refusal) { verifier_says(program) } else { None };
        let question = said.undecided.iter().filter(|open| {
            open.rule.level >= Level::Warning
                && open.phase <= Phase::Load
                && concerns(object, Stage::of_question(open), &open.subject, program)
        });
        fates.push(fate(refusal, walk, question.min_by_key(|open| Stage::of_question(open))));
    }
    fill_slots(object, programs, loads, &mut fates);
    fates
}

/// libbpf fills the slots of program arrays once the programs are loaded (`bpf_object_init_prog_arrays`). One of a program that is
/// not loaded besides cannot be filled: the load fails, unless the program loads with its whole object.
fn fill_slots(
    object: &Object<'_>,
    programs: &[FuncIdx],
    loads: impl Fn(FuncIdx) -> bool,
    fates: &mut [Fate],
) {
    let together = programs.iter().zip(&*fates).filter(|(program, _)| loads(**program));
    let (mut refused, mut unknown) = (false, false);
    for (_, fate) in together {
        refused |= matches!(fate, Fate::Refused { .. });
        unknown |= matches!(fate, Fate::Unknown { .. });
    }
    let slots = || {
        let maps = object.maps.iter().filter(|map| map.autocreate);
        maps.flat_map(|map| map.programs.iter().map(move |filled| (map, filled)))
    };
    for (&program, fate) in programs.iter().zip(fates) {
        let Some((map, filled)) = slots().find(|(_, filled)| filled.program != program) else { continue };
        if !matches!(fate, Fate::Accepted { .. }) {
            continue;
        }
        let (map, slot, other) = (&map.name, filled.slot, &object[filled.program].name);
        if refused || !loads(program) {
            *fate = Fate::Refused {
                errno: Some(Errno::EBADF),
                message: Some(format!(
                    "map '{map}': failed to initialize slot [{slot}] to prog '{other}' fd=-2: -EBADF"
                )),
                at: None,
                insns: None,
                location: None,
            };
        } else if unknown {
            let reason = format!(
                "slot {slot} of map '{map}' is for '{other}', and whether all programs load is not known"
            );
            *fate = Fate::Unknown { reason, at: None, location: None };
        }
    }
}

/// What becomes of a program: what libbpf refuses for certain, else what the verifier says, in its own words where the walk
/// came to it. What a rule cannot tell keeps a program from being called accepted.
fn fate(refusal: Option<&Finding>, walk: Option<Verification>, question: Option<&Undecided>) -> Fate {
    match (walk, refusal, question) {
        (Some(Verification { outcome: bpf_check::Outcome::Refused(why), insns, .. }), ..) => Fate::Refused {
            errno: Some(why.errno),
            message: Some(why.message),
            at: why.at,
            insns: Some(insns),
            location: None,
        },
        (_, Some(finding), _) => refused(finding),
        (_, None, Some(open)) => {
            Fate::Unknown { reason: open.reason.clone(), at: None, location: open.locations.first().cloned() }
        }
        (Some(Verification { outcome: bpf_check::Outcome::Accepted, insns, .. }), ..) => {
            Fate::Accepted { insns }
        }
        (Some(Verification { outcome: bpf_check::Outcome::Unknown(why), .. }), ..) => {
            Fate::Unknown { reason: why.reason.to_string(), at: why.at, location: None }
        }
        (None, None, None) => Fate::Unknown {
            reason: "the verifier's walk of it is not modelled".to_owned(),
            at: None,
            location: None,
        },
    }
}

/// The program at a member of an ops variable. Who loads another program alone clears the member: libbpf would load its program too.
fn callback(object: &Object<'_>, subject: &Subject) -> Option<FuncIdx> {
    let Some(Site::StructOps(ops)) = subject.site(object) else { return None };
    let (_, member) = subject.name.rsplit_once('.')?;
    object[ops].callback(member)
}

/// Where a subject stands among those that libbpf goes through at the same stage.
fn place(object: &Object<'_>, finding: &Finding) -> (usize, bool) {
    let subject = &finding.subject;
    let place = match subject.kind {
        SubjectKind::Extern => object.externs.iter().position(|external| external.name == subject.name),
        SubjectKind::Map => object.maps.iter().position(|map| map.name == subject.name),
        SubjectKind::StructOps | SubjectKind::Member => match subject.site(object) {
            Some(Site::StructOps(ops)) => Some(ops.0),
            _ => None,
        },
        // A program is looked at where the last variable names it.
        SubjectKind::Program => Some(object.struct_ops.len()),
        _ => None,
    };
    // What the kernel does not know of a map at all it refuses before it looks at sizes.
    let unknown = [&unknown_map_flag::UNKNOWN_MAP_FLAG, &unknown_map_type::UNKNOWN_MAP_TYPE];
    (place.unwrap_or(0), !unknown.contains(&finding.rule))
}

/// A refusal as a rule tells it.
fn refused(finding: &Finding) -> Fate {
    let location = finding.locations.first();
    let insn = |location: &Location| match location.site {
        Site::Insn(function, insn) => Some((function, insn)),
        _ => None,
    };
    let is_verifier = Stage::of_finding(finding) == Stage::Verifier;
    let at: Option<(FuncIdx, InsnIdx)> = location.filter(|_| is_verifier).and_then(insn);
    Fate::Refused {
        errno: finding.errno,
        message: finding.log_line.clone().or_else(|| finding.kernel_message.clone()),
        at,
        insns: None,
        location: location.cloned(),
    }
}

/// Does a refusal keep a program from loading.
fn stops(object: &Object<'_>, finding: &Finding, program: FuncIdx) -> bool {
    match &finding.stops {
        Stops::Programs(programs) => programs.contains(&program),
        Stops::Subject => concerns(object, Stage::of_finding(finding), &finding.subject, program),
    }
}

/// Is a program meant, or a function that is linked to it, or the object as a whole.
fn concerns(object: &Object<'_>, stage: Stage, subject: &Subject, program: FuncIdx) -> bool {
    if subject.kind == SubjectKind::Member {
        return callback(object, subject).is_none_or(|callback| callback == program);
    }
    if subject.kind != SubjectKind::Program || object[program].name == subject.name {
        return true;
    }
    let named = |function: FuncIdx| object[function].name == subject.name;
    let mut functions = (0..object.functions.len()).map(FuncIdx);
    match stage {
        // libbpf relocates all of `.text`, called or not.
        Stage::Core => functions.any(|function| object[function].entry.is_none() && named(function)),
        _ => object.code_of(program).any(|(function, _)| object[function].entry.is_none() && named(function)),
    }
}
