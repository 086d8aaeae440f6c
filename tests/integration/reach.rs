//! What the verifier walks: recorded outcomes of real kernels, and programs made to be hard.

use std::time::{Duration, Instant};

use object::write::{Object as Writer, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use scx_lint::insn::Op;
use scx_lint::kernel::{Kernel, target};
use scx_lint::load::{ExternFact, Knowledge, Load, Loader};
use scx_lint::object::{FuncIdx, InsnIdx, MapType, Object};
use scx_lint::verifier::reach::{Analysis, Answers, Reached};

use super::{corpus_objects, name};

/// The most that is said of the instructions of the object's callbacks that are wanted.
fn most(
    object: &Object<'_>,
    knowledge: &Knowledge,
    wanted: impl Fn(&Object<'_>, FuncIdx, InsnIdx) -> bool,
) -> Option<Reached> {
    let analysis = Analysis::new(object, knowledge);
    let mut most = None;
    for (program, ..) in object.programs() {
        for (function, code) in object.code_of(program) {
            for (at, _) in code.code.insns().filter(|(at, _)| wanted(object, function, InsnIdx(*at))) {
                most = most.max(Some(analysis.program(program).at(function, InsnIdx(at))));
            }
        }
    }
    most
}

fn calls_kfunc(kfunc: &'static str) -> impl Fn(&Object<'_>, FuncIdx, InsnIdx) -> bool {
    move |object, function, at| {
        object[function].refs.iter().any(|reference| {
            let scx_lint::object::Referent::Extern(index) = reference.target else { return false };
            reference.insn == at
                && object[index].name == kfunc
                && object[function].code.get(at.0).unwrap().is_call()
        })
    }
}

/// Where recorded objects are at hand: kernels refused what is certain, and took what is never walked.
#[test]
fn recorded_objects_are_walked_as_kernels_walked_them() {
    let is_cast = |object: &Object<'_>, function: FuncIdx, at: InsnIdx| {
        object[function].code.get(at.0).is_some_and(|insn| matches!(insn.op(), Op::AddrSpaceCast { .. }))
    };
    let names_arena = |object: &Object<'_>, function: FuncIdx, at: InsnIdx| {
        object[function].refs.iter().any(|reference| match reference.target {
            scx_lint::object::Referent::Map(map) => {
                reference.insn == at && object[map].map_type == MapType::ARENA
            }
            _ => false,
        })
    };
    let mut seen = 0;
    for path in corpus_objects() {
        let data = std::fs::read(&path).unwrap();
        let open = || Object::open(&data, &name(&path)).unwrap();
        let plain = Knowledge::default();
        let missing = |object: &Object<'_>| Knowledge {
            externs: vec![ExternFact::Null; object.externs.len()],
            ..Knowledge::default()
        };
        let (got, expected) = match name(&path).as_str() {
            "probe_cpu_cast_noarena.bpf.o" => (most(&open(), &plain, is_cast), Reached::Certain),
            "probe_always_cast_noarena_prog.bpf.o" => (most(&open(), &plain, is_cast), Reached::Certain),
            "probe_cid_kfunc_cpu_only_dead.bpf.o" => {
                (most(&open(), &plain, calls_kfunc("scx_bpf_kick_cpu")), Reached::Never)
            }
            "probe_cid_kfunc_cpu_only.bpf.o" => {
                (most(&open(), &plain, calls_kfunc("scx_bpf_kick_cpu")), Reached::Certain)
            }
            "probe_cid_kfunc_cpu_only_subprog.bpf.o" => {
                (most(&open(), &plain, calls_kfunc("scx_bpf_kick_cpu")), Reached::Certain)
            }
            "probe_kf_strong_missing_dead.bpf.o" => {
                (most(&open(), &plain, calls_kfunc("no_such_kfunc_anywhere")), Reached::Never)
            }
            "probe_cid_arena_ksym_dead.bpf.o" => {
                let object = open();
                (most(&object, &missing(&object), names_arena), Reached::Never)
            }
            "probe_kf_dsq_insert_in_running_dead.bpf.o" => {
                let object = open();
                let (running, ..) =
                    object.programs().find(|(_, function, _)| function.name == "pr_running").unwrap();
                let analysis = Analysis::new(&object, &plain);
                let calls = calls_kfunc("scx_bpf_dsq_insert");
                let (at, _) = object[running]
                    .code
                    .insns()
                    .find(|(at, _)| calls(&object, running, InsnIdx(*at)))
                    .unwrap();
                (Some(analysis.program(running).at(running, InsnIdx(at))), Reached::Never)
            }
            _ => continue,
        };
        assert_eq!(got, Some(expected), "{}", name(&path));
        seen += 1;
    }
    assert!(seen == 8 || corpus_objects().is_empty(), "{seen} of the recorded objects");
}

/// A program of nothing but these instructions, in a section of its own; the first is repeated.
fn program(repeated: &[[u8; 8]], times: usize, end: &[[u8; 8]]) -> Vec<u8> {
    let mut writer = Writer::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let section = writer.add_section(Vec::new(), b"syscall".to_vec(), SectionKind::Text);
    let mut code = repeated.as_flattened().repeat(times);
    code.extend_from_slice(end.as_flattened());
    let size = code.len() as u64;
    writer.append_section_data(section, &code, 8);
    writer.add_symbol(Symbol {
        name: b"hard".to_vec(),
        value: 0,
        size,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    writer.write().unwrap()
}

const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; 8] {
    let (off, imm) = (off.to_le_bytes(), imm.to_le_bytes());
    [code, src << 4 | dst, off[0], off[1], imm[0], imm[1], imm[2], imm[3]]
}

#[test]
fn a_million_instructions_are_judged_in_bounded_time() {
    let load = insn(0x79, 2, 1, 0, 0);
    let hard: &[(&str, &[[u8; 8]], usize)] = &[
        ("straight", &[insn(0x07, 0, 0, 0, 1)], 1_000_000),
        ("branches", &[load, insn(0x15, 2, 0, 1, 5), insn(0x07, 0, 0, 0, 1)], 333_000),
        (
            "diamonds",
            &[load, insn(0x15, 2, 0, 1, 5), insn(0xb7, 3, 0, 0, 1), insn(0x7b, 10, 2, -8, 0)],
            10_000,
        ),
        ("spills", &[load, insn(0x7b, 10, 2, -512, 0), insn(0x55, 2, 0, 0, 5)], 20_000),
        ("loops", &[insn(0xb7, 4, 0, 0, 0), insn(0x07, 4, 0, 0, 1), insn(0xa5, 4, 0, -2, i32::MAX)], 20_000),
        ("backwards", &[load, insn(0x15, 2, 0, -2, 5)], 100_000),
        ("maybe", &[insn(0xe5, 0, 0, -1, 0)], 100_000),
        ("self calls", &[insn(0x85, 0, 1, 0, -1)], 1000),
    ];
    for (what, repeated, times) in hard {
        let bytes = program(repeated, *times, &[insn(0xb7, 0, 0, 0, 0), EXIT]);
        let object = Object::open(&bytes, "hard.bpf.o").unwrap();
        let knowledge = Knowledge::default();
        let start = Instant::now();
        let analysis = Analysis::new(&object, &knowledge);
        let reach = analysis.program(FuncIdx(0));
        let took = start.elapsed();
        println!(
            "{what}: {} slots, {took:?}, {:?}",
            object[FuncIdx(0)].code.len(),
            reach.at(FuncIdx(0), InsnIdx(0))
        );
        assert_eq!(reach.at(FuncIdx(0), InsnIdx(0)), Reached::Certain, "{what}");
        assert!(took < Duration::from_secs(20), "{what}: {took:?}");
    }
}

/// Opcodes that compilers emit.
const COMMON: [u8; 18] = [
    0x18, 0x61, 0x79, 0x7b, 0x63, 0xdb, 0x07, 0x0f, 0xbf, 0x87, 0x05, 0x85, 0x15, 0x5d, 0x1e, 0xb7, 0x67,
    0xc7,
];

#[test]
fn garbage_is_judged_without_harm() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2000 {
        let len = random.usize(1..60);
        let code: Vec<[u8; 8]> = (0..len)
            .map(|_| {
                let code = COMMON[random.usize(..COMMON.len())];
                let off = random.i16(-20..20);
                let register = |random: &mut fastrand::Rng| random.u8(0..16);
                let (dst, src) = (register(&mut random), register(&mut random));
                insn(
                    if random.u8(0..10) == 0 { random.u8(..) } else { code },
                    dst,
                    src,
                    off,
                    random.i32(-70..70),
                )
            })
            .collect();
        let bytes = program(&code, 1, &[EXIT]);
        let object = Object::open(&bytes, "hard.bpf.o").unwrap();
        let knowledge = Knowledge::default();
        let analysis = Analysis::new(&object, &knowledge);
        for (program, function, _) in object.programs() {
            assert_eq!(
                analysis.program(program).at(program, InsnIdx(0)),
                Reached::Certain,
                "{}",
                function.name
            );
        }
    }
}

/// Answers that were found for another kernel are those that would have been found for this one.
#[test]
fn what_is_remembered_is_what_would_be_found() {
    let targets = target::load("all").unwrap();
    let kernels: Vec<Kernel<'_>> = targets.iter().map(|target| Kernel::new(target).unwrap()).collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/obj/clang-19");
    let fixtures = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (mut walked, mut remembered) = (0, 0);
    for path in fixtures.chain(corpus_objects()) {
        let data = std::fs::read(&path).unwrap();
        let Ok(object) = Object::open(&data, &name(&path)) else { continue };
        let memory = Answers::default();
        // Both loaders, as they set different bytes of .rodata.
        for (kernel, loader) in
            kernels.iter().flat_map(|kernel| [(kernel, Loader::Plain), (kernel, Loader::Scx)])
        {
            let knowledge = Load::new(&object, Some(kernel), loader).knowledge();
            let fresh = Analysis::new(&object, &knowledge);
            let other = Analysis::new(&object, &knowledge).remembering(&memory);
            for (program, ..) in object.programs() {
                let (fresh, other) = (fresh.program(program), other.program(program));
                for (function, code) in object.code_of(program) {
                    for (at, _) in code.code.insns() {
                        let at = InsnIdx(at);
                        let of = |reach: &scx_lint::verifier::reach::Reach| {
                            (reach.at(function, at), reach.base(function, at))
                        };
                        assert_eq!(of(fresh), of(other), "{} {} {at:?}", path.display(), kernel.name);
                    }
                }
                walked += 1;
            }
        }
        remembered += memory.len();
    }
    assert!(remembered * 3 < walked, "{remembered} answers for {walked} questions");
}
