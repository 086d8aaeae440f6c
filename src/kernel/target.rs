//! A target as bytes, and how what the user names becomes one.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::num::NonZero;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::arch::Arch;
use super::cache::Cache;
use super::config::{self, ConfigOrigin};
use super::lookup::Reason;
use super::modules::Modules;
use super::{builtin, image, snapshot};
use crate::regular::{read, read_if};

/// Where a target comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Source {
    /// A release that this program carries.
    BuiltIn,
    /// A file that the user named.
    #[default]
    File,
    /// The kernel of this machine.
    Host,
}

impl Source {
    /// The word used in JSON and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::File => "file",
            Self::Host => "host",
        }
    }
}

/// A target as bytes, before anything is asked of it.
#[derive(Debug, Default)]
pub struct Target {
    /// How the user named it.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// Its release, e.g. `7.3.4`; `None` where nothing tells.
    pub release: Option<String>,
    /// What `uname -v` says there; `None` where nothing tells.
    pub build: Option<String>,
    /// The contents of its `.BTF`.
    pub btf: Vec<u8>,
    /// Its configuration, one `CONFIG_X=y` a line; `None` where nothing tells.
    pub kconfig: Option<String>,
    /// How that is known.
    pub kconfig_origin: ConfigOrigin,
    /// The architecture that the image says; its types say it too.
    pub arch: Option<Arch>,
    /// The words of its `.BTF_ids`, which hold the flags of its kfuncs; `None` where there is no image, or where a
    /// snapshot has them.
    pub btf_ids: Option<Vec<u32>>,
    /// Why a name outside the scheduler's own surface may be missing though kernels of this release have
    /// it; `None` for a BTF that is whole and stands for itself.
    pub partial: Option<Reason>,
    /// The modules that are loaded, where they are known: those of this machine's kernel.
    pub modules: Modules,
    /// What was cut from the BTF; `None` for one that is whole.
    pub cut: Option<snapshot::Cut>,
    /// Kept for [`Self::healed`].
    pub healed: OnceLock<Option<Box<Self>>>,
}

impl Target {
    /// A running kernel out of the BTF of its vmlinux and the split BTF of its modules by name, in the order of loading.
    pub fn running(name: impl Into<String>, btf: Vec<u8>, modules: Vec<(String, Vec<u8>)>) -> Self {
        Self {
            name: name.into(),
            source: Source::Host,
            btf,
            modules: Modules::loaded(modules),
            ..Self::default()
        }
    }
}

impl Target {
    /// Gives it a configuration, in place of what was known.
    pub fn set_config(&mut self, text: String, origin: ConfigOrigin) {
        (self.kconfig, self.kconfig_origin) = (Some(text), origin);
        self.healed = OnceLock::new();
    }
}

/// Why a kernel cannot be used as a target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    #[error("kernel '{name}': {error}")]
    Io { name: String, error: io::Error },
    #[error(
        "kernel '{name}': {error}, which no kernel needs; name its vmlinuz, or take the debugging information off (strip -g keeps the BTF)"
    )]
    TooLarge { name: String, error: io::Error },
    #[error("kernel '{name}': {error}")]
    Image { name: String, error: image::Error },
    #[error("kernel '{name}': {error}")]
    Snapshot { name: String, error: snapshot::Error },
    #[error("kernel '{name}' is neither a file nor a built-in release; {}", instead(name))]
    Unknown { name: String },
    #[error("kernel 'host': this machine has no BTF of its kernel: {0}")]
    Host(io::Error),
    #[error("kernel '{0}' is a directory, expected a kernel image, a vmlinux, BTF or a snapshot")]
    Directory(String),
    #[error("kernel configuration '{name}': {error}")]
    KconfigFile { name: String, error: io::Error },
    #[error("'{0}' holds no kernel configuration, expected lines such as CONFIG_SCHED_CLASS_EXT=y")]
    Kconfig(String),
    #[error("no kernel is named between the commas of '{0}'")]
    Empty(String),
    #[error("a kernel is the empty string; is a variable unset?")]
    Nameless,
    #[error("kernel '{name}': '{release}' is no release, expected RELEASE=FILE such as 7.3.4=vmlinux.btf")]
    NoRelease { name: String, release: String },
    #[error("kernel '{name}': '{kernel}' says its release itself, expected RELEASE=FILE with a file")]
    NoFile { name: String, kernel: String },
    #[error("kernel '{file}': is of release {own}, and it was named as that of {named}")]
    OtherRelease { file: String, own: String, named: String },
}

/// The built-in releases, for messages.
pub fn built_in() -> String {
    builtin::RELEASES.iter().map(|release| release.name).collect::<Vec<_>>().join(", ")
}

/// What to name instead of a kernel that there is not.
fn instead(name: &str) -> String {
    let mut words = String::new();
    // `7.3-rc1`, `6.18.15-amd64`: what `uname -r` prints starts with the release.
    if let Some(release) = series(name).and_then(builtin::find) {
        words = format!("did you mean '{}', its series? ", release.name);
    }
    words.push_str(&format!(
        "built in are {}; 'host' is this machine's kernel, and any other is named by its image (vmlinuz) or its BTF",
        built_in()
    ));
    words
}

/// The release that a version starts with: `6.18` of `6.18.15-amd64`. `None` for what is no version.
fn series(name: &str) -> Option<&str> {
    let digits = name.strip_prefix('v').unwrap_or(name);
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let mut dots = digits[..end].match_indices('.').map(|(at, _)| at);
    let (first, second) = (dots.next()?, dots.next().unwrap_or(end));
    let whole = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (whole(&digits[..first]) && whole(&digits[first + 1..second])).then(|| &digits[..second])
}

/// Loads what one `--kernel` option names: several targets for `all` and for comma lists.
///
/// # Errors
/// A name that is no built-in release and no file, and a file that holds no kernel.
pub fn load(names: &str) -> Result<Vec<Target>, Error> {
    load_lists(&[names])
}

/// Loads what several lists name, in their order. Kernels are unpacked side by side.
///
/// # Errors
/// The first that cannot be loaded.
pub fn load_lists<S: AsRef<str>>(lists: &[S]) -> Result<Vec<Target>, Error> {
    load_lists_with(lists, None)
}

/// The same, with what a cache has of their images.
///
/// # Errors
/// As for [`load_lists`].
pub fn load_lists_with<S: AsRef<str>>(lists: &[S], cache: Option<&Cache>) -> Result<Vec<Target>, Error> {
    let mut asked = Vec::new();
    for names in lists.iter().map(AsRef::as_ref) {
        // A path may have a comma in it.
        if Path::new(names).exists() {
            asked.push(names);
            continue;
        }
        for name in names.split(',') {
            match name {
                _ if names.trim().is_empty() => return Err(Error::Nameless),
                name if name.trim().is_empty() => return Err(Error::Empty(names.to_owned())),
                "all" => asked.extend(builtin::RELEASES.iter().map(|release| release.name)),
                // A blank behind a comma is no part of a name.
                name => asked.push(if Path::new(name).exists() { name } else { name.trim() }),
            }
        }
    }
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(asked.len());
    if workers < 2 {
        return asked.into_iter().map(|name| one(name, cache)).collect();
    }
    let next = AtomicUsize::new(0);
    let loaded: Vec<OnceLock<Result<Target, Error>>> = asked.iter().map(|_| OnceLock::new()).collect();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(name), Some(slot)) = (asked.get(at), loaded.get(at)) else { break };
                    // SANITY: each place is given out once, so the slot is empty.
                    let _ = slot.set(one(name, cache));
                }
            });
        }
    });
    loaded.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// Largest kernel that is read, bytes. A vmlinux with all debugging information of a distribution is about half of it.
const MAX_FILE: u64 = 1 << 30;
/// Largest configuration; real ones have 300 kB.
const MAX_CONFIG: u64 = 16 << 20;

/// Drops releases that are named twice, and tells files of one name apart.
pub fn distinguish(targets: &mut Vec<Target>) {
    let mut seen: Vec<String> = Vec::new();
    targets.retain(|target| {
        let again = target.source == Source::BuiltIn && seen.contains(&target.name);
        seen.push(target.name.clone());
        !again
    });
    let mut names: Vec<String> = Vec::new();
    for target in targets {
        let name = target.name.clone();
        let mut number = 2;
        while names.contains(&target.name) {
            target.name = match &target.release {
                Some(release) if number == 2 && !names.contains(&format!("{name} {release}")) => {
                    format!("{name} {release}")
                }
                _ => format!("{name} ({number})"),
            };
            number += 1;
        }
        names.push(target.name.clone());
    }
}

fn one(name: &str, cache: Option<&Cache>) -> Result<Target, Error> {
    if name == "host" {
        return host();
    }
    // A release wins over a file of its name; such a file is named as `./7.3`.
    if let Some(release) = builtin::find(name) {
        return release_target(release);
    }
    if let Some((release, file)) = name.split_once('=')
        && !release.contains('/')
        && !Path::new(name).exists()
    {
        return of_release(name, release, file, cache);
    }
    let mut target = file(name, cache)?;
    target.release = target.release.or_else(|| release_in(&target.name).map(str::to_owned));
    Ok(target)
}

/// `7.3.4=FILE`: a BTF does not say its release. What a file does say counts, and its name does not.
fn of_release(name: &str, release: &str, path: &str, cache: Option<&Cache>) -> Result<Target, Error> {
    if series(release).is_none() {
        return Err(Error::NoRelease { name: name.to_owned(), release: release.to_owned() });
    }
    if path == "host" || builtin::find(path).is_some() {
        return Err(Error::NoFile { name: name.to_owned(), kernel: path.to_owned() });
    }
    let mut target = file(path, cache)?;
    target.release = match target.release {
        Some(own) if is_within(&own, release) => Some(own),
        Some(own) if !is_within(release, &own) => {
            return Err(Error::OtherRelease { file: path.to_owned(), own, named: release.to_owned() });
        }
        _ => Some(release.to_owned()),
    };
    Ok(target)
}

/// Is a release another one, told more exactly: `7.3.4+deb13-amd64` is `7.3.4`, and `7.3.40` is not.
fn is_within(exact: &str, release: &str) -> bool {
    let release = release.strip_prefix('v').unwrap_or(release);
    let rest = exact.strip_prefix('v').unwrap_or(exact).strip_prefix(release);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// A kernel in a file, with the release that the file says itself.
fn file(name: &str, cache: Option<&Cache>) -> Result<Target, Error> {
    let path = Path::new(name);
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Err(Error::Directory(name.to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && !name.contains(['/', '.']) => {
            return Err(Error::Unknown { name: name.to_owned() });
        }
        // A version, whatever a distribution put behind it, is no path.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && !name.contains('/') && series(name).is_some() =>
        {
            return Err(Error::Unknown { name: name.to_owned() });
        }
        Err(error) => return Err(Error::Io { name: name.to_owned(), error }),
    }
    let bytes = read_file(path).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => Error::TooLarge { name: name.to_owned(), error },
        _ => Error::Io { name: name.to_owned(), error },
    })?;
    let mut target = from_bytes(name, bytes.into(), cache)?;
    if target.kconfig.is_none()
        && let Some(text) = config_beside(path)
    {
        target.set_config(text, ConfigOrigin::Beside);
    }
    Ok(target)
}

/// The bytes of a file that a kernel may be in; of one that holds none only the beginning.
///
/// # Errors
/// It cannot be read, is no regular file, or is too large.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    read_if(path, MAX_FILE, image::may_be_kernel)
}

/// Reads a kernel configuration: a `.config`, or /proc/config.gz.
///
/// # Errors
/// The file cannot be read, or is no configuration.
pub fn read_kconfig(path: &Path) -> Result<String, Error> {
    let name = || path.display().to_string();
    let bytes = read(path, MAX_CONFIG).map_err(|error| Error::KconfigFile { name: name(), error })?;
    let text = image::config_file(&bytes).unwrap_or_default();
    if config::is_config(&text) { Ok(text) } else { Err(Error::Kconfig(name())) }
}

/// Reads a kernel out of the bytes of a file that the user named.
///
/// # Errors
/// It holds no kernel with BTF.
pub fn from_file<'d>(name: &str, bytes: impl Into<Cow<'d, [u8]>>) -> Result<Target, Error> {
    from_file_with(name, bytes, None)
}

/// The same, with what a cache has of the file.
///
/// # Errors
/// As for [`from_file`].
pub fn from_file_with<'d>(
    name: &str,
    bytes: impl Into<Cow<'d, [u8]>>,
    cache: Option<&Cache>,
) -> Result<Target, Error> {
    let mut target = from_bytes(name, bytes.into(), cache)?;
    target.release = target.release.or_else(|| release_in(&target.name).map(str::to_owned));
    Ok(target)
}

/// The same, with the release that the bytes say themselves.
fn from_bytes(name: &str, bytes: Cow<'_, [u8]>, cache: Option<&Cache>) -> Result<Target, Error> {
    let found = match cache {
        Some(cache) => cache.extract(bytes),
        None => image::extract(bytes),
    };
    let found = found.map_err(|error| Error::Image { name: name.to_owned(), error })?;
    let path = Path::new(name);
    let name = path.file_name().and_then(|file| file.to_str()).unwrap_or(name).to_owned();
    Ok(Target {
        release: found.release,
        name,
        source: Source::File,
        build: found.build,
        btf: found.btf.into_owned(),
        kconfig_origin: if found.kconfig.is_some() { ConfigOrigin::Image } else { ConfigOrigin::Unknown },
        kconfig: found.kconfig,
        arch: found.arch,
        btf_ids: found.btf_ids,
        partial: found.cut.as_ref().and_then(|cut| cut.meta.partial.clone()).map(Into::into),
        cut: found.cut,
        ..Target::default()
    })
}

fn release_target(release: &builtin::Release) -> Result<Target, Error> {
    let fail = |error| Error::Snapshot { name: release.name.to_owned(), error };
    let found = release.load().map_err(fail)?;
    Ok(Target {
        name: release.name.to_owned(),
        source: Source::BuiltIn,
        release: Some(release.release.to_owned()),
        btf: found.btf,
        kconfig: found.kconfig,
        partial: found.cut.meta.partial.clone().map(Into::into),
        cut: Some(found.cut),
        ..Target::default()
    })
}

/// The kernel of this machine. Its modules' BTF is read when a name is not in vmlinux.
fn host() -> Result<Target, Error> {
    const FOLDER: &str = "/sys/kernel/btf";
    let btf = fs::read(format!("{FOLDER}/vmlinux")).map_err(Error::Host)?;
    let line = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let release = line("/proc/sys/kernel/osrelease");
    let (kconfig, kconfig_origin) = system_config(release.as_deref());
    // Ubuntu says its version elsewhere, which libbpf looks at first.
    let is_ubuntu = Path::new("/proc/version_signature").exists();
    Ok(Target {
        name: "host".to_owned(),
        source: Source::Host,
        release,
        build: line("/proc/sys/kernel/version").filter(|_| !is_ubuntu),
        btf,
        kconfig,
        kconfig_origin,
        modules: Modules::in_folder(FOLDER, "/proc/modules"),
        ..Target::default()
    })
}

/// What libbpf reads on this machine, in its order; /proc/config.gz is there with CONFIG_IKCONFIG_PROC.
fn system_config(release: Option<&str>) -> (Option<String>, ConfigOrigin) {
    let boot = release.map(|release| format!("/boot/config-{release}"));
    let mut origin = ConfigOrigin::Missing;
    for file in boot.as_deref().into_iter().chain(["/proc/config.gz"]) {
        match read(Path::new(file), MAX_CONFIG) {
            Ok(bytes) => match image::config_file(&bytes) {
                Some(text) => return (Some(text), ConfigOrigin::System),
                None => origin = ConfigOrigin::Unknown,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Root, who loads schedulers, may be able to.
            Err(_) => origin = ConfigOrigin::Unknown,
        }
    }
    (None, origin)
}

/// The configuration that lies beside a kernel: `config-VER` beside `vmlinuz-VER` as in /boot, `config` beside `vmlinuz` as
/// in /usr/lib/modules/VER.
fn config_beside(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let beside = match name.strip_prefix("vmlinuz").or_else(|| name.strip_prefix("vmlinux")) {
        Some("") => "config".to_owned(),
        Some(version) if version.starts_with('-') => format!("config{version}"),
        _ => return None,
    };
    read_kconfig(&file.with_file_name(beside)).ok()
}

/// The release in the name of a file: `7.3.4` of `vmlinux-7.3.4`, `7.3.4.btf.xz` and `btf-7.3.4`.
fn release_in(file: &str) -> Option<&str> {
    let start = file.find(|c: char| c.is_ascii_digit())?;
    if !(start == 0 || file[..start].ends_with(['-', '_'])) {
        return None;
    }
    let rest = &file[start..];
    let packed = [".gz", ".xz", ".zst", ".lz4", ".bz2", ".lzma", ".lzo"];
    let rest = packed.iter().find_map(|suffix| rest.strip_suffix(suffix)).unwrap_or(rest);
    let rest = rest.strip_suffix(".btf").unwrap_or(rest);
    series(rest).map(|_| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_not_built_in_is_told_from_a_path() {
        for (name, words) in [
            ("7.3-rc1", "did you mean '7.3'"),
            ("6.18.15-amd64", "did you mean '6.18'"),
            ("v6.12.1-1-MANJARO", "did you mean '6.12'"),
            ("7.3.4+deb13-cloud-amd64", "did you mean '7.3'"),
            ("5.15.0-91-generic", "release; built in are 6.12, "),
            ("6.14", "release; built in are 6.12, "),
            ("hots", "'host' is this machine's kernel"),
        ] {
            let error = load(name).unwrap_err();
            assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
            assert!(error.to_string().contains(words), "{error}");
        }
        for name in ["boot/7.3-rc1", "vmlinuz-7.3", "linux.btf", "./7.4"] {
            assert!(matches!(load(name).unwrap_err(), Error::Io { .. }), "{name}");
        }
    }

    #[test]
    fn a_release_is_found_in_the_name_of_a_file() {
        for (file, expected) in [
            ("vmlinux-7.3.4", Some("7.3.4")),
            ("7.3.4.btf", Some("7.3.4")),
            ("7.3.4.btf.xz", Some("7.3.4")),
            ("vmlinux-7.3.4+deb13-amd64.zst", Some("7.3.4+deb13-amd64")),
            ("btf_7.1.13+deb13-amd64.btf", Some("7.1.13+deb13-amd64")),
            ("vmlinux", None),
            ("kernel2.btf", None),
            ("a-3.btf", None),
            ("x86-64-7", None),
        ] {
            assert_eq!(release_in(file), expected, "{file}");
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_btf_is_given_its_release_and_a_configuration_lies_beside() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vmlinux-mine");
        fs::write(&file, crate::btf::build::Builder::new().finish()).unwrap();
        let name = file.to_str().unwrap();
        let (plain, named) =
            (load(name).unwrap().remove(0), load(&format!("7.3.4={name}")).unwrap().remove(0));
        assert_eq!((plain.release, plain.kconfig_origin), (None, ConfigOrigin::Unknown));
        assert_eq!((named.name.as_str(), named.release.as_deref()), ("vmlinux-mine", Some("7.3.4")));
        fs::write(folder.path().join("config-mine"), "# CONFIG_KALLSYMS_ALL is not set\n").unwrap();
        let beside = load(name).unwrap().remove(0);
        assert_eq!(beside.kconfig_origin, ConfigOrigin::Beside);
        assert!(beside.kconfig.unwrap().contains("KALLSYMS"));
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_release_that_a_file_says_is_not_overruled() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let btf = crate::btf::build::Builder::new().finish();
        let meta = snapshot::Meta { release: Some("7.3.4+deb13-amd64".to_owned()), ..Default::default() };
        let meta = meta.describing(&btf).unwrap();
        fs::write(path("mine.snapshot"), snapshot::write(&btf, None, None, &meta).unwrap()).unwrap();
        fs::write(path("vmlinux-7.1.1"), &btf).unwrap();
        let release = |named: &str, file: &str| {
            load(&format!("{named}={}", path(file))).map(|mut found| found.remove(0).release.unwrap())
        };
        for named in ["7.3", "7.3.4", "v7.3.4", "7.3.4+deb13-amd64"] {
            assert_eq!(release(named, "mine.snapshot").unwrap(), "7.3.4+deb13-amd64", "{named}");
        }
        for named in ["6.12.1", "7.3.40", "7.3.4-amd64"] {
            let error = release(named, "mine.snapshot").unwrap_err().to_string();
            assert!(error.contains("is of release 7.3.4+deb13-amd64, and"), "{error}");
            assert!(error.ends_with(&format!("that of {named}")), "{error}");
        }
        // A name is a guess.
        assert_eq!(release("7.2.2", "vmlinux-7.1.1").unwrap(), "7.2.2");
    }

    #[test]
    fn what_stands_before_and_behind_the_sign_is_looked_at() {
        let said = |name: &str| load(name).unwrap_err().to_string();
        assert!(said("foo=vmlinux").contains("'foo' is no release, expected RELEASE=FILE"));
        for kernel in ["7.3", "host"] {
            assert!(said(&format!("7.3.4={kernel}")).contains(&format!("'{kernel}' says its release")));
        }
        // A path, though one that leads nowhere.
        assert!(matches!(load("./foo=vmlinux").unwrap_err(), Error::Io { .. }));
        for unset in ["", " "] {
            assert!(said(unset).contains("empty string; is a variable unset?"));
        }
        assert!(said("7.3,").contains("between the commas of '7.3,'"));
    }

    #[test]
    fn targets_of_one_name_are_told_apart() {
        let target = |name: &str, source, release: Option<&str>| Target {
            name: name.to_owned(),
            source,
            release: release.map(str::to_owned),
            ..Target::default()
        };
        let mut targets = vec![
            target("7.3", Source::BuiltIn, None),
            target("vmlinux", Source::File, Some("7.1.1")),
            target("7.3", Source::BuiltIn, None),
            target("vmlinux", Source::File, Some("7.2.2")),
            target("vmlinux", Source::File, None),
        ];
        distinguish(&mut targets);
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["7.3", "vmlinux", "vmlinux 7.2.2", "vmlinux (2)"]);
    }
}
