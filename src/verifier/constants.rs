//! Constants in registers, as far as a straight line of code tells.

use crate::insn::{Op, Operand, Successors};
use crate::object::Function;

/// The constant that a register holds at a slot, if the straight line that leads there puts it into it. `changed`: the loader
/// writes into the instruction at a slot.
pub(super) fn before(
    function: &Function<'_>,
    changed: impl Fn(usize) -> bool,
    at: usize,
    register: u8,
) -> Option<u64> {
    let start = line_start(function.ops(), at)?;
    let mut found = None;
    for (slot, &op) in function.ops().iter().enumerate().take(at).skip(start) {
        // A call spoils its arguments; an atomic instruction may write any register.
        if matches!(op, Op::Call(_)) || op.is_atomic() {
            found = None;
        } else if op.writes().has(register) {
            found = match op {
                _ if changed(slot) => None,
                Op::Mov { wide: true, src: Operand::Imm(imm), .. } => Some(i64::from(imm) as u64),
                Op::Mov { wide: false, src: Operand::Imm(imm), .. } => Some(u64::from(imm as u32)),
                Op::LoadImm64 { pseudo: 0, .. } => function.code.imm64(slot),
                _ => None,
            };
        }
    }
    found
}

/// Where the straight line to a slot starts: the last slot up to it that a jump leads to. `None` if a jump through a table may
/// lead anywhere.
fn line_start(ops: &[Op], slot: usize) -> Option<usize> {
    let mut start = 0;
    for (at, op) in ops.iter().enumerate() {
        match op.successors(at) {
            Successors::Table => return None,
            after => start = start.max(after.jump().filter(|to| *to <= slot).unwrap_or(0)),
        }
    }
    Some(start)
}
