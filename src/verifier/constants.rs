//! What registers and the own stack hold, as far as a straight line of code tells.

use crate::insn::{AluOp, FRAME_POINTER, LoadMode, Op, Operand, Successors};
use crate::load::CoreFact;
use crate::object::{Function, MapIdx};

/// What the loader writes into an instruction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rewrite {
    /// Nothing: it stays as it is in the file.
    None,
    /// The address of a byte in a map whose content is known before the program runs.
    Frozen(MapIdx, u64),
    /// What CO-RE makes of it.
    Core(CoreFact),
    /// Something that is not followed.
    Other,
}

/// What a register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holding {
    Number(u64),
    /// An address in the own stack, from r10.
    Stack(i64),
    /// The address of a byte in a map that does not change.
    Frozen(MapIdx, u64),
}

/// A number in the own stack: from r10, its bytes, the number.
type StackSlot = (i64, u8, u64);

/// What is known at a slot of a function.
#[derive(Debug)]
pub(super) struct Line {
    registers: [Option<Holding>; 11],
    stack: Vec<StackSlot>,
}

/// What is known at a slot, by the straight line that leads there. `patch`: what the loader writes into a slot; `read`: so many
/// bytes of a map that does not change.
pub(super) fn before(
    function: &Function<'_>,
    patch: impl Fn(usize) -> Rewrite,
    read: impl Fn(MapIdx, u64, u8) -> Option<u64>,
    at: usize,
) -> Line {
    let mut line = Line { registers: [None; 11], stack: Vec::new() };
    line.registers[usize::from(FRAME_POINTER)] = Some(Holding::Stack(0));
    let Some(start) = line_start(function.ops(), at) else { return line };
    for (slot, &op) in function.ops().iter().enumerate().take(at).skip(start) {
        line.step(op, patch(slot), function.code.imm64(slot), &read);
    }
    line
}

impl Line {
    /// The number that a register holds.
    pub(super) fn number(&self, register: u8) -> Option<u64> {
        match self.get(register)? {
            Holding::Number(number) => Some(number),
            Holding::Stack(_) | Holding::Frozen(..) => None,
        }
    }

    /// The number of so many bytes that lies in the own stack, so far from where a register points to.
    pub(super) fn pointed(&self, register: u8, offset: i64, bytes: u8) -> Option<u64> {
        match self.get(register)? {
            Holding::Stack(base) => self.loaded(base.checked_add(offset)?, bytes),
            Holding::Number(_) | Holding::Frozen(..) => None,
        }
    }

    fn get(&self, register: u8) -> Option<Holding> {
        self.registers.get(usize::from(register)).copied().flatten()
    }

    fn operand(&self, operand: Operand) -> Option<Holding> {
        match operand {
            Operand::Reg(register) => self.get(register),
            Operand::Imm(imm) => Some(Holding::Number(i64::from(imm) as u64)),
        }
    }

    fn loaded(&self, at: i64, bytes: u8) -> Option<u64> {
        self.stack.iter().find(|(slot, width, _)| (*slot, *width) == (at, bytes)).map(|(.., number)| *number)
    }

    fn step(
        &mut self,
        op: Op,
        patch: Rewrite,
        wide: Option<u64>,
        read: &impl Fn(MapIdx, u64, u8) -> Option<u64>,
    ) {
        // The immediate or, in a load or store, the offset that stands there in the end.
        let patched = match patch {
            Rewrite::Core(CoreFact::Value(value)) => Some(value),
            _ => None,
        };
        let is_known = matches!(patch, Rewrite::None) || patched.is_some();
        let mut result = None;
        match op {
            Op::Mov { wide, src, sign: None, .. } if is_known => {
                let value = match (src, patched) {
                    (Operand::Imm(_), Some(value)) => Some(Holding::Number(i64::from(value as i32) as u64)),
                    _ => self.operand(src),
                };
                result = if wide { value } else { value.and_then(half) };
            }
            Op::LoadImm64 { pseudo: 0, .. } if is_known => result = patched.or(wide).map(Holding::Number),
            Op::LoadImm64 { .. } => {
                if let Rewrite::Frozen(map, at) = patch {
                    result = Some(Holding::Frozen(map, at));
                }
            }
            Op::Alu { op, wide, dst, src } if is_known => {
                let src = match (src, patched) {
                    (Operand::Imm(_), Some(value)) => Some(Holding::Number(i64::from(value as i32) as u64)),
                    _ => self.operand(src),
                };
                result = self.get(dst).zip(src).and_then(|(dst, src)| computed(op, dst, src));
                if !wide {
                    result = result.and_then(half);
                }
            }
            Op::Load { from, mode: LoadMode::Plain, .. } if is_known => {
                let off = patched.map_or(i64::from(from.off), |off| off as i64);
                let bytes = from.width.bytes();
                let number = match self.get(from.base) {
                    Some(Holding::Stack(base)) => base.checked_add(off).and_then(|at| self.loaded(at, bytes)),
                    Some(Holding::Frozen(map, base)) => {
                        base.checked_add_signed(off).and_then(|at| read(map, at, bytes))
                    }
                    _ => None,
                };
                result = number.map(Holding::Number);
            }
            Op::Store { to, value, .. } => {
                let off = patched.map_or(i64::from(to.off), |off| off as i64);
                match self.get(to.base) {
                    Some(Holding::Stack(base)) if is_known => {
                        let value = match self.operand(value) {
                            Some(Holding::Number(number)) => Some(number),
                            _ => None,
                        };
                        self.store(base.saturating_add(off), to.width.bytes(), value);
                    }
                    Some(Holding::Number(_) | Holding::Frozen(..)) => {}
                    // It may be the stack.
                    _ => self.stack.clear(),
                }
            }
            // Whom it calls may be handed the stack, or have been before.
            Op::Call(_) => {
                self.stack.clear();
                self.registers[..6].fill(None);
            }
            Op::Atomic { .. } => self.stack.clear(),
            _ => {}
        }
        for register in (0..FRAME_POINTER).filter(|register| op.writes().has(*register)) {
            self.registers[usize::from(register)] = result;
        }
    }

    fn store(&mut self, at: i64, bytes: u8, value: Option<u64>) {
        let end = at.saturating_add(i64::from(bytes));
        self.stack.retain(|(slot, width, _)| *slot >= end || slot.saturating_add(i64::from(*width)) <= at);
        if let Some(number) = value {
            let ones = if bytes >= 8 { u64::MAX } else { (1 << (8 * u32::from(bytes))) - 1 };
            self.stack.push((at, bytes, number & ones));
        }
    }
}

/// The lower half of a number; of an address nothing is left.
fn half(value: Holding) -> Option<Holding> {
    match value {
        Holding::Number(number) => Some(Holding::Number(u64::from(number as u32))),
        Holding::Stack(_) | Holding::Frozen(..) => None,
    }
}

fn computed(op: AluOp, dst: Holding, src: Holding) -> Option<Holding> {
    let Holding::Number(by) = src else { return None };
    Some(match (op, dst) {
        (AluOp::Add, Holding::Stack(at)) => Holding::Stack(at.checked_add(by as i64)?),
        (AluOp::Sub, Holding::Stack(at)) => Holding::Stack(at.checked_sub(by as i64)?),
        (AluOp::Add, Holding::Frozen(map, at)) => Holding::Frozen(map, at.checked_add_signed(by as i64)?),
        (AluOp::Add, Holding::Number(number)) => Holding::Number(number.wrapping_add(by)),
        (AluOp::Sub, Holding::Number(number)) => Holding::Number(number.wrapping_sub(by)),
        (AluOp::Or, Holding::Number(number)) => Holding::Number(number | by),
        (AluOp::And, Holding::Number(number)) => Holding::Number(number & by),
        (AluOp::Lsh, Holding::Number(number)) if by < 32 => Holding::Number(number << by),
        _ => return None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insn::{Callee, Memory, Width};

    const MAP: MapIdx = MapIdx(3);

    fn walked(ops: &[(Op, Rewrite)]) -> Line {
        let mut line = Line { registers: [None; 11], stack: Vec::new() };
        line.registers[10] = Some(Holding::Stack(0));
        let read = |map, at, bytes| (map == MAP && (at, bytes) == (16, 8)).then_some(77);
        for &(op, patch) in ops {
            line.step(op, patch, Some(5), &read);
        }
        line
    }

    fn mov(dst: u8, src: Operand) -> (Op, Rewrite) {
        (Op::Mov { wide: true, dst, src, sign: None }, Rewrite::None)
    }

    fn add(dst: u8, imm: i32) -> (Op, Rewrite) {
        (Op::Alu { op: AluOp::Add, wide: true, dst, src: Operand::Imm(imm) }, Rewrite::None)
    }

    fn at(base: u8, off: i16) -> Memory {
        Memory { base, off, width: Width::B8 }
    }

    fn store(base: u8, off: i16, src: u8) -> (Op, Rewrite) {
        (Op::Store { to: at(base, off), value: Operand::Reg(src), release: false }, Rewrite::None)
    }

    #[test]
    fn a_struct_on_the_stack_is_read_through_a_pointer_to_it() {
        let start = [mov(2, Operand::Reg(10)), add(2, -32), mov(1, Operand::Imm(7)), store(2, 24, 1)];
        let line = walked(&start);
        assert_eq!(line.pointed(2, 24, 8), Some(7));
        assert_eq!(line.pointed(2, 16, 8), None);
        assert_eq!(line.pointed(2, 24, 4), None);
        assert_eq!(line.number(2), None);
        // Where the member lies, CO-RE may say.
        let (op, _) = store(2, 0, 1);
        let moved = [&start[..3], &[(op, Rewrite::Core(CoreFact::Value(8)))]].concat();
        assert_eq!(walked(&moved).pointed(2, 8, 8), Some(7));
        let unknown = [&start[..], &[(op, Rewrite::Core(CoreFact::Unknown))]].concat();
        assert_eq!(walked(&unknown).pointed(2, 24, 8), None);
    }

    #[test]
    fn what_others_may_have_written_is_forgotten() {
        let start = [mov(1, Operand::Imm(7)), store(10, -8, 1)];
        let after = |more: &[(Op, Rewrite)]| walked(&[&start[..], more].concat()).pointed(10, -8, 8);
        assert_eq!(after(&[]), Some(7));
        assert_eq!(after(&[store(1, 0, 1)]), Some(7));
        assert_eq!(after(&[store(6, 0, 1)]), None);
        assert_eq!(after(&[store(10, -12, 1)]), None);
        assert_eq!(after(&[store(10, -16, 1)]), Some(7));
        assert_eq!(after(&[store(10, -8, 3)]), None);
        let call = (Op::Call(Callee::Helper(1)), Rewrite::None);
        assert_eq!(after(&[call]), None);
        // What a call leaves alone are r6 to r9.
        let line = walked(&[mov(1, Operand::Imm(7)), mov(6, Operand::Imm(8)), call]);
        assert_eq!((line.number(1), line.number(6)), (None, Some(8)));
    }

    #[test]
    fn constants_of_the_loader_are_read_from_their_map() {
        let address = (Op::LoadImm64 { dst: 1, pseudo: 2, low: 0 }, Rewrite::Frozen(MAP, 8));
        let load = |off| (Op::Load { dst: 2, from: at(1, off), mode: LoadMode::Plain }, Rewrite::None);
        assert_eq!(walked(&[address, load(8)]).number(2), Some(77));
        assert_eq!(walked(&[address, load(0)]).number(2), None);
        let other = (Op::LoadImm64 { dst: 1, pseudo: 2, low: 0 }, Rewrite::Other);
        assert_eq!(walked(&[other, load(8)]).number(2), None);
        // 32 bits are filled up with 0.
        let narrow = Op::Mov { wide: false, dst: 3, src: Operand::Imm(-1), sign: None };
        assert_eq!(walked(&[(narrow, Rewrite::None)]).number(3), Some(0xffff_ffff));
        assert_eq!(walked(&[(narrow, Rewrite::Other)]).number(3), None);
    }
}
