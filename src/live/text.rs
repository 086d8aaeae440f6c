//! What was seen on real kernels, for people.

use std::io::{self, Write};

use super::observation::{AttachSeen, Diagnostic, Failure, Observation, PhaseSeen, code};
use super::run::Live;
use super::statistics::Comparison;
use crate::errno::Errno;
use crate::finding::{Subject, SubjectKind};
use crate::report::{self, Document, FindingDoc, LocationDoc, Sources, Style};
use crate::rule::{Family, Level, Phase, Rule};

/// Longest register state that is shown, in characters.
const MAX_STATE: usize = 160;

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
        for difference in &seen.differs {
            let plea = match difference.is_foreseeable() {
                true => " (please report this: it is a bug in scx-lint)",
                false => "",
            };
            writeln!(out, "  differs: {difference}{plea}")?;
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

/// `7.3.4 (guest of vmlinuz-7.3.4, tcg)`.
pub(super) fn place(seen: &Observation) -> String {
    let kernel = &seen.kernel;
    let release = if kernel.release.is_empty() { "a kernel that never came up" } else { &kernel.release };
    let accel = kernel.accel.as_ref().map_or_else(String::new, |accel| format!(", {accel}"));
    match &kernel.image {
        Some(image) => format!("{release} (guest of {image}{accel})"),
        None => format!("{release} (this machine)"),
    }
}

/// One sentence: how far it came, and the reason.
pub fn sentence(seen: &Observation) -> String {
    if let Some(phase) = seen.phases.iter().find(|phase| !phase.ok) {
        return format!("error: {}: {}", phase.phase.as_str(), reason(phase));
    }
    if let Some(attach) = seen.attach.iter().find(|attach| !attach.ok) {
        return format!("error: {}: {}", attach.map, verdict(attach));
    }
    if let Some(failure) = &seen.failure {
        let during = failure.during.as_ref().map_or_else(String::new, |step| format!(" during {step}"));
        return format!("error: {}{during}: {}", failure.code, failure.message);
    }
    let maps: Vec<String> =
        seen.attach.iter().map(|attach| format!("{}: {}", attach.map, verdict(attach))).collect();
    if maps.is_empty() {
        "ok: loads; it has no struct_ops map to attach".to_owned()
    } else {
        format!("ok: {}", maps.join("; "))
    }
}

/// Why a phase failed.
fn reason(phase: &PhaseSeen) -> String {
    let errno = match (&phase.errno, &phase.meaning) {
        (Some(errno), Some(meaning)) => format!("{errno} ({meaning})"),
        (Some(errno), None) => errno.clone(),
        (None, _) => "failed".to_owned(),
    };
    match (&phase.program, &phase.diagnostic) {
        (Some(program), Some(found)) if !found.message.is_empty() => {
            format!("{errno}: program '{program}': {}", found.message)
        }
        (Some(program), _) => format!("{errno}: program '{program}'"),
        (None, _) => match phase.messages.first() {
            Some(text) => format!("{errno}: {}", text.trim_start_matches("libbpf: ")),
            None => errno,
        },
    }
}

/// What became of a struct_ops map.
fn verdict(attach: &AttachSeen) -> String {
    let why = || match &attach.exit {
        Some(exit) if exit.message.is_empty() => exit.reason.clone(),
        Some(exit) => format!("{}: {}", exit.reason, exit.message),
        None => match attach.kernel_log.iter().find(|line| !line.ends_with(" enabled")) {
            Some(line) => line.clone(),
            None => "the kernel gives no reason".to_owned(),
        },
    };
    let held = attach.held_ms as f64 / 1000.0;
    let when = if held < 0.05 { "at once".to_owned() } else { format!("after {held:.1} s") };
    match () {
        () if attach.ok => format!("enabled, held {held:.1} s, detached"),
        () if !attach.call_ok => {
            let errno = attach.errno.as_deref().unwrap_or("an error");
            // A scheduler that is refused with an errno leaves its reason in the kernel log only.
            match attach.kernel_log.first() {
                Some(line) => format!("the attach call fails: {errno}: {line}"),
                None => {
                    let meaning =
                        attach.meaning.as_ref().map_or_else(String::new, |text| format!(" ({text})"));
                    format!("the attach call fails: {errno}{meaning}")
                }
            }
        }
        () if attach.ejected => {
            format!("the attach call succeeds, but the scheduler is ejected {when}: {}", why())
        }
        () if !attach.enabled => {
            format!("the attach call succeeds, but the scheduler is not enabled: {}", why())
        }
        () if attach.after != "disabled" && !attach.after.is_empty() => {
            format!("enabled, but after detach the state is '{}'", attach.after)
        }
        () => format!("enabled, but the kernel log has errors: {}", why()),
    }
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
fn print_matrix(live: &Live, document: &Document, out: &mut impl Write) -> io::Result<()> {
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

/// What the verifier's objection goes by where it is printed like a finding. No rule foresees it, and none can be allowed.
static VERIFIER: Rule = Rule {
    name: "verifier",
    family: Family::Kernel,
    level: Level::Error,
    phase: Phase::Load,
    since: "0.1.0",
    doc: " The verifier refuses a program.\n",
};

/// The verifier's objection as a finding, so that it is shown at the C line.
pub(super) fn finding(object: usize, found: &Diagnostic, phase: &PhaseSeen, verbose: bool) -> FindingDoc {
    let label = match found.culprit() {
        Some(register) => format!("{} is {}", register.name, short(&register.value)),
        None => "refused here".to_owned(),
    };
    let mut help = String::new();
    if !found.registers.is_empty() {
        help.push_str("registers:");
        for register in &found.registers {
            help.push_str(&format!(" {}={}", register.name, short(&register.value)));
        }
    }
    let detail = if verbose { found.detail.clone() } else { gist(&found.detail) };
    for (title, lines) in [("last instructions:", &found.instructions), ("the kernel explains:", &detail)] {
        if !lines.is_empty() {
            if !help.is_empty() {
                help.push('\n');
            }
            help.push_str(title);
            for line in lines {
                help.push_str("\n  ");
                help.push_str(line);
            }
        }
    }
    let subject = Subject { kind: SubjectKind::Program, name: found.program.clone() };
    let message = format!("the verifier refuses program '{}'", found.program);
    FindingDoc {
        errno: phase.errno.as_deref().and_then(Errno::from_words),
        kernel_message: Some(found.message.clone()),
        help: (!help.is_empty()).then_some(help),
        locations: vec![LocationDoc {
            file: found.file.clone(),
            line: found.line,
            column: found.column,
            text: found.text.clone(),
            label,
            program: found.function.clone(),
            insn: found.function_insn,
        }],
        ..FindingDoc::new(&VERIFIER, object, subject, message)
    }
}

/// The paragraphs "Reason" and "Suggestion" of the kernel's explanation, which may go on for pages.
fn gist(detail: &[String]) -> Vec<String> {
    let mut keep = false;
    let mut lines = Vec::new();
    for line in detail {
        // Headings are indented less than what they head.
        if line.ends_with(':') && !line.starts_with("   ") {
            keep = matches!(line.trim(), "Reason:" | "Suggestion:");
        } else if keep && !line.is_empty() {
            lines.push(line.trim().to_owned());
        }
    }
    lines
}

/// A register's state, cut where it is very long.
fn short(value: &str) -> String {
    match value.char_indices().nth(MAX_STATE) {
        Some((at, _)) => format!("{}...", &value[..at]),
        None => value.to_owned(),
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
