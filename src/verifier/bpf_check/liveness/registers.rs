//! Registers that may be read later (`bpf_compute_live_registers`).

use super::super::checker::Checker;
use super::calls::Call;
use super::graph::Graph;
use crate::insn::{AtomicOp, Op, Operand};

/// r0 to r5.
const CALLER_SAVED: u16 = 0x3f;

/// By instruction, the registers that it or one after it may read.
pub fn compute(checker: &Checker<'_, '_>, graph: &Graph, calls: &[Call]) -> Vec<u16> {
    let slots = checker.prog.slots.iter().enumerate();
    let marks: Vec<(u16, u16)> =
        slots.map(|(at, slot)| marks(slot.op, || calls[at].params(checker))).collect();
    let mut live = vec![0; marks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for &at in &graph.postorder {
            let after = graph.successors(at).fold(0, |after, next| after | live[next]);
            let (uses, defines) = marks[at];
            let before = (after & !defines) | uses;
            changed |= live[at] != before;
            live[at] = before;
        }
    }
    live
}

fn bit(reg: u8) -> u16 {
    1 << (reg & 15)
}

fn operand(operand: Operand) -> u16 {
    operand.reg().map_or(0, bit)
}

/// The registers that an instruction uses, and those that it defines.
fn marks(op: Op, params: impl FnOnce() -> Option<usize>) -> (u16, u16) {
    match op {
        Op::LoadImm64 { dst, .. } => (0, bit(dst)),
        Op::LoadPacket { .. } => (u16::MAX, 0),
        Op::Load { dst, from, .. } => (bit(from.base), bit(dst)),
        Op::Store { to, value, .. } => (bit(to.base) | operand(value), 0),
        Op::Atomic { at, op: AtomicOp::CmpXchg, operand, .. } => {
            (bit(0) | bit(at.base) | bit(operand), bit(0))
        }
        Op::Atomic { at, operand, fetch, .. } => {
            (bit(at.base) | bit(operand), if fetch { bit(operand) } else { 0 })
        }
        Op::Alu { dst, src, .. } => (bit(dst) | operand(src), bit(dst)),
        Op::Neg { dst, .. } | Op::Swap { dst, .. } => (bit(dst), bit(dst)),
        Op::Mov { dst, src, .. } => (operand(src), bit(dst)),
        Op::AddrSpaceCast { dst, src, .. } => (bit(src), bit(dst)),
        Op::JumpTable { to } => (bit(to), 0),
        Op::Jump(_) | Op::MayGoto(_) => (0, 0),
        Op::Branch { left, right, .. } => (bit(left) | operand(right), 0),
        Op::Call(_) => {
            let params = params().map_or(5, |params| params.min(5));
            (((1 << (params + 1)) - 1) & !1, CALLER_SAVED)
        }
        Op::Exit => (bit(0), 0),
        Op::Unknown => (u16::MAX, 0),
    }
}
