//! How much of its stack a function takes.

use std::collections::HashSet;

use crate::insn::{AluOp, FRAME_POINTER, LoadMode, Op, Operand, Registers, Width};

/// `bpf_get_smp_processor_id`, the one helper that is compiled to a few instructions in place, and that clang then lets keep r1 to r5.
const INLINED: i32 = 8;

/// What is left of a function's stack where the kernel takes out what clang saves around inlined helpers: pairs of a spill before
/// and a fill after the call, in the lowest slots of the frame. `None` where it takes out nothing (kernel
/// `mark_fastcall_pattern_for_call`, `remove_fastcall_spills_fills`).
///
/// The slots must be those of such pairs alone, and around no other call.
pub fn without_saved(ops: &[Op]) -> Option<u64> {
    let spill = |at: usize| match ops.get(at)? {
        Op::Store { to, value: Operand::Reg(reg), release: false } => {
            (to.base == FRAME_POINTER && to.width == Width::B8).then_some((*reg, to.off))
        }
        _ => None,
    };
    let fill = |at: usize| match ops.get(at)? {
        Op::Load { dst, from, mode: LoadMode::Plain } => {
            (from.base == FRAME_POINTER && from.width == Width::B8).then_some((*dst, from.off))
        }
        _ => None,
    };
    let lowest = (0..ops.len()).filter_map(spill).map(|(_, off)| off).min()?;
    let targets: HashSet<usize> =
        ops.iter().enumerate().filter_map(|(at, op)| op.successors(at).jump()).collect();
    let mut of_pairs = HashSet::new();
    // From r10, where the slots of the pairs end.
    let mut end = 0;
    for (call, op) in ops.iter().enumerate().filter(|(_, op)| matches!(op, Op::Call(_))) {
        let mut saved = Registers::default();
        let mut off = lowest;
        for i in 1..=5 {
            let Some(before) = call.checked_sub(i) else { break };
            let pair = spill(before).filter(|spilled| fill(call + i) == Some(*spilled));
            let Some((reg, place)) = pair else { break };
            // The first spill may be jumped to, nothing else.
            let is_entered = targets.contains(&(before + 1)) || targets.contains(&(call + i));
            if is_entered || place != off || !(1..=5).contains(&reg) || saved.has(reg) {
                break;
            }
            if op.helper() != Some(INLINED) {
                return None;
            }
            saved = saved.with(Registers::of([reg]));
            of_pairs.extend([before, call + i]);
            off = off.checked_add(8)?;
        }
        if off != lowest {
            end = end.min(off);
        }
    }
    let left = u64::from(end.unsigned_abs());
    let others = ops.iter().enumerate().filter(|(at, _)| !of_pairs.contains(at));
    let most = others.map(|(_, op)| accessed(*op)).max().unwrap_or(0).max(addressed(ops));
    (!of_pairs.is_empty() && most <= left).then_some(left)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insn::{Callee, Memory};

    fn at(off: i16) -> Memory {
        Memory { base: FRAME_POINTER, off, width: Width::B8 }
    }

    fn spill(reg: u8, off: i16) -> Op {
        Op::Store { to: at(off), value: Operand::Reg(reg), release: false }
    }

    fn fill(reg: u8, off: i16) -> Op {
        Op::Load { dst: reg, from: at(off), mode: LoadMode::Plain }
    }

    const CALL: Op = Op::Call(Callee::Helper(INLINED));

    #[test]
    fn what_is_saved_around_an_inlined_helper_is_taken_out() {
        let one = [spill(1, -8), CALL, fill(1, -8), Op::Exit];
        assert_eq!(without_saved(&one), Some(0));
        let two = [spill(6, -8), spill(2, -16), spill(1, -24), CALL, fill(1, -24), fill(2, -16), Op::Exit];
        assert_eq!(without_saved(&two), Some(8));
        // Fewer in one place: the slots that both use.
        let both = [&two[..6], &[spill(1, -24), CALL, fill(1, -24), Op::Exit]].concat();
        assert_eq!(without_saved(&both), Some(16));
    }

    #[test]
    fn what_is_used_otherwise_stays() {
        let other = Op::Call(Callee::Helper(1));
        assert_eq!(without_saved(&[spill(1, -8), other, fill(1, -8), Op::Exit]), None);
        assert_eq!(without_saved(&[spill(1, -8), CALL, fill(2, -8), Op::Exit]), None);
        assert_eq!(without_saved(&[spill(1, -8), CALL, Op::Exit]), None);
        // Not the lowest slot, and one that something else reads.
        assert_eq!(without_saved(&[spill(6, -16), spill(1, -8), CALL, fill(1, -8), Op::Exit]), None);
        let read = [spill(1, -8), CALL, fill(1, -8), fill(3, -8), Op::Exit];
        assert_eq!(without_saved(&read), None);
        // A jump between them.
        let jump = [Op::Jump(1), spill(1, -8), CALL, fill(1, -8), Op::Exit];
        assert_eq!(without_saved(&jump), None);
        assert_eq!(without_saved(&[CALL, Op::Exit]), None);
    }
}
