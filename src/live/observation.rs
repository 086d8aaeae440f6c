//! What a run on a real kernel shows: one element of the report's `live` array.
//!
//! The same structures travel as JSON from the worker to its supervisor and from a guest to the host.

use serde::{Deserialize, Serialize};

#[cfg(feature = "live")]
use super::difference::{Difference, Unforeseen};
use super::word;
use crate::load::Loader;
use crate::rule::Phase;
use crate::verifier::log::Diagnostic;

/// One object on one kernel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Index into the report's `objects`.
    pub object: usize,
    /// The kernel.
    pub kernel: KernelSeen,
    /// The loader: what was edited between open and load.
    #[serde(with = "word")]
    pub loader: Loader,
    /// The edits, one sentence each.
    pub edits: Vec<String>,
    /// `open` and `load`, as far as they were reached.
    pub phases: Vec<PhaseSeen>,
    /// Programs that the kernel took.
    pub programs: Vec<ProgramSeen>,
    /// The struct_ops maps, in the order in which they were attached.
    pub attach: Vec<AttachSeen>,
    /// Why the run ended early, where it did.
    pub failure: Option<Failure>,
    /// Where the kernel and the static report disagree. Written and never read: who reads an observation compares it.
    #[cfg(feature = "live")]
    #[serde(skip_deserializing)]
    pub differs: Vec<Difference>,
    /// What failed that the static report does not model. Written and never read, too.
    #[cfg(feature = "live")]
    #[serde(skip_deserializing)]
    pub unforeseen: Vec<Unforeseen>,
}

/// The kernel of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelSeen {
    /// `uname -r`; empty where the kernel never came up.
    pub release: String,
    /// `host` or `vm`.
    #[serde(rename = "where")]
    pub place: String,
    /// The image that a guest booted.
    pub image: Option<String>,
    /// `kvm` or `tcg` in a guest.
    pub accel: Option<String>,
    /// What its BTF says of the arena rule for cid-form schedulers.
    pub arena_rule: Option<ArenaRuleSeen>,
}

/// Which arena rule a kernel that runs enforces, as far as its BTF says. The flag's value stays there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArenaRuleSeen {
    /// It has no cid-form schedulers.
    None,
    /// Exactly one arena.
    One,
    /// Exactly one arena, created with `BPF_F_ARENA_MAP_ALWAYS`.
    Always,
}

/// A phase and its outcome.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseSeen {
    /// Open or load.
    #[serde(with = "word")]
    pub phase: Phase,
    /// It succeeded.
    pub ok: bool,
    /// Error number by name.
    pub errno: Option<String>,
    /// What the error number means at this phase.
    pub meaning: Option<String>,
    /// The program that the kernel refused.
    pub program: Option<String>,
    /// libbpf's warnings, with its prefix.
    pub messages: Vec<String>,
    /// The verifier's log of the refused program, its end where it is long.
    pub log: Vec<String>,
    /// What the log says.
    pub diagnostic: Option<Diagnostic>,
    /// Wall-clock time, milliseconds.
    pub ms: u64,
}

/// A loaded program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramSeen {
    /// libbpf's name.
    pub name: String,
    /// Maps that the kernel lists for it, internal ones by section name.
    pub maps: Vec<String>,
    /// Instructions that the verifier walked.
    pub verified_insns: u32,
    /// Size of the translated program, bytes.
    pub xlated_bytes: u32,
    /// Size of the machine code, bytes.
    pub jited_bytes: u32,
    /// Time that the verifier took, microseconds; null where the kernel does not say.
    pub verify_us: Option<u64>,
    /// How often it ran while the schedulers were tried; null where none was, or the kernel does not count.
    #[serde(default)]
    pub runs: Option<u64>,
}

/// A struct_ops map on its way through attach, hold and detach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachSeen {
    /// The map (ops variable).
    pub map: String,
    /// Enabled, held without an exit, and detached without a trace.
    pub ok: bool,
    /// The attach call returned success; that proves nothing.
    pub call_ok: bool,
    /// What the attach call returned.
    pub errno: Option<String>,
    /// What that means.
    pub meaning: Option<String>,
    /// The scheduler was enabled at some time.
    pub enabled: bool,
    /// `/sys/kernel/sched_ext/state` before the attach call.
    pub before: String,
    /// The state at the end of the hold.
    pub state: String,
    /// The state after detach.
    pub after: String,
    /// It was enabled and then thrown out by the kernel.
    pub ejected: bool,
    /// How long it was seen enabled, milliseconds.
    pub held_ms: u64,
    /// The kernel's reason where it was refused or ejected.
    pub exit: Option<ExitSeen>,
    /// What the kernel log gained, only lines of sched_ext.
    pub kernel_log: Vec<String>,
    /// The map came from `.struct_ops`; it was loaded with `BPF_F_LINK` so that nothing can stay attached.
    pub link_added: bool,
}

/// Why a scheduler exited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitSeen {
    /// Name of the exit kind, as `SCX_EXIT_ERROR_STALL`; the number where the kernel's BTF has no name.
    pub kind: Option<String>,
    /// Exit code; as `"0x..."` in JSON where a number would lose bits.
    #[serde(with = "wide")]
    pub code: Option<i64>,
    /// Short reason, as `runtime error`.
    pub reason: String,
    /// The kernel's message.
    pub message: String,
    /// `object` (its user-exit-info data) or `kernel log`.
    pub source: String,
}

/// 64-bit values as the report has them: numbers up to 2^53, hexadecimal strings above.
mod wide {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Number {
        Small(i64),
        Large(String),
    }

    pub(super) fn serialize<S: Serializer>(value: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        let number = value.map(|value| match value.unsigned_abs() <= 1 << 53 {
            true => Number::Small(value),
            false => Number::Large(format!("{:#x}", value.cast_unsigned())),
        });
        number.serialize(serializer)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        Ok(match Option::<Number>::deserialize(deserializer)? {
            None => None,
            Some(Number::Small(value)) => Some(value),
            Some(Number::Large(text)) => {
                let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("expected 0x"))?;
                Some(u64::from_str_radix(digits, 16).map_err(D::Error::custom)?.cast_signed())
            }
        })
    }
}

/// Why a run ended before its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable code: see [`code`].
    pub code: String,
    /// One sentence.
    pub message: String,
    /// What was being done.
    pub during: Option<String>,
    /// The last lines of a guest's console.
    pub console: Vec<String>,
}

/// Codes of [`Failure`].
#[allow(missing_docs)]
pub mod code {
    /// The object took longer than `--timeout`.
    pub const TIMEOUT: &str = "timeout";
    /// The worker died.
    pub const DIED: &str = "died";
    /// Ctrl-C or SIGTERM.
    pub const INTERRUPTED: &str = "interrupted";
    /// Another scheduler runs.
    pub const BUSY: &str = "busy";
    /// No right to use BPF, or no BPF.
    pub const NO_BPF: &str = "no-bpf";
    /// The kernel has no sched_ext.
    pub const NO_SCHED_EXT: &str = "no-sched-ext";
    /// The state did not go back to `disabled`.
    pub const STUCK: &str = "stuck";
    /// The guest's kernel panicked.
    pub const PANIC: &str = "kernel-panic";
    /// The guest came up and then said no more.
    pub const HANG: &str = "guest-hang";
    /// The guest never came up.
    pub const NO_BOOT: &str = "no-boot";
    /// QEMU is not installed.
    pub const NO_QEMU: &str = "no-qemu";
    /// QEMU gave up.
    pub const QEMU: &str = "qemu";
    /// The image cannot be read or is no kernel.
    pub const IMAGE: &str = "image";
    /// The object asks for an option of the kernel's configuration that nothing shows.
    pub const NO_KCONFIG: &str = "no-kconfig";
    /// Anything else that keeps the question from being asked.
    pub const SETUP: &str = "setup";

    /// The question could not be asked: exit status 2, not 1.
    pub fn is_unanswered(code: &str) -> bool {
        matches!(code, BUSY | NO_BPF | NO_QEMU | QEMU | IMAGE | SETUP | INTERRUPTED | NO_KCONFIG)
    }
}

impl Failure {
    /// A failure of that code.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), during: None, console: Vec::new() }
    }
}

/// What a phase came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It succeeded.
    Pass,
    /// It failed.
    Fail,
    /// It was not reached, or ended early for another reason.
    NotReached,
}

impl Observation {
    /// A phase, if it was reached.
    pub fn phase(&self, phase: Phase) -> Option<&PhaseSeen> {
        self.phases.iter().find(|seen| seen.phase == phase)
    }

    /// What `open`, `load`, `attach` and `run` came to, for one struct_ops map or for the whole object.
    pub fn came(&self, phase: Phase, map: Option<&str>) -> Came {
        let answer = |ok: bool| if ok { Came::Pass } else { Came::Fail };
        let maps = || self.attach.iter().filter(|seen| map.is_none_or(|map| map == seen.map));
        let poor = self.failure.as_ref().is_some_and(|failure| failure.code == code::NO_KCONFIG);
        match phase {
            // That a guest has no config says nothing of the kernel.
            Phase::Load if poor => Came::NotReached,
            Phase::Open | Phase::Load => self.phase(phase).map_or(Came::NotReached, |seen| answer(seen.ok)),
            // An attach that a timeout cut short proves nothing about the attach.
            Phase::Attach if self.failure.is_some() && maps().all(|seen| seen.enabled) => Came::NotReached,
            Phase::Attach if maps().next().is_none() => Came::NotReached,
            Phase::Attach => answer(maps().all(|seen| seen.enabled)),
            Phase::Run if !maps().any(|seen| seen.enabled) => Came::NotReached,
            Phase::Run => answer(!maps().any(|seen| seen.ejected)),
        }
    }

    /// Everything went as a scheduler's author wants it.
    pub fn is_ok(&self) -> bool {
        self.failure.is_none()
            && self.phases.iter().all(|phase| phase.ok)
            && self.attach.iter().all(|seen| seen.ok)
    }

    /// The kernel may be left in a state that shows in later runs: a failed enable was seen to leave
    /// one in bypass mode (6.17).
    pub fn is_dirty(&self) -> bool {
        self.attach.iter().any(|seen| seen.call_ok && !seen.ok)
            || self.failure.as_ref().is_some_and(|failure| {
                matches!(failure.code.as_str(), code::TIMEOUT | code::DIED | code::STUCK | code::BUSY)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_exit_codes_keep_their_bits() {
        for code in
            [None, Some(0), Some(-17), Some(1 << 53), Some((1 << 53) + 1), Some(i64::MIN), Some(i64::MAX)]
        {
            let exit = ExitSeen { code, ..ExitSeen::default() };
            let json = serde_json::to_string(&exit).unwrap();
            assert_eq!(serde_json::from_str::<ExitSeen>(&json).unwrap(), exit, "{json}");
        }
        let exit = ExitSeen { code: Some(-1 << 60), ..ExitSeen::default() };
        assert!(serde_json::to_string(&exit).unwrap().contains("\"0xf000000000000000\""));
    }

    #[test]
    fn arena_rules_travel_as_words() {
        let all = [ArenaRuleSeen::None, ArenaRuleSeen::One, ArenaRuleSeen::Always];
        assert_eq!(serde_json::to_string(&all).unwrap(), r#"["none","one","always"]"#);
    }

    #[test]
    fn loaders_travel_as_words() {
        let seen = Observation { loader: Loader::Scx, ..Observation::default() };
        let json = serde_json::to_string(&seen).unwrap();
        assert!(json.contains(r#""loader":"scx""#), "{json}");
        assert_eq!(serde_json::from_str::<Observation>(&json).unwrap(), seen);
        assert!(serde_json::from_str::<Observation>(&json.replace("scx", "sxc")).is_err());
    }

    #[test]
    fn phases_travel_as_words() {
        let seen = PhaseSeen { phase: Phase::Load, ..PhaseSeen::default() };
        let json = serde_json::to_string(&seen).unwrap();
        assert!(json.contains(r#""phase":"load""#), "{json}");
        assert_eq!(serde_json::from_str::<PhaseSeen>(&json).unwrap(), seen);
        assert!(serde_json::from_str::<PhaseSeen>(&json.replace("load", "lunch")).is_err());
    }

    #[test]
    fn an_ejected_scheduler_was_attached_and_failed_at_run() {
        let attach = AttachSeen {
            map: "a".to_owned(),
            call_ok: true,
            enabled: true,
            ejected: true,
            ..AttachSeen::default()
        };
        let other = AttachSeen { map: "b".to_owned(), call_ok: true, ..AttachSeen::default() };
        let seen = Observation { attach: vec![attach, other], ..Observation::default() };
        assert_eq!(seen.came(Phase::Attach, Some("a")), Came::Pass);
        assert_eq!(seen.came(Phase::Run, Some("a")), Came::Fail);
        assert_eq!(seen.came(Phase::Attach, Some("b")), Came::Fail);
        assert_eq!(seen.came(Phase::Run, Some("b")), Came::NotReached);
        assert_eq!(seen.came(Phase::Attach, None), Came::Fail);
        assert_eq!(seen.came(Phase::Load, None), Came::NotReached);
        assert!(seen.is_dirty() && !seen.is_ok());
    }
}
