//! `unknown-kconfig`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::{Kernel, Lookup};
use crate::load::{ExternFate, is_always_set};
use crate::object::{ExternIdx, ExternKind};

rule! {
    /// A `__kconfig` extern that libbpf cannot fill.
    ///
    /// ## Why it matters
    /// `CONFIG_*` values come from the kernel's configuration, and a strong one that is not set there fails the load. Of names that start with
    /// `LINUX_` libbpf knows a few; any other must be weak. Some options are set in every configuration (`CONFIG_HZ`, `CONFIG_NR_CPUS`).
    ///
    /// Where neither `/boot/config-RELEASE` nor `/proc/config.gz` can be read, any `CONFIG_*` extern fails the load, weak ones too. And libbpf
    /// wants three numbers in the release for `LINUX_KERNEL_VERSION`: `7.3-cloud-amd64`, as Debian calls its candidates, has none.
    /// ## Fix
    /// Declare it `__kconfig __weak`: it then reads as 0. Where there is no configuration to read, install it, or let the loader pass one
    /// (`bpf_object_open_opts.kconfig`); or set a `.rodata` variable instead.
    /// ## Sources
    /// libbpf `bpf_object__resolve_externs`, `bpf_object__read_kconfig_file`, `get_kernel_version`.
    pub UNKNOWN_KCONFIG: "unknown-kconfig", family: Extern, level: Error, phase: Load, since: "0.1.0";
}

/// What no option answers: will libbpf find a configuration at all. One question for all externs of the object.
fn without_config(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    let options = || {
        let externs = (0..).map(ExternIdx).zip(&cx.object.externs);
        externs.filter(|(_, external)| {
            external.kind == ExternKind::Kconfig && external.name.starts_with("CONFIG_")
        })
    };
    let Some((index, first)) = options().next() else { return };
    if let Lookup::Unknown(reason) = kernel.config.is_readable() {
        let more = match options().count() - 1 {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let reason = reason.within(|why| {
            format!("libbpf reads the configuration for '{}'{more}, or fails; {why}", first.name)
        });
        let open = out.undecided(&UNKNOWN_KCONFIG, Subject::object(cx.object), reason);
        if let Some((function, insn)) = cx.object.first_use(index) {
            open.at(Site::Insn(function, insn), "referred to here");
        }
    }
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    without_config(cx, out);
    let readable = |kernel: &Kernel<'_>| !matches!(kernel.config.is_readable(), Lookup::Unknown(_));
    let mut unread = false;
    for (number, external) in cx.object.externs.iter().enumerate() {
        let index = ExternIdx(number);
        if external.kind != ExternKind::Kconfig {
            continue;
        }
        let name = external.name;
        let subject = Subject::external(name);
        let of_option = name.starts_with("CONFIG_");
        let (message, errno, text) = match cx.load.external(index) {
            // libbpf gives up at the first.
            ExternFate::UnreadKconfig if of_option && unread => continue,
            ExternFate::UnreadKconfig if of_option => {
                unread = true;
                (
                    format!(
                        "libbpf reads the kernel's configuration for '{name}', and the machine has none to read"
                    ),
                    Errno::EINVAL,
                    "failed to open system Kconfig".to_owned(),
                )
            }
            ExternFate::UnreadKconfig => (
                format!("'{name}' needs a kernel release of three numbers, which this kernel's is not"),
                Errno::EINVAL,
                format!("extern (kcfg) '{name}': failed to get kernel version"),
            ),
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
            // Asked once for all, above.
            ExternFate::Unknown(_) if of_option && cx.kernel.is_some_and(|kernel| !readable(kernel)) => {
                continue;
            }
            ExternFate::Unknown(reason) if !external.weak && cx.kernel.is_some() => {
                out.undecided(
                    &UNKNOWN_KCONFIG,
                    subject,
                    reason.within(|why| format!("must be set, and {why}")),
                );
                continue;
            }
            _ => continue,
        };
        let help = match cx.load.external(index) {
            ExternFate::UnreadKconfig if of_option => {
                "install /boot/config-RELEASE or set CONFIG_IKCONFIG_PROC; or pass a configuration when the object is opened"
            }
            ExternFate::UnreadKconfig => "let the loader set a .rodata variable instead",
            _ => "declare it __kconfig __weak: it then reads as 0",
        };
        out.found(&UNKNOWN_KCONFIG, subject, message).errno(errno).quote(text).help(help);
    }
}
