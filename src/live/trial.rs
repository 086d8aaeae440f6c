//! One struct_ops map: attached, held and detached.

use std::time::{Duration, Instant};

use libbpf_rs::MapCore;

use super::exit::{ExitData, exit_from_log};
use super::job::Job;
use super::kmsg;
use super::meaning::meaning;
use super::messages::{errno_of, take_messages};
use super::observation::{AttachSeen, ExitSeen, Failure, Observation, code};
use super::running;
use super::workload::Workload;
use crate::rule::Phase;

/// How long the kernel may take to change the scheduler's state before we call it stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// One struct_ops map to attach.
pub(super) struct Trial<'a> {
    pub(super) job: &'a Job,
    pub(super) map: &'a str,
    pub(super) scheduler: Option<String>,
    pub(super) is_scheduler: bool,
    pub(super) link_added: bool,
    pub(super) exit_data: Option<ExitData>,
    /// Enumerators of `enum scx_exit_kind`.
    pub(super) exit_kinds: &'a dyn Fn() -> Vec<(String, u64)>,
}

impl Trial<'_> {
    pub(super) fn attach(
        &self,
        loaded: &mut libbpf_rs::Object,
        seen: &mut Observation,
        tell: &mut dyn FnMut(&Observation, &str),
    ) -> Result<(), Failure> {
        let mut log = kmsg::Log::open().ok();
        let mut records = Vec::new();
        let count = running::enable_count();
        let mut found = AttachSeen {
            map: self.map.to_owned(),
            before: running::state(),
            link_added: self.link_added,
            ..AttachSeen::default()
        };
        tell(seen, &format!("attach '{}'", self.map));
        let link = loaded
            .maps_mut()
            .find(|map| map.name().to_string_lossy() == self.map)
            .ok_or_else(|| Failure::new(code::SETUP, format!("libbpf lost map '{}'", self.map)))?
            .attach_struct_ops();
        take_messages();
        found.call_ok = link.is_ok();
        if let Err(error) = &link {
            let errno = errno_of(error);
            found.errno = errno.map(|errno| errno.to_string());
            found.meaning = errno.and_then(|errno| meaning(errno, Phase::Attach)).map(str::to_owned);
        }
        let mut name_taken = true;
        if link.is_ok() && self.is_scheduler {
            found.state = running::wait_for(|state| state != "enabling" && state != "disabling", PATIENCE);
            found.enabled = found.state == "enabled";
            // Another scheduler may have come in before us.
            if let (true, Some(expected), Some(root)) = (found.enabled, &self.scheduler, running::root_ops())
            {
                name_taken = root == *expected;
            }
        } else if link.is_ok() {
            found.enabled = true;
        }
        if found.enabled {
            tell(seen, &format!("hold '{}'", self.map));
            let workload = self.job.workload.then(Workload::start);
            let start = Instant::now();
            let hold = Duration::from_millis(self.job.hold_ms);
            while start.elapsed() < hold && (!self.is_scheduler || running::state() == "enabled") {
                std::thread::sleep(Duration::from_millis(10).min(hold.saturating_sub(start.elapsed())));
                if let Some(log) = &mut log {
                    records.extend(log.read());
                }
            }
            found.held_ms = start.elapsed().as_millis() as u64;
            if self.is_scheduler {
                found.state = running::state();
                let root = running::root_ops();
                found.ejected = found.state != "enabled" || root.is_none();
            }
            tell(seen, &format!("detach '{}'", self.map));
            if found.ejected {
                running::wait_for(|state| state == "disabled", PATIENCE);
            }
            // What was said up to here is the scheduler's; detaching says more.
            if let Some(log) = &mut log {
                records.extend(log.read());
            }
            let exit = self.exit(&records);
            drop(link);
            drop(workload);
            found.exit = found.ejected.then_some(exit).flatten();
        } else {
            tell(seen, &format!("detach '{}'", self.map));
            if self.is_scheduler {
                running::wait_for(|state| state == "disabled", PATIENCE);
            }
            if let Some(log) = &mut log {
                records.extend(log.read());
            }
            let exit = self.exit(&records);
            found.exit = found.call_ok.then_some(exit).flatten();
            drop(link);
        }
        found.after = if self.is_scheduler {
            running::wait_for(|state| state == "disabled", PATIENCE)
        } else {
            running::state()
        };
        // The kernel may have enabled and ejected it before we looked.
        let enabled_line = |record: &kmsg::Record| {
            record.text.starts_with("sched_ext: BPF scheduler ") && record.text.ends_with(" enabled")
        };
        let counted = count.zip(running::enable_count()).is_some_and(|(before, after)| after > before);
        if found.call_ok && !found.enabled && (counted || records.iter().any(enabled_line)) {
            found.enabled = true;
            found.ejected = true;
        }
        if let Some(log) = &mut log {
            records.extend(log.read());
        }
        let ours = |record: &&kmsg::Record| {
            record.text.starts_with("sched_ext: ") || record.text.starts_with("sched_ext ")
        };
        let errors = records.iter().filter(ours).any(|record| record.level <= 3);
        found.kernel_log = records.iter().filter(ours).map(|record| record.text.clone()).collect();
        found.ok = found.call_ok
            && found.enabled
            && !found.ejected
            && name_taken
            && !errors
            && (!self.is_scheduler || found.after == "disabled");
        let after = found.after.clone();
        seen.attach.push(found);
        if !name_taken {
            return Err(Failure::new(code::BUSY, "another scheduler was started meanwhile"));
        }
        if self.is_scheduler && after != "disabled" {
            return Err(Failure::new(
                code::STUCK,
                format!("after detach the state is '{after}', expected 'disabled'"),
            ));
        }
        Ok(())
    }

    /// Why the scheduler exited: from its own data, else from the kernel log.
    fn exit(&self, records: &[kmsg::Record]) -> Option<ExitSeen> {
        let logged = exit_from_log(records);
        let Some(mut own) = self.exit_data.as_ref().and_then(|data| data.read(self.exit_kinds)) else {
            return logged;
        };
        if let Some(logged) = logged {
            if own.message.is_empty() {
                own.message = logged.message;
            }
            if own.reason.is_empty() {
                own.reason = logged.reason;
            }
        }
        Some(own)
    }
}
