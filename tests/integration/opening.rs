//! What libbpf would build, out of objects built in memory.

use scx_lint::object::{Cause, Form, FuncIdx, MapOrigin, MapType, Object, ProgramKind};

use super::builder::{ARENA, ARRAY, FunctionSpec, MMAPABLE, MapSpec, Spec};

fn function(maps: &[usize], calls: &[usize]) -> FunctionSpec {
    FunctionSpec { maps: maps.to_vec(), calls: calls.to_vec() }
}

/// A cpu-form scheduler with four arrays.
fn spec(programs: Vec<FunctionSpec>, subprograms: Vec<FunctionSpec>) -> Spec {
    let maps = vec![MapSpec { map_type: ARRAY, flags: 0 }; 4];
    Spec { ops_type: "sched_ext_ops", maps, programs, outsider: None, subprograms }
}

fn program(object: &Object<'_>, name: &str) -> FuncIdx {
    object.programs().find(|(_, function, _)| function.name == name).unwrap().0
}

fn maps(object: &Object<'_>, name: &str) -> Vec<String> {
    object.maps_of(program(object, name)).iter().map(|used| object[used.map].name.to_string()).collect()
}

fn linked(object: &Object<'_>, name: &str) -> Vec<String> {
    object.code_of(program(object, name)).skip(1).map(|(_, function)| function.name.to_string()).collect()
}

#[test]
fn maps_come_in_order_of_first_use_and_once() {
    let data = spec(vec![function(&[2, 0, 2, 1], &[]), function(&[], &[])], vec![]).build();
    let object = Object::open(&data, "order.bpf.o").unwrap();
    assert!(object.refusals.is_empty(), "{:?}", object.refusals);
    assert_eq!(maps(&object, "op0"), ["map2", "map0", "map1"]);
    assert!(maps(&object, "op1").is_empty());
    let uses = object.maps_of(program(&object, "op0"));
    // Each load takes two slots.
    assert_eq!(uses.iter().map(|used| used.insn.0).collect::<Vec<_>>(), [0, 2, 6]);
}

#[test]
fn subprograms_are_appended_in_the_order_of_their_first_call() {
    // op0 calls 3, then 0; 3 calls 1; 1 calls 3 again, which is there already.
    let subprograms =
        vec![function(&[0], &[]), function(&[1], &[3]), function(&[2], &[]), function(&[3], &[1])];
    let data = spec(vec![function(&[], &[3, 0]), function(&[0], &[2])], subprograms).build();
    let object = Object::open(&data, "calls.bpf.o").unwrap();
    assert_eq!(linked(&object, "op0"), ["sub3", "sub1", "sub0"]);
    assert_eq!(maps(&object, "op0"), ["map3", "map1", "map0"]);
    assert_eq!(linked(&object, "op1"), ["sub2"]);
    assert_eq!(maps(&object, "op1"), ["map0", "map2"]);
    let inner = object.maps_of(program(&object, "op0"))[1];
    assert_eq!(object[inner.function].name, "sub1");
}

#[test]
fn recursion_ends() {
    let data = spec(vec![function(&[], &[0])], vec![function(&[0], &[0, 1]), function(&[1], &[0])]).build();
    let object = Object::open(&data, "loop.bpf.o").unwrap();
    assert_eq!(linked(&object, "op0"), ["sub0", "sub1"]);
}

#[test]
fn members_programs_and_kinds() {
    let mut spec = spec(vec![function(&[], &[]), function(&[], &[])], vec![]);
    spec.ops_type = "sched_ext_ops_cid";
    spec.outsider = Some(function(&[1], &[]));
    let data = spec.build();
    let object = Object::open(&data, "some.where.bpf.o").unwrap();
    assert_eq!((&*object.name, &*object.license), ("some", "GPL"));
    let ops = &object.struct_ops[0];
    assert_eq!((ops.form(), ops.link, ops.type_name.as_str()), (Form::Cid, true, "sched_ext_ops_cid"));
    let callbacks: Vec<_> =
        ops.callbacks().map(|(member, program)| (member, &*object[program].name)).collect();
    assert_eq!(callbacks, [("op0", "op0"), ("op1", "op1")]);
    assert!(ops.member("op0").unwrap().pointer && !ops.member("name").unwrap().pointer);
    let kind =
        |name: &str| object[program(&object, name)].entry.as_ref().map(|entry| (entry.kind, entry.sleepable));
    assert_eq!(kind("op0"), Some((ProgramKind::STRUCT_OPS, false)));
    assert_eq!(kind("outsider"), Some((ProgramKind::SYSCALL, true)));
}

#[test]
fn definitions_are_read_from_types() {
    let mut spec = spec(vec![function(&[0], &[])], vec![]);
    spec.maps = vec![MapSpec { map_type: ARENA, flags: MMAPABLE }, MapSpec { map_type: ARRAY, flags: 3 }];
    let data = spec.build();
    let object = Object::open(&data, "maps.bpf.o").unwrap();
    let seen: Vec<_> = object
        .maps
        .iter()
        .map(|map| {
            (&*map.name, map.origin, map.map_type, map.flags, map.key_size, map.value_size, map.max_entries)
        })
        .collect();
    assert_eq!(seen[0], ("map0", MapOrigin::Declared, MapType::ARENA, MMAPABLE, 0, 0, 16));
    assert_eq!(seen[1], ("map1", MapOrigin::Declared, MapType::ARRAY, 3, 4, 8, 16));
    assert_eq!((seen[2].0, seen[2].1), ("demo_ops", MapOrigin::StructOps));
}

#[test]
fn a_second_arena_is_refused_in_libbpfs_words_and_reading_goes_on() {
    let mut spec = spec(vec![function(&[1], &[])], vec![]);
    spec.maps = vec![MapSpec { map_type: ARENA, flags: MMAPABLE }; 2];
    let data = spec.build();
    let object = Object::open(&data, "two.bpf.o").unwrap();
    let refusals: Vec<_> =
        object.refusals.iter().map(|refusal| (refusal.cause, refusal.text.as_str())).collect();
    let words = "map 'map1': only single ARENA map is supported (map 'map0' is also ARENA)";
    assert_eq!(refusals, [(Cause::SeveralArenas, words)]);
    assert_eq!(maps(&object, "op0"), ["map1"]);
}
