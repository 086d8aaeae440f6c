//! From the process's arguments to its exit status.

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use super::args::{Cli, Command};
use super::failure::Failure;
use super::stdout::written;
use super::{explain, inspect, kernel, lint, rules, shell};
#[cfg(feature = "live")]
use crate::live;
use crate::report;

/// Parses the process's arguments and does what they say.
pub fn main() -> ExitCode {
    #[cfg(feature = "live")]
    if let Some(code) = live::own_role() {
        return code;
    }
    let cli = Cli::parse();
    let result = match cli.command {
        None => lint::run(&cli.lint),
        Some(Command::Inspect(inspect)) => inspect::run(&inspect),
        Some(Command::Kernel(command)) => kernel::run(&command),
        Some(Command::Explain { what }) => explain::run(&what),
        Some(Command::Rules { names, markdown }) => rules::list(names, markdown),
        Some(Command::Completions { shell }) => written(|out| shell::completions(shell, Cli::command(), out)),
        Some(Command::Man) => written(|out| shell::man(Cli::command(), out)),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        // The reader has gone: it has seen what it wanted.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            // It quotes what was typed and what is in files.
            let mut words = failure.to_string();
            report::escape(&mut words, &['\n', '\t']);
            eprintln!("scx-lint: {}", report::without_commands(&words, report::Spelling::Text));
            ExitCode::from(2)
        }
    }
}
