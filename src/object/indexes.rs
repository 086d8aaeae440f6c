//! Indexes into an object's lists, each a type of its own.

/// Index into [`Object::functions`](super::Object::functions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FuncIdx(pub usize);

/// Index into [`Object::maps`](super::Object::maps).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapIdx(pub usize);

/// Index into [`Object::struct_ops`](super::Object::struct_ops).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpsIdx(pub usize);

/// Index into [`Object::externs`](super::Object::externs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternIdx(pub usize);

/// Instruction slot of a function, counted from the function's start. Not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InsnIdx(pub usize);
