//! `scx-lint explain`: the page of a rule, of an error number, or of what a pasted log says.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::errnos;
use super::failure::Failure;
use super::rules::known_rule;
use super::stdout::written;
use crate::checks;
use crate::errno::Errno;
use crate::live::pasted::{self, Said};
use crate::report::{self, Spelling};
use crate::rule::Rule;
use crate::suggest::nearest;
use crate::verifier::log::Diagnostic;

/// Most bytes of a log that are read: what libbpf gives the verifier for one at most is 16 MiB.
const MAX_LOG: u64 = 64 << 20;

/// The page of a rule or an error number of that name, else what the file of that name says; `-` is standard input.
pub(super) fn run(what: &OsStr) -> Result<u8, Failure> {
    let name = what.to_string_lossy();
    if name == "-" {
        return log("standard input", io::stdin().lock());
    }
    if let Some(rule) = checks::find(&name).or_else(|| report::live_rule(&name)) {
        return page(&rule_page(rule));
    }
    if let Some(meaning) = errnos::find(&name) {
        return page(&errnos::page(meaning));
    }
    if name.contains(['/', '.']) || Path::new(what).exists() {
        let file = File::open(what).map_err(|error| Failure::Output(name.clone().into_owned(), error))?;
        return log(&name, file);
    }
    // What looks like an errno and is none is not a rule either.
    if name.starts_with('E') || name.parse::<i64>().is_ok() {
        let near = nearest(&name.to_uppercase(), errnos::names());
        let near = near.map_or_else(String::new, |near| format!(", did you mean '{near}'?"));
        return Err(Failure::Setting(format!("unknown error number '{name}'{near}")));
    }
    page(&rule_page(known_rule(&name)?))
}

fn page(text: &str) -> Result<u8, Failure> {
    written(|out| io::Write::write_all(out, text.as_bytes()))
}

fn rule_page(rule: &Rule) -> String {
    let (family, level, phase) = (rule.family.as_str(), rule.level.as_str(), rule.phase.as_str());
    format!("{} ({family}, {level} at {phase}, since {})\n\n{}\n", rule.name, rule.since, rule.page())
}

/// What a log says.
fn log(name: &str, source: impl Read) -> Result<u8, Failure> {
    let mut bytes = Vec::new();
    let read = source.take(MAX_LOG + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::Output(name.to_owned(), error))?;
    if bytes.len() as u64 > MAX_LOG {
        return Err(Failure::Setting(format!("{name}: more than {} MiB, which no log is", MAX_LOG >> 20)));
    }
    let said = pasted::read(&String::from_utf8_lossy(&bytes));
    if said.is_empty() {
        return Err(Failure::Setting(format!(
            "{name}: nothing in it is known: no verifier log, no message of libbpf or sched_ext that a rule is about"
        )));
    }
    let mut pages: Vec<String> = said.iter().map(said_page).collect();
    for text in &mut pages {
        // It quotes what stands in the log.
        report::escape(text, &['\n', '\t']);
    }
    page(&report::without_commands(&pages.join("\n"), Spelling::Text))
}

fn said_page(said: &Said) -> String {
    match said {
        Said::Refusal { diagnostic, errno } => refusal_page(diagnostic, *errno),
        Said::Line { text, rules } => {
            let mut out = format!("{text}\n\n");
            for rule in *rules {
                out.push_str(&format!("what it means: {}.\n", rule.summary()));
            }
            if let [rule] = rules
                && let Some(fix) = rule.section("Fix")
            {
                out.push_str(&format!("what to write: {fix}\n"));
            }
            out + &more(rules, None)
        }
        Said::Exit { scheduler, reason, message } => {
            let name = scheduler.as_ref().map_or_else(String::new, |name| format!(" '{name}'"));
            let mut out = format!("scheduler{name} ended: {reason}\n");
            let rules = checks::about(message);
            if !message.is_empty() {
                out.push_str(&format!("    {message}\n"));
            }
            let meaning = pasted::reason_meaning(reason).unwrap_or("the kernel ended the scheduler");
            out.push_str(&format!("\nwhat it means: {meaning}\n"));
            for rule in rules {
                out.push_str(&format!("what it means: {}.\n", rule.summary()));
            }
            out + &more(rules, None)
        }
        Said::Error { text, errno } => format!("{text}\n\n{}", more(&[], Some(*errno))),
    }
}

fn refusal_page(found: &Diagnostic, errno: Option<Errno>) -> String {
    let name = match found.program.as_str() {
        "" => "a program".to_owned(),
        name => format!("program '{name}'"),
    };
    let errno_words = errno.map_or_else(String::new, |errno| format!(" ({errno})"));
    let has_log = !found.words().is_empty() || !found.instructions.is_empty();
    let who = if has_log { "verifier" } else { "kernel" };
    let mut out = format!("the {who} refuses {name}{errno_words}\n");
    match found.message.as_str() {
        "" if has_log => out.push_str("    without a word\n"),
        "" => {}
        message => out.push_str(&format!("    {message}\n")),
    }
    if let (Some(file), Some(line)) = (&found.file, found.line) {
        let text = found.text.as_deref().unwrap_or_default();
        out.push_str(&format!("    {file}:{line}: {text}\n"));
    } else if let Some(text) = &found.text {
        out.push_str(&format!("    {text}\n"));
    }
    if let Some(insn) = found.insn {
        let last = found.instructions.last().filter(|last| !last.starts_with(';'));
        out.push_str(&format!("    {}\n", last.cloned().unwrap_or_else(|| format!("instruction {insn}"))));
    }
    if let Some(register) = found.culprit() {
        out.push_str(&format!("    {} is {}\n", register.name, register.value));
    }
    out.push('\n');
    let rules = checks::about(&found.words());
    match found.why() {
        Some(why) => {
            out.push_str(&format!(
                "what it means: {}\nwhat to write: {}\n",
                why.meaning(),
                checks::advice(why)
            ));
        }
        None if !has_log => out.push_str("no log says why: the error number is all that is known\n"),
        None => out.push_str("what it means: not known to this version\n"),
    }
    let gist = found.gist();
    if !gist.is_empty() {
        out.push_str(&format!("the kernel explains: {}\n", gist.join(" ")));
    }
    let general = [checks::refused_by_verifier()];
    out + &more(if rules.is_empty() { &general } else { rules }, errno)
}

/// Where there is more to read.
fn more(rules: &[&Rule], errno: Option<Errno>) -> String {
    let names = rules.iter().map(|rule| rule.name.to_owned());
    let errno = errno.filter(|errno| errnos::find(&errno.0.to_string()).is_some());
    let names = names.chain(errno.map(|errno| errno.to_string()));
    names.map(|name| format!("more: scx-lint explain {name}\n")).collect()
}
