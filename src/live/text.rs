//! What was seen on real kernels, for people.

use std::io::{self, Write};

use super::matrix::print_matrix;
use super::objection::finding;
use super::observation::{AttachSeen, Failure, Observation, PhaseSeen, code};
use super::run::Live;
use super::sentence::{place, reason, sentence, verdict};
use super::statistics::Comparison;
use crate::report::{self, Document, Sources, Style};
use crate::rule::Phase;

/// Prints each observation with its diagnostics, the comparison, and a matrix where there are several guests.
///
/// # Errors
/// The writer's.
pub fn full(
    live: &Live,
    document: &Document,
    style: &Style,
    sources: &Sources,
    verbose: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    // What keeps a kernel from being asked at all is told once, not for each object.
    let is_same = |a: &Observation, b: &Observation| {
        a.failure.is_some()
            && a.failure == b.failure
            && a.kernel == b.kernel
            && a.phases == b.phases
            && a.phases.is_empty()
    };
    let shown = shown(live, document);
    for same in shown.chunk_by(|a, b| is_same(a, b)) {
        let seen = same[0];
        let path = &document.objects[seen.object].title();
        match same.len() {
            1 => writeln!(out, "\n{path} on {}", place(seen))?,
            count => writeln!(out, "\n{path} and {} more on {}", count - 1, place(seen))?,
        }
        if verbose {
            for edit in &seen.edits {
                writeln!(out, "  before load: {edit}")?;
            }
        }
        for phase in &seen.phases {
            print_phase(phase, seen, verbose, out)?;
            if let Some(diagnostic) = phase.diagnostic.as_ref().filter(|found| !found.message.is_empty()) {
                let about = report::About { title: path, path, kernels: None };
                report::render(
                    &finding(seen.object, diagnostic, phase, verbose),
                    &about,
                    style,
                    sources,
                    out,
                )?;
            }
        }
        for attach in &seen.attach {
            print_attach(attach, out)?;
        }
        if let Some(failure) = &seen.failure {
            print_failure(failure, out)?;
        }
        for unforeseen in &seen.unforeseen {
            writeln!(out, "  not foreseen: {unforeseen}")?;
        }
        for difference in &seen.differs {
            writeln!(out, "  differs: {difference} (please report this: it is a bug in scx-lint)")?;
        }
        if verbose {
            print_programs(seen, out)?;
        }
    }
    if let Some(comparison) = compared(live, document) {
        print_comparison(comparison, out)?;
    }
    if live.kernels.len() > 1 && !document.failing_only {
        print_matrix(live, document, out)?;
    }
    Ok(())
}

/// Prints one line for each observation, difference and failed statistic.
///
/// # Errors
/// The writer's.
pub fn concise(live: &Live, document: &Document, out: &mut impl Write) -> io::Result<()> {
    for seen in shown(live, document) {
        let path = &document.objects[seen.object].title();
        writeln!(out, "{path}: live[{}]: {}", place(seen), sentence(seen))?;
        for difference in &seen.differs {
            writeln!(out, "{path}: differs[{}]: {difference}", place(seen))?;
        }
        for unforeseen in &seen.unforeseen {
            writeln!(out, "{path}: not foreseen[{}]: {unforeseen}", place(seen))?;
        }
    }
    if let Some(comparison) = compared(live, document) {
        print_comparison(comparison, out)?;
    }
    Ok(())
}

/// The observations that a report shows: all, or those that fail the run.
fn shown<'a>(live: &'a Live, document: &Document) -> Vec<&'a Observation> {
    live.observations.iter().filter(|seen| !document.failing_only || !seen.is_ok()).collect()
}

/// The comparison, unless only what fails the run is shown and it does not.
fn compared<'a>(live: &'a Live, document: &Document) -> Option<&'a Comparison> {
    let fails = |found: &&Comparison| found.changes.iter().any(|change| change.fails);
    live.comparison.as_ref().filter(|found| !document.failing_only || fails(found))
}

fn print_phase(phase: &PhaseSeen, seen: &Observation, verbose: bool, out: &mut impl Write) -> io::Result<()> {
    if phase.ok {
        let extra = match phase.phase {
            Phase::Load => {
                let insns: u64 = seen.programs.iter().map(|program| u64::from(program.verified_insns)).sum();
                let plural = if seen.programs.len() == 1 { "" } else { "s" };
                format!(": {} program{plural}, {insns} instructions verified", seen.programs.len())
            }
            _ => String::new(),
        };
        writeln!(out, "  {:7} ok{extra}", phase.phase.as_str())?;
    } else {
        writeln!(out, "  {:7} FAILED: {}", phase.phase.as_str(), reason(phase))?;
    }
    if !phase.ok || verbose {
        for message in &phase.messages {
            for line in message.lines() {
                writeln!(out, "          {line}")?;
            }
        }
    }
    if verbose && !phase.ok {
        for line in &phase.log {
            writeln!(out, "          | {line}")?;
        }
    }
    Ok(())
}

fn print_attach(attach: &AttachSeen, out: &mut impl Write) -> io::Result<()> {
    let status = if attach.ok { "" } else { "FAILED: " };
    writeln!(out, "  attach  {status}{}: {}", attach.map, verdict(attach))?;
    if attach.link_added {
        writeln!(
            out,
            "          loaded with BPF_F_LINK, which '.struct_ops' lacks, so that it cannot stay attached"
        )?;
    }
    if let Some(exit) = &attach.exit {
        let kind = exit.kind.as_deref().unwrap_or(&exit.reason);
        let code =
            exit.code.filter(|&code| code != 0).map_or_else(String::new, |code| format!(", code {code:#x}"));
        writeln!(out, "          exit: {kind}{code} (from the {})", exit.source)?;
    }
    if !attach.ok {
        for line in &attach.kernel_log {
            writeln!(out, "          {line}")?;
        }
    }
    Ok(())
}

fn print_failure(failure: &Failure, out: &mut impl Write) -> io::Result<()> {
    let during = failure.during.as_ref().map_or_else(String::new, |step| format!(" (during {step})"));
    let words = match failure.code.as_str() {
        code::TIMEOUT => "timeout",
        code::PANIC => "kernel panic",
        code::HANG => "guest hangs",
        code::NO_BOOT => "guest does not boot",
        code::IMAGE => "bad kernel image",
        code::NO_SCHED_EXT => "no sched_ext",
        code::STUCK => "stuck",
        code::BUSY => "busy",
        code::INTERRUPTED => "interrupted",
        _ => "error",
    };
    writeln!(out, "  {words}: {}{during}", failure.message)?;
    for line in &failure.console {
        writeln!(out, "          > {line}")?;
    }
    Ok(())
}

fn print_programs(seen: &Observation, out: &mut impl Write) -> io::Result<()> {
    let widest = seen.programs.iter().map(|program| program.name.len()).max().unwrap_or(0).max(7);
    if !seen.programs.is_empty() {
        writeln!(
            out,
            "  {:widest$} {:>9} {:>8} {:>8} {:>9} {:>9}  maps",
            "program", "verified", "xlated", "jited", "us", "runs"
        )?;
    }
    for program in &seen.programs {
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let (time, runs) = (number(program.verify_us), number(program.runs));
        writeln!(
            out,
            "  {:widest$} {:>9} {:>8} {:>8} {time:>9} {runs:>9}  {}",
            program.name,
            program.verified_insns,
            program.xlated_bytes,
            program.jited_bytes,
            program.maps.join(" ")
        )?;
    }
    Ok(())
}

fn print_comparison(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\ncompared:")?;
    for change in &comparison.changes {
        let mark = if change.fails { "  FAILED" } else { "" };
        writeln!(
            out,
            "  {} on {}: {}: {} {} -> {} ({:+.1} %){mark}",
            change.path,
            change.release,
            change.program,
            metric(change),
            change.values.0,
            change.values.1,
            change.percent()
        )?;
    }
    for words in &comparison.unmatched {
        writeln!(out, "  {words}")?;
    }
    if comparison.changes.is_empty() && comparison.unmatched.is_empty() {
        writeln!(out, "  nothing changed")?;
    }
    Ok(())
}

pub(super) fn metric(change: &super::statistics::Change) -> &'static str {
    use super::args::Metric;
    match change.metric {
        Metric::Insns => "instructions verified",
        Metric::Xlated => "bytes translated",
        Metric::Jited => "bytes of machine code",
        Metric::Time => "verifier us",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With -q what passed is silent, in both formats.
    #[test]
    fn only_what_fails_is_shown_where_that_is_asked_for() {
        let phase = |ok| PhaseSeen { phase: Phase::Load, ok, ..PhaseSeen::default() };
        let seen = |ok| Observation { phases: vec![phase(ok)], ..Observation::default() };
        let live = |outcomes: &[bool]| Live {
            observations: outcomes.iter().map(|&ok| seen(ok)).collect(),
            kernels: vec!["a".to_owned(), "b".to_owned()],
            comparison: Some(Comparison::default()),
        };
        let printed = |outcomes: &[bool], quiet: bool| {
            let mut document = crate::lint(b"", &crate::Options::default());
            if quiet {
                document.keep_failing(true, true);
            }
            let style = Style { color: false, unicode: true, width: 80 };
            let mut texts = [Vec::new(), Vec::new()];
            full(&live(outcomes), &document, &style, &Sources::default(), false, &mut texts[0]).unwrap();
            concise(&live(outcomes), &document, &mut texts[1]).unwrap();
            texts.map(|text| String::from_utf8(text).unwrap())
        };
        assert_eq!(printed(&[true, true], true), ["", ""]);
        for (text, loud) in printed(&[true, false], true).iter().zip(printed(&[true, false], false)) {
            let place = "a kernel that never came up (this machine)";
            assert_eq!((text.matches(place).count(), loud.matches(place).count()), (1, 2), "{text}{loud}");
            assert!(loud.contains("compared:") && !text.contains("compared:"), "{text}");
        }
    }
}
