//! The command line: what was typed, and what is done about it.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::checks::{self, ArenaRule, Loader, Options};
use crate::finding::Level;
use crate::input;
use crate::live;
use crate::object::Object;
use crate::report::{self, Document, InputError};

/// Preflight for Linux sched_ext BPF schedulers: will it open, load and attach, and which line is to blame if not.
#[derive(Debug, Parser)]
#[command(name = "scx-lint", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
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
    /// Print the page of a rule
    Explain {
        /// Name of the rule
        rule: String,
    },
    /// List all rules
    Rules {
        /// Print names only
        #[arg(long)]
        names: bool,
    },
}

#[derive(Debug, Args)]
struct Lint {
    /// BPF objects to lint; '-' reads one from standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<String>,
    /// Arena rule for cid-form schedulers: exactly one arena, always mapped (always) or not (one)
    #[arg(long, value_enum, default_value_t = ArenaRuleArg::Auto, value_name = "RULE")]
    arena_rule: ArenaRuleArg,
    /// What user space edits between open and load: nothing (plain), what scx's headers do (scx)
    #[arg(long, value_enum, default_value_t = LoaderArg::Auto)]
    loader: LoaderArg,
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
    /// What makes the exit status 1
    #[arg(long, value_enum, default_value_t = FailOn::Error, value_name = "LEVEL")]
    fail_on: FailOn,
    /// Never exit with status 1
    #[arg(long)]
    exit_zero: bool,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Full)]
    format: Format,
    /// Write the report to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    look: Look,
    #[command(flatten)]
    live: live::args::LiveArgs,
    /// Print only what fails the run
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
    input: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t = InspectFormat::Full)]
    format: InspectFormat,
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
        Some(Command::Explain { rule }) => explain(&rule),
        Some(Command::Rules { names }) => rules(names),
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
    #[error("unknown rule '{0}'{1}; 'scx-lint rules' lists all")]
    UnknownRule(String, String),
    #[error("unknown level '{0}', expected allow, note, warn or deny")]
    UnknownLevel(String),
    #[error("--level {0}: expected RULE=LEVEL")]
    Level(String),
    #[cfg(not(feature = "live"))]
    #[error("{}", live::MISSING)]
    NoLive,
    #[error("{0} needs --attach or --vm")]
    Stray(&'static str),
}

fn known_rule(name: &str) -> Result<&'static checks::Rule, Failure> {
    checks::find(name).ok_or_else(|| {
        let near = checks::RULES
            .iter()
            .map(|rule| (distance(name, rule.name), rule.name))
            .min()
            .filter(|(distance, _)| *distance <= name.len() / 3 + 1)
            .map(|(_, near)| format!(", did you mean '{near}'?"));
        Failure::UnknownRule(name.to_owned(), near.unwrap_or_default())
    })
}

/// Edits between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn options(lint: &Lint) -> Result<Options, Failure> {
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
    Ok(Options {
        arena_rule: match lint.arena_rule {
            ArenaRuleArg::Auto => ArenaRule::Auto,
            ArenaRuleArg::Always => ArenaRule::Always,
            ArenaRuleArg::One => ArenaRule::One,
        },
        loader: match lint.loader {
            LoaderArg::Auto => Loader::Auto,
            LoaderArg::Plain => Loader::Plain,
            LoaderArg::Scx => Loader::Scx,
        },
        levels,
    })
}

/// An input's path, and its bytes or why there are none.
type ReadInput = (String, Result<Vec<u8>, InputError>);

fn read_all(inputs: &[String]) -> Vec<ReadInput> {
    inputs.iter().map(|path| (path.clone(), input::read(path))).collect()
}

/// Lints every input into one document.
fn examine(inputs: &[ReadInput], options: &Options) -> Document {
    let mut document = Document::default();
    for (path, read) in inputs {
        match read {
            Err(error) => document.add_error(path, &error.code, error.message.clone()),
            Ok(bytes) => match Object::open(bytes, input::file_name(path)) {
                Err(error) => document.add_error(path, error.code(), error.to_string()),
                Ok(object) => {
                    let outcome = checks::check(&object, options);
                    document.add(path, &object, checks::loader_name(&object, options), &outcome);
                }
            },
        }
    }
    document
}

/// What a real kernel did with the inputs, where one was asked.
#[cfg(feature = "live")]
type Live = Option<live::Live>;
/// No kernel can be asked.
#[cfg(not(feature = "live"))]
type Live = ();

/// Asks the kernels that `--attach` and `--vm` name. The arena rule is theirs, unless the user chose one.
#[cfg(feature = "live")]
fn ask(lint: &Lint, inputs: &[ReadInput], options: &mut Options) -> Result<Live, Failure> {
    if !lint.live.is_wanted() {
        return Ok(None);
    }
    let inputs: Vec<live::Input<'_>> = inputs
        .iter()
        .enumerate()
        .filter_map(|(object, (path, read))| {
            // What is no BPF object is an input error, whatever a kernel says.
            let data =
                read.as_ref().ok().filter(|data| Object::open(data, input::file_name(path)).is_ok())?;
            Some(live::Input { object, path, file_name: input::file_name(path), data })
        })
        .collect();
    let live = live::run(&lint.live, &inputs, options)?;
    if options.arena_rule == ArenaRule::Auto {
        options.arena_rule = live.arena_rule();
    }
    Ok(Some(live))
}

#[cfg(not(feature = "live"))]
fn ask(lint: &Lint, _: &[ReadInput], _: &mut Options) -> Result<Live, Failure> {
    if lint.live.is_wanted() { Err(Failure::NoLive) } else { Ok(()) }
}

fn lint(lint: &Lint) -> Result<u8, Failure> {
    let mut options = options(lint)?;
    if let Some(option) = lint.live.stray() {
        return Err(Failure::Stray(option));
    }
    let inputs = read_all(&lint.inputs);
    let live = ask(lint, &inputs, &mut options)?;
    let mut document = examine(&inputs, &options);
    #[cfg(feature = "live")]
    if let Some(live) = &live {
        document.live = live.values(lint.verbose)?;
    }
    let failed = match lint.fail_on {
        FailOn::Error => document.summary.errors > 0,
        FailOn::Warning => document.summary.errors + document.summary.warnings > 0,
        FailOn::Undecided => {
            document.summary.errors + document.summary.warnings + document.summary.undecided > 0
        }
    };
    if lint.quiet && lint.format != Format::Json {
        document.keep_failing(lint.fail_on == FailOn::Error, lint.fail_on != FailOn::Undecided);
    }
    match &lint.output {
        Some(path) => {
            let name = || path.display().to_string();
            let file = File::create(path).map_err(|error| Failure::Output(name(), error))?;
            let mut out = BufWriter::new(file);
            print(lint, &document, &live, &mut out, false)?;
            out.flush().map_err(|error| Failure::Output(name(), error))?;
        }
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            print(lint, &document, &live, &mut out, io::stdout().is_terminal())?;
            out.flush()?;
        }
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

fn print(
    lint: &Lint,
    document: &Document,
    live: &Live,
    out: &mut impl Write,
    terminal: bool,
) -> io::Result<()> {
    #[cfg(not(feature = "live"))]
    let () = live;
    match lint.format {
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
            let sources =
                report::Sources { roots: lint.look.source_root.clone(), remap: lint.look.remap_path.clone() };
            if lint.verbose {
                let assumed = &document.assumptions;
                writeln!(
                    out,
                    "assuming: {} with {}-byte pages, libbpf {}; no kernel named: an error means that every kernel from 6.12 to 7.3 that has the ops type refuses",
                    assumed.arch, assumed.page_size, assumed.libbpf
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

/// Columns to fill: what COLUMNS says, or 100.
fn width(_terminal: bool) -> usize {
    std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|&n| n >= 40).unwrap_or(100)
}

fn run_inspect(inspect: &Inspect) -> Result<u8, Failure> {
    let document = examine(&read_all(std::slice::from_ref(&inspect.input)), &Options::default());
    let mut out = BufWriter::new(io::stdout().lock());
    match inspect.format {
        InspectFormat::Json => report::json(&document, &mut out)?,
        InspectFormat::Full => report::inspect(&document, &mut out, width(false))?,
    }
    out.flush()?;
    Ok(if document.has_input_errors() { 2 } else { 0 })
}

fn explain(name: &str) -> Result<u8, Failure> {
    let rule = known_rule(name)?;
    let mut out = io::stdout().lock();
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

fn rules(names: bool) -> Result<u8, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
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
