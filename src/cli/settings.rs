//! The configuration file and the command line, together.

use std::collections::HashSet;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::Args;
use globset::GlobMatcher;

use crate::checks::Options;
use crate::config::{self, Config, InputKey};
use crate::report::{AllowedBy, Document, UnmatchedDoc, recorded_fingerprints};
use crate::rule::Level;
use crate::suppress::Allow;

/// Options about the configuration.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Configuration file, instead of the scx-lint.toml or Cargo.toml of this folder or one above
    #[arg(long, value_name = "FILE", conflicts_with = "no_config")]
    config: Option<PathBuf>,
    /// Read no configuration file
    #[arg(long)]
    no_config: bool,
    /// Print the configuration that applies, as TOML, and exit
    #[arg(long)]
    pub(super) dump_config: bool,
    /// A former JSON report: what it has does not fail the run
    #[arg(long, value_name = "FILE")]
    pub(super) baseline: Option<PathBuf>,
}

impl Choice {
    /// Reads the configuration.
    pub(super) fn read(&self) -> Result<Config, config::Error> {
        match &self.config {
            _ if self.no_config => Ok(Config::default()),
            Some(file) => Config::read(file),
            None => {
                let folder = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
                Ok(Config::find(&folder)?.as_found())
            }
        }
    }
}

/// What applies to the inputs, one by one.
#[derive(Debug)]
pub(super) struct Choices<'a> {
    base: Options,
    /// Levels of the command line, which win.
    levels: &'a [(String, Level)],
    overrides: Vec<(GlobMatcher, &'a InputKey)>,
    /// The command line decides these for all inputs.
    fixed_arena_rule: bool,
    fixed_loader: bool,
}

impl<'a> Choices<'a> {
    /// The choices of a configuration that the command line is merged into already, but for its levels.
    pub(super) fn new(
        config: &'a Config,
        levels: &'a [(String, Level)],
        fixed_arena_rule: bool,
        fixed_loader: bool,
    ) -> Result<Self, String> {
        let named = |(rule, level): (&String, &config::LevelKey)| (rule.clone(), Level::from(*level));
        Ok(Self {
            base: Options {
                arena_rule: config.arena_rule.map(Into::into).unwrap_or_default(),
                loader: config.loader.map(Into::into).unwrap_or_default(),
                libbpf: config.libbpf.map(Into::into).unwrap_or_default(),
                arena_flag: config.arena_flag_bit.and_then(|bit| 1u32.checked_shl(bit)),
                levels: config.levels.iter().map(named).collect(),
                ..Options::default()
            },
            levels,
            overrides: config.overrides()?,
            fixed_arena_rule,
            fixed_loader,
        })
    }

    /// The options of an input.
    pub(super) fn of(&self, path: &str) -> Options {
        let mut options = self.base.clone();
        let path = path.trim_start_matches("./");
        let file = path.rsplit('/').next().unwrap_or(path);
        for (glob, input) in &self.overrides {
            if !glob.is_match(path) && !glob.is_match(file) {
                continue;
            }
            if let Some(rule) = input.arena_rule.filter(|_| !self.fixed_arena_rule) {
                options.arena_rule = rule.into();
            }
            if let Some(loader) = input.loader.filter(|_| !self.fixed_loader) {
                options.loader = loader.into();
            }
            options
                .levels
                .extend(input.levels.iter().map(|(rule, level)| (rule.clone(), Level::from(*level))));
        }
        options.levels.extend(self.levels.iter().cloned());
        options
    }
}

/// Reports the configuration's allows that could have applied to something and kept nothing back.
pub(super) fn report_unmatched(document: &mut Document, allows: &[Allow], config: &Config) {
    let file = config.file.as_deref().map_or_else(String::new, |file| file.display().to_string());
    for (number, (allow, key)) in allows.iter().zip(&config.allow).enumerate() {
        if allow.used.load(Ordering::Relaxed) || !allow.met.load(Ordering::Relaxed) {
            continue;
        }
        let mut place = format!("{file}, allow {}", number + 1);
        for (name, glob) in [("object", &key.object), ("program", &key.program), ("map", &key.map)] {
            if let Some(glob) = glob {
                place.push_str(&format!(", {name} '{glob}'"));
            }
        }
        document.unmatched_allows.push(UnmatchedDoc {
            object: None,
            by: AllowedBy::Config,
            rule: allow.rule.clone(),
            place,
            problem: "allows nothing; remove it".to_owned(),
        });
    }
}

/// The fingerprints of a former report.
pub(super) fn baseline(file: &Path) -> Result<HashSet<String>, String> {
    let text = crate::regular::read_text(file, 1 << 30).map_err(|error| error.to_string())?;
    let report = serde_json::from_str(&text).map_err(|error| format!("no JSON report: {error}"))?;
    Ok(recorded_fingerprints(&report)?.into_iter().collect())
}
