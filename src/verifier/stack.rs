//! How much of its stack a function takes.

use crate::insn::{AluOp, FRAME_POINTER, Op, Operand, Registers};

/// Bytes of stack that a frame may have (`MAX_BPF_STACK`).
const FRAME: u64 = 512;

/// Bytes below r10 that a load or store reaches; 0 for anything else.
pub fn accessed(op: Op) -> u64 {
    let below = op.memory().filter(|memory| memory.base == FRAME_POINTER && memory.off < 0);
    below.map_or(0, |memory| u64::from(memory.off.unsigned_abs()))
}

/// Bytes below r10 of the lowest address that a function takes of its stack (`rX = r10; rX += -N`), as for a buffer or key
/// that it gives to a helper. Whether the verifier counts it depends on what the helper does with it.
pub fn addressed(ops: &[Op]) -> u64 {
    let mut copies = Registers::default();
    let mut most = 0;
    for &op in ops {
        if let Op::Alu { op: AluOp::Add, wide: true, dst, src: Operand::Imm(imm) } = op
            && copies.has(dst)
        {
            most = most.max(u64::from(imm.min(0).unsigned_abs()));
        }
        if !matches!(op, Op::Call(_)) {
            copies = copies.without(op.writes());
        }
        if let Some((FRAME_POINTER, dst)) = op.copies() {
            copies = copies.with(Registers::of([dst]));
        }
    }
    // More than a frame holds is no address of the stack that could be used.
    if most <= FRAME { most } else { 0 }
}
