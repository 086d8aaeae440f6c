//! Mutated programs held against a kernel: does its verifier say what scx-lint says that it will?
//!
//! ```text
//! objects ─ mutation (seed, number) ─┬─> predict: scx-lint's JSON rows ────────────┐
//!                                    └─> kernel: guest or host ─> attempt (libbpf) ─┴─> compare ─> JSON lines
//! ```

mod attempt;
#[cfg(feature = "live")]
pub mod guest;
pub mod kernel;
mod mutation;
mod orders;
mod predict;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use self::kernel::Kernel;
use self::mutation::{Change, Programs};
use self::orders::Orders;
use self::predict::{Lint, Prediction};
use crate::compare::errno_number;

/// How to run it.
pub const USAGE: &str = "\
differ --kernel IMAGE|host [--seed N] [--first N] [--count N] [--unchanged] [--kconfig FILE] [--scx-lint FILE]
       [--seconds N] [--keep FOLDER] [--all] OBJECT...

Prints a JSON line for each program of which scx-lint and the kernel disagree, then the figures; exit 1 if there is one.
Mutant N is made of object N modulo their number, by --seed and N alone: --first N goes on, --count is how many.
--unchanged asks about the objects as they are. --keep writes the mutants that are disagreed about.
--all also prints programs of which only messages, errnos or counts of instructions differ, and those left open.";

/// What was asked for.
#[derive(Debug)]
struct Options {
    kernel: String,
    orders: Orders,
    count: Option<u64>,
    config: Option<PathBuf>,
    binary: PathBuf,
    keep: Option<PathBuf>,
    all: bool,
    paths: Vec<PathBuf>,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let binary = std::env::var_os("SCX_LINT").map(PathBuf::from);
    let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join("scx-lint")));
    let mut options = Options {
        kernel: String::new(),
        orders: Orders { seed: 1, first: 0, end: 0, unchanged: false, seconds: 30 },
        count: None,
        config: None,
        binary: binary.or(beside).unwrap_or_else(|| "scx-lint".into()),
        keep: None,
        all: false,
        paths: Vec::new(),
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} takes a value"));
        let number = |text: String| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
        match arg.as_str() {
            "--kernel" => options.kernel = value()?,
            "--seed" => options.orders.seed = number(value()?)?,
            "--first" => options.orders.first = number(value()?)?,
            "--count" => options.count = Some(number(value()?)?),
            "--seconds" => {
                options.orders.seconds = number(value()?)?.try_into().map_err(|_| "too many seconds")?;
            }
            "--kconfig" => options.config = Some(value()?.into()),
            "--scx-lint" => options.binary = value()?.into(),
            "--keep" => options.keep = Some(value()?.into()),
            "--unchanged" => options.orders.unchanged = true,
            "--all" => options.all = true,
            _ if arg.starts_with('-') => return Err(format!("{arg} is not known\n\nusage: {USAGE}")),
            _ => options.paths.push(arg.into()),
        }
    }
    if options.kernel.is_empty() || options.paths.is_empty() {
        return Err(format!("usage: {USAGE}"));
    }
    let default = if options.orders.unchanged { options.paths.len() as u64 } else { 1000 };
    options.orders.end = options.orders.first.saturating_add(options.count.unwrap_or(default));
    Ok(options)
}

/// Does it; tells whether the two agreed.
///
/// # Errors
/// Wrong arguments, unreadable objects, no kernel to ask, no scx-lint to run.
pub fn run(args: impl Iterator<Item = String>) -> io::Result<bool> {
    let options = options(args).map_err(io::Error::other)?;
    let kernel = match options.kernel.as_str() {
        "host" => Kernel::Host,
        #[cfg(feature = "live")]
        image => Kernel::Image(image.into()),
        #[cfg(not(feature = "live"))]
        _ => return Err(io::Error::other("guests need --features live; --kernel host does without")),
    };
    let bases: Vec<Programs> = options
        .paths
        .iter()
        .map(|path| Ok(Programs::new(std::fs::read(path)?)))
        .collect::<io::Result<_>>()?;
    let folder = std::env::temp_dir().join(format!("scx-lint-differ-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let lint = Lint {
        binary: options.binary.clone(),
        kernel: options.kernel.clone(),
        config: options.config.clone(),
        folder: folder.clone(),
    };
    let (to_kernel, answers) = channel();
    let (to_lint, predictions) = channel();
    let mut tally = Tally::default();
    let done = std::thread::scope(|scope| -> io::Result<()> {
        let asked = scope.spawn(|| {
            let to_kernel = to_kernel;
            kernel::ask(&kernel, &options.paths, &options.orders, options.config.as_ref(), &to_kernel)
        });
        let predicted = scope.spawn(|| {
            let to_lint = to_lint;
            lint.predict(&bases, &options.orders, &to_lint)
        });
        let mut known = HashMap::new();
        for (number, answer) in answers {
            let predictions = loop {
                if let Some(found) = known.remove(&number) {
                    break found;
                }
                match predictions.recv() {
                    Ok((of, found)) => drop(known.insert(of, found)),
                    Err(_) => break Err("scx-lint ended".to_owned()),
                }
            };
            let base = options.orders.base(&bases, number);
            let (bytes, changes) = base.map(|base| options.orders.mutant(base, number)).unwrap_or_default();
            let object = options.orders.base(&options.paths, number).map(|path| path.display().to_string());
            let lines = tally.mutant(number, answer, predictions, &changes, options.all);
            for mut line in lines {
                line["object"] = json!(object);
                if let Some(keep) = &options.keep
                    && line["differ"] == "outcome"
                {
                    std::fs::create_dir_all(keep)?;
                    let name = object.as_deref().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
                    std::fs::write(keep.join(format!("{}-{number}-{name}", options.orders.seed)), &bytes)?;
                }
                writeln!(io::stdout(), "{line}")?;
            }
        }
        let ended = |result: std::thread::Result<io::Result<()>>| {
            result.unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
        };
        ended(asked.join())?;
        ended(predicted.join())
    });
    let _ = std::fs::remove_dir_all(&folder);
    writeln!(io::stdout(), "{}", tally.summary())?;
    done.map(|()| tally.agrees())
}

/// What came of the comparison so far.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn agrees(&self) -> bool {
        ["WRONG said pass", "WRONG said fail", "scx-lint failed"]
            .iter()
            .all(|what| !self.counts.contains_key(what))
    }

    fn summary(&self) -> Value {
        json!({"figures": self.counts})
    }

    /// Compares the programs of a mutant; gives what is to be printed.
    fn mutant(
        &mut self,
        number: u64,
        answer: Result<Vec<Value>, String>,
        predictions: Result<HashMap<String, Prediction>, String>,
        changes: &[Change],
        all: bool,
    ) -> Vec<Value> {
        let mut lines = Vec::new();
        let predictions = match predictions {
            Ok(predictions) => predictions,
            Err(words) => {
                self.count("scx-lint failed");
                lines.push(json!({"differ": "scx-lint failed", "i": number, "words": words}));
                return lines;
            }
        };
        for row in answer.unwrap_or_default() {
            let Some(name) = row["p"].as_str() else {
                self.count("not scored");
                if all {
                    lines.push(json!({"differ": "not scored", "i": number, "kernel": row}));
                }
                continue;
            };
            let change = changes
                .iter()
                .find(|change| !change.is_program || change.function == name)
                .map(|change| format!("{}: {}", change.function, change.what));
            let differ = self.program(&row, predictions.get(name));
            let is_wrong = differ == Some("outcome");
            if let Some(differ) = differ.filter(|_| is_wrong || all) {
                let prediction = predictions.get(name);
                lines.push(json!({
                    "differ": differ, "i": number, "program": name, "section": prediction.map(|of| &of.section),
                    "mutation": change, "kernel": row, "ours": prediction.map(|of| ours(&of.row)),
                }));
            }
        }
        lines
    }

    /// In what the two differ; `None` where they agree in all.
    fn program(&mut self, row: &Value, prediction: Option<&Prediction>) -> Option<&'static str> {
        let Some(code) = row["rc"].as_i64() else {
            self.count("not scored");
            return Some("not scored");
        };
        self.count("programs");
        let said = prediction.and_then(|of| of.row["load"].as_str()).unwrap_or("absent");
        let prediction = prediction.map_or(&Value::Null, |of| &of.row);
        match (code, said) {
            (0, "pass") if prediction["insns"] == row["n"] => {
                self.count("pass proven");
                self.count("insns equal");
                None
            }
            (0, "pass") => {
                self.count("pass proven");
                Some("insns")
            }
            (0, "fail") => {
                self.count("WRONG said fail");
                Some("outcome")
            }
            (_, "pass") => {
                self.count("WRONG said pass");
                Some("outcome")
            }
            (0, _) => {
                self.count("pass open");
                Some("open")
            }
            (_, "fail") => {
                self.count("refusal foreseen");
                let message = is_said(&prediction["message"], &row["m"]);
                let errno = errno_number(&prediction["errno"]) == Some(-code);
                if message {
                    self.count("message agrees");
                }
                if errno {
                    self.count("errno agrees");
                }
                if message { (!errno).then_some("errno") } else { Some("message") }
            }
            _ => {
                self.count("refusal open");
                Some("open")
            }
        }
    }
}

fn ours(row: &Value) -> Value {
    let kept = ["load", "errno", "message", "function", "insn", "insns", "reason"];
    kept.iter()
        .filter(|&&name| !row[name].is_null())
        .map(|&name| (name.to_owned(), row[name].clone()))
        .collect()
}

/// The message is one of the kernel's lines, or part of one, addresses aside.
fn is_said(message: &Value, lines: &Value) -> bool {
    let plain = |text: &str| {
        let mut out = String::new();
        for word in text.to_lowercase().split_whitespace() {
            let _ = write!(out, "{} ", if word.starts_with("0x") { "0x" } else { word });
        }
        out.trim_end().to_owned()
    };
    let Some(message) = message.as_str().map(plain).filter(|message| !message.is_empty()) else {
        return false;
    };
    let lines = lines.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines = lines.iter().filter_map(Value::as_str).filter(|line| line.len() > 5).map(plain);
    lines.any(|line| line.contains(&message) || message.contains(&line))
}
