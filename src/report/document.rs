//! The document that every format prints: JSON version 1, field by field.
//!
//! Additive only within a version. Lines and columns are 1-based.

use std::collections::BTreeMap;

use serde::Serialize;

use super::findings::{FindingDoc, SuppressedDoc, UndecidedDoc, UnmatchedDoc};
use super::objects::ObjectDoc;
use super::passed::PassedDoc;
use super::programs_on::ProgramOn;
use super::runs::LiveRun;
use super::verdict::Verdict;
use crate::kernel::{ConfigOrigin, KernelArenaRule, Source};
use crate::libbpf::Libbpf;
use crate::rule::Level;

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
    /// What would happen to each program on each kernel if it were loaded alone with the object's maps, where that is asked.
    pub programs_on: Vec<ProgramOn>,
    /// Problems.
    pub findings: Vec<FindingDoc>,
    /// Open questions.
    pub undecided: Vec<UndecidedDoc>,
    /// What real kernels did, as JSON has it.
    pub live: Vec<serde_json::Value>,
    /// The same, as the formats of services have it.
    #[serde(skip)]
    pub runs: Vec<LiveRun>,
    /// What the user's `allow` entries keep out of `findings`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<SuppressedDoc>,
    /// Allows that allow nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmatched_allows: Vec<UnmatchedDoc>,
    /// What lay among the inputs and was not judged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedDoc>,
    /// The findings were held against a baseline.
    #[serde(skip)]
    pub baseline: bool,
    /// Only what fails the run is to be shown: no verdicts, no table, no counts. See [`Self::keep_failing`].
    #[serde(skip)]
    pub failing_only: bool,
    /// Counts.
    pub summary: Summary,
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

/// A target kernel.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct KernelDoc {
    pub name: String,
    pub release: Option<String>,
    pub source: Source,
    pub arena_rule: KernelArenaRule,
    /// `x86_64`, `arm64` and so on; null where nothing tells.
    pub arch: Option<String>,
    /// Bytes of a page; null where nothing tells.
    pub page_size: Option<u64>,
    /// What is known of its configuration.
    pub config: ConfigDoc,
    /// For another machine than the usual one: `arm64, 16 KiB pages`.
    #[serde(skip)]
    pub foreign: Option<String>,
}

impl KernelDoc {
    /// Its name, and for which machine it is where that is not the usual one: `vmlinuz (arm64, 16 KiB pages)`.
    pub fn title(&self) -> String {
        match &self.foreign {
            Some(words) => format!("{} ({words})", self.name),
            None => self.name.clone(),
        }
    }
}

/// What is known of a kernel's configuration.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct ConfigDoc {
    pub origin: ConfigOrigin,
    /// Options that are taken to be as the distribution sets them, without `CONFIG_`; null where none are.
    pub assumed: Option<BTreeMap<&'static str, &'static str>>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            schema_version: 1,
            scx_lint: env!("CARGO_PKG_VERSION"),
            assumptions: Assumptions {
                arch: "x86_64",
                page_size: crate::object::PAGE_SIZE,
                libbpf: Libbpf::default().as_str(),
            },
            objects: Vec::new(),
            kernels: Vec::new(),
            verdicts: Vec::new(),
            programs_on: Vec::new(),
            findings: Vec::new(),
            undecided: Vec::new(),
            live: Vec::new(),
            runs: Vec::new(),
            suppressed: Vec::new(),
            unmatched_allows: Vec::new(),
            passed_over: Vec::new(),
            baseline: false,
            failing_only: false,
            summary: Summary::default(),
        }
    }
}

impl Document {
    /// Findings of level error that are not in a baseline.
    pub fn errors(&self) -> impl Iterator<Item = &FindingDoc> {
        self.findings.iter().filter(|finding| finding.level == Level::Error && !finding.known)
    }

    /// How many findings of a level are not in the baseline.
    pub fn new_findings(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level && !finding.known).count()
    }

    /// Drops what does not fail the run: notes, allows that allow nothing, and warnings and open questions as asked.
    pub fn keep_failing(&mut self, drop_warnings: bool, drop_undecided: bool) {
        self.failing_only = true;
        self.unmatched_allows.clear();
        self.findings.retain(|f| {
            !f.known && (f.level == Level::Error || (f.level == Level::Warning && !drop_warnings))
        });
        if drop_undecided {
            self.undecided.clear();
        }
    }

    /// Some input could not be read.
    pub fn has_input_errors(&self) -> bool {
        self.objects.iter().any(|object| object.error.is_some())
    }
}
