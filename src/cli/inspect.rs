//! `scx-lint inspect`: what libbpf would make of an object.

use std::io::{self, BufWriter, IsTerminal};

use super::args::{Graph, Inspect, InspectFormat};
use super::examine::{Plan, examine};
use super::failure::Failure;
use super::progress::Progress;
use super::terminal::width;
use super::values::Settings;
use crate::checks::Options;
use crate::input::Compiler;
use crate::report;

pub(super) fn run(inspect: &Inspect) -> Result<u8, Failure> {
    let inputs = std::slice::from_ref(&inspect.input);
    let (mut document, _) = examine(
        inputs,
        &Plan {
            kernels: &[],
            compiler: &Compiler::default(),
            allows: &[],
            options: |_: &str| Options::default(),
            settings: &Settings::default(),
        },
        false,
        Progress::new(true),
    );
    let json = inspect.graph.is_none() && inspect.format == InspectFormat::Json;
    if !json {
        document.make_printable();
    }
    let spelling = if json { report::Spelling::Json } else { report::Spelling::Text };
    let mut out = report::Guard::new(BufWriter::new(io::stdout().lock()), spelling);
    match (inspect.graph, inspect.format) {
        (Some(Graph::Dot), _) => report::dot(&document, &mut out)?,
        (Some(Graph::Mermaid), _) => report::mermaid(&document, &mut out)?,
        (None, InspectFormat::Json) => report::json(&document, &mut out)?,
        (None, InspectFormat::Full) => {
            report::inspect(&document, &mut out, width(io::stdout().is_terminal()))?;
        }
    }
    out.finish()?;
    Ok(if document.has_input_errors() { 2 } else { 0 })
}
