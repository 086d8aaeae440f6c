//! Both sides of each case are written out here. What libbpf makes of real objects is compared in `oracle/`.

use super::*;
use crate::btf::StrOff;
use crate::btf::build::{Builder, Field};

/// `rX = imm`.
fn mov(imm: i32) -> Slot {
    Slot { index: 3, insn: Insn::new(0xb7, 1, 0, 0, imm), next: None }
}

/// `rX = *(u32 *)(rY + off)`.
fn load(off: i16) -> Slot {
    Slot { index: 3, insn: Insn::new(0x61, 1, 2, off, 0), next: None }
}

/// `rX = imm ll`.
fn load_imm(value: u64) -> Slot {
    let half = |imm: u64, code| Insn::new(code, 0, 0, 0, imm as u32 as i32);
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
        self.against_by(Libbpf::default(), slot, target)
    }

    fn against_by(
        &self,
        libbpf: Libbpf,
        slot: Slot,
        target: &Builder,
    ) -> Result<Resolution<'static>, CoreError> {
        let local = Btf::parse(&self.bytes).unwrap();
        let bytes = target.finish();
        let target = Btf::parse(&bytes).unwrap();
        let done = Resolver::new(&local, &target, &[]).libbpf(libbpf).resolve(&self.record, slot)?;
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
    assert_eq!(done.outcome, Patched::Value);
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
    assert_eq!(done.outcome, Patched::Poison(Poison::NoCandidate));
    assert_eq!(done.insn, Insn::new(0x85, 0, 0, 0, 195_896_080));
    let mut other = Builder::new();
    other.composite("foo", 0, &[]);
    let done = pair(0).against(load_imm(4), &other).unwrap();
    assert_eq!(done.outcome, Patched::Poison(Poison::NoMatch));
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

/// `struct foo { <fields> }` alone, in both byte widths of everything a test may want.
fn one(fields: impl FnOnce(&mut Builder) -> Vec<Field<'static>>) -> (Builder, TypeId) {
    let mut build = Builder::new();
    let fields = fields(&mut build);
    let foo = build.composite("foo", 64, &fields);
    (build, foo)
}

#[test]
fn loads_of_pointers_and_unsigned_integers_change_their_size() {
    let with = |name: &'static str, size, encoding| {
        one(|build| vec![Field::new("a", build.int_encoded(name, size, encoding), 64)])
    };
    let local = |encoding| {
        let (build, foo) = with("u32", 4, encoding);
        Local::new(build, foo, "0:0", 0)
    };
    let done = local(0).against(load(8), &with("u64", 8, 0).0).unwrap();
    assert_eq!((done.insn.opcode(), done.insn.off), (0x79, 8));
    let done = local(0).against(load(8), &with("u8", 1, 0).0).unwrap();
    assert_eq!(done.insn.opcode(), 0x71);
    // Signed on either side: poison, with a warning.
    for (from, to) in [(1, 0), (0, 1)] {
        let done = local(from).against(load(8), &with("long", 8, to).0).unwrap();
        let Patched::Poison(Poison::MemorySize { local: 4, target: 8, warning }) = &done.outcome else {
            panic!("{done:?}");
        };
        assert!(warning.starts_with("insn #3 (LDX/ST/STX) accesses field incorrectly. "), "{warning}");
        assert_eq!(done.insn.imm, POISON_IMM);
        // As a plain number the offset is fine.
        assert_eq!(local(from).against(mov(8), &with("long", 8, to).0).unwrap().insn.imm, 8);
    }
    // The instruction has to load what the object's type says, and the new size has to exist.
    let error = local(0).against(Slot { insn: Insn::new(0x79, 1, 2, 8, 0), ..load(8) }, &with("u64", 8, 0).0);
    assert_eq!(error.unwrap_err().text, "insn #3 (LDX/ST/STX) unexpected mem size: got 8, exp 4");
    let error = local(0).against(load(8), &with("u128", 16, 0).0).unwrap_err();
    assert_eq!(
        error.lines("p", 0),
        [
            "prog 'p': relo #0: insn #3 (LDX/ST/STX) invalid new mem size: 16",
            "prog 'p': relo #0: failed to patch insn #3: -EINVAL"
        ]
    );
}

#[test]
fn what_cannot_be_patched_is_made_invalid_by_1_7_and_refused_since() {
    let call = Slot { index: 3, insn: Insn::new(0x85, 0, 0, 0, 1), next: None };
    let register = Slot { index: 3, insn: Insn::new(0xbf, 1, 2, 0, 0), next: None };
    let nothing = Builder::new();
    for slot in [call, register, load_imm(4)] {
        let cut = Slot { next: None, ..slot };
        let old = pair(0).against_by(Libbpf::V1_7, cut, &nothing).unwrap();
        assert_eq!(old.outcome, Patched::Poison(Poison::NoCandidate));
        assert!(pair(0).against(cut, &nothing).is_err(), "{cut:?}");
    }
    for slot in [load(4), mov(4), load_imm(4)] {
        let new = pair(0).against(slot, &nothing).unwrap();
        assert_eq!(new.outcome, Patched::Poison(Poison::NoCandidate));
    }
}

#[test]
fn an_instruction_has_to_hold_the_local_value() {
    let error = pair(0).against(load(8), &moved()).unwrap_err();
    assert_eq!(error.text, "unexpected insn #3 (LDX/ST/STX) value: got 8, exp 4 -> 12");
    assert_eq!((error.errno, error.patching), (Errno::EINVAL, Some(3)));
    let error = pair(0).against(mov(-1), &moved()).unwrap_err();
    assert_eq!(error.text, "unexpected insn #3 (ALU/ALU64) value: got -1, exp 4 -> 12");
    let error = pair(0).against_by(Libbpf::V1_7, mov(-1), &moved()).unwrap_err();
    assert_eq!(error.text, "unexpected insn #3 (ALU/ALU64) value: got 4294967295, exp 4 -> 12");
    let error = pair(0).against(load_imm(1 << 32), &moved()).unwrap_err();
    assert_eq!(error.text, "unexpected insn #3 (LDIMM64) value: got 4294967296, exp 4 -> 12");
    let cut = Slot { next: None, ..load_imm(4) };
    assert_eq!(pair(0).against(cut, &moved()).unwrap_err().text, "insn #3 (LDIMM64) has unexpected form");
    let register = Slot { insn: Insn::new(0xbf, 1, 0, 0, 4), ..mov(4) };
    let error = pair(0).against_by(Libbpf::V1_7, register, &moved()).unwrap_err();
    assert_eq!(error.lines("p", 1), ["prog 'p': relo #1: failed to patch insn #3: -EINVAL"]);
    let error = pair(0).against(register, &moved()).unwrap_err();
    assert!(error.text.starts_with("trying to relocate unrecognized insn #3, code:0xbf"), "{}", error.text);
    let jump = Slot { insn: Insn::new(0x05, 0, 0, -1, 4), ..mov(4) };
    let text = "trying to relocate unrecognized insn #3, code:0x5, src:0x0, dst:0x0, off:0xffffffff, imm:0x4";
    assert_eq!(pair(0).against(jump, &moved()).unwrap_err().text, text);
}

#[test]
fn an_offset_has_to_fit_the_instruction() {
    let mut build = Builder::new();
    let int = build.int("int", 4, true);
    build.composite("foo", 40004, &[Field::new("b", int, 40000 * 8)]);
    let error = pair(0).against(load(4), &build).unwrap_err();
    assert_eq!(
        (error.errno, error.text.as_str()),
        (Errno::ERANGE, "insn #3 (LDX/ST/STX) value too big: 40000")
    );
    assert_eq!(pair(0).against(mov(4), &build).unwrap().insn.imm, 40000);
}

#[test]
fn bitfields() {
    let with = |at, bits| {
        let (build, foo) = one(|build| vec![Field::bits("a", build.int("u32", 4, false), at, bits)]);
        (build, foo)
    };
    let resolve = |kind, value| {
        let (build, foo) = with(3, 5);
        Local::new(build, foo, "0:0", kind).against(mov(value), &with(37, 7).0).unwrap()
    };
    // Offset, size and left shift are the compiler's choice, so that the instruction may hold anything.
    assert_eq!((resolve(0, 99).orig, resolve(0, 99).new), (0, 4));
    assert_eq!((resolve(1, 99).orig, resolve(1, 99).new), (4, 4));
    assert_eq!((resolve(4, 99).orig, resolve(4, 99).new), (56, 52));
    assert_eq!((resolve(5, 59).orig, resolve(5, 59).new), (59, 57));
    assert_eq!(resolve(3, 0).new, 0);
    // Over the end of an int: a wider load.
    let (build, foo) = with(3, 5);
    let wide = Local::new(build, foo, "0:0", 1).against(mov(4), &with(30, 4).0).unwrap();
    assert_eq!(wide.new, 8);
    // No load is wide enough.
    let (build, foo) = one(|build| vec![Field::bits("a", build.int("u64", 8, false), 60, 8)]);
    let error = Local::new(build.clone(), foo, "0:0", 0).against(mov(0), &build).unwrap_err();
    assert_eq!(
        error.lines("p", 0),
        [
            "prog 'p': relo 0 at insn #1 can't be satisfied for bitfield",
            "prog 'p': relo #0: failed to relocate: -E2BIG"
        ]
    );
    // A type without a size, by which libbpf would divide.
    let (build, foo) = one(|build| vec![Field::bits("a", build.int("u0", 0, false), 0, 8)]);
    assert!(Local::new(build.clone(), foo, "0:0", 0).against(mov(0), &build).is_err());
}

#[test]
fn signs() {
    type Make = fn(&mut Builder) -> TypeId;
    let with = |make: Make| one(|build| vec![Field::new("a", make(build), 0)]);
    let cases: [(Make, u64); 4] = [
        (|b| b.int("int", 4, true), 1),
        (|b| b.int("unsigned int", 4, false), 0),
        (|b| b.enumeration("e", &[("A", -1)]), 1),
        (|b| b.enumeration("e", &[("A", 1)]), 0),
    ];
    for (make, sign) in cases {
        let (build, foo) = with(make);
        let local = Local::new(build.clone(), foo, "0:0", 3);
        assert_eq!(local.against(mov(sign as i32), &build).unwrap().new, sign);
    }
}

#[test]
fn arrays_and_flexible_arrays() {
    let with = |len, last: bool| {
        one(|build| {
            let int = build.int("int", 4, true);
            let mut fields = vec![Field::new("n", int, 0), Field::new("a", build.array(int, len), 32)];
            if !last {
                fields.push(Field::new("z", int, 256));
            }
            fields
        })
    };
    let local = |kind| {
        let (build, foo) = with(8, true);
        Local::new(build, foo, "0:1:5", kind)
    };
    assert_eq!(local(0).subject().0, "foo.a[5]");
    assert_eq!(local(0).subject().1, "<byte_off> [3] struct foo.a[5] (0:1:5 @ offset 24)");
    assert_eq!(local(2).against(mov(1), &with(6, true).0).unwrap().new, 1);
    assert_eq!(local(2).against(mov(1), &with(5, true).0).unwrap().new, 0);
    // Flexible: of no length and last.
    assert_eq!(local(2).against(mov(1), &with(0, true).0).unwrap().new, 1);
    assert_eq!(local(2).against(mov(1), &with(0, false).0).unwrap().new, 0);
    assert_eq!(local(1).against(mov(4), &with(8, true).0).unwrap().new, 4);
    let error = local(5).against(mov(4), &with(8, true).0).unwrap_err();
    assert_eq!(error.lines("p", 0)[0], "prog 'p': relo 5 at insn #1 can't be applied to array access");
    // Beyond its own bound, and with an index into the root.
    let (build, foo) = with(8, true);
    assert!(Local::new(build.clone(), foo, "0:1:8", 2).against(mov(1), &build).is_err());
    let second = Local::new(build.clone(), foo, "1:0", 0);
    assert_eq!(second.against(mov(64), &build).unwrap().new, 64);
    assert_eq!(second.subject().1, "<byte_off> [3] struct foo[1].n (1:0 @ offset 64)");
}

#[test]
fn kinds_about_a_type() {
    let with = |size| {
        let mut build = Builder::new();
        let int = build.int("int", 4, true);
        let foo = build.composite("foo", size, &[Field::new("a", int, 0)]);
        (build, foo)
    };
    let (build, foo) = with(4);
    let none = Builder::new();
    let ask = |kind, value, target: &Builder| {
        let done = Local::new(build.clone(), foo, "0", kind).against(mov(value), target).unwrap();
        (done.new, done.is_poison())
    };
    for (kind, new) in [(7, 2), (8, 1), (9, 12), (12, 1)] {
        let value = if kind == 9 { 4 } else { 1 };
        assert_eq!(ask(kind, value, &with(12).0), (new, false), "{kind}");
        assert_eq!(ask(kind, value, &none), (0, false), "{kind}");
    }
    // The local id needs no target, and not even a name.
    assert_eq!(ask(6, 77, &none), (2, false));
    let mut anonymous = Builder::new();
    let root = anonymous.composite("", 4, &[]);
    assert_eq!(Local::new(anonymous.clone(), root, "0", 6).against(mov(0), &none).unwrap().new, 1);
    let error = Local::new(anonymous, root, "0", 8).against(mov(0), &none).unwrap_err();
    assert_eq!(
        error.lines("p", 0),
        [
            "prog 'p': relo #0: target candidate search failed for [1] struct : -22",
            "prog 'p': relo #0: failed to relocate: -EINVAL"
        ]
    );
    // A forward declaration is no candidate.
    let mut fwd = Builder::new();
    fwd.fwd("foo", false);
    assert_eq!(ask(8, 1, &fwd), (0, false));
}

#[test]
fn enumerators_by_essential_name() {
    let mut build = Builder::new();
    let local = build.enumeration("e", &[("A___old", 3), ("B", -5)]);
    let record = |access, kind| Local::new(build.clone(), local, access, kind);
    let mut target = Builder::new();
    target.enum64("e", &[("X", 0), ("A", 1 << 40)]);
    assert_eq!(record("0", 11).against(load_imm(3), &target).unwrap().new, 1 << 40);
    assert_eq!(record("0", 10).against(mov(1), &target).unwrap().new, 1);
    assert_eq!(record("1", 10).against(mov(1), &target).unwrap().new, 0);
    let done = record("1", 11).against(mov(-5), &target).unwrap();
    assert_eq!(done.outcome, Patched::Poison(Poison::NoMatch));
    assert_eq!(record("1", 11).subject().1, "<enumval_value> [1] enum e::B = -5");
    assert_eq!(record("1", 11).subject().0, "e::B");
    // 32 bits without a sign are extended as if they had one.
    let mut top = Builder::new();
    let id = top.enumeration("e", &[("A", 0x8000_0000)]);
    let done = Local::new(top.clone(), id, "0", 11).against(mov(i32::MIN), &top).unwrap();
    assert_eq!(done.new, 0xffff_ffff_8000_0000);
    assert_eq!(Local::new(top, id, "0", 11).subject().1, "<enumval_value> [1] enum e::A = 2147483648");
}

#[test]
fn bad_access_strings() {
    // `struct foo { int a; }`, asked about a target without it, so that what parses comes to 0.
    let ask = |access: &str, kind| {
        let mut build = Builder::new();
        let int = build.int("int", 4, true);
        let foo = build.composite("foo", 8, &[Field::new("a", int, 0)]);
        let done = Local::new(build, foo, access, kind).against(mov(1), &Builder::new());
        done.map(|done| done.new).map_err(|error| error.text)
    };
    let failed = |access, code| Err(format!("parsing [2] struct foo + {access} failed: {code}"));
    for access in ["", ":0", "0:", "0::0", "0:x", "0:1", "0:0:0", "0:-1"] {
        assert_eq!(ask(access, 2), failed(access, -22), "{access}");
    }
    let deep = format!("0{}", ":0".repeat(64));
    assert_eq!(ask(&deep, 2), failed(&deep, -7));
    assert_eq!(ask(&deep, 13), failed(&deep, -7));
    // An unknown kind, and an index where there is nothing to index.
    for (access, kind) in [("0", 13), ("1", 8), ("0:0", 12), ("0", 10)] {
        assert_eq!(ask(access, kind), failed(access, -22), "{access} {kind}");
    }
    // As scanf reads numbers.
    for access in ["0:0", "0 0", "0: 0", "0+0", "0:00", "0:4294967296"] {
        assert_eq!(ask(access, 2), Ok(0), "{access}");
    }
}

#[test]
fn fields_of_another_kind_do_not_match() {
    let local = {
        let (build, foo) = one(|build| {
            let int = build.int("int", 4, true);
            vec![Field::new("a", build.ptr(int), 0)]
        });
        Local::new(build, foo, "0:0", 2)
    };
    let (target, _) = one(|build| vec![Field::new("a", build.int("long", 8, true), 0)]);
    assert_eq!(local.against(mov(1), &target).unwrap().new, 0);
    let (target, _) = one(|build| {
        let long = build.int("long", 8, true);
        let ptr = build.ptr(long);
        vec![Field::new("a", build.refer(Kind::Const, "", ptr), 0)]
    });
    assert_eq!(local.against(mov(1), &target).unwrap().new, 1);
}

#[test]
fn modules_count_only_where_the_kernel_has_none() {
    let local = pair(0);
    let object = Btf::parse(&local.bytes).unwrap();
    let (mut kernel, int) = (Builder::new(), TypeId(1));
    kernel.int("int", 4, true);
    let (bare, full) = (kernel.finish(), moved().finish());
    for (kernel, new) in [(&bare, 20), (&full, 12)] {
        let kernel = Btf::parse(kernel).unwrap();
        let mut module = Builder::split(&kernel);
        module.composite("foo", 24, &[Field::new("b", int, 160)]);
        let module = module.finish();
        let modules = [Btf::parse_split(&module, &kernel).unwrap()];
        let mut resolver = Resolver::new(&object, &kernel, &modules);
        assert_eq!(resolver.resolve(&local.record, load(4)).unwrap().new, new);
    }
}

/// As in libbpf, a record leaves only those candidates to the next that it matched itself.
#[test]
fn candidates_that_do_not_match_are_dropped() {
    let mut target = Builder::new();
    let int = target.int("int", 4, true);
    target.composite("foo", 8, &[Field::new("b", int, 32)]);
    target.composite("foo", 8, &[Field::new("a", int, 32)]);
    let (local, bytes) = (pair(0), target.finish());
    let (object, target) = (Btf::parse(&local.bytes).unwrap(), Btf::parse(&bytes).unwrap());
    let relocation = Relocation::parse(&object, &local.record).unwrap();
    let mut candidates = Candidates::of(&relocation, &target);
    assert_eq!(candidates.iter().count(), 2);
    relocation.resolve(&object, load(4), &mut candidates).unwrap();
    assert_eq!(candidates.iter().map(|(_, id)| id.0).collect::<Vec<_>>(), [2]);
}

/// Structs that hold each other twice, anonymously and sixty deep, have more ways through them than can be tried.
#[test]
fn what_would_take_for_ever_is_given_up() {
    let mut target = Builder::new();
    let mut inner = target.composite("", 4, &[]);
    for _ in 0..60 {
        inner = target.composite("", 8, &[Field::new("", inner, 0), Field::new("", inner, 0)]);
    }
    target.composite("foo", 8, &[Field::new("", inner, 0)]);
    let error = pair(0).against(load(4), &target).unwrap_err();
    assert_eq!(error.errno, Errno::E2BIG);
    assert!(error.text.starts_with("error matching candidate #0 <byte_off> "), "{}", error.text);
}
