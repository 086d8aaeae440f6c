//! Parsing, by BTF that is written out here. libbpf's verdicts on mutants are compared in `oracle/`.

use super::build::{Builder, Field};
use super::core::{Resolver, Slot};
use super::*;
use crate::elf::ByteOrder;
use crate::errno::Errno;
use crate::insn::Insn;

/// One type of every kind.
fn everything(build: &mut Builder) -> [TypeId; 19] {
    let int = build.int("int", 4, true);
    let proto = build.proto(int, &[("x", int), ("", TypeId::VOID)]);
    let var = build.var("v", int, 1);
    [
        int,
        build.ptr(int),
        build.array(int, 5),
        build.composite("s", 8, &[Field::new("a", int, 0), Field::bits("b", int, 32, 3)]),
        build.union("u", 4, &[Field::new("a", int, 0)]),
        build.enumeration("e", &[("A", -1), ("B", 2)]),
        build.fwd("f", true),
        build.typedef("t", int),
        build.refer(Kind::Volatile, "", int),
        build.refer(Kind::Const, "", int),
        build.refer(Kind::Restrict, "", int),
        build.func("fn", proto),
        proto,
        var,
        build.data_sec(".data", 4, &[(var, 0, 4)]),
        build.float("double", 8),
        build.decl_tag("tag", var, -1),
        build.refer(Kind::TypeTag, "user", int),
        build.enum64("g", &[("C", 1 << 40)]),
    ]
}

fn check_everything(btf: &Btf<'_>, ids: [TypeId; 19]) {
    let get = |index: usize| btf.get(ids[index]).unwrap();
    for (index, &id) in ids.iter().enumerate() {
        assert_eq!(btf.get(id).unwrap().kind() as usize, index + 1);
    }
    let int = ids[0];
    assert_eq!((btf.name(&get(0)), get(0).size(), get(0).is_signed_int()), ("int", 4, true));
    assert_eq!(get(2).array(), Some(Array { elem: int, index: int, nelems: 5 }));
    let members: Vec<_> = get(3).composite().unwrap().members().collect();
    let of = |member: &Member| (btf.str(member.name), member.ty, member.bit_offset, member.bitfield_size);
    assert_eq!(members.iter().map(of).collect::<Vec<_>>(), [("a", int, 0, 0), ("b", int, 32, 3)]);
    let values = |index: usize| {
        let values = get(index).enumerators().unwrap().values();
        values.map(|value| (btf.str(value.name), value.value)).collect::<Vec<_>>()
    };
    assert_eq!(values(5), [("A", u64::MAX), ("B", 2)]);
    assert_eq!(values(18), [("C", 1 << 40)]);
    assert!(get(6).is_fwd_union() && get(5).is_signed_enum() && !get(18).is_signed_enum());
    let proto = get(12).func_proto().unwrap();
    let params: Vec<_> = proto.params().map(|param| (btf.str(param.name), param.ty)).collect();
    assert_eq!((proto.ret(), params), (int, vec![("x", int), ("", TypeId::VOID)]));
    assert_eq!((get(11).linkage(), get(13).linkage()), (Some(Linkage::Global), Some(Linkage::Global)));
    let vars: Vec<_> = get(14).data_sec().unwrap().vars().collect();
    assert_eq!(vars, [VarSecInfo { ty: ids[13], offset: 0, size: 4 }]);
    assert_eq!(btf.decl_tags().collect::<Vec<_>>(), [(ids[13], -1, "tag")]);
    assert_eq!((btf.size_of(ids[2]), btf.size_of(ids[8]), btf.size_of(ids[11])), (Some(20), Some(4), None));
    assert_eq!(
        (btf.resolve_size(TypeId::VOID), btf.resolve_size(ids[6])),
        (Err(Errno::EINVAL), Err(Errno::EINVAL))
    );
}

#[test]
fn every_kind_in_both_byte_orders() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let mut build = Builder::new().order(order);
        let ids = everything(&mut build);
        let bytes = build.finish();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!((btf.len(), btf.first_id(), btf.base().is_some()), (20, TypeId(1), false));
        check_everything(&btf, ids);
    }
}

#[test]
fn a_split_section_goes_on_where_its_base_ends() {
    let mut base = Builder::new();
    let int = base.int("int", 4, true);
    base.composite("s", 4, &[Field::new("a", int, 0)]);
    base.enumeration("base_e", &[("A", 7)]);
    let base = base.finish();
    let base = Btf::parse(&base).unwrap();
    let mut build = Builder::split(&base);
    let ids = everything(&mut build);
    // Refers to the base's type, and by the base's string.
    let pointer = build.ptr(int);
    let bytes = build.finish();
    assert!(Btf::parse(&bytes).is_err(), "without its base it does not hold together");
    let btf = Btf::parse_split(&bytes, &base).unwrap();
    assert_eq!((btf.len(), btf.first_id(), btf.types().count()), (24, TypeId(4), 20));
    assert_eq!(btf.get(pointer).unwrap().target(), int);
    assert_eq!(btf.name(&btf.get(int).unwrap()), "int");
    check_everything(&btf, ids);
    for find in [Btf::find, |btf: &Btf<'_>, name: &str, kind| btf.names().find(name, kind)] {
        assert_eq!(find(&btf, "s", Kind::Struct), Some(TypeId(2)));
        assert_eq!(find(&btf, "t", Kind::Typedef), Some(ids[7]));
    }
    assert_eq!(btf.names().all("s"), [TypeId(2), ids[3]]);
    assert_eq!(btf.names().essential("s"), [TypeId(2), ids[3]]);
    assert_eq!(btf.names().enumerator("A"), Some((TypeId(3), 7)));
    assert_eq!(btf.names().enumerator("C"), Some((ids[18], 1 << 40)));
    // What was found out about it fits the same bytes again.
    let index = Btf::parse_split(&bytes, &base).unwrap().into_index();
    let again = Btf::with_index(&bytes, &base, &index).unwrap();
    let view = again.view();
    for btf in [&again, &view, &base.view()] {
        assert_eq!(btf.names().find("s", Kind::Struct), Some(TypeId(2)));
        assert_eq!(btf.names().enumerator("A"), Some((TypeId(3), 7)));
    }
    for btf in [&again, &view] {
        assert_eq!((btf.len(), btf.first_id(), btf.types().count()), (24, TypeId(4), 20));
        check_everything(btf, ids);
        assert_eq!(btf.names().all("s"), [TypeId(2), ids[3]]);
    }
    assert_eq!(view.into_index().offsets, index.offsets);
    // No strings of its own.
    let mut bare = Builder::split(&base);
    bare.ptr(TypeId(4));
    let bare = bare.finish();
    assert_eq!(Btf::parse_split(&bare, &base).unwrap().len(), 5);
}

#[test]
fn a_longer_header_widens_kind_and_length() {
    let mut build = Builder::new().header_len(32);
    let int = build.int("int", 4, true);
    let fields: Vec<_> = (0..70_000).map(|at| Field::new("a", int, at * 32)).collect();
    let wide = build.composite("wide", 280_000, &fields);
    let bytes = build.finish();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.get(wide).unwrap().composite().unwrap().members().len(), 70_000);
    // With 24 bytes the same word says 4464 members and an unused bit.
    assert!(Btf::parse(&build.clone().header_len(24).finish()).is_err());
    // And kind 33 is INT there, but no kind at all here.
    let mut odd = Builder::new();
    odd.raw(Kind::Int, "int", 0x20 << 24, 4, &[32]);
    assert!(Btf::parse(&odd.finish()).is_ok());
    let error = Btf::parse(&odd.header_len(32).finish()).map(|_| ()).unwrap_err();
    assert_eq!(error, Error::UnknownKind { id: TypeId(1), offset: 0, kind: 33 });
}

#[test]
fn headers_are_judged_as_libbpf_does() {
    let mut build = Builder::new();
    build.int("int", 4, true);
    let good = build.finish();
    let big = build.clone().order(ByteOrder::Big);
    assert!(Btf::parse(&big.finish()).is_ok());
    // Another length is fine in the native byte order only.
    assert!(Btf::parse(&build.clone().header_len(32).finish()).is_ok());
    let error = Btf::parse(&big.clone().header_len(32).finish()).map(|_| ()).unwrap_err();
    assert_eq!(error, Error::ForeignHeaderLength { got: 32 });
    // A shorter one moves the sections forward: the types over the string offset and length.
    let mut short = good.clone();
    short[4] = 16;
    short[8] = 8;
    short[16] += 8;
    assert!(Btf::parse(&short).is_ok());
    let mut long = good.clone();
    long[7] = 1;
    assert_eq!(
        Btf::parse(&long).map(|_| ()).unwrap_err(),
        Error::HeaderLength { got: 0x0100_0018, len: good.len() as u64 }
    );
    for cut in 0..good.len() {
        assert!(Btf::parse(&good[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn the_first_bad_reference_is_named() {
    let error = |build: &Builder| Btf::parse(&build.finish()).map(|_| ()).unwrap_err();
    let mut build = Builder::new();
    let int = build.int("int", 4, true);
    build.composite("s", 4, &[Field::new("a", TypeId(9), 0)]);
    build.ptr(TypeId(8));
    let (id, kind) = (TypeId(2), Kind::Struct);
    assert_eq!(error(&build), Error::TypeId { id, kind, target: TypeId(9), count: 4 });
    let mut build = Builder::new();
    build.int("int", 4, true);
    build.func("f", int);
    assert_eq!(error(&build), Error::NotFuncProto { id: TypeId(2), target: int });
    let mut build = Builder::new();
    build.raw(Kind::Enum, "e", 1, 4, &[77, 0]);
    assert_eq!(error(&build), Error::StringOffset { id: TypeId(1), kind: Kind::Enum, offset: 77, len: 3 });
    // A return type is not looked at.
    let mut build = Builder::new();
    build.proto(TypeId(99), &[]);
    assert!(Btf::parse(&build.finish()).is_ok());
}

#[test]
fn alignment() {
    let mut build = Builder::new();
    let (int, long) = (build.int("int", 4, true), build.int("long", 8, true));
    let plain = build.composite("s", 16, &[Field::new("a", int, 0), Field::new("b", long, 64)]);
    let packed = build.composite("p", 12, &[Field::new("a", int, 0), Field::new("b", long, 32)]);
    let short = build.composite("q", 12, &[Field::new("b", long, 0)]);
    let array = build.array(plain, 2);
    // Each twice in the next, so that going through all of them one by one would not end.
    let mut deep = plain;
    for _ in 0..30 {
        deep = build.composite("d", 32, &[Field::new("a", deep, 0), Field::new("b", deep, 0)]);
    }
    let bytes = build.finish();
    let btf = Btf::parse(&bytes).unwrap();
    let cases = [(int, Some(4)), (plain, Some(8)), (packed, Some(1)), (short, Some(1)), (array, Some(8))];
    for (id, align) in cases {
        assert_eq!(btf.align_of(id), align, "{id}");
    }
    assert_eq!((btf.align_of(deep), btf.align_of(TypeId::VOID)), (Some(8), None));
}

/// Random bytes anywhere: nothing panics, nothing goes on for ever, and what one pass accepts the checks accept.
#[test]
fn mutants_do_no_harm() {
    let mut build = Builder::new();
    everything(&mut build);
    let int = TypeId(1);
    let inner = build.composite("", 8, &[Field::new("x", int, 0), Field::bits("y", int, 35, 9)]);
    let foo = build.composite("foo___a", 24, &[Field::new("", inner, 64), Field::new("z", TypeId(3), 0)]);
    build.composite("foo", 24, &[Field::new("", inner, 0), Field::new("z", TypeId(3), 64)]);
    let access = ["0:0:0", "0:0:1", "0:1:2", "0", "1"].map(|access| StrOff(build.string(access)));
    let good = build.finish();
    let kernel = Btf::parse(&good).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut accepted, mut values, mut errors) = (0, 0, 0);
    for _ in 0..10_000 {
        let mut bytes = good.clone();
        for _ in 0..rng.usize(1..5) {
            // Rarely the header, of which hardly any byte may be another.
            let range = if rng.u8(..20) == 0 { 0..24 } else { 24..bytes.len() };
            let at = rng.usize(range);
            bytes[at] = if rng.bool() { rng.u8(..) } else { rng.u8(..40) };
        }
        let parsed = if rng.bool() { Btf::parse(&bytes) } else { Btf::parse_split(&bytes, &kernel) };
        let Ok(btf) = parsed else { continue };
        accepted += 1;
        assert_eq!(btf.validate(), Ok(()));
        for (id, ty) in btf.types() {
            let _ = (btf.size_of(id), btf.align_of(id));
            let _ = (btf.names().essential(btf.name(&ty)), btf.names().enumerator(btf.name(&ty)));
            let other = TypeId(rng.u32(..kernel.len() as u32));
            let _ = types_are_compat(&btf, id, &kernel, other);
            let _ = types_match(&btf, id, &kernel, other);
            let _ = fields_are_compat(&btf, id, &kernel, other);
        }
        for (local, target) in [(&btf, &kernel), (&kernel, &btf)] {
            let mut resolver = Resolver::new(local, target, &[]);
            for access in access {
                let kind = rng.u32(..14);
                let type_id = if rng.bool() { foo } else { TypeId(rng.u32(..local.len() as u32 + 1)) };
                let insn = Insn::new(0xb7, 0, 0, 0, 0);
                let record = CoreRelo { insn_off: 0, type_id, access, kind };
                match resolver.resolve(&record, Slot { index: 0, insn, next: None }) {
                    Ok(_) => values += 1,
                    Err(_) => errors += 1,
                }
            }
        }
    }
    assert!(accepted > 2000 && values > 500 && errors > 2000, "{accepted} {values} {errors}");
}
