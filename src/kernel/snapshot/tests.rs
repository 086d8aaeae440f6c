use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::pack::{put_fast, take_fast};
use super::raw::{RawType, kind, references};
use super::*;
use crate::btf::{Btf, Kind};
use crate::kernel::{at_hand, builtin};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The `.BTF` sections of the committed fixtures: small, with variables, sections, tags of both kinds, both byte orders.
fn fixtures() -> Vec<(PathBuf, Vec<u8>)> {
    use object::read::{Object as _, ObjectSection as _};
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("fixtures/obj/clang-19")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let Ok(file) = object::File::parse(&*bytes) else { continue };
        let Some(section) = file.section_by_name(".BTF") else { continue };
        let btf = section.data().unwrap().to_vec();
        if Btf::parse(&btf).is_ok() {
            found.push((path, btf));
        }
    }
    assert!(found.len() > 50, "the fixtures have BTF");
    found
}

/// The oldest kernel that is at hand, which may be a small one, the newest, and the defective one are enough: each costs a
/// second.
fn kernels() -> Vec<(String, Vec<u8>)> {
    let found = at_hand::kernels();
    let last = found.len().saturating_sub(1);
    let wanted = |at: usize, version: &str| at == 0 || at == last || version.starts_with("7.1.");
    let found = found.into_iter().enumerate().filter(|(at, (version, _))| wanted(*at, version));
    found
        .map(|(_, (version, path))| {
            let bytes = std::fs::read(path).unwrap();
            (version, crate::kernel::image::extract(&bytes).unwrap().btf.into_owned())
        })
        .collect()
}

/// The record without what renumbering changes, and with strings in place of offsets.
fn content<'r>(raw: &'r Raw<'_>, ty: &RawType<'r>) -> (u8, bool, u32, Vec<Vec<u8>>, Vec<u32>) {
    let string = |offset: u32| raw.bytes(offset).to_vec();
    let (mut strings, mut numbers) = (vec![string(ty.name)], Vec::new());
    match ty.kind {
        kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::INT | kind::FLOAT | kind::DATASEC => {
            numbers.push(ty.third);
        }
        _ => {}
    }
    match ty.kind {
        kind::STRUCT | kind::UNION => ty.extra.chunks(3).for_each(|member| {
            strings.push(string(member[0]));
            numbers.push(member[2]);
        }),
        kind::ENUM64 => ty.extra.chunks(3).for_each(|value| {
            strings.push(string(value[0]));
            numbers.extend(&value[1..]);
        }),
        kind::ENUM => ty.extra.chunks(2).for_each(|value| {
            strings.push(string(value[0]));
            numbers.push(value[1]);
        }),
        kind::FUNC_PROTO => ty.extra.chunks(2).for_each(|param| strings.push(string(param[0]))),
        kind::DATASEC => ty.extra.chunks(3).for_each(|var| numbers.extend(&var[1..])),
        kind::ARRAY => numbers.push(ty.extra[2]),
        kind::INT | kind::VAR | kind::DECL_TAG => numbers.push(ty.extra[0]),
        _ => {}
    }
    (ty.kind, ty.flag, ty.vlen, strings, numbers)
}

/// Holds a snapshot against the BTF it was made from: what it keeps is the same, record for record and in the same
/// order, and what it does not keep is a function it knows by name, or something that only such functions use.
fn assert_same_answers(full: &[u8], snapshot: &Snapshot, what: &str) {
    let parsed = Btf::parse(&snapshot.btf).unwrap();
    let (full, cut) = (Raw::parse(full).unwrap(), Raw::parse(&snapshot.btf).unwrap());
    assert_eq!((full.order, full.wide), (cut.order, cut.wide), "{what}");
    assert_eq!(parsed.len() as u32, cut.len());
    let original = |id: u32| snapshot.cut.original_id(TypeId(id)).map_or(u32::MAX, |id| id.0);
    let mut previous = 0;
    let mut kept = BTreeSet::new();
    for (id, ty) in cut.types() {
        let old_id = original(id);
        assert!(old_id > previous && old_id < full.len(), "{what}: order of [{id}]");
        previous = old_id;
        kept.insert(old_id);
        let old = full.get(old_id);
        assert_eq!(content(&full, &old), content(&cut, &ty), "{what}: [{old_id}]");
        let (mut before, mut after) = (Vec::new(), Vec::new());
        references(&old, &mut |id| before.push(id));
        references(&ty, &mut |id| after.push(original(id)));
        assert_eq!(before, after, "{what}: [{old_id}]");
    }
    assert_eq!(snapshot.cut.original_id(TypeId(cut.len())), None);

    let kept_functions: BTreeSet<&[u8]> =
        cut.types().filter(|(_, ty)| ty.kind == kind::FUNC).map(|(_, ty)| cut.bytes(ty.name)).collect();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for (id, ty) in full.types().filter(|(id, _)| !kept.contains(id)) {
        let name = String::from_utf8(full.bytes(ty.name).to_vec()).unwrap();
        match ty.kind {
            kind::FUNC => {
                assert!(snapshot.cut.has_function(&name).unwrap(), "{what}: {name}");
                assert!(!kept_functions.contains(name.as_bytes()), "{what}: {name} is both kept and cut");
                names.insert(name);
            }
            kind::DECL_TAG => assert!(!kept.contains(&ty.third), "{what}: tag [{id}]"),
            _ => assert!(name.is_empty() || ty.kind == Kind::TypeTag as u8, "{what}: [{id}] {name}"),
        }
    }
    assert_eq!(snapshot.cut.functions().unwrap(), names.into_iter().collect::<Vec<_>>(), "{what}");
    assert!(!snapshot.cut.has_function("no_such_function").unwrap());
}

fn meta() -> Meta {
    Meta {
        name: "7.3".into(),
        release: Some("7.3.4".into()),
        source: "a test".into(),
        date: "2026-11-25".into(),
        partial: Some("a small config".into()),
        derived: vec!["nothing".into()],
        ..Meta::default()
    }
}

#[test]
fn a_snapshot_answers_as_its_btf_does() {
    for (path, btf) in fixtures() {
        let meta = meta().describing(&btf).unwrap();
        let bytes = write(&btf, None, Some("CONFIG_BPF=y\n"), &meta).unwrap();
        let snapshot = read(&bytes).unwrap();
        assert_same_answers(&btf, &snapshot, &path.display().to_string());
        assert_eq!(snapshot.cut.meta, meta);
        assert_eq!(read_meta(&bytes).unwrap(), meta);
        assert_eq!(snapshot.kconfig.as_deref(), Some("CONFIG_BPF=y\n"));
        assert_eq!((meta.bytes, meta.types), (btf.len() as u64, Btf::parse(&btf).unwrap().len() as u32));
    }
}

#[test]
fn a_pool_changes_nothing_but_the_size() {
    let fixtures = fixtures();
    // The pool knows the strings of some of them; those of the others come along.
    let some: Vec<&[u8]> = fixtures.iter().step_by(3).map(|(_, btf)| btf.as_slice()).collect();
    let pool: &'static Pool = Box::leak(Box::new(Pool::read(&write_pool(&some).unwrap()).unwrap()));
    for (path, btf) in &fixtures {
        let bytes = write_pooled(btf, None, &meta(), pool).unwrap();
        assert_eq!(read(&bytes).unwrap_err().code(), "foreign-snapshot");
        let meta = meta().describing(btf).unwrap();
        let mut snapshot = read_with(&bytes, Some(pool)).unwrap();
        snapshot.cut.meta = meta;
        assert_same_answers(btf, &snapshot, &path.display().to_string());
    }
}

#[test]
fn the_built_in_releases_are_cut_as_far_as_can_be() {
    let release = builtin::find(builtin::LATEST).unwrap().load().unwrap();
    let meta = meta().describing(&release.btf).unwrap();
    let again = read(&write(&release.btf, None, None, &meta).unwrap()).unwrap();
    assert_same_answers(&release.btf, &again, "the newest again");
    assert_eq!(again.cut.functions().unwrap(), Vec::<String>::new());
    assert_eq!(Btf::parse(&again.btf).unwrap().len(), Btf::parse(&release.btf).unwrap().len());
}

#[test]
fn real_kernels_answer_as_before() {
    for (version, btf) in kernels() {
        let meta = Meta { name: version.clone(), ..Meta::default() }.describing(&btf).unwrap();
        let bytes = write(&btf, None, None, &meta).unwrap();
        let snapshot = read(&bytes).unwrap();
        assert_same_answers(&btf, &snapshot, &version);
        assert!(bytes.len() < 1_400_000, "{version}: {} bytes", bytes.len());
        // The built-in release of this kernel is the same, plus what was derived.
        let sum = sha256(&btf);
        let Some(release) = builtin::RELEASES.iter().find(|release| release.btf_sha256 == sum) else {
            continue;
        };
        let (repaired, names) = repair_implicit_arguments(&btf).unwrap();
        let built_in = release.load().unwrap();
        assert_eq!(built_in.cut.meta.derived.is_empty(), names.is_empty());
        assert_eq!(built_in.cut.meta.sha256, release.btf_sha256);
        let mut built_in = built_in;
        built_in.cut.meta.types = Btf::parse(&repaired).unwrap().len() as u32;
        assert_same_answers(&repaired, &built_in, &version);
    }
}

/// A section with these functions, each taking an int and, where the flag is set, what the verifier supplies.
fn kfuncs(functions: &[(&str, bool)]) -> Vec<u8> {
    let mut strings = vec![0u8];
    let mut types = raw::Words::new(crate::elf::ByteOrder::Little);
    let mut name = |text: &str| {
        strings.extend_from_slice(text.as_bytes());
        strings.push(0);
        (strings.len() - text.len() - 1) as u32
    };
    let info = |kind, vlen| raw::join_info(kind, false, vlen);
    types.push([name("int"), info(kind::INT, 0), 4, 0x0100_0020]); // 1
    types.push([name("bpf_prog_aux"), info(kind::STRUCT, 0), 8]); // 2
    types.push([0, info(kind::CONST, 0), 2]); // 3
    types.push([0, info(kind::PTR, 0), 3]); // 4
    types.push([0, info(kind::FUNC_PROTO, 1), 1, name("cpu"), 1]); // 5
    types.push([0, info(kind::FUNC_PROTO, 2), 1, name("cpu"), 1, name("aux"), 4]); // 6
    for (function, aux) in functions {
        types.push([name(function), info(kind::FUNC, 1), if *aux { 6 } else { 5 }]);
    }
    let mut out = raw::Words::new(crate::elf::ByteOrder::Little);
    out.header(false, types.bytes.len() as u32, strings.len() as u32);
    [out.bytes, types.bytes, strings].concat()
}

/// Parameter names of the function, and whether it is tagged as a kfunc.
fn shown(btf: &[u8], function: &str) -> Option<(Vec<String>, bool)> {
    let btf = Btf::parse(btf).unwrap();
    let id = btf.find(function, Kind::Func)?;
    let proto = btf.get(btf.get(id)?.target())?.func_proto()?;
    let tagged = btf.decl_tags().any(|(target, at, text)| (target, at, text) == (id, -1, "bpf_kfunc"));
    Some((proto.params().map(|param| btf.str(param.name).to_owned()).collect(), tagged))
}

#[test]
fn only_kfuncs_without_a_twin_are_repaired() {
    let before = kfuncs(&[
        ("scx_bpf_create_dsq", true),
        ("scx_bpf_dsq_move", false),
        ("scx_bpf_kick_cpu", false),
        ("scx_bpf_kick_cpu_impl", true),
        ("scx_bpf_now", true),
        ("scx_bpf_now_impl", true),
        ("bpf_prog_get_assoc_struct_ops", true),
    ]);
    let (after, names) = repair_implicit_arguments(&before).unwrap();
    assert_eq!(names, ["scx_bpf_create_dsq"]);
    let params = |list: &[&str], tagged| Some((list.iter().map(|&name| name.to_owned()).collect(), tagged));
    assert_eq!(shown(&after, "scx_bpf_create_dsq"), params(&["cpu"], true));
    assert_eq!(shown(&after, "scx_bpf_create_dsq_impl"), params(&["cpu", "aux"], false));
    for untouched in
        ["scx_bpf_dsq_move", "scx_bpf_kick_cpu", "scx_bpf_kick_cpu_impl", "bpf_prog_get_assoc_struct_ops"]
    {
        assert_eq!(shown(&after, untouched), shown(&before, untouched), "{untouched}");
    }
    assert_eq!(repair_implicit_arguments(&after).unwrap(), (after.clone(), Vec::new()));
}

#[test]
fn functions_are_cut_and_kfuncs_are_not() {
    let btf =
        kfuncs(&[("schedule", false), ("scx_bpf_now", false), ("bpf_scx_reg", false), ("do_exit", true)]);
    let meta = Meta::default().describing(&btf).unwrap();
    let snapshot = read(&write(&btf, None, None, &meta).unwrap()).unwrap();
    assert_same_answers(&btf, &snapshot, "kfuncs");
    assert_eq!(snapshot.cut.functions().unwrap(), ["do_exit", "schedule"]);
    assert!(!snapshot.cut.has_function("scx_bpf_now").unwrap(), "it was kept");
    assert!(shown(&snapshot.btf, "scx_bpf_now").is_some() && shown(&snapshot.btf, "bpf_scx_reg").is_some());
}

/// A section with three functions, and the words of a `.BTF_ids` that calls two of them kfuncs.
fn with_sets() -> (Vec<u8>, Vec<u32>) {
    let btf = kfuncs(&[("schedule", false), ("do_exit", false), ("bpf_task_release", false)]);
    let id = |name| Btf::parse(&btf).unwrap().find(name, Kind::Func).unwrap().0;
    let words = vec![7, 2, 1, id("do_exit"), 0x20, id("bpf_task_release"), 2, 9];
    (btf, words)
}

#[test]
fn the_flags_of_kfuncs_come_along() {
    let (btf, words) = with_sets();
    let bytes = write(&btf, Some(&words), None, &Meta::default().describing(&btf).unwrap()).unwrap();
    let snapshot = read(&bytes).unwrap();
    let cut = Btf::parse(&snapshot.btf).unwrap();
    let sets = KfuncSets::read(&snapshot.cut.btf_ids().unwrap(), &cut);
    let of = |name| sets.flags(cut.find(name, Kind::Func)?).map(|flags| flags.bits());
    // A function that is in a set is kept, whatever it is called.
    assert_eq!((of("do_exit"), of("bpf_task_release"), of("schedule")), (Some(0x20), Some(2), None));
    assert_eq!(snapshot.cut.functions().unwrap(), ["schedule"]);
    assert_eq!(sets.sets().len(), 1);
}

#[test]
fn a_snapshot_from_before_the_flags_is_read() {
    let (btf, words) = with_sets();
    let meta = Meta::default().describing(&btf).unwrap();
    let without = write(&btf, None, None, &meta).unwrap();
    // What an older program wrote ends before the length of the part, 0.
    let mut old = without[..without.len() - 1].to_vec();
    assert_eq!(without.last(), Some(&0));
    old = with_checksum(old);
    for bytes in [&old, &without] {
        let snapshot = read(bytes).unwrap();
        assert_eq!(snapshot.cut.btf_ids(), None);
        assert_same_answers(&btf, &snapshot, "without flags");
    }
    // Damage to the part is met when it is asked for, and costs nothing else.
    let mut damaged = write(&btf, Some(&words), None, &meta).unwrap();
    let last = damaged.len() - 1;
    damaged.truncate(last);
    assert_eq!(read(&with_checksum(damaged)).unwrap_err().code(), "truncated-snapshot");
    let mut damaged = write(&btf, Some(&words), None, &meta).unwrap();
    damaged[last - 3..].fill(0xff);
    assert_eq!(read(&with_checksum(damaged)).unwrap().cut.btf_ids(), None);
}

#[test]
fn what_is_no_snapshot_is_refused_with_its_reason() {
    let bytes = write(&kfuncs(&[("schedule", false)]), None, None, &meta()).unwrap();
    let code = |bytes: &[u8]| read(bytes).unwrap_err().code();
    assert_eq!(code(b""), "not-a-snapshot");
    assert_eq!(code(b"something else altogether"), "not-a-snapshot");
    let mut newer = bytes.clone();
    newer[8] = 3;
    assert_eq!(code(&newer), "unsupported-snapshot");
    assert!(read(&newer).unwrap_err().to_string().contains("version 3, this scx-lint reads version 2"));
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(code(&flipped), "malformed-snapshot");
    for len in 0..bytes.len() {
        assert!(read(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
    }
    assert_eq!(write(b"no btf", None, None, &meta()).unwrap_err().code(), "malformed-snapshot");
}

/// Puts the checksum right, so that damage behind it is met by the code that unpacks.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = crc32fast::hash(&bytes[HEADER..]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Asks everything; the answers do not matter.
fn exercise(bytes: &[u8], pool: Option<&'static Pool>) -> bool {
    let Ok(snapshot) = read_with(bytes, pool) else { return false };
    let _ = Btf::parse(&snapshot.btf);
    let _ = snapshot.cut.functions();
    let _ = snapshot.cut.has_function("schedule");
    let _ = snapshot.cut.original_id(TypeId(7));
    if let (Some(words), Ok(btf)) = (snapshot.cut.btf_ids(), Btf::parse(&snapshot.btf)) {
        let _ = KfuncSets::read(&words, &btf);
    }
    true
}

#[test]
fn damage_behind_the_checksum_neither_panics_nor_grows() {
    let mut random = fastrand::Rng::with_seed(7);
    let fixtures = fixtures();
    let mut read_all_the_same = 0;
    for (_, btf) in fixtures.iter().step_by(8) {
        let bytes = write(btf, None, Some("CONFIG_BPF=y\n"), &meta()).unwrap();
        for round in 0..300 {
            let mut damaged = bytes.clone();
            if round % 4 == 0 {
                damaged.truncate(random.usize(HEADER..bytes.len()));
            }
            for _ in 0..random.usize(1..4) {
                let at = random.usize(HEADER..damaged.len().max(HEADER + 1));
                if let Some(byte) = damaged.get_mut(at) {
                    *byte = random.u8(..);
                }
            }
            read_all_the_same += usize::from(exercise(&with_checksum(damaged), None));
        }
    }
    assert!(read_all_the_same > 0, "no damage got past the headers: the test tests nothing");
}

/// Columns that were packed from nonsense: everything that packing would hide from random damage.
#[test]
fn columns_of_nonsense_neither_panic_nor_grow() {
    let mut random = fastrand::Rng::with_seed(11);
    let fixtures = fixtures();
    let pool: &'static Pool =
        Box::leak(Box::new(Pool::read(&write_pool(&[fixtures[0].1.as_slice()]).unwrap()).unwrap()));
    let mut accepted = 0;
    for round in 0..2000 {
        let mut column = |most: usize, values: u8| -> Vec<u8> {
            let len = random.usize(0..=most);
            std::iter::repeat_with(|| random.u8(0..=values)).take(len).collect()
        };
        let mut types = vec![column(1, 3).first().copied().unwrap_or(0)];
        let wild = round % 3 == 0;
        let values = if wild { 255 } else { 5 };
        // Pool bits, pool sequence, own strings, kinds, and the ten columns that describe them.
        put_fast(&mut types, &column(50, values));
        put_fast(&mut types, &column(200, values));
        put_fast(&mut types, b"flags\0list\0");
        put_fast(&mut types, b"pid\0comm\0rq\0");
        put_fast(&mut types, &column(12, if wild { 255 } else { 19 }));
        (0..10).for_each(|_| put_fast(&mut types, &column(300, values)));
        let pool = (round % 2 == 0).then_some(pool);
        if let Ok(btf) = columns::decode(&types, pool) {
            assert!(btf.len() < 100_000, "{} bytes", btf.len());
            let _ = Btf::parse(&btf);
            accepted += 1;
        }
        let _ = pool::unpack_sorted(&types[1..]).map(|strings| strings.len());
        let _ = Pool::read(&types[1..]).map(|pool| pool.functions().is_ok());
    }
    assert!(accepted > 0, "nothing was accepted: the test tests nothing");
}

/// A snapshot with the content of its columns changed: what lies behind the packing, too.
fn with_changed_columns(bytes: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let (pool, mut all) = parts(bytes).map(|(pool, parts)| (pool, parts.map(<[u8]>::to_vec))).unwrap();
    let mut cursor = Cursor::new(&all[1]);
    let mut types = vec![cursor.byte().unwrap()];
    let mut columns = Vec::new();
    while !cursor.rest().is_empty() {
        columns.push(take_fast(&mut cursor).unwrap());
    }
    for _ in 0..random.usize(1..4) {
        let number = random.usize(..columns.len());
        let column = &mut columns[number];
        match random.u8(..4) {
            0 => column.truncate(random.usize(..=column.len())),
            1 => column.extend(std::iter::repeat_n(random.u8(..), random.usize(..200))),
            _ if column.is_empty() => {}
            _ => {
                let at = random.usize(..column.len());
                // Small numbers make types of types, and large ones lie outside.
                column[at] = if random.bool() { random.u8(..8) } else { random.u8(..) };
            }
        }
    }
    columns.iter().for_each(|column| put_fast(&mut types, column));
    all[1] = types;
    if random.u8(..4) == 0 {
        // Names of functions, ids, flags of kfuncs.
        let part = &mut all[random.usize(2..6)];
        if !part.is_empty() {
            let at = random.usize(..part.len());
            part[at] = random.u8(..);
        }
    }
    let mut out = bytes[..HEADER].to_vec();
    out.extend(pool.to_le_bytes());
    for part in all {
        varint(&mut out, part.len() as u32);
        out.extend(part);
    }
    with_checksum(out)
}

/// Looks everything up in a kernel.
fn look_up(bytes: &[u8]) -> bool {
    let Ok(target) = crate::kernel::target::from_file("changed", bytes) else { return false };
    let Ok(kernel) = crate::kernel::Kernel::new(&target) else { return false };
    let btf = kernel.btf();
    for (id, ty) in btf.types().take(2_000) {
        let name = btf.name(&ty);
        let _ = (btf.resolve(id), btf.size_of(id), btf.align_of(id), btf.names().all(name));
        let _ = (kernel.lookup(name, ty.kind()), kernel.kfunc(name), kernel.kfunc_flags(name));
        if let Some(cut) = &target.cut {
            let _ = (cut.has_function(name), cut.original_id(id));
        }
    }
    let _ = (kernel.arena_rule(), kernel.kfunc_gate(), kernel.ops_flags(), kernel.map_types());
    let _ = (
        kernel.max_call_frames(),
        kernel.max_dispatch_batch(),
        kernel.trusted_fields(),
        kernel.truncated_enums(),
    );
    true
}

#[test]
fn columns_that_are_changed_neither_panic_nor_grow() {
    let mut random = fastrand::Rng::with_seed(13);
    let fixtures = fixtures();
    let mut read = 0;
    let mut change = |bytes: &[u8], rounds: usize| {
        for _ in 0..rounds {
            let changed = with_changed_columns(bytes, &mut random);
            assert!(changed.len() < bytes.len() + 4_000);
            exercise(&changed, None);
            read += usize::from(look_up(&changed));
        }
    };
    for (_, btf) in fixtures.iter().step_by(16) {
        change(&write(btf, None, Some("CONFIG_BPF=y\n"), &meta()).unwrap(), 100);
    }
    // One of a whole kernel.
    let newest = builtin::find(builtin::LATEST).unwrap().load().unwrap();
    let words = newest.cut.btf_ids();
    change(&write(&newest.btf, words.as_deref(), None, &meta()).unwrap(), 20);
    assert!(read > 0, "no change got past the parser: the test tests nothing");
}

/// Little that unpacks to a lot: each has its bound.
#[test]
fn what_unpacks_to_more_than_a_kernel_has_is_refused() {
    // Names that only repeat the one before.
    let (mut shared, mut rests) = (vec![0], vec![b'a'; 4096]);
    rests.push(0);
    (0..100_000).for_each(|_| varint(&mut shared, 4096));
    rests.extend([0; 100_000]);
    let mut packed = Vec::new();
    put_fast(&mut packed, &shared);
    put_fast(&mut packed, &rests);
    assert!(packed.len() < 4_000, "{}", packed.len());
    assert!(pool::unpack_sorted(&packed).is_err());
    // Ids of more types than a kernel may have.
    let (mut runs, mut ids) = (Vec::new(), Vec::new());
    varint(&mut runs, 0);
    varint(&mut runs, u32::MAX - 1);
    put(&mut ids, &runs);
    let functions = Functions { pool: None, packed: Vec::new(), unpacked: OnceLock::new() };
    let meta = Meta { types: u32::MAX, ..meta() };
    let cut = Cut { meta, functions, ids, btf_ids: Vec::new(), original_ids: OnceLock::new() };
    assert_eq!(cut.original_id(TypeId(7)), None);
    // Columns that are long together.
    let mut types = vec![0];
    (0..15).for_each(|_| put_fast(&mut types, &vec![0; 4 << 20]));
    assert!(types.len() < 1 << 20);
    assert!(columns::decode(&types, None).is_err());
}

#[test]
fn a_length_that_lies_reserves_no_memory() {
    let mut bytes = Vec::new();
    varint(&mut bytes, 60 << 20);
    varint(&mut bytes, 5);
    bytes.extend_from_slice(&[1, 2, 3, 4, 5]);
    assert!(take_packed(&mut Cursor::new(&bytes)).is_none());
    assert!(take_fast(&mut Cursor::new(&bytes)).is_none());
}

#[test]
fn numbers_come_back() {
    let numbers = [0, 1, 127, 128, 16383, 16384, u32::MAX / 2, u32::MAX - 1, u32::MAX];
    let mut out = Vec::new();
    for from in numbers {
        for to in numbers {
            super::super::pack::delta(&mut out, from, to);
            varint(&mut out, to);
        }
    }
    let mut cursor = Cursor::new(&out);
    for from in numbers {
        for to in numbers {
            assert_eq!((cursor.delta(from), cursor.varint()), (Some(to), Some(to)));
        }
    }
    assert_eq!(cursor.varint(), None);
    assert_eq!(Cursor::new(&[0xff; 6]).varint(), None);
}

#[test]
fn sorted_strings_come_back() {
    let names: BTreeMap<Vec<u8>, ()> =
        (0..500).map(|i| (format!("function_{}_{i}", i % 7).into_bytes(), ())).collect();
    let packed = pool::pack_sorted(names.keys().map(Vec::as_slice));
    let strings = pool::unpack_sorted(&packed).unwrap();
    assert!(strings.iter().eq(names.keys().map(Vec::as_slice)));
    for (index, name) in names.keys().enumerate() {
        assert_eq!(strings.search(name), Some(index));
    }
    assert_eq!(strings.search(b"function"), None);
    assert_eq!(strings.search(b"zzz"), None);
}
