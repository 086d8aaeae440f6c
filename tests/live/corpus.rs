//! Real schedulers and probes, where this machine has them in `../shared/corpus/objects`; they are no part of the project.
//!
//! They are tried on the newest kernel with cid-form schedulers; `SCX_LINT_CORPUS=all` tries them on all.

use std::path::PathBuf;

use libtest_mimic::{Failed, Trial};
use scx_lint::live::observation::Observation;
use scx_lint::object::Object;
use scx_lint::rule::Phase;
use serde_json::Value;

use super::kernels::Kernel;
use super::{check, differences, root, scx_lint};

fn objects() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("../shared/corpus/objects")).into_iter().flatten();
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "o"));
    // What is no BPF object has nothing to ask a kernel.
    found.retain(|path| std::fs::read(path).is_ok_and(|data| Object::open(&data, "corpus").is_ok()));
    found.sort();
    found
}

/// Tests for a kernel.
pub fn trials(kernel: &Kernel) -> Vec<Trial> {
    if objects().is_empty() {
        let none = || Err("no recorded objects beside the package".into());
        return vec![Trial::test(format!("corpus_on_{}", kernel.name), none).with_ignored_flag(true)];
    }
    let own = kernel.clone();
    let mut trials = vec![Trial::test(format!("corpus_on_{}", kernel.name), move || corpus(&own))];
    if kernel.knows_cid() && !kernel.is_map_always() {
        let own = kernel.clone();
        trials.push(Trial::test(format!("scx_examples_on_{}", kernel.name), move || examples(&own)));
    }
    trials
}

fn ask(kernel: &Kernel, more: &[&str], objects: &[PathBuf]) -> Result<(i32, Vec<Observation>), Failed> {
    let (code, live) = report(kernel, more, objects)?;
    Ok((code, serde_json::from_value(live)?))
}

/// The `live` array of a report.
fn report(kernel: &Kernel, more: &[&str], objects: &[PathBuf]) -> Result<(i32, Value), Failed> {
    let mut arguments =
        vec!["--vm", kernel.path.to_str().ok_or("the path is not UTF-8")?, "--timeout", "180s"];
    arguments.extend(["--format", "json"]);
    arguments.extend(more);
    arguments.extend(objects.iter().filter_map(|path| path.to_str()));
    let (code, out, err) = scx_lint(&arguments);
    let report: Value = serde_json::from_str(&out).map_err(|error| format!("exit {code}: {error}\n{err}"))?;
    Ok((code, report["live"].clone()))
}

/// Of every object that loads, each program's maps are what the static report says, and no verdict is refuted.
fn corpus(kernel: &Kernel) -> Result<(), Failed> {
    let objects = objects();
    let (_, live) = report(kernel, &["--hold", "100ms", "--workload", "off"], &objects)?;
    let all: Vec<Observation> = serde_json::from_value(live.clone())?;
    check(all.len() == objects.len(), || format!("{} of {} observed", all.len(), objects.len()))?;
    let mut wrong = Vec::new();
    let (mut loaded, mut programs) = (0, 0);
    for (seen, differs) in all.iter().zip(differences(&live)) {
        let name = objects[seen.object].file_name().unwrap_or_default().to_string_lossy();
        if seen.phase(Phase::Load).is_some_and(|load| load.ok) {
            loaded += 1;
            programs += seen.programs.len();
            // Else nothing was compared.
            let data = std::fs::read(&objects[seen.object])?;
            let object = Object::open(&data, &name).map_err(|error| error.to_string())?;
            if seen.programs.is_empty() && object.programs().any(|(_, _, entry)| entry.autoload) {
                wrong.push(format!("{name}: loaded, and no program was read back"));
            }
        }
        wrong.extend(differs.iter().map(|difference| format!("{name}: {difference}")));
    }
    println!("{}: {loaded} of {} objects load, {programs} programs compared", kernel.name, all.len());
    check(loaded > 0, || "no object loads".to_owned())?;
    check(wrong.is_empty(), || wrong.join("\n"))
}

/// The example schedulers of the kernel's own tree: one that needs its user space, and one that the verifier refuses.
fn examples(kernel: &Kernel) -> Result<(), Failed> {
    let object = |name: &str| objects().into_iter().find(|path| path.ends_with(format!("{name}.bpf.o")));
    let (Some(simple), Some(qmap)) = (object("scx_simple"), object("scx_qmap")) else {
        return Err("scx_simple and scx_qmap are not among the recorded objects".into());
    };
    let start = std::time::Instant::now();
    let (code, seen) = ask(kernel, &[], std::slice::from_ref(&simple))?;
    println!("scx_simple on {}: {:.1} s", kernel.name, start.elapsed().as_secs_f64());
    let dump = |seen: &[Observation]| serde_json::to_string_pretty(seen).unwrap_or_default();
    let attach = &seen[0].attach;
    check(code == 0 && attach.len() == 1 && attach[0].ok && attach[0].held_ms >= 3000, || dump(&seen))?;
    check(attach[0].state == "enabled" && attach[0].after == "disabled", || dump(&seen))?;

    let (code, seen) = ask(kernel, &["--loader", "plain"], &[simple])?;
    let attach = &seen[0].attach[0];
    // Tasks are switched over while it is enabled: the error may come before it was seen to be.
    let gone = attach.ejected || !attach.enabled;
    check(code == 1 && attach.call_ok && attach.errno.is_none() && gone, || dump(&seen))?;
    let exit = attach.exit.as_ref().ok_or("no exit")?;
    check(exit.reason == "runtime error" && !exit.message.is_empty(), || dump(&seen))?;

    let (code, seen) = ask(kernel, &[], &[qmap])?;
    let load = seen[0].phase(Phase::Load).ok_or("no load")?;
    let found = load.diagnostic.as_ref().ok_or("no diagnostic")?;
    check(code == 1 && !load.ok && load.program.as_deref() == Some("qmap_dequeue"), || dump(&seen))?;
    check(found.line.is_some() && found.text.as_ref().is_some_and(|text| !text.is_empty()), || dump(&seen))?;
    check(found.culprit().is_some_and(|register| register.value.starts_with("scalar")), || dump(&seen))
}
