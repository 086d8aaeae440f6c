//! Values that user space sets: how they are told, and what they decide.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::root;
use super::tools::scratch;

const KNOB: &str = "kfunc-outside-its-ops__near_knob";
const PART: &str = "kfunc-outside-its-ops__near_part";
const FLAGS: &str = "idle-kfunc-without-builtin-idle__near_scx";

fn scx_lint(folder: &Path, arguments: &[&str]) -> Output {
    let quiet = ["--no-config", "-A", "no-hotplug-callbacks"];
    let base = if folder.join("scx-lint.toml").exists() { &quiet[1..] } else { &quiet[..] };
    let command = [base, arguments].concat();
    Command::new(env!("CARGO_BIN_EXE_scx-lint")).current_dir(folder).args(command).output().unwrap()
}

fn object(stem: &str) -> String {
    root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o")).display().to_string()
}

/// The exit status, and the report.
fn report(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let output = scx_lint(folder, &[&["--format", "json"], arguments].concat());
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {err}"));
    (output.status.code().unwrap(), report)
}

/// The rules of the findings, and those of the open questions.
fn rules(report: &Value) -> [Vec<&str>; 2] {
    ["findings", "undecided"].map(|list| {
        report[list].as_array().unwrap().iter().map(|found| found["rule"].as_str().unwrap()).collect()
    })
}

#[test]
fn a_value_that_is_told_decides() {
    let folder = scratch("values-decide");
    let on = |kernel: &str, set: &[&str], stem: &str| {
        let object = object(stem);
        let mut arguments = vec!["--kernel", kernel, &object];
        for value in set {
            arguments.extend(["--set", value]);
        }
        let (code, report) = report(&folder, &arguments);
        let [findings, undecided] = rules(&report);
        (code, findings.join(" "), undecided.join(" "))
    };
    let open = |rule: &str| (0, String::new(), rule.to_owned());
    let found = |rule: &str| (1, rule.to_owned(), String::new());
    let outside = "kfunc-outside-its-ops";
    assert_eq!(on("7.3", &[], KNOB), open(outside));
    assert_eq!(on("7.3", &["knob=1"], KNOB), found(outside));
    assert_eq!(on("7.3", &["knob=false"], KNOB), open(""));
    // The last one counts.
    assert_eq!(on("7.3", &["knob=true", "knob=0"], KNOB), open(""));

    let idle = "idle-kfunc-without-builtin-idle";
    assert_eq!(on("7.3", &[], FLAGS), open(idle));
    assert_eq!(on("7.3", &["demo_ops.flags=SCX_OPS_KEEP_BUILTIN_IDLE|SCX_OPS_ENQ_EXITING"], FLAGS), open(""));
    assert_eq!(on("7.3", &["demo_ops.flags=0x3"], FLAGS), found("enq-last-without-enqueue"));
    assert_eq!(on("7.3", &["ops.flags=SCX_OPS_KEEP_BUILTIN_IDLE"], FLAGS), open(""));
    let (code, findings, _) = on("7.3", &["ops.flags=0"], FLAGS);
    assert_eq!((code, findings.as_str()), (1, idle));
    // Once told, the flags are no question; whether the call is ever made is.
    let object = object(FLAGS);
    let (_, told) = report(&folder, &["--kernel", "7.3", "--set", "ops.flags=0x4", &object]);
    assert_eq!(told["objects"][0]["values"], serde_json::json!(["ops.flags=0x4"]));
    for open in told["undecided"].as_array().unwrap() {
        assert_eq!(open["decided_by"], serde_json::json!(["--vm IMAGE"]));
        assert!(open["reason"].as_str().unwrap().contains("flags are 0x4, as told"), "{open}");
    }
    // A callback that user space switches off does not switch anything off itself.
    assert_eq!(on("7.3", &["ops.update_idle=NULL"], FLAGS), open(""));
}

#[test]
fn parts_are_named_by_their_path() {
    let folder = scratch("values-parts");
    let object = object(PART);
    let with = |set: &[&str]| {
        let mut arguments = vec!["--kernel", "7.3", &object];
        for value in set {
            arguments.extend(["--set", value]);
        }
        let (code, report) = report(&folder, &arguments);
        let [findings, undecided] = rules(&report);
        let error = report["objects"][0]["error"]["message"].as_str().unwrap_or_default().to_owned();
        (code, findings.len(), undecided.len(), error)
    };
    let off = ["config.mode=MODE_OFF", "config.nice=0"];
    let decided = |code, found| (code, found, 0, String::new());
    assert_eq!(with(&[&off[..], &["config.slots[1].on=false"]].concat()), decided(0, 0));
    assert_eq!(with(&[&off[..], &["config.slots[1].on=true"]].concat()), decided(1, 1));
    // Its neighbour is another variable.
    assert_eq!(with(&[&off[..], &["config.slots[2].on=true"]].concat()), (0, 0, 1, String::new()));
    assert_eq!(with(&["config.slots[1].raw=0", "config.mode=0x2", "config.nice=0"]), decided(1, 1));
    assert_eq!(with(&["config.slots[1].on=0", "config.mode=0", "config.nice=-1"]), decided(1, 1));
    assert_eq!(with(&["config.label=quiet", "config.slice_ns=20_000_000"]).0, 0);
    for (value, why) in [
        ("config.slots[3].on=1", "index 3 is outside of its 3 elements"),
        ("config.slots.on=1", "it has no member 'on'"),
        ("config.slots=1", "it is an array"),
        ("config.slots[1]=1", "it is a struct"),
        ("config.slots[1.on=1", "a ']' is missing"),
        ("config.slots[x].on=1", "'x' is no index"),
        ("config.nice=128", "128 does not fit: -128 to 127"),
        ("config.slots[0].weight=-1", "-1 does not fit: 0 to 65535"),
        ("config.slots[1].on=2", "2 does not fit: 0 to 1"),
        ("config.mode=MODE_MAYBE", "'MODE_MAYBE' is no number and no enumerator"),
        ("config.label=12345678", "8 bytes and a NUL do not fit into its 8"),
        ("demo_ops.flag=1", "did you mean 'demo_ops.flags'?"),
        ("demo_ops.running=1", "it is a pointer, which can be set to NULL only"),
        ("demo_ops=1", "'demo_ops' is an ops variable: name a member"),
        ("config.slice_ns=99999999999999999999999", "is too large"),
        ("config.slice_ns=1||2", "a value is missing beside '|'"),
        ("config.slice_ns=010", "begins with 0"),
        ("config.slice_ns=1__0", "'1__0' is no number"),
        ("config.slots[1].on=NULL", "'NULL' is no number and no enumerator"),
    ] {
        let (code, .., error) = with(&[value]);
        assert_eq!(code, 2, "{value}");
        assert!(error.contains(why), "{value}: {error}");
    }
}

#[test]
fn a_slip_is_an_error_with_what_was_meant() {
    let folder = scratch("values-slip");
    let told = |arguments: &[&str]| {
        let object = object(KNOB);
        let output = scx_lint(&folder, &[&["--kernel", "7.3", &object], arguments].concat());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, words) = told(&["--set", "knbo=1"]);
    assert_eq!(code, 2);
    assert!(
        words.contains("no input has a variable or ops variable 'knbo', did you mean 'knob'?"),
        "{words}"
    );
    let (code, words) = told(&["--set", "knob"]);
    assert!(code == 2 && words.contains("expected NAME=VALUE"), "{words}");
    let (code, words) = told(&["--values", "nowhere.toml"]);
    assert!(code == 2 && words.contains("nowhere.toml"), "{words}");
    fs::write(folder.join("broken.toml"), "knob = 1.5\n").unwrap();
    let (code, words) = told(&["--values", "broken.toml"]);
    assert!(code == 2 && words.contains("'knob': expected a number"), "{words}");
    // One of several inputs has it: no slip.
    let output = scx_lint(&folder, &["--kernel", "7.3", "--set", "knob=0", &object(KNOB), &object(FLAGS)]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn files_and_the_configuration_tell_values_too() {
    let folder = scratch("values-files");
    fs::copy(object(KNOB), folder.join("a.bpf.o")).unwrap();
    fs::copy(object(KNOB), folder.join("b.bpf.o")).unwrap();
    let code = |arguments: &[&str]| {
        let (_, report) = report(&folder, &[&["--kernel", "7.3"], arguments].concat());
        let of = |number: u64| {
            report["findings"].as_array().unwrap().iter().filter(|found| found["object"] == number).count()
        };
        (of(0), of(1))
    };
    fs::write(folder.join("on.toml"), "knob = true\n").unwrap();
    assert_eq!(code(&["--values", "on.toml", "a.bpf.o", "b.bpf.o"]), (1, 1));
    // What is typed counts more.
    assert_eq!(code(&["--values", "on.toml", "--set", "knob=0", "a.bpf.o", "b.bpf.o"]), (0, 0));
    let config = "[values]\nknob = true\n[[input]]\npath = \"b.bpf.o\"\nvalues = { knob = 0 }\n";
    fs::write(folder.join("scx-lint.toml"), config).unwrap();
    assert_eq!(code(&["a.bpf.o", "b.bpf.o"]), (1, 0));
    assert_eq!(code(&["--values", "on.toml", "a.bpf.o", "b.bpf.o"]), (1, 1));
    let dumped = scx_lint(&folder, &["--dump-config", "--set", "other.flags=A|B"]);
    let dumped = String::from_utf8(dumped.stdout).unwrap();
    assert!(dumped.contains("[values]\nknob = true\n\"other.flags\" = \"A|B\""), "{dumped}");
    // What is for other inputs, or for other objects of a project, is no slip of this run.
    let config = "[values]\nelsewhere = 1\n[[input]]\npath = \"other/**\"\nvalues = { unheard_of = 0 }\n";
    fs::write(folder.join("scx-lint.toml"), config).unwrap();
    let output = scx_lint(&folder, &["--kernel", "7.3", "a.bpf.o"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("'elsewhere'") && !said.contains("unheard_of"), "{said}");
}

#[test]
fn an_answer_that_the_files_own_values_give_is_no_open_question() {
    let folder = scratch("values-as-in-file");
    let (_, told) = report(&folder, &["--kernel", "6.18,7.3", &object(KNOB)]);
    for verdict in told["verdicts"].as_array().unwrap() {
        for phase in ["open", "load", "attach", "run"] {
            assert_eq!(verdict[phase], "pass", "{verdict}");
        }
        assert_eq!(verdict["knobs"], serde_json::json!([{ "name": "knob", "value": 0 }]));
    }
    let sentence = told["objects"][0]["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with(
            "works on 6.18 with 'knob' as in the file (0); works on 7.3 with 'knob' as in the file (0) (if"
        ),
        "{sentence}"
    );
    let open = &told["undecided"][0];
    assert_eq!(open["decided_by"], serde_json::json!(["--set knob=VALUE", "--vm IMAGE"]));
    // What the verifier refuses only with another value.
    let (_, told) = report(&folder, &["--kernel", "7.3", &object("refused-by-verifier__near_knob")]);
    let words = "R0 invalid mem access 'map_value_or_null'";
    assert_eq!(told["verdicts"][0]["proven"], true);
    assert_eq!(told["verdicts"][0]["otherwise"], words);
    let sentence = told["objects"][0]["sentence"].as_str().unwrap();
    let expected =
        "works on 7.3 with 'is_counted' as in the file (0) (if set otherwise, the verifier may refuse it: ";
    assert_eq!(sentence, format!("{expected}{words})"));
    let (_, told) = report(
        &folder,
        &["--kernel", "7.3", "--set", "is_counted=1", &object("refused-by-verifier__near_knob")],
    );
    assert_eq!(told["findings"][0]["kernel_message"], words, "{told}");
    // Of three variables each alone decides nothing: all are named.
    let (_, told) = report(&folder, &["--kernel", "7.3", &object(PART)]);
    let ways = serde_json::json!([
        "--set config.slots[1].on=VALUE",
        "--set config.nice=VALUE",
        "--set config.mode=VALUE",
        "--vm IMAGE"
    ]);
    assert_eq!(told["undecided"][0]["decided_by"], ways);
    // What is wrong with the file's own values stays open: user space does set them.
    let (_, told) = report(&folder, &["--kernel", "7.3", &object(FLAGS)]);
    assert_eq!(told["verdicts"][0]["run"], "unknown");
    assert!(told["verdicts"][0].get("knobs").is_none());
    assert_eq!(told["undecided"][0]["decided_by"][0], "--set demo_ops.flags=VALUE");
}

/// Four objects: one about which nothing is found, one that may not stay, one that cannot be told, and one that depends on a value.
fn four(format: &str) -> String {
    of_four(format, &["--kernel", "6.18,7.3"])
}

fn of_four(format: &str, arguments: &[&str]) -> String {
    let folder = scratch(&format!("values-open-{format}"));
    for (name, stem) in [
        ("clear", "good__realistic_cpu"),
        ("stays", FLAGS),
        ("asks", "special-field-in-mapped-data__near_res_lock"),
        ("knob", KNOB),
    ] {
        fs::copy(object(stem), folder.join(format!("{name}.bpf.o"))).unwrap();
    }
    let objects = ["clear.bpf.o", "stays.bpf.o", "asks.bpf.o", "knob.bpf.o"];
    let output = scx_lint(&folder, &[arguments, &["--format", format], &objects[..]].concat());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn open_is_not_fine_in_any_format() {
    let json: Value = serde_json::from_str(&four("json")).unwrap();
    let sentences: Vec<&str> = json["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| object["sentence"].as_str().unwrap())
        .collect();
    assert!(sentences[0].starts_with("works on 6.18, 7.3"), "{}", sentences[0]);
    assert!(sentences[1].contains("but it may not stay enabled: "), "{}", sentences[1]);
    assert!(sentences[2].contains("cannot tell for "), "{}", sentences[2]);
    let asked = json["undecided"].as_array().unwrap();
    assert!(
        asked.iter().any(|open| open["kernels"].as_array().unwrap().len() == 1),
        "one is about one kernel"
    );

    for format in ["full", "concise", "markdown", "html", "github", "gitlab", "junit", "sarif"] {
        // As a reader sees it: without markup, escapes and line breaks.
        let plain = |text: &str| -> String {
            let text = text.replace("%3A", ":").replace("%2C", ",").replace("%0A", " ");
            let text = ["&apos;", "&#39;", "&quot;", "&lt;", "&gt;", "&amp;"]
                .iter()
                .zip(["'", "'", "\"", "<", ">", "&"])
                .fold(text, |text, (from, to)| text.replace(from, to));
            let mut inside = false;
            let kept = text.chars().filter(|&c| {
                inside = (inside || format == "html" && c == '<') && c != '>';
                let is_markup = matches!(c, '`' | '\\' | '"' | '\'') || format == "html" && c == '>';
                !(inside || is_markup)
            });
            kept.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let text = plain(&four(format));
        for sentence in &sentences {
            assert!(text.contains(&plain(sentence)), "{format} lacks: {sentence}\n{text}");
        }
        for open in asked {
            let reason = open["reason"].as_str().unwrap();
            assert!(text.contains(&plain(reason)), "{format} lacks: {reason}\n{text}");
            let way = open["decided_by"][0].as_str().unwrap();
            assert!(text.contains(way), "{format} lacks: {way}\n{text}");
        }
        // A table of kernels tells the four answers apart, and says how.
        if ["full", "markdown", "html"].contains(&format) {
            for meaning in [
                "with others it is not proven",
                "whether it then stays enabled cannot be told",
                "a question is open",
            ] {
                assert!(text.contains(meaning), "{format} lacks: {meaning}\n{text}");
            }
        }
    }
    let verdicts = json["verdicts"].as_array().unwrap().iter();
    let open =
        verdicts.filter(|verdict| ["load", "attach", "run"].iter().any(|&at| verdict[at] == "unknown"));
    let (junit, open) = (four("junit"), open.count());
    assert!(open >= 3 && junit.matches("<skipped").count() == open, "{open}: {junit}");
}

#[test]
fn quiet_leaves_answers_as_they_are() {
    let (loud, quiet) = (four("junit"), of_four("junit", &["--kernel", "6.18,7.3", "-q"]));
    assert_eq!(loud.matches("<skipped").count(), quiet.matches("<skipped").count(), "{quiet}");
    let json: Value = serde_json::from_str(&four("json")).unwrap();
    for format in ["junit", "gitlab", "sarif", "markdown", "html"] {
        let quiet = of_four(format, &["--kernel", "6.18,7.3", "-q"]);
        assert!(!quiet.contains("no rule says"), "{format}: {quiet}");
    }
    assert!(!json.to_string().contains("no rule says"));
    // What fails the run is not among them: nothing is printed for people.
    assert_eq!(of_four("concise", &["--kernel", "6.18,7.3", "-q"]), "");
}

#[test]
fn without_a_kernel_every_format_says_the_same() {
    let json: Value = serde_json::from_str(&of_four("json", &[])).unwrap();
    let sentence = json["objects"][0]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("opens; nothing in the file keeps it from loading"), "{sentence}");
    for format in ["full", "concise", "junit", "markdown"] {
        assert!(of_four(format, &[]).contains(sentence), "{format}");
    }
    let table = of_four("markdown", &[]);
    let row = table.lines().find(|line| line.starts_with("| `clear.bpf.o`")).unwrap();
    assert!(row.contains("nothing found"), "{row}");
}

#[test]
fn a_baseline_has_open_questions_too() {
    let folder = scratch("values-baseline");
    let object = object(FLAGS);
    let arguments = ["--kernel", "7.3", "--fail-on", "undecided", &object];
    let output = scx_lint(&folder, &[&["--format", "json"], &arguments[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    fs::write(folder.join("known.json"), output.stdout).unwrap();
    let output = scx_lint(&folder, &[&["--baseline", "known.json"], &arguments[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    // Another question is new.
    let output = scx_lint(
        &folder,
        &["--baseline", "known.json", "--kernel", "7.3", "--fail-on", "undecided", &self::object(KNOB)],
    );
    assert_eq!(output.status.code(), Some(1));
}
