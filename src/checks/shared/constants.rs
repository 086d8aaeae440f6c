//! Constants in registers, as far as a straight line of code tells.

use super::super::context::Context;
use crate::insn::{Code, Op, Source, Successors};
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
        let op = insn.op();
        // A call spoils its arguments; an atomic instruction may write any register.
        if matches!(op, Op::Call(_)) || op.is_atomic() {
            found = None;
        } else if op.writes().has(register) {
            let relocated = !cx.object[function].refs_at(InsnIdx(slot)).is_empty()
                || cx.load.core.iter().any(|used| used.function == function && used.insn.0 == slot);
            found = match op {
                _ if relocated => None,
                Op::Mov { wide: true, src: Source::Imm(imm), .. } => Some(i64::from(imm) as u64),
                Op::Mov { wide: false, src: Source::Imm(imm), .. } => Some(u64::from(imm as u32)),
                Op::LoadImm64 { pseudo: 0, .. } => code.imm64(slot),
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
        match insn.op().successors(at) {
            Successors::Table => return None,
            after => start = start.max(after.jump().filter(|to| *to <= slot).unwrap_or(0)),
        }
    }
    Some(start)
}
