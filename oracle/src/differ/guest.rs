//! A guest that tries mutants: thousands in one boot. Its init is this program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::Sender;
use std::time::Duration;

use scx_lint::live::args::Accel;
use scx_lint::live::initramfs::Contents;
use scx_lint::live::vm::{Event, Guest, Machine, check_image};
use scx_lint::live::wire::{self, Frame};
use scx_lint::live::{guest, running};

use super::kernel::{Answer, answer, silent};
use super::mutation::Programs;
use super::orders::Orders;

/// The hidden argument that makes the program a guest's init.
pub const INIT: &str = "differ-guest";

/// Where a guest finds what it is to do.
const ORDERS: &str = "/orders.json";
const CONFIG: &str = "/boot/config";

/// How long an emulated guest may take to come up, or to answer for one mutant.
const PATIENCE: Duration = Duration::from_secs(600);

/// Boots an image as often as it takes to have all answers; a mutant that ends the guest is answered for.
///
/// # Errors
/// The guest cannot be made, or does not come up.
pub fn ask(
    image: &Path,
    paths: &[PathBuf],
    orders: &Orders,
    config: Option<&Path>,
    to: &Sender<Answer>,
) -> io::Result<()> {
    check_image(image).map_err(|failure| io::Error::other(failure.message))?;
    let mut orders = orders.clone();
    while orders.first < orders.end {
        let initramfs = pack(paths, &orders, config)?;
        let machine = Machine { memory: 3072, cpus: 1, accel: Accel::Tcg, kconfig: None };
        let mut guest = Guest::boot(image, &initramfs, &machine, false, INIT)?;
        drop(initramfs);
        let mut is_up = false;
        let why = loop {
            match guest.next(PATIENCE) {
                Ok(Event::Frame(Frame::Hello { release })) => {
                    is_up = true;
                    eprintln!("guest {release}, from mutant {}", orders.first);
                }
                Ok(Event::Frame(Frame::Note { text })) => {
                    if let Some(answer) = answer(&text) {
                        orders.first = answer.0 + 1;
                        if to.send(answer).is_err() {
                            return Ok(());
                        }
                    }
                }
                Ok(Event::Frame(Frame::Bye)) if orders.first >= orders.end => return Ok(()),
                Ok(Event::End) => break "the guest ended",
                Err(_) => break "the guest said nothing for ten minutes",
                Ok(_) => {}
            }
        };
        let words =
            format!("{why}; {}", guest.panic().map_or_else(|| guest.console().join("; "), str::to_owned));
        if !is_up {
            return Err(io::Error::other(words));
        }
        eprintln!("mutant {}: {words}", orders.first);
        if to.send(silent(orders.first, &words)).is_err() {
            return Ok(());
        }
        orders.first += 1;
    }
    Ok(())
}

fn pack(paths: &[PathBuf], orders: &Orders, config: Option<&Path>) -> io::Result<Vec<u8>> {
    let mut contents = Contents::default();
    contents.add_program("/init", Path::new("/proc/self/exe"))?;
    for (number, path) in paths.iter().enumerate() {
        contents.add(&format!("/inputs/{number}"), fs::read(path)?);
    }
    contents.add(ORDERS, orders.write().to_string().into_bytes());
    if let Some(config) = config {
        contents.add(CONFIG, fs::read(config)?);
    }
    contents.pack()
}

/// This process is such a guest's init.
pub fn is_init(command: &str) -> bool {
    command == INIT && guest::is_init()
}

/// Init's main.
pub fn main() -> ExitCode {
    guest::mount_all();
    let Ok(mut line) = guest::line() else { return ExitCode::from(2) };
    let release = running::release();
    // Where libbpf looks for it first.
    let _ = fs::rename(CONFIG, format!("{CONFIG}-{release}"));
    let _ = wire::send(&mut line, &Frame::Hello { release });
    if let Err(error) = answer_all(&mut line) {
        eprintln!("scx-lint-oracle: {error}");
    }
    let _ = wire::send(&mut line, &Frame::Bye);
    guest::power_off(&line)
}

fn answer_all(line: &mut fs::File) -> io::Result<()> {
    let orders = serde_json::from_slice(&fs::read(ORDERS)?).ok().as_ref().and_then(Orders::read);
    let orders = orders.ok_or_else(|| io::Error::other("no orders"))?;
    let bases: Vec<Programs> =
        (0..).map_while(|number| fs::read(format!("/inputs/{number}")).ok()).map(Programs::new).collect();
    orders.attempt(&bases, |text| {
        let _ = wire::send(line, &Frame::Note { text });
    })
}
