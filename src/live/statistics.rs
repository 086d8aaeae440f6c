//! `--save` and `--compare`: the statistics of one run held against those of another, as veristat's users do.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::args::Metric;
use super::observation::{Observation, ProgramSeen};
use crate::replace::replace;

/// What a file of `--save` holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    /// 1.
    schema_version: u32,
    /// What was seen; `path` of the object beside it, as the index means nothing in another run.
    live: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    path: String,
    #[serde(flatten)]
    observation: Observation,
}

/// A statistic that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Path of the object.
    pub path: String,
    /// Release of the kernel.
    pub release: String,
    /// The program.
    pub program: String,
    /// What changed.
    pub metric: Metric,
    /// Before and after.
    pub values: (u64, u64),
    /// It grew by more than the threshold.
    pub fails: bool,
}

impl Change {
    /// Growth in percent; from nothing to something is infinite.
    pub fn percent(&self) -> f64 {
        let (before, after) = (self.values.0 as f64, self.values.1 as f64);
        if before == after { 0.0 } else { (after - before) / before * 100.0 }
    }
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Statistics that differ.
    pub changes: Vec<Change>,
    /// Programs of this run that the file does not have, or that it has and this run does not.
    pub unmatched: Vec<String>,
}

/// Writes a file for a later comparison.
///
/// # Errors
/// The file's.
pub fn save(path: &Path, seen: &[(String, Observation)]) -> io::Result<()> {
    let live =
        seen.iter().map(|(path, observation)| Entry { path: path.clone(), observation: observation.clone() });
    let mut text = serde_json::to_string_pretty(&Saved { schema_version: 1, live: live.collect() })?;
    text.push('\n');
    replace(path, text.as_bytes())
}

/// Largest file of statistics that is read, bytes.
const MAX_SAVED: u64 = 1 << 30;

/// Reads a file from [`save`].
///
/// # Errors
/// The file cannot be read, or is none of ours.
pub fn read(file: &Path) -> io::Result<Saved> {
    let text = crate::regular::read_text(file, MAX_SAVED)?;
    let saved: Saved = serde_json::from_str(&text)
        .map_err(|error| io::Error::other(format!("is no file from --save: {error}")))?;
    match saved.schema_version {
        // --save writes no such file; a report of --format json without runs looks like one.
        1 if saved.live.is_empty() => Err(io::Error::other(
            "has no run on a real kernel, so there is nothing to compare with; write the file with --save",
        )),
        1 => Ok(saved),
        other => Err(io::Error::other(format!("schema_version is {other}, expected 1"))),
    }
}

/// Thresholds where the user gives none, percent. Times vary too much to fail a run by themselves.
const DEFAULT: [(Metric, f64); 3] = [(Metric::Insns, 10.0), (Metric::Xlated, 10.0), (Metric::Jited, 10.0)];

/// Compares with a file from [`save`], by file name of the object, kernel release and program.
///
/// # Errors
/// The file cannot be read, or is none of ours.
pub fn compare(
    file: &Path,
    seen: &[(String, Observation)],
    thresholds: &[(Metric, f64)],
) -> io::Result<Comparison> {
    let saved = read(file)?;
    let thresholds = if thresholds.is_empty() { &DEFAULT } else { thresholds };
    let mut found = Comparison::default();
    let mut matched = Vec::new();
    for (path, observation) in seen {
        for program in &observation.programs {
            let name = format!(
                "{} on {}: {}",
                crate::input::file_name(path),
                observation.kernel.release,
                program.name
            );
            let before = saved
                .live
                .iter()
                .filter(|entry| crate::input::file_name(&entry.path) == crate::input::file_name(path))
                .filter(|entry| entry.observation.kernel.release == observation.kernel.release)
                .flat_map(|entry| &entry.observation.programs)
                .find(|known| known.name == program.name);
            let Some(before) = before else {
                found.unmatched.push(format!("{name} is new"));
                continue;
            };
            matched.push(name);
            for metric in [Metric::Insns, Metric::Xlated, Metric::Jited, Metric::Time] {
                let (Some(old), Some(new)) = (value(before, metric), value(program, metric)) else {
                    continue;
                };
                if old == new {
                    continue;
                }
                let mut change = Change {
                    path: path.clone(),
                    release: observation.kernel.release.clone(),
                    program: program.name.clone(),
                    metric,
                    values: (old, new),
                    fails: false,
                };
                // The last threshold for a metric counts.
                let limit =
                    thresholds.iter().rev().find(|(known, _)| *known == metric).map(|(_, limit)| *limit);
                change.fails = limit.is_some_and(|limit| change.percent() > limit);
                found.changes.push(change);
            }
        }
    }
    for entry in &saved.live {
        for program in &entry.observation.programs {
            let release = &entry.observation.kernel.release;
            let name = format!("{} on {release}: {}", crate::input::file_name(&entry.path), program.name);
            if !matched.contains(&name) {
                found.unmatched.push(format!("{name} is gone"));
            }
        }
    }
    Ok(found)
}

fn value(program: &ProgramSeen, metric: Metric) -> Option<u64> {
    match metric {
        Metric::Insns => Some(program.verified_insns.into()),
        Metric::Xlated => Some(program.xlated_bytes.into()),
        Metric::Jited => Some(program.jited_bytes.into()),
        Metric::Time => program.verify_us,
    }
}

#[cfg(test)]
mod tests {
    use super::super::observation::KernelSeen;
    use std::fs;

    use super::*;

    fn run(insns: u32, us: u64) -> (String, Observation) {
        let program = ProgramSeen {
            name: "enqueue".to_owned(),
            verified_insns: insns,
            verify_us: Some(us),
            ..ProgramSeen::default()
        };
        let kernel = KernelSeen { release: "7.3.4".to_owned(), ..KernelSeen::default() };
        ("a/x.bpf.o".to_owned(), Observation { programs: vec![program], kernel, ..Observation::default() })
    }

    #[test]
    fn growth_above_the_threshold_fails() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("saved.json");
        save(&file, &[run(100, 50)]).unwrap();
        let compare = |now, thresholds: &[_]| compare(&file, &[now], thresholds).unwrap();
        assert_eq!(compare(run(100, 50), &[]), Comparison::default());
        assert!(!compare(run(110, 50), &[]).changes[0].fails);
        assert!(compare(run(111, 50), &[]).changes[0].fails);
        // Time has no threshold unless asked for, and shrinking never fails.
        assert!(!compare(run(100, 500), &[]).changes[0].fails);
        assert!(compare(run(100, 500), &[(Metric::Time, 50.0)]).changes[0].fails);
        assert!(!compare(run(1, 50), &[(Metric::Insns, 0.0)]).changes[0].fails);
    }

    #[test]
    fn programs_that_come_and_go_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("saved.json");
        save(&file, &[run(100, 50)]).unwrap();
        let mut now = run(100, 50);
        now.1.programs[0].name = "dispatch".to_owned();
        let found = compare(&file, &[now], &[]).unwrap();
        assert_eq!(
            found.unmatched,
            ["x.bpf.o on 7.3.4: dispatch is new", "x.bpf.o on 7.3.4: enqueue is gone"]
        );
        fs::write(&file, "{}").unwrap();
        assert!(super::compare(&file, &[], &[]).is_err());
    }

    #[test]
    fn a_report_of_a_lint_is_nothing_to_compare_with() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("report.json");
        let report = crate::lint(b"", &crate::Options::default());
        fs::write(&file, serde_json::to_string(&report).unwrap()).unwrap();
        let error = read(&file).unwrap_err().to_string();
        assert!(error.starts_with("has no run on a real kernel") && error.contains("--save"), "{error}");
    }
}
