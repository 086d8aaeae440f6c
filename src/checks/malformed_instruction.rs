//! `malformed-instruction`.

use super::context::Context;
use super::shared::insn_fields;
use super::shared::surely::Surely;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::flow::Fault;
use crate::insn::validate::{self, InsnFault};
use crate::insn::{Insn, Op};
use crate::object::{FuncIdx, Function, InsnIdx, Object};

rule! {
    /// An instruction that no kernel decodes.
    ///
    /// ## Why it matters
    /// The verifier refuses unknown opcodes, incomplete 64-bit loads and those of a kind that it does not know, jumps out of the function and
    /// functions that run off their end before it looks at anything else. It refuses a register above r10, and a field that the
    /// instruction does not use and that is not 0, where it comes to the instruction, and since 7.1 everywhere. From 7.2 on r11 may be the base of a load or
    /// store of an argument on the stack, which is let pass. libbpf refuses a call that leads to no function.
    /// ## Fix
    /// Look at inline assembly and at what rewrote the object after the compiler.
    /// ## Sources
    /// kernel `bpf_opcode_in_insntable`, `resolve_pseudo_ldimm64`, `check_subprogs`, `check_reg_arg`, `check_alu_op`, `check_cond_jmp_op`,
    /// `check_insn_fields` (7.1); libbpf `bpf_object__reloc_code`.
    pub MALFORMED_INSTRUCTION: "malformed-instruction", family: Program, level: Error, phase: Load, since: "0.1.0";
}

/// Something wrong with an instruction.
#[derive(Debug, Clone)]
struct Problem {
    at: InsnIdx,
    /// In our words, behind "program '...': ".
    text: String,
    /// In the verifier's or libbpf's.
    quote: String,
    errno: Errno,
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    let problems: Vec<_> = object
        .functions
        .iter()
        .enumerate()
        .map(|(index, function)| {
            astray(object, function).or_else(|| problem(function, cx.verifier.fault(FuncIdx(index))))
        })
        .collect();
    let bad: Vec<_> = object.functions.iter().map(bad_fields).collect();
    for (program, function, _) in cx.loaded() {
        let mut code = object.code_of(program).map(|(index, _)| index);
        let found = code.find_map(|index| Some((index, problems[index.0].clone()?)));
        let Some((site, problem)) = found.or_else(|| bad_field(cx, program, &bad, out)) else { continue };
        let message = format!("program '{}': {}", function.name, problem.text);
        out.found(&MALFORMED_INSTRUCTION, Subject::program(object, program), message)
            .errno(problem.errno)
            .quote(problem.quote)
            .help("look at inline assembly, and at what rewrote the object after the compiler")
            .via(Site::Insn(site, problem.at), program, "this instruction");
    }
}

/// Instructions of a function that use a register above r10, or have something in a field that they do not use.
fn bad_fields(function: &Function<'_>) -> Vec<Problem> {
    let bad = |(at, insn, op): (usize, Insn, Op)| {
        let (text, quote) = match validate::invalid_register(op) {
            Some(register) => (format!("uses register r{register}"), format!("R{register} is invalid")),
            None => {
                let kind = validate::reserved_field(insn, op)?;
                // What such a call's source means is libbpf's to say.
                if insn.is_call() && is_relocated(function, InsnIdx(at)) {
                    return None;
                }
                ("sets a field that must be 0".to_owned(), format!("{kind} uses reserved fields"))
            }
        };
        let text = format!("instruction {at} of '{}' {text}", function.name);
        Some(Problem { at: InsnIdx(at), text, quote, errno: Errno::EINVAL })
    };
    function.steps().filter_map(bad).collect()
}

/// Does libbpf write to the instruction.
fn is_relocated(function: &Function<'_>, at: InsnIdx) -> bool {
    !function.refs_at(at).is_empty() || function.call_at(at).is_some()
}

/// The first of the bad instructions that the verifier is sure to look at; one that it may look at is undecided.
fn bad_field(
    cx: &Context<'_, '_>,
    program: FuncIdx,
    bad: &[Vec<Problem>],
    out: &mut Outcome,
) -> Option<(FuncIdx, Problem)> {
    let code = cx.object.code_of(program);
    let problems = code.flat_map(|(index, _)| bad[index.0].iter().map(move |problem| (index, problem)));
    match insn_fields::looks_at(cx, program, problems.map(|(index, bad)| ((index, bad.at), (index, bad)))) {
        Surely::Sure((index, problem)) => Some((index, problem.clone())),
        Surely::Open((_, problem), branch, (function, at)) => {
            let reason = insn_fields::open(&branch.before(&problem.text));
            out.undecided(&MALFORMED_INSTRUCTION, Subject::program(cx.object, program), reason).via(
                Site::Insn(function, at),
                program,
                "here",
            );
            None
        }
        Surely::No => None,
    }
}

/// The first call that leads to no function, which libbpf refuses when it puts the program together.
fn astray(object: &Object<'_>, function: &Function<'_>) -> Option<Problem> {
    // A call that could not be made sense of is among what libbpf refused before.
    if !object.refusals.is_empty() {
        return None;
    }
    let is_call = |at: InsnIdx| function.code.get(at.0).is_some_and(Insn::is_subprog_call);
    let (at, _) = *function.calls.iter().find(|(at, target)| target.is_none() && is_call(*at))?;
    Some(Problem {
        at,
        text: format!("call at instruction {} of '{}' leads to no function", at.0, function.name),
        quote: "no .text section found yet sub-program call exists".to_owned(),
        errno: Errno::LIBBPF_ERRNO__RELOC,
    })
}

/// The first thing wrong that the verifier finds before it walks anything.
fn problem(function: &Function<'_>, fault: Option<Fault>) -> Option<Problem> {
    let code = function.code;
    let problem = |at, text, quote: &str| {
        Some(Problem { at: InsnIdx(at), text, quote: quote.to_owned(), errno: Errno::EINVAL })
    };
    for (at, insn, op) in function.steps() {
        match validate::fault(code, at, insn, op) {
            Some(InsnFault::UnknownOpcode(opcode)) => {
                let text = format!("opcode {opcode:#04x} of instruction {at} is unknown");
                return problem(at, text, &format!("unknown opcode {opcode:02x}"));
            }
            Some(InsnFault::LoadWithImmediate) => {
                let text = format!("load at instruction {at} sets a field that must be 0");
                return problem(at, text, "BPF_LDX uses reserved fields");
            }
            Some(InsnFault::NoSecondHalf) => {
                let text = format!("64-bit load at instruction {at} lacks its second half");
                return problem(at, text, "invalid bpf_ld_imm64 insn");
            }
            None => {}
        }
        // Numbers up to 6 stand for maps, variables and functions.
        if let Op::LoadImm64 { pseudo: kind @ 7.., .. } = op
            && !is_relocated(function, InsnIdx(at))
        {
            let text = format!("64-bit load at instruction {at} is of kind {kind}, which no kernel knows");
            return problem(at, text, "unrecognized bpf_ld_imm64 insn");
        }
    }
    match fault? {
        Fault::OutOfRange(from, to) => problem(
            from,
            format!("jump from instruction {from} to {to} leaves the function"),
            "jump out of range from insn",
        ),
        Fault::FallsOff(at) => {
            problem(at, "the function runs off its end".to_owned(), "last insn is not an exit or jmp")
        }
        Fault::IntoImmediate(at) => problem(
            at,
            format!("jump into the second half of the 64-bit load before instruction {at}"),
            "jump into the middle of ldimm64 insn",
        ),
        Fault::Unreachable(_) => None,
    }
}
