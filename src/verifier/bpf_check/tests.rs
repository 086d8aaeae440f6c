//! Programs of a few instructions, each written out, walked on the built-in kernels.
//!
//! They stand in place of a callback of a fixture, whose maps and externs they may refer to.

use std::collections::BTreeMap;

use super::{Outcome, Verification, Why, bpf_check};
use crate::insn::Code;
use crate::kernel::{Kernel, target};
use crate::load::{Load, Loader};
use crate::object::{ExternIdx, InsnIdx, MapIdx, Object, Ref, Referent};

/// An instruction: opcode, destination, source, offset, immediate.
type Slot = (u8, u8, u8, i16, i32);

const ADD: u8 = 0x07;
const AND: u8 = 0x57;
const MOV: u8 = 0xb7;
const MOV_REG: u8 = 0xbf;
const ADD_REG: u8 = 0x0f;
const LOAD: u8 = 0x79;
const LOAD_WORD: u8 = 0x61;
const STORE: u8 = 0x7b;
const STORE_WORD: u8 = 0x63;
const STORE_NUMBER: u8 = 0x7a;
const IF_EQUAL: u8 = 0x15;
const IF_NOT_EQUAL: u8 = 0x55;
const GOTO: u8 = 0x05;
const LOAD_NUMBER: u8 = 0x18;
const CALL: u8 = 0x85;
const EXIT: Slot = (0x95, 0, 0, 0, 0);
/// The second half of a 64-bit immediate.
const HALF: Slot = (0, 0, 0, 0, 0);

/// `rN = map` by its name, a number that [`Program::walk`] resolves.
const fn map(register: u8) -> Slot {
    (LOAD_NUMBER, register, 1, 0, 0)
}

/// A program with what its instructions refer to: a map for each [`map`], an extern for each call of a kfunc, in order.
struct Program<'a> {
    code: &'a [Slot],
    maps: &'a [&'a str],
    kfuncs: &'a [&'a str],
}

impl<'a> Program<'a> {
    fn new(code: &'a [Slot]) -> Self {
        Self { code, maps: &[], kfuncs: &[] }
    }

    /// What becomes of it in place of `stopping(struct task_struct *p, bool runnable)`.
    fn walk(&self, kernel: &str) -> Verification {
        let fixture = "fixtures/obj/clang-19/refused-by-verifier__near_tested.bpf.o";
        let data = std::fs::read(format!("{}/{fixture}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let mut object = Object::open(&data, "near_tested.bpf.o").unwrap();
        let program = object.programs().find(|(_, function, _)| function.name == "demo_stopping").unwrap().0;
        let mut bytes = Vec::new();
        let (mut maps, mut kfuncs, mut refs) = (self.maps.iter(), self.kfuncs.iter(), Vec::new());
        for (at, &(opcode, to, from, offset, number)) in self.code.iter().enumerate() {
            bytes.extend([opcode, from << 4 | to]);
            bytes.extend(offset.to_le_bytes());
            bytes.extend(number.to_le_bytes());
            let target = match (opcode, from) {
                (LOAD_NUMBER, 1) => {
                    let name = maps.next().unwrap();
                    Referent::Map(MapIdx(object.maps.iter().position(|map| map.name == *name).unwrap()))
                }
                (CALL, 2) => {
                    let name = kfuncs.next().unwrap();
                    let found = object.externs.iter().position(|external| external.name == *name);
                    Referent::Extern(ExternIdx(found.unwrap()))
                }
                _ => continue,
            };
            refs.push(Ref { insn: InsnIdx(at), target, value: 0, is_data: false });
        }
        let order = object.elf.byte_order;
        let function = &mut object.functions[program.0];
        (function.code, function.refs, function.calls) = (Code::new(&bytes, order), refs, Vec::new());
        let target = target::load(kernel).unwrap().remove(0);
        let kernel = Kernel::new(&target).unwrap();
        let load = Load::new(&object, Some(&kernel), Loader::Plain).with_all_programs();
        bpf_check(&load, &load.knowledge(), program).unwrap()
    }

    /// It is accepted after so many instructions.
    #[track_caller]
    fn accepted(&self, insns: u32) {
        for kernel in ["7.3", "7.1", "6.12"] {
            let walk = self.walk(kernel);
            assert_eq!((walk.outcome, walk.insns), (Outcome::Accepted, insns), "{kernel}");
        }
    }

    /// It is refused at an instruction.
    #[track_caller]
    fn refused(&self, why: Why, at: usize, message: &str) {
        for kernel in ["7.3", "7.1", "6.12"] {
            let found = self.walk(kernel);
            let Outcome::Refused(refusal) = &found.outcome else { panic!("{kernel}: {found:?}") };
            assert_eq!((refusal.why, &*refusal.message), (why, message), "{kernel}");
            assert_eq!(refusal.at.map(|(_, insn)| insn.0), Some(at), "{kernel}");
        }
    }
}

#[test]
fn what_is_spilled_is_filled_again() {
    // A task that went over the stack is still a task.
    let code = [
        (LOAD, 1, 1, 0, 0),
        (STORE, 10, 1, -8, 0),
        (LOAD, 2, 10, -8, 0),
        (LOAD_WORD, 0, 2, 0, 0),
        (MOV, 0, 0, 0, 0),
        EXIT,
    ];
    Program::new(&code).accepted(6);
    // Half of it cannot be read.
    let code =
        [(LOAD, 1, 1, 0, 0), (STORE, 10, 1, -8, 0), (LOAD_WORD, 2, 10, -8, 0), (LOAD_WORD, 0, 2, 0, 0), EXIT];
    Program::new(&code).refused(Why::Spill, 2, "invalid size of register fill");
    // A number that was stored over part of it neither.
    let code = [
        (LOAD, 1, 1, 0, 0),
        (STORE, 10, 1, -8, 0),
        (MOV, 3, 0, 0, 0),
        (STORE_WORD, 10, 3, -8, 0),
        (LOAD, 2, 10, -8, 0),
        (LOAD_WORD, 0, 2, 0, 0),
        EXIT,
    ];
    Program::new(&code).refused(Why::NumberAsPointer, 5, "R2 invalid mem access 'scalar'");
}

#[test]
fn a_number_on_the_stack_keeps_its_bounds() {
    // r2 = p->pid & 7, over the stack, as an offset into the stack: in bounds.
    let code = |mask: i32| {
        [
            (LOAD, 1, 1, 0, 0),
            (STORE_NUMBER, 10, 0, -8, 0),
            (LOAD_WORD, 2, 1, 0, 0),
            (AND, 2, 0, 0, mask),
            (STORE, 10, 2, -16, 0),
            (LOAD, 3, 10, -16, 0),
            (MOV_REG, 4, 10, 0, 0),
            (ADD, 4, 0, 0, -8),
            (ADD_REG, 4, 3, 0, 0),
            (0x71, 0, 4, 0, 0),
            (MOV, 0, 0, 0, 0),
            EXIT,
        ]
    };
    Program::new(&code(7)).accepted(12);
    let found = Program::new(&code(15)).walk("7.3");
    let Outcome::Refused(refusal) = found.outcome else { panic!("{found:?}") };
    assert!(refusal.message.contains("stack"), "{}", refusal.message);
}

#[test]
fn a_test_for_null_is_of_all_copies() {
    // The copy is tested, the other is used.
    let code = |test: u8, jump: i16| {
        [
            (STORE_NUMBER, 10, 0, -8, 0),
            (MOV_REG, 2, 10, 0, 0),
            (ADD, 2, 0, 0, -8),
            map(1),
            HALF,
            (CALL, 0, 0, 0, 1),
            (MOV_REG, 6, 0, 0, 0),
            (test, 0, 0, jump, 0),
            (LOAD, 0, 6, 0, 0),
            (MOV, 0, 0, 0, 0),
            EXIT,
        ]
    };
    // A lookup with a constant key that is in bounds cannot fail from 6.14 on: a key that is not constant is for that.
    let unknown_key = |mut code: Vec<Slot>| {
        code.splice(0..1, [(CALL, 0, 0, 0, 7), (STORE, 10, 0, -8, 0)]);
        code
    };
    let tested = unknown_key(code(IF_EQUAL, 1).to_vec());
    Program { maps: &["runs"], ..Program::new(&tested) }.accepted(13);
    let tested = unknown_key(code(IF_NOT_EQUAL, 1).to_vec());
    Program { maps: &["runs"], ..Program::new(&tested) }.refused(
        Why::NumberAsPointer,
        9,
        "R6 invalid mem access 'scalar'",
    );
}

#[test]
fn what_is_taken_is_given_back_once() {
    let take: [Slot; 3] = [(MOV, 1, 0, 0, 1), (CALL, 0, 2, 0, 0), (IF_EQUAL, 0, 0, 2, 0)];
    let give: [Slot; 2] = [(MOV_REG, 1, 0, 0, 0), (CALL, 0, 2, 0, 0)];
    let end: [Slot; 2] = [(MOV, 0, 0, 0, 0), EXIT];
    let once = [&take[..], &give, &end].concat();
    let kfuncs = ["bpf_task_from_pid", "bpf_task_release"];
    Program { kfuncs: &kfuncs, ..Program::new(&once) }.accepted(9);
    let never = [&take[..2], &end].concat();
    Program { kfuncs: &kfuncs, ..Program::new(&never) }.refused(
        Why::UnreleasedReference,
        3,
        "Unreleased reference id=2 alloc_insn=1",
    );
    // What was given back is no pointer any more.
    let mut twice = [&take[..2], &[(IF_EQUAL, 0, 0, 4, 0), (MOV_REG, 6, 0, 0, 0)]].concat();
    twice.extend(give);
    twice.extend([(LOAD_WORD, 0, 6, 0, 0)]);
    twice.extend(end);
    Program { kfuncs: &kfuncs, ..Program::new(&twice) }.refused(
        Why::NumberAsPointer,
        6,
        "R6 invalid mem access 'scalar'",
    );
}

#[test]
fn each_path_is_walked_and_equal_states_are_not_walked_again() {
    // Both branches end in the same state: the second is cut off at once where that state is kept.
    let code = [(CALL, 0, 0, 0, 7), (IF_EQUAL, 0, 0, 1, 0), (GOTO, 0, 0, 0, 0), (MOV, 0, 0, 0, 0), EXIT];
    let found = Program::new(&code).walk("7.3");
    assert_eq!(found.outcome, Outcome::Accepted);
    assert!((5..=7).contains(&found.insns), "{found:?}");
    // A register that only one of them sets has no value behind.
    let code = [(CALL, 0, 0, 0, 7), (IF_EQUAL, 0, 0, 1, 0), (MOV, 6, 0, 0, 1), (MOV_REG, 0, 6, 0, 0), EXIT];
    Program::new(&code).refused(Why::UninitializedRegister, 3, "R6 !read_ok");
}

#[test]
fn code_that_is_no_program_is_refused_as_it_is() {
    let falls_off = [(MOV, 0, 0, 0, 0)];
    Program::new(&falls_off).refused(Why::Flow, 0, "last insn is not an exit or jmp");
    let out_of_range = [(GOTO, 0, 0, 5, 0), EXIT];
    Program::new(&out_of_range).refused(Why::Flow, 0, "jump out of range from insn 0 to 6");
    let endless = [(GOTO, 0, 0, -1, 0), EXIT];
    let found = Program::new(&endless).walk("7.3");
    assert!(matches!(found.outcome, Outcome::Refused(_)), "{found:?}");
    let found = Program::new(&[]).walk("7.3");
    assert!(!matches!(found.outcome, Outcome::Accepted), "{found:?}");
}

/// The kinds of mistakes that some program of the fixtures is refused for, each with one of them.
fn refused_for() -> BTreeMap<Why, String> {
    let folder = format!("{}/fixtures/obj/clang-19", env!("CARGO_MANIFEST_DIR"));
    let targets = ["7.3", "7.1", "6.12"].map(|name| target::load(name).unwrap().remove(0));
    let kernels: Vec<Kernel<'_>> = targets.iter().map(|target| Kernel::new(target).unwrap()).collect();
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let data = std::fs::read(&path).unwrap();
        let Ok(object) = Object::open(&data, &name) else { continue };
        for kernel in &kernels {
            let load = Load::new(&object, Some(kernel), Loader::Plain).with_all_programs();
            let knowledge = load.knowledge();
            for (program, ..) in object.programs() {
                if let Some(Verification { outcome: Outcome::Refused(refusal), .. }) =
                    bpf_check(&load, &knowledge, program)
                {
                    found.entry(refusal.why).or_insert_with(|| format!("{name}: {}", refusal.message));
                }
            }
        }
    }
    found
}

#[test]
fn each_kind_of_mistake_has_a_fixture() {
    let found = refused_for();
    let missing: Vec<Why> = Why::ALL.iter().copied().filter(|why| !found.contains_key(why)).collect();
    // What is refused of exceptions lies behind their callbacks, which are not walked.
    assert_eq!(missing, [Why::Exception], "{found:?}");
}
