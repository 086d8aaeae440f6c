//! What is told of an instruction.

use crate::object::{FuncIdx, InsnIdx};

/// Does the verifier walk an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reached {
    /// Every path to it crosses a branch that the verifier decides the other way.
    Never,
    /// Cannot tell.
    Possible,
    /// It does, unless an error stops it before.
    Certain,
}

/// What the base register of a load or store points to, as far as rules ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Into the arena.
    Arena,
    /// At an object of the kernel's.
    Object {
        /// The instruction that put the pointer into a register.
        made: (FuncIdx, InsnIdx),
        /// Bytes that were added to it since.
        offset: i32,
        /// It may be NULL, and no branch has ruled that out.
        nullable: bool,
    },
    /// Into a map value or other memory that a helper gave out, and it may be NULL: no branch has ruled that out.
    Untested {
        /// The call that returned it.
        made: (FuncIdx, InsnIdx),
    },
}

/// Something that a program takes and, on a path that the verifier is sure to walk, does not give back before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leak {
    /// The call that took it: a reference, or a lock.
    pub made: (FuncIdx, InsnIdx),
    /// Where the program ends.
    pub exit: (FuncIdx, InsnIdx),
}
