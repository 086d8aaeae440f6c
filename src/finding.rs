//! What a check says: findings, what it cannot tell, and where in the object it looked.
//!
//! Locations stay symbolic (function `enqueue`, instruction 12) until a report makes them
//! concrete with [`crate::object::Object::source_line`].

use crate::errno::Errno;
use crate::kernel::{DecidedBy, Reason};
use crate::load::Loader;
use crate::object::{ExternIdx, FuncIdx, InsnIdx, MapIdx, Object, OpsIdx};
use crate::rule::{Level, Phase, Rule};
use crate::verifier::bpf_check::Verification;

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Which kind of thing.
    pub kind: SubjectKind,
    /// Its name in the object; for a member `ops.member`.
    pub name: String,
}

/// Kinds of [`Subject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubjectKind {
    /// The object as a whole.
    Object,
    /// A struct_ops map (an ops variable).
    StructOps,
    /// A member of a struct_ops map.
    Member,
    /// An entry program or a subprogram.
    Program,
    /// A map.
    Map,
    /// An undefined symbol that libbpf resolves.
    Extern,
    /// An ELF section.
    Section,
}

impl SubjectKind {
    /// What people call it.
    pub fn noun(self) -> &'static str {
        match self {
            Self::StructOps | Self::Member => "ops variable",
            other => other.as_str(),
        }
    }

    /// The word used in JSON and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::StructOps => "struct_ops",
            Self::Member => "member",
            Self::Program => "program",
            Self::Map => "map",
            Self::Extern => "extern",
            Self::Section => "section",
        }
    }
}

impl Subject {
    /// The object as a whole.
    pub fn object(object: &Object<'_>) -> Self {
        Self { kind: SubjectKind::Object, name: object.name.clone() }
    }

    /// An entry program or subprogram.
    pub fn program(object: &Object<'_>, function: FuncIdx) -> Self {
        Self { kind: SubjectKind::Program, name: object[function].name.to_string() }
    }

    /// A map, internal maps included.
    pub fn map(object: &Object<'_>, map: MapIdx) -> Self {
        Self { kind: SubjectKind::Map, name: object[map].name.to_string() }
    }

    /// A struct_ops map.
    pub fn struct_ops(object: &Object<'_>, ops: OpsIdx) -> Self {
        Self { kind: SubjectKind::StructOps, name: object[object[ops].map].name.to_string() }
    }

    /// A member of a struct_ops map, as `ops.member`.
    pub fn member(object: &Object<'_>, ops: OpsIdx, member: &str) -> Self {
        Self { kind: SubjectKind::Member, name: format!("{}.{member}", object[object[ops].map].name) }
    }

    /// An ELF section by name.
    pub fn section(name: &str) -> Self {
        Self { kind: SubjectKind::Section, name: name.to_owned() }
    }

    /// An extern by name.
    pub fn external(name: &str) -> Self {
        Self { kind: SubjectKind::Extern, name: name.to_owned() }
    }

    /// Where the object defines it, or first uses it where it is an extern; nothing for what has no place.
    pub fn site(&self, object: &Object<'_>) -> Option<Site> {
        match self.kind {
            SubjectKind::Program => {
                let number = object.functions.iter().position(|function| function.name == self.name)?;
                Some(Site::Function(FuncIdx(number)))
            }
            SubjectKind::Map => {
                let number = object.maps.iter().position(|map| map.name == self.name)?;
                Some(Site::Map(MapIdx(number)))
            }
            SubjectKind::StructOps | SubjectKind::Member => {
                let of = |name: &str| {
                    let rest = self.name.strip_prefix(name);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                let (index, _) = object.ops().find(|(_, ops)| of(&object[ops.map].name))?;
                Some(Site::StructOps(index))
            }
            SubjectKind::Extern => {
                let number = object.externs.iter().position(|external| external.name == self.name)?;
                let (function, insn) = object.first_use(ExternIdx(number))?;
                Some(Site::Insn(function, insn))
            }
            SubjectKind::Object | SubjectKind::Section => None,
        }
    }
}

/// A place in the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Site {
    /// An instruction of a function; counted from the function's own start.
    Insn(FuncIdx, InsnIdx),
    /// A function: its opening line.
    Function(FuncIdx),
    /// A map's definition. BTF keeps no line for it, only the name and the section.
    Map(MapIdx),
    /// An ops variable; no line either.
    StructOps(OpsIdx),
}

/// A [`Site`] and what there is to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Where.
    pub site: Site,
    /// What to see there, e.g. `uses arena 'b' here`.
    pub label: String,
    /// The entry program through which a subprogram's site is reached, if another than the site's own.
    pub program: Option<FuncIdx>,
}

impl Location {
    /// A place.
    fn new(site: Site, label: impl Into<String>) -> Self {
        Self { site, label: label.into(), program: None }
    }

    /// A place that is reached from an entry program, which may be its own.
    pub(crate) fn via(site: Site, program: FuncIdx, label: impl Into<String>) -> Self {
        let own = matches!(site, Site::Insn(function, _) | Site::Function(function) if function == program);
        Self { program: (!own).then_some(program), ..Self::new(site, label) }
    }
}

/// A problem that libbpf or the kernel will have with the object, or the user with both.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The rule that found it.
    pub rule: &'static Rule,
    /// The rule's level, unless the user changed it.
    pub level: Level,
    /// It is a refusal or an ejection, whatever level the user gives it: it decides the verdict.
    pub refuses: bool,
    /// When it bites; the rule's own phase, or another for a rule with several causes.
    pub phase: Phase,
    /// What the system call or libbpf function returns.
    pub errno: Option<Errno>,
    /// The words of libbpf (without its `libbpf: ` prefix), the verifier or the kernel log.
    pub kernel_message: Option<String>,
    /// The line of the verifier's log, where libbpf puts `kernel_message` in its place.
    pub log_line: Option<String>,
    /// What it is about.
    pub subject: Subject,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// What to change.
    pub help: Option<String>,
    /// Where, most telling first.
    pub locations: Vec<Location>,
    /// Which programs it keeps from loading, if it is a refusal at load.
    pub stops: Stops,
}

/// Which programs a refusal at load is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Stops {
    /// The program that the subject names, by itself or as a callback; where it names none, all of the object.
    #[default]
    Subject,
    /// These.
    Programs(Vec<FuncIdx>),
}

impl Finding {
    /// Sets the error number that will be returned.
    pub fn errno(&mut self, errno: Errno) -> &mut Self {
        self.errno = Some(errno);
        self
    }

    /// Sets the phase where it differs from the rule's.
    pub fn phase(&mut self, phase: Phase) -> &mut Self {
        self.phase = phase;
        self
    }

    /// Lowers or raises the level for this one case.
    pub fn level(&mut self, level: Level) -> &mut Self {
        self.level = level;
        self
    }

    /// Quotes what libbpf, the verifier or the kernel log will say.
    pub fn quote(&mut self, text: impl Into<String>) -> &mut Self {
        self.kernel_message = Some(text.into());
        self
    }

    /// Says what stands in the verifier's log where libbpf prints what is quoted.
    pub fn logged(&mut self, line: impl Into<String>) -> &mut Self {
        self.log_line = Some(line.into());
        self
    }

    /// Says what to change.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help = Some(text.into());
        self
    }

    /// Says which programs it keeps from loading, where the subject does not.
    pub fn stops(&mut self, stops: Stops) -> &mut Self {
        self.stops = stops;
        self
    }

    /// Adds a place.
    pub fn at(&mut self, site: Site, label: impl Into<String>) -> &mut Self {
        self.locations.push(Location::new(site, label));
        self
    }

    /// Adds a place that is reached from another entry program.
    pub fn via(&mut self, site: Site, program: FuncIdx, label: impl Into<String>) -> &mut Self {
        self.locations.push(Location::via(site, program, label));
        self
    }
}

/// Something a rule asked and could not answer from the file.
#[derive(Debug, Clone)]
pub struct Undecided {
    /// The rule that asked.
    pub rule: &'static Rule,
    /// What it asked about.
    pub subject: Subject,
    /// When the problem would bite if there were one.
    pub phase: Phase,
    /// Why there is no answer: one sentence, lower case, no full stop.
    pub reason: String,
    /// Where the question comes from, most telling first.
    pub locations: Vec<Location>,
    /// What would answer it. A real kernel answers every question; it is named where nothing else does.
    pub decided_by: Vec<DecidedBy>,
    /// It is answered where user space leaves its variables as they stand in the file.
    pub answered_by_file: bool,
}

impl Undecided {
    /// Adds a place.
    pub fn at(&mut self, site: Site, label: impl Into<String>) -> &mut Self {
        self.locations.push(Location::new(site, label));
        self
    }

    /// Adds a place that is reached from another entry program.
    pub fn via(&mut self, site: Site, program: FuncIdx, label: impl Into<String>) -> &mut Self {
        self.locations.push(Location::via(site, program, label));
        self
    }

    /// Adds what would answer it.
    pub fn decided_by(&mut self, what: DecidedBy) -> &mut Self {
        if !self.decided_by.contains(&what) {
            self.decided_by.push(what);
        }
        self
    }

    /// The answer depends on what user space makes of a member of an ops variable.
    pub fn decided_by_member(&mut self, object: &Object<'_>, ops: OpsIdx, member: &str) -> &mut Self {
        self.decided_by(DecidedBy::Value(Subject::member(object, ops, member).name))
    }
}

/// All that the checks said about one object.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The loader that the object was judged for.
    pub loader: Loader,
    /// Problems.
    pub findings: Vec<Finding>,
    /// Open questions.
    pub undecided: Vec<Undecided>,
    /// What is left open with all variables that user space may set as they stand in the file, where that answers some question
    /// or proves some program, and nothing more is refused.
    pub as_in_file: Option<AsInFile>,
    /// What becomes of each program by itself, where that is asked and a kernel is named.
    pub programs: Vec<ProgramFate>,
    /// What the verifier says of programs that load, where a kernel is named.
    pub verifications: Vec<(FuncIdx, Verification)>,
    /// Programs that load and of which it is not proven that the verifier accepts them: all, where no kernel is named.
    pub unproven: Vec<String>,
}

/// What becomes of a program that is loaded alone, with the maps of its object.
#[derive(Debug, Clone)]
pub struct ProgramFate {
    /// The program.
    pub program: FuncIdx,
    /// It loads with its object.
    pub autoload: bool,
    /// Whether it loads alone.
    pub fate: Fate,
}

/// Whether a program loads.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It does.
    Accepted {
        /// Instructions that the verifier processes.
        insns: u32,
    },
    /// It does not.
    Refused {
        /// What the load returns.
        errno: Option<Errno>,
        /// The first words of libbpf or of the verifier that say why.
        message: Option<String>,
        /// The instruction that the verifier refuses.
        at: Option<(FuncIdx, InsnIdx)>,
        /// Instructions that the verifier processes until then, where it comes so far and that is known.
        insns: Option<u32>,
        /// Where to look.
        location: Option<Location>,
    },
    /// Nobody can tell.
    Unknown {
        /// Why: one sentence, lower case, no full stop.
        reason: String,
        /// The instruction that is in question.
        at: Option<(FuncIdx, InsnIdx)>,
        /// Where to look.
        location: Option<Location>,
    },
}

/// What the checks say where user space leaves the values as they stand in the file.
#[derive(Debug, Clone)]
pub struct AsInFile {
    /// Questions that are open all the same.
    pub undecided: Vec<Undecided>,
    /// Programs of which it is not proven all the same that the verifier accepts them.
    pub unproven: Vec<String>,
    /// The values that answer questions which are open otherwise, and those that programs read which are accepted only so.
    pub knobs: Vec<Knob>,
    /// With what words a program may be refused if they are set otherwise, where that is seen.
    pub otherwise: Option<String>,
}

/// A value that user space may set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Knob {
    /// Its name, as `--set` takes it.
    pub name: String,
    /// What it is in the file, where that is one number.
    pub value: Option<u64>,
}

impl Outcome {
    /// Records a finding at the rule's own level and phase, to be refined through the reference.
    pub fn found(
        &mut self,
        rule: &'static Rule,
        subject: Subject,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.findings.push(Finding {
            rule,
            level: rule.level,
            refuses: rule.level == Level::Error,
            phase: rule.phase,
            errno: None,
            kernel_message: None,
            log_line: None,
            subject,
            message: message.into(),
            help: None,
            locations: Vec::new(),
            stops: Stops::Subject,
        });
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// Records that a rule cannot tell, to be refined through the reference.
    pub fn undecided(
        &mut self,
        rule: &'static Rule,
        subject: Subject,
        reason: impl Into<Reason>,
    ) -> &mut Undecided {
        self.undecided_at(rule, rule.phase, subject, reason)
    }

    /// Records that a rule cannot tell whether it bites at a phase that is not its own.
    pub fn undecided_at(
        &mut self,
        rule: &'static Rule,
        phase: Phase,
        subject: Subject,
        reason: impl Into<Reason>,
    ) -> &mut Undecided {
        let reason = reason.into();
        self.undecided.push(Undecided {
            rule,
            subject,
            phase,
            reason: reason.to_string(),
            locations: Vec::new(),
            decided_by: reason.decider().cloned().into_iter().collect(),
            answered_by_file: false,
        });
        let last = self.undecided.len() - 1;
        &mut self.undecided[last]
    }
}
