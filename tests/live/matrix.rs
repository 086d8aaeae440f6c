//! Several kernels at a time.

use std::os::unix::fs::symlink;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use super::kernels::Kernel;
use super::outcomes::tempfile_folder;
use super::{check, fixture, scx_lint};

/// Guests in the matrix.
const GUESTS: usize = 4;

/// The newest kernels, four where there are as many; else one comes again under another name.
pub fn trials(kernels: &[Kernel]) -> Vec<Trial> {
    if kernels.is_empty() {
        return Vec::new();
    }
    let kernels: Vec<Kernel> = kernels.iter().rev().cycle().take(GUESTS).cloned().collect();
    vec![Trial::test("four_kernels_give_a_matrix", move || matrix(&kernels))]
}

fn matrix(kernels: &[Kernel]) -> Result<(), Failed> {
    let folder = tempfile_folder()?.join("matrix");
    std::fs::create_dir_all(&folder)?;
    let mut arguments = vec!["--hold".to_owned(), "100ms".to_owned()];
    let mut names = Vec::new();
    for (number, kernel) in kernels.iter().enumerate() {
        let name = format!("vmlinuz-{number}-{}", kernel.name);
        let link = folder.join(&name);
        let _ = std::fs::remove_file(&link);
        symlink(std::fs::canonicalize(&kernel.path)?, &link)?;
        arguments.extend(["--vm".to_owned(), link.display().to_string()]);
        names.push(name);
    }
    let saved = folder.join("saved.json");
    arguments.extend(["--save".to_owned(), saved.display().to_string()]);
    let objects = ["live__good", "live__init_fails"].map(|name| fixture(name).display().to_string());
    arguments.extend(objects.iter().cloned());
    let run = |format: &str| {
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        arguments.extend(["--format", format]);
        scx_lint(&arguments)
    };
    let (code, out, err) = run("full");
    let all = || format!("exit {code}\n{out}\n{err}");
    check(code == 1, all)?;
    // The table of what happened is the last thing, after that of what was foreseen: a line of names, then one for each object.
    let lines: Vec<&str> = out.lines().collect();
    let at = lines.iter().rposition(|line| names.iter().all(|name| line.contains(name))).ok_or_else(all)?;
    let rows: Vec<Vec<&str>> =
        lines.iter().skip(at + 1).take(2).map(|line| line.split_whitespace().collect()).collect();
    let expected = |object: usize, cell| [vec![objects[object].as_str()], vec![cell; GUESTS]].concat();
    check(rows == [expected(0, "ok"), expected(1, "attach")], all)?;
    // What was saved is what JSON has: by kernel in the order of the options, then by object.
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(saved)?)?;
    let (code, out, err) = run("json");
    let report: Value = serde_json::from_str(&out).map_err(|error| format!("exit {code}: {error}\n{err}"))?;
    for live in [&report["live"], &saved["live"]] {
        let live = live.as_array().ok_or("no array")?;
        check(live.len() == GUESTS * objects.len(), || out.clone())?;
        for (number, seen) in live.iter().enumerate() {
            let image = seen["kernel"]["image"].as_str().unwrap_or_default();
            let fits = image.ends_with(&names[number / objects.len()])
                && seen["object"] == number % objects.len()
                && seen["kernel"]["where"] == "vm"
                && seen["phases"][1]["ok"] == true
                && seen["attach"][0]["ok"] == (number % objects.len() == 0);
            check(fits, || seen.to_string())?;
        }
    }
    Ok(())
}
