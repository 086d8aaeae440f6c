//! Target kernels on the command line.

use std::path::Path;
use std::process::{Command, Output};

use scx_lint::kernel::builtin::RELEASES;

use super::{corpus_objects, kernels_at_hand, root};

fn scx_lint(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scx-lint"))
        .args(arguments)
        .current_dir(root())
        .env_remove("CLICOLOR_FORCE")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const CID: &str = "fixtures/obj/clang-19/good__realistic_cid.bpf.o";
const CPU: &str = "fixtures/obj/clang-19/good__realistic_cpu.bpf.o";

#[test]
fn every_built_in_release_is_a_target_and_the_report_ends_in_a_sentence() {
    let output = scx_lint(&["--kernel", "all", "--format", "json", CID]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> =
        document["kernels"].as_array().unwrap().iter().map(|k| k["name"].as_str().unwrap()).collect();
    assert!(names.iter().copied().eq(RELEASES.iter().map(|release| release.name)), "{names:?}");
    let rules: Vec<&str> =
        document["kernels"].as_array().unwrap().iter().map(|k| k["arena_rule"].as_str().unwrap()).collect();
    let first = names.iter().position(|name| *name == "7.2").unwrap();
    let expected = |at| if at < first { "none" } else { "one" };
    assert!(rules.iter().enumerate().all(|(at, rule)| *rule == expected(at)), "{rules:?}");
    // One row for each kernel; the type came with 7.2, and the always-mapped flag of this one is in no release.
    let load: Vec<&str> =
        document["verdicts"].as_array().unwrap().iter().map(|v| v["load"].as_str().unwrap()).collect();
    assert_eq!(load, vec!["fail"; RELEASES.len()]);
    let output = text(&scx_lint(&["--kernel", "7.0,7.1,7.2", CPU]).stdout);
    assert!(output.contains("works on 7.0-7.2"), "{output}");
    assert!(output.contains("scheduler"), "{output}");
}

#[test]
fn a_missing_type_is_told_and_nothing_that_follows_from_it() {
    let output = scx_lint(&["--kernel", "7.1", "--format", "json", CID]);
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors: Vec<&str> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["level"] == "error")
        .map(|finding| finding["rule"].as_str().unwrap())
        .collect();
    assert_eq!(errors, ["unknown-struct-ops-type", "unknown-map-flag"]);
    assert_eq!(document["undecided"].as_array().unwrap().len(), 0);
}

#[test]
fn the_arena_flag_is_judged_by_the_kernel_and_by_the_rule_that_the_user_chose() {
    let flagged = "fixtures/obj/clang-19/arena-not-always-mapped__near_set.bpf.o";
    let plain = "fixtures/obj/clang-19/arena-not-always-mapped__plain.bpf.o";
    let rules = |arguments: &[&str]| {
        let output = scx_lint(&[&["--format", "json"], arguments].concat());
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = document["findings"].as_array().unwrap().clone();
        let errors = findings.into_iter().filter(|finding| finding["level"] == "error");
        errors.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(rules(&["--kernel", "7.3", flagged]), ["unknown-map-flag"]);
    assert_eq!(rules(&["--kernel", "7.3", plain]), [""; 0]);
    assert_eq!(rules(&["--kernel", "7.3", "--arena-rule", "always", flagged]), [""; 0]);
    assert_eq!(rules(&["--kernel", "7.3", "--arena-rule", "always", plain]), ["arena-not-always-mapped"]);
    assert_eq!(rules(&["--arena-rule", "one", plain]), [""; 0]);
}

#[test]
fn what_is_no_kernel_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.btf");
    std::fs::write(&garbage, [&[0x9f, 0xeb, 1, 0, 24, 0, 0, 0][..], &[0xff; 64]].concat()).unwrap();
    let text_file = folder.path().join("notes.txt");
    std::fs::write(&text_file, "a kernel\n").unwrap();
    let path = |path: &Path| path.display().to_string();
    for (kernel, words) in [
        ("6.13".to_owned(), "neither a file nor a built-in release; built in are 6.12, 6.16"),
        ("9.9.9".to_owned(), "built in are 6.12"),
        ("mainline".to_owned(), "neither a file nor a built-in release"),
        (path(&garbage), "kernel '"),
        (path(&text_file), "kernel '"),
        (CID.to_owned(), "BPF object"),
        ("/".to_owned(), "is a directory"),
        ("7.3,,7.2".to_owned(), "no kernel is named"),
        ("no/such/vmlinuz".to_owned(), "No such file"),
    ] {
        let output = scx_lint(&["--kernel", &kernel, CPU]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{kernel}: {message}");
        assert_eq!(message.lines().count(), 1, "{kernel}: {message}");
        assert!(message.contains(words), "{kernel}: {message}");
        assert!(output.stdout.is_empty(), "{kernel}");
    }
}

#[test]
fn info_shows_what_a_kernel_enforces() {
    let output = text(&scx_lint(&["kernel", "info", "7.3"]).stdout);
    for words in ["release 7.3.4", "exactly one arena", "by the verifier", "0x1ff", "at most 673"] {
        assert!(output.contains(words), "{words}: {output}");
    }
    let output = text(&scx_lint(&["kernel", "info", "7.1"]).stdout);
    assert!(output.contains("derived") && !output.contains("implicit-kfunc-arguments"), "{output}");
    let output = text(&scx_lint(&["kernel", "info", "6.12"]).stdout);
    assert!(output.contains("partial") && output.contains("at run time"), "{output}");
}

#[test]
fn info_shows_the_flags_of_the_kfuncs() {
    let output = text(&scx_lint(&["kernel", "info", "7.3"]).stdout);
    assert!(output.contains("kfunc flags       of 312 kfuncs in 42 id sets\n    KF_ACQUIRE "), "{output}");
    assert!(!output.contains("scx_bpf_create_dsq"), "{output}");
    let output = text(&scx_lint(&["kernel", "info", "-v", "7.3"]).stdout);
    let line = output.lines().find(|line| line.contains(" scx_bpf_create_dsq ")).unwrap();
    assert!(line.ends_with("  KF_SLEEPABLE|KF_IMPLICIT_ARGS (unlocked)"), "{line}");
    let json = text(&scx_lint(&["kernel", "info", "--format", "json", "6.12"]).stdout);
    let info: serde_json::Value = serde_json::from_str(&json).unwrap();
    let set = &info["kfunc_sets"][0];
    assert_eq!(set["scx_name"], "select_cpu");
    assert_eq!(set["kfuncs"][0]["name"], "scx_bpf_select_cpu_dfl");
    assert_eq!(set["kfuncs"][0]["flags"][0], "KF_RCU");
    // A BTF alone does not have them.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.btf");
    std::fs::write(&file, &scx_lint::kernel::target::load("6.12").unwrap()[0].btf).unwrap();
    let output = text(&scx_lint(&["kernel", "info", file.to_str().unwrap()]).stdout);
    assert!(output.contains("kfunc flags       not known: only an image"), "{output}");
}

#[test]
fn a_snapshot_lints_as_the_kernel_does() {
    // This machine's own kernel, if it shows its types, else any.
    let shows = Path::new("/sys/kernel/btf/vmlinux").exists();
    let at_hand = if shows { None } else { kernels_at_hand().pop() };
    let kernel = match (&at_hand, shows) {
        (_, true) => "host",
        (Some((_, path)), false) => path.to_str().unwrap(),
        (None, false) => return,
    };
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("host.snapshot");
    let file = snapshot.display().to_string();
    let output = scx_lint(&["kernel", "snapshot", kernel, "--output", &file]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = |kernel: &str| {
        let output = scx_lint(&["--kernel", kernel, "--format", "json", CPU, CID]);
        let mut document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        document["kernels"].take();
        // They name the kernel.
        for object in document["objects"].as_array_mut().unwrap() {
            object["sentence"].take();
        }
        document
    };
    assert_eq!(report(kernel), report(&file));
    let again = scx_lint(&["kernel", "snapshot", &file, "--output", &file]);
    assert_eq!(again.status.code(), Some(2));
}

#[test]
fn a_configuration_file_answers_kconfig_externs() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, "CONFIG_HZ=1000\nCONFIG_SCHED_CLASS_EXT=y\n").unwrap();
    let config = config.display().to_string();
    assert!(scx_lint(&["--kernel", "7.3", "--kconfig", &config, CPU]).status.success());
    let output = scx_lint(&["--kernel", "7.3", "--kconfig", CPU, CPU]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("holds no kernel configuration"));
}

#[test]
fn a_loader_that_sizes_a_map_is_believed_and_a_naked_one_is_not() {
    let Some(pair) = corpus_objects().into_iter().find(|path| path.ends_with("scx_pair.bpf.o")) else {
        return;
    };
    let pair = pair.display().to_string();
    let default = scx_lint(&["--kernel", "7.3", "--format", "json", &pair]);
    let document: serde_json::Value = serde_json::from_slice(&default.stdout).unwrap();
    assert_eq!(document["summary"]["errors"], 0, "{}", text(&default.stdout));
    let plain = scx_lint(&["--kernel", "7.3", "--loader", "plain", "--format", "json", &pair]);
    let document: serde_json::Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!(document["verdicts"][0]["load"], "fail");
    assert!(text(&plain.stdout).contains("invalid-map-definition"));
}

/// The report on the kernel of a file, and how many entries the folder has then. What is in the user's own is let alone.
fn with_cache(kernel: &Path, cache: &Path, more: &[&str]) -> (String, usize) {
    let mut said = String::new();
    for format in ["json", "full"] {
        let output = Command::new(env!("CARGO_BIN_EXE_scx-lint"))
            .args(["--format", format, "-v", CID, CPU, "--kernel"])
            .arg(kernel)
            .args(more)
            .current_dir(root())
            .env("SCX_LINT_CACHE", cache)
            .env_remove("CLICOLOR_FORCE")
            .output()
            .unwrap();
        assert_ne!(output.status.code(), Some(2), "{}", text(&output.stderr));
        said += &text(&output.stdout);
        said += &text(&output.stderr);
    }
    (said, std::fs::read_dir(cache.join("images")).map_or(0, Iterator::count))
}

#[test]
fn a_kept_image_lints_as_the_image_does() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("vmlinux.btf.gz");
    let target = scx_lint::kernel::target::load("7.3").unwrap().remove(0);
    let mut encoder =
        flate2::write::GzEncoder::new(std::fs::File::create(&packed).unwrap(), flate2::Compression::fast());
    encoder.write_all(&target.btf).unwrap();
    encoder.finish().unwrap();
    let images = kernels_at_hand().pop().map(|(_, path)| path);
    for (number, kernel) in std::iter::once(packed).chain(images).enumerate() {
        let cache = folder.path().join(number.to_string());
        let without = with_cache(&kernel, &cache, &["--no-cache"]);
        assert_eq!(without.1, 0);
        // The first of the two runs writes it.
        let with = with_cache(&kernel, &cache, &[]);
        assert_eq!((with.0 == without.0, with.1), (true, 1), "{}", kernel.display());
        let entry = std::fs::read_dir(cache.join("images")).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&entry, "damaged").unwrap();
        let again = with_cache(&kernel, &cache, &[]);
        assert_eq!((again.0 == without.0, again.1), (true, 1), "{}", kernel.display());
        assert!(std::fs::metadata(&entry).unwrap().len() > 1_000);
        // A folder that cannot be made.
        let nowhere = with_cache(&kernel, Path::new("/dev/null/cache"), &[]);
        assert_eq!((nowhere.0 == without.0, nowhere.1), (true, 0), "{}", kernel.display());
    }
}
