//! The `scx-lint` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    scx_lint::cli::main()
}
