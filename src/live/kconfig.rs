//! A configuration for guests whose kernel brings none: libbpf refuses to load an object with a `CONFIG_*` extern where it can
//! read no configuration at all, even if the extern is weak.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_getres};

use super::running;
use crate::object::{ExternKind, Object};

/// The first line of a configuration that is ours.
const MARK: &str = "# Not the kernel's own: what the running kernel shows of it.";

/// Where the host puts the kernel's config, before its release is known.
pub const PLACE: &str = "/boot/config";

/// Where libbpf looks for the running kernel's config first.
pub fn path() -> PathBuf {
    PathBuf::from(format!("{PLACE}-{}", running::release()))
}

/// What a running kernel shows of its configuration.
pub fn seen() -> String {
    let mut lines = vec![MARK.to_owned()];
    lines.extend(match std::env::consts::ARCH {
        "x86_64" => Some("CONFIG_X86_64=y".to_owned()),
        "aarch64" => Some("CONFIG_ARM64=y".to_owned()),
        _ => None,
    });
    // The largest CPU number that fits (Documentation/admin-guide/cputopology.rst).
    let largest = fs::read_to_string("/sys/devices/system/cpu/kernel_max").ok();
    if let Some(largest) = largest.and_then(|text| text.trim().parse::<u64>().ok()) {
        lines.push(format!("CONFIG_NR_CPUS={}", largest + 1));
    }
    // The coarse clock goes forward once a tick.
    let tick = clock_getres(ClockId::MonotonicCoarse).tv_nsec;
    if tick > 0 {
        lines.push(format!("CONFIG_HZ={}", (1_000_000_000 + tick / 2) / tick));
    }
    lines.join("\n") + "\n"
}

/// Says what an object is told of a configuration that is not the kernel's own; `None` where it asks for nothing or the
/// configuration is real. `path` is where libbpf reads it.
pub fn note(object: &Object<'_>, path: &Path) -> Option<String> {
    let config = fs::read_to_string(path).ok().filter(|text| text.starts_with(MARK))?;
    told(object, &config)
}

fn told(object: &Object<'_>, config: &str) -> Option<String> {
    let asked = object
        .externs
        .iter()
        .filter(|external| external.kind == ExternKind::Kconfig && external.name.starts_with("CONFIG_"));
    let told: Vec<_> = asked
        .map(|external| {
            let value = |line: &str| line.strip_prefix(external.name)?.strip_prefix('=').map(str::to_owned);
            match config.lines().find_map(value) {
                Some(value) => format!("{}={value}", external.name),
                None => format!("{} is not set", external.name),
            }
        })
        .collect();
    (!told.is_empty()).then(|| {
        format!(
            "the kernel's configuration is not known (--kconfig names it), taken instead: {}",
            told.join(", ")
        )
    })
}

/// Is a load's failure due to what is missing in our configuration.
pub fn is_to_blame(edits: &[String], message: &str) -> bool {
    message.contains("failed to open system Kconfig")
        || message.contains("extern 'CONFIG_")
            && message.contains("(strong): not resolved")
            && edits.iter().any(|edit| edit.starts_with("the kernel's configuration is not known"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_shows_its_tick_and_size() {
        let text = seen();
        for name in ["CONFIG_HZ=", "CONFIG_NR_CPUS="] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            assert!(value.parse::<u64>().unwrap() > 0, "{text}");
        }
    }

    #[test]
    fn an_object_is_told_of_the_options_it_asks_for() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/obj/clang-19");
        let bytes = fs::read(format!("{folder}/unknown-kconfig__near_always.bpf.o")).unwrap();
        let object = Object::open(&bytes, "x.bpf.o").unwrap();
        let config = format!("{MARK}\nCONFIG_HZ=250\n");
        let words = told(&object, &config).unwrap();
        assert!(words.ends_with("taken instead: CONFIG_HZ=250, CONFIG_NR_CPUS is not set"), "{words}");
        let bytes = fs::read(format!("{folder}/good__realistic_cpu.bpf.o")).unwrap();
        assert_eq!(told(&Object::open(&bytes, "x.bpf.o").unwrap(), &config), None);
    }

    #[test]
    fn only_what_is_missing_in_ours_is_our_fault() {
        let message = "libbpf: extern 'CONFIG_X' (strong): not resolved";
        assert!(!is_to_blame(&[], message));
        assert!(is_to_blame(&["the kernel's configuration is not known (...)".to_owned()], message));
        assert!(is_to_blame(&[], "libbpf: failed to open system Kconfig"));
    }
}
