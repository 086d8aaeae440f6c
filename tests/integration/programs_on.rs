//! JSON's `programs_on`: what becomes of each program on each kernel, loaded alone with the maps of its object.

use std::path::Path;
use std::process::Command;

use scx_lint::report::SCHEMA;
use serde_json::Value;

use super::{corpus_objects, root};

/// The report on a fixture.
fn report(fixture: &str, arguments: &[&str]) -> Value {
    report_on(&root().join(format!("fixtures/obj/clang-19/{fixture}.bpf.o")), arguments)
}

/// The report on an object; it fits the schema.
fn report_on(object: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_scx-lint"))
        .args(["--no-config", "--format", "json", "--loader", "plain"])
        .args(arguments)
        .arg(object)
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let errors: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{}: {errors:?}", object.display());
    document
}

/// The rows of a fixture on some kernels.
fn rows(fixture: &str, kernels: &str) -> Vec<Value> {
    report(fixture, &["--kernel", kernels])["programs_on"].as_array().unwrap().clone()
}

/// The row of a program on the only kernel that is named.
fn row(fixture: &str, kernel: &str, program: &str) -> Value {
    let rows = rows(fixture, kernel);
    let found = rows.iter().find(|row| row["program"] == program);
    found.unwrap_or_else(|| panic!("{fixture}: {program} is not among {rows:?}")).clone()
}

#[test]
fn there_is_a_row_for_each_program_and_kernel() {
    let document = report("good__realistic_cpu", &["--kernel", "7.2,7.3"]);
    let rows = document["programs_on"].as_array().unwrap();
    let programs = document["objects"][0]["programs"].as_array().unwrap();
    assert_eq!(rows.len(), 2 * programs.len());
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(row["object"], 0);
        assert_eq!(row["kernel"], number / programs.len());
        assert_eq!(row["program"], programs[number % programs.len()]["name"]);
        assert_ne!(row["load"], "fail", "{row}");
        if row["load"] == "unknown" {
            assert!(row["reason"].is_string() && row["insns"].is_null(), "{row}");
        } else {
            assert!(row["reason"].is_null() && row["insns"].as_u64() > Some(0), "{row}");
        }
    }
}

#[test]
fn without_a_kernel_there_is_none() {
    assert_eq!(report("good__realistic_cid", &[])["programs_on"], Value::Array(Vec::new()));
}

#[test]
fn an_extern_that_is_missing_keeps_every_program_from_loading() {
    for row in rows("missing-kfunc__consume", "7.3") {
        assert_eq!((&row["load"], &row["errno"]), (&"fail".into(), &"EINVAL".into()));
        assert_eq!(
            row["message"],
            "extern (func ksym) 'scx_bpf_consume': not found in kernel or module BTFs"
        );
        assert!(row["insn"].is_null() && row["location"]["line"].is_u64(), "{row}");
    }
    assert!(rows("missing-kfunc__consume", "6.12").iter().all(|row| row["load"] != "fail"));
}

#[test]
fn what_the_verifier_refuses_has_its_instruction() {
    let refused = row("nullable-argument-dereference__dispatch", "7.3", "demo_dispatch");
    assert_eq!((&refused["load"], &refused["errno"]), (&"fail".into(), &"EACCES".into()));
    assert_eq!(refused["function"], "demo_dispatch");
    assert!(refused["insn"].is_u64(), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("invalid mem access"), "{refused}");
    assert!(refused["location"]["text"].is_string(), "{refused}");
}

#[test]
fn a_program_that_stays_off_is_asked_all_the_same() {
    let document = report("missing-attach-target__near_off", &["--kernel", "7.3"]);
    assert_eq!(document["verdicts"][0]["load"], "pass");
    let rows = document["programs_on"].as_array().unwrap();
    let off: Vec<&Value> = rows.iter().filter(|row| row["autoload"] == false).collect();
    assert!(!off.is_empty());
    for row in off {
        assert_eq!(row["load"], "fail", "{row}");
        assert!(row["message"].as_str().unwrap().contains("failed to find kernel BTF type ID"), "{row}");
    }
    assert!(rows.iter().filter(|row| row["autoload"] == true).all(|row| row["load"] != "fail"));
}

#[test]
fn a_member_that_the_kernel_lacks_is_its_own_programs() {
    let told = "struct_ops init_kern demo_ops: Cannot find member cgroup_set_idle in kernel BTF";
    let refused = row("unknown-ops-member__callback", "6.16", "demo_set_idle");
    assert_eq!((&refused["message"], &refused["autoload"]), (&told.into(), &true.into()));
    // scx_qmap of 7.3 has members that 7.2 lacks, and others.
    let Some(qmap) = corpus_objects().into_iter().find(|path| path.ends_with("scx_qmap.bpf.o")) else {
        return;
    };
    let rows = report_on(&qmap, &["--kernel", "7.2"])["programs_on"].clone();
    let lacking =
        |row: &&Value| row["message"].as_str().is_some_and(|told| told.contains("Cannot find member"));
    for row in rows.as_array().unwrap().iter().filter(lacking) {
        let member = row["program"].as_str().unwrap().strip_prefix("qmap_").unwrap();
        assert!(row["message"].as_str().unwrap().contains(&format!("Cannot find member {member} ")), "{row}");
    }
}

#[test]
fn levels_and_allows_change_no_row() {
    let fixture = "nullable-argument-dereference__dispatch";
    let plain = report(fixture, &["--kernel", "7.3"]);
    let allowed = report(fixture, &["--kernel", "7.3", "-A", "nullable-argument-dereference"]);
    assert_ne!(plain["findings"], allowed["findings"]);
    assert_eq!(plain["programs_on"], allowed["programs_on"]);
}

#[test]
fn rows_of_several_objects_point_to_theirs() {
    let other = root().join("fixtures/obj/clang-19/missing-kfunc__consume.bpf.o");
    let document = report("good__realistic_cid", &["--kernel", "7.3", other.to_str().unwrap()]);
    let objects = document["objects"].as_array().unwrap();
    for row in document["programs_on"].as_array().unwrap() {
        let object = &objects[usize::try_from(row["object"].as_u64().unwrap()).unwrap()];
        let names = object["programs"].as_array().unwrap();
        assert!(names.iter().any(|program| program["name"] == row["program"]), "{row}");
    }
}

/// What `scx-lint-oracle differ` found: the kernel looks at addresses in values before it walks, reached or not.
#[test]
fn an_address_outside_a_value_is_refused_before_the_walk() {
    let base = std::fs::read(root().join("fixtures/obj/clang-19/live__good.bpf.o")).unwrap();
    let load = [0x18, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x79, 0x12];
    let at = base.windows(load.len()).position(|bytes| bytes == load).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutant.bpf.o");
    let cases = [
        (8, "7.3", "invalid access to map value pointer, value_size=8 off=8"),
        (u32::MAX, "7.3", "invalid access to map value pointer, value_size=8 off=4294967295"),
        (u32::MAX, "6.18", "direct value offset of 4294967295 is not allowed"),
    ];
    for (value, kernel, message) in cases {
        let mut mutant = base.clone();
        mutant[at + 4..at + 8].copy_from_slice(&value.to_le_bytes());
        std::fs::write(&path, mutant).unwrap();
        let row = report_on(&path, &["--kernel", kernel])["programs_on"][0].clone();
        assert_eq!((&row["load"], &row["errno"]), (&"fail".into(), &"EINVAL".into()), "{row}");
        assert_eq!(row["message"], message);
    }
}
