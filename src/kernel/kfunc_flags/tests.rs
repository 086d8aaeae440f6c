use super::*;
use crate::btf::build::Builder;

/// A BTF with these functions; which of them are tagged as kfuncs is told by the flag. Gives the ids, too.
fn btf(functions: &[(&str, bool)]) -> (Vec<u8>, Vec<u32>) {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, true);
    let proto = builder.proto(int, &[("cpu", int)]);
    let ids: Vec<TypeId> = functions.iter().map(|(name, _)| builder.func(name, proto)).collect();
    for (id, (_, tagged)) in ids.iter().zip(functions) {
        if *tagged {
            builder.decl_tag("bpf_kfunc", *id, -1);
        }
    }
    (builder.finish(), ids.into_iter().map(|id| id.0).collect())
}

fn three() -> (Vec<u8>, [u32; 3]) {
    let (bytes, ids) = btf(&[("bpf_one", false), ("bpf_two", false), ("bpf_three", false)]);
    (bytes, [ids[0], ids[1], ids[2]])
}

/// What is found, by id: `(id, bits)`, set by set.
fn found(words: &[u32], bytes: &[u8]) -> Vec<Vec<(u32, u32)>> {
    let sets = KfuncSets::read(words, &Btf::parse(bytes).unwrap());
    let pairs = |set: &KfuncSet| set.kfuncs.iter().map(|(id, flags)| (id.0, flags.bits())).collect();
    sets.sets().iter().map(pairs).collect()
}

#[test]
fn flags_are_written_as_the_kernel_calls_them_and_read_again() {
    let new = KfuncFlags::ITER_NEW.union(KfuncFlags::RCU_PROTECTED);
    for (flags, text) in [
        (KfuncFlags::NONE, "0"),
        (new, "KF_ITER_NEW|KF_RCU_PROTECTED"),
        (KfuncFlags::from_bits(1 << 21 | 1), "KF_ACQUIRE|1 << 21"),
    ] {
        let got = flags.to_string();
        assert_eq!(got, text);
        assert_eq!(KfuncFlags::parse(&got), Some(flags), "{got}");
    }
    for (flag, name) in KfuncFlags::NAMES {
        assert_eq!((flag.to_string().as_str(), KfuncFlags::parse(name)), (*name, Some(*flag)));
    }
    for text in ["", "KF_", "KF_ACQUIRE|", "1 << 32", "1 << x", "acquire"] {
        assert_eq!(KfuncFlags::parse(text), None, "{text}");
    }
    assert!(KfuncFlags::NAMES.is_sorted_by_key(|(flag, _)| *flag));
    assert!(new.contains(KfuncFlags::ITER_NEW) && !KfuncFlags::ITER_NEW.contains(new));
    assert_eq!(new.without(KfuncFlags::ITER_NEW), KfuncFlags::RCU_PROTECTED);
    assert_eq!(new.intersection(KfuncFlags::ITER_NEW), KfuncFlags::ITER_NEW);
    assert_eq!(format!("{new:?}"), "KfuncFlags(KF_ITER_NEW|KF_RCU_PROTECTED)");
}

#[test]
fn sets_are_found_between_lists_of_ids() {
    let (bytes, [one, two, three]) = three();
    let words = [
        one, two, 0, 7, 1, // ids, none, a number, the id of an int
        2, 1, one, 0x20, three, 0x10804, // a set
        1, 1, two, 0, // the next
        3, one, two, three, // a set of ids without flags (BTF_SET)
        1, 0, two, 0, // a set of hooks: not of kfuncs (BTF_SET8)
        1, 1, two, 0x80, // a kfunc may be in several
    ];
    assert_eq!(
        found(&words, &bytes),
        [vec![(one, 0x20), (three, 0x10804)], vec![(two, 0)], vec![(two, 0x80)]]
    );
    let parsed = Btf::parse(&bytes).unwrap();
    let sets = KfuncSets::read(&words, &parsed);
    assert_eq!(sets.flags(TypeId(two)), Some(KfuncFlags::RCU));
    assert_eq!((sets.kfuncs().len(), sets.flags(TypeId(1))), (3, None));
    // What is written is read again, with other ids too.
    let again = KfuncSets::read(&sets.words(Some), &parsed);
    assert_eq!(again, sets);
    let without = sets.words(|id| (id.0 != two).then_some(id));
    assert_eq!(found(&without, &bytes), [vec![(one, 0x20), (three, 0x10804)]]);
}

#[test]
fn what_only_looks_like_a_set_is_none() {
    let (bytes, [one, two, three]) = three();
    let proto = 2;
    for (words, why) in [
        (vec![2, 1, two, 0, one, 0], "the ids descend"),
        (vec![2, 1, two, 0, two, 0], "an id twice"),
        (vec![2, 1, one, 0, proto, 0], "no function, and descending"),
        (vec![1, 1, proto, 0], "no function"),
        (vec![1, 1, 999, 0], "no type"),
        (vec![1, 1, 0, 0], "no kfunc at all"),
        (vec![0, 1, one, 0], "empty"),
        (vec![1, 3, one, 0], "another flag of the set"),
        (vec![1, 1, one, 8], "a flag that is gone"),
        (vec![1, 1, one, 1 << 24], "no flags"),
        (vec![2, 1, one, 0, two], "it ends early"),
        (vec![1, 1, one], "it ends early"),
        (vec![1, 1], "it ends early"),
        (vec![257, 1, one, 0], "too large"),
        (vec![u32::MAX, 1, one, 0], "too large"),
        (vec![2, 1, one, 0, 0, 0], "unresolved ones come first"),
        (vec![], "nothing"),
    ] {
        assert_eq!(found(&words, &bytes), Vec::<Vec<_>>::new(), "{why}");
    }
    // A kfunc that the build could not resolve has no id, and is sorted to the start.
    assert_eq!(found(&[2, 1, 0, 0x20, three, 5], &bytes), [vec![(three, 5)]]);
}

#[test]
fn where_kfuncs_are_tagged_a_set_has_one_that_is() {
    let (bytes, ids) = btf(&[("bpf_one", true), ("bpf_two", false), ("schedule", false)]);
    let words = [2, 1, ids[0], 1, ids[1], 2, 1, 1, ids[2], 0];
    assert_eq!(found(&words, &bytes), [vec![(ids[0], 1), (ids[1], 2)]]);
}

#[test]
fn the_sets_of_sched_ext_are_told_by_a_member() {
    let (bytes, ids) = btf(&[
        ("scx_bpf_create_dsq", true),
        ("scx_bpf_select_cpu_dfl", true),
        ("scx_bpf_pick_idle_cpu", true),
        ("bpf_task_release", true),
    ]);
    let parsed = Btf::parse(&bytes).unwrap();
    let name = |members: &[u32]| {
        let mut words = vec![members.len() as u32, 1];
        words.extend(members.iter().flat_map(|id| [*id, 0]));
        KfuncSets::read(&words, &parsed).sets()[0].scx_name(&parsed)
    };
    assert_eq!(name(&[ids[0], ids[1]]), Some("unlocked"));
    assert_eq!(name(&[ids[1], ids[2]]), Some("idle"));
    assert_eq!(name(&[ids[1]]), Some("select_cpu"));
    assert_eq!(name(&[ids[3]]), None);
}

#[test]
fn nonsense_neither_panics_nor_takes_long() {
    let (bytes, [one, two, three]) = three();
    let parsed = Btf::parse(&bytes).unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let mut some = 0;
    for _ in 0..500 {
        let choice = [0, 1, 1, 1, 2, 3, one, two, three, 0x80, u32::MAX];
        let words: Vec<u32> =
            std::iter::repeat_with(|| choice[random.usize(..choice.len())]).take(200).collect();
        let sets = KfuncSets::read(&words, &parsed);
        assert_eq!(KfuncSets::read(&sets.words(Some), &parsed).sets().len(), sets.sets().len());
        some += sets.sets().len();
    }
    assert!(some > 0);
    // The longest there can be, each word the start of a set that is too long by one.
    let mut builder = Builder::new();
    let proto = builder.proto(TypeId::VOID, &[]);
    (0..1000).for_each(|at| {
        builder.func(&format!("f{at}"), proto);
    });
    let bytes = builder.finish();
    let words: Vec<u32> = (0..2 * MAX_WORDS as u32).map(|at| if at % 2 == 1 { 1 } else { 256 }).collect();
    assert!(KfuncSets::read(&words, &Btf::parse(&bytes).unwrap()).is_empty());
}
