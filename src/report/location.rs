//! Where in the C sources a finding points.

use serde::Serialize;

use crate::finding::{Location, Site};
use crate::object::{InsnIdx, Object};

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

/// The C line of a place, as the object records it.
pub(super) fn locate(object: &Object<'_>, location: &Location) -> LocationDoc {
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
