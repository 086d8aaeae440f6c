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

fn is_same(one: &Finding, other: &Finding) -> bool {
    (one.rule, &one.subject, &one.message) == (other.rule, &other.subject, &other.message)
}

fn is_same_question(one: &Undecided, other: &Undecided) -> bool {
    (one.rule, &one.subject, &one.reason) == (other.rule, &other.subject, &other.reason)
}

/// Keeps back what is not so on the kernel without its fault, and says so where the fault is told. The fault takes over what
/// the first refusal that it causes would say. What stays is told as on the kernel without it: the fault may move the place
/// where a problem shows first.
pub(super) fn explain(outcome: &mut Outcome, mut without: Outcome) {
    let (mut kept, others): (Vec<_>, Vec<_>) = outcome.findings.drain(..).partition(is_fault);
    without.findings.retain(|found| !is_fault(found) && others.iter().any(|other| is_same(found, other)));
    without.undecided.retain(|open| outcome.undecided.iter().any(|other| is_same_question(open, other)));
    let back: Vec<_> = others
        .into_iter()
        .filter(|finding| !without.findings.iter().any(|stays| is_same(finding, stays)))
        .collect();
    let is_back = |open: &&Undecided| !without.undecided.iter().any(|stays| is_same_question(open, stays));
    let questions = outcome.undecided.iter().filter(is_back).count();
    // What the kernel is to blame for comes first; the rest comes behind it.
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
    kept.append(&mut without.findings);
    (outcome.findings, outcome.undecided) = (kept, without.undecided);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{missing_kfunc::MISSING_KFUNC, missing_ksym::MISSING_KSYM};
    use crate::finding::{Site, Subject};
    use crate::object::{FuncIdx, InsnIdx};

    fn at(insn: usize) -> Site {
        Site::Insn(FuncIdx(0), InsnIdx(insn))
    }

    #[test]
    fn what_stays_is_told_with_its_places_on_the_kernel_without_the_fault() {
        let (mut with, mut without) = (Outcome::default(), Outcome::default());
        let subject = || Subject::section("x");
        with.found(&MISSING_KFUNC, subject(), "stays").at(at(9), "here");
        with.found(&MISSING_KFUNC, subject(), "follows from the fault");
        with.found(&IMPLICIT_KFUNC_ARGUMENTS, subject(), "the fault");
        with.undecided(&MISSING_KSYM, subject(), "stays open").at(at(8), "here");
        with.undecided(&MISSING_KSYM, subject(), "follows from the fault");
        without.found(&MISSING_KFUNC, subject(), "stays").at(at(1), "here");
        without.found(&MISSING_KFUNC, subject(), "is hidden by the fault");
        without.undecided(&MISSING_KSYM, subject(), "stays open").at(at(2), "here");
        explain(&mut with, without);
        let messages: Vec<&str> = with.findings.iter().map(|finding| &*finding.message).collect();
        assert_eq!(messages, ["the fault", "stays"]);
        assert_eq!(with.findings[1].locations[0].site, at(1));
        assert_eq!(with.undecided.len(), 1);
        assert_eq!(with.undecided[0].locations[0].site, at(2));
        let help = with.findings[0].help.as_deref().unwrap_or_default();
        assert!(help.contains("follows from this: one finding, one open question"), "{help}");
    }
}
