//! The instructions of one function.

use super::op::Op;
use super::slot::{INSN_SIZE, Insn};
use crate::elf::ByteOrder;

/// The instructions of one function, undecoded.
#[derive(Debug, Clone, Copy)]
pub struct Code<'d> {
    bytes: &'d [u8],
    order: ByteOrder,
}

impl<'d> Code<'d> {
    /// Takes the bytes of whole instruction slots; a partial last slot is not seen.
    pub fn new(bytes: &'d [u8], order: ByteOrder) -> Self {
        Self { bytes, order }
    }

    /// Number of slots; an `ld_imm64` takes two.
    pub fn len(&self) -> usize {
        self.bytes.len() / INSN_SIZE
    }

    /// No slot at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slot at `index`.
    pub fn get(&self, index: usize) -> Option<Insn> {
        let start = index.checked_mul(INSN_SIZE)?;
        let raw = self.bytes.get(start..)?.first_chunk()?;
        Some(Insn::decode(raw, self.order))
    }

    /// What each slot does, the second slots of `ld_imm64` nothing.
    pub fn ops(&self) -> Vec<Op> {
        let mut second = false;
        let op = |(_, insn): (usize, Insn)| {
            if std::mem::take(&mut second) {
                return Op::Unknown;
            }
            second = insn.is_ld_imm64();
            insn.op()
        };
        self.slots().map(op).collect()
    }

    /// The value of the `ld_imm64` at a slot, both halves.
    pub fn imm64(&self, index: usize) -> Option<u64> {
        let low = self.get(index).filter(|insn| insn.is_ld_imm64())?.imm;
        let high = self.get(index + 1).map_or(0, |second| second.imm);
        Some(u64::from(low as u32) | u64::from(high as u32) << 32)
    }

    /// All slots in order, with their index; the second slot of an `ld_imm64` included.
    pub fn slots(&self) -> impl Iterator<Item = (usize, Insn)> + use<'d> {
        let order = self.order;
        self.bytes.as_chunks().0.iter().map(move |raw| Insn::decode(raw, order)).enumerate()
    }

    /// Instructions in order with their index, the second slots of `ld_imm64` left out.
    pub fn insns(&self) -> impl Iterator<Item = (usize, Insn)> + use<'d> {
        let mut second = false;
        self.slots().filter(move |(_, insn)| {
            if std::mem::take(&mut second) {
                return false;
            }
            second = insn.is_ld_imm64();
            true
        })
    }
}
