//! What scx-lint says of the mutants: its JSON rows, read from the binary as anyone would.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;

use serde_json::Value;

use super::mutation::Programs;
use super::orders::Orders;

/// Mutants in one run of scx-lint.
const BATCH: u64 = 24;

/// What scx-lint says of a program, and where the program is.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// Its row of `programs_on`.
    pub row: Value,
    /// Its section.
    pub section: String,
}

/// By program; what went wrong where there is none.
pub type Predictions = (u64, Result<HashMap<String, Prediction>, String>);

/// How scx-lint is run.
#[derive(Debug, Clone)]
pub struct Lint {
    /// The binary.
    pub binary: PathBuf,
    /// Its `--kernel`.
    pub kernel: String,
    /// Its `--kconfig`.
    pub config: Option<PathBuf>,
    /// Where mutants are put.
    pub folder: PathBuf,
}

impl Lint {
    /// Predicts all mutants; each is sent as it comes.
    ///
    /// # Errors
    /// A mutant cannot be written, or the binary not run.
    pub fn predict(&self, bases: &[Programs], orders: &Orders, to: &Sender<Predictions>) -> io::Result<()> {
        let mut first = orders.first;
        while first < orders.end {
            let end = (first + BATCH).min(orders.end);
            for answer in self.batch(bases, orders, first, end)? {
                if to.send(answer).is_err() {
                    return Ok(());
                }
            }
            first = end;
        }
        Ok(())
    }

    fn batch(
        &self,
        bases: &[Programs],
        orders: &Orders,
        first: u64,
        end: u64,
    ) -> io::Result<Vec<Predictions>> {
        let mut paths = Vec::new();
        for number in first..end {
            let Some(base) = orders.base(bases, number) else { break };
            let path = self.folder.join(format!("{number}.bpf.o"));
            std::fs::write(&path, orders.mutant(base, number).0)?;
            paths.push(path);
        }
        let mut all = self.run(&paths)?;
        // One that makes it fail must not hide the others.
        if all.is_err() && paths.len() > 1 {
            all = Ok(HashMap::new());
            for (number, path) in (first..).zip(&paths) {
                let one = self.run(std::slice::from_ref(path))?;
                if let Ok(all) = &mut all {
                    all.insert(
                        number,
                        one.map(|mut one| one.remove(&number).and_then(Result::ok).unwrap_or_default()),
                    );
                }
            }
        }
        for path in &paths {
            let _ = std::fs::remove_file(path);
        }
        Ok((first..end)
            .map(|number| match &mut all {
                Ok(all) => (number, all.remove(&number).unwrap_or_else(|| Err("no rows".to_owned()))),
                Err(words) => (number, Err(words.clone())),
            })
            .collect())
    }

    #[allow(clippy::type_complexity)]
    fn run(
        &self,
        paths: &[PathBuf],
    ) -> io::Result<Result<HashMap<u64, Result<HashMap<String, Prediction>, String>>, String>> {
        let mut command = Command::new(&self.binary);
        command.args(["--no-config", "--format", "json", "--loader", "plain", "--kernel", &self.kernel]);
        if let Some(config) = &self.config {
            command.arg("--kconfig").arg(config);
        }
        let output = command.args(paths).stdin(Stdio::null()).stderr(Stdio::piped()).output()?;
        let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else {
            let words = String::from_utf8_lossy(&output.stderr);
            return Ok(Err(format!(
                "scx-lint: {}: {}",
                output.status,
                words.lines().last().unwrap_or_default()
            )));
        };
        Ok(Ok(rows(&report)))
    }
}

fn rows(report: &Value) -> HashMap<u64, Result<HashMap<String, Prediction>, String>> {
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let objects = list(report, "objects");
    let mut out: HashMap<u64, Result<HashMap<String, Prediction>, String>> = HashMap::new();
    let number = |object: &Value| -> Option<u64> {
        object["path"].as_str()?.rsplit('/').next()?.strip_suffix(".bpf.o")?.parse().ok()
    };
    for object in &objects {
        if let Some(number) = number(object) {
            out.insert(number, Ok(HashMap::new()));
        }
    }
    for row in list(report, "programs_on") {
        let object = row["object"].as_u64().and_then(|index| objects.get(usize::try_from(index).ok()?));
        let (Some(object), Some(name)) = (object, row["program"].as_str()) else { continue };
        let section = list(object, "programs")
            .iter()
            .find(|program| program["name"] == name)
            .and_then(|program| program["section"].as_str().map(str::to_owned))
            .unwrap_or_default();
        if let Some(Ok(programs)) = number(object).and_then(|number| out.get_mut(&number)) {
            programs.insert(name.to_owned(), Prediction { row: row.clone(), section });
        }
    }
    out
}
