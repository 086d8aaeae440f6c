//! The `scx-lint` command.
fn main() {}
