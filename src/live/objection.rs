//! What the verifier objects to, as a finding at the C line.

use super::observation::PhaseSeen;
use crate::checks;
use crate::errno::Errno;
use crate::finding::{Subject, SubjectKind};
use crate::report::{FindingDoc, LocationDoc};
use crate::rule::{Family, Level, Phase, Rule};
use crate::verifier::log::Diagnostic;

/// Longest register state that is shown, in characters.
const MAX_STATE: usize = 160;

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
    let mut help = found.why().map_or_else(String::new, |why| checks::advice(why).to_owned());
    if !found.registers.is_empty() {
        if !help.is_empty() {
            help.push('\n');
        }
        help.push_str("registers:");
        for register in &found.registers {
            help.push_str(&format!(" {}={}", register.name, short(&register.value)));
        }
    }
    let detail = if verbose { found.detail.clone() } else { found.gist() };
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
            inlined: false,
            variable: None,
        }],
        ..FindingDoc::new(&VERIFIER, object, subject, message)
    }
}

/// A register's state, cut where it is very long.
fn short(value: &str) -> String {
    match value.char_indices().nth(MAX_STATE) {
        Some((at, _)) => format!("{}...", &value[..at]),
        None => value.to_owned(),
    }
}
