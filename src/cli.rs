//! The command line: what was typed, and what is done about it.

mod ask;
mod errnos;
mod examine;
mod kernel;
mod progress;
mod repository;
mod settings;
mod shell;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use rayon::prelude::*;

use crate::checks::{self, Options};
use crate::config::{ArenaRuleKey, Config, FailOnKey, LevelKey, LoaderKey};
use crate::input::Compiler;
use crate::kernel::{Kernel, Target, builtin, target};
use crate::live;
use crate::report::{self, Document};
use crate::rule::Level;
use crate::rule::Rule;
use crate::suggest::nearest;
use examine::{Plan, examine};
use progress::Progress;
use settings::Choices;

/// Preflight for Linux sched_ext BPF schedulers: will it open, load and attach, and which line is to blame if not.
#[derive(Debug, Parser)]
#[command(name = "scx-lint", version = version(), args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(
    after_help = "Exit status: 0 nothing at or above the fail level, 1 findings, 2 an input or the command line is unusable."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    lint: Lint,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what libbpf would make of an object: maps, programs, member -> program -> maps
    Inspect(Inspect),
    /// Print the page of a rule, or what an error number means at each phase
    Explain {
        /// Name of the rule, or an errno by name or number (EINVAL, -22, 524)
        #[arg(allow_negative_numbers = true, value_name = "RULE|ERRNO")]
        what: String,
    },
    /// Show what a target kernel offers, or write a snapshot of it
    #[command(subcommand)]
    Kernel(kernel::KernelCommand),
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
struct Lint {
    /// BPF objects, programs that embed them, BPF C sources, folders or patterns; '-' reads standard input
    #[arg(required_unless_present = "dump_config", value_name = "INPUT")]
    inputs: Vec<OsString>,
    /// Kernel to lint for: a built-in release, 'all', 'host', or a file with BTF, vmlinux, vmlinuz or a snapshot (repeatable, comma lists)
    #[arg(short, long, value_name = "KERNEL")]
    kernel: Vec<String>,
    /// Configuration of the target kernels, for __kconfig externs
    #[arg(long, value_name = "FILE")]
    kconfig: Option<PathBuf>,
    /// Arena rule for cid-form schedulers: exactly one arena, always mapped (always) or not (one); else (auto) each kernel's own
    #[arg(long, value_enum, value_name = "RULE")]
    arena_rule: Option<ArenaRuleArg>,
    /// What user space edits between open and load: nothing (plain), what scx's headers do (scx); else (auto) as the object's
    /// constants tell
    #[arg(long, value_enum)]
    loader: Option<LoaderArg>,
    /// Do not report a rule
    #[arg(short = 'A', long, value_name = "RULE")]
    allow: Vec<String>,
    /// Report a rule as a warning
    #[arg(short = 'W', long, value_name = "RULE")]
    warn: Vec<String>,
    /// Report a rule as an error
    #[arg(short = 'D', long, value_name = "RULE")]
    deny: Vec<String>,
    /// Set the level of a rule: allow, note, warn or deny
    #[arg(long, value_name = "RULE=LEVEL")]
    level: Vec<String>,
    /// What makes the exit status 1: an error (the default), a warning too, or an open question too
    #[arg(long, value_enum, value_name = "LEVEL")]
    fail_on: Option<FailOn>,
    /// Never exit with status 1
    #[arg(long)]
    exit_zero: bool,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Full)]
    format: Format,
    /// Write the report to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The clang that compiles BPF C sources [env: BPF_CLANG]
    #[arg(long, value_name = "PATH")]
    clang: Option<PathBuf>,
    /// Flag for clang (repeatable)
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    cflag: Vec<String>,
    #[command(flatten)]
    choice: settings::Choice,
    #[command(flatten)]
    look: Look,
    #[command(flatten)]
    live: live::args::LiveArgs,
    /// Print only what fails the run: findings, no verdicts, table or counts (JSON stays whole)
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Print what was taken for granted
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Debug, Args)]
struct Look {
    /// Folder under which the C files named in the object are found (repeatable)
    #[arg(long, value_name = "DIR")]
    source_root: Vec<PathBuf>,
    /// Replace the start of source paths (repeatable)
    #[arg(long, value_name = "FROM=TO", value_parser = parse_remap)]
    remap_path: Vec<(String, String)>,
    /// Colour the report
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

#[derive(Debug, Args)]
struct Inspect {
    /// BPF object; '-' reads it from standard input
    input: OsString,
    /// How to print it
    #[arg(long, value_enum, default_value_t = InspectFormat::Full)]
    format: InspectFormat,
    /// Draw member -> program -> maps instead
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    graph: Option<Graph>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ArenaRuleArg {
    Auto,
    Always,
    One,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LoaderArg {
    Auto,
    Plain,
    Scx,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Undecided,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
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
enum Graph {
    /// Graphviz
    Dot,
    /// Mermaid
    Mermaid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InspectFormat {
    /// Tables, for people
    Full,
    /// JSON version 1
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl ArenaRuleArg {
    fn key(self) -> ArenaRuleKey {
        match self {
            Self::Auto => ArenaRuleKey::Auto,
            Self::Always => ArenaRuleKey::Always,
            Self::One => ArenaRuleKey::One,
        }
    }
}

impl LoaderArg {
    fn key(self) -> LoaderKey {
        match self {
            Self::Auto => LoaderKey::Auto,
            Self::Plain => LoaderKey::Plain,
            Self::Scx => LoaderKey::Scx,
        }
    }
}

impl FailOn {
    fn key(self) -> FailOnKey {
        match self {
            Self::Error => FailOnKey::Error,
            Self::Warning => FailOnKey::Warning,
            Self::Undecided => FailOnKey::Undecided,
        }
    }
}

fn level_key(level: Level) -> LevelKey {
    match level {
        Level::Allow => LevelKey::Allow,
        Level::Note => LevelKey::Note,
        Level::Warning => LevelKey::Warn,
        Level::Error => LevelKey::Deny,
    }
}

fn parse_remap(text: &str) -> Result<(String, String), String> {
    let (from, to) = text.split_once('=').ok_or("expected FROM=TO")?;
    Ok((from.to_owned(), to.to_owned()))
}

/// Parses the process's arguments and does what they say.
pub fn main() -> ExitCode {
    #[cfg(feature = "live")]
    if let Some(code) = live::own_role() {
        return code;
    }
    let cli = Cli::parse();
    let result = match cli.command {
        None => lint(&cli.lint),
        Some(Command::Inspect(inspect)) => run_inspect(&inspect),
        Some(Command::Kernel(command)) => kernel::run(&command),
        Some(Command::Explain { what }) => explain(&what),
        Some(Command::Rules { names, markdown }) => rules(names, markdown),
        Some(Command::Completions { shell }) => written(|out| shell::completions(shell, Cli::command(), out)),
        Some(Command::Man) => written(|out| shell::man(Cli::command(), out)),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        // The reader has gone: it has seen what it wanted.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("scx-lint: {failure}");
            ExitCode::from(2)
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}: {1}")]
    Output(String, io::Error),
    #[error("an input is the empty string; is a variable unset?")]
    EmptyInput,
    #[error("'-' is named more than once; standard input can be read once")]
    SeveralStandardInputs,
    #[error("--output {0}: is an input too, the report would overwrite it")]
    OutputIsInput(String),
    #[error("--output {0}: is an object, a program or a kernel, which would be overwritten; remove it first")]
    OutputIsBinary(String),
    #[error("unknown rule '{0}'{1}; 'scx-lint rules' lists all")]
    UnknownRule(String, String),
    #[error("unknown level '{0}', expected allow, note, warn or deny")]
    UnknownLevel(String),
    #[error(transparent)]
    Target(#[from] target::Error),
    #[error("kernel '{0}': {1}")]
    Snapshot(String, crate::kernel::snapshot::Error),
    #[error(
        "kernel '{0}' is a snapshot, or a built-in release, which is one: take the snapshot from the kernel itself"
    )]
    SnapshotOfSnapshot(String),
    #[error("'{0}' names several kernels, expected one")]
    SeveralKernels(String),
    #[error("kernel '{0}': {1}")]
    Kernel(String, crate::btf::Error),
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    #[error("{0}")]
    Setting(String),
    #[error("--level {0}: expected RULE=LEVEL")]
    Level(String),
    #[cfg(not(feature = "live"))]
    #[error("{}", live::MISSING)]
    NoLive,
}

fn known_rule(name: &str) -> Result<&'static Rule, Failure> {
    checks::find(name).ok_or_else(|| {
        let near = nearest(name, checks::RULES.iter().map(|rule| rule.name));
        let near = near.map(|near| format!(", did you mean '{near}'?"));
        Failure::UnknownRule(name.to_owned(), near.unwrap_or_default())
    })
}

/// The levels of the command line, in the order in which they count.
fn levels(lint: &Lint) -> Result<Vec<(String, Level)>, Failure> {
    let mut levels = Vec::new();
    for (names, level) in
        [(&lint.warn, Level::Warning), (&lint.deny, Level::Error), (&lint.allow, Level::Allow)]
    {
        for name in names {
            levels.push((known_rule(name)?.name.to_owned(), level));
        }
    }
    for text in &lint.level {
        let (name, level) = text.split_once('=').ok_or_else(|| Failure::Level(text.clone()))?;
        let level = match level {
            "allow" => Level::Allow,
            "note" => Level::Note,
            "warn" | "warning" => Level::Warning,
            "deny" | "error" => Level::Error,
            other => return Err(Failure::UnknownLevel(other.to_owned())),
        };
        levels.push((known_rule(name)?.name.to_owned(), level));
    }
    Ok(levels)
}

/// The configuration file's choices with the command line's in their place, but for levels.
fn configuration(lint: &Lint) -> Result<Config, Failure> {
    let mut config = lint.choice.read()?;
    if !lint.kernel.is_empty() {
        config.kernels.clone_from(&lint.kernel);
    }
    config.kconfig = lint.kconfig.clone().or(config.kconfig);
    config.arena_rule = lint.arena_rule.map(ArenaRuleArg::key).or(config.arena_rule);
    config.loader = lint.loader.map(LoaderArg::key).or(config.loader);
    config.fail_on = lint.fail_on.map(FailOn::key).or(config.fail_on);
    config.source_root.splice(0..0, lint.look.source_root.iter().cloned());
    config.remap_path.splice(0..0, lint.look.remap_path.iter().map(|(from, to)| format!("{from}={to}")));
    config.baseline = lint.choice.baseline.clone().or(config.baseline);
    config.clang.path = lint.clang.clone().or(config.clang.path);
    config.clang.flags.extend(lint.cflag.iter().cloned());
    Ok(config)
}

/// Reads the types of every target.
fn read_kernels(targets: &[Target]) -> Result<Vec<Kernel<'_>>, Failure> {
    let read = |target| Kernel::new(target).map_err(|error| Failure::Kernel(target.name.clone(), error));
    targets.par_iter().map(read).collect()
}

fn lint(lint: &Lint) -> Result<u8, Failure> {
    check_inputs(lint)?;
    ask::check(lint)?;
    let levels = levels(lint)?;
    let mut config = configuration(lint)?;
    if lint.choice.dump_config {
        for (rule, level) in &levels {
            config.levels.insert(rule.clone(), level_key(*level));
        }
        let text = config.to_toml();
        return written(|out| out.write_all(text.as_bytes()));
    }
    let choices = Choices::new(&config, &levels, lint.arena_rule.is_some(), lint.loader.is_some());
    let choices = choices.map_err(Failure::Setting)?;
    let allows = config.allows().map_err(Failure::Setting)?;
    let known = config.baseline.as_deref().map(|file| {
        settings::baseline(file)
            .map_err(|why| Failure::Setting(format!("baseline {}: {why}", file.display())))
    });
    let known = known.transpose()?;
    let mut targets = target::load_lists(&config.kernels)?;
    target::distinguish(&mut targets);
    if let Some(path) = &config.kconfig {
        let config = target::read_kconfig(path)?;
        targets.iter_mut().for_each(|target| target.kconfig = Some(config.clone()));
    }
    let named = read_kernels(&targets)?;
    // Kernels that are asked are targets too, unless others are named.
    let asked_targets = ask::targets(lint);
    let asked: Vec<Option<Kernel<'_>>> =
        asked_targets.iter().map(|target| Kernel::new(target.as_ref()?).ok()).collect();
    let kernels: Vec<&Kernel<'_>> =
        if named.is_empty() { asked.iter().flatten().collect() } else { named.iter().collect() };
    let compiler = Compiler { clang: config.clang.path.clone(), flags: config.clang.flags.clone() };
    let options = |path: &str| choices.of(path);
    let plan = Plan { kernels: &kernels, compiler: &compiler, allows: &allows, options };
    // A whole BTF is indexed while the inputs are opened.
    let ((), (mut document, samples)) = rayon::join(
        || kernels.par_iter().for_each(|kernel| kernel.btf().names().index_types()),
        || {
            kernels.par_iter().for_each(|kernel| kernel.btf().names().index_enumerators());
            examine(&lint.inputs, &plan, lint.live.is_wanted(), Progress::new(lint.quiet))
        },
    );
    #[cfg(feature = "live")]
    let mut live = {
        let asked: Vec<Option<&Kernel<'_>>> = asked.iter().map(Option::as_ref).collect();
        ask::ask(lint, &samples, &asked, &options)?
    };
    #[cfg(feature = "live")]
    if let Some(live) = &live {
        document.live = live.values(lint.verbose)?;
        document.runs = live::runs(live, &document);
    }
    #[cfg(not(feature = "live"))]
    let live = {
        drop(samples);
        ask::NOBODY
    };
    settings::report_unmatched(&mut document, &allows, &config);
    if let Some(known) = &known {
        document.set_baseline(known);
    }
    let fail_on = config.fail_on.unwrap_or(FailOnKey::Error);
    let (errors, warnings) = (document.new_findings("error"), document.new_findings("warning"));
    let failed = match fail_on {
        FailOnKey::Error => errors > 0,
        FailOnKey::Warning => errors + warnings > 0,
        FailOnKey::Undecided => errors + warnings + document.summary.undecided > 0,
    };
    if lint.quiet && lint.format != Format::Json {
        document.keep_failing(fail_on == FailOnKey::Error, fail_on != FailOnKey::Undecided);
    }
    // The commands of a workflow have an escaping of their own; a page may be read on a terminal too.
    if matches!(lint.format, Format::Full | Format::Concise | Format::Markdown) {
        document.make_printable();
        #[cfg(feature = "live")]
        live.iter_mut().for_each(live::Live::make_printable);
    }
    match write_report(lint, &config, &document, &live) {
        // The reader has gone: it has seen what it wanted. The answer stands all the same.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    #[cfg(feature = "live")]
    let (failed, unanswered) = match &live {
        Some(live) => (failed || live.has_failed(), live.is_unanswered()),
        None => (failed, false),
    };
    #[cfg(not(feature = "live"))]
    let unanswered = false;
    Ok(match () {
        () if document.has_input_errors() || unanswered => 2,
        () if failed && !lint.exit_zero => 1,
        () => 0,
    })
}

/// Refuses inputs that cannot be meant.
fn check_inputs(lint: &Lint) -> Result<(), Failure> {
    if lint.inputs.iter().any(|input| input.is_empty()) {
        return Err(Failure::EmptyInput);
    }
    if lint.inputs.iter().filter(|input| *input == "-").count() > 1 {
        return Err(Failure::SeveralStandardInputs);
    }
    // A report over the object that it is about: a slip of the shell's completion.
    if let Some(output) = lint.output.as_ref().and_then(|path| path.canonicalize().ok())
        && let Some(input) = lint.inputs.iter().find(|input| {
            std::path::Path::new(input).canonicalize().is_ok_and(|path| path == output && path.is_file())
        })
    {
        return Err(Failure::OutputIsInput(input.to_string_lossy().into_owned()));
    }
    match &lint.output {
        Some(path) if crate::regular::is_binary(path) => {
            Err(Failure::OutputIsBinary(path.display().to_string()))
        }
        _ => Ok(()),
    }
}

fn write_report(lint: &Lint, config: &Config, document: &Document, live: &ask::Live) -> Result<(), Failure> {
    match &lint.output {
        // As everywhere, '-' is the standard stream.
        Some(path) if path.as_os_str() != "-" => {
            let name = || path.display().to_string();
            let file = File::create(path).map_err(|error| Failure::Output(name(), error))?;
            let mut out = BufWriter::new(file);
            print(lint, config, document, live, &mut out, false)
                .and_then(|()| out.flush())
                .map_err(|error| Failure::Output(name(), error))
        }
        _ => {
            let mut out = BufWriter::new(io::stdout().lock());
            print(lint, config, document, live, &mut out, io::stdout().is_terminal())?;
            Ok(out.flush()?)
        }
    }
}

fn print(
    lint: &Lint,
    config: &Config,
    document: &Document,
    live: &ask::Live,
    out: &mut impl Write,
    terminal: bool,
) -> io::Result<()> {
    #[cfg(not(feature = "live"))]
    let ask::Live = live;
    let pair = |text: &String| text.split_once('=').map(|(from, to)| (from.to_owned(), to.to_owned()));
    let remap = config.remap_path.iter().filter_map(pair).collect();
    let sources = report::Sources { roots: config.source_root.clone(), remap, rule_pages: None };
    let pages = || config.rule_pages.clone().or_else(repository::rule_pages);
    let repository = || repository::find(sources.clone(), pages());
    match lint.format {
        Format::Sarif => report::sarif(document, &repository(), out),
        Format::Github => report::github(document, &repository(), out),
        Format::Gitlab => report::gitlab(document, &repository(), out),
        Format::Junit => report::junit(document, &repository(), out),
        Format::Markdown => report::markdown(document, &repository(), out),
        Format::Html => report::html(document, &repository(), out),
        Format::Json => report::json(document, out),
        Format::Concise => {
            report::concise(document, out)?;
            #[cfg(feature = "live")]
            if let Some(live) = live {
                live::concise(live, document, out)?;
            }
            Ok(())
        }
        Format::Full => {
            let style = report::Style {
                color: use_color(lint.look.color, terminal),
                unicode: use_unicode(),
                width: width(terminal),
            };
            // FORCE_HYPERLINK decides where it is set.
            let links = terminal || std::env::var_os("FORCE_HYPERLINK").is_some();
            let links = links && supports_hyperlinks::on(supports_hyperlinks::Stream::Stdout);
            let sources = report::Sources { rule_pages: pages().filter(|_| links), ..sources.clone() };
            if lint.verbose {
                let assumed = &document.assumptions;
                writeln!(
                    out,
                    "assuming: {} with {}-byte pages, libbpf {}; no kernel named: an error means that every kernel from {} that has the ops type refuses",
                    assumed.arch,
                    assumed.page_size,
                    assumed.libbpf,
                    builtin::range()
                )?;
            }
            report::full(document, &style, &sources, out)?;
            #[cfg(feature = "live")]
            if let Some(live) = live {
                live::full(live, document, &style, &sources, lint.verbose, out)?;
            }
            Ok(())
        }
    }
}

/// Colour: the flag, then NO_COLOR, CLICOLOR_FORCE, a dumb terminal, and whether it is one.
fn use_color(flag: Color, terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match flag {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if set("NO_COLOR") => false,
        Color::Auto if set("CLICOLOR_FORCE") && std::env::var("CLICOLOR_FORCE").as_deref() != Ok("0") => true,
        Color::Auto => terminal && std::env::var("TERM").as_deref() != Ok("dumb"),
    }
}

/// Box drawing, where the locale can show it.
fn use_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_default()
        .to_lowercase();
    (locale.contains("utf-8") || locale.contains("utf8")) && std::env::var("TERM").as_deref() != Ok("dumb")
}

/// Columns to fill: what COLUMNS says, else the terminal's, else 100.
fn width(terminal: bool) -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let own = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    said.or_else(|| terminal.then(own).flatten()).filter(|&n| n >= 40).unwrap_or(100)
}

fn run_inspect(inspect: &Inspect) -> Result<u8, Failure> {
    let inputs = std::slice::from_ref(&inspect.input);
    let (mut document, _) = examine(
        inputs,
        &Plan {
            kernels: &[],
            compiler: &Compiler::default(),
            allows: &[],
            options: |_: &str| Options::default(),
        },
        false,
        Progress::new(true),
    );
    let mut out = BufWriter::new(io::stdout().lock());
    match (inspect.graph, inspect.format) {
        (Some(Graph::Dot), _) => report::dot(&document, &mut out)?,
        (Some(Graph::Mermaid), _) => report::mermaid(&document, &mut out)?,
        (None, InspectFormat::Json) => report::json(&document, &mut out)?,
        (None, InspectFormat::Full) => {
            document.make_printable();
            report::inspect(&document, &mut out, width(io::stdout().is_terminal()))?;
        }
    }
    out.flush()?;
    Ok(if document.has_input_errors() { 2 } else { 0 })
}

/// Writes to standard output. What writes into memory cannot panic over a pipe that is gone.
fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<u8, Failure> {
    let mut text = Vec::new();
    write(&mut text)?;
    io::stdout().lock().write_all(&text)?;
    Ok(0)
}

/// The version, and how old the kernels are that it knows.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let newest = builtin::RELEASES.iter().map(|release| release.date).max().unwrap_or("never");
        format!("{} (kernels {}, as of {newest})", env!("CARGO_PKG_VERSION"), builtin::range())
    })
}

fn explain(name: &str) -> Result<u8, Failure> {
    let mut out = io::stdout().lock();
    if let (None, Some(meaning)) = (checks::find(name), errnos::find(name)) {
        write!(out, "{}", errnos::page(meaning))?;
        return Ok(0);
    }
    // What looks like an errno and is none is not a rule either.
    let number = name.starts_with('E') || name.parse::<i64>().is_ok();
    if number {
        let near = nearest(&name.to_uppercase(), errnos::names());
        let near = near.map_or_else(String::new, |near| format!(", did you mean '{near}'?"));
        return Err(Failure::Setting(format!("unknown error number '{name}'{near}")));
    }
    let rule = match report::live_rule(name) {
        Some(rule) => rule,
        None => known_rule(name)?,
    };
    writeln!(
        out,
        "{} ({}, {} at {}, since {})\n\n{}",
        rule.name,
        rule.family.as_str(),
        rule.level.as_str(),
        rule.phase.as_str(),
        rule.since,
        rule.page()
    )?;
    Ok(0)
}

fn rules(names: bool, markdown: bool) -> Result<u8, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    if markdown {
        out.write_all(checks::pages().as_bytes())?;
        out.flush()?;
        return Ok(0);
    }
    let widest = checks::RULES.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    for rule in checks::RULES {
        if names {
            writeln!(out, "{}", rule.name)?;
        } else {
            let (level, phase) = (rule.level.as_str(), rule.phase.as_str());
            writeln!(
                out,
                "{:10} {:widest$} {level:7} {phase:6} {}",
                rule.family.as_str(),
                rule.name,
                rule.summary()
            )?;
        }
    }
    out.flush()?;
    Ok(0)
}
