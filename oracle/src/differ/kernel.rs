//! The kernel that is asked: this machine's, or one booted in a guest.

use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;

use serde_json::{Value, json};

use super::mutation::Programs;
use super::orders::Orders;

/// Makes the program the side that asks this machine's kernel: orders on its standard input.
pub const WORKER: &str = "differ-worker";

/// Who is asked.
#[derive(Debug, Clone)]
pub enum Kernel {
    /// This machine's, with root's rights.
    Host,
    /// An image in a guest.
    #[cfg(feature = "live")]
    Image(PathBuf),
}

/// The answer for a mutant: the rows of its programs, or what happened instead.
pub type Answer = (u64, Result<Vec<Value>, String>);

/// Asks about all mutants; each answer is sent as it comes.
///
/// # Errors
/// There is nobody to ask.
pub fn ask(
    kernel: &Kernel,
    paths: &[PathBuf],
    orders: &Orders,
    config: Option<&PathBuf>,
    to: &Sender<Answer>,
) -> io::Result<()> {
    match kernel {
        Kernel::Host => host(paths, orders, to),
        #[cfg(feature = "live")]
        Kernel::Image(image) => super::guest::ask(image, paths, orders, config.map(PathBuf::as_path), to),
    }
    .inspect(|()| {
        let _ = config;
    })
}

fn host(paths: &[PathBuf], orders: &Orders, to: &Sender<Answer>) -> io::Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(WORKER)
        .args(paths)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let Some((mut input, output)) = child.stdin.take().zip(child.stdout.take()) else {
        return Err(io::Error::other("no pipes"));
    };
    writeln!(input, "{}", orders.write())?;
    drop(input);
    for line in BufReader::new(output).lines() {
        if let Some(answer) = answer(&line?)
            && to.send(answer).is_err()
        {
            break;
        }
    }
    let _ = child.kill();
    child.wait().map(drop)
}

/// Reads a line of [`Orders::attempt`].
pub fn answer(line: &str) -> Option<Answer> {
    let value: Value = serde_json::from_str(line).ok()?;
    Some((value.get("i")?.as_u64()?, Ok(value.get("rows")?.as_array()?.clone())))
}

/// The worker's main: orders on standard input, a line for each mutant on standard output.
///
/// # Errors
/// What is read is no orders, or an object cannot be read.
pub fn worker(paths: impl Iterator<Item = PathBuf>) -> io::Result<()> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let orders = serde_json::from_str(&line).ok().as_ref().and_then(Orders::read);
    let orders = orders.ok_or_else(|| io::Error::other(format!("{WORKER} is for this program's own use")))?;
    let bases: Vec<Programs> =
        paths.map(|path| Ok(Programs::new(std::fs::read(path)?))).collect::<io::Result<_>>()?;
    orders.attempt(&bases, |line| {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    })
}

/// An answer that says why there is none.
pub fn silent(number: u64, why: &str) -> Answer {
    (number, Ok(vec![json!({"p": null, "rc": "crash", "m": [why]})]))
}
