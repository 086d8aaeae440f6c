//! The three-way arena rule on objects built in memory, against a model of a few lines.

use std::collections::BTreeSet;

use scx_lint::checks::{self, ArenaRule, Options};
use scx_lint::errno::Errno;
use scx_lint::object::Object;

use super::builder::{ARENA, ARRAY, FunctionSpec, MAP_ALWAYS, MMAPABLE, MapSpec, Spec};

/// The rules of which at most one is reported for a scheduler, and the kernel's words.
const THREE: [(&str, &str); 3] = [
    ("multiple-arenas", "sched_ext: cid-form scheduler uses multiple arena maps"),
    ("missing-arena", "sched_ext: cid-form scheduler must use a BPF arena map"),
    ("arena-not-always-mapped", "sched_ext: arena map requires BPF_F_ARENA_MAP_ALWAYS for cid-form"),
];

/// Which of the three fires; checks errno, words and subject on the way.
fn verdict(object: &Object<'_>, arena_rule: ArenaRule) -> Option<&'static str> {
    let outcome = checks::check(object, &Options::default().arena_rule(arena_rule));
    let mut found = outcome.findings.iter().filter_map(|finding| {
        let (rule, words) = THREE.into_iter().find(|(rule, _)| *rule == finding.rule.name)?;
        assert_eq!(finding.errno, Some(Errno::EINVAL));
        assert_eq!(finding.kernel_message.as_deref(), Some(words));
        assert_eq!(finding.subject.name, "demo_ops");
        Some(rule)
    });
    let first = found.next();
    assert_eq!(found.next(), None, "one of the three at most");
    first
}

fn arena(flags: u32) -> MapSpec {
    MapSpec { map_type: ARENA, flags: MMAPABLE | flags }
}

fn array() -> MapSpec {
    MapSpec { map_type: ARRAY, flags: 0 }
}

fn uses(maps: &[usize]) -> FunctionSpec {
    FunctionSpec { maps: maps.to_vec(), calls: Vec::new() }
}

fn calls(callees: &[usize]) -> FunctionSpec {
    FunctionSpec { maps: Vec::new(), calls: callees.to_vec() }
}

/// A cid-form scheduler of these maps and programs.
fn cid(maps: Vec<MapSpec>, programs: Vec<FunctionSpec>) -> Spec {
    Spec { ops_type: "sched_ext_ops_cid", maps, programs, outsider: None, subprograms: Vec::new() }
}

/// The outcome under the strict rule and under the relaxed one.
fn both(spec: &Spec) -> [Option<&'static str>; 2] {
    let data = spec.build();
    let object = Object::open(&data, "memory.bpf.o").unwrap();
    assert_eq!(object.maps.len(), spec.maps.len() + 1, "{:?}", object.refusals);
    assert_eq!(object.struct_ops.len(), 1);
    let strict = verdict(&object, ArenaRule::Always);
    assert_eq!(verdict(&object, ArenaRule::Auto), strict, "no kernel is named");
    [strict, verdict(&object, ArenaRule::One)]
}

#[test]
fn none_one_and_two_arenas() {
    let (missing, several) = (Some("missing-arena"), Some("multiple-arenas"));
    assert_eq!(both(&cid(vec![], vec![uses(&[])])), [missing; 2]);
    assert_eq!(both(&cid(vec![array()], vec![uses(&[0])])), [missing; 2]);
    assert_eq!(both(&cid(vec![arena(MAP_ALWAYS)], vec![uses(&[])])), [missing; 2], "declared, not used");
    assert_eq!(both(&cid(vec![arena(MAP_ALWAYS)], vec![uses(&[0])])), [None; 2]);
    assert_eq!(both(&cid(vec![arena(0)], vec![uses(&[0])])), [Some("arena-not-always-mapped"), None]);
    let two = vec![arena(MAP_ALWAYS), arena(MAP_ALWAYS)];
    assert_eq!(both(&cid(two.clone(), vec![uses(&[0]), uses(&[1])])), [several; 2], "in two members");
    assert_eq!(both(&cid(two.clone(), vec![uses(&[0, 1])])), [several; 2], "in one member");
    assert_eq!(both(&cid(two, vec![uses(&[1]), uses(&[1])])), [None; 2], "the second alone");
}

#[test]
fn several_arenas_come_before_the_flag() {
    let spec = cid(vec![arena(0), arena(0)], vec![uses(&[0, 1])]);
    assert_eq!(both(&spec), [Some("multiple-arenas"); 2]);
}

#[test]
fn only_the_very_bit_counts() {
    for bit in (0..32).filter(|&bit| 1 << bit != MMAPABLE && 1 << bit != MAP_ALWAYS) {
        let spec = cid(vec![arena(1 << bit)], vec![uses(&[0])]);
        assert_eq!(both(&spec), [Some("arena-not-always-mapped"), None], "bit {bit}");
    }
}

#[test]
fn subprograms_count_where_they_are_reached() {
    let mut spec = cid(vec![arena(MAP_ALWAYS)], vec![calls(&[0])]);
    spec.subprograms = vec![calls(&[1]), uses(&[0]), uses(&[])];
    assert_eq!(both(&spec), [None; 2], "two calls deep");
    spec.programs = vec![calls(&[2])];
    assert_eq!(both(&spec), [Some("missing-arena"); 2], "in a function that is not called");
}

#[test]
fn programs_that_are_no_members_do_not_count() {
    let mut spec = cid(vec![arena(MAP_ALWAYS)], vec![uses(&[])]);
    spec.outsider = Some(uses(&[0]));
    assert_eq!(both(&spec), [Some("missing-arena"); 2]);
}

#[test]
fn the_other_forms_have_no_arena_rule() {
    for ops_type in ["sched_ext_ops", "tcp_congestion_ops", "sched_ext_ops_cidx"] {
        for programs in [vec![uses(&[])], vec![uses(&[0])], vec![uses(&[0, 1])]] {
            let spec = Spec { ops_type, ..cid(vec![arena(0), arena(0)], programs) };
            assert_eq!(both(&spec), [None; 2], "{ops_type}");
        }
    }
    let flavoured = Spec { ops_type: "sched_ext_ops_cid___v2", ..cid(vec![], vec![uses(&[])]) };
    assert_eq!(both(&flavoured), [Some("missing-arena"); 2]);
}

/// Maps that a function reaches, by plain recursion.
fn reached(spec: &Spec, function: &FunctionSpec, seen: &mut BTreeSet<usize>, maps: &mut BTreeSet<usize>) {
    maps.extend(&function.maps);
    for &callee in &function.calls {
        if seen.insert(callee) {
            reached(spec, &spec.subprograms[callee], seen, maps);
        }
    }
}

#[test]
fn five_hundred_random_schedulers_fit_the_model() {
    let mut random = fastrand::Rng::with_seed(0xa2e4a);
    let mut seen = BTreeSet::new();
    for round in 0..500 {
        let maps: Vec<MapSpec> =
            (0..random.usize(..4))
                .map(|_| {
                    if random.u8(..3) == 0 { array() } else { arena(random.choice([0, MAP_ALWAYS]).unwrap()) }
                })
                .collect();
        let subprograms = random.usize(..5);
        let mut function = || {
            let pick = |random: &mut fastrand::Rng, of: usize| -> Vec<usize> {
                (0..of).filter(|_| random.u8(..5) == 0).collect()
            };
            FunctionSpec { maps: pick(&mut random, maps.len()), calls: pick(&mut random, subprograms) }
        };
        let mut spec = cid(maps.clone(), (0..3).map(|_| function()).collect());
        spec.subprograms = (0..subprograms).map(|_| function()).collect();
        spec.outsider = Some(function());
        let mut used = BTreeSet::new();
        for program in &spec.programs {
            reached(&spec, program, &mut BTreeSet::new(), &mut used);
        }
        let arenas: Vec<_> = used.into_iter().filter(|&map| maps[map].map_type == ARENA).collect();
        let relaxed = match arenas.len() {
            0 => Some("missing-arena"),
            1 => None,
            _ => Some("multiple-arenas"),
        };
        let strict = match arenas[..] {
            [one] if maps[one].flags & MAP_ALWAYS == 0 => Some("arena-not-always-mapped"),
            _ => relaxed,
        };
        assert_eq!(both(&spec), [strict, relaxed], "round {round}: {spec:?}");
        seen.insert((strict, relaxed));
    }
    assert_eq!(seen.len(), 4, "every outcome was among them: {seen:?}");
}
