//! What schedulers that are made to fail come to, and what is said when a kernel cannot be asked.

use std::os::unix::process::CommandExt;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use scx_lint::live::observation::{AttachSeen, Observation};
use scx_lint::load::Loader;
use scx_lint::rule::Phase;
use serde_json::Value;

use super::kernels::Kernel;
use super::{check, differences, fixture, scx_lint};

/// Tests that need one kernel.
pub fn trials(kernel: &Kernel) -> Vec<Trial> {
    let trial = |name: &str, test: fn(&str) -> Result<(), Failed>| {
        let image = kernel.path.display().to_string();
        Trial::test(name, move || test(&image))
    };
    vec![
        trial("made_to_fail", made_to_fail),
        trial("user_spaces_edits_are_made", edits),
        trial("statistics_are_compared", statistics_are_compared),
        trial("a_step_that_takes_too_long_is_given_up", too_long),
        trial("a_kernel_panic_is_a_result", kernel_panic),
        trial("kvm_that_hangs_is_given_up", kvm_hangs),
        trial("a_guest_ends_with_its_host", guest_ends),
    ]
}

/// A `qemu-system-x86_64` that hangs with KVM and is the real one without. Where there is no /dev/kvm it is not even tried.
fn kvm_hangs(image: &str) -> Result<(), Failed> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile_folder()?.join("kvm-hangs");
    std::fs::create_dir_all(&folder)?;
    let fake = folder.join("qemu-system-x86_64");
    std::fs::write(
        &fake,
        "#!/bin/sh\ncase \"$*\" in *'-accel kvm'*) exec sleep 600 ;; esac\nPATH=${PATH#*:} exec qemu-system-x86_64 \"$@\"\n",
    )?;
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new(env!("CARGO_BIN_EXE_scx-lint"))
        .args(["--vm", image, "--hold", "100ms", "--format", "json"])
        .arg(fixture("live__good"))
        .env("PATH", path)
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let seen: Vec<Observation> = serde_json::from_value(report["live"].clone())?;
    check(seen[0].is_ok() && seen[0].kernel.accel.as_deref() == Some("tcg"), || format!("{seen:?}"))
}

/// QEMU ends with the program that started it, be it interrupted or killed, and no file of theirs is left.
fn guest_ends(image: &str) -> Result<(), Failed> {
    let folder = tempfile_folder()?.join("guest-ends");
    std::fs::create_dir_all(&folder)?;
    let temporary = folder.join("temporary");
    std::fs::create_dir_all(&temporary)?;
    for signal in ["INT", "KILL"] {
        // A name of its own, by which the guest is found.
        let own = folder.join(format!("image-{signal}-{}", std::process::id()));
        std::fs::copy(image, &own)?;
        let name = own.display().to_string();
        let guests = || {
            let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
            let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
            lines
                .filter(|line| line.starts_with(b"qemu") && String::from_utf8_lossy(line).contains(&name))
                .count()
        };
        let wait = |wanted: usize| -> Result<(), Failed> {
            let start = std::time::Instant::now();
            while guests() != wanted {
                let waited = start.elapsed().as_secs();
                check(waited < 120, || {
                    format!("{signal}: {} guests after {waited} s, expected {wanted}", guests())
                })?;
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Ok(())
        };
        let mut child = Command::new(env!("CARGO_BIN_EXE_scx-lint"))
            .args(["--vm", &name, "--vm-accel", "tcg", "--hold", "60s"])
            .arg(fixture("live__good"))
            .env("TMPDIR", &temporary)
            .stdout(std::process::Stdio::null())
            .spawn()?;
        wait(1)?;
        super::signals::kill(signal, &child.id().to_string())?;
        wait(0)?;
        let status = child.wait()?;
        check(status.code() == if signal == "INT" { Some(2) } else { None }, || {
            format!("{signal}: {status}")
        })?;
        std::fs::remove_file(own)?;
        let left = std::fs::read_dir(&temporary)?.count();
        check(left == 0, || format!("{signal}: {left} temporary files are left"))?;
    }
    Ok(())
}

/// Tests for kernels with a known fault.
pub fn trials_on(kernel: &Kernel) -> Vec<Trial> {
    let image = kernel.path.display().to_string();
    match kernel.version {
        (7, 2) => vec![Trial::test(format!("an_oops_is_a_result_on_{}", kernel.name), move || oops(&image))],
        _ => Vec::new(),
    }
}

/// Tests for kernels that were built without sched_ext.
pub fn trials_without_sched_ext(kernel: &Kernel) -> Vec<Trial> {
    let image = kernel.path.display().to_string();
    vec![Trial::test(format!("no_sched_ext_is_told_on_{}", kernel.name), move || no_sched_ext(&image))]
}

fn no_sched_ext(image: &str) -> Result<(), Failed> {
    let (code, seen) = observe(&["--vm", image, &path("live__good")])?;
    let failure = seen[0].failure.as_ref().ok_or("no failure")?;
    check(code == 1 && failure.code == "no-sched-ext", || format!("exit {code}: {failure:?}"))
}

/// Tests that need none.
pub fn without_a_kernel() -> Vec<Trial> {
    vec![
        Trial::test("an_image_that_is_none_is_told", bad_image),
        Trial::test("qemu_that_is_missing_is_told", no_qemu),
        Trial::test("attach_without_root_is_told", no_root),
    ]
}

fn path(name: &str) -> String {
    fixture(name).display().to_string()
}

fn observe(arguments: &[&str]) -> Result<(i32, Vec<Observation>), Failed> {
    let (code, live) = report(arguments)?;
    Ok((code, serde_json::from_value(live)?))
}

/// The `live` array of a report, which fits the schema.
fn report(arguments: &[&str]) -> Result<(i32, Value), Failed> {
    let (code, out, err) = scx_lint(&[arguments, &["--format", "json"]].concat());
    let report: Value = serde_json::from_str(&out).map_err(|error| format!("exit {code}: {error}\n{err}"))?;
    let schema: Value = serde_json::from_str(scx_lint::report::SCHEMA)?;
    let problems: Vec<String> =
        jsonschema::validator_for(&schema)?.iter_errors(&report).map(|error| error.to_string()).collect();
    check(problems.is_empty(), || problems.join("\n"))?;
    Ok((code, report["live"].clone()))
}

fn made_to_fail(image: &str) -> Result<(), Failed> {
    let sound = ["live__good", "live__two_schedulers", "live__without_link"];
    // What is ejected is not held any longer, however long the hold: it only gives a busy host time.
    let unsound = ["live__scalar_in_subprogram", "live__init_fails", "live__bad_dsq", "live__stall"];
    let mut seen = Vec::new();
    for (names, hold, status) in [(&sound[..], "3s", 0), (&unsound[..], "60s", 1)] {
        let paths: Vec<String> = names.iter().map(|name| path(name)).collect();
        let mut arguments = vec!["--vm", image, "--hold", hold];
        arguments.extend(paths.iter().map(String::as_str));
        let (code, live) = report(&arguments)?;
        let more: Vec<Observation> = serde_json::from_value(live.clone())?;
        check(code == status, || format!("exit {code}, expected {status}"))?;
        // What only shows when it runs, the static report cannot foresee.
        check(differences(&live).iter().flatten().next().is_none(), || live.to_string())?;
        let unforeseen = |at: usize| live[at]["unforeseen"].as_array().map_or(0, Vec::len);
        let none = (0..names.len()).all(|at| unforeseen(at) == 0);
        check(none == (status == 0), || live.to_string())?;
        // The first of the unsound ones is refused by the verifier, as the walk foresees.
        check(unforeseen(0) == 0, || live.to_string())?;
        check(more.len() == names.len(), || format!("{} observations", more.len()))?;
        check(status == 0 || more.iter().all(|seen| !seen.is_ok()), || "one passed".to_owned())?;
        seen.extend(more);
    }
    let dump = || serde_json::to_string_pretty(&seen).unwrap_or_default();
    for seen in &seen {
        check(seen.failure.is_none(), dump)?;
    }
    let clean = |attach: &AttachSeen| {
        attach.ok
            && attach.held_ms >= 3000
            && attach.exit.is_none()
            && attach.before == "disabled"
            && attach.after == "disabled"
    };
    check(seen[0].attach.len() == 1 && clean(&seen[0].attach[0]), dump)?;
    let maps: Vec<&str> = seen[1].attach.iter().map(|attach| attach.map.as_str()).collect();
    check(maps == ["first_ops", "second_ops"] && seen[1].attach.iter().all(clean), dump)?;
    check(clean(&seen[2].attach[0]) && seen[2].attach[0].link_added, dump)?;

    let load = seen[3].phase(Phase::Load).ok_or("no load")?;
    let found = load.diagnostic.as_ref().ok_or("no diagnostic")?;
    check(!load.ok && load.errno.as_deref() == Some("EACCES"), dump)?;
    check(
        load.program.as_deref() == Some("demo_running") && found.function.as_deref() == Some("follow"),
        dump,
    )?;
    check(
        found.text.as_deref().is_some_and(|text| text.contains("return *(volatile u64 *)(from + 8);")),
        dump,
    )?;
    check(found.culprit().is_some_and(|register| register.value.starts_with("scalar(")), dump)?;

    let failed = |number: usize| -> Result<(&AttachSeen, String), Failed> {
        let attach = seen[number].attach.first().ok_or("no attach")?;
        // The point of live mode: the call said that all is well.
        check(attach.call_ok && !attach.ok && attach.errno.is_none(), dump)?;
        let exit = attach.exit.as_ref().ok_or("no exit")?;
        Ok((attach, format!("{}: {}", exit.reason, exit.message)))
    };
    let (init, reason) = failed(4)?;
    check(!init.enabled && reason.contains("ops.init() failed (-17)"), dump)?;
    let exit = init.exit.as_ref().ok_or("no exit")?;
    check(exit.source == "object" && exit.kind.as_deref() == Some("SCX_EXIT_ERROR"), dump)?;
    let (bad, reason) = failed(5)?;
    check(bad.ejected && reason.contains("0x4242"), dump)?;
    let (stall, reason) = failed(6)?;
    check(stall.ejected && reason.starts_with("runnable task stall"), dump)
}

/// What scx's user space fills in is filled in, and without it the attach call succeeds all the same.
fn edits(image: &str) -> Result<(), Failed> {
    let object = path("live__scx_constants");
    let (code, seen) = observe(&["--vm", image, "--hold", "500ms", &object])?;
    let dump = |seen: &[Observation]| serde_json::to_string_pretty(seen).unwrap_or_default();
    let told = seen[0].edits.iter().any(|edit| edit.starts_with("set 1 of 1 __SCX_* constants"));
    check(code == 0 && seen[0].attach[0].ok && seen[0].loader == Loader::Scx && told, || dump(&seen))?;
    let (code, seen) = observe(&["--vm", image, "--hold", "30s", "--loader", "plain", &object])?;
    let attach = &seen[0].attach[0];
    let exit = attach.exit.as_ref().ok_or("no exit")?;
    // Tasks are switched over while it is enabled: the error may come before it was seen to be.
    let gone = attach.ejected || !attach.enabled;
    check(code == 1 && attach.call_ok && gone && seen[0].edits.is_empty(), || dump(&seen))?;
    check(exit.reason == "runtime error" && exit.message.contains("0x0"), || dump(&seen))?;
    // What the user tells is written after what the loaders do.
    let told = "__SCX_DSQ_GLOBAL=0";
    let (code, seen) = observe(&["--vm", image, "--hold", "30s", "--set", told, &object])?;
    let said = seen[0].edits.iter().any(|edit| edit == "set __SCX_DSQ_GLOBAL=0");
    let exit = seen[0].attach[0].exit.as_ref().ok_or("no exit")?;
    check(code == 1 && said && exit.message.contains("0x0"), || dump(&seen))
}

fn statistics_are_compared(image: &str) -> Result<(), Failed> {
    let folder = tempfile_folder()?;
    let saved = folder.join("saved.json");
    let saved_name = saved.display().to_string();
    let good = path("live__good");
    let base = ["--vm", image, "--hold", "100ms", good.as_str()];
    let (code, out, err) = scx_lint(&[&base[..], &["--save", &saved_name]].concat());
    check(code == 0, || format!("exit {code}\n{out}\n{err}"))?;
    let (code, out, _) = scx_lint(&[&base[..], &["--compare", &saved_name]].concat());
    check(code == 0 && out.contains("compared:"), || format!("exit {code}\n{out}"))?;
    // What was saved was smaller then: now it has grown.
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(&saved)?)?;
    let insns = file["live"][0]["programs"][0]["verified_insns"].as_u64().ok_or("no statistics")?;
    check(insns > 1, || file.to_string())?;
    file["live"][0]["programs"][0]["verified_insns"] = (insns / 2).into();
    std::fs::write(&saved, file.to_string())?;
    let (code, out, _) = scx_lint(&[&base[..], &["--compare", &saved_name]].concat());
    check(code == 1 && out.contains("instructions verified") && out.contains("FAILED"), || {
        format!("exit {code}\n{out}")
    })?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// A folder of our own under the build's.
pub fn tempfile_folder() -> std::io::Result<std::path::PathBuf> {
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("live-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn too_long(image: &str) -> Result<(), Failed> {
    let (code, seen) =
        observe(&["--vm", image, "--timeout", "1ms", &path("live__good"), &path("live__two_schedulers")])?;
    check(code == 1 && seen.len() == 2, || format!("exit {code}"))?;
    for seen in seen {
        let failure = seen.failure.ok_or("no failure")?;
        check(failure.code == "timeout" && failure.during.is_some(), || format!("{failure:?}"))?;
    }
    Ok(())
}

fn kernel_panic(image: &str) -> Result<(), Failed> {
    // Too little memory to unpack what it is given; with less still, a kernel cannot even say so.
    let mut last = String::new();
    for memory in ["96", "88", "80", "72", "64", "56"] {
        let (code, seen) =
            observe(&["--vm", image, "--vm-memory", memory, "--hold", "0s", &path("live__good")])?;
        let Some(failure) = seen.first().and_then(|seen| seen.failure.clone()) else { continue };
        last = format!("exit {code}: {failure:?}");
        if failure.code == "kernel-panic" {
            check(code == 1 && !failure.console.is_empty(), || last.clone())?;
            return check(failure.message.starts_with("Kernel panic - not syncing"), || last);
        }
    }
    Err(format!("no panic: {last}").into())
}

/// 7.2 oopses while the scheduler is held; the next object gets a fresh boot.
fn oops(image: &str) -> Result<(), Failed> {
    let (code, seen) = observe(&["--vm", image, "--hold", "5s", &path("live__oops"), &path("live__good")])?;
    let dump = || serde_json::to_string_pretty(&seen).unwrap_or_default();
    check(code == 1 && seen.len() == 2, dump)?;
    let failure = seen[0].failure.as_ref().ok_or("no failure")?;
    check(failure.code == "kernel-panic" && seen[0].phase(Phase::Load).is_some_and(|load| load.ok), dump)?;
    check(failure.during.as_deref().is_some_and(|step| step.contains("'demo_ops'")), dump)?;
    check(seen[1].attach.iter().any(|attach| attach.ok), dump)
}

fn bad_image() -> Result<(), Failed> {
    let good = path("live__good");
    let (code, out, _) = scx_lint(&["--vm", "no/such/image", &good]);
    check(code == 2 && out.contains("no/such/image: No such file"), || format!("exit {code}\n{out}"))?;
    let (code, out, _) = scx_lint(&["--vm", &good, &good]);
    check(code == 2 && out.contains("is no x86 kernel image"), || format!("exit {code}\n{out}"))
}

fn no_qemu() -> Result<(), Failed> {
    // Anything that looks like a kernel does: QEMU is missed before it is needed.
    let folder = tempfile_folder()?.join("no-qemu");
    std::fs::create_dir_all(&folder)?;
    let image = folder.join("image");
    let mut head = vec![0; 0x400];
    head[0x202..0x206].copy_from_slice(b"HdrS");
    std::fs::write(&image, head)?;
    let output = Command::new(env!("CARGO_BIN_EXE_scx-lint"))
        .arg("--vm")
        .arg(&image)
        .arg(fixture("live__good"))
        .env("PATH", &folder)
        .output()?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    check(output.status.code() == Some(2) && out.contains("install QEMU"), || out)
}

fn no_root() -> Result<(), Failed> {
    // Nobody may not reach the build's folders.
    let folder = std::env::temp_dir().join(format!("scx-lint-nobody-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (program, object) = (folder.join("scx-lint"), folder.join("good.bpf.o"));
    std::fs::copy(env!("CARGO_BIN_EXE_scx-lint"), &program)?;
    std::fs::copy(fixture("live__good"), &object)?;
    let mut command = Command::new(&program);
    // One line, however many objects.
    command.arg("--attach").args([&object, &object]);
    if std::fs::read_to_string("/proc/self/status")?.lines().any(|line| line.starts_with("Uid:\t0\t")) {
        command.uid(65534).gid(65534);
    }
    let output = command.output();
    std::fs::remove_dir_all(&folder)?;
    let output = output?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = out
        .lines()
        .filter(|line| line.contains("needs root") || line.contains("does not let us use BPF"))
        .count();
    check(output.status.code() == Some(2) && told == 1, || format!("{:?}\n{out}", output.status))
}
