//! Constants in registers, as far as a straight line of code tells.

use super::super::context::Context;
use crate::insn::{Class, Code};
use crate::object::{FuncIdx, InsnIdx};

/// The constant that a register holds at an instruction, if the straight line that leads there puts it into it.
pub(in crate::checks) fn before(
    cx: &Context<'_, '_>,
    function: FuncIdx,
    at: InsnIdx,
    register: u8,
) -> Option<u64> {
    let code = cx.object[function].code;
    let start = line_start(code, at.0)?;
    let mut found = None;
    for (slot, insn) in
        code.insns().skip_while(|(slot, _)| *slot < start).take_while(|(slot, _)| *slot < at.0)
    {
        let writes = !matches!(insn.class(), Class::St | Class::Stx | Class::Jmp | Class::Jmp32)
            && insn.dst == register;
        // A call spoils its arguments; a fetching atomic may write any register.
        let spoils = insn.is_call() || insn.class() == Class::Stx && insn.code & 0xe0 == 0xc0;
        if spoils {
            found = None;
        } else if writes {
            let relocated = !cx.object[function].refs_at(InsnIdx(slot)).is_empty()
                || cx.load.core.iter().any(|used| used.function == function && used.insn.0 == slot);
            found = match insn.code {
                _ if relocated => None,
                0xb7 => Some(i64::from(insn.imm) as u64),
                0xb4 => Some(u64::from(insn.imm as u32)),
                0x18 if insn.src == 0 => {
                    let high = code.get(slot + 1).map_or(0, |second| second.imm);
                    Some(u64::from(insn.imm as u32) | u64::from(high as u32) << 32)
                }
                _ => None,
            };
        }
    }
    found
}

/// Where the straight line to a slot starts: the last slot up to it that a jump leads to. `None` if a jump through a table may
/// lead anywhere.
fn line_start(code: Code<'_>, slot: usize) -> Option<usize> {
    let mut start = 0;
    for (at, insn) in code.insns() {
        let distance = match (insn.class(), insn.code & 0xf0) {
            (Class::Jmp, 0x80 | 0x90) => continue,
            (Class::Jmp, 0x00) if insn.code & 8 != 0 => return None,
            (Class::Jmp32, 0x00) => i64::from(insn.imm),
            (Class::Jmp | Class::Jmp32, _) => i64::from(insn.off),
            _ => continue,
        };
        let target = usize::try_from(at as i64 + 1 + distance).ok().filter(|target| *target <= slot);
        start = start.max(target.unwrap_or(0));
    }
    Some(start)
}
