//! Registers that hold a constant whatever the path, and branches that they decide (kernel/bpf/const_fold.c; 7.1 on).

use super::super::checker::Checker;
use super::super::prog::Link;
use super::graph::Graph;
use crate::insn::{AluOp, AtomicOp, Condition, LoadMode, Memory, Op, Operand, Width};
use crate::object::{MapIdx, MapOrigin};

/// What a register holds before an instruction, on all paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Value {
    /// Nothing leads here.
    #[default]
    Unvisited,
    /// Not known.
    Unknown,
    /// A number.
    Number(u64),
    /// A map.
    Map(MapIdx),
    /// An address in a map's value.
    InMap(MapIdx, u64),
    /// A function of the program.
    Subprog(usize),
}

/// What is kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constant {
    /// Nothing.
    Unknown,
    /// A number of 32 bits.
    Number(u32),
    /// A map.
    Map(MapIdx),
    /// A function of the program.
    Subprog(usize),
}

/// The constants in r0 to r9 before each instruction.
#[derive(Debug, Default)]
pub struct Constants {
    values: Vec<[Value; 11]>,
}

impl Constants {
    /// What a register holds before an instruction.
    pub fn get(&self, insn: usize, reg: u8) -> Constant {
        let value = self.values.get(insn).and_then(|regs| regs.get(..10)?.get(usize::from(reg)));
        match value {
            Some(Value::Number(number)) => u32::try_from(*number).map_or(Constant::Unknown, Constant::Number),
            Some(Value::Map(map)) => Constant::Map(*map),
            Some(Value::Subprog(subprog)) => Constant::Subprog(*subprog),
            _ => Constant::Unknown,
        }
    }
}

/// Looks for constants.
pub fn compute(checker: &Checker<'_, '_>, graph: &Graph) -> Constants {
    let mut values = vec![[Value::Unvisited; 11]; checker.prog.len()];
    for subprog in &checker.prog.subprogs {
        if let Some(regs) = values.get_mut(subprog.start) {
            *regs = [Value::Unknown; 11];
        }
    }
    let mut changed = true;
    while changed {
        changed = false;
        for &at in graph.postorder.iter().rev() {
            let mut regs = values[at];
            step(checker, at, &mut regs);
            for next in graph.successors(at) {
                for (old, new) in values[next].iter_mut().zip(regs) {
                    changed |= join(old, new);
                }
            }
        }
    }
    Constants { values }
}

/// What is true on one path more.
fn join(old: &mut Value, new: Value) -> bool {
    match *old {
        Value::Unvisited if new != Value::Unvisited => *old = new,
        Value::Unvisited | Value::Unknown => return false,
        known if known == new => return false,
        _ => *old = Value::Unknown,
    }
    true
}

fn step(checker: &Checker<'_, '_>, at: usize, regs: &mut [Value; 11]) {
    let slot = &checker.prog.slots[at];
    let get = |regs: &[Value; 11], reg: u8| regs.get(usize::from(reg)).copied().unwrap_or(Value::Unknown);
    let (dst, value) = match slot.op {
        Op::Mov { wide, dst, src, sign } => {
            let value = match src {
                Operand::Imm(imm) => Value::Number(i64::from(imm) as u64),
                Operand::Reg(src) => match (get(regs, src), sign) {
                    (value, None) => value,
                    (Value::Number(number), Some(width)) => Value::Number(extended(number, width)),
                    _ => Value::Unknown,
                },
            };
            (dst, narrowed(value, wide))
        }
        Op::Alu { op, wide, dst, src } => {
            let (value, operand) = (
                get(regs, dst),
                match src {
                    Operand::Imm(imm) => Value::Number(i64::from(imm) as u64),
                    Operand::Reg(src) => get(regs, src),
                },
            );
            (dst, narrowed(computed(op, value, operand, src.reg().is_none()), wide))
        }
        Op::Neg { dst, .. } | Op::Swap { dst, .. } | Op::AddrSpaceCast { dst, .. } => (dst, Value::Unknown),
        Op::LoadImm64 { dst, pseudo, low } => {
            let value = match slot.link {
                Link::None if pseudo == 0 => {
                    Value::Number(u64::from(low as u32) | u64::from(slot.high as u32) << 32)
                }
                Link::Null => Value::Number(0),
                Link::Map(map) => Value::Map(map),
                Link::MapValue(map, offset) => Value::InMap(map, offset),
                Link::Subprog(subprog) => Value::Subprog(subprog),
                _ => Value::Unknown,
            };
            (dst, value)
        }
        Op::Load { dst, from, mode: mode @ (LoadMode::Plain | LoadMode::SignExtend) } => {
            (dst, loaded(checker, get(regs, from.base), from, mode))
        }
        Op::Load { dst, .. } => (dst, Value::Unknown),
        Op::Atomic { op, operand, fetch: true, .. } => {
            (if op == AtomicOp::CmpXchg { 0 } else { operand }, Value::Unknown)
        }
        Op::Call(_) | Op::LoadPacket { .. } => {
            regs[..6].fill(Value::Unknown);
            return;
        }
        Op::Atomic { .. }
        | Op::Store { .. }
        | Op::Jump(_)
        | Op::JumpTable { .. }
        | Op::MayGoto(_)
        | Op::Branch { .. }
        | Op::Exit
        | Op::Unknown => return,
    };
    if let Some(reg) = regs.get_mut(usize::from(dst)) {
        *reg = value;
    }
}

/// What 32-bit arithmetic leaves of a value.
fn narrowed(value: Value, wide: bool) -> Value {
    match value {
        value if wide => value,
        Value::Number(number) => Value::Number(u64::from(number as u32)),
        _ => Value::Unknown,
    }
}

fn extended(number: u64, width: Width) -> u64 {
    match width {
        Width::B1 => i64::from(number as i8) as u64,
        Width::B2 => i64::from(number as i16) as u64,
        Width::B4 => i64::from(number as i32) as u64,
        Width::B8 => number,
    }
}

fn computed(op: AluOp, dst: Value, src: Value, is_imm: bool) -> Value {
    use Value::{InMap, Number, Unknown};
    match (op, dst, src) {
        (AluOp::Add, Number(dst), Number(src)) if is_imm => Number(dst.wrapping_add(src)),
        (AluOp::Sub, Number(dst), Number(src)) if is_imm => Number(dst.wrapping_sub(src)),
        (AluOp::Add, InMap(map, offset), Number(src)) if is_imm => InMap(map, offset.wrapping_add(src)),
        (AluOp::Sub, InMap(map, offset), Number(src)) if is_imm => InMap(map, offset.wrapping_sub(src)),
        (AluOp::And, Number(dst), Number(src)) => Number(dst & src),
        (AluOp::And, Number(0), _) if !is_imm => Number(0),
        (AluOp::And, _, Number(0)) => Number(0),
        _ => Unknown,
    }
}

/// What is loaded from the value of a map that does not change.
fn loaded(checker: &Checker<'_, '_>, base: Value, from: Memory, mode: LoadMode) -> Value {
    let Value::InMap(map, offset) = base else { return Value::Unknown };
    let at = (offset as i32).wrapping_add(from.off.into());
    let Ok(at) = u64::try_from(at) else { return Value::Unknown };
    match frozen(checker, map, at, from.width.bytes()) {
        Some(number) if mode == LoadMode::SignExtend => Value::Number(extended(number, from.width)),
        Some(number) => Value::Number(number),
        None => Value::Unknown,
    }
}

/// So many bytes of a map's value that does not change (`bpf_map_is_rdonly`, `bpf_map_direct_read`).
fn frozen(checker: &Checker<'_, '_>, map: MapIdx, at: u64, bytes: u8) -> Option<u64> {
    match checker.object[map].origin {
        MapOrigin::Rodata => checker.knowledge.rodata_value(checker.object, map, at, bytes),
        _ => None,
    }
}

/// Branches that constants decide become jumps (`bpf_prune_dead_branches`). Whether there are any.
pub fn prune(checker: &mut Checker<'_, '_>, constants: &Constants) -> bool {
    let mut changed = false;
    for (at, slot) in checker.prog.slots.iter_mut().enumerate() {
        let Op::Branch { condition, wide, left, right, off } = slot.op else { continue };
        let Constant::Number(left) = constants.get(at, left) else { continue };
        let right = match right {
            Operand::Imm(imm) => i64::from(imm) as u64,
            Operand::Reg(reg) => match constants.get(at, reg) {
                Constant::Number(number) => number.into(),
                _ => continue,
            },
        };
        let low = |number: u64| if wide { number } else { i64::from(number as i32) as u64 };
        let taken = holds(condition, low(left.into()), low(right));
        slot.op = Op::Jump(if taken { off.into() } else { 0 });
        changed = true;
    }
    changed
}

fn holds(condition: Condition, left: u64, right: u64) -> bool {
    let (signed, other) = (left as i64, right as i64);
    match condition {
        Condition::Eq => left == right,
        Condition::Ne => left != right,
        Condition::Gt => left > right,
        Condition::Ge => left >= right,
        Condition::Lt => left < right,
        Condition::Le => left <= right,
        Condition::Sgt => signed > other,
        Condition::Sge => signed >= other,
        Condition::Slt => signed < other,
        Condition::Sle => signed <= other,
        Condition::Set => left & right != 0,
    }
}
