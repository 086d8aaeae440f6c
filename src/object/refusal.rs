//! Why libbpf refuses to open an object.

use super::indexes::{FuncIdx, InsnIdx};
use crate::errno::Errno;

/// A reason for which libbpf refuses to open the object.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What is wrong.
    pub cause: Cause,
    /// What `bpf_object__open` returns.
    pub errno: Errno,
    /// libbpf's words, without prefix; empty where it fails without a warning.
    pub text: String,
    /// What it is about.
    pub item: Item,
}

/// Causes of refusals, one for each rule that reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cause {
    MissingBtf,
    MalformedBtf,
    LegacyMaps,
    Symbol,
    Extern,
    MapDefinition,
    SeveralArenas,
    ArenaGlobalsWithoutArena,
    ArenaGlobalsTooLarge,
    StructOps,
    Relocation,
}

/// What a refusal is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Item {
    Object,
    Section(String),
    Symbol(String),
    Map(String),
    Insn(FuncIdx, InsnIdx),
    Extern(String),
    Member(String, String),
}
