//! `refused-by-verifier`.

use super::call_under_spin_lock::CALL_UNDER_SPIN_LOCK;
use super::context::Context;
use super::deep_call_chain::DEEP_CALL_CHAIN;
use super::disallowed_helper::DISALLOWED_HELPER;
use super::endless_loop::ENDLESS_LOOP;
use super::invalid_context_access::INVALID_CONTEXT_ACCESS;
use super::kfunc_outside_its_ops::KFUNC_OUTSIDE_ITS_OPS;
use super::malformed_instruction::MALFORMED_INSTRUCTION;
use super::nullable_argument_dereference::NULLABLE_ARGUMENT_DEREFERENCE;
use super::nullable_result_dereference::NULLABLE_RESULT_DEREFERENCE;
use super::sleepable_kfunc::SLEEPABLE_KFUNC;
use super::stack_overflow::STACK_OVERFLOW;
use super::unknown_helper::UNKNOWN_HELPER;
use super::unprotected_rcu_kfunc::UNPROTECTED_RCU_KFUNC;
use super::unreleased_reference::UNRELEASED_REFERENCE;
use crate::finding::{Finding, Outcome, Site, Subject, SubjectKind};
use crate::object::FuncIdx;
use crate::rule::{Level, Phase, Rule};
use crate::verifier::bpf_check::{self, Came, Refusal, Why};

rule! {
    /// The kernel's verifier refuses a program.
    ///
    /// ## Why it matters
    /// A scheduler loads only if the verifier accepts every one of its programs. scx-lint walks each as the named kernel's verifier
    /// does, path by path, and this is where that kernel stops, with its own words. What another rule says more of is left to that
    /// rule.
    /// ## Example
    /// ```c
    /// struct task_ctx *tctx = bpf_task_storage_get(&task_ctxs, p, 0, 0);
    /// tctx->runs++;        /* R0 invalid mem access 'map_value_or_null' */
    /// ```
    /// ## Fix
    /// The help of each finding says what the words mean and what to write instead. `scx-lint --vm IMAGE` shows the whole log
    /// of a real kernel.
    /// ## Sources
    /// kernel `bpf_check` (kernel/bpf/verifier.c and its neighbours, 6.12, 7.2, 7.3); the words of guests.
    pub REFUSED_BY_VERIFIER: "refused-by-verifier", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let programs: Vec<FuncIdx> = cx.loaded().map(|(program, ..)| program).collect();
    for (&program, verification) in programs.iter().zip(cx.verifier.verify_all(&programs)) {
        let outcome = verification.as_ref().map(|verification| &verification.outcome);
        if outcome != Some(&bpf_check::Outcome::Accepted) {
            out.unproven.push(cx.object[program].name.to_string());
        }
        out.verifications.extend(verification.map(|verification| (program, verification)));
    }
}

/// What the verifier refuses, and no rule has said of the program, or of the object as a whole, why it does not load.
pub(super) fn tell_rest(cx: &Context<'_, '_>, out: &mut Outcome) {
    let refuses = |finding: &&Finding| finding.level == Level::Error && finding.phase <= Phase::Load;
    let said: Vec<Subject> =
        out.findings.iter().filter(refuses).map(|finding| finding.subject.clone()).collect();
    for (program, verification) in out.verifications.clone() {
        let subject = Subject::program(cx.object, program);
        let is_said = |said: &Subject| said == &subject || said.kind != SubjectKind::Program;
        if let bpf_check::Outcome::Refused(refusal) = verification.outcome
            && !said.iter().any(is_said)
        {
            tell(cx, program, &refusal, out);
        }
    }
}

fn tell(cx: &Context<'_, '_>, program: FuncIdx, refusal: &Refusal, out: &mut Outcome) {
    let object = cx.object;
    let name = &object[program].name;
    let message = format!("the verifier refuses program '{name}': {}", refusal.message);
    let finding = out.found(claimant(refusal), Subject::program(object, program), message);
    finding.errno(refusal.errno).quote(refusal.message.clone()).help(advice(refusal.why));
    match refusal.at {
        Some((function, insn)) => finding.via(Site::Insn(function, insn), program, "refused here"),
        None => finding.at(Site::Function(program), "this program"),
    };
    if let Some(origin) = refusal.origin.as_ref().filter(|origin| Some(origin.at) != refusal.at) {
        let (function, insn) = origin.at;
        finding.via(Site::Insn(function, insn), program, story(refusal, &origin.came));
    }
}

/// The rule that is about a mistake; what none claims is told by `refused-by-verifier`.
fn claimant(refusal: &Refusal) -> &'static Rule {
    let came = refusal.origin.as_ref().map(|origin| &origin.came);
    let says = |words: &str| refusal.message.contains(words);
    match refusal.why {
        Why::NullDereference => match came {
            Some(Came::Argument(_)) => &NULLABLE_ARGUMENT_DEREFERENCE,
            Some(Came::Returned(_)) => &NULLABLE_RESULT_DEREFERENCE,
            _ => &REFUSED_BY_VERIFIER,
        },
        Why::UnreleasedReference => &UNRELEASED_REFERENCE,
        Why::Lock if says("while holding a lock") || says("-ed region") => &CALL_UNDER_SPIN_LOCK,
        Why::EndlessLoop => &ENDLESS_LOOP,
        Why::StackDepth if says("frames") => &DEEP_CALL_CHAIN,
        Why::StackDepth => &STACK_OVERFLOW,
        Why::Context => &INVALID_CONTEXT_ACCESS,
        Why::Instruction => &MALFORMED_INSTRUCTION,
        Why::Helper if says("cannot use helper") => &DISALLOWED_HELPER,
        Why::Helper if says("invalid func ") => &UNKNOWN_HELPER,
        Why::Kfunc if says("is not allowed") => &KFUNC_OUTSIDE_ITS_OPS,
        Why::Sleep if says("sleepable kfunc") => &SLEEPABLE_KFUNC,
        Why::Rcu if says("requires RCU critical section protection") => &UNPROTECTED_RCU_KFUNC,
        _ => &REFUSED_BY_VERIFIER,
    }
}

/// What the verifier holds a value for, where it was made.
fn story(refusal: &Refusal, came: &Came) -> String {
    let made = match came {
        Came::Argument(register) => format!("argument {register} comes in here"),
        Came::Callback => "the callback is called here with it".to_owned(),
        Came::Returned(name) if name.is_empty() => "returned here".to_owned(),
        Came::Returned(name) => format!("returned by {name}() here"),
        Came::Loaded => "loaded here".to_owned(),
        Came::Constant => "a constant, set here".to_owned(),
        Came::Computed => "computed here".to_owned(),
        Came::Clobbered => "this call leaves nothing in the register".to_owned(),
    };
    let held = match (refusal.why, came) {
        (_, Came::Clobbered | Came::Constant) => return made,
        (Why::NullDereference | Why::NullArgument, _) => "may be NULL from here on",
        (Why::NumberAsPointer, _) => "a number for the verifier from here on",
        (Why::UntrustedPointer, _) => "not known to be valid from here on",
        (Why::OutOfBounds, _) => "may be any number until it is tested",
        (Why::PointerArithmetic, _) if refusal.message.contains("unbounded") => {
            "may be any number until it is tested"
        }
        _ => return made,
    };
    format!("{made}: {held}")
}

/// What to write instead.
pub fn advice(why: Why) -> &'static str {
    match why {
        Why::UninitializedRegister => {
            "a variable has no value on some path: give it one where it is declared, and see that the function returns on every path"
        }
        Why::UninitializedStack => {
            "set every byte of the struct on the stack before it is read: `= {}` where it is declared"
        }
        Why::NullDereference => {
            "test the pointer for NULL first, on every path that leads here: `if (!ptr) return ...;`"
        }
        Why::NullArgument => "test the pointer for NULL before the call: the function does not take NULL",
        Why::NumberAsPointer => {
            "the verifier holds this for a number: keep the pointer's type from where it was got (no casts through integers, a full \
             struct definition for kptrs, the address space on arena pointers), or read through it with bpf_core_cast() or BPF_CORE_READ()"
        }
        Why::OutOfBounds => {
            "compare the index or size with its limit right before the use, unsigned, in the variable that is used: \
             `if (idx >= MAX) return ...;`"
        }
        Why::PointerArithmetic => {
            "only bounded numbers may be added to this pointer; compute in an integer and check it first"
        }
        Why::Spill => "store and load pointers on the stack with all 8 bytes, in the function's own frame",
        Why::UntrustedPointer => {
            "the pointer is not known to be valid: take a reference (bpf_task_acquire() and the like), stay inside \
             bpf_rcu_read_lock(), or use the pointer that the kernel passed in"
        }
        Why::WrongArgument => {
            "the function takes another kind of argument: compare its prototype with what is passed"
        }
        Why::UnreleasedReference => "give back what was taken on every path, early returns too",
        Why::UnownedRelease => "only what this program took, and has not given back, can be given back",
        Why::Lock => {
            "do less under the lock: nothing may be called there but what the kernel lists, and every path must unlock"
        }
        Why::Rcu => {
            "pair bpf_rcu_read_lock() with bpf_rcu_read_unlock() on every path, and use RCU pointers only in between"
        }
        Why::Preemption => "pair bpf_preempt_disable() with bpf_preempt_enable() on every path",
        Why::Interrupts => {
            "pair bpf_local_irq_save() with bpf_local_irq_restore() on every path, innermost first"
        }
        Why::Iterator => "use bpf_for_each() or bpf_for(), which make and destroy the iterator on every path",
        Why::Dynptr => "make the dynptr first, check what that returned, and release it on every path",
        Why::ReturnValue => "return a number that the kernel takes from here on every path",
        Why::Context => {
            "read an argument as the callback's prototype declares it: BPF_PROG() and BPF_STRUCT_OPS() do"
        }
        Why::ReadOnly => "this memory may only be read",
        Why::KernelField => {
            "read whole fields of the kernel's struct, with CO-RE, and write to none but those that the kernel lets programs of this \
             type write to"
        }
        Why::Map => "the map's type or flags do not allow this use",
        Why::Helper => "programs of this type may not call this helper on that kernel",
        Why::Kfunc => "this program may not call this kfunc on that kernel",
        Why::Sleep => {
            "what may sleep can be called in sleepable programs only, outside of locks and RCU sections"
        }
        Why::GlobalFunction => {
            "make the function static, or tag its arguments (__arg_nonnull, __arg_trusted, __arg_ctx ...)"
        }
        Why::TooComplex => {
            "give the verifier less to walk: global functions, bpf_loop() or bpf_for() in place of unrolled loops"
        }
        Why::EndlessLoop => "give the loop a bound that the verifier sees: bpf_for(), can_loop, bpf_loop()",
        Why::Flow => "every instruction must be reachable, and every path must end in a return",
        Why::Instruction => "the kernel does not know the instruction: build with an older -mcpu",
        Why::StackDepth => "use less stack: per-CPU maps for large variables, fewer nested calls",
        Why::Kptr => "access a kptr with bpf_kptr_xchg(), or load it whole",
        Why::Graph => "hold the lock that belongs to the list or tree, and own the node",
        Why::Timer => {
            "the map must have BTF and hold a struct bpf_timer, bpf_wq or bpf_task_work in its value"
        }
        Why::Exception => "bpf_throw() is not allowed here",
        Why::Arena => "the program must use the arena: refer to it, and cast pointers with the address space",
        Why::Misaligned => "align the access to its size",
        Why::Poison => {
            "the kernel lacks the field or type: guard it with bpf_core_field_exists() or bpf_core_type_exists()"
        }
        Why::MissingKfunc => "the kernel lacks the kfunc: guard the call with bpf_ksym_exists()",
        Why::Division => "the divisor is the number 0",
        Why::Attach => "the program cannot attach there",
        Why::License => "the object needs a license that is compatible with the GPL",
        Why::Atomic => "atomic instructions do not work on this memory",
    }
}
