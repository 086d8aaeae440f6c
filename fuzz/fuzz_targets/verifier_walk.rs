//! Any bytes as the code of a program, walked as the verifier of a kernel walks it. The first byte picks the object, its program and the
//! kernel; the rest is instructions. What those refer to is found as a loader would have it: a map, an extern or a function of the object,
//! by its number.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use scx_lint::insn::Code;
use scx_lint::kernel::{Kernel, Target, target};
use scx_lint::load::{Load, Loader};
use scx_lint::object::{ExternIdx, FuncIdx, InsnIdx, MapIdx, Object, Ref, Referent};
use scx_lint::verifier::bpf_check::{Outcome, bpf_check};

/// Objects with maps, kfuncs and functions of many kinds.
const OBJECTS: [&[u8]; 5] = [
    include_bytes!("../../fixtures/obj/clang-19/refused-by-verifier__near_paired.bpf.o"),
    include_bytes!("../../fixtures/obj/clang-19/refused-by-verifier__near_functions.bpf.o"),
    include_bytes!("../../fixtures/obj/clang-19/refused-by-verifier__near_tested.bpf.o"),
    include_bytes!("../../fixtures/obj/clang-19/unreleased-reference__near.bpf.o"),
    include_bytes!("../../fixtures/obj/clang-19/kernel-object-write__near_arena.bpf.o"),
];
/// The kernels, the newest first.
const KERNELS: &str = "7.3,7.1,6.12";
/// Instructions of a program.
const LONGEST: usize = 512;
/// Bytes of an instruction.
const SIZE: usize = 8;
/// The kernel's limit.
const LIMIT: u32 = 1_000_001;

fn targets() -> &'static [Target] {
    static TARGETS: OnceLock<Vec<Target>> = OnceLock::new();
    TARGETS.get_or_init(|| target::load(KERNELS).unwrap())
}

thread_local! {
    static FOUND: &'static [Kernel<'static>] =
        Vec::leak(targets().iter().map(|target| Kernel::new(target).unwrap()).collect());
}

/// What an instruction refers to, in place of the loader's number in its immediate.
fn refer(object: &Object<'_>, at: usize, insn: &[u8], refs: &mut Vec<Ref>) {
    let number = usize::from(insn[4]);
    let source = insn[1] >> 4;
    let (maps, externs) = (object.maps.len(), object.externs.len());
    let (target, is_data) = match (insn[0], source) {
        (0x18, 1) if maps > 0 => (Referent::Map(MapIdx(number % maps)), false),
        (0x18, 2) if maps > 0 => (Referent::Map(MapIdx(number % maps)), true),
        (0x18, 3) | (0x85, 2) if externs > 0 => (Referent::Extern(ExternIdx(number % externs)), false),
        _ => return,
    };
    refs.push(Ref { insn: InsnIdx(at), target, value: 0, is_data });
}

fuzz_target!(|data: &[u8]| {
    let Some((&pick, code)) = data.split_first() else { return };
    let code = &code[..(code.len() / SIZE * SIZE).min(LONGEST * SIZE)];
    let pick = usize::from(pick);
    let mut object = Object::open(OBJECTS[pick % OBJECTS.len()], "fuzz.bpf.o").unwrap();
    let programs: Vec<FuncIdx> = object.programs().map(|(program, ..)| program).collect();
    let program = programs[pick / 16 % programs.len()];
    let (mut refs, mut calls, mut wide) = (Vec::new(), Vec::new(), false);
    let linked = object[program].entry.as_ref().map_or(Vec::new(), |entry| entry.linked.clone());
    for (at, insn) in code.chunks_exact(SIZE).enumerate() {
        // The second half of a number is no instruction.
        if std::mem::take(&mut wide) {
            continue;
        }
        wide = insn[0] == 0x18;
        refer(&object, at, insn, &mut refs);
        if matches!((insn[0], insn[1] >> 4), (0x85, 1) | (0x18, 4)) {
            let function = (!linked.is_empty()).then(|| linked[usize::from(insn[4]) % linked.len()]);
            calls.push((InsnIdx(at), function));
        }
    }
    // CO-RE records are of the instructions that were there.
    if pick & 0x80 == 0 {
        object.ext = None;
    }
    let order = object.elf.byte_order;
    let function = &mut object.functions[program.0];
    (function.code, function.refs, function.calls) = (Code::new(code, order), refs, calls);
    let kernels = FOUND.with(|kernels| *kernels);
    let load = Load::new(&object, Some(&kernels[pick % kernels.len()]), Loader::Plain).with_all_programs();
    let found = bpf_check(&load, &load.knowledge(), program).unwrap();
    assert!(found.insns <= LIMIT, "{} instructions", found.insns);
    if let Outcome::Refused(refusal) = &found.outcome {
        let at = refusal.at.map(|(function, insn)| (object[function].code.len(), insn.0));
        assert!(at.is_none_or(|(len, insn)| insn < len), "{refusal:?}");
    }
});
