//! What differs between releases of libbpf, and what both sides of a declaration look like in a report.

use scx_lint::checks::Options;
use scx_lint::kernel::{Kernel, target};
use scx_lint::libbpf::Libbpf;
use scx_lint::load::Loader;
use scx_lint::object::{MapOrigin, MapType, Object};
use scx_lint::report::FindingDoc;
use scx_lint::{Report, lint_for};

use super::root;

fn fixture(stem: &str) -> Vec<u8> {
    std::fs::read(root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"))).unwrap()
}

fn report(stem: &str, kernel: &str, options: &Options) -> Report {
    let targets = target::load(kernel).unwrap();
    let kernels: Vec<Kernel<'_>> = targets.iter().map(|target| Kernel::new(target).unwrap()).collect();
    lint_for(&format!("{stem}.bpf.o"), &fixture(stem), &kernels, options)
}

fn finding<'a>(report: &'a Report, rule: &str) -> &'a FindingDoc {
    report.findings.iter().find(|finding| finding.rule.name == rule).unwrap_or_else(|| {
        panic!("no {rule}: {:?}", report.findings.iter().map(|found| &found.message).collect::<Vec<_>>())
    })
}

/// The rules that fire, but for one that says something of nearly every fixture.
fn rules(report: &Report) -> Vec<&str> {
    let names = report.findings.iter().map(|finding| finding.rule.name);
    names.filter(|name| *name != "no-hotplug-callbacks").collect()
}

#[test]
fn section_names_of_1_8_stand_for_nothing_in_1_7() {
    let stem = "newer-libbpf__sleepable_tracepoint";
    let new = report(stem, "7.3", &Options::default());
    assert_eq!((rules(&new), new.assumptions.libbpf), (vec!["newer-libbpf"], "1.8"));
    let old = report(stem, "7.3", &Options::default().libbpf(Libbpf::V1_7));
    assert_eq!((rules(&old), old.assumptions.libbpf), (vec!["missing-program-type"], "1.7"));
    let found = finding(&old, "missing-program-type");
    assert!(found.message.ends_with("stands for no program type before libbpf 1.8"), "{}", found.message);
    assert!(found.help.as_deref().is_some_and(|help| help.contains("link libbpf 1.8")));
}

#[test]
fn per_cpu_data_is_a_map_since_1_8() {
    let data = fixture("unsupported-percpu-data__used");
    let new = Object::open(&data, "counting.bpf.o").unwrap();
    let index = new.maps_from(MapOrigin::Percpu).next().unwrap();
    let map = &new[index];
    assert_eq!((&*map.name, &*map.kernel_name), (".percpu", ".percpu"));
    assert_eq!((map.map_type, map.flags, map.value_size), (MapType::PERCPU_ARRAY, 0, 8));
    let old = Object::open_with(&data, "counting.bpf.o", Libbpf::V1_7).unwrap();
    assert_eq!(old.maps_from(MapOrigin::Percpu).count(), 0);
    let refused: Vec<_> = old.refusals.iter().map(|refusal| refusal.text.as_str()).collect();
    assert_eq!(refused, ["prog 'demo_running': bad map relo against 'counter' in section '.percpu'"]);
}

#[test]
fn prototypes_are_shown_from_both_sides() {
    let message = |stem: &str, rule: &str| {
        let report = report(stem, "7.3", &Options::default());
        let found = finding(&report, rule);
        (found.message.clone(), found.help.clone().unwrap_or_default())
    };
    let (words, help) = message("mismatched-kfunc__arity", "mismatched-kfunc");
    assert_eq!(
        words,
        "kfunc 'scx_bpf_kick_cpu' is declared as 'void scx_bpf_kick_cpu___short(s32)', the kernel has \
         'void scx_bpf_kick_cpu(s32 cpu, u64 flags)': takes 1 argument here, 2 in the kernel"
    );
    assert!(help.contains("extern void scx_bpf_kick_cpu(s32 cpu, u64 flags) __ksym;"), "{help}");
    let (words, _) = message("mismatched-kfunc__return", "mismatched-kfunc");
    assert!(words.ends_with(": returns 'int' here, 'void' in the kernel"), "{words}");
    let (words, help) = message("mismatched-ksym__int", "mismatched-ksym");
    assert_eq!(
        words,
        "variable 'runqueues' is declared as 'const int runqueues', the kernel has 'struct rq runqueues'"
    );
    assert!(help.contains("extern struct rq runqueues __ksym;"), "{help}");
    let (words, help) = message("mismatched-ops-member__size", "mismatched-ops-member");
    assert!(words.ends_with("'u64 timeout_ms', the kernel has 'u32 timeout_ms'"), "{words}");
    assert!(help.ends_with("(vmlinux.h): u32 timeout_ms;"), "{help}");
    let (words, _) = message("changed-op-signature__beyond", "changed-op-signature");
    assert!(words.contains("the kernel has 'void (*running)(struct task_struct *)'"), "{words}");
    // The name is there, so no test for it is of use.
    let (words, help) = message("unguarded-weak-kfunc__mismatched", "unguarded-weak-kfunc");
    assert!(words.contains("the kernel has '") && !help.contains("bpf_ksym_exists"), "{words}: {help}");
    let report = report("unguarded-weak-kfunc__missing", "6.18", &Options::default());
    let help = finding(&report, "unguarded-weak-kfunc").help.clone().unwrap_or_default();
    assert!(help.contains("bpf_ksym_exists"), "{help}");
}

#[test]
fn a_target_that_only_the_loader_can_name_is_an_error_for_a_loader_that_names_none() {
    let stem = "missing-attach-target__near_scx";
    let plain = report(stem, "7.3", &Options::default().loader(Loader::Plain));
    let found = finding(&plain, "missing-attach-target");
    assert!(
        found.kernel_message.as_deref().is_some_and(|text| text.contains("bpf_program__set_attach_target"))
    );
    for loader in [None, Some(Loader::Scx)] {
        let report = report(stem, "7.3", &Options::default().loader(loader));
        assert!(rules(&report).is_empty());
        let reasons: Vec<_> = report.undecided.iter().map(|open| open.reason.as_str()).collect();
        assert!(
            matches!(reasons[..], [reason] if reason.contains("where the loader sets one")),
            "{reasons:?}"
        );
    }
}

#[test]
fn queues_of_4_gib_are_an_open_question() {
    let report = report("invalid-map-definition__near_queue", "7.3", &Options::default());
    let of_map = |name: &str| {
        let mut open = report.undecided.iter().filter(|open| open.subject.name == name);
        open.next().map(|open| open.reason.clone())
    };
    assert!(of_map("huge").is_some_and(|reason| reason.contains("4 GiB")));
    assert_eq!(of_map("large"), None);
}
