//! What was typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::kernel::KernelCommand;
use super::settings;
use super::shell;
use crate::config::{ArenaRuleKey, FailOnKey, LibbpfKey, LoaderKey};
use crate::kernel::builtin;
use crate::live;

/// Preflight for Linux sched_ext BPF schedulers: will it open, load and attach, and which line is to blame if not.
#[derive(Debug, Parser)]
#[command(name = "scx-lint", version = version(), args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(
    after_help = "Exit status: 0 nothing at or above the fail level, 1 findings, 2 an input or the command line is unusable."
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) lint: Lint,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what libbpf would make of an object: maps, programs, member -> program -> maps
    Inspect(Inspect),
    /// Print the page of a rule, what an error number means at each phase, or what a log says that you paste
    Explain {
        /// Name of the rule, an errno by name or number (EINVAL, -22, 524), or a file with what libbpf, the verifier or the kernel
        /// log said; '-' reads that from standard input
        #[arg(allow_negative_numbers = true, value_name = "RULE|ERRNO|FILE")]
        what: OsString,
    },
    /// Show what a target kernel offers, or write a snapshot of it
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// List all rules
    Rules {
        /// Print names only
        #[arg(long)]
        names: bool,
        /// Print all pages as one Markdown document
        #[arg(long, conflicts_with = "names")]
        markdown: bool,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: shell::Shell,
    },
    /// Print the manual page (scx-lint man | man -l -)
    Man,
}

#[derive(Debug, Args)]
pub(super) struct Lint {
    /// BPF objects, programs that embed them, BPF C sources, folders or patterns; '-' reads standard input
    #[arg(required_unless_present = "dump_config", value_name = "INPUT")]
    pub(super) inputs: Vec<OsString>,
    /// Kernel to lint for: a built-in release, 'all', 'host', or a file with BTF, vmlinux, vmlinuz or a snapshot, as 7.3.4=FILE where it does not say its release (repeatable, comma lists)
    #[arg(short, long, value_name = "KERNEL")]
    pub(super) kernel: Vec<String>,
    /// Configuration of the target kernels, else that in the image or beside it
    #[arg(long, value_name = "FILE")]
    pub(super) kconfig: Option<PathBuf>,
    /// Do not keep what was read of kernel images, nor use what was kept (in $SCX_LINT_CACHE, $XDG_CACHE_HOME/scx-lint or
    /// ~/.cache/scx-lint)
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Arena rule for cid-form schedulers: exactly one arena, always mapped (always) or not (one); else (auto) each kernel's own
    #[arg(long, value_enum, value_name = "RULE")]
    pub(super) arena_rule: Option<ArenaRuleArg>,
    /// What user space edits between open and load: nothing (plain), what scx's headers do (scx); else (auto) as the object's
    /// constants tell
    #[arg(long, value_enum)]
    pub(super) loader: Option<LoaderArg>,
    /// What user space sets between open and load: a variable, a part of one, or OPS.MEMBER (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) set: Vec<String>,
    /// The same from a TOML file of names and values (repeatable)
    #[arg(long, value_name = "FILE")]
    pub(super) values: Vec<PathBuf>,
    /// The libbpf that the loader links [default: the newest modelled, 1.8; with --attach and --vm the one that they link, 1.7]
    #[arg(long, value_enum, value_name = "VERSION", conflicts_with_all = ["attach", "vm"])]
    pub(super) libbpf: Option<LibbpfArg>,
    /// Do not report a rule
    #[arg(short = 'A', long, value_name = "RULE")]
    pub(super) allow: Vec<String>,
    /// Report a rule as a warning
    #[arg(short = 'W', long, value_name = "RULE")]
    pub(super) warn: Vec<String>,
    /// Report a rule as an error
    #[arg(short = 'D', long, value_name = "RULE")]
    pub(super) deny: Vec<String>,
    /// Set the level of a rule: allow, note, warn or deny
    #[arg(long, value_name = "RULE=LEVEL")]
    pub(super) level: Vec<String>,
    /// What makes the exit status 1: an error (the default), a warning too, or an open question too
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(super) fail_on: Option<FailOn>,
    /// Never exit with status 1
    #[arg(long)]
    pub(super) exit_zero: bool,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Full)]
    pub(super) format: Format,
    /// Write the report to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// The clang that compiles BPF C sources [env: BPF_CLANG]
    #[arg(long, value_name = "PATH")]
    pub(super) clang: Option<PathBuf>,
    /// Compile BPF C sources in folders too, not only those that are named; see docs/configuration.md for what is trusted then
    #[arg(long)]
    pub(super) compile: bool,
    /// Flag for clang (repeatable)
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    pub(super) cflag: Vec<String>,
    #[command(flatten)]
    pub(super) choice: settings::Choice,
    #[command(flatten)]
    pub(super) look: Look,
    #[command(flatten)]
    pub(super) live: live::args::LiveArgs,
    /// Print only what fails the run: findings, no verdicts, table or counts (JSON stays whole)
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Print what was taken for granted, and what was passed over in folders
    #[arg(short, long)]
    pub(super) verbose: bool,
}

#[derive(Debug, Args)]
pub(super) struct Look {
    /// Folder under which the C files named in the object are found (repeatable)
    #[arg(long, value_name = "DIR")]
    pub(super) source_root: Vec<PathBuf>,
    /// Replace the start of source paths (repeatable)
    #[arg(long, value_name = "FROM=TO", value_parser = parse_remap)]
    pub(super) remap_path: Vec<(String, String)>,
    /// Colour the report
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(super) color: Color,
}

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// BPF object; '-' reads it from standard input
    pub(super) input: OsString,
    /// How to print it
    #[arg(long, value_enum, default_value_t = InspectFormat::Full)]
    pub(super) format: InspectFormat,
    /// Draw member -> program -> maps instead
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub(super) graph: Option<Graph>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ArenaRuleArg {
    Auto,
    Always,
    One,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LoaderArg {
    Auto,
    Plain,
    Scx,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LibbpfArg {
    #[value(name = "1.7")]
    V1_7,
    #[value(name = "1.8")]
    V1_8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    Error,
    Warning,
    Undecided,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// With source lines, for people
    Full,
    /// One line per finding
    Concise,
    /// JSON version 1
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
    /// Code Quality report of GitLab
    Gitlab,
    /// JUnit XML, a case for each verdict
    Junit,
    /// Table and findings, for $GITHUB_STEP_SUMMARY
    Markdown,
    /// One page to look at, with pictures
    Html,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Graph {
    /// Graphviz
    Dot,
    /// Mermaid
    Mermaid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum InspectFormat {
    /// Tables, for people
    Full,
    /// JSON version 1
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

impl ArenaRuleArg {
    pub(super) fn key(self) -> ArenaRuleKey {
        match self {
            Self::Auto => ArenaRuleKey::Auto,
            Self::Always => ArenaRuleKey::Always,
            Self::One => ArenaRuleKey::One,
        }
    }
}

impl LoaderArg {
    pub(super) fn key(self) -> LoaderKey {
        match self {
            Self::Auto => LoaderKey::Auto,
            Self::Plain => LoaderKey::Plain,
            Self::Scx => LoaderKey::Scx,
        }
    }
}

impl LibbpfArg {
    pub(super) fn key(self) -> LibbpfKey {
        match self {
            Self::V1_7 => LibbpfKey::V1_7,
            Self::V1_8 => LibbpfKey::V1_8,
        }
    }
}

impl FailOn {
    pub(super) fn key(self) -> FailOnKey {
        match self {
            Self::Error => FailOnKey::Error,
            Self::Warning => FailOnKey::Warning,
            Self::Undecided => FailOnKey::Undecided,
        }
    }
}

fn parse_remap(text: &str) -> Result<(String, String), String> {
    let (from, to) = text.split_once('=').ok_or("expected FROM=TO")?;
    Ok((from.to_owned(), to.to_owned()))
}

/// The version, and how old the kernels are that it knows.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let newest = builtin::RELEASES.iter().map(|release| release.date).max().unwrap_or("never");
        format!("{} (kernels {}, as of {newest})", env!("CARGO_PKG_VERSION"), builtin::range())
    })
}
