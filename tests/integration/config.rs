//! Configuration, allows and baselines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::root;
use super::tools::{compile, scratch, tool};

fn scx_lint(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scx-lint")).current_dir(folder).args(arguments).output().unwrap()
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn report(folder: &Path, arguments: &[&str]) -> Value {
    let output = scx_lint(folder, &[&["--format", "json"], arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", both(&output)))
}

fn rules(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect()
}

/// A folder with objects and a configuration.
fn project(name: &str, config: &str, stems: &[&str]) -> PathBuf {
    let folder = scratch(name);
    for stem in stems {
        let object = root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"));
        fs::copy(object, folder.join(format!("{stem}.bpf.o"))).unwrap();
    }
    fs::write(folder.join("scx-lint.toml"), config).unwrap();
    folder
}

#[test]
fn the_nearest_file_counts_and_the_command_line_wins() {
    let bad = "missing-arena__no_arena";
    let folder = project("nearest", "[levels]\nno-hotplug-callbacks = \"allow\"\n", &[bad]);
    let object = format!("../{bad}.bpf.o");
    let deep = folder.join("deep");
    fs::create_dir(&deep).unwrap();
    assert_eq!(rules(&report(&deep, &[&object])), ["missing-arena"], "found upwards");
    assert_eq!(rules(&report(&deep, &["--no-config", &object])), ["missing-arena", "no-hotplug-callbacks"]);
    assert_eq!(
        rules(&report(&deep, &["-W", "no-hotplug-callbacks", &object])).len(),
        2,
        "the command line wins"
    );
    fs::write(deep.join("scx-lint.toml"), "[levels]\nmissing-arena = \"note\"\n").unwrap();
    let nearest = report(&deep, &[&object]);
    assert_eq!(nearest["findings"][0]["level"], "note");
    assert_eq!(scx_lint(&deep, &[&object]).status.code(), Some(0));
    // Cargo's manifest serves too, and its neighbour scx-lint.toml comes before it.
    let cargo = deep.join("crate");
    fs::create_dir(&cargo).unwrap();
    let manifest = "[package]\nname = \"x\"\n[package.metadata.scx-lint]\nfail-on = \"warning\"\nlevels = { missing-arena = \"warn\" }\n";
    fs::write(cargo.join("Cargo.toml"), manifest).unwrap();
    let object = format!("../{object}");
    assert_eq!(report(&cargo, &[&object])["findings"][0]["level"], "warning");
    assert_eq!(scx_lint(&cargo, &[&object]).status.code(), Some(1));
    assert_eq!(scx_lint(&cargo, &["--fail-on", "error", &object]).status.code(), Some(0));
    let dump =
        scx_lint(&cargo, &["--dump-config", "-D", "missing-arena", "--loader", "scx", "--cflag", "-DX"]);
    let text = String::from_utf8(dump.stdout).unwrap();
    for line in ["fail-on = \"warning\"", "missing-arena = \"deny\"", "loader = \"scx\"", "flags = [\"-DX\"]"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    fs::write(cargo.join("again.toml"), &text).unwrap();
    let again = scx_lint(&cargo, &["--config", "again.toml", "--dump-config"]);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text, "what is dumped can be used");
}

#[test]
fn mistakes_are_errors_that_say_what_was_meant() {
    let folder = scratch("mistakes");
    for (config, words) in [
        ("kernal = [\"7.3\"]\n", "did you mean `kernels`?"),
        ("[clang]\nflag = []\n", "did you mean `flags`?"),
        ("arena-rule = \"allways\"\n", "did you mean `always`?"),
        ("[levels]\nmising-arena = \"allow\"\n", "did you mean 'missing-arena'?"),
        ("[[allow]]\nrule = \"missing-arena\"\n", "missing field `reason`"),
        ("[[allow]]\nrule = \"missing-arena\"\nreason = \" \"\n", "gives no reason"),
        ("[[allow]]\nrule = \"missing-arena\"\nobject = \"[\"\nreason = \"x\"\n", "error parsing glob"),
        ("arena-flag-bit = 32\n", "above 31"),
        ("remap-path = [\"x\"]\n", "expected FROM=TO"),
        ("kernels = [\n", "scx-lint.toml"),
    ] {
        fs::write(folder.join("scx-lint.toml"), config).unwrap();
        let output = scx_lint(&folder, &["x.bpf.o"]);
        assert_eq!(output.status.code(), Some(2), "{config}");
        assert!(both(&output).contains(words), "{config}: {}", both(&output));
    }
    fs::remove_file(folder.join("scx-lint.toml")).unwrap();
    let metadata = "[workspace.metadata.scx-lint]\nlodaer = \"scx\"\n";
    fs::write(folder.join("Cargo.toml"), metadata).unwrap();
    let output = scx_lint(&folder, &["x.bpf.o"]);
    assert!(both(&output).contains("did you mean `loader`?"), "{}", both(&output));
}

#[test]
fn allows_of_the_configuration_need_a_match_and_give_their_reason() {
    let config = "[[allow]]\nrule = \"missing-arena\"\nobject = \"missing-*\"\nmap = \"demo_*\"\nreason = \"demo\"\n\
        [[allow]]\nrule = \"no-hotplug-callbacks\"\nobject = \"good__*.bpf.o\"\nreason = \"CI has no hotplug\"\n\
        [[allow]]\nrule = \"stack-overflow\"\nprogram = \"demo_*\"\nreason = \"stale\"\n\
        [[allow]]\nrule = \"deprecated-op\"\nobject = \"elsewhere/*\"\nreason = \"that object is not here\"\n";
    let folder = project("allows", config, &["missing-arena__no_arena", "good__realistic_cid"]);
    let output = scx_lint(&folder, &["missing-arena__no_arena.bpf.o", "good__realistic_cid.bpf.o"]);
    assert_eq!(output.status.code(), Some(0), "{}", both(&output));
    let report = report(&folder, &["missing-arena__no_arena.bpf.o", "good__realistic_cid.bpf.o"]);
    assert_eq!(rules(&report), ["no-hotplug-callbacks"], "that of the first object stays");
    assert_eq!(report["suppressed"].as_array().unwrap().len(), 2);
    assert_eq!(report["suppressed"][0]["reason"], "demo");
    assert_eq!(report["suppressed"][0]["by"], "config");
    assert_eq!(report["summary"]["allowed"], 2);
    assert_ne!(report["verdicts"][0]["attach"], "fail", "what is allowed is not held against the object");
    let unmatched = report["unmatched_allows"].as_array().unwrap();
    assert_eq!(unmatched.len(), 1, "{unmatched:?}");
    assert_eq!(unmatched[0]["rule"], "stack-overflow");
    let text = both(&output);
    assert!(
        text.contains("allow of 'stack-overflow'") && text.contains("allow 3, program 'demo_*'"),
        "{text}"
    );
    assert!(text.contains("2 allowed"), "{text}");
}

#[test]
fn allows_travel_in_the_object() {
    let Some(clang) = tool("clang-19") else { return };
    let folder = scratch("tags");
    let build = |tag: &str| {
        let source = fs::read_to_string(root().join("fixtures/src/missing-arena__no_arena.bpf.c")).unwrap();
        let tag = format!("__attribute__((btf_decl_tag(\"scx-lint:allow={tag}\")))\nEXPECT");
        fs::write(folder.join("s.bpf.c"), source.replacen("EXPECT", &tag, 1)).unwrap();
        compile(&clang, &folder, "s.bpf.c", "s.bpf.o");
        report(&folder, &["s.bpf.o"])
    };
    let allowed = build("missing-arena the arena comes with the next commit");
    assert_eq!(rules(&allowed), ["no-hotplug-callbacks"]);
    assert_eq!(allowed["suppressed"][0]["reason"], "the arena comes with the next commit");
    assert_eq!(allowed["suppressed"][0]["by"], "source");
    assert_eq!(allowed["unmatched_allows"], Value::Null);
    for (tag, problem) in [
        ("stack-overflow no such thing", "allows nothing; remove it"),
        ("missing-arena", "gives no reason, and does not count"),
        ("mising-arena typo", "names no rule"),
    ] {
        let found = build(tag);
        assert!(rules(&found).contains(&"missing-arena"), "{tag}");
        assert_eq!(found["unmatched_allows"][0]["problem"], problem);
        assert_eq!(found["unmatched_allows"][0]["place"], "tag on 'demo_ops'");
    }
    let other = build("no-hotplug-callbacks this machine has none");
    assert_eq!(rules(&other), ["missing-arena"], "the ops variable's tag covers its members");
}

#[test]
fn inputs_can_differ() {
    let config = "[[input]]\npath = \"missing-*.bpf.o\"\narena-rule = \"one\"\nlevels = { missing-arena = \"warn\", no-hotplug-callbacks = \"allow\" }\n";
    let stems = ["missing-arena__no_arena", "arena-not-always-mapped__plain"];
    let folder = project("inputs-differ", config, &stems);
    let objects = ["./missing-arena__no_arena.bpf.o", "arena-not-always-mapped__plain.bpf.o"];
    let found = report(&folder, &objects);
    assert_eq!(rules(&found), ["missing-arena", "arena-not-always-mapped", "no-hotplug-callbacks"]);
    assert_eq!(found["findings"][0]["level"], "warning");
    let fixed = report(&folder, &[&["-D", "missing-arena", "--arena-rule", "one"][..], &objects].concat());
    assert_eq!(fixed["findings"][0]["level"], "error", "the command line wins over an input's own");
    assert_eq!(rules(&fixed), ["missing-arena", "no-hotplug-callbacks"]);
}

#[test]
fn what_the_baseline_has_does_not_fail() {
    let folder = project("baseline", "", &["missing-arena__no_arena", "multiple-arenas__two_members"]);
    let first = scx_lint(&folder, &["--format", "json", "-o", "old.json", "missing-arena__no_arena.bpf.o"]);
    assert_eq!(first.status.code(), Some(1));
    let with = |arguments: &[&str]| scx_lint(&folder, &[&["--baseline", "old.json"], arguments].concat());
    let same = with(&["missing-arena__no_arena.bpf.o"]);
    assert_eq!(same.status.code(), Some(0), "{}", both(&same));
    assert!(both(&same).contains("2 in the baseline"), "{}", both(&same));
    let more = with(&["missing-arena__no_arena.bpf.o", "multiple-arenas__two_members.bpf.o"]);
    assert_eq!(more.status.code(), Some(1), "what is new fails");
    let text = both(&more);
    assert!(text.contains("multiple-arenas\n") && !text.contains("uses an arena: running"), "{text}");
    let report = report(&folder, &["--baseline", "old.json", "missing-arena__no_arena.bpf.o"]);
    assert_eq!(report["findings"][0]["known"], json!(true));
    let sarif =
        with(&["--format", "sarif", "missing-arena__no_arena.bpf.o", "multiple-arenas__two_members.bpf.o"]);
    let sarif: Value = serde_json::from_slice(&sarif.stdout).unwrap();
    let states: Vec<&str> = sarif["runs"][0]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["baselineState"].as_str().unwrap())
        .collect();
    assert!(states.contains(&"unchanged") && states.contains(&"new"), "{states:?}");
    // What is no report is no baseline.
    fs::write(folder.join("old.json"), "[]").unwrap();
    let wrong = with(&["missing-arena__no_arena.bpf.o"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(both(&wrong).contains("no JSON report"), "{}", both(&wrong));
}

#[test]
fn kernels_of_the_configuration_are_targets() {
    let config = "kernels = [\"7.2,7.3\", \"mine/kernel\"]\n";
    let folder = project("config-kernels", config, &["good__realistic_cpu"]);
    let deep = folder.join("mine");
    fs::create_dir(&deep).unwrap();
    // Types, as a file that only the configuration's folder leads to: the object's own will do.
    let object = fs::read(folder.join("good__realistic_cpu.bpf.o")).unwrap();
    let at = object.windows(4).position(|window| window == [0x9f, 0xeb, 1, 0]).unwrap();
    let word = |offset: usize| u32::from_le_bytes(*object[at + offset..].first_chunk().unwrap()) as usize;
    fs::write(deep.join("kernel"), &object[at..at + word(4) + word(16) + word(20)]).unwrap();
    let names = |report: &Value| {
        let kernels = report["kernels"].as_array().unwrap();
        kernels.iter().map(|kernel| kernel["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let found = names(&report(&deep, &["../good__realistic_cpu.bpf.o"]));
    assert_eq!(found[..2], ["7.2", "7.3"]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(names(&report(&deep, &["--kernel", "6.18", "../good__realistic_cpu.bpf.o"])), ["6.18"]);
}
