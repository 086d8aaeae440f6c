//! The verdicts as a table: a row for each object and ops variable, a column for each kernel.

use super::document::{Document, KernelDoc};
use super::findings::FindingDoc;
use super::verdict::Answer;
use crate::rule::{Level, Phase, Rule};

/// The table.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// Names of the kernels; one column `any kernel` where none is named.
    pub columns: Vec<String>,
    /// Rows in the order of the objects.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Index of the object.
    pub object: usize,
    /// The ops variable; `None` for the object as a whole.
    pub ops: Option<String>,
    /// The object's path, and the ops variable.
    pub title: String,
    /// One for each column.
    pub cells: Vec<Cell>,
}

/// What would happen on one kernel.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    /// How far it comes.
    pub fate: Fate,
    /// The rules that say so, each once.
    pub rules: Vec<&'static Rule>,
}

/// How far an object comes on a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// Every phase passes.
    Works,
    /// Opens, loads and attaches; whether it then stays enabled is open.
    Attaches,
    /// Fails at that phase.
    Fails(Phase),
    /// Nothing says that it fails, nor that it works.
    #[default]
    Unknown,
    /// The input cannot be read.
    Unreadable,
}

impl Fate {
    /// In two or three words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Attaches => "attaches",
            Self::Fails(Phase::Open) => "does not open",
            Self::Fails(Phase::Load) => "does not load",
            Self::Fails(Phase::Attach) => "does not attach",
            Self::Fails(Phase::Run) => "is ejected",
            Self::Unknown => "nothing found",
            Self::Unreadable => "unreadable",
        }
    }

    /// In one word, for tables of many kernels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Attaches => "attaches",
            Self::Fails(phase) => phase.as_str(),
            Self::Unknown => "",
            Self::Unreadable => "unreadable",
        }
    }

    /// One character for narrow columns.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Works | Self::Attaches => "✓",
            Self::Fails(_) => "✗",
            Self::Unknown => "·",
            Self::Unreadable => "!",
        }
    }
}

/// Names of the document's kernels.
pub(super) fn kernel_names(document: &Document) -> Vec<String> {
    let name = |kernel: &KernelDoc| match &kernel.foreign {
        Some(words) => format!("{} ({words})", kernel.name),
        None => kernel.name.clone(),
    };
    document.kernels.iter().map(name).collect()
}

/// The kernels that a finding is about, by name; empty where no kernel is named or it is about all of them.
pub(super) fn kernels_of(document: &Document, finding: &FindingDoc) -> Vec<String> {
    let names = kernel_names(document);
    if finding.kernels.len() == names.len() {
        return Vec::new();
    }
    finding.kernels.iter().filter_map(|&kernel| names.get(kernel).cloned()).collect()
}

/// Does a finding belong to an ops variable: one of open or load concerns all of them.
pub(super) fn concerns(document: &Document, finding: &FindingDoc, ops: Option<&str>) -> bool {
    let Some(name) = ops else { return true };
    let ops = document.objects[finding.object].struct_ops.iter().find(|ops| ops.map == name);
    finding.phase <= Phase::Load || ops.is_none_or(|ops| ops.is_meant_by(&finding.subject))
}

impl Matrix {
    /// There are so many kernels that a cell has room for one word.
    pub fn is_wide(&self) -> bool {
        self.columns.len() > 4
    }

    /// The table of a document.
    pub fn of(document: &Document) -> Self {
        let names = kernel_names(document);
        let keys: Vec<Option<usize>> =
            if names.is_empty() { vec![None] } else { (0..names.len()).map(Some).collect() };
        let mut rows = Vec::new();
        for (object, input) in document.objects.iter().enumerate() {
            let path = input.title();
            if input.error.is_some() {
                let cell = Cell { fate: Fate::Unreadable, rules: Vec::new() };
                rows.push(Row { object, ops: None, title: path, cells: vec![cell; keys.len()] });
                continue;
            }
            let mut ops: Vec<Option<&str>> = Vec::new();
            for verdict in document.verdicts.iter().filter(|verdict| verdict.object == object) {
                if !ops.contains(&verdict.struct_ops.as_deref()) {
                    ops.push(verdict.struct_ops.as_deref());
                }
            }
            for ops in ops {
                let title = ops.map_or_else(|| path.clone(), |ops| format!("{path}: {ops}"));
                let cells = keys.iter().map(|&kernel| cell(document, object, ops, kernel)).collect();
                rows.push(Row { object, ops: ops.map(str::to_owned), title, cells });
            }
        }
        let columns = if names.is_empty() { vec!["any kernel".to_owned()] } else { names };
        Self { columns, rows }
    }
}

fn cell(document: &Document, object: usize, ops: Option<&str>, kernel: Option<usize>) -> Cell {
    let found = document
        .verdicts
        .iter()
        .find(|v| v.object == object && v.kernel == kernel && v.struct_ops.as_deref() == ops);
    let Some(verdict) = found else { return Cell::default() };
    let Some(phase) = verdict.failure() else {
        let fate = match Phase::ALL.into_iter().find(|&phase| verdict.at(phase) != Answer::Pass) {
            None => Fate::Works,
            Some(Phase::Run) => Fate::Attaches,
            Some(_) => Fate::Unknown,
        };
        return Cell { fate, rules: Vec::new() };
    };
    let mut rules = Vec::new();
    let here = document.findings.iter().filter(|finding| {
        finding.object == object
            && finding.level == Level::Error
            && finding.phase == phase
            && kernel.is_none_or(|kernel| finding.kernels.is_empty() || finding.kernels.contains(&kernel))
            && concerns(document, finding, ops)
    });
    for finding in here {
        if !rules.contains(&finding.rule) {
            rules.push(finding.rule);
        }
    }
    Cell { fate: Fate::Fails(phase), rules }
}
