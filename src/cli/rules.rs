//! `scx-lint rules`: the list of rules, and all their pages.

use std::io::{self, BufWriter, Write};

use super::failure::Failure;
use crate::checks;
use crate::rule::Rule;
use crate::suggest::nearest;

pub(super) fn known_rule(name: &str) -> Result<&'static Rule, Failure> {
    checks::find(name).ok_or_else(|| {
        let near = nearest(name, checks::RULES.iter().map(|rule| rule.name));
        let near = near.map(|near| format!(", did you mean '{near}'?"));
        Failure::UnknownRule(name.to_owned(), near.unwrap_or_default())
    })
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
