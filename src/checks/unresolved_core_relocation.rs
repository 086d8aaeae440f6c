//! `unresolved-core-relocation`.

use super::context::Context;
use super::shared::core_uses;
use super::shared::surely::{self, Surely};
use crate::btf::core::{Poison, RelocationKind};
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::load::CoreFate;

rule! {
    /// Accesses a field, type or enumerator that the kernel does not have.
    ///
    /// ## Why it matters
    /// libbpf makes the instruction invalid, and the verifier refuses the program if it comes there. Behind a test
    /// (`bpf_core_field_exists()`, `bpf_core_type_exists()`, `bpf_core_enum_value_exists()`) the branch is dropped and nothing happens.
    /// ## Example
    /// ```c
    /// u64 id = bpf_core_enum_value(enum scx_ops_flags, SCX_OPS_TID_TO_TASK);   /* on 7.1 */
    /// ```
    /// ## Fix
    /// Test for it first, or declare the type with a flavour (`struct task_struct___old`) per layout.
    /// ## Sources
    /// libbpf `bpf_core_calc_relo_insn`, `bpf_core_poison_insn`.
    pub UNRESOLVED_CORE_RELOCATION: "unresolved-core-relocation", family: CoRe, level: Error, phase: Load, since: "0.1.0";
}

/// What the verifier says of the helper that libbpf's `bpf_core_poison_insn` calls.
const POISONED: &str = "invalid func unknown#195896080";

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    if cx.kernel.is_none() {
        return;
    }
    for (program, function, _) in cx.loaded() {
        // One finding for each thing that is missing, at the place that is surest to be reached.
        let uses = core_uses::of(cx, program).filter(|used| {
            matches!(used.fate, CoreFate::Poison(_) | CoreFate::Unknown(_))
                && !used.kind.is_some_and(RelocationKind::is_existence)
        });
        let uses = uses.map(|used| ((used.function, used.insn), used));
        for answer in surely::surest(cx, program, uses, |used| used.subject.as_str()) {
            let Some(&used) = answer.found() else { continue };
            let subject = Subject::program(cx.object, program);
            let what = &used.subject;
            let poison = match &used.fate {
                CoreFate::Poison(poison) => poison,
                CoreFate::Unknown(reason) => {
                    if matches!(answer, Surely::Sure(_)) {
                        let reason =
                            reason.within(|why| format!("accesses {what} without a test, and {why}"));
                        out.undecided(&UNRESOLVED_CORE_RELOCATION, subject, reason).via(
                            Site::Insn(used.function, used.insn),
                            program,
                            "this access",
                        );
                    }
                    continue;
                }
                _ => continue,
            };
            let problem = match poison {
                Poison::NoCandidate => "whose type the kernel does not have".to_owned(),
                Poison::NoMatch => "which is not in the kernel, or of another type there".to_owned(),
                Poison::MemorySize { local, target, .. } => {
                    format!(
                        "which is {local} bytes long here and {target} in the kernel, and no unsigned integer or pointer"
                    )
                }
            };
            let accesses = |_: &_| format!("accesses {what}, {problem}");
            let answer = answer.or_undecided(out, &UNRESOLVED_CORE_RELOCATION, subject.clone(), accesses);
            let Some(used) = answer else { continue };
            out.found(
                &UNRESOLVED_CORE_RELOCATION,
                subject,
                format!("program '{}' accesses {what}, {problem}", function.name),
            )
            .errno(Errno::EINVAL)
            .quote(format!("failed to resolve CO-RE relocation {}", used.spec))
            .logged(POISONED)
            .help(
                "test for it first (bpf_core_field_exists, bpf_core_type_exists, bpf_core_enum_value_exists)",
            )
            .via(Site::Insn(used.function, used.insn), program, "this access");
        }
    }
}
