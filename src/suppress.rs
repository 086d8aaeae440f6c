//! Findings that the user has allowed, in the configuration or in the source, each with a reason.
//!
//! In the source: `__attribute__((btf_decl_tag("scx-lint:allow=RULE reason")))` on an ops variable, a map or a function. The
//! tag travels in the object's BTF. One on an ops variable covers its members too, and what is about the object as a
//! whole.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::btf::Kind;
use crate::checks;
use crate::finding::{Finding, Outcome, Site, Subject, SubjectKind};
use crate::object::Object;
use crate::report::{AllowedBy, SuppressedDoc, UnmatchedDoc};

/// What the tags of scx-lint begin with.
const TAG: &str = "scx-lint:allow=";

/// Decides whether a name is meant: a compiled glob, for one.
pub struct Pattern(Box<dyn Fn(&str) -> bool + Send + Sync>);

impl Pattern {
    /// A pattern out of a function.
    pub fn new(matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(matches))
    }

    /// Is this name meant?
    pub fn is_match(&self, name: &str) -> bool {
        (self.0)(name)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pattern")
    }
}

/// Where an allow applies.
#[derive(Debug)]
pub enum AppliesTo {
    /// A declaration with a tag.
    Tag(String),
    /// An `[[allow]]` of the configuration.
    Config {
        /// Paths or names of objects; all without it.
        object: Option<Pattern>,
        /// Names of programs.
        program: Option<Pattern>,
        /// Names of maps, ops variables among them.
        map: Option<Pattern>,
    },
}

/// An allow.
#[derive(Debug)]
pub struct Allow {
    /// The rule's name.
    pub rule: String,
    /// Why.
    pub reason: String,
    /// Where.
    pub place: AppliesTo,
    /// It kept a finding back.
    pub used: AtomicBool,
    /// An object was there that it could have applied to.
    pub met: AtomicBool,
}

impl Allow {
    /// An allow that has kept nothing back yet.
    pub fn new(rule: String, reason: String, place: AppliesTo) -> Self {
        Self { rule, reason, place, used: AtomicBool::new(false), met: AtomicBool::new(false) }
    }

    fn by(&self) -> AllowedBy {
        match self.place {
            AppliesTo::Tag(_) => AllowedBy::Source,
            AppliesTo::Config { .. } => AllowedBy::Config,
        }
    }

    /// Could it apply to something in this object?
    fn meets(&self, object: &Object<'_>, path: &str) -> bool {
        match &self.place {
            AppliesTo::Tag(_) => true,
            AppliesTo::Config { object: None, .. } => true,
            AppliesTo::Config { object: Some(glob), .. } => {
                let file = path.rsplit('/').next().unwrap_or(path);
                let path = path.trim_start_matches("./");
                [path, file, &object.name].iter().any(|name| glob.is_match(name))
            }
        }
    }

    fn covers(&self, object: &Object<'_>, subject: &Subject, programs: &[&str]) -> bool {
        let ops = subject.name.split('.').next().unwrap_or_default();
        match &self.place {
            AppliesTo::Tag(name) => match subject.kind {
                SubjectKind::StructOps | SubjectKind::Member => ops == name,
                SubjectKind::Object | SubjectKind::Section => {
                    object.ops().any(|(_, ops)| object[ops.map].name == *name)
                }
                _ => subject.name == *name || programs.contains(&name.as_str()),
            },
            AppliesTo::Config { program, map, .. } => {
                let program_fits = |glob: &Pattern| {
                    (subject.kind == SubjectKind::Program && glob.is_match(&subject.name))
                        || programs.iter().any(|name| glob.is_match(name))
                };
                let map_fits = |glob: &Pattern| match subject.kind {
                    SubjectKind::Map => glob.is_match(&subject.name),
                    SubjectKind::StructOps | SubjectKind::Member => glob.is_match(ops),
                    _ => false,
                };
                program.as_ref().is_none_or(program_fits) && map.as_ref().is_none_or(map_fits)
            }
        }
    }
}

/// The allows in an object's tags, and the tags that make none.
fn tags(object: &Object<'_>) -> (Vec<Allow>, Vec<UnmatchedDoc>) {
    let (mut allows, mut wrong) = (Vec::new(), Vec::new());
    let Some(btf) = &object.btf else { return (allows, wrong) };
    for (target, _, text) in btf.decl_tags() {
        let Some(text) = text.strip_prefix(TAG) else { continue };
        let Some(declared) = btf.get(target) else { continue };
        if !matches!(declared.kind(), Kind::Var | Kind::Func) {
            continue;
        }
        let name = btf.name(&declared).to_owned();
        let (rule, reason) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let problem = match checks::find(rule) {
            None => Some("names no rule"),
            Some(_) if reason.trim().is_empty() => Some("gives no reason, and does not count"),
            Some(_) => None,
        };
        match problem {
            None => {
                allows.push(Allow::new(rule.to_owned(), reason.trim().to_owned(), AppliesTo::Tag(name)));
            }
            Some(problem) => wrong.push(UnmatchedDoc {
                object: None,
                by: AllowedBy::Source,
                rule: rule.to_owned(),
                place: format!("tag on '{name}'"),
                problem: problem.to_owned(),
            }),
        }
    }
    (allows, wrong)
}

/// What became of the allows on one object.
#[derive(Debug, Default)]
pub struct Suppressed {
    /// What was kept back, each once.
    pub findings: Vec<SuppressedDoc>,
    /// Tags that kept nothing back, or are none. Of the configuration's allows only the whole run can tell.
    pub unmatched: Vec<UnmatchedDoc>,
}

/// Takes out of the outcomes of an object, one for each kernel, what is allowed.
pub fn apply(object: &Object<'_>, path: &str, config: &[Allow], outcomes: &mut [&mut Outcome]) -> Suppressed {
    let (tags, wrong) = tags(object);
    let mut out = Suppressed { findings: Vec::new(), unmatched: wrong };
    let allows: Vec<&Allow> = tags.iter().chain(config).filter(|allow| allow.meets(object, path)).collect();
    for allow in &allows {
        allow.met.store(true, Ordering::Relaxed);
    }
    for outcome in outcomes {
        outcome.findings.retain(|finding| {
            let programs = programs(object, finding);
            let covers = |allow: &&&Allow| {
                allow.rule == finding.rule.name && allow.covers(object, &finding.subject, &programs)
            };
            let Some(allow) = allows.iter().find(covers) else { return true };
            allow.used.store(true, Ordering::Relaxed);
            let doc = SuppressedDoc {
                rule: finding.rule,
                object: 0,
                subject: finding.subject.clone(),
                message: finding.message.clone(),
                by: allow.by(),
                reason: allow.reason.clone(),
            };
            if !out.findings.contains(&doc) {
                out.findings.push(doc);
            }
            false
        });
        outcome.undecided.retain(|open| {
            let covers =
                |allow: &&&Allow| allow.rule == open.rule.name && allow.covers(object, &open.subject, &[]);
            let found = allows.iter().find(covers);
            found.inspect(|allow| allow.used.store(true, Ordering::Relaxed)).is_none()
        });
    }
    let unused = tags.iter().filter(|allow| !allow.used.load(Ordering::Relaxed));
    out.unmatched.extend(unused.map(|allow| UnmatchedDoc {
        object: None,
        by: AllowedBy::Source,
        rule: allow.rule.clone(),
        place: match &allow.place {
            AppliesTo::Tag(name) => format!("tag on '{name}'"),
            AppliesTo::Config { .. } => String::new(),
        },
        problem: "allows nothing; remove it".to_owned(),
    }));
    out
}

/// The function and program of a finding's most telling place. An allow on any other of its places would hide what it
/// says about this one.
fn programs<'a>(object: &'a Object<'_>, finding: &Finding) -> Vec<&'a str> {
    let function = |site: Site| match site {
        Site::Insn(function, _) | Site::Function(function) => Some(function),
        _ => None,
    };
    let first =
        finding.locations.iter().find_map(|location| Some((function(location.site)?, location.program)));
    let functions = first.into_iter().flat_map(|(function, program)| [Some(function), program]);
    functions.flatten().map(|function| object[function].name.as_ref()).collect()
}
