//! Where in the C sources a finding points.

use serde::Serialize;

use crate::finding::{Location, Site};
use crate::object::{MapIdx, Object, SourceLine};

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
    /// The line is one of code that was inlined at the location before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inlined: bool,
    /// A variable whose line the object does not record.
    #[serde(skip)]
    pub variable: Option<Variable>,
}

/// A map or an ops variable, and the C files that the object names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    pub(super) name: String,
    pub(super) files: Vec<String>,
}

impl LocationDoc {
    /// The same at a C line.
    fn on(self, line: SourceLine<'_>) -> Self {
        Self {
            file: Some(line.file.to_owned()),
            line: Some(line.line),
            column: (line.column > 0).then_some(line.column),
            text: (!line.text.is_empty()).then(|| line.text.to_owned()),
            ..self
        }
    }

    /// The same where a map or an ops variable is defined.
    fn at_variable(self, object: &Object<'_>, map: MapIdx) -> Self {
        match object.map_line(map) {
            Some(line) => self.on(line),
            None => {
                let files = object.files().into_iter().take(MOST_FILES).map(str::to_owned).collect();
                Self { variable: Some(Variable { name: object[map].name.to_string(), files }), ..self }
            }
        }
    }

    /// The same at a C line, where there is one.
    fn on_any(self, line: Option<SourceLine<'_>>) -> Self {
        match line {
            Some(line) => self.on(line),
            None => self,
        }
    }
}

/// C files of an object that are looked through.
const MOST_FILES: usize = 64;

/// The C lines of a place, as the object records them: that of the function itself, and, for code that was inlined there, its own.
pub(super) fn locate(object: &Object<'_>, location: &Location) -> Vec<LocationDoc> {
    let label = &location.label;
    let mut doc = LocationDoc {
        file: None,
        line: None,
        column: None,
        text: None,
        label: label.clone(),
        program: location.program.map(|program| object[program].name.to_string()),
        insn: None,
        inlined: false,
        variable: None,
    };
    match location.site {
        Site::Insn(function, insn) => {
            doc.insn = Some(insn.0);
            doc.program.get_or_insert_with(|| object[function].name.to_string());
            let Some(place) = object.place(function, insn) else { return vec![doc] };
            let Some(inlined) = place.inlined else { return vec![doc.on(place.line)] };
            let near = if place.is_near { "inlined near this line" } else { "inlined here" };
            let inner = LocationDoc { label: "the inlined code".to_owned(), inlined: true, ..doc.clone() };
            let outer = LocationDoc { label: format!("{label}, in code that is {near}"), ..doc };
            vec![outer.on(place.line), inner.on(inlined)]
        }
        Site::Function(function) => {
            doc.program.get_or_insert_with(|| object[function].name.to_string());
            vec![doc.on_any(object.function_line(function))]
        }
        Site::Map(map) => {
            doc.label = format!("map '{}': {label}", object[map].name);
            vec![doc.at_variable(object, map)]
        }
        Site::StructOps(ops) => {
            let map = object[ops].map;
            doc.label = format!("struct_ops '{}': {label}", object[map].name);
            vec![doc.at_variable(object, map)]
        }
    }
}
