//! What follows from a fault of the kernel, and is nobody else's: told apart by judging the object again on the kernel without it.

use super::implicit_kfunc_arguments::IMPLICIT_KFUNC_ARGUMENTS;
use super::truncated_enum64::TRUNCATED_ENUM64;
use crate::finding::{Finding, Outcome, Undecided};
use crate::rule::{Level, Rule};

/// The rules that speak of a fault of the kernel which [`crate::kernel::Kernel::healed`] sets right.
static FAULTS: [&Rule; 2] = [&IMPLICIT_KFUNC_ARGUMENTS, &TRUNCATED_ENUM64];

/// Is there a finding about a fault of the kernel.
pub(super) fn is_in(outcome: &Outcome) -> bool {
    outcome.findings.iter().any(is_fault)
}

fn is_fault(finding: &Finding) -> bool {
    FAULTS.contains(&finding.rule)
}

/// Keeps back what is not so on the kernel without its fault, and says so where the fault is told. The fault takes over what
/// the first refusal that it causes would say.
pub(super) fn explain(outcome: &mut Outcome, without: &Outcome) {
    let stays = |finding: &Finding| {
        let same = |other: &Finding| {
            (other.rule, &other.subject, &other.message) == (finding.rule, &finding.subject, &finding.message)
        };
        is_fault(finding) || without.findings.iter().any(same)
    };
    let is_open = |open: &Undecided| {
        let same = |other: &Undecided| {
            (other.rule, &other.subject, &other.reason) == (open.rule, &open.subject, &open.reason)
        };
        without.undecided.iter().any(same)
    };
    let (mut kept, back): (Vec<_>, Vec<_>) = outcome.findings.drain(..).partition(stays);
    let questions = outcome.undecided.len();
    outcome.undecided.retain(is_open);
    let questions = questions - outcome.undecided.len();
    // What the kernel is to blame for comes first.
    kept.sort_by_key(|finding| !is_fault(finding));
    if let Some(fault) = kept.first_mut() {
        let refusals = back.iter().filter(|finding| finding.level == Level::Error);
        if let Some(refusal) = refusals.min_by_key(|finding| finding.phase)
            && fault.level != Level::Error
        {
            fault.level = Level::Error;
            fault.phase = refusal.phase;
            fault.errno = refusal.errno;
            fault.kernel_message.clone_from(&refusal.kernel_message);
        }
        if !back.is_empty() || questions > 0 {
            let count = |number: usize, one: &str, many: &str| match number {
                0 => None,
                1 => Some(format!("one {one}")),
                _ => Some(format!("{number} {many}")),
            };
            let parts = [
                count(back.len(), "finding", "findings"),
                count(questions, "open question", "open questions"),
            ];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            let kept_back = format!("kept back because it follows from this: {}", parts.join(", "));
            let help = fault.help.take().map_or_else(String::new, |help| format!("{help}; "));
            fault.help = Some(help + &kept_back);
        }
    }
    outcome.findings = kept;
}
