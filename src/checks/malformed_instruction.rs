//! `malformed-instruction`.

use super::context::Context;
use super::shared::walk::Walk;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::flow::Fault;
use crate::insn::{Class, Insn};
use crate::kernel::Lookup;
use crate::kernel::exceptions::Fact;
use crate::object::{FuncIdx, Function, InsnIdx, Object};
use crate::reach::Reached;

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
            astray(object, function).or_else(|| problem(function, cx.fault(FuncIdx(index))))
        })
        .collect();
    let bad: Vec<_> = object.functions.iter().map(bad_fields).collect();
    for (program, function, _) in object.programs().filter(|(_, _, entry)| entry.autoload) {
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
    let code = function.code;
    let bad = |(at, insn): (usize, Insn)| {
        let register = registers(insn).into_iter().flatten().find(|&register| register > LAST_REGISTER);
        let (text, quote) = match register {
            Some(register) => (format!("uses register r{register}"), format!("R{register} is invalid")),
            None => {
                let kind = reserved(insn)?;
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
    code.insns().filter_map(bad).collect()
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
    let everywhere = cx.kernel.map(|kernel| kernel.knows(Fact::InsnFieldsCheckedEverywhere));
    let mut walk = None;
    let mut guarded = None;
    for (index, _) in cx.object.code_of(program) {
        for problem in &bad[index.0] {
            let walk = walk.get_or_insert_with(|| Walk::new(cx, program));
            let reached = walk.reached(index, problem.at);
            if everywhere == Some(Lookup::Found(())) || reached == Reached::Certain {
                return Some((index, problem.clone()));
            }
            if everywhere != Some(Lookup::Absent) || reached == Reached::Possible {
                guarded.get_or_insert(&problem.text);
            }
        }
    }
    if let Some(text) = guarded {
        let reason =
            format!("{text}, behind a branch; kernels before 7.1 refuse it only where they come to it");
        out.undecided(&MALFORMED_INSTRUCTION, Subject::program(cx.object, program), reason);
    }
    None
}

/// The kind of instruction, as the verifier calls it, if a field is not 0 that every kernel wants to be. Left out are fields
/// that some kernel does not look at.
fn reserved(insn: Insn) -> Option<&'static str> {
    let by_register = insn.code & 8 != 0;
    // The field that the other kind of source leaves unused.
    let unused = if by_register { insn.imm != 0 } else { insn.src != 0 };
    let (class, operation) = (insn.class(), insn.code >> 4);
    match class {
        Class::Ld => (insn.is_ld_imm64() && insn.off != 0).then_some("BPF_LD_IMM64"),
        // Looked at before, in all code.
        Class::Ldx => None,
        Class::St => (insn.src != 0).then_some("BPF_ST"),
        Class::Stx => (insn.code & 0xe0 == 0x60 && insn.imm != 0).then_some("BPF_STX"),
        Class::Alu | Class::Alu64 => match operation {
            8 => (insn.src != 0 || insn.off != 0 || insn.imm != 0).then_some("BPF_NEG"),
            0xd => (insn.src != 0 || insn.off != 0 || !matches!(insn.imm, 16 | 32 | 64)).then_some("BPF_END"),
            0xb if by_register => {
                let extends = matches!(insn.off, 0 | 8 | 16) || class == Class::Alu64 && insn.off == 32;
                (!insn.is_addr_space_cast() && (unused || !extends)).then_some("BPF_MOV")
            }
            0xb => (unused || insn.off != 0).then_some("BPF_MOV"),
            // Signed division.
            3 | 9 => (unused || insn.off > 1).then_some("BPF_ALU"),
            _ => (unused || insn.off > 0).then_some("BPF_ALU"),
        },
        Class::Jmp | Class::Jmp32 => match operation {
            0 if by_register => None,
            0 => {
                let distance = if class == Class::Jmp { insn.imm != 0 } else { insn.off != 0 };
                (insn.src != 0 || insn.dst != 0 || distance).then_some("BPF_JA")
            }
            // A function of the kernel's has its module in `off`.
            8 => {
                let helper = insn.src == 0 && (insn.dst != 0 || insn.off != 0);
                (helper || insn.src > 2).then_some("BPF_CALL")
            }
            9 => (insn.src != 0 || insn.dst != 0 || insn.imm != 0).then_some("BPF_EXIT"),
            0xe => None,
            _ => unused.then_some("BPF_JMP/JMP32"),
        },
    }
}

/// r10, the frame pointer.
const LAST_REGISTER: u8 = 10;

/// The registers that an instruction reads or writes, as far as its fields name them; r11 as the base of a 64-bit
/// load or store is left out, which is an argument on the stack from 7.2 on.
fn registers(insn: Insn) -> [Option<u8>; 2] {
    let by_register = insn.code & 8 != 0;
    let source = by_register.then_some(insn.src);
    let base = |register: u8, wide: u8| (register != 11 || insn.code != wide).then_some(register);
    match insn.class() {
        Class::Ld if insn.is_ld_imm64() => [Some(insn.dst), None],
        // Packet loads: only the indirect ones read a register.
        Class::Ld => [None, (insn.code & 0xe0 == 0x40).then_some(insn.src)],
        Class::Ldx => [Some(insn.dst), base(insn.src, 0x79)],
        Class::St => [base(insn.dst, 0x7a), None],
        Class::Stx => [base(insn.dst, 0x7b), Some(insn.src)],
        // A byte swap has its order in the bit of the source register.
        Class::Alu | Class::Alu64 if insn.code >> 4 == 0xd => [Some(insn.dst), None],
        Class::Alu | Class::Alu64 => [Some(insn.dst), source],
        Class::Jmp | Class::Jmp32 => match insn.code >> 4 {
            // An indirect jump names its register in `dst`.
            0 => [by_register.then_some(insn.dst), None],
            // Calls, exits and may_goto name none; the source of a call says what is called.
            8 | 9 | 0xe => [None, None],
            _ => [Some(insn.dst), source],
        },
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
    for (at, insn) in code.insns() {
        if !is_opcode(insn.code) {
            let text = format!("opcode {:#04x} of instruction {at} is unknown", insn.code);
            return problem(at, text, &format!("unknown opcode {:02x}", insn.code));
        }
        if insn.class() == Class::Ldx && insn.imm != 0 {
            let text = format!("load at instruction {at} sets a field that must be 0");
            return problem(at, text, "BPF_LDX uses reserved fields");
        }
        if insn.is_ld_imm64() {
            let second = code.get(at + 1);
            if second.is_none_or(|second| {
                second.code != 0 || second.dst != 0 || second.src != 0 || second.off != 0
            }) {
                let text = format!("64-bit load at instruction {at} lacks its second half");
                return problem(at, text, "invalid bpf_ld_imm64 insn");
            }
            // Numbers up to 6 stand for maps, variables and functions.
            if insn.src > 6 && !is_relocated(function, InsnIdx(at)) {
                let text =
                    format!("64-bit load at instruction {at} is of kind {}, which no kernel knows", insn.src);
                return problem(at, text, "unrecognized bpf_ld_imm64 insn");
            }
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

/// Opcodes that some built-in release knows, by Documentation/bpf/standardization/instruction-set.rst.
fn is_opcode(code: u8) -> bool {
    let (class, operation, register) = (code & 7, code >> 4, code & 8 != 0);
    match class {
        // 64-bit immediate; packet loads at absolute and indirect offsets.
        0 => matches!(code, 0x18 | 0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50),
        // Plain, and sign-extending up to 32 bits.
        1 => matches!(code & 0xe0, 0x60) || matches!(code, 0x81 | 0x89 | 0x91),
        2 => code & 0xe0 == 0x60,
        // Plain, and atomic; 8 and 16 bits wide since load-acquire and store-release.
        3 => matches!(code & 0xe0, 0x60 | 0xc0),
        4 => operation <= 0xd && (operation != 8 || !register),
        7 => operation <= 0xd && (!register || !matches!(operation, 8 | 0xd)),
        5 => match operation {
            // may_goto and the indirect jump among them.
            8 | 9 => !register,
            0xe => !register,
            _ => operation <= 0xd,
        },
        _ => operation <= 0xd && !matches!(operation, 8 | 9) && (operation != 0 || !register),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_opcode, registers, reserved};
    use crate::elf::ByteOrder;
    use crate::insn::Insn;

    #[test]
    fn registers_are_those_that_the_instruction_uses() {
        let of = |code, registers_byte| {
            registers(Insn::decode(&[code, registers_byte, 0, 0, 0, 0, 0, 0], ByteOrder::Little))
        };
        // Moves by value and by register, a byte swap, a negation.
        assert_eq!(of(0xb7, 0xfb), [Some(11), None]);
        assert_eq!(of(0xbf, 0xfb), [Some(11), Some(15)]);
        assert_eq!(of(0xdc, 0xfb), [Some(11), None]);
        assert_eq!(of(0x87, 0xfb), [Some(11), None]);
        // Loads and stores; r11 as the base of a 64-bit one is an argument on the stack.
        assert_eq!(of(0x79, 0xb0), [Some(0), None]);
        assert_eq!(of(0x79, 0xc0), [Some(0), Some(12)]);
        assert_eq!(of(0x61, 0xb0), [Some(0), Some(11)]);
        assert_eq!(of(0x7b, 0x0b), [None, Some(0)]);
        assert_eq!(of(0x7a, 0xfb), [None, None]);
        assert_eq!(of(0x63, 0x0b), [Some(11), Some(0)]);
        // Calls, exit, jumps.
        assert_eq!(of(0x85, 0xfb), [None, None]);
        assert_eq!(of(0x95, 0xfb), [None, None]);
        assert_eq!(of(0x05, 0xfb), [None, None]);
        assert_eq!(of(0x0d, 0xfb), [Some(11), None]);
        assert_eq!(of(0x15, 0xfb), [Some(11), None]);
        assert_eq!(of(0x1d, 0xfb), [Some(11), Some(15)]);
        // 64-bit immediate: the source says what it is.
        assert_eq!(of(0x18, 0xfb), [Some(11), None]);
        assert_eq!(of(0x40, 0xfb), [None, Some(15)]);
        assert_eq!(of(0x20, 0xfb), [None, None]);
    }

    #[test]
    fn fields_that_an_instruction_does_not_use_are_0() {
        let of = |bytes| reserved(Insn::decode(&bytes, ByteOrder::Little));
        for (bytes, kind) in [
            ([0x18, 1, 8, 0, 0, 0, 0, 0], "BPF_LD_IMM64"),
            ([0xb7, 0x20, 0, 0, 0, 0, 0, 0], "BPF_MOV"),
            ([0xbf, 0x10, 2, 0, 0, 0, 0, 0], "BPF_MOV"),
            ([0xbc, 0x10, 32, 0, 0, 0, 0, 0], "BPF_MOV"),
            ([0x07, 0x10, 0, 0, 1, 0, 0, 0], "BPF_ALU"),
            ([0x0f, 0x10, 1, 0, 0, 0, 0, 0], "BPF_ALU"),
            ([0x87, 0, 0, 0, 1, 0, 0, 0], "BPF_NEG"),
            ([0xdc, 0, 0, 0, 8, 0, 0, 0], "BPF_END"),
            ([0x7a, 0x1a, 0xf8, 0xff, 0, 0, 0, 0], "BPF_ST"),
            ([0x7b, 0x1a, 0xf8, 0xff, 1, 0, 0, 0], "BPF_STX"),
            ([0x05, 0, 1, 0, 1, 0, 0, 0], "BPF_JA"),
            ([0x15, 0x10, 1, 0, 0, 0, 0, 0], "BPF_JMP/JMP32"),
            ([0x85, 1, 0, 0, 5, 0, 0, 0], "BPF_CALL"),
            ([0x95, 0, 0, 0, 1, 0, 0, 0], "BPF_EXIT"),
        ] {
            assert_eq!(of(bytes), Some(kind), "{bytes:x?}");
        }
        for bytes in [
            // Sign-extending moves, a cast, signed division, an atomic, a far jump, may_goto, calls of each kind.
            [0xbf, 0x10, 32, 0, 0, 0, 0, 0],
            [0xbc, 0x10, 8, 0, 0, 0, 0, 0],
            [0xbf, 0x11, 1, 0, 1, 0, 0, 0],
            [0x3f, 0x10, 1, 0, 0, 0, 0, 0],
            [0x97, 0, 1, 0, 3, 0, 0, 0],
            [0xdb, 0x10, 0, 0, 1, 0, 0, 0],
            [0x06, 0, 0, 0, 7, 0, 0, 0],
            [0xe5, 0, 3, 0, 0, 0, 0, 0],
            [0x85, 0, 0, 0, 5, 0, 0, 0],
            [0x85, 0x10, 0, 0, 5, 0, 0, 0],
            [0x85, 0x20, 1, 0, 5, 0, 0, 0],
            [0xdc, 0, 0, 0, 64, 0, 0, 0],
        ] {
            assert_eq!(of(bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn the_table_knows_what_compilers_emit_and_nothing_else() {
        for code in [
            0x18, 0x61, 0x79, 0x7b, 0x63, 0xdb, 0xc3, 0x07, 0x0f, 0xbf, 0x87, 0xd7, 0xd4, 0xdc, 0x05, 0x06,
            0x85, 0x95, 0x1d, 0xe5, 0x91,
        ] {
            assert!(is_opcode(code), "{code:#04x}");
        }
        for code in [0x00, 0x8f, 0xff, 0xef, 0x9d, 0x99, 0xf5, 0x38, 0xe7] {
            assert!(!is_opcode(code), "{code:#04x}");
        }
    }
}
