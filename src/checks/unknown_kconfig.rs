//! `unknown-kconfig`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};
use crate::load::{ExternFate, is_always_set};
use crate::object::{ExternIdx, ExternKind};

rule! {
    /// A `__kconfig` extern that libbpf cannot fill.
    ///
    /// ## Why it matters
    /// `CONFIG_*` values come from the kernel's configuration, and a strong one that is not set there fails the load. Of names that start with
    /// `LINUX_` libbpf knows a few; any other must be weak. Some options are set in every configuration (`CONFIG_HZ`, `CONFIG_NR_CPUS`).
    /// ## Fix
    /// Declare it `__kconfig __weak`: it then reads as 0.
    /// ## Sources
    /// libbpf `bpf_object__resolve_externs`.
    pub UNKNOWN_KCONFIG: "unknown-kconfig", family: Extern, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (number, external) in cx.object.externs.iter().enumerate() {
        let index = ExternIdx(number);
        if external.kind != ExternKind::Kconfig {
            continue;
        }
        let name = external.name;
        let subject = Subject::external(name);
        let (message, errno, text) = match cx.load.external(index) {
            ExternFate::UnknownKconfig => (
                format!("'{name}' is no value that libbpf knows"),
                Errno::EINVAL,
                format!("extern (kcfg) '{name}': unrecognized virtual extern"),
            ),
            ExternFate::Missing => (
                format!("'{name}' is not set in the kernel's configuration"),
                Errno::ESRCH,
                format!("extern '{name}' (strong): not resolved"),
            ),
            ExternFate::Unknown(_) if is_always_set(name) => continue,
            ExternFate::Unknown(reason) if !external.weak && cx.kernel.is_some() => {
                let open = out.undecided(
                    &UNKNOWN_KCONFIG,
                    subject,
                    reason.within(|why| format!("must be set, and {why}")),
                );
                if let Some(site) = kfunc_calls::first_use(cx.object, index) {
                    open.at(site, "referred to here");
                }
                continue;
            }
            _ => continue,
        };
        let finding = out
            .found(&UNKNOWN_KCONFIG, subject, message)
            .errno(errno)
            .quote(text)
            .help("declare it __kconfig __weak: it then reads as 0");
        if let Some(site) = kfunc_calls::first_use(cx.object, index) {
            finding.at(site, "referred to here");
        }
    }
}
