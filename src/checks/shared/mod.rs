//! What several rules need; no rule is here.

pub(super) mod callers;
pub(super) mod core_uses;
pub(super) mod declared;
pub(super) mod insn_fields;
pub(super) mod kernel_refuses;
pub(super) mod kfunc_calls;
pub(super) mod member_arenas;
pub(super) mod ops_values;
pub(super) mod refusal;
pub(super) mod surely;

use crate::insn::Memory;
use crate::object::{FuncIdx, InsnIdx, Object};
use crate::verifier::At;

/// Every load and store of a program and the functions appended to it, in the order of the final code.
pub(super) fn accesses(object: &Object<'_>, program: FuncIdx) -> impl Iterator<Item = (At, Memory)> {
    object.code_of(program).flat_map(|(function, code)| {
        let accesses = code.ops().iter().enumerate().filter_map(|(at, op)| Some((at, op.memory()?)));
        accesses.map(move |(at, memory)| ((function, InsnIdx(at)), memory))
    })
}
