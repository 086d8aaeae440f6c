//! Registers and stack of one frame.

use super::value::{Origin, PointsTo, RegState, Scalar, ones, sign_extended};
use crate::insn::Registers;

/// Number of registers, r10 included.
const REGISTERS: usize = 11;

/// Eight aligned bytes of stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cell {
    /// A register of so many bytes was stored at the start.
    Spill(u8, RegState),
    /// Bytes that hold what the verifier knows nothing of (`STACK_MISC`), one bit for each.
    Bytes(u8),
}

/// Which origins a state may hold, a bit for each of 64 classes; a hint that saves looking, no part of the state.
#[derive(Debug, Clone, Copy)]
struct Hint(u64);

impl Hint {
    fn bit(at: u32) -> u64 {
        1 << (at % 64)
    }
}

impl PartialEq for Hint {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Hint {}

impl std::hash::Hash for Hint {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// What is known at one point of one frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FuncState {
    hint: Hint,
    registers: [RegState; REGISTERS],
    /// By offset from r10 divided by 8, ascending; what is not listed is not known.
    stack: Vec<(i16, Cell)>,
    /// A pointer into the stack was stored in the stack, so that who gets one may find the other.
    shared: bool,
}

/// What a register holds that nothing was put in yet. The verifier refuses to read it, so any number will do.
fn unset() -> RegState {
    RegState::Scalar(Scalar::vague(8))
}

impl FuncState {
    /// A frame in which nothing is set but its own stack pointer.
    pub(super) fn new() -> Self {
        let mut registers = [unset(); REGISTERS];
        registers[10] = RegState::pointer(PointsTo::Stack, super::value::Null::Unsure, Origin::NONE);
        Self { hint: Hint(0), registers, stack: Vec::new(), shared: false }
    }

    pub(super) fn get(&self, register: u8) -> RegState {
        self.registers.get(usize::from(register)).copied().unwrap_or(RegState::Top)
    }

    /// Puts a value in place. Copies of what the same instruction made before are other values from now on.
    pub(super) fn assign(&mut self, register: u8, value: RegState, at: u32) {
        if value.origin().at == at {
            self.forget_origin(at);
        }
        self.put(register, value);
    }

    pub(super) fn put(&mut self, register: u8, value: RegState) {
        self.hint.0 |= Hint::bit(value.origin().at);
        if let Some(slot) = self.registers.get_mut(usize::from(register)).filter(|_| register != 10) {
            *slot = value;
        }
    }

    fn values(&mut self) -> impl Iterator<Item = &mut RegState> {
        self.registers.iter_mut().chain(self.stack.iter_mut().filter_map(|(_, cell)| match cell {
            Cell::Spill(_, value) => Some(value),
            Cell::Bytes(_) => None,
        }))
    }

    /// Values made by an instruction that is about to make another, or of which more may be known from now on.
    pub(super) fn forget_origin(&mut self, at: u32) {
        if self.hint.0 & Hint::bit(at) == 0 {
            return;
        }
        for value in self.values().filter(|value| value.origin().at == at) {
            *value = value.inexact();
        }
    }

    /// A branch has looked at `old`: its copies become `new`, and what hangs together with it may be known better.
    pub(super) fn refine(&mut self, old: RegState, new: RegState) {
        let origin = old.origin();
        if origin.root == 0 {
            return;
        }
        // Since 6.13 a verifier follows no more than six linked registers (`LINKED_REGS_MAX`).
        let linked = |value: &&mut RegState| value.origin().root == origin.root;
        let copies = self.values().filter(linked).filter(|value| **value == old).count();
        let new = if copies > 6 { old.inexact() } else { new };
        for value in self.values().filter(linked) {
            *value = if *value == old { new } else { value.inexact() };
        }
    }

    /// Some code was walked on one of several ways: what it may have written is unknown, of the rest more may be
    /// known.
    pub(super) fn weaken(&mut self, writes: Registers, memory: bool) {
        if memory {
            self.stack.clear();
            self.shared = true;
        }
        for value in self.values() {
            *value = value.inexact();
        }
        for (register, value) in (0..).zip(self.registers[..10].iter_mut()) {
            if writes.has(register) {
                *value = RegState::Top;
            }
        }
    }

    /// A call makes r0 to r5 unreadable.
    pub(super) fn clobber(&mut self) {
        self.registers[..6].fill(unset());
    }

    /// Forgets the registers that nothing reads any more.
    pub(super) fn keep(&mut self, live: Registers) {
        for (register, value) in (0..).zip(self.registers[..10].iter_mut()) {
            if !live.has(register) {
                *value = unset();
            }
        }
    }

    /// Forgets the stack from an offset upwards; all of it for `None`.
    pub(super) fn forget_stack(&mut self, from: Option<i32>) {
        match from {
            Some(from) => self.stack.retain(|(slot, _)| i32::from(*slot) * 8 + 8 <= from),
            None => self.stack.clear(),
        }
    }

    /// Marks bytes of the stack as written with what no verifier knows anything of.
    pub(super) fn scribble(&mut self, from: i32, len: i32) {
        for at in from..from.saturating_add(len.min(512)) {
            let (slot, bit) = (at.div_euclid(8), 1u8 << at.rem_euclid(8));
            let Ok(slot) = i16::try_from(slot) else { return };
            match self.stack.binary_search_by_key(&slot, |(slot, _)| *slot) {
                Ok(index) => {
                    let cell = &mut self.stack[index].1;
                    *cell = match *cell {
                        Cell::Bytes(bytes) => Cell::Bytes(bytes | bit),
                        Cell::Spill(..) => Cell::Bytes(bit),
                    };
                }
                Err(index) => self.stack.insert(index, (slot, Cell::Bytes(bit))),
            }
        }
    }

    /// Stores so many bytes at an offset of the own stack; `None`: somewhere.
    pub(super) fn store(&mut self, offset: Option<i32>, bytes: u8, value: RegState) {
        self.hint.0 |= Hint::bit(value.origin().at);
        self.shared |= matches!(value, RegState::Top | RegState::Pointer { place: PointsTo::Stack, .. });
        let Some(offset) = offset else { return self.forget_stack(None) };
        let (Ok(slot), start) = (i16::try_from(offset.div_euclid(8)), offset.rem_euclid(8)) else {
            return self.forget_stack(None);
        };
        let position = self.stack.binary_search_by_key(&slot, |(slot, _)| *slot);
        let before = match position {
            Ok(index) => match self.stack[index].1 {
                Cell::Bytes(bytes) => bytes,
                Cell::Spill(..) => 0,
            },
            Err(_) => 0,
        };
        let touched = ((1u32 << bytes.min(8)) - 1) << start;
        let fits = match value {
            RegState::Scalar(scalar) => (scalar.value | scalar.mask) <= ones(bytes),
            _ => bytes == 8,
        };
        // Verifiers keep what is stored at the start of a slot, if it is whole.
        let cell = if start == 0 && fits && start + i32::from(bytes) <= 8 {
            Some(Cell::Spill(bytes, value))
        } else {
            let open = matches!(value, RegState::Scalar(scalar) if scalar.exact && scalar.mask != 0);
            let left = if open { before | touched as u8 } else { before & !(touched as u8) };
            (left != 0).then_some(Cell::Bytes(left))
        };
        match (position, cell) {
            (Ok(index), Some(cell)) => self.stack[index].1 = cell,
            (Ok(index), None) => {
                self.stack.remove(index);
            }
            (Err(index), Some(cell)) => self.stack.insert(index, (slot, cell)),
            (Err(_), None) => {}
        }
        if start + i32::from(bytes) > 8 {
            let next = slot.saturating_add(1);
            self.stack.retain(|(slot, _)| *slot != next);
        }
    }

    /// Loads so many bytes from an offset of the own stack.
    pub(super) fn load(&self, offset: Option<i32>, bytes: u8, signed: bool, at: u32) -> RegState {
        let unknown = if bytes == 8 {
            RegState::Top
        } else {
            RegState::Scalar(Scalar::vague(if signed { 8 } else { bytes }))
        };
        let Some(offset) = offset else { return unknown };
        let (Ok(slot), start) = (i16::try_from(offset.div_euclid(8)), offset.rem_euclid(8)) else {
            return unknown;
        };
        let Ok(index) = self.stack.binary_search_by_key(&slot, |(slot, _)| *slot) else { return unknown };
        match self.stack[index].1 {
            Cell::Spill(size, value) if start == 0 && size == bytes => {
                if signed {
                    sign_extended(value, bytes, true, at)
                } else {
                    value
                }
            }
            Cell::Bytes(known) if start + i32::from(bytes) <= 8 => {
                let wanted = (((1u32 << bytes) - 1) << start) as u8;
                if known & wanted != wanted {
                    return unknown;
                }
                let value = RegState::Scalar(Scalar::unknown(bytes, Origin::new(at)));
                if signed { sign_extended(value, bytes, true, at) } else { value }
            }
            _ => unknown,
        }
    }

    /// Joins what another state knows of the registers that are live into this one; tells whether this one knows
    /// less now.
    pub(super) fn join(&mut self, other: &Self, live: Registers, widen: bool) -> bool {
        let mut changed = other.shared && !self.shared;
        self.shared |= other.shared;
        self.hint.0 |= other.hint.0;
        let mut merge = |mine: &mut RegState, other: RegState| {
            if *mine == other {
                return;
            }
            let joined = if widen { mine.widen(other) } else { mine.join(other) };
            changed |= joined != *mine;
            *mine = joined;
        };
        for (register, (mine, other)) in (0..).zip(self.registers.iter_mut().zip(&other.registers)) {
            if live.has(register) {
                merge(mine, *other);
            }
        }
        let before = self.stack.len();
        let mut lost = false;
        self.stack.retain_mut(|(slot, cell)| {
            let found = other.stack.binary_search_by_key(slot, |(slot, _)| *slot);
            let theirs = found.ok().map(|index| other.stack[index].1);
            match (cell, theirs) {
                (Cell::Spill(size, mine), Some(Cell::Spill(other, value))) if *size == other => {
                    merge(mine, value);
                    true
                }
                (Cell::Bytes(mine), Some(Cell::Bytes(other))) => {
                    lost |= *mine & !other != 0;
                    *mine &= other;
                    *mine != 0
                }
                _ => false,
            }
        });
        changed | lost | (self.stack.len() != before)
    }

    /// Values as a called function sees them: r1 to r5, pointers into the stack being a caller's.
    pub(super) fn for_callee(&self) -> Self {
        let mut callee = Self::new();
        callee.hint = self.hint;
        for register in 1..6 {
            callee.registers[register] = match self.registers[register] {
                RegState::Pointer { place: PointsTo::Stack, null, origin, .. } => {
                    RegState::Pointer { place: PointsTo::Outer, offset: None, null, origin }
                }
                other => other,
            };
        }
        callee
    }

    /// The caller's frame after a call of a function of the program: what was passed may be known better, what
    /// could be written is unknown.
    pub(super) fn after_call(&mut self) {
        let passed = self.registers;
        self.forget_passed_stack(true);
        self.clobber();
        for value in self.values() {
            let root = value.origin().root;
            if root != 0 && passed[1..6].iter().any(|passed| passed.origin().root == root) {
                *value = value.inexact();
            }
        }
    }

    /// What can be written through the arguments of a call. A function of the program also finds pointers into the
    /// stack that the stack holds; a helper writes upwards from where it is pointed to.
    pub(super) fn forget_passed_stack(&mut self, follows: bool) {
        for register in 1..6 {
            match self.registers[register] {
                RegState::Pointer { place: PointsTo::Stack, .. } if follows && self.shared => {
                    self.forget_stack(None)
                }
                RegState::Pointer { place: PointsTo::Stack, offset, .. } => self.forget_stack(offset),
                // For all that is known this is such a pointer.
                RegState::Top => self.forget_stack(None),
                _ => {}
            }
        }
    }
}
