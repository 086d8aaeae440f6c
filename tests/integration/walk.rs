//! The verifier's walk on fixtures: what each kernel says of a program, where, and after how many instructions.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::{fixture_objects, name, root};

/// The rows of an object's programs on some kernels, by the kernel's name and the program's.
fn rows(fixture: &str, kernels: &str) -> BTreeMap<(String, String), Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_scx-lint"))
        .args(["--no-config", "--format", "json", "--loader", "plain", "--kernel", kernels])
        .arg(root().join(format!("fixtures/obj/clang-19/{fixture}.bpf.o")))
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kernel = |row: &Value| document["kernels"][row["kernel"].as_u64().unwrap() as usize]["name"].clone();
    let rows = document["programs_on"].as_array().unwrap().iter();
    rows.map(|row| {
        let text = |value: Value| value.as_str().unwrap().to_owned();
        ((text(kernel(row)), text(row["program"].clone())), row.clone())
    })
    .collect()
}

/// A refusal: the kernels that say so, and the instruction, its function where that is another, and how many were processed.
struct Refused {
    fixture: &'static str,
    program: &'static str,
    kernels: &'static str,
    errno: &'static str,
    message: &'static str,
    function: Option<&'static str>,
    insn: u64,
    insns: u64,
}

impl Refused {
    const fn in_function(self, function: &'static str) -> Self {
        Self { function: Some(function), ..self }
    }
}

/// A row of the table below.
const fn refused(
    fixture: &'static str,
    program: &'static str,
    kernels: &'static str,
    errno: &'static str,
    message: &'static str,
    (insn, insns): (u64, u64),
) -> Refused {
    Refused { fixture, program, kernels, errno, message, function: None, insn, insns }
}

/// The newest kernel, one of before registers were named in messages, and the oldest.
const ALL: &str = "7.3,7.1,6.12";

#[rustfmt::skip]
const REFUSED: &[Refused] = &[
];

#[test]
fn programs_are_refused_with_the_kernels_words() {
    for row in REFUSED {
        let found = rows(row.fixture, row.kernels);
        for kernel in row.kernels.split(',') {
            let found = &found[&(kernel.to_owned(), row.program.to_owned())];
            let at = format!("{} {} on {kernel}: {found}", row.fixture, row.program);
            assert_eq!(found["load"], "fail", "{at}");
            assert_eq!(found["errno"], row.errno, "{at}");
            assert_eq!(found["message"], row.message, "{at}");
            assert_eq!(found["function"], row.function.unwrap_or(row.program), "{at}");
            assert_eq!((&found["insn"], &found["insns"]), (&row.insn.into(), &row.insns.into()), "{at}");
            assert!(found["location"]["line"].is_u64(), "{at}");
        }
    }
}

/// Programs that are accepted, with the instructions that are processed on kernels that agree in that.
const ACCEPTED: &[(&str, &str, &str, u64)] = &[
];

#[test]
fn near_misses_are_accepted() {
    for (fixture, program, kernels, insns) in ACCEPTED {
        let found = rows(fixture, kernels);
        for kernel in kernels.split(',') {
            let found = &found[&(kernel.to_string(), program.to_string())];
            assert_eq!(found["load"], "pass", "{fixture} {program} on {kernel}: {found}");
            assert_eq!(found["insns"], *insns, "{fixture} {program} on {kernel}: {found}");
            assert!(found["message"].is_null() && found["reason"].is_null(), "{found}");
        }
    }
}

#[test]
fn what_is_not_walked_to_its_end_says_why() {
    let mut unknown = 0;
    for path in fixture_objects().iter().filter(|path| name(path).starts_with("good__")) {
        for row in rows(name(path).trim_end_matches(".bpf.o"), "7.3,6.18").values() {
            assert_ne!(row["load"], "fail", "{}: {row}", path.display());
            if row["load"] == "unknown" {
                assert!(row["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{row}");
                unknown += 1;
            }
        }
    }
    let gone = rows("unusable-jump-table__used", "7.3");
    assert!(unknown + gone.len() > 0);
}
