//! The kernel we run on: its types, and what sysfs says of sched_ext.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::observation::ArenaRuleSeen;
use crate::btf::{Btf, Kind};

/// The folder that a kernel with sched_ext has.
pub const SCHED_EXT: &str = "/sys/kernel/sched_ext";

/// The running kernel's own BTF.
#[derive(Debug, Default)]
pub struct KernelBtf(Vec<u8>);

impl KernelBtf {
    /// Reads `/sys/kernel/btf/vmlinux`; empty where there is none.
    pub fn read() -> Self {
        Self(fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default())
    }

    /// The types, where the file holds any.
    pub fn types(&self) -> Option<Types<'_>> {
        Btf::parse(&self.0).ok().map(Types)
    }
}

/// Questions to the running kernel's BTF.
#[derive(Debug)]
pub struct Types<'k>(Btf<'k>);

impl Types<'_> {
    /// Values of the enumerators that are asked for, in one pass over all types.
    pub fn enumerators(&self, wanted: impl Fn(&str) -> bool) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        for (_, ty) in self.0.types() {
            let Some(values) = ty.enumerators() else { continue };
            for value in values.values() {
                let name = self.0.str(value.name);
                if wanted(name) && !found.iter().any(|(known, _)| known == name) {
                    found.push((name.to_owned(), value.value));
                }
            }
        }
        found
    }

    /// The enumerators of the enum of that name.
    pub fn values_of(&self, name: &str) -> Vec<(String, u64)> {
        let id = self.0.find(name, Kind::Enum).or_else(|| self.0.find(name, Kind::Enum64));
        let values = id.and_then(|id| self.0.get(id)).and_then(|ty| ty.enumerators());
        let named = |value: crate::btf::Enumerator| (self.0.str(value.name).to_owned(), value.value);
        values.map(|values| values.values().map(named).collect()).unwrap_or_default()
    }

    /// The struct has a member of that name; `None` where there is no such struct.
    pub fn has_member(&self, structure: &str, member: &str) -> Option<bool> {
        let ty = self.0.get(self.0.find(structure, Kind::Struct)?)?;
        Some(ty.composite()?.members().any(|known| self.0.str(known.name) == member))
    }

    /// The arena rule for cid-form schedulers.
    pub fn arena_rule(&self) -> ArenaRuleSeen {
        if self.0.find("sched_ext_ops_cid", Kind::Struct).is_none() {
            ArenaRuleSeen::None
        } else if self.enumerators(|name| name == "BPF_F_ARENA_MAP_ALWAYS").is_empty() {
            ArenaRuleSeen::One
        } else {
            ArenaRuleSeen::Always
        }
    }
}

/// `uname -r`.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The kernel was built with sched_ext.
pub fn has_sched_ext() -> bool {
    Path::new(SCHED_EXT).is_dir()
}

fn attribute(name: &str) -> Option<String> {
    fs::read_to_string(Path::new(SCHED_EXT).join(name)).ok().map(|text| text.trim().to_owned())
}

/// `disabled`, `enabling`, `enabled`, `disabling`; empty without sched_ext.
pub fn state() -> String {
    attribute("state").unwrap_or_default()
}

/// Name of the root scheduler; `None` while there is none.
pub fn root_ops() -> Option<String> {
    attribute("root/ops")
}

/// How often a scheduler has been enabled since boot; `None` where the kernel does not count.
pub fn enable_count() -> Option<u64> {
    attribute("enable_seq")?.parse().ok()
}

/// Count of CPU hotplug events, which a scheduler may be started for.
pub fn hotplug_count() -> Option<u64> {
    attribute("hotplug_seq")?.parse().ok()
}

/// Waits for a state; gives the last one seen.
pub fn wait_for(wanted: impl Fn(&str) -> bool, patience: Duration) -> String {
    let start = Instant::now();
    loop {
        let now = state();
        if wanted(&now) || start.elapsed() >= patience {
            return now;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
