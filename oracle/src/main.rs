//! `scx-lint-oracle`: ask libbpf 1.7.0 what it makes of BPF objects.
//!
//! ```text
//! scx-lint-oracle open FILE...   one JSON line per file
//! scx-lint-oracle mem            frames on stdin (see the worker module), one JSON line each
//! scx-lint-oracle relocated FILE what bpf_object__prepare on this host answers (root)
//! scx-lint-oracle differ ...     mutated programs, scx-lint and a kernel's verifier (see the differ module)
//! ```

use std::io::{self, Write};
use std::process::ExitCode;

use scx_lint_oracle::client::Oracle;
use scx_lint_oracle::differ;
use scx_lint_oracle::worker::{self, Request, read_frame};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().unwrap_or_default();
    #[cfg(feature = "live")]
    if differ::guest::is_init(&command.to_string_lossy()) {
        return differ::guest::main();
    }
    if command == "differ" {
        return match differ::run(args.map(|arg| arg.to_string_lossy().into_owned())) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(e) => {
                eprintln!("scx-lint-oracle: {e}");
                ExitCode::from(2)
            }
        };
    }
    if command == differ::kernel::WORKER {
        return match differ::kernel::worker(args.map(Into::into)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("scx-lint-oracle: {e}");
                ExitCode::from(2)
            }
        };
    }
    let files = args.map(std::os::unix::ffi::OsStringExt::into_vec);
    let done = match command.to_str() {
        Some("open") => open(files),
        Some("mem" | "--mem") => mem(),
        Some("worker") => worker::run(),
        Some("relocated") => relocated(files),
        _ => {
            eprintln!("usage: scx-lint-oracle open FILE... | mem | relocated FILE... | {}", differ::USAGE);
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("scx-lint-oracle: {e}");
            ExitCode::from(2)
        }
    }
}

fn oracle() -> io::Result<Oracle> {
    Ok(Oracle::new(std::env::current_exe()?))
}

fn open(files: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    let mut oracle = oracle()?;
    for path in files {
        writeln!(io::stdout(), "{}", oracle.ask(&Request::File(path))?)?;
    }
    Ok(())
}

fn mem() -> io::Result<()> {
    let mut oracle = oracle()?;
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    while let Some(request) = read_frame(&mut stdin)? {
        writeln!(stdout, "{}", oracle.ask(&request)?)?;
        stdout.flush()?;
    }
    Ok(())
}

fn relocated(files: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    scx_lint_oracle::view::capture_messages();
    for path in files {
        writeln!(io::stdout(), "{}", scx_lint_oracle::view::prepare_file(&path))?;
    }
    Ok(())
}
