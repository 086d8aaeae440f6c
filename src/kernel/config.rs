//! A kernel's configuration: what is told of it, and what is assumed of a distribution's where nothing is.

use memchr::memmem;

use super::builtin;
use super::lookup::{DecidedBy, Lookup, Reason};

/// How what is told of a kernel's configuration is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConfigOrigin {
    /// Nothing is told of it.
    #[default]
    Unknown,
    /// It is known that the kernel's machine has none to read: libbpf will not find one either.
    Missing,
    /// The user names it.
    Named,
    /// The image or the snapshot holds it.
    Image,
    /// It lies beside the image.
    Beside,
    /// The running machine has it.
    System,
}

impl ConfigOrigin {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Missing => "missing",
            Self::Named => "named",
            Self::Image => "image",
            Self::Beside => "beside",
            Self::System => "system",
        }
    }

    /// In words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unknown => "not known",
            Self::Missing => "none to be read on this machine",
            Self::Named => "as named with --kconfig",
            Self::Image => "in the image",
            Self::Beside => "in the file beside the image",
            Self::System => "that of this machine",
        }
    }
}

/// A kernel's configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct KernelConfig<'d> {
    /// One `CONFIG_X=y` a line.
    text: Option<&'d str>,
    origin: ConfigOrigin,
    /// The built-in release whose distribution's configuration is taken for this kernel's.
    assumed: Option<&'static str>,
    /// It is of a distribution that puts the configuration beside the kernel, whatever it says.
    brought: bool,
}

/// A line that every configuration has that Kconfig wrote; one without it is a list of some options.
const WHOLE: &str = "CONFIG_CC_VERSION_TEXT";

impl<'d> KernelConfig<'d> {
    /// A configuration that is told, or not, of a kernel that is taken to be like a built-in release in what is not told.
    pub fn new(text: Option<&'d str>, origin: ConfigOrigin, assumed: Option<&'static str>) -> Self {
        Self { text, origin, assumed, brought: false }
    }

    /// The same of a kernel that is known by its `uname -r`: what its distribution brings is taken for granted.
    pub fn of_release(text: Option<&'d str>, origin: ConfigOrigin, release: Option<&str>) -> Self {
        let brought = release.is_some_and(|release| release.contains("+deb"));
        Self { brought, ..Self::new(text, origin, release.and_then(of_distribution)) }
    }

    /// The release, and what is assumed of it, for those who list assumptions; `None` where all is told.
    pub fn assumed(&self) -> Option<&'static str> {
        self.assumed.filter(|_| self.text.is_none())
    }

    /// Its text, where it is told.
    pub fn text(&self) -> Option<&'d str> {
        self.text
    }

    /// How it is known.
    pub fn origin(&self) -> ConfigOrigin {
        self.origin
    }

    /// The value that its text gives an option, `n` too: libbpf reads that as any other.
    pub fn written(&self, option: &str) -> Option<&'d str> {
        value(self.text?, option)
    }

    /// An option as it is told: absent where it is not set. `None` where nothing is told of it.
    pub fn told(&self, option: &str) -> Option<Lookup<&'d str>> {
        let text = self.text?;
        match value(text, option) {
            Some("n") => Some(Lookup::Absent),
            Some(value) => Some(Lookup::Found(value)),
            None if is_unset(text, option) || value(text, WHOLE).is_some() => Some(Lookup::Absent),
            None => None,
        }
    }

    /// Whether an option that is y, m or n is set, as it is told. `None` where nothing is told of it.
    pub fn told_set(&self, option: &str) -> Option<Lookup<()>> {
        Some(match self.told(option)? {
            Lookup::Found("y" | "m") => Lookup::Found(()),
            Lookup::Found(other) => {
                let words = format!("the configuration says {option}={other}, expected y, m or n");
                Lookup::Unknown(Reason::from(words).decided_by(DecidedBy::Kconfig))
            }
            other => other.map(drop),
        })
    }

    /// An option as the distribution sets it; absent where it does not set it.
    pub fn assumed_option(&self, option: &str) -> Lookup<&'static str> {
        match self.assumed.and_then(|release| builtin::config::value_in(release, option)) {
            Some("n") => Lookup::Absent,
            Some(value) => Lookup::Found(value),
            None => Lookup::Unknown(unknown(option)),
        }
    }

    /// An option: as it is told, else as it is assumed.
    pub fn option(&self, option: &str) -> Lookup<&'d str> {
        self.told(option).unwrap_or_else(|| self.assumed_option(option))
    }

    /// Will libbpf find a configuration to read when it loads an object there.
    pub fn is_readable(&self) -> Lookup<()> {
        match (self.text, self.origin) {
            (Some(_), _) => Lookup::Found(()),
            (None, ConfigOrigin::Missing) => Lookup::Absent,
            // Distributions put it into /boot.
            (None, _) if self.brought || self.assumed.is_some() => Lookup::Found(()),
            (None, _) => {
                let words = "whether the kernel's configuration can be read at load is not known";
                Lookup::Unknown(Reason::from(words).decided_by(DecidedBy::Kconfig))
            }
        }
    }
}

/// Why an option is not known, and what would tell.
pub fn unknown(option: &str) -> Reason {
    Reason::from(format!("whether {option} is set in the kernel is not known")).decided_by(DecidedBy::Kconfig)
}

/// The value of an option in a configuration: `y`, `m`, a number, a text in quotes.
fn value<'t>(text: &'t str, option: &str) -> Option<&'t str> {
    let finder = memmem::Finder::new(option.as_bytes());
    let mut found = finder.find_iter(text.as_bytes());
    found.find_map(|at| {
        let starts = at == 0 || text.as_bytes()[at - 1] == b'\n';
        let rest = text.get(at + option.len()..)?.strip_prefix('=').filter(|_| starts)?;
        Some(rest.lines().next().unwrap_or_default().trim_end())
    })
}

/// The configuration says of an option that it is not set.
fn is_unset(text: &str, option: &str) -> bool {
    memmem::find(text.as_bytes(), format!("# {option} is not set").as_bytes()).is_some()
}

/// The text speaks of options, be it that they are not set.
pub fn is_config(text: &str) -> bool {
    text.lines().any(|line| line.strip_prefix("# ").unwrap_or(line).starts_with("CONFIG_"))
}

/// The built-in release whose configuration is taken for that of a kernel with this `uname -r`: Debian configures the
/// kernels of a series alike, but for those for real time.
pub fn of_distribution(release: &str) -> Option<&'static str> {
    let debian = release.contains("+deb") && release.ends_with("-amd64") && !release.contains("-rt-");
    let series = |name: &str| {
        release.strip_prefix(name).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    builtin::RELEASES.iter().map(|known| known.name).find(|name| debian && series(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_A_B=m\nCONFIG_HZ=250\r\nXCONFIG_C=y\n";

    #[test]
    fn what_is_told_counts_before_what_is_assumed() {
        let told = KernelConfig::new(Some(TEXT), ConfigOrigin::Named, Some("7.3"));
        assert_eq!(told.option("CONFIG_A"), Lookup::Found("y"));
        assert_eq!(told.option("CONFIG_A_B"), Lookup::Found("m"));
        assert_eq!(told.option("CONFIG_HZ"), Lookup::Found("250"));
        assert_eq!(told.option("CONFIG_B"), Lookup::Absent);
        // A list of some options says nothing of others; a whole configuration does.
        assert!(matches!(told.option("CONFIG_C"), Lookup::Unknown(_)));
        assert_eq!(told.option("CONFIG_KALLSYMS_ALL"), Lookup::Found("y"));
        let whole = format!("{TEXT}CONFIG_CC_VERSION_TEXT=\"gcc\"\n");
        let whole = KernelConfig::new(Some(&whole), ConfigOrigin::Image, Some("7.3"));
        assert_eq!(whole.option("CONFIG_C"), Lookup::Absent);
        assert_eq!(whole.option("CONFIG_KALLSYMS_ALL"), Lookup::Absent);
    }

    #[test]
    fn an_option_that_is_n_is_not_set() {
        let set = |line: &str| {
            KernelConfig::new(Some(line), ConfigOrigin::Named, Some("7.3")).told_set("CONFIG_A").unwrap()
        };
        assert_eq!(set("CONFIG_A=y\n"), Lookup::Found(()));
        assert_eq!(set("CONFIG_A=m\n"), Lookup::Found(()));
        assert_eq!(set("CONFIG_A=n\n"), Lookup::Absent);
        assert_eq!(set("# CONFIG_A is not set\n"), Lookup::Absent);
        for junk in ["N", "Y", "\"n\"", "", "0", "maybe"] {
            let answer = set(&format!("CONFIG_A={junk}\n"));
            let Lookup::Unknown(reason) = answer else { panic!("{junk}: {answer:?}") };
            assert_eq!(reason.decider(), Some(&DecidedBy::Kconfig));
            assert!(reason.to_string().contains(&format!("CONFIG_A={junk},")), "{reason}");
        }
        let told = KernelConfig::new(Some("CONFIG_A=n\n"), ConfigOrigin::Named, None);
        assert_eq!((told.option("CONFIG_A"), told.written("CONFIG_A")), (Lookup::Absent, Some("n")));
        assert_eq!((told.told_set("CONFIG_B"), told.written("CONFIG_B")), (None, None));
        // What is not known says how to tell it, once.
        let Lookup::Unknown(reason) = told.option("CONFIG_B") else { panic!() };
        assert_eq!(reason.decider(), Some(&DecidedBy::Kconfig));
        assert!(!reason.to_string().contains("--kconfig"), "{reason}");
    }

    #[test]
    fn a_configuration_can_be_read_where_it_is_told_or_its_distribution_brings_one() {
        let readable = |origin, assumed| KernelConfig::new(None, origin, assumed).is_readable();
        assert_eq!(readable(ConfigOrigin::Unknown, Some("7.3")), Lookup::Found(()));
        assert_eq!(readable(ConfigOrigin::Missing, None), Lookup::Absent);
        assert!(matches!(readable(ConfigOrigin::Unknown, None), Lookup::Unknown(_)));
        let rt = KernelConfig::of_release(None, ConfigOrigin::Unknown, Some("7.3.4+deb13-rt-amd64"));
        assert_eq!((rt.is_readable(), rt.assumed()), (Lookup::Found(()), None));
    }

    #[test]
    fn debian_kernels_are_told_by_their_release() {
        for (release, expected) in [
            ("7.3.4+deb13-cloud-amd64", Some("7.3")),
            ("7.3.9+deb14-amd64", Some("7.3")),
            ("7.3-cloud-amd64", None),
            ("7.3.4+deb13-rt-amd64", None),
            ("7.3.4+deb13-cloud-arm64", None),
            ("7.30.1+deb14-amd64", None),
            ("7.3.4-arch1-1", None),
        ] {
            assert_eq!(of_distribution(release), expected, "{release}");
        }
    }

    #[test]
    fn a_file_of_options_that_are_not_set_is_a_configuration() {
        assert!(is_config("# CONFIG_A is not set\n") && is_config("\nCONFIG_A=y\n"));
        assert!(!is_config("# a kernel\nA=CONFIG_A\n"));
    }
}
