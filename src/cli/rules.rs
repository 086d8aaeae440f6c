//! `scx-lint rules` and `scx-lint explain`: the pages of rules, and of error numbers.

use std::io::{self, BufWriter, Write};

use super::errnos;
use super::failure::Failure;
use crate::checks;
use crate::report;
use crate::rule::Rule;
use crate::suggest::nearest;

pub(super) fn known_rule(name: &str) -> Result<&'static Rule, Failure> {
    checks::find(name).ok_or_else(|| {
        let near = nearest(name, checks::RULES.iter().map(|rule| rule.name));
        let near = near.map(|near| format!(", did you mean '{near}'?"));
        Failure::UnknownRule(name.to_owned(), near.unwrap_or_default())
    })
}

pub(super) fn explain(name: &str) -> Result<u8, Failure> {
    let mut out = io::stdout().lock();
    if let (None, Some(meaning)) = (checks::find(name), errnos::find(name)) {
        write!(out, "{}", errnos::page(meaning))?;
        return Ok(0);
    }
    // What looks like an errno and is none is not a rule either.
    let number = name.starts_with('E') || name.parse::<i64>().is_ok();
    if number {
        let near = nearest(&name.to_uppercase(), errnos::names());
        let near = near.map_or_else(String::new, |near| format!(", did you mean '{near}'?"));
        return Err(Failure::Setting(format!("unknown error number '{name}'{near}")));
    }
    let rule = match report::live_rule(name) {
        Some(rule) => rule,
        None => known_rule(name)?,
    };
    writeln!(
        out,
        "{} ({}, {} at {}, since {})\n\n{}",
        rule.name,
        rule.family.as_str(),
        rule.level.as_str(),
        rule.phase.as_str(),
        rule.since,
        rule.page()
    )?;
    Ok(0)
}

pub(super) fn list(names: bool, markdown: bool) -> Result<u8, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    if markdown {
        out.write_all(checks::pages().as_bytes())?;
        out.flush()?;
        return Ok(0);
    }
    let widest = checks::RULES.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    for rule in checks::RULES {
        if names {
            writeln!(out, "{}", rule.name)?;
        } else {
            let (level, phase) = (rule.level.as_str(), rule.phase.as_str());
            writeln!(
                out,
                "{:10} {:widest$} {level:7} {phase:6} {}",
                rule.family.as_str(),
                rule.name,
                rule.summary()
            )?;
        }
    }
    out.flush()?;
    Ok(0)
}
