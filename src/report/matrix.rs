//! The verdicts as a table: a row for each object and ops variable, a column for each kernel.

use super::document::Document;
use super::dossier::Dossier;
use super::fate::Fate;
use super::findings::FindingDoc;
use crate::rule::{Level, Phase, Rule};

/// The table.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// Names of the kernels; one column `any kernel` where none is named.
    pub columns: Vec<String>,
    /// Rows in the order of the objects.
    pub rows: Vec<MatrixRow>,
}

/// One row.
#[derive(Debug, Clone)]
pub struct MatrixRow {
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

/// The kernels that something is about, by name; empty where no kernel is named or it is about all of them.
#[cfg(feature = "cli")]
pub(super) fn kernels_of(document: &Document, kernels: &[usize]) -> Vec<String> {
    if kernels.len() == document.kernels.len() {
        return Vec::new();
    }
    let names = kernels.iter().filter_map(|&kernel| document.kernels.get(kernel));
    names.map(|kernel| kernel.title()).collect()
}

impl Dossier<'_> {
    /// Does a finding belong to an ops variable: one of open or load concerns all of them.
    pub(super) fn concerns(&self, finding: &FindingDoc, ops: Option<&str>) -> bool {
        let Some(name) = ops else { return true };
        let ops = self.object.struct_ops.iter().find(|ops| ops.map == name);
        finding.phase <= Phase::Load || ops.is_none_or(|ops| ops.is_meant_by(&finding.subject))
    }

    /// Its rows of the table: the object as a whole, then each ops variable where there are several.
    pub(super) fn rows(&self, number: usize) -> Vec<MatrixRow> {
        let count = self.kernels.len();
        let keys: Vec<Option<usize>> = if count == 0 { vec![None] } else { (0..count).map(Some).collect() };
        let mut ops: Vec<Option<&str>> = vec![None];
        for verdict in &self.verdicts {
            if !ops.contains(&verdict.struct_ops.as_deref()) {
                ops.push(verdict.struct_ops.as_deref());
            }
        }
        let row = |ops: Option<&str>| MatrixRow {
            object: number,
            ops: ops.map(str::to_owned),
            title: ops.map_or_else(|| self.object.title(), |ops| format!("{}: {ops}", self.object.title())),
            cells: keys.iter().map(|&kernel| self.cell(kernel, ops)).collect(),
        };
        ops.into_iter().map(row).collect()
    }

    fn cell(&self, kernel: Option<usize>, ops: Option<&str>) -> Cell {
        let fate = self.fate(kernel, ops);
        let mut rules = Vec::new();
        if let Fate::Fails(phase) = fate {
            let here = self.findings.iter().filter(|finding| {
                finding.level == Level::Error
                    && finding.phase == phase
                    && kernel.is_none_or(|k| finding.kernels.is_empty() || finding.kernels.contains(&k))
                    && self.concerns(finding, ops)
            });
            for finding in here {
                if !rules.contains(&finding.rule) {
                    rules.push(finding.rule);
                }
            }
        }
        Cell { fate, rules }
    }
}

impl Matrix {
    /// There are so many kernels that a cell has room for one word.
    pub fn is_wide(&self) -> bool {
        self.columns.len() > 4
    }

    /// The table of a document.
    pub fn of(document: &Document) -> Self {
        Self::of_parts(&document.parts())
    }

    /// The same of what is gathered already.
    pub(super) fn of_parts(parts: &[Dossier<'_>]) -> Self {
        let names: Vec<String> = parts.first().map_or_else(Vec::new, |part| part.kernels.clone());
        let rows = parts.iter().enumerate().flat_map(|(number, part)| part.rows(number)).collect();
        let columns = if names.is_empty() { vec!["any kernel".to_owned()] } else { names };
        Self { columns, rows }
    }

    /// The fates that it has, each once, for a legend.
    pub fn fates(&self) -> Vec<Fate> {
        let has = |fate: &Fate| {
            let same = |other: Fate| std::mem::discriminant(&other) == std::mem::discriminant(fate);
            self.rows.iter().flat_map(|row| &row.cells).any(|cell| same(cell.fate))
        };
        Fate::ALL.into_iter().filter(has).collect()
    }
}
