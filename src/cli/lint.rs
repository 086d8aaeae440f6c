//! Linting: the options and the configuration together, the targets, the document, and whether the run has failed.

use std::io::{self, Write};

use rayon::prelude::*;

use super::args::{ArenaRuleArg, FailOn, Format, LibbpfArg, Lint, LoaderArg};
use super::ask;
use super::examine::{Plan, examine};
use super::failure::Failure;
use super::output::{sources, write_report};
use super::progress::Progress;
use super::rules::known_rule;
use super::settings::{self, Choices};
use super::stdout::written;
use super::values::Settings;
use crate::config::{Config, FailOnKey, LevelKey};
use crate::input::{self, Compiler};
use crate::kernel::cache::Cache;
use crate::kernel::{ConfigOrigin, Kernel, Target, target};
use crate::libbpf::Libbpf;
#[cfg(feature = "live")]
use crate::live;
use crate::rule::Level;

fn level_key(level: Level) -> LevelKey {
    match level {
        Level::Allow => LevelKey::Allow,
        Level::Note => LevelKey::Note,
        Level::Warning => LevelKey::Warn,
        Level::Error => LevelKey::Deny,
    }
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
    config.libbpf = lint.libbpf.map(LibbpfArg::key).or(config.libbpf);
    config.fail_on = lint.fail_on.map(FailOn::key).or(config.fail_on);
    config.source_root.splice(0..0, lint.look.source_root.iter().cloned());
    config.remap_path.splice(0..0, lint.look.remap_path.iter().map(|(from, to)| format!("{from}={to}")));
    config.baseline = lint.choice.baseline.clone().or(config.baseline);
    config.clang.path = lint.clang.clone().or(config.clang.path);
    if config.clang.path.is_some() {
        config.refused.clang = None;
    }
    config.clang.flags.extend(lint.cflag.iter().cloned());
    Ok(config)
}

/// Reads the types of every target.
fn read_kernels(targets: &[Target]) -> Result<Vec<Kernel<'_>>, Failure> {
    let read = |target| Kernel::new(target).map_err(|error| Failure::Kernel(target.name.clone(), error));
    targets.par_iter().map(read).collect()
}

/// Lints what was named, and gives the exit status.
pub(super) fn run(lint: &Lint) -> Result<u8, Failure> {
    check_inputs(lint)?;
    ask::check(lint)?;
    let levels = levels(lint)?;
    let mut config = configuration(lint)?;
    if lint.choice.dump_config {
        for (rule, level) in &levels {
            config.levels.insert(rule.clone(), level_key(*level));
        }
        config.values = Settings::table(lint, &config)?;
        let text = config.to_toml();
        return written(|out| out.write_all(text.as_bytes()));
    }
    // A real kernel is asked with the libbpf that is linked here, and its answer held against what is foreseen for that one.
    #[cfg(feature = "live")]
    if lint.live.is_wanted() {
        config.libbpf = Some(live::LIBBPF.into());
    }
    let choices = Choices::new(&config, &levels, lint.arena_rule.is_some(), lint.loader.is_some());
    let choices = choices.map_err(Failure::Setting)?;
    let allows = config.allows().map_err(Failure::Setting)?;
    let known = config.baseline.as_deref().map(|file| {
        settings::baseline(file)
            .map_err(|why| Failure::Setting(format!("baseline {}: {why}", file.display())))
    });
    let known = known.transpose()?;
    let cache = if lint.no_cache { None } else { Cache::of_user() };
    let mut targets = target::load_lists_with(&config.kernels, cache.as_ref())?;
    target::distinguish(&mut targets);
    if let Some(path) = &config.kconfig {
        let config = target::read_kconfig(path)?;
        targets.iter_mut().for_each(|target| target.set_config(config.clone(), ConfigOrigin::Named));
    }
    let named = read_kernels(&targets)?;
    // Kernels that are asked are targets too, unless others are named.
    let asked_targets = ask::targets(lint, cache.as_ref());
    let asked: Vec<Option<Kernel<'_>>> =
        asked_targets.iter().map(|target| Kernel::new(target.as_ref()?).ok()).collect();
    let kernels: Vec<&Kernel<'_>> =
        if named.is_empty() { asked.iter().flatten().collect() } else { named.iter().collect() };
    let libbpf = config.libbpf.map(Libbpf::from).unwrap_or_default();
    // Sources are compiled for the machine that all targets are for.
    let mut machines = kernels.iter().map(|kernel| kernel.arch_or_usual());
    let arch = machines.next().filter(|first| machines.all(|other| other == *first));
    let compiler = Compiler {
        clang: config.clang.path.clone(),
        flags: config.clang.flags.clone(),
        folders: lint.compile,
        refused: config.refused.clone(),
        arch,
    };
    // Nothing but JSON says it of each program.
    let options = |path: &str| choices.of(path).programs(lint.format == Format::Json);
    let settings = Settings::read(lint, &config)?;
    let plan = Plan { kernels: &kernels, compiler: &compiler, allows: &allows, options, settings: &settings };
    // A whole BTF is indexed while the inputs are opened.
    let ((), (mut document, samples)) = rayon::join(
        || kernels.par_iter().for_each(|kernel| kernel.btf().names().index_types()),
        || {
            kernels.par_iter().for_each(|kernel| kernel.btf().names().index_enumerators());
            examine(&lint.inputs, &plan, lint.live.is_wanted(), Progress::new(lint.quiet))
        },
    );
    // What could not be read may have the variable.
    if !document.has_input_errors() {
        settings.check(lint.quiet)?;
    }
    #[cfg(feature = "live")]
    let mut live = ask::ask(lint, &document, &samples, &asked, &kernels, &options)?;
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
    document.assumptions.libbpf = libbpf.as_str();
    settings::report_unmatched(&mut document, &allows, &config);
    document.find_variables(&sources(&config));
    if let Some(known) = &known {
        document.set_baseline(known);
    }
    let fail_on = config.fail_on.unwrap_or(FailOnKey::Error);
    let (errors, warnings) = (document.new_findings(Level::Error), document.new_findings(Level::Warning));
    let failed = match fail_on {
        FailOnKey::Error => errors > 0,
        FailOnKey::Warning => errors + warnings > 0,
        FailOnKey::Undecided => errors + warnings + document.open_questions() > 0,
    };
    document.conclude();
    if lint.quiet && lint.format != Format::Json {
        // What has verdicts has what keeps them open, too.
        let has_verdicts = !matches!(lint.format, Format::Full | Format::Concise | Format::Github);
        let drop_undecided = fail_on != FailOnKey::Undecided && !has_verdicts;
        document.keep_failing(fail_on == FailOnKey::Error, drop_undecided);
    }
    // The commands of a workflow, JSON and XML have an escaping of their own; a page may be read on a terminal too.
    if matches!(lint.format, Format::Full | Format::Concise | Format::Markdown | Format::Html) {
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
        Some(path) if input::is_binary(path) => Err(Failure::OutputIsBinary(path.display().to_string())),
        _ => Ok(()),
    }
}
