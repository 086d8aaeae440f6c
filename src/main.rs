//! The `scx-lint` command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    scx_lint::cli::main()
}
