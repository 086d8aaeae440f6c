//! What the verifier objects to, as a finding at the C line.

use super::observation::{Diagnostic, PhaseSeen};
use crate::report::{FindingDoc, LocationDoc, SubjectDoc};

/// Longest register state that is shown, in characters.
const MAX_STATE: usize = 160;

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
    FindingDoc {
        rule: "verifier",
        known: false,
        refuses: true,
        level: "error",
        object,
        kernels: Vec::new(),
        phase: "load",
        errno: phase.errno.clone(),
        kernel_message: Some(found.message.clone()),
        subject: SubjectDoc { kind: "program", name: found.program.clone() },
        message: format!("the verifier refuses program '{}'", found.program),
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
