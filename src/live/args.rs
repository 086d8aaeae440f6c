//! Options of live mode. They are there in every build, so that one without the feature can say how to get it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};

/// What a build without the feature says to `--attach` and `--vm`.
pub const MISSING: &str = "this build cannot ask a kernel (--attach, --vm): it lacks the feature 'live'. Build one with \
    'cargo install scx-lint --features live'; that needs a C compiler, make, pkg-config and the headers of libelf and zlib";

/// Options of `--attach` and `--vm`, which may be given together; the others need one of the two, or `--vm`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Live mode", group = ArgGroup::new("asked").args(["attach", "vm"]).multiple(true))]
pub struct LiveArgs {
    /// Load and attach each scheduler on this machine's kernel, smoke-test it, detach it (needs root)
    #[arg(long)]
    pub attach: bool,
    /// The same in a throwaway QEMU guest that boots this kernel image (repeatable)
    #[arg(long, value_name = "IMAGE")]
    pub vm: Vec<PathBuf>,
    /// How long to hold each scheduler, as 3s or 500ms
    #[arg(long, requires = "asked", value_name = "TIME", default_value = "3s", value_parser = parse_time)]
    pub hold: Duration,
    /// Fork, wake, sleep, renice and change affinity while holding
    #[arg(long, requires = "asked", value_enum, value_name = "WHEN", default_value_t = OnOff::On)]
    pub workload: OnOff,
    /// How long one step (load, attach, detach) may take before it is given up
    #[arg(long, requires = "asked", value_name = "TIME", default_value = "60s", value_parser = parse_timeout)]
    pub timeout: Duration,
    /// Write what was seen, statistics and complete verifier logs included, to a file (JSON)
    #[arg(long, requires = "asked", value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Compare statistics with a file from --save
    #[arg(long, requires = "asked", value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// Growth that fails a comparison, in percent: insns, xlated, jited or time (repeatable) [default: insns, xlated and jited 10]
    #[arg(long, requires = "compare", value_name = "METRIC=PERCENT", value_parser = parse_threshold)]
    pub threshold: Vec<(Metric, f64)>,
    /// Memory of a guest, MiB
    #[arg(long, requires = "vm", value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(32..))]
    pub vm_memory: u32,
    /// CPUs of a guest
    #[arg(long, requires = "vm", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub vm_cpus: u32,
    /// How guests run: with KVM, emulated (tcg), or whichever works
    #[arg(long, requires = "vm", value_enum, value_name = "HOW", default_value_t = Accel::Auto)]
    pub vm_accel: Accel,
}

/// `on` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum OnOff {
    On,
    Off,
}

/// How a guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// KVM, and emulation where that cannot run a guest
    Auto,
    /// KVM only
    Kvm,
    /// Emulation
    Tcg,
}

/// A statistic that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Metric {
    /// Instructions that the verifier walked
    Insns,
    /// Size of the translated program
    Xlated,
    /// Size of the machine code
    Jited,
    /// Time of the verifier
    Time,
}

impl LiveArgs {
    /// Live mode was asked for.
    pub fn is_wanted(&self) -> bool {
        self.attach || !self.vm.is_empty()
    }
}

/// The configuration that distributions put beside a kernel: `config-VER` for `vmlinuz-VER`.
pub fn config_beside(image: &Path) -> Option<PathBuf> {
    let version = image.file_name()?.to_str()?.split_once('-')?.1;
    Some(image.with_file_name(format!("config-{version}"))).filter(|path| path.is_file())
}

/// `3s`, `500ms`, `2m`, `3` (seconds).
fn parse_time(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[number.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" | "min" => 60.0,
        unit => return Err(format!("unknown unit '{unit}', expected ms, s or m")),
    };
    let value: f64 = number.parse().map_err(|_| format!("'{number}' is no number; write 3s or 500ms"))?;
    Duration::try_from_secs_f64(value * scale)
        .ok()
        .filter(|time| time.as_secs() <= 86_400)
        .ok_or_else(|| "expected 0 to 1440 minutes".to_owned())
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_time(text)? {
        time if time.is_zero() => Err("no step can be done in no time".to_owned()),
        time => Ok(time),
    }
}

fn parse_threshold(text: &str) -> Result<(Metric, f64), String> {
    let (name, percent) = text.split_once('=').ok_or("expected METRIC=PERCENT")?;
    let metric = Metric::from_str(name, false)
        .map_err(|_| format!("unknown metric '{name}'; expected insns, xlated, jited or time"))?;
    let percent: f64 =
        percent.trim_end_matches('%').parse().map_err(|_| format!("'{percent}' is no number"))?;
    if percent.is_finite() && percent >= 0.0 {
        Ok((metric, percent))
    } else {
        Err("expected 0 or more".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse_time("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_time("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["", "s", "3h", "-1s", "nan", "1e30"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
        assert!(parse_timeout("0").is_err() && parse_time("0").is_ok());
    }

    #[test]
    fn thresholds_name_a_metric() {
        assert_eq!(parse_threshold("insns=5%"), Ok((Metric::Insns, 5.0)));
        assert!(parse_threshold("insn=5").is_err());
        assert!(parse_threshold("time=-5").is_err());
        assert!(parse_threshold("time").is_err());
    }
}
