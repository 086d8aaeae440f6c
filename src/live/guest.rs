//! The guest's side: this program as init of a throwaway kernel.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

use super::job::Job;
use super::observation::Observation;
use super::wire::{self, Frame, Orders};
use super::{kconfig, running, supervise};

/// The hidden argument that makes the program a guest's init, passed on the kernel's command line.
pub const INIT: &str = "--live-guest";

/// Where the host puts the orders.
pub const ORDERS: &str = "/orders.json";

/// Mounts what a load needs. A file system that the kernel lacks is left out; what needs it says so itself.
pub fn mount_all() {
    let all = [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("bpf", "/sys/fs/bpf"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("tracefs", "/sys/kernel/tracing"),
    ];
    for (kind, place) in all {
        let _ = mount(kind, place, kind, MountFlags::empty(), None::<&std::ffi::CStr>);
    }
}

/// Opens the line to the host: the second serial port, so that the console's messages do not get in between.
///
/// # Errors
/// There is no such port.
pub fn line() -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/ttyS1")?;
    let mut settings = tcgetattr(&file)?;
    settings.make_raw();
    tcsetattr(&file, OptionalActions::Now, &settings)?;
    Ok(file)
}

/// Waits until everything is sent and turns the machine off.
pub fn power_off(line: &File) -> ExitCode {
    let _ = tcdrain(line);
    let _ = reboot(RebootCommand::PowerOff);
    // Init must not end: that would be a panic, and the host tells it from a clean end.
    loop {
        std::thread::park();
    }
}

/// This process is a guest's init and was asked to be.
pub fn is_init() -> bool {
    rustix::process::getpid().is_init()
}

/// Init's `main`: does the orders and powers off.
pub fn main() -> ExitCode {
    mount_all();
    let mut line = match line() {
        Ok(line) => line,
        Err(error) => {
            eprintln!("scx-lint: /dev/ttyS1: {error}");
            let _ = reboot(RebootCommand::PowerOff);
            return ExitCode::from(2);
        }
    };
    let _ = wire::send(&mut line, &Frame::Hello { release: running::release() });
    let config = kconfig::path();
    if fs::rename(kconfig::PLACE, &config).is_err() && !Path::new("/proc/config.gz").exists() {
        let _ = fs::create_dir_all("/boot");
        let _ = fs::write(&config, kconfig::seen());
    }
    if let Ok(orders) = read_orders(Path::new(ORDERS)) {
        let mut rule = None;
        for job in orders.jobs {
            let job = Job { arena_rule: rule.clone(), ..job };
            let mut progress = |observation: &Observation, step: &str| {
                let observation = Box::new(without_logs(observation));
                let _ = wire::send(&mut line, &Frame::Doing { observation, step: step.to_owned() });
            };
            let observation = supervise::run(&job, &mut progress);
            let dirty = observation.is_dirty();
            rule = rule.or_else(|| observation.kernel.arena_rule.clone());
            let _ = wire::send(&mut line, &Frame::Done { observation: Box::new(observation) });
            if dirty {
                break;
            }
        }
    }
    let _ = wire::send(&mut line, &Frame::Bye);
    power_off(&line)
}

fn read_orders(path: &Path) -> io::Result<Orders> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// The line is slow; logs are sent once, at the end.
fn without_logs(observation: &Observation) -> Observation {
    let mut light = observation.clone();
    for phase in &mut light.phases {
        phase.log.clear();
    }
    light
}
