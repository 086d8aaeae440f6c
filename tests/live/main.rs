//! Live mode on every kernel at hand: every fixture is loaded and attached in a guest, and what the kernel does must be
//! what the fixture and the static report say.
//!
//! Kernels are the files `vmlinuz-*` in the folders of `$SCX_LINT_KERNELS` (a list like PATH), else in `../shared/kernels`
//! beside the package, else in `${XDG_CACHE_HOME:-~/.cache}/scx-lint/kernels`. One of them must know cid-form schedulers.
//!
//! The program is the one built with this test, or `$SCX_LINT`: an optimised one saves a third of an emulated guest's time.
//!
//! This program is also the init of the guest in which processes are killed (see [`signals`]), and a QEMU that boots nothing
//! (see [`fake`]).

mod corpus;
mod fake;
mod fixtures;
mod kernels;
mod matrix;
mod outcomes;
mod signals;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use scx_lint::live;
use serde_json::Value;

use kernels::Kernel;

/// The package's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A committed object.
fn fixture(name: &str) -> PathBuf {
    root().join("fixtures/obj/clang-19").join(format!("{name}.bpf.o"))
}

/// The program under test.
fn program() -> PathBuf {
    std::env::var_os("SCX_LINT").map_or_else(|| env!("CARGO_BIN_EXE_scx-lint").into(), PathBuf::from)
}

/// Runs the program; gives its exit status, standard output and standard error.
fn scx_lint(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(program()).args(arguments).output().expect("scx-lint starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Where the kernel and the report differ, for each element of a report's `live` array.
fn differences(live: &Value) -> Vec<Vec<String>> {
    let all = live.as_array().expect("live is an array").iter();
    let of = |seen: &Value| serde_json::from_value(seen["differs"].clone()).expect("differs are sentences");
    all.map(of).collect()
}

/// Fails with a message, as an assertion does in a test of the standard harness.
fn check(holds: bool, words: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(words().into()) }
}

fn main() -> ExitCode {
    // The program under test starts itself under these names; so does this one in a guest.
    if let Some(code) = live::own_role() {
        return code;
    }
    if let Some(code) = signals::guest_role() {
        return code;
    }
    if let Some(code) = fake::role() {
        return code;
    }
    let arguments = Arguments::from_args();
    let kernels = kernels::find();
    let mut trials = Vec::new();
    let (able, unable): (Vec<Kernel>, Vec<Kernel>) = kernels.iter().cloned().partition(Kernel::has_sched_ext);
    for kernel in &able {
        trials.extend(fixtures::trials(kernel));
        trials.extend(outcomes::trials_on(kernel));
        // The maps of a program hardly depend on the kernel: one will do, unless more is asked for.
        let is_picked = kernels::pick(&able).is_some_and(|picked| picked.name == kernel.name);
        if is_picked || std::env::var("SCX_LINT_CORPUS").is_ok_and(|value| value == "all") {
            trials.extend(corpus::trials(kernel));
        }
    }
    trials.extend(unable.iter().flat_map(outcomes::trials_without_sched_ext));
    trials.extend(matrix::trials(&able));
    match kernels::pick(&able) {
        Some(kernel) => {
            trials.extend(outcomes::trials(kernel));
            trials.extend(signals::trials(kernel));
        }
        None => trials.push(Trial::test("a_kernel_knows_cid_form", || {
            Err("no kernel of 7.2 or later found: set SCX_LINT_KERNELS, or run scripts/fetch-kernel".into())
        })),
    }
    trials.extend(outcomes::without_a_kernel());
    trials.extend(fake::trials());
    if !arguments.list {
        let names: Vec<&str> = kernels.iter().map(|kernel: &Kernel| kernel.name.as_str()).collect();
        println!("kernels: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") });
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
