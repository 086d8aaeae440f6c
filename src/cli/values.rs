//! The values that user space is said to set: `[values]` of the configuration, `--values` and `--set`, in this order.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use globset::GlobMatcher;

use super::args::Lint;
use super::failure::Failure;
use crate::config::Config;
use crate::kernel::Kernel;
use crate::load::{Assignment, Knobs, ValueError, Values};
use crate::object::Object;

/// A value that was told, and what came of it.
#[derive(Debug)]
struct Told {
    assignment: Assignment,
    /// The inputs that it is for; all where there is none.
    inputs: Option<GlobMatcher>,
    /// It was typed for this run: a name that nothing has is a slip. A configuration is for other runs, too.
    is_typed: bool,
    /// There was an input that it is for.
    met: AtomicBool,
    /// Some object has what it names.
    used: AtomicBool,
    /// What was meant, perhaps, where none has.
    near: Mutex<Option<String>>,
}

impl Told {
    fn new(assignment: Assignment, inputs: Option<GlobMatcher>, is_typed: bool) -> Self {
        let (met, used, near) = (AtomicBool::new(false), AtomicBool::new(false), Mutex::new(None));
        Self { assignment, inputs, is_typed, met, used, near }
    }

    fn is_for(&self, path: &str) -> bool {
        let path = path.trim_start_matches("./");
        let file = path.rsplit('/').next().unwrap_or(path);
        self.inputs.as_ref().is_none_or(|glob| glob.is_match(path) || glob.is_match(file))
    }
}

/// All that was told.
#[derive(Debug, Default)]
pub(super) struct Settings(Vec<Told>);

impl Settings {
    /// Reads what the configuration and the command line say.
    pub(super) fn read(lint: &Lint, config: &Config) -> Result<Self, Failure> {
        let mut told = Vec::new();
        let wrong = |place: &str, why: String| Failure::Setting(format!("{place}: {why}"));
        let file = config.file.as_deref().map_or_else(String::new, |file| file.display().to_string());
        let mut add = |place: &str, table: &toml::Table, inputs: Option<GlobMatcher>, is_typed: bool| {
            let assignments = flat(table).map_err(|why| wrong(place, why))?;
            let tell = |assignment| Told::new(assignment, inputs.clone(), is_typed);
            told.extend(assignments.into_iter().map(tell));
            Ok::<(), Failure>(())
        };
        add(&format!("{file}: values"), &config.values, None, false)?;
        for (glob, input) in config.overrides().map_err(Failure::Setting)? {
            add(&format!("{file}: values of input '{}'", input.path), &input.values, Some(glob), false)?;
        }
        for path in &lint.values {
            let place = format!("--values {}", path.display());
            add(&place, &table(path).map_err(|why| wrong(&place, why))?, None, true)?;
        }
        for text in &lint.set {
            let assignment = Assignment::parse(text).map_err(|why| wrong(&format!("--set {text}"), why))?;
            told.push(Told::new(assignment, None, true));
        }
        Ok(Self(told))
    }

    /// What is set in an object.
    ///
    /// # Errors
    /// It cannot hold one of the values.
    pub(super) fn of(
        &self,
        path: &str,
        object: &Object<'_>,
        kernels: &[&Kernel<'_>],
    ) -> Result<Values, String> {
        let mut settings = Vec::new();
        for told in self.0.iter().filter(|told| told.is_for(path)) {
            told.met.store(true, Ordering::Relaxed);
            match told.assignment.resolve(object, kernels) {
                Ok(setting) => {
                    told.used.store(true, Ordering::Relaxed);
                    settings.push(setting);
                }
                Err(ValueError::UnknownName(near)) => {
                    let mut known = told.near.lock().unwrap_or_else(PoisonError::into_inner);
                    *known = known.take().or(near);
                }
                Err(ValueError::Unfit(why)) => return Err(why),
            }
        }
        Ok(Values { settings, knobs: Knobs::Open })
    }

    /// Looks for values that no object has a place for. Those of the configuration are told on standard error.
    ///
    /// # Errors
    /// One was typed: a slip.
    pub(super) fn check(&self, quiet: bool) -> Result<(), Failure> {
        let is_set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        for told in self.0.iter().filter(|told| !is_set(&told.used) && (told.is_typed || is_set(&told.met))) {
            let near = told.near.lock().unwrap_or_else(PoisonError::into_inner);
            let near = near.as_ref().map_or_else(String::new, |near| format!(", did you mean '{near}'?"));
            let words = format!("no input has a variable or ops variable '{}'{near}", told.assignment.name);
            if told.is_typed {
                return Err(Failure::Setting(words));
            }
            if !quiet {
                let _ = writeln!(std::io::stderr(), "scx-lint: values of the configuration: {words}");
            }
        }
        Ok(())
    }

    /// All that was told, as a configuration has it.
    pub(super) fn table(lint: &Lint, config: &Config) -> Result<toml::Table, Failure> {
        let mut table = config.values.clone();
        let all = Self::read(lint, &Config::default())?;
        table.extend(all.0.into_iter().map(|told| {
            let Assignment { name, value } = told.assignment;
            (name, toml::Value::String(value))
        }));
        Ok(table)
    }
}

/// Reads a file of values.
fn table(path: &Path) -> Result<toml::Table, String> {
    let text = crate::regular::read_text(path, 16 << 20).map_err(|error| error.to_string())?;
    toml::from_str(&text).map_err(|error| error.to_string().trim_end().to_owned())
}

/// The values of a table; tables and arrays in it are parts of what they are named after.
fn flat(table: &toml::Table) -> Result<Vec<Assignment>, String> {
    let mut found = Vec::new();
    for (name, value) in table {
        gather(name, value, &mut found)?;
    }
    Ok(found)
}

fn gather(name: &str, value: &toml::Value, found: &mut Vec<Assignment>) -> Result<(), String> {
    let value = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(yes) => yes.to_string(),
        toml::Value::Array(elements) if elements.is_empty() => {
            return Err(format!("'{name}' is empty"));
        }
        toml::Value::Array(elements) => {
            let mut all = elements.iter().enumerate();
            return all.try_for_each(|(at, element)| gather(&format!("{name}[{at}]"), element, found));
        }
        toml::Value::Table(members) => {
            let mut all = members.iter();
            return all.try_for_each(|(member, value)| gather(&format!("{name}.{member}"), value, found));
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) => {
            return Err(format!("'{name}': expected a number, true, false or text"));
        }
    };
    found.push(Assignment { name: name.to_owned(), value });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_parts_by_their_path() {
        let table: toml::Table = toml::from_str(
            "nr_cpus = 8\nfast = true\nweights = [1, 2]\n\"q_ops.flags\" = \"A|B\"\n[config]\nslice_ns = 0x10\n",
        )
        .unwrap();
        let told: Vec<String> = flat(&table).unwrap().iter().map(ToString::to_string).collect();
        let mut expected = [
            "config.slice_ns=16",
            "fast=true",
            "nr_cpus=8",
            "q_ops.flags=A|B",
            "weights[0]=1",
            "weights[1]=2",
        ];
        expected.sort_unstable();
        let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
        told.sort_unstable();
        assert_eq!(told, expected);
        assert!(flat(&toml::from_str("x = 1.5").unwrap()).unwrap_err().contains("'x'"));
    }
}
