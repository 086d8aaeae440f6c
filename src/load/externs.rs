//! Externs against a kernel (libbpf `bpf_object__resolve_externs`).

use crate::btf::{Btf, Budget, Kind, TypeId, types_are_compat_within};
use crate::errno::Errno;
use crate::kernel::{DecidedBy, Home, Kernel, KernelConfig, Kfunc, Lookup, Reason};
use crate::object::{Extern, ExternKind, Object};

/// What an extern resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternFate {
    /// The kernel's function.
    Kfunc(Kfunc),
    /// The kernel's variable: its VAR.
    Variable(Home, TypeId),
    /// A weak one that the kernel lacks: its address is 0.
    Null,
    /// A weak kfunc whose prototype is another in the kernel: resolved to nothing, as if it were missing.
    NullMismatched(Kfunc),
    /// A strong one that the kernel lacks: the load fails.
    Missing,
    /// A kfunc with another prototype: the load fails.
    MismatchedKfunc(Kfunc),
    /// A variable of another type, weak or not: the load fails.
    MismatchedVariable(Home, TypeId),
    /// A kernel configuration value.
    Kconfig(u64),
    /// A value that libbpf knows no way to fill: the load fails.
    UnknownKconfig,
    /// What would fill it, the configuration or the version, is not to be read on that kernel: the load fails, weak or not.
    UnreadKconfig,
    /// The data at hand does not tell.
    Unknown(Reason),
}

/// All externs of an object.
pub(super) fn resolve(object: &Object<'_>, kernel: Option<&Kernel<'_>>) -> Vec<ExternFate> {
    let mut budget = Budget::for_questions(object.externs.len());
    object.externs.iter().map(|external| one(object, kernel, external, &mut budget)).collect()
}

fn one(
    object: &Object<'_>,
    kernel: Option<&Kernel<'_>>,
    external: &Extern<'_>,
    budget: &mut Budget,
) -> ExternFate {
    match (external.kind, kernel) {
        (ExternKind::Kconfig, _) => kconfig(object, kernel, external),
        (_, None) => ExternFate::Unknown(Reason::from("no kernel is named").decided_by(DecidedBy::Kernel)),
        (ExternKind::Kfunc, Some(kernel)) => kfunc(object, kernel, external, budget),
        (ExternKind::Ksym, Some(kernel)) => variable(object, kernel, external, budget),
    }
}

/// `bpf_core_types_are_compat` as the extern code takes it: an error is a no. `None` where we give up on types that libbpf
/// would take ages to compare.
fn is_compatible(local: (&Btf<'_>, TypeId), target: (&Btf<'_>, TypeId), budget: &mut Budget) -> Option<bool> {
    match types_are_compat_within(local.0, local.1, target.0, target.1, budget) {
        Ok(answer) => Some(answer),
        Err(Errno::E2BIG) => None,
        Err(_) => Some(false),
    }
}

fn entangled() -> ExternFate {
    ExternFate::Unknown("the types are too entangled to compare".into())
}

/// `bpf_object__resolve_ksym_func_btf_id`.
fn kfunc(object: &Object<'_>, kernel: &Kernel<'_>, external: &Extern<'_>, budget: &mut Budget) -> ExternFate {
    let name = Object::essential_name(external.name);
    match kernel.kfunc(name) {
        Lookup::Found(kfunc) => {
            let local = object.btf.as_ref().and_then(|btf| Some((btf, btf.get(external.type_id)?.target())));
            let target = kernel.btf_of(kfunc.home);
            let compatible = match local {
                Some(local) => is_compatible(local, (&target, kfunc.proto), budget),
                None => Some(false),
            };
            match (compatible, external.weak) {
                (None, _) => entangled(),
                (Some(true), _) => ExternFate::Kfunc(kfunc),
                (Some(false), true) => ExternFate::NullMismatched(kfunc),
                (Some(false), false) => ExternFate::MismatchedKfunc(kfunc),
            }
        }
        Lookup::Absent if external.weak => ExternFate::Null,
        Lookup::Absent => ExternFate::Missing,
        Lookup::Unknown(reason) => ExternFate::Unknown(reason),
    }
}

/// `bpf_object__resolve_ksym_var_btf_id` for typed ones; a typeless one is looked up in /proc/kallsyms, which no file shows.
fn variable(
    object: &Object<'_>,
    kernel: &Kernel<'_>,
    external: &Extern<'_>,
    budget: &mut Budget,
) -> ExternFate {
    let Some(btf) = object.btf.as_ref() else { return ExternFate::Unknown("the object has no BTF".into()) };
    let local = btf.get(external.type_id).map(|ty| ty.target());
    let typed = local.and_then(|id| btf.resolve(id)).filter(|(id, _)| *id != TypeId::VOID);
    let Some((local, _)) = typed else {
        let reason =
            Reason::from("a symbol without type is looked up in /proc/kallsyms of the running kernel");
        return ExternFate::Unknown(reason.decided_by(DecidedBy::Run));
    };
    match kernel.find_anywhere(external.name, Kind::Var) {
        Lookup::Found((home, id)) => {
            let theirs = kernel.btf_of(home);
            // Without modifiers and typedefs, as libbpf takes both.
            let target = theirs.get(id).and_then(|ty| theirs.resolve(ty.target()));
            let compatible = match target {
                Some((target, _)) => is_compatible((btf, local), (&theirs, target), budget),
                None => Some(false),
            };
            match compatible {
                None => entangled(),
                Some(true) => ExternFate::Variable(home, id),
                Some(false) => ExternFate::MismatchedVariable(home, id),
            }
        }
        Lookup::Absent if external.weak => ExternFate::Null,
        Lookup::Absent => ExternFate::Missing,
        Lookup::Unknown(reason) => ExternFate::Unknown(reason),
    }
}

/// `bpf_object__resolve_externs`, `bpf_object__read_kconfig_file`.
fn kconfig(object: &Object<'_>, kernel: Option<&Kernel<'_>>, external: &Extern<'_>) -> ExternFate {
    let unknown =
        |reason: &'static str| ExternFate::Unknown(Reason::from(reason).decided_by(DecidedBy::Image));
    match external.name {
        "LINUX_KERNEL_VERSION" => match kernel.and_then(|kernel| Some((kernel.release?, kernel.build))) {
            Some((release, build)) => match (build.and_then(debian_version), version(release), build) {
                (Some(version), ..) | (None, Some(version), _) => ExternFate::Kconfig(version),
                (None, None, Some(_)) => ExternFate::UnreadKconfig,
                (None, None, None) => unknown("the kernel's release is not of three numbers"),
            },
            None => unknown("the kernel's release is not known (--kernel 7.3.4=FILE gives it)"),
        },
        // Both features are in every kernel that has sched_ext; x86-64 and arm64 have the wrapper.
        "LINUX_HAS_BPF_COOKIE" | "LINUX_HAS_SYSCALL_WRAPPER" => ExternFate::Kconfig(1),
        name if name.starts_with("CONFIG_") => match kernel.map(|kernel| &kernel.config) {
            Some(config) => option(object, config, external),
            None => {
                let reason = Reason::from("the kernel's configuration is not known");
                ExternFate::Unknown(reason.decided_by(DecidedBy::Kconfig))
            }
        },
        _ if external.weak => ExternFate::Null,
        _ => ExternFate::UnknownKconfig,
    }
}

/// Options that the configuration of every kernel with sched_ext and BTF sets: numbers and texts that Kconfig always has a value
/// for, and what sched_ext depends on (`config SCHED_CLASS_EXT` in kernel/Kconfig.preempt).
pub fn is_always_set(option: &str) -> bool {
    const SET: [&str; 10] = [
        "CONFIG_64BIT",
        "CONFIG_BPF",
        "CONFIG_BPF_JIT",
        "CONFIG_BPF_SYSCALL",
        "CONFIG_CC_VERSION_TEXT",
        "CONFIG_DEBUG_INFO_BTF",
        "CONFIG_HZ",
        "CONFIG_LOCALVERSION",
        "CONFIG_NR_CPUS",
        "CONFIG_SCHED_CLASS_EXT",
    ];
    SET.contains(&option)
}

/// `KERNEL_VERSION` of a release such as `7.3.4+deb13-amd64`; the sublevel is cut at 255. `None` where libbpf does not find
/// three numbers (`get_kernel_version`), as in `7.3-cloud-amd64`: it then looks at what distributions say elsewhere, or fails.
fn version(release: &str) -> Option<u64> {
    let mut parts = release.splitn(3, '.').map(|part| {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number = part[..digits].parse::<u64>().ok()?;
        Some((number, digits == part.len()))
    });
    let ((major, true), (minor, true), (sublevel, _)) = (parts.next()??, parts.next()??, parts.next()??)
    else {
        return None;
    };
    (major < 256 && minor < 256).then(|| major << 16 | minor << 8 | sublevel.min(255))
}

/// The version out of what Debian puts into `uname -v`, which libbpf believes before the release (`get_debian_kernel_version`).
fn debian_version(build: &str) -> Option<u64> {
    let (_, text) = build.split_once("Debian ")?;
    version(text)
}

/// An option of the configuration.
fn option(object: &Object<'_>, config: &KernelConfig<'_>, external: &Extern<'_>) -> ExternFate {
    let name = external.name;
    let unknown = |why: &'static str| ExternFate::Unknown(Reason::from(why).decided_by(DecidedBy::Kconfig));
    if config.is_readable() == Lookup::Absent {
        return ExternFate::UnreadKconfig;
    }
    // libbpf reads the file as it is.
    if let Some(text) = config.written(name) {
        return value(object, text, external);
    }
    match config.told(name) {
        Some(_) if external.weak => ExternFate::Kconfig(0),
        Some(_) => ExternFate::Missing,
        // Nothing is told, or some other options are.
        None => match config.assumed_option(name) {
            Lookup::Found(text) => value(object, text, external),
            Lookup::Absent if external.weak => ExternFate::Kconfig(0),
            Lookup::Absent => unknown("Debian's kernels of that release do not set it"),
            Lookup::Unknown(_) if config.text().is_some() => {
                unknown("the options that are told of the kernel's configuration are others")
            }
            Lookup::Unknown(_) => unknown("the kernel's configuration is not known"),
        },
    }
}

/// The value of an option: y and m as characters or tristate, numbers as they are. Strings are not needed by any rule.
fn value(object: &Object<'_>, text: &str, external: &Extern<'_>) -> ExternFate {
    let btf = object.btf.as_ref();
    let kind = btf.and_then(|btf| btf.resolve(btf.get(external.type_id)?.target())).map(|(_, ty)| ty);
    let is_char = kind.as_ref().is_some_and(|ty| ty.kind() == Kind::Int && ty.size() == 1 && !ty.is_bool());
    match text {
        "y" if is_char => ExternFate::Kconfig(u64::from(b'y')),
        "m" if is_char => ExternFate::Kconfig(u64::from(b'm')),
        "n" if is_char => ExternFate::Kconfig(u64::from(b'n')),
        // TRI_NO, TRI_YES and TRI_MODULE of enum libbpf_tristate.
        "y" => ExternFate::Kconfig(1),
        "m" if kind.is_some_and(|ty| matches!(ty.kind(), Kind::Enum | Kind::Enum64)) => {
            ExternFate::Kconfig(2)
        }
        "n" => ExternFate::Kconfig(0),
        _ => {
            let number = match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).ok(),
                None => text.parse::<i64>().map(i64::cast_unsigned).or_else(|_| text.parse()).ok(),
            };
            match number {
                Some(number) => ExternFate::Kconfig(number),
                None => ExternFate::Unknown("the configured value is no number".into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_becomes_a_version_code() {
        assert_eq!(version("7.3.4+deb13-cloud-amd64"), Some(0x70304));
        assert_eq!(version("7.3.0-rc7"), Some(0x70300));
        assert_eq!(version("7.3-cloud-amd64"), None);
        assert_eq!(version("7.3-4.5"), None);
        assert_eq!(version("6.1.300"), Some(0x601ff));
        assert_eq!(version("mainline"), None);
        let build =
            |text: &str| debian_version(&format!("#1 SMP PREEMPT_DYNAMIC Debian {text} (2026-11-15)"));
        assert_eq!(build("7.3.4-1~bpo13+1"), Some(0x70304));
        assert_eq!(build("7.3~rc4-1~exp1"), None);
        assert_eq!(debian_version("#1 SMP PREEMPT_DYNAMIC"), None);
    }
}
