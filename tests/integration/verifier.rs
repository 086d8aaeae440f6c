//! What kernels' verifiers said of fixtures, read as live mode reads it.

use std::fs;

use scx_lint::object::Object;
use scx_lint::verifier::log::{self, Diagnostic};

use super::root;

/// The gist of a recorded log, located in the fixture that it is about.
fn read(name: &str) -> Diagnostic {
    let folder = root().join("tests/data/verifier");
    let text = fs::read_to_string(folder.join(format!("{name}.log"))).unwrap();
    let (program, log) = text.split_once('\n').unwrap();
    let (fixture, _) = name.split_once('@').unwrap();
    let data = fs::read(root().join(format!("fixtures/obj/clang-19/{fixture}.bpf.o"))).unwrap();
    let mut found = log::parse(program, log);
    log::locate(&mut found, &Object::open(&data, fixture).unwrap());
    found
}

#[test]
fn recorded_logs_give_message_function_and_line() {
    let expected = [
        (
            "nullable-argument-dereference__dispatch@6.18.15",
            "R1 invalid mem access 'trusted_ptr_or_null_'",
            Some(("demo_dispatch", 9)),
        ),
        (
            "nullable-argument-dereference__dispatch@7.3.4",
            "R1 invalid mem access 'trusted_ptr_or_null_'",
            Some(("demo_dispatch", 9)),
        ),
        (
            "nullable-result-dereference__fires@7.3.4",
            "R0 invalid mem access 'rcu_ptr_or_null_'",
            Some(("demo_running", 10)),
        ),
        ("live__scalar_in_subprogram@6.18.15", "R1 invalid mem access 'scalar'", Some(("follow", 9))),
        ("live__scalar_in_subprogram@7.3.4", "R1 invalid mem access 'scalar'", Some(("follow", 9))),
        (
            "disallowed-helper__d_path@7.3.4",
            "program of this type cannot use helper bpf_d_path#147",
            Some(("demo_running", 10)),
        ),
        (
            "invalid-context-access__write@7.3.4",
            "invalid bpf_context access off=8 size=8",
            Some(("demo_enqueue", 8)),
        ),
        (
            "kfunc-outside-its-ops__running@7.3.4",
            "calling kernel function scx_bpf_reenqueue_local is not allowed",
            Some(("demo_running", 8)),
        ),
        // This kernel gives the instruction and not a word.
        ("direct-task-write__pid@6.18.15", "", Some(("demo_running", 8))),
        ("deep-call-chain__9@6.18.15", "the call stack of 9 frames is too deep", Some(("f1", 13))),
        (
            "stack-overflow__frame@6.18.15",
            "invalid write to stack R10 off=-520 size=8",
            Some(("demo_running", 8)),
        ),
        // What is found before the walk has no instruction.
        ("stack-overflow__chain@7.3.4", "combined stack size of 2 calls is 544. Too large", None),
        (
            "sleepable-map-use__perf@6.18.15",
            "Sleepable programs can only use array, hash, ringbuf and local storage maps",
            None,
        ),
    ];
    let files = fs::read_dir(root().join("tests/data/verifier")).unwrap().count();
    assert_eq!(files, expected.len(), "every log is expected to say something");
    for (name, message, place) in expected {
        let found = read(name);
        assert_eq!(found.message, message, "{name}");
        let seen = found.function.as_deref().zip(found.line);
        assert_eq!(seen, place, "{name}");
        // The line is the object's own, with a column that no log has.
        assert_eq!(found.column.is_some(), place.is_some(), "{name}");
        if let Some(culprit) = found.culprit() {
            assert!(!culprit.value.is_empty(), "{name}");
        }
    }
    let newest = read("live__scalar_in_subprogram@7.3.4");
    assert_eq!(newest.culprit().unwrap().value, "scalar(id=3)", "of the callee's frame");
    assert!(newest.detail.iter().any(|line| line == "Suggestion:"), "{:?}", newest.detail);
}

/// The format is no interface: whatever comes is read, and what is kept comes out of the log. What `fuzz` looks for at length.
#[test]
fn mangled_logs_are_read_too() {
    let data = fs::read(root().join("fixtures/obj/clang-19/live__scalar_in_subprogram.bpf.o")).unwrap();
    let object = Object::open(&data, "fuzz.bpf.o").unwrap();
    let logs: Vec<Vec<u8>> = fs::read_dir(root().join("tests/data/verifier"))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let mut random = fastrand::Rng::with_seed(0x10f);
    for _ in 0..20_000 {
        let mut log = random.choice(&logs).unwrap().clone();
        for _ in 0..random.usize(1..20) {
            let at = random.usize(..log.len());
            match random.u8(..4) {
                0 => log[at] = random.u8(..),
                1 => log[at] = *random.choice(b":;@ ()[]=_0\n").unwrap(),
                2 => drop(log.drain(at..log.len().min(at + random.usize(1..40)))),
                _ => log.extend_from_within(at..),
            }
            log.truncate(16 << 10);
            if log.is_empty() {
                break;
            }
        }
        let text = String::from_utf8_lossy(&log);
        let mut found = log::parse("demo_running", &text);
        let lines: usize = found.detail.iter().chain(&found.instructions).map(String::len).sum();
        let states: usize = found.registers.iter().map(|state| state.name.len() + state.value.len()).sum();
        assert!(lines + states <= 2 * text.len());
        log::locate(&mut found, &object);
        assert_ne!(found.line, Some(0));
        assert_eq!(found.function.is_some(), found.function_insn.is_some());
    }
}
