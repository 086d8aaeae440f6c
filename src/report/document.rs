//! The document that every format prints: JSON version 1, field by field.
//!
//! Additive only within a version. Lines and columns are 1-based.

use serde::{Serialize, Serializer};

use crate::elf;
use crate::finding::{Finding, Location, Outcome, Site, Subject};
use crate::kernel::Kernel;
use crate::object::{Form, FuncIdx, MapType, Object, StructOps, Value, flag_names};
use crate::rule::{Level, Phase};

/// A whole report.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Document {
    /// 1.
    pub schema_version: u32,
    /// Version of scx-lint.
    pub scx_lint: &'static str,
    /// What was taken for granted.
    pub assumptions: Assumptions,
    /// Inputs, in argument order.
    pub objects: Vec<ObjectDoc>,
    /// Target kernels, in argument order.
    pub kernels: Vec<KernelDoc>,
    /// What would happen to each object.
    pub verdicts: Vec<Verdict>,
    /// Problems.
    pub findings: Vec<FindingDoc>,
    /// Open questions.
    pub undecided: Vec<UndecidedDoc>,
    /// What real kernels did, as JSON has it.
    pub live: Vec<serde_json::Value>,
    /// The same, as the formats of services have it.
    #[serde(skip)]
    pub runs: Vec<super::LiveRun>,
    /// What the user's `allow` entries keep out of `findings`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<SuppressedDoc>,
    /// Allows that allow nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmatched_allows: Vec<UnmatchedDoc>,
    /// The findings were held against a baseline.
    #[serde(skip)]
    pub baseline: bool,
    /// Only what fails the run is to be shown: no verdicts, no table, no counts. See [`Self::keep_failing`].
    #[serde(skip)]
    pub failing_only: bool,
    /// Counts.
    pub summary: Summary,
}

/// An allow that allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct UnmatchedDoc {
    pub object: Option<usize>,
    /// `config` or `source`.
    pub by: &'static str,
    pub rule: String,
    /// Where it stands.
    pub place: String,
    pub problem: String,
}

/// A finding that the user has allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct SuppressedDoc {
    pub rule: &'static str,
    pub object: usize,
    pub subject: SubjectDoc,
    pub message: String,
    /// `config` or `source`.
    pub by: &'static str,
    pub reason: String,
}

/// What was taken for granted.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct Assumptions {
    pub arch: &'static str,
    pub page_size: u64,
    pub libbpf: &'static str,
}

/// Counts of a report.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct Summary {
    pub objects: usize,
    pub kernels: usize,
    pub errors: usize,
    pub warnings: usize,
    pub notes: usize,
    pub undecided: usize,
    /// Findings that the baseline has.
    #[serde(skip_serializing_if = "is_zero")]
    pub known: usize,
    /// Findings that the user has allowed.
    #[serde(skip_serializing_if = "is_zero")]
    pub allowed: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One input.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ObjectDoc {
    /// Path as given.
    pub path: String,
    /// Where in an executable it was found.
    pub embedded: Option<Embedded>,
    /// libbpf's name for it.
    pub name: String,
    /// Its license string.
    pub license: String,
    /// `little` or `big`; null for an input that cannot be read.
    pub byte_order: Option<&'static str>,
    /// What user space is taken to edit.
    pub loader: &'static str,
    /// Why it cannot be read.
    pub error: Option<InputError>,
    /// Ops variables.
    pub struct_ops: Vec<StructOpsDoc>,
    /// Entry programs.
    pub programs: Vec<ProgramDoc>,
    /// Maps in libbpf's order.
    pub maps: Vec<MapDoc>,
}

/// Where an executable or shared library holds an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Embedded {
    /// Name of the symbol that covers it; empty in a stripped executable.
    pub name: String,
    /// Byte offset in the file.
    pub offset: u64,
}

impl ObjectDoc {
    /// The path, and which of an executable's objects it is: `scx_sched(bpf_bpf)`, or its offset where no symbol
    /// names it.
    pub fn title(&self) -> String {
        match &self.embedded {
            None => self.path.clone(),
            Some(embedded) if embedded.name.is_empty() => format!("{}(+{:#x})", self.path, embedded.offset),
            Some(embedded) => format!("{}({})", self.path, embedded.name),
        }
    }
}

/// An input that cannot be read as a BPF object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InputError {
    /// Stable code.
    pub code: String,
    /// One line.
    pub message: String,
}

/// An ops variable.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct StructOpsDoc {
    pub map: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub form: &'static str,
    pub link: bool,
    pub autocreate: bool,
    pub members: Vec<MemberDoc>,
    pub arenas: Vec<String>,
}

/// A member of an ops variable: a callback or a value that is set.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct MemberDoc {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<MemberValue>,
}

/// The value of a member.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum MemberValue {
    Number(#[serde(serialize_with = "number")] u64),
    Text(String),
}

/// An entry program.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct ProgramDoc {
    pub name: String,
    pub section: String,
    pub kind: &'static str,
    pub sleepable: bool,
    pub autoload: bool,
    pub insns: usize,
    pub insns_linked: usize,
    pub subprograms: Vec<String>,
    pub maps: Vec<String>,
    pub bound_maps: Vec<String>,
    pub kfuncs: Vec<KfuncDoc>,
}

/// A kfunc that a program refers to.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct KfuncDoc {
    pub name: String,
    pub weak: bool,
}

/// A map.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct MapDoc {
    pub name: String,
    pub kernel_name: String,
    #[serde(rename = "type")]
    pub map_type: String,
    pub flags: u32,
    pub flag_names: Vec<&'static str>,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    #[serde(serialize_with = "number")]
    pub map_extra: u64,
    pub used_by: Vec<String>,
}

/// A target kernel.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct KernelDoc {
    pub name: String,
    pub release: Option<String>,
    pub source: &'static str,
    pub arena_rule: &'static str,
}

/// `pass`, `fail` or `unknown`.
///
/// `pass` means that nothing which the file and the kernel's types can show stands against it; the
/// verifier's full walk and what the scheduler does when it runs are not foreseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Answer {
    Pass,
    Fail,
    Unknown,
}

/// What would happen to an object or to one of its ops variables.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct Verdict {
    pub object: usize,
    pub kernel: Option<usize>,
    pub struct_ops: Option<String>,
    pub open: Answer,
    pub load: Answer,
    pub attach: Answer,
    pub run: Answer,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct SubjectDoc {
    pub kind: &'static str,
    pub name: String,
}

/// A problem.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct FindingDoc {
    pub rule: &'static str,
    pub level: &'static str,
    pub object: usize,
    pub kernels: Vec<usize>,
    pub phase: &'static str,
    pub errno: Option<String>,
    pub kernel_message: Option<String>,
    pub subject: SubjectDoc,
    pub message: String,
    pub help: Option<String>,
    pub locations: Vec<LocationDoc>,
    /// It decides the verdict, whatever its level is.
    #[serde(skip)]
    pub refuses: bool,
    /// The baseline has it: it does not fail the run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub known: bool,
}

/// A place: a C line where the object records one, else only the label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct LocationDoc {
    pub file: Option<String>,
    pub line: Option<u32>,
    pub column: Option<u32>,
    pub text: Option<String>,
    pub label: String,
    pub program: Option<String>,
    pub insn: Option<usize>,
}

/// An open question.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct UndecidedDoc {
    pub rule: &'static str,
    pub object: usize,
    pub kernels: Vec<usize>,
    pub subject: SubjectDoc,
    pub reason: String,
}

/// 64-bit values are numbers up to 2^53 and `"0x..."` strings above, which every JSON reader keeps exact.
fn number<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if *value <= 1 << 53 {
        serializer.serialize_u64(*value)
    } else {
        serializer.serialize_str(&format!("{value:#x}"))
    }
}

impl Default for Document {
    fn default() -> Self {
        Self {
            schema_version: 1,
            scx_lint: env!("CARGO_PKG_VERSION"),
            assumptions: Assumptions { arch: "x86_64", page_size: crate::object::PAGE_SIZE, libbpf: "1.7" },
            objects: Vec::new(),
            kernels: Vec::new(),
            verdicts: Vec::new(),
            findings: Vec::new(),
            undecided: Vec::new(),
            live: Vec::new(),
            runs: Vec::new(),
            suppressed: Vec::new(),
            unmatched_allows: Vec::new(),
            baseline: false,
            failing_only: false,
            summary: Summary::default(),
        }
    }
}

impl Document {
    /// Adds an input that could not be read.
    pub fn add_error(&mut self, path: &str, code: &str, message: String) {
        self.summary.objects += 1;
        self.objects.push(ObjectDoc {
            path: path.to_owned(),
            embedded: None,
            name: String::new(),
            license: String::new(),
            byte_order: None,
            loader: "plain",
            error: Some(InputError { code: code.to_owned(), message }),
            struct_ops: Vec::new(),
            programs: Vec::new(),
            maps: Vec::new(),
        });
    }

    /// Adds a target; its index is what outcomes are given for.
    pub fn add_kernel(&mut self, kernel: &Kernel<'_>) -> usize {
        self.kernels.push(KernelDoc {
            name: kernel.name.to_owned(),
            release: kernel.release.map(str::to_owned),
            source: kernel.source.as_str(),
            arena_rule: kernel.arena_rule().as_str(),
        });
        self.summary.kernels += 1;
        self.kernels.len() - 1
    }

    /// Adds an object and what the checks said about it for each target; `None` stands for no target.
    ///
    /// Findings and open questions that are equal but for the kernel become one.
    pub fn add(
        &mut self,
        path: &str,
        object: &Object<'_>,
        loader: &'static str,
        outcomes: &[(Option<usize>, Outcome)],
    ) {
        let number = self.objects.len();
        self.summary.objects += 1;
        self.objects.push(describe(path, object, loader));
        let (mut findings, mut undecided): (Vec<FindingDoc>, Vec<UndecidedDoc>) = (Vec::new(), Vec::new());
        for (kernel, outcome) in outcomes {
            let doc = &self.objects[number];
            self.verdicts.push(verdict(doc, number, *kernel, None, outcome));
            if object.struct_ops.len() > 1 {
                for (_, ops) in object.ops() {
                    self.verdicts.push(verdict(doc, number, *kernel, Some(&object[ops.map].name), outcome));
                }
            }
            for finding in &outcome.findings {
                let doc = finding_doc(number, object, finding);
                match findings.iter_mut().find(|known| known.is_same(&doc)) {
                    Some(known) => known.kernels.extend(*kernel),
                    None => findings.push(FindingDoc { kernels: kernel.iter().copied().collect(), ..doc }),
                }
            }
            for open in &outcome.undecided {
                let doc = UndecidedDoc {
                    rule: open.rule.name,
                    object: number,
                    kernels: Vec::new(),
                    subject: subject(&open.subject),
                    reason: open.reason.clone(),
                };
                match undecided.iter_mut().find(|known| known.is_same(&doc)) {
                    Some(known) => known.kernels.extend(*kernel),
                    None => undecided.push(UndecidedDoc { kernels: kernel.iter().copied().collect(), ..doc }),
                }
            }
        }
        // The order of one outcome: errors first, early phases first.
        findings.sort_by_key(|finding| (rank(finding.level), phase_rank(finding.phase)));
        for finding in &findings {
            match finding.level {
                "error" => self.summary.errors += 1,
                "warning" => self.summary.warnings += 1,
                _ => self.summary.notes += 1,
            }
        }
        self.summary.undecided += undecided.len();
        self.findings.extend(findings);
        self.undecided.extend(undecided);
    }

    /// Adds the objects of another document, linted with the same kernels.
    pub fn append(&mut self, mut other: Self) {
        let first = self.objects.len();
        other.verdicts.iter_mut().for_each(|verdict| verdict.object += first);
        other.findings.iter_mut().for_each(|finding| finding.object += first);
        other.undecided.iter_mut().for_each(|undecided| undecided.object += first);
        other.suppressed.iter_mut().for_each(|suppressed| suppressed.object += first);
        other.unmatched_allows.iter_mut().for_each(|allow| allow.object = allow.object.map(|n| n + first));
        self.objects.append(&mut other.objects);
        self.verdicts.append(&mut other.verdicts);
        self.findings.append(&mut other.findings);
        self.undecided.append(&mut other.undecided);
        self.suppressed.append(&mut other.suppressed);
        self.unmatched_allows.append(&mut other.unmatched_allows);
        self.summary.objects += other.summary.objects;
        self.summary.errors += other.summary.errors;
        self.summary.warnings += other.summary.warnings;
        self.summary.notes += other.summary.notes;
        self.summary.undecided += other.summary.undecided;
        self.summary.allowed += other.summary.allowed;
    }

    /// Adds what the user's allows did to the object added last.
    pub fn add_suppressed(&mut self, suppressed: crate::suppress::Suppressed) {
        let number = self.objects.len().saturating_sub(1);
        self.summary.allowed += suppressed.findings.len();
        let of = |finding| SuppressedDoc { object: number, ..finding };
        self.suppressed.extend(suppressed.findings.into_iter().map(of));
        let at = |allow| UnmatchedDoc { object: Some(number), ..allow };
        self.unmatched_allows.extend(suppressed.unmatched.into_iter().map(at));
    }

    /// Marks the findings that a former report has too: those with one of these fingerprints.
    #[cfg(feature = "cli")]
    pub fn set_baseline(&mut self, known: &std::collections::HashSet<String>) {
        self.baseline = true;
        let prints = super::fingerprints(self);
        for (finding, print) in self.findings.iter_mut().zip(prints) {
            finding.known = known.contains(&print);
        }
        self.summary.known = self.findings.iter().filter(|finding| finding.known).count();
    }

    /// Findings of level error that are not in a baseline.
    pub fn errors(&self) -> impl Iterator<Item = &FindingDoc> {
        self.findings.iter().filter(|finding| finding.level == "error" && !finding.known)
    }

    /// How many findings of a level are not in the baseline.
    pub fn new_findings(&self, level: &str) -> usize {
        self.findings.iter().filter(|finding| finding.level == level && !finding.known).count()
    }

    /// Drops what does not fail the run: notes, allows that allow nothing, and warnings and open questions as asked.
    pub fn keep_failing(&mut self, drop_warnings: bool, drop_undecided: bool) {
        self.failing_only = true;
        self.unmatched_allows.clear();
        self.findings
            .retain(|f| !f.known && (f.level == "error" || (f.level == "warning" && !drop_warnings)));
        if drop_undecided {
            self.undecided.clear();
        }
    }

    /// An open question is about kernels only on which the object fails all the same.
    pub fn is_moot(&self, open: &UndecidedDoc) -> bool {
        !open.kernels.is_empty() && self.still_open(open).is_empty()
    }

    /// The kernels of an open question on which the object does not fail anyway.
    pub fn still_open(&self, open: &UndecidedDoc) -> Vec<usize> {
        let fails = |kernel: usize| {
            let verdict = self.verdicts.iter().find(|verdict| {
                verdict.object == open.object
                    && verdict.kernel == Some(kernel)
                    && verdict.struct_ops.is_none()
            });
            verdict.is_some_and(|v| [v.open, v.load, v.attach, v.run].contains(&Answer::Fail))
        };
        open.kernels.iter().copied().filter(|&kernel| !fails(kernel)).collect()
    }

    /// Some input could not be read.
    pub fn has_input_errors(&self) -> bool {
        self.objects.iter().any(|object| object.error.is_some())
    }
}

fn subject(subject: &Subject) -> SubjectDoc {
    SubjectDoc { kind: subject.kind.as_str(), name: subject.name.clone() }
}

impl StructOpsDoc {
    /// Does a finding of attach or run about this subject say something about this ops variable: about itself, a member,
    /// or a program that is its callback. A subject of any other kind concerns all.
    pub(super) fn is_meant_by(&self, subject: &SubjectDoc) -> bool {
        match subject.kind {
            "struct_ops" => subject.name == self.map,
            "member" => {
                subject.name.strip_prefix(self.map.as_str()).is_some_and(|rest| rest.starts_with('.'))
            }
            "program" => self.members.iter().any(|member| member.program.as_deref() == Some(&subject.name)),
            _ => true,
        }
    }
}

fn rank(level: &str) -> usize {
    ["error", "warning"].iter().position(|known| *known == level).unwrap_or(2)
}

fn phase_rank(phase: &str) -> usize {
    Phase::ALL.iter().position(|known| known.as_str() == phase).unwrap_or(0)
}

fn finding_doc(number: usize, object: &Object<'_>, finding: &Finding) -> FindingDoc {
    FindingDoc {
        rule: finding.rule.name,
        level: finding.level.as_str(),
        object: number,
        kernels: Vec::new(),
        phase: finding.phase.as_str(),
        errno: finding.errno.map(|errno| errno.to_string()),
        kernel_message: finding.kernel_message.clone(),
        subject: subject(&finding.subject),
        message: finding.message.clone(),
        help: finding.help.clone(),
        locations: finding.locations.iter().map(|location| locate(object, location)).collect(),
        known: false,
        refuses: finding.refuses,
    }
}

impl FindingDoc {
    /// Equal but for the kernels.
    fn is_same(&self, other: &Self) -> bool {
        (self.rule, self.level, self.phase) == (other.rule, other.level, other.phase)
            && self.subject == other.subject
            && self.message == other.message
            && self.errno == other.errno
            && self.kernel_message == other.kernel_message
            && self.help == other.help
            && self.locations == other.locations
    }
}

impl UndecidedDoc {
    /// Equal but for the kernels.
    fn is_same(&self, other: &Self) -> bool {
        self.rule == other.rule && self.subject == other.subject && self.reason == other.reason
    }
}

/// The verdict of an object, or of one ops variable: the earliest phase at which something refuses.
///
/// A refusal at open or load concerns everything in the object; one at attach or run only the ops
/// variable that it names. From the phase of an open question on nothing is certain. Without a kernel the
/// file alone proves no more than that it opens.
fn verdict(
    object: &ObjectDoc,
    number: usize,
    kernel: Option<usize>,
    ops: Option<&str>,
    outcome: &Outcome,
) -> Verdict {
    let about = object.struct_ops.iter().find(|known| Some(known.map.as_str()) == ops);
    let concerns = |found: &Subject| about.is_none_or(|ops| ops.is_meant_by(&subject(found)));
    let failed = outcome
        .findings
        .iter()
        .filter(|finding| finding.refuses)
        .filter(|finding| finding.phase <= Phase::Load || concerns(&finding.subject))
        .map(|finding| finding.phase)
        .min();
    let open = outcome
        .undecided
        .iter()
        .filter(|open| open.rule.level >= Level::Warning)
        .filter(|open| open.phase <= Phase::Load || concerns(&open.subject))
        .map(|open| open.phase)
        .min();
    let answer = |phase: Phase| match failed {
        Some(at) if at == phase => Answer::Fail,
        Some(at) if at < phase => Answer::Unknown,
        _ if phase == Phase::Open => Answer::Pass,
        _ if kernel.is_none() || open.is_some_and(|at| at <= phase) => Answer::Unknown,
        _ => Answer::Pass,
    };
    // What is not created is not attached either.
    let answer = |phase: Phase| match about {
        Some(ops) if !ops.autocreate && phase > Phase::Load => Answer::Unknown,
        _ => answer(phase),
    };
    Verdict {
        object: number,
        kernel,
        struct_ops: ops.map(str::to_owned),
        open: answer(Phase::Open),
        load: answer(Phase::Load),
        attach: answer(Phase::Attach),
        run: answer(Phase::Run),
    }
}

fn locate(object: &Object<'_>, location: &Location) -> LocationDoc {
    use crate::object::InsnIdx;
    let mut doc = LocationDoc {
        file: None,
        line: None,
        column: None,
        text: None,
        label: location.label.clone(),
        program: location.program.map(|program| object[program].name.to_string()),
        insn: None,
    };
    let (function, insn) = match location.site {
        Site::Insn(function, insn) => {
            doc.insn = Some(insn.0);
            (function, insn)
        }
        Site::Function(function) => (function, InsnIdx(0)),
        Site::Map(map) => {
            doc.label = format!("map '{}': {}", object[map].name, location.label);
            return doc;
        }
        Site::StructOps(ops) => {
            doc.label = format!("struct_ops '{}': {}", object[object[ops].map].name, location.label);
            return doc;
        }
    };
    doc.program.get_or_insert_with(|| object[function].name.to_string());
    if let Some(line) = object.source_line(function, insn) {
        doc.file = Some(line.file.to_owned());
        doc.line = Some(line.line);
        doc.column = (line.column > 0).then_some(line.column);
        doc.text = Some(line.text.to_owned());
    }
    doc
}

fn describe(path: &str, object: &Object<'_>, loader: &'static str) -> ObjectDoc {
    let name = |map: crate::object::MapIdx| object[map].name.to_string();
    let mut users: Vec<Vec<String>> = vec![Vec::new(); object.maps.len()];
    let mut programs = Vec::new();
    for (index, function, entry) in object.programs() {
        let uses = object.maps_of(index);
        for used in uses {
            users[used.map.0].push(function.name.to_string());
        }
        programs.push(ProgramDoc {
            name: function.name.to_string(),
            section: function.section_name.clone(),
            kind: entry.kind.as_str(),
            sleepable: entry.sleepable,
            autoload: entry.autoload,
            insns: function.code.len(),
            insns_linked: object.code_of(index).map(|(_, function)| function.code.len()).sum(),
            subprograms: entry.linked.iter().map(|&sub| object[sub].name.to_string()).collect(),
            maps: uses.iter().map(|used| name(used.map)).collect(),
            bound_maps: object.bound_maps(uses).into_iter().map(name).collect(),
            kfuncs: object
                .kfuncs_of(index)
                .into_iter()
                .map(|kfunc| KfuncDoc { name: kfunc.name.to_owned(), weak: kfunc.weak })
                .collect(),
        });
    }
    let maps = object.maps.iter().zip(users).map(|(map, used_by)| MapDoc {
        name: map.name.to_string(),
        kernel_name: map.kernel_name.clone(),
        map_type: map_type(map.map_type),
        flags: map.flags,
        flag_names: flag_names(map.flags),
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        map_extra: map.map_extra,
        used_by,
    });
    ObjectDoc {
        path: path.to_owned(),
        embedded: None,
        name: object.name.clone(),
        license: object.license.clone(),
        byte_order: Some(match object.elf.byte_order {
            elf::ByteOrder::Little => "little",
            elf::ByteOrder::Big => "big",
        }),
        loader,
        error: None,
        struct_ops: object.ops().map(|(_, ops)| describe_ops(object, ops)).collect(),
        programs,
        maps: maps.collect(),
    }
}

/// The type's name, or its number where no kernel knows it.
fn map_type(ty: MapType) -> String {
    ty.name().map_or_else(|| ty.0.to_string(), str::to_owned)
}

fn describe_ops(object: &Object<'_>, ops: &StructOps<'_>) -> StructOpsDoc {
    let mut arenas: Vec<String> = Vec::new();
    let callbacks: Vec<FuncIdx> = ops.callbacks().map(|(_, program)| program).collect();
    for used in callbacks.into_iter().flat_map(|program| object.maps_of(program)) {
        let map = &object[used.map];
        if map.map_type == MapType::ARENA && !arenas.iter().any(|known| *known == map.name) {
            arenas.push(map.name.to_string());
        }
    }
    let members = ops.members.iter().filter_map(|member| {
        let (program, value) = match member.value {
            Value::Program(program) => (Some(object[program].name.to_string()), None),
            Value::Null | Value::Scalar(0) => return None,
            Value::Scalar(value) => (None, Some(MemberValue::Number(value))),
            Value::Bytes(bytes) if bytes.iter().all(|&b| b == 0) => return None,
            Value::Bytes(bytes) => (None, Some(MemberValue::Text(text(bytes)))),
        };
        Some(MemberDoc { name: member.name.to_owned(), program, value })
    });
    StructOpsDoc {
        map: object[ops.map].name.to_string(),
        type_name: ops.type_name.clone(),
        form: match ops.form() {
            Form::Cpu => "cpu",
            Form::Cid => "cid",
            Form::Other => "other",
        },
        link: ops.link,
        autocreate: object[ops.map].autocreate,
        members: members.collect(),
        arenas,
    }
}

/// Bytes up to the first NUL as text.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
