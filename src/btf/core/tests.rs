//! Both sides of each case are written out here. What libbpf makes of real objects is compared in `oracle/`.

use super::*;
use crate::btf::StrOff;
use crate::btf::build::{Builder, Field};

/// `rX = imm`.
fn mov(imm: i32) -> Slot {
    Slot { index: 3, insn: Insn { code: 0xb7, dst: 1, src: 0, off: 0, imm }, next: None }
}

/// `rX = *(u32 *)(rY + off)`.
fn load(off: i16) -> Slot {
    Slot { index: 3, insn: Insn { code: 0x61, dst: 1, src: 2, off, imm: 0 }, next: None }
}

/// `rX = imm ll`.
fn load_imm(value: u64) -> Slot {
    let half = |imm: u64, code| Insn { code, dst: 0, src: 0, off: 0, imm: imm as u32 as i32 };
    Slot { index: 3, insn: half(value, 0x18), next: Some(half(value >> 32, 0)) }
}

/// An object's side: its BTF and one record.
struct Local {
    bytes: Vec<u8>,
    record: CoreRelo,
}

impl Local {
    fn new(mut build: Builder, type_id: TypeId, access: &str, kind: u32) -> Self {
        let access = StrOff(build.string(access));
        Self { bytes: build.finish(), record: CoreRelo { insn_off: 8, type_id, access, kind } }
    }

    /// Resolves against a target that is one BTF.
    fn against(&self, slot: Slot, target: &Builder) -> Result<Resolution<'static>, CoreError> {
        let local = Btf::parse(&self.bytes).unwrap();
        let bytes = target.finish();
        let target = Btf::parse(&bytes).unwrap();
        let done = Resolver::new(&local, &target, &[]).resolve(&self.record, slot)?;
        Ok(Resolution {
            orig: done.orig,
            new: done.new,
            outcome: done.outcome,
            insn: done.insn,
            next: done.next,
            target: None,
        })
    }

    fn subject(&self) -> (String, String) {
        let local = Btf::parse(&self.bytes).unwrap();
        let relocation = Relocation::parse(&local, &self.record).unwrap();
        (relocation.subject(), relocation.spec.to_string())
    }
}

/// `struct foo___v1 { int a; int b; }`, and a record about `b`.
fn pair(kind: u32) -> Local {
    let mut build = Builder::new();
    let int = build.int("int", 4, true);
    let foo = build.composite("foo___v1", 8, &[Field::new("a", int, 0), Field::new("b", int, 32)]);
    Local::new(build, foo, "0:1", kind)
}

/// The target's `struct foo`, with `b` at byte 12.
fn moved() -> Builder {
    let mut build = Builder::new();
    let int = build.int("int", 4, true);
    let inner = build.composite("", 8, &[Field::new("x", int, 0), Field::new("b", int, 32)]);
    build.composite("foo", 16, &[Field::new("a", int, 0), Field::new("", inner, 64)]);
    build
}

#[test]
fn a_field_is_found_inside_an_anonymous_struct() {
    let done = pair(0).against(load(4), &moved()).unwrap();
    assert_eq!((done.orig, done.new, done.insn.off), (4, 12, 12));
    assert_eq!(done.outcome, Outcome::Value);
    let (subject, spec) = pair(0).subject();
    assert_eq!(subject, "foo.b");
    assert_eq!(spec, "<byte_off> [2] struct foo___v1.b (0:1 @ offset 4)");
}

#[test]
fn existence_is_never_poison() {
    let done = pair(2).against(mov(1), &moved()).unwrap();
    assert_eq!((done.new, done.insn.imm), (1, 1));
    let done = pair(2).against(mov(1), &Builder::new()).unwrap();
    assert_eq!((done.new, done.insn.imm, done.is_poison()), (0, 0, false));
}

#[test]
fn without_a_match_the_instruction_is_poisoned() {
    let done = pair(0).against(load(4), &Builder::new()).unwrap();
    assert_eq!(done.outcome, Outcome::Poison(Poison::NoCandidate));
    assert_eq!(done.insn, Insn { code: 0x85, dst: 0, src: 0, off: 0, imm: 195_896_080 });
    let mut other = Builder::new();
    other.composite("foo", 0, &[]);
    let done = pair(0).against(load_imm(4), &other).unwrap();
    assert_eq!(done.outcome, Outcome::Poison(Poison::NoMatch));
    assert_eq!(done.next.unwrap().imm, POISON_IMM);
}

#[test]
fn candidates_have_to_agree() {
    let mut build = moved();
    let int = TypeId(1);
    build.composite("foo___other", 8, &[Field::new("b", int, 32)]);
    let error = pair(0).against(load(4), &build).unwrap_err();
    assert_eq!(
        error.lines("p", 2),
        [
            "prog 'p': relo #2: field offset ambiguity: 32 != 96",
            "prog 'p': relo #2: failed to relocate: -EINVAL"
        ]
    );
    // Sizes are compared by value.
    let mut build = Builder::new();
    let (int, long) = (build.int("int", 4, true), build.int("long", 8, true));
    build.composite("foo", 8, &[Field::new("b", int, 0)]);
    build.composite("foo", 8, &[Field::new("b", long, 0)]);
    let error = pair(1).against(mov(4), &build).unwrap_err();
    assert_eq!(error.text, "relocation decision ambiguity: success 8 != success 4");
    // Those that do not match have no say.
    let mut build = moved();
    build.composite("foo", 0, &[]);
    assert_eq!(pair(0).against(load(4), &build).unwrap().new, 12);
}
