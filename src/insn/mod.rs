//! BPF instructions as they stand in the file, by Documentation/bpf/standardization/instruction-set.rst.
//!
//! [`Insn`] is a slot as it is encoded, [`Op`] what it does. What opcodes are made of is known to this folder alone.

mod code;
pub mod fields;
pub mod flow;
mod op;
mod slot;
pub mod validate;
mod width;

pub use code::Code;
pub use op::{
    AluOp, AtomicOp, Callee, Condition, FRAME_POINTER, LoadMode, Memory, Op, Operand, Registers, Successors,
};
pub use slot::{Class, INSN_SIZE, Insn, PSEUDO_CALL, PSEUDO_KFUNC_CALL};
pub use width::Width;
