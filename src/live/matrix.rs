//! Objects down, kernels across.

use std::io::{self, Write};

use super::observation::{Observation, code};
use super::run::Live;
use crate::report::Document;

/// One word for a cell of the matrix.
fn cell(seen: &Observation) -> &'static str {
    if let Some(phase) = seen.phases.iter().find(|phase| !phase.ok) {
        return phase.phase.as_str();
    }
    if let Some(attach) = seen.attach.iter().find(|attach| !attach.ok) {
        return match () {
            () if attach.ejected => "ejected",
            () if !attach.enabled => "attach",
            () => "log",
        };
    }
    match seen.failure.as_ref().map(|failure| failure.code.as_str()) {
        Some(code::PANIC) => "panic",
        Some(code::TIMEOUT) => "timeout",
        Some(code::HANG | code::NO_BOOT) => "hang",
        Some(_) => "error",
        None => "ok",
    }
}

/// Objects down, kernels across.
pub(super) fn print_matrix(live: &Live, document: &Document, out: &mut impl Write) -> io::Result<()> {
    let rows = document.objects.iter().enumerate().filter(|(_, object)| object.error.is_none());
    let widest = rows.clone().map(|(_, object)| object.title().chars().count()).max().unwrap_or(0);
    let columns: Vec<usize> = live.kernels.iter().map(|name| name.chars().count().max(7)).collect();
    write!(out, "\n{:widest$}", "")?;
    for (name, width) in live.kernels.iter().zip(&columns) {
        write!(out, "  {name:width$}")?;
    }
    writeln!(out)?;
    let per_kernel = live.observations.len() / live.kernels.len().max(1);
    for (number, object) in rows {
        write!(out, "{:widest$}", object.title())?;
        for (kernel, width) in columns.iter().enumerate() {
            let seen = live.observations.iter().skip(kernel * per_kernel).take(per_kernel);
            let word = seen.into_iter().find(|seen| seen.object == number).map_or("-", cell);
            write!(out, "  {word:width$}")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "(ok, or the phase that fails: open, load, attach; ejected: enabled, then thrown out)")
}
