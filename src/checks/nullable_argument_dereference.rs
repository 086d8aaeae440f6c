//! `nullable-argument-dereference`.

use super::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::{Class, Code};
use crate::object::InsnIdx;

rule! {
    /// `dispatch` or `yield` dereferences an argument that may be NULL.
    ///
    /// ## Why it matters
    /// `prev` of dispatch and `to` of yield may be NULL. The verifier wants a test before the first access.
    /// ## Example
    /// ```c
    /// void BPF_STRUCT_OPS(demo_dispatch, s32 cpu, struct task_struct *prev) { bpf_printk("%d", prev->pid); }
    /// ```
    /// ## Fix
    /// `if (prev) { ... }`
    /// ## Sources
    /// kernel: `__nullable` stub parameters (6.16 to 7.3), `set_arg_maybe_null` (6.12).
    pub NULLABLE_ARGUMENT_DEREFERENCE: "nullable-argument-dereference", family: Program, level: Error, phase: Load, since: "0.1.0";
}

/// Members with such an argument; it is the second in both.
const MEMBERS: [(&str, &str); 2] = [("dispatch", "prev"), ("yield", "to")];

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    let mut seen = Vec::new();
    for (_, ops) in cx.schedulers() {
        for (member, argument) in MEMBERS {
            let Some(program) = ops.callback(member).filter(|program| !seen.contains(program)) else { continue };
            seen.push(program);
            let Some((at, register)) = dereference(object[program].code) else { continue };
            let message = format!("'{member}' dereferences '{argument}' without testing it for NULL");
            out.found(&NULLABLE_ARGUMENT_DEREFERENCE, Subject::program(object, program), message)
                .errno(Errno::EACCES)
                .quote(format!("R{register} invalid mem access 'trusted_ptr_or_null_'"))
                .help(format!("test it first: if ({argument}) ..."))
                .at(Site::Insn(program, InsnIdx(at)), "this access");
        }
    }
}

/// What a register holds, as far as this rule cares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Other,
    Context,
    Argument,
}

/// The first access through the second argument on the straight line from the program's start: before any
/// branch there has been no test, so there the answer is sure.
fn dereference(code: Code<'_>) -> Option<(usize, u8)> {
    let mut registers = [Holds::Other; 16];
    registers[1] = Holds::Context;
    for (at, insn) in code.insns() {
        let (dst, src) = (usize::from(insn.dst), usize::from(insn.src));
        match insn.class() {
            Class::Jmp | Class::Jmp32 if insn.is_call() => registers[..6].fill(Holds::Other),
            Class::Jmp | Class::Jmp32 => return None,
            Class::Ldx if registers[src] == Holds::Argument => return Some((at, insn.src)),
            Class::Ldx => {
                let argument = registers[src] == Holds::Context && insn.off == 8 && insn.code == 0x79;
                registers[dst] = if argument { Holds::Argument } else { Holds::Other };
            }
            Class::St | Class::Stx if registers[dst] == Holds::Argument => return Some((at, insn.dst)),
            Class::St | Class::Stx => {}
            // A plain 64-bit register move.
            _ if insn.code == 0xbf && insn.off == 0 => registers[dst] = registers[src],
            _ => registers[dst] = Holds::Other,
        }
    }
    None
}
