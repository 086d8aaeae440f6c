//! `malformed-instruction`.

use super::Context;
use super::walk::Walk;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::{Class, Code, Insn};
use crate::insn::flow::Fault;
use crate::object::{FuncIdx, InsnIdx};

rule! {
    /// An instruction that no kernel decodes.
    ///
    /// ## Why it matters
    /// The verifier refuses unknown opcodes, incomplete 64-bit loads, jumps out of the function and functions that run off their end before
    /// it looks at anything else, and a register above r10 where it comes to the instruction (since 7.1 everywhere). From 7.2 on r11 may be
    /// the base of a load or store of an argument on the stack, which is let pass.
    /// ## Fix
    /// Look at inline assembly and at what rewrote the object after the compiler.
    /// ## Sources
    /// kernel `bpf_opcode_in_insntable`, `resolve_pseudo_ldimm64`, `check_subprogs`, `check_reg_arg`.
    pub MALFORMED_INSTRUCTION: "malformed-instruction", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    let problems: Vec<_> = object
        .functions
        .iter()
        .enumerate()
        .map(|(index, function)| problem(function.code, cx.fault(FuncIdx(index))))
        .collect();
    let bad: Vec<_> = object.functions.iter().map(|function| bad_registers(function.code)).collect();
    for (program, function, entry) in object.programs().filter(|(_, _, entry)| entry.autoload) {
        debug_assert!(entry.autoload);
        let found = object.code_of(program).find_map(|(index, _)| {
            let (at, problem, text) = problems[index.0].clone()?;
            Some((index, InsnIdx(at), problem, text))
        });
        let found = found.or_else(|| bad_register(cx, program, &bad, out));
        let Some((site, insn, problem, text)) = found else { continue };
        let message = format!("program '{}': {problem}", function.name);
        out.found(&MALFORMED_INSTRUCTION, Subject::program(object, program), message)
            .errno(Errno::EINVAL)
            .quote(text)
            .help("look at inline assembly, and at what rewrote the object after the compiler")
            .via(Site::Insn(site, insn), program, "this instruction");
    }
}

/// Instructions of a function that use a register above r10, and the register.
fn bad_registers(code: Code<'_>) -> Vec<(InsnIdx, u8)> {
    let bad = |insn| registers(insn).into_iter().flatten().find(|&register| register > LAST_REGISTER);
    code.insns().filter_map(|(at, insn)| Some((InsnIdx(at), bad(insn)?))).collect()
}

/// The first register above r10 that the verifier is sure to come to; one that it may come to is undecided.
fn bad_register(
    cx: &Context<'_, '_>,
    program: FuncIdx,
    bad: &[Vec<(InsnIdx, u8)>],
    out: &mut Outcome,
) -> Option<(FuncIdx, InsnIdx, String, String)> {
    let object = cx.object;
    let mut walk = None;
    let mut guarded = None;
    for (index, function) in object.code_of(program) {
        for &(at, register) in &bad[index.0] {
            let walk = walk.get_or_insert_with(|| Walk::new(cx, program));
            if walk.is_certain(index, at) {
                let problem = format!("instruction {} of '{}' uses register r{register}", at.0, function.name);
                return Some((index, at, problem, format!("R{register} is invalid")));
            }
            guarded.get_or_insert((&function.name, at.0, register));
        }
    }
    if let Some((name, at, register)) = guarded {
        let reason = format!(
            "instruction {at} of '{name}' uses register r{register}, behind a branch; kernels before 7.1 refuse it only where they come to it"
        );
        out.undecided(&MALFORMED_INSTRUCTION, Subject::program(object, program), reason);
    }
    None
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

/// The first thing wrong: where, in our words, and in the verifier's.
fn problem(code: Code<'_>, fault: Option<Fault>) -> Option<(usize, String, String)> {
    for (at, insn) in code.insns() {
        if !is_opcode(insn.code) {
            let problem = format!("opcode {:#04x} of instruction {at} is unknown", insn.code);
            return Some((at, problem, format!("unknown opcode {:02x}", insn.code)));
        }
        if insn.is_ld_imm64() {
            let second = code.get(at + 1);
            if second.is_none_or(|second| second.code != 0 || second.dst != 0 || second.src != 0 || second.off != 0) {
                let problem = format!("64-bit load at instruction {at} lacks its second half");
                return Some((at, problem, "invalid bpf_ld_imm64 insn".to_owned()));
            }
        }
    }
    match fault? {
        Fault::OutOfRange(from, to) => Some((
            from,
            format!("jump from instruction {from} to {to} leaves the function"),
            "jump out of range from insn".to_owned(),
        )),
        Fault::FallsOff(at) => {
            Some((at, "the function runs off its end".to_owned(), "last insn is not an exit or jmp".to_owned()))
        }
        Fault::IntoImmediate(at) => Some((
            at,
            format!("jump into the second half of the 64-bit load before instruction {at}"),
            "jump into the middle of ldimm64 insn".to_owned(),
        )),
        Fault::Unreachable(_) => None,
    }
}

/// Opcodes that some kernel from 6.12 to 7.3 knows, by Documentation/bpf/standardization/instruction-set.rst.
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
    use super::{is_opcode, registers};
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
    fn the_table_knows_what_compilers_emit_and_nothing_else() {
        for code in [0x18, 0x61, 0x79, 0x7b, 0x63, 0xdb, 0xc3, 0x07, 0x0f, 0xbf, 0x87, 0xd7, 0xd4, 0xdc, 0x05, 0x06, 0x85, 0x95, 0x1d, 0xe5, 0x91] {
            assert!(is_opcode(code), "{code:#04x}");
        }
        for code in [0x00, 0x8f, 0xff, 0xef, 0x9d, 0x99, 0xf5, 0x38, 0xe7] {
            assert!(!is_opcode(code), "{code:#04x}");
        }
    }
}
