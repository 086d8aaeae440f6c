//! Compiled programs with one questioned place each (`testdata/reach.bpf.c`); the oracle's tests ask a kernel the same.

use super::*;

const OBJECT: &[u8] = include_bytes!("testdata/reach.bpf.o");

/// What the name of a program expects.
fn expected(name: &str) -> Reached {
    match name.rsplit_once("__").map(|(_, word)| word) {
        Some("never") => Reached::Never,
        Some("certain") => Reached::Certain,
        Some("possible") => Reached::Possible,
        other => panic!("{name}: {other:?}"),
    }
}

/// The most that is said of a call to helper #9999 in a program.
fn questioned(object: &Object<'_>, program: FuncIdx, reach: &Reach) -> Option<Reached> {
    let calls = object.code_of(program).flat_map(|(function, code)| {
        code.code.insns().filter(|(_, insn)| insn.helper() == Some(9999)).map(move |(at, _)| (function, InsnIdx(at)))
    });
    calls.map(|(function, at)| reach.at(function, at)).max()
}

#[test]
fn programs_are_walked_as_their_names_say() {
    let object = Object::open(OBJECT, "reach.bpf.o").unwrap();
    assert!(object.refusals.is_empty(), "{:?}", object.refusals);
    let knowledge = Knowledge::default();
    let analysis = Analysis::new(&object, &knowledge);
    let mut wrong = Vec::new();
    for (program, function, _) in object.programs() {
        let reach = analysis.program(program);
        let got = questioned(&object, program, &reach).unwrap();
        if got != expected(&function.name) || !reach.is_exhaustive() {
            wrong.push(format!("{}: {got:?}", function.name));
        }
    }
    assert!(object.programs().count() > 50);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
