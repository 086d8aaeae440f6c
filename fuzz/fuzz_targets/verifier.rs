//! The verifier's log of a refused program: the first line names the program, the rest is the log. It is held against an object with
//! subprograms, as if that were what the kernel had refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scx_lint::object::Object;
use scx_lint::verifier::log::{locate, parse};

const DATA: &[u8] = include_bytes!("../../fixtures/obj/clang-19/live__scalar_in_subprogram.bpf.o");

thread_local! {
    static OBJECT: Object<'static> = Object::open(DATA, "fuzz.bpf.o").unwrap();
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (program, log) = text.split_once('\n').unwrap_or(("", &text));
    let mut found = parse(program, log);
    assert_ne!(found.line, Some(0));
    // What is kept comes out of the log: a line once as it is, and the states in it once.
    let lines: usize = found.detail.iter().chain(&found.instructions).map(String::len).sum();
    let states: usize = found.registers.iter().map(|register| register.name.len() + register.value.len()).sum();
    assert!(lines + states <= 2 * log.len());
    assert!(found.culprit().is_none_or(|culprit| found.registers.contains(culprit)));
    OBJECT.with(|object| locate(&mut found, object));
    assert_ne!(found.line, Some(0));
    assert_eq!(found.function.is_some(), found.function_insn.is_some());
});
