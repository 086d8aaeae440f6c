//! Compiled programs with one questioned place each (`testdata/reach.bpf.c`); the oracle's tests ask a kernel the same.

use std::collections::HashMap;

use super::*;
use crate::load::{CoreFact, Edit, ExternFact, Knowledge};
use crate::object::{FuncIdx, InsnIdx, MapIdx, MapOrigin, Object};

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
        code.code
            .insns()
            .filter(|(_, insn)| insn.helper() == Some(9999))
            .map(move |(at, _)| (function, InsnIdx(at)))
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
        let got = questioned(&object, program, reach).unwrap();
        if got != expected(&function.name) || !reach.is_exhaustive() {
            wrong.push(format!("{}: {got:?}", function.name));
        }
    }
    assert!(object.programs().count() > 50);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is said of the questioned place of one program.
fn with(name: &str, knowledge: impl Fn(&Object<'_>, FuncIdx) -> Knowledge) -> Reached {
    let object = Object::open(include_bytes!("testdata/knowledge.bpf.o"), "knowledge.bpf.o").unwrap();
    assert!(object.refusals.is_empty(), "{:?}", object.refusals);
    let (program, ..) = object.programs().find(|(_, function, _)| function.name == name).unwrap();
    let knowledge = knowledge(&object, program);
    questioned(&object, program, &Reach::of(&object, program, &knowledge)).unwrap()
}

fn nothing(_: &Object<'_>, _: FuncIdx) -> Knowledge {
    Knowledge::default()
}

fn externs(fact: ExternFact) -> impl Fn(&Object<'_>, FuncIdx) -> Knowledge {
    move |object, _| Knowledge { externs: vec![fact.clone(); object.externs.len()], ..Knowledge::default() }
}

#[test]
fn weak_externs_decide_their_tests() {
    use Reached::{Certain, Never, Possible};
    for (name, unknown, resolved, null) in [
        ("kfunc_there", Possible, Certain, Never),
        ("kfunc_missing", Possible, Never, Certain),
        ("kfunc_called", Certain, Certain, Possible),
        ("variable_there", Possible, Certain, Never),
    ] {
        assert_eq!(with(name, nothing), unknown, "{name}");
        assert_eq!(with(name, externs(ExternFact::Resolved)), resolved, "{name}");
        assert_eq!(with(name, externs(ExternFact::Null)), null, "{name}");
    }
}

#[test]
fn configuration_values_are_constants() {
    let version = |value: u32| externs(ExternFact::Value(value.to_le_bytes().to_vec()));
    assert_eq!(with("new_kernel", nothing), Reached::Possible);
    assert_eq!(with("new_kernel", version(0x6_1200)), Reached::Certain);
    assert_eq!(with("new_kernel", version(0x6_0c00)), Reached::Never);
    assert_eq!(with("new_kernel", externs(ExternFact::Value(Vec::new()))), Reached::Possible);
}

/// Gives every CO-RE record of the program that fact.
fn core(fact: CoreFact) -> impl Fn(&Object<'_>, FuncIdx) -> Knowledge {
    move |object, program| {
        let (function, btf, ext) =
            (&object[program], object.btf.as_ref().unwrap(), object.ext.as_ref().unwrap());
        let records = ext.core_relos(btf, &function.section_name).map(|record| record.insn_off as usize / 8);
        let own = records
            .filter_map(|slot| slot.checked_sub(function.start).filter(|&at| at < function.code.len()));
        let core: HashMap<_, _> = own.map(|at| ((program, InsnIdx(at)), fact)).collect();
        assert!(!core.is_empty());
        Knowledge { core, ..Knowledge::default() }
    }
}

#[test]
fn core_results_stand_in_the_code() {
    assert_eq!(with("field_exists", nothing), Reached::Possible);
    assert_eq!(with("field_exists", core(CoreFact::Value(1))), Reached::Certain);
    assert_eq!(with("field_exists", core(CoreFact::Value(0))), Reached::Never);
    assert_eq!(with("field_read", nothing), Reached::Certain);
    assert_eq!(with("field_read", core(CoreFact::Value(32))), Reached::Certain);
    assert_eq!(with("field_read", core(CoreFact::Poison)), Reached::Possible);
}

#[test]
fn the_loader_edits_constants() {
    let edit = |bytes: Option<[u8; 4]>| {
        move |object: &Object<'_>, _| {
            let map = object.maps.iter().position(|map| map.origin == MapOrigin::Rodata).unwrap();
            let bytes = bytes.map(Vec::from);
            Knowledge {
                rodata: vec![Edit { map: MapIdx(map), start: 0, len: 4, bytes }],
                ..Knowledge::default()
            }
        }
    };
    assert_eq!(with("knob_set", nothing), Reached::Never);
    assert_eq!(with("knob_set", edit(Some([2, 0, 0, 0]))), Reached::Certain);
    assert_eq!(with("knob_set", edit(None)), Reached::Possible);
    assert_eq!(with("map_used", nothing), Reached::Certain);
}
