//! The configuration: `scx-lint.toml`, or `[package.metadata.scx-lint]` of a Cargo.toml.

use std::path::{Path, PathBuf};

use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Serialize};

use crate::checks::{self, ArenaRule};
use crate::input::{Refused, describing, left_out, relative_to};
use crate::kernel::builtin;
use crate::libbpf::Libbpf;
use crate::load::Loader;
use crate::rule::Level;
use crate::suggest::nearest;
use crate::suppress::{Allow, AppliesTo, Pattern};

/// What a configuration file says. Every key may be absent.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// `--kernel`: targets; files are relative to this file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<String>,
    /// `--kconfig`: configuration of these kernels, relative to this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kconfig: Option<PathBuf>,
    /// `--arena-rule`: `auto`, `always` or `one`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arena_rule: Option<ArenaRuleKey>,
    /// Number of the bit that `BPF_F_ARENA_MAP_ALWAYS` is, where no kernel tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arena_flag_bit: Option<u32>,
    /// `--loader`: `auto`, `plain` or `scx`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader: Option<LoaderKey>,
    /// `--libbpf`: `1.7` or `1.8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub libbpf: Option<LibbpfKey>,
    /// `--fail-on`: `error`, `warning` or `undecided`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_on: Option<FailOnKey>,
    /// `--source-root`: folders with the C files, relative to this file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_root: Vec<PathBuf>,
    /// `--remap-path`: `FROM=TO`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remap_path: Vec<String>,
    /// `--baseline`: a former JSON report, relative to this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<PathBuf>,
    /// Address of a copy of docs/rules.md that reports link to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_pages: Option<String>,
    /// Levels of rules.
    #[serde(skip_serializing_if = "LevelsKey::is_empty")]
    pub levels: LevelsKey,
    /// What user space sets between open and load, by name.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub values: toml::Table,
    /// How sources are compiled.
    #[serde(skip_serializing_if = "ClangKey::is_empty")]
    pub clang: ClangKey,
    /// Findings that are no problem here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<AllowKey>,
    /// Other choices for some inputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<InputKey>,
    /// The folder of the file.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The file; `None` for the built-in configuration.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// What was left out of a file that was found, and not given.
    #[serde(skip)]
    pub refused: Refused,
}

/// Levels by rule name.
pub type LevelsKey = std::collections::BTreeMap<String, LevelKey>;

/// `[clang]`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ClangKey {
    /// `--clang`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// `--cflag`; include paths are relative to this file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

impl ClangKey {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.flags.is_empty()
    }
}

/// `[[allow]]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AllowKey {
    /// Name of the rule.
    pub rule: String,
    /// Glob of object paths or names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Glob of program names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Glob of map and ops variable names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// Why it is no problem.
    pub reason: String,
}

/// `[[input]]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InputKey {
    /// Glob of input paths.
    pub path: String,
    /// `--arena-rule` for these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arena_rule: Option<ArenaRuleKey>,
    /// `--loader` for these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader: Option<LoaderKey>,
    /// Levels for these.
    #[serde(default, skip_serializing_if = "LevelsKey::is_empty")]
    pub levels: LevelsKey,
    /// Values for these.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub values: toml::Table,
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident => $target:ty { $($word:ident = $value:expr),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(rename_all = "kebab-case")]
        #[allow(missing_docs)]
        pub enum $name { $($word),+ }

        impl From<$name> for $target {
            fn from(key: $name) -> Self {
                match key { $($name::$word => $value),+ }
            }
        }
    };
}

words! {
    /// Values of `arena-rule`.
    ArenaRuleKey => ArenaRule { Auto = Self::Auto, Always = Self::Always, One = Self::One }
}
words! {
    /// Values of `loader`.
    LoaderKey => Option<Loader> { Auto = None, Plain = Some(Loader::Plain), Scx = Some(Loader::Scx) }
}
words! {
    /// Levels.
    LevelKey => Level { Allow = Self::Allow, Note = Self::Note, Warn = Self::Warning, Deny = Self::Error }
}

/// Values of `libbpf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub enum LibbpfKey {
    #[serde(rename = "1.7")]
    V1_7,
    #[serde(rename = "1.8")]
    V1_8,
}

impl From<Libbpf> for LibbpfKey {
    fn from(libbpf: Libbpf) -> Self {
        match libbpf {
            Libbpf::V1_7 => Self::V1_7,
            Libbpf::V1_8 => Self::V1_8,
        }
    }
}

impl From<LibbpfKey> for Libbpf {
    fn from(key: LibbpfKey) -> Self {
        match key {
            LibbpfKey::V1_7 => Self::V1_7,
            LibbpfKey::V1_8 => Self::V1_8,
        }
    }
}

/// Values of `fail-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum FailOnKey {
    Error,
    Warning,
    Undecided,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("{}: {}", .0.display(), .1)]
    Read(PathBuf, std::io::Error),
    /// It is no TOML, or not of this shape.
    #[error("{}: {}{}", .0.display(), .1.to_string().trim_end(), .2)]
    Parse(PathBuf, Box<toml::de::Error>, String),
    /// A value makes no sense.
    #[error("{}: {}", .0.display(), .1)]
    Value(PathBuf, String),
}

impl Config {
    /// The configuration for a folder: `scx-lint.toml` in it or above, or a Cargo.toml there with
    /// `[package.metadata.scx-lint]` or `[workspace.metadata.scx-lint]`, whichever is nearest; the built-in one
    /// without either.
    ///
    /// # Errors
    /// What is found cannot be read.
    pub fn find(folder: &Path) -> Result<Self, Error> {
        for folder in folder.ancestors() {
            let own = folder.join("scx-lint.toml");
            if own.is_file() {
                return Self::read(&own);
            }
            let cargo = folder.join("Cargo.toml");
            if cargo.is_file()
                && let Some(config) = Self::from_cargo(&cargo)?
            {
                return Ok(config);
            }
        }
        Ok(Self::default())
    }

    /// Without what a file may not ask for that was found and not given: it may lie in somebody else's project. It names no program
    /// but a clang of the path, and of flags those that describe a source.
    #[must_use]
    pub fn as_found(mut self) -> Self {
        let file = self.file.as_deref().map_or_else(String::new, |file| file.display().to_string());
        if let Some(path) = self.clang.path.take_if(|path| !is_clang_of_the_path(path)) {
            self.refused.clang = Some(format!(
                "{file} names '{}' as the compiler, and a configuration that is only found names no program but a clang of the path \
                 ('clang', 'clang-19'); give that file with --config, or the program with --clang or BPF_CLANG",
                path.display()
            ));
        }
        // Their folders are absolute by now.
        let found = describing(&self.clang.flags, Path::new(""), None);
        if !found.dropped.is_empty() {
            self.refused.flags = Some(left_out(&file, &found.dropped));
        }
        self.clang.flags = found.kept;
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or says what it cannot mean.
    pub fn read(file: &Path) -> Result<Self, Error> {
        if file.file_name().is_some_and(|name| name == "Cargo.toml") {
            return Self::from_cargo(file)?.ok_or_else(|| {
                Error::Value(file.to_owned(), "has no [package.metadata.scx-lint] table".to_owned())
            });
        }
        let text =
            crate::regular::read_text(file, 16 << 20).map_err(|error| Error::Read(file.to_owned(), error))?;
        let parsed = toml::from_str(&text);
        let config: Self = parsed.map_err(|error| Self::unreadable(file, error))?;
        config.placed(file)
    }

    fn from_cargo(file: &Path) -> Result<Option<Self>, Error> {
        /// The part of a Cargo.toml that is read here.
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Manifest {
            package: Section,
            workspace: Section,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Section {
            metadata: Metadata,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Metadata {
            #[serde(rename = "scx-lint")]
            config: Option<Config>,
        }
        let text =
            crate::regular::read_text(file, 16 << 20).map_err(|error| Error::Read(file.to_owned(), error))?;
        if !text.contains("scx-lint") {
            return Ok(None);
        }
        let manifest: Manifest = toml::from_str(&text).map_err(|error| Self::unreadable(file, error))?;
        let found = manifest.package.metadata.config.or(manifest.workspace.metadata.config);
        found.map(|config| config.placed(file)).transpose()
    }

    /// An unknown key comes with the known one that it is nearest to.
    fn unreadable(file: &Path, error: toml::de::Error) -> Error {
        let message = error.message().to_owned();
        let mut quoted = message.split('`').skip(1).step_by(2);
        let unknown = quoted.next().unwrap_or_default();
        let unknown_key = message.starts_with("unknown field") || message.starts_with("unknown variant");
        let hint = unknown_key.then(|| nearest(unknown, quoted)).flatten();
        let hint = hint.map_or_else(String::new, |near| format!("\ndid you mean `{near}`?"));
        Error::Parse(file.to_owned(), Box::new(error), hint)
    }

    /// Checks what the types cannot say, and makes paths independent of the current folder.
    fn placed(mut self, file: &Path) -> Result<Self, Error> {
        let wrong = |text: String| Error::Value(file.to_owned(), text);
        self.file = Some(file.to_owned());
        self.folder = file.parent().map(Path::to_owned).unwrap_or_default();
        let levels = self.levels.keys().chain(self.input.iter().flat_map(|input| input.levels.keys()));
        for rule in levels.chain(self.allow.iter().map(|allow| &allow.rule)) {
            if checks::find(rule).is_none() {
                let near = nearest(rule, checks::RULES.iter().map(|rule| rule.name));
                let near = near.map_or_else(String::new, |near| format!(", did you mean '{near}'?"));
                return Err(wrong(format!("unknown rule '{rule}'{near}")));
            }
        }
        if let Some(allow) = self.allow.iter().find(|allow| allow.reason.trim().is_empty()) {
            return Err(wrong(format!("allow of '{}' gives no reason", allow.rule)));
        }
        if self.arena_flag_bit.is_some_and(|bit| bit > 31) {
            return Err(wrong("arena-flag-bit is above 31, and map_flags has 32 bits".to_owned()));
        }
        if let Some(pages) = self.rule_pages.as_ref().filter(|pages| !is_page(pages)) {
            return Err(wrong(format!(
                "rule-pages '{pages}': expected an address that begins https://, http:// or file://"
            )));
        }
        if let Some(pair) = self.remap_path.iter().find(|pair| !pair.contains('=')) {
            return Err(wrong(format!("remap-path '{pair}': expected FROM=TO")));
        }
        self.allows().map_err(wrong)?;
        self.overrides().map_err(wrong)?;
        let folder = self.folder.clone();
        self.source_root.iter_mut().for_each(|root| *root = folder.join(&*root));
        self.baseline = self.baseline.map(|path| folder.join(path));
        self.kconfig = self.kconfig.map(|path| folder.join(path));
        for name in &mut self.kernels {
            // A release wins over a file of its name, as on the command line.
            let file = folder.join(&*name);
            if builtin::find(name).is_none() && file.is_file() {
                *name = file.display().to_string();
            }
        }
        self.clang.flags = relative_to(&folder, &self.clang.flags);
        Ok(self)
    }

    /// The `[[allow]]` entries, ready to be matched.
    ///
    /// # Errors
    /// A glob is none.
    pub fn allows(&self) -> Result<Vec<Allow>, String> {
        let make = |key: &AllowKey| {
            let place = AppliesTo::Config {
                object: pattern(key.object.as_deref())?,
                program: pattern(key.program.as_deref())?,
                map: pattern(key.map.as_deref())?,
            };
            Ok(Allow::new(key.rule.clone(), key.reason.clone(), place))
        };
        self.allow.iter().map(make).collect()
    }

    /// The `[[input]]` entries, ready to be matched.
    ///
    /// # Errors
    /// A glob is none.
    pub fn overrides(&self) -> Result<Vec<(GlobMatcher, &InputKey)>, String> {
        self.input
            .iter()
            .map(|key| Ok((glob(Some(&key.path))?.ok_or_else(|| "path is missing".to_owned())?, key)))
            .collect()
    }

    /// The configuration as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}

/// `clang`, `clang-19`: looked for where the user's own programs are.
fn is_clang_of_the_path(path: &Path) -> bool {
    let version = path.to_str().and_then(|name| name.strip_prefix("clang"));
    version.is_some_and(|rest| {
        let number = rest.strip_prefix('-');
        rest.is_empty()
            || number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// Is it an address that a reader can follow, and no script.
pub fn is_page(address: &str) -> bool {
    ["https://", "http://", "file://"].iter().any(|scheme| address.starts_with(scheme))
}

fn glob(pattern: Option<&str>) -> Result<Option<GlobMatcher>, String> {
    let compile = |pattern| Glob::new(pattern).map(|glob| glob.compile_matcher());
    pattern.map(compile).transpose().map_err(|error| error.to_string())
}

fn pattern(text: Option<&str>) -> Result<Option<Pattern>, String> {
    Ok(glob(text)?.map(|glob| Pattern::new(move |name| glob.is_match(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dumped_reads_back() {
        let text = "kernels = [\"7.3\"]\narena-rule = \"one\"\narena-flag-bit = 20\n[levels]\nmissing-arena = \"note\"\n[values]\nnr_cpus = 8\n\
                    [clang]\nflags = [\"-Ix\"]\n[[allow]]\nrule = \"missing-arena\"\nreason = \"r\"\n[[input]]\npath = \"a/**\"\n";
        let config: Config = toml::from_str(text).unwrap();
        let again: Config = toml::from_str(&config.to_toml()).unwrap();
        assert_eq!(again.to_toml(), config.to_toml());
        assert!(config.to_toml().contains("missing-arena = \"note\""));
        assert_eq!(Config::default().to_toml(), "");
    }

    #[test]
    fn a_file_that_is_only_found_names_no_program() {
        let found = |clang: &str| {
            let config: Config = toml::from_str(&format!("[clang]\n{clang}\n")).unwrap();
            let config = Config { file: Some(PathBuf::from("/p/scx-lint.toml")), ..config }.as_found();
            (config.clang.path, config.clang.flags, config.refused)
        };
        for name in ["clang", "clang-19"] {
            let (path, _, refused) = found(&format!("path = '{name}'"));
            assert_eq!((path, refused), (Some(PathBuf::from(name)), Refused::default()));
        }
        for name in ["./clang", "/usr/bin/clang", "clang-", "clang-x", "evil", "clang-19/../../evil", ""] {
            let (path, _, refused) = found(&format!("path = '{name}'"));
            assert_eq!(path, None, "{name}");
            assert!(refused.clang.unwrap().contains("--clang"), "{name}");
        }
        let (_, flags, refused) = found("flags = ['-Iinc', '-fplugin=x.so', '-Xclang', '-load', '-DX']");
        assert_eq!(flags, ["-Iinc", "-DX"]);
        assert!(refused.flags.unwrap().contains("-fplugin=x.so -Xclang -load"));
    }
}
