//! Kernels that no built-in release is, and snapshots in place of kernels.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use scx_lint::btf::build::{Builder, Field};
use scx_lint::btf::{Btf, Kind, TypeId};
use scx_lint::checks::{self, Checker, Options};
use scx_lint::finding::Outcome;
use scx_lint::kernel::builtin::{RELEASES, Release};
use scx_lint::kernel::{
    Arch, ConfigOrigin, DecidedBy, Kernel, KernelArenaRule, Lookup, Source, Target, image, snapshot, target,
};
use scx_lint::load::{Loader, Values};
use scx_lint::object::Object;
use scx_lint::rule::{Level, Phase};

use super::tools::skipped;
use super::{corpus_objects, fixture_objects, kernels_at_hand, name, root};

/// A kernel out of the bytes of a BTF.
fn target_of(name: &str, btf: Vec<u8>) -> Target {
    Target { name: name.to_owned(), btf, ..Target::default() }
}

fn built_in(release: &str) -> Target {
    target::load(release).unwrap().remove(0)
}

/// A BTF with more types at its end.
pub(super) fn extended(base: &[u8], add: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut builder = Builder::split(&Btf::parse(base).unwrap());
    add(&mut builder);
    let more = builder.finish();
    // Header length, offset and length of types, offset and length of strings.
    let word = |data: &[u8], at: usize| u32::from_le_bytes(*data[at..].first_chunk().unwrap()) as usize;
    let part = |data: &[u8], at: usize| {
        let start = word(data, 4) + word(data, at);
        data[start..start + word(data, at + 4)].to_vec()
    };
    let types = [part(base, 8), part(&more, 8)].concat();
    let strings = [part(base, 16), part(&more, 16)].concat();
    let mut out = base[..4].to_vec();
    for field in [24, 0, types.len(), types.len(), strings.len()] {
        out.extend((field as u32).to_le_bytes());
    }
    [out, types, strings].concat()
}

/// The least kernel with sched_ext that the fixtures need: two ops members and a task.
fn least(with_sched_ext: bool, add: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut btf = Builder::new();
    let int = btf.int("int", 4, true);
    let char = btf.int("char", 1, true);
    let comm = btf.array(char, 16);
    let task = btf.composite("task_struct", 24, &[Field::new("pid", int, 0), Field::new("comm", comm, 64)]);
    let task = btf.ptr(task);
    // What shows that the kernel can trace.
    let nothing = btf.proto(TypeId::VOID, &[]);
    for function in ["trace_call_bpf", "ftrace_location", "init_syscall_trace"] {
        btf.func(function, nothing);
    }
    if with_sched_ext {
        let running = btf.proto(TypeId::VOID, &[("", task)]);
        let running = btf.ptr(running);
        let text = btf.array(char, 128);
        let members = [Field::new("running", running, 0), Field::new("name", text, 64)];
        let ops = btf.composite("sched_ext_ops", 136, &members);
        let wrapper = [Field::new("common", int, 0), Field::new("data", ops, 512)];
        btf.composite("bpf_struct_ops_sched_ext_ops", 256, &wrapper);
    }
    add(&mut btf);
    btf.finish()
}

fn fixture(stem: &str) -> Vec<u8> {
    std::fs::read(root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"))).unwrap()
}

fn lint(stem: &str, target: &Target) -> Outcome {
    let data = fixture(stem);
    let object = Object::open(&data, stem).unwrap();
    let kernel = Kernel::new(target).unwrap();
    checks::check_on(&object, Some(&kernel), &Options::default())
}

/// Rules that find more than a note, in name order.
fn rules(stem: &str, target: &Target) -> Vec<&'static str> {
    let found = lint(stem, target).findings;
    let rules: BTreeSet<_> = found.iter().filter(|f| f.level > Level::Note).map(|f| f.rule.name).collect();
    rules.into_iter().collect()
}

fn undecided(stem: &str, target: &Target) -> Vec<&'static str> {
    let rules: BTreeSet<_> = lint(stem, target).undecided.iter().map(|open| open.rule.name).collect();
    rules.into_iter().collect()
}

#[test]
fn a_kernel_without_schedulers_in_bpf() {
    let without = target_of("bare", least(false, |_| {}));
    assert_eq!(rules("no-sched-ext__near_any", &without), ["no-sched-ext"]);
    let found = lint("no-sched-ext__near_any", &without).findings;
    assert_eq!(
        found[0].kernel_message.as_deref(),
        Some("struct_ops init_kern: struct bpf_struct_ops_sched_ext_ops is not found in kernel BTF")
    );
    let with = target_of("least", least(true, |_| {}));
    assert_eq!(rules("no-sched-ext__near_any", &with), [""; 0]);
    // An object without a scheduler asks for none.
    assert!(!rules("no-struct-ops__tracing", &without).contains(&"no-sched-ext"));
}

/// Which argument may be NULL is what the kernel's stub says, of whatever callback.
#[test]
fn a_kernel_marks_the_arguments_that_may_be_null() {
    // The third callback as the fixtures have it; the stubs of two, whose arguments are called so.
    let kernel = |p: &str, prev: &str| {
        let mut btf = Builder::new();
        let int = btf.int("int", 4, true);
        let char = btf.int("char", 1, true);
        let task = btf.composite("task_struct", 24, &[Field::new("pid", int, 0)]);
        let task = btf.ptr(task);
        let running = btf.proto(TypeId::VOID, &[(p, task)]);
        let dispatch = btf.proto(TypeId::VOID, &[("cpu", int), (prev, task)]);
        btf.func("sched_ext_ops__running", running);
        btf.func("sched_ext_ops__dispatch", dispatch);
        let (running, dispatch) = (btf.ptr(running), btf.ptr(dispatch));
        let text = btf.array(char, 128);
        let ops = btf.composite(
            "sched_ext_ops",
            144,
            &[
                Field::new("running", running, 0),
                Field::new("dispatch", dispatch, 64),
                Field::new("name", text, 128),
            ],
        );
        let wrapper = [Field::new("common", int, 0), Field::new("data", ops, 512)];
        btf.composite("bpf_struct_ops_sched_ext_ops", 256, &wrapper);
        target_of("marks", btf.finish())
    };
    let (running, dispatch) =
        ("nullable-argument-dereference__near_unmarked", "nullable-argument-dereference__dispatch");
    let rule = "nullable-argument-dereference";
    let usual = kernel("p", "prev__nullable");
    assert_eq!((rules(running, &usual), rules(dispatch, &usual)), (vec![], vec![rule]));
    let other = kernel("p__nullable", "prev");
    assert_eq!((rules(running, &other), rules(dispatch, &other)), (vec![rule], vec![]));
    let found = lint(running, &other).findings;
    assert!(found.iter().any(|finding| finding.message.contains("'running' dereferences 'p'")), "{found:?}");
}

#[test]
fn what_a_partial_kernel_lacks_is_not_known() {
    let mut partial = target_of("partial", least(true, |_| {}));
    let whole = target_of("whole", least(true, |_| {}));
    partial.partial = Some("it was built with a small configuration".into());
    for (stem, rule) in [
        ("missing-ksym__int", "missing-ksym"),
        ("missing-attach-target__fentry", "missing-attach-target"),
        ("missing-attach-target__tracepoint", "missing-attach-target"),
        ("unresolved-core-relocation__field", "unresolved-core-relocation"),
        ("unknown-struct-ops-type__other", "unknown-struct-ops-type"),
    ] {
        assert_eq!(rules(stem, &whole), [rule], "{stem}");
        assert_eq!(rules(stem, &partial), [""; 0], "{stem}");
        assert!(undecided(stem, &partial).contains(&rule), "{stem}");
    }
    // What belongs to the scheduler class alone is there whatever the configuration.
    assert_eq!(rules("missing-kfunc__unloaded", &partial), ["missing-kfunc"]);
    assert_eq!(rules("unknown-struct-ops-type__cid", &partial), ["unknown-struct-ops-type"]);
    assert_eq!(rules("unknown-ops-member__value", &partial), ["unknown-ops-member"]);
}

#[test]
fn constants_that_a_naked_loader_leaves_zero() {
    let release = built_in("7.3");
    let kernel = Kernel::new(&release).unwrap();
    let data = fixture("unknown-ops-member__near_cleared");
    let object = Object::open(&data, "edited").unwrap();
    let fires = |loader| {
        let options = Options::default().loader(loader);
        let outcome = checks::check_on(&object, Some(&kernel), &options);
        outcome.findings.iter().any(|finding| finding.rule.name == "unfilled-scx-constants")
    };
    assert!(fires(Loader::Plain));
    assert!(!fires(Loader::Scx));
}

#[test]
fn configurations_answer_for_kconfig_externs() {
    let stem = "unknown-kconfig__near_strong";
    let mut target = target_of("least", least(true, |_| {}));
    let of = |target: &Target| (rules(stem, target), undecided(stem, target));
    assert_eq!(of(&target), (vec![], vec!["unknown-kconfig"]));
    target.kconfig = Some("CONFIG_PREEMPT_RCU=y\n# CONFIG_PREEMPT_RT is not set\n".to_owned());
    assert_eq!(of(&target), (vec![], vec![]));
    // Of others than those that it lists it says nothing, unless it is whole.
    target.kconfig = Some("CONFIG_PREEMPT_RCU_X=y\n".to_owned());
    assert_eq!(of(&target), (vec![], vec!["unknown-kconfig"]));
    let always = "unknown-kconfig__near_always";
    assert_eq!((rules(always, &target), undecided(always, &target)), (vec![], vec![]));
    assert_eq!(rules(always, &configured("7.3", "# CONFIG_PREEMPT_RT is not set\n")), [""; 0]);
    let needed = "CONFIG_SCHED_CLASS_EXT=y\nCONFIG_BPF_JIT=y\nCONFIG_BPF_SYSCALL=y\n";
    target.kconfig = Some(format!("CONFIG_CC_VERSION_TEXT=\"gcc\"\n{needed}CONFIG_PREEMPT_RCU_X=y\n"));
    assert_eq!(of(&target), (vec!["unknown-kconfig"], vec![]));
    target.kconfig = Some("# CONFIG_PREEMPT_RCU is not set\n".to_owned());
    assert_eq!(of(&target), (vec!["unknown-kconfig"], vec![]));
    // libbpf reads `n` as it does `y`.
    target.kconfig = Some("CONFIG_PREEMPT_RCU=n\n# CONFIG_PREEMPT_RT is not set\n".to_owned());
    assert_eq!(of(&target), (vec![], vec![]));
    // Where none is known even what every configuration sets is a question: libbpf has to find one.
    target.kconfig = None;
    assert_eq!((rules(always, &target), undecided(always, &target)), (vec![], vec!["unknown-kconfig"]));
    let open = lint(always, &target).undecided.remove(0);
    assert!(open.reason.contains("'CONFIG_HZ' and 1 more"), "{}", open.reason);
    assert_eq!((open.decided_by, open.locations.len()), (vec![DecidedBy::Kconfig], 1));
    // A release that the program carries is taken to bring its distribution's.
    assert_eq!(undecided(always, &built_in("7.3")), [""; 0]);
    assert_eq!(undecided(stem, &built_in("7.3")), [""; 0]);
}

#[test]
fn a_machine_without_configuration_fails_every_option() {
    let mut target = built_in("7.3");
    target.source = Source::Host;
    target.kconfig_origin = ConfigOrigin::Missing;
    let found = lint("unknown-kconfig__near_always", &target).findings;
    let found: Vec<_> = found.iter().filter(|found| found.level == Level::Error).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kernel_message.as_deref(), Some("failed to open system Kconfig"));
    // A weak one does not help.
    assert_eq!(rules("unknown-kconfig__near_version", &target), ["unknown-kconfig"]);
    assert_eq!(rules("good__realistic_cpu", &target), [""; 0]);
}

#[test]
fn the_version_is_made_of_the_release_or_of_what_debian_says() {
    let mut target = built_in("7.3");
    let found = |target: &Target| {
        let found = lint("unknown-kconfig__near_version", target).findings;
        let found = found.into_iter().find(|found| found.level == Level::Error);
        found.map(|found| found.kernel_message.unwrap_or_default())
    };
    assert_eq!(found(&target), None);
    target.release = Some("7.3-cloud-amd64".to_owned());
    // What else there is of the banner is not known.
    assert_eq!(found(&target), None);
    assert_eq!(undecided("unknown-kconfig__near_version", &target), ["unknown-kconfig"]);
    target.build = Some("#1 SMP PREEMPT_DYNAMIC Debian 7.3~rc4-1~exp1 (2026-10-01)".to_owned());
    let words = "extern (kcfg) 'LINUX_KERNEL_VERSION': failed to get kernel version";
    assert_eq!(found(&target).as_deref(), Some(words));
    target.build = Some("#1 SMP PREEMPT_DYNAMIC Debian 7.3.4-1 (2026-11-15)".to_owned());
    assert_eq!(found(&target), None);
}

/// A built-in release with a configuration that says this.
fn configured(release: &str, lines: &str) -> Target {
    let mut target = built_in(release);
    target.set_config(lines.to_owned(), ConfigOrigin::Named);
    target
}

#[test]
fn kernels_for_real_time_take_no_timers() {
    let plain = "timer-under-preempt-rt__near_plain";
    let told = configured("7.3", "CONFIG_PREEMPT_RT=y\n");
    let shown = |btf: &mut Builder| {
        let int = btf.int("int", 4, true);
        btf.composite("spinlock", 4, &[Field::new("lock", int, 0)]);
    };
    let shown = target_of("rt", least(true, shown));
    let found = lint(plain, &told).findings;
    let found: Vec<_> = found.iter().filter(|found| found.level == Level::Error).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].rule.name, "timer-under-preempt-rt");
    assert_eq!(found[0].kernel_message.as_deref(), Some("bpf_timer cannot be used for PREEMPT_RT."));
    assert!(rules("kfunc-outside-its-ops__near_timer", &shown).contains(&"timer-under-preempt-rt"));
    for off in ["CONFIG_PREEMPT_RT=n\n", "# CONFIG_PREEMPT_RT is not set\n"] {
        let target = configured("7.3", off);
        assert_eq!((rules(plain, &target), undecided(plain, &target)), (vec![], vec![]), "{off}");
    }
    let junk = configured("7.3", "CONFIG_PREEMPT_RT=maybe\n");
    assert_eq!((rules(plain, &junk), undecided(plain, &junk)), (vec![], vec!["timer-under-preempt-rt"]));
    // What a constant keeps out the verifier does not walk.
    assert_eq!(rules("timer-under-preempt-rt__near_knob", &told), [""; 0]);
    // A kernel that does not tell leaves it open where there is a timer.
    let mut partial = target_of("partial", least(true, |_| {}));
    partial.partial = Some("it was built with a small configuration".into());
    assert!(undecided("kfunc-outside-its-ops__near_timer", &partial).contains(&"timer-under-preempt-rt"));
    assert!(!undecided("good__realistic_cpu", &partial).contains(&"timer-under-preempt-rt"));
}

#[test]
fn what_a_configuration_leaves_out() {
    for (stem, lines, rule, phase, errno, words) in [
        (
            "throw-without-unwinder__near_plain",
            "# CONFIG_UNWINDER_ORC is not set",
            "throw-without-unwinder",
            Phase::Load,
            "ENOTSUPP",
            "JIT does not support calling kfunc bpf_throw",
        ),
        (
            "missing-tracing-support__near_helper",
            "# CONFIG_BPF_EVENTS is not set",
            "missing-tracing-support",
            Phase::Load,
            "EINVAL",
            "program of this type cannot use helper bpf_trace_printk#6",
        ),
        (
            "missing-tracing-support__near_programs",
            "# CONFIG_BPF_EVENTS is not set",
            "missing-tracing-support",
            Phase::Load,
            "EINVAL",
            "prog 'trace_exit': BPF program load failed: -EINVAL",
        ),
        (
            "missing-tracing-support__near_programs",
            "# CONFIG_FUNCTION_TRACER is not set",
            "missing-tracing-support",
            Phase::Attach,
            "EBUSY",
            "prog 'trace_exit': failed to attach",
        ),
        (
            "missing-tracing-support__near_programs",
            "# CONFIG_FTRACE_SYSCALLS is not set",
            "missing-tracing-support",
            Phase::Attach,
            "ENOENT",
            "prog 'trace_yield': failed to create tracepoint 'syscalls/sys_enter_sched_yield' perf event: -ENOENT",
        ),
        (
            "missing-ksym__near_runqueues",
            "# CONFIG_KALLSYMS_ALL is not set",
            "missing-ksym",
            Phase::Load,
            "ENOENT",
            "ldimm64 failed to find the address for kernel symbol 'runqueues'.",
        ),
        (
            "no-sched-ext__near_any",
            "# CONFIG_SCHED_CLASS_EXT is not set",
            "no-sched-ext",
            Phase::Load,
            "ESRCH",
            "not found in kernel BTF",
        ),
        (
            "no-sched-ext__near_any",
            "# CONFIG_BPF_JIT is not set",
            "no-sched-ext",
            Phase::Load,
            "ESRCH",
            "not found in kernel BTF",
        ),
    ] {
        assert_eq!(rules(stem, &built_in("7.3")), [""; 0], "{stem}");
        let option = lines.strip_prefix("# ").and_then(|line| line.strip_suffix(" is not set")).unwrap();
        for lines in [lines, &format!("{option}=n")] {
            let found = lint(stem, &configured("7.3", lines)).findings;
            let found = found.iter().find(|found| found.level == Level::Error);
            let found = found.unwrap_or_else(|| panic!("{stem}: {lines}"));
            assert_eq!(found.rule.name, rule, "{stem}: {lines}");
            let message = found.kernel_message.as_deref().unwrap_or_default();
            assert!(message.contains(words), "{stem}: {message}");
            let named = found.errno.map(|errno| errno.to_string());
            assert_eq!((found.phase, named.as_deref()), (phase, Some(errno)), "{stem}: {lines}");
        }
    }
    // What is refused is what needs the option, and nothing else of the object.
    for (line, concerned) in [
        (
            "CONFIG_BPF_EVENTS=n",
            "program 'trace_exit' traces, which the kernel cannot do without CONFIG_BPF_EVENTS, and so does 'trace_yield'",
        ),
        (
            "CONFIG_FUNCTION_TRACER=n",
            "program 'trace_exit' attaches to a function, which the kernel cannot do without CONFIG_FUNCTION_TRACER",
        ),
        (
            "CONFIG_FTRACE_SYSCALLS=n",
            "program 'trace_yield' attaches to a system call's tracepoint, which the kernel cannot do without CONFIG_FTRACE_SYSCALLS",
        ),
    ] {
        let found = lint("missing-tracing-support__near_programs", &configured("7.3", line)).findings;
        let refused = found.iter().filter(|found| found.level == Level::Error);
        let told: Vec<_> = refused.map(|found| &*found.message).collect();
        assert_eq!(told, [concerned]);
    }
    // What an attach without the function tracer answers is known of x86-64 alone.
    let mut arm = target_of("arm", least(true, |_| {}));
    arm.set_config("CONFIG_FUNCTION_TRACER=n".to_owned(), ConfigOrigin::Named);
    arm.arch = Some(Arch::Arm64);
    let found = lint("missing-tracing-support__near_programs", &arm).findings;
    let found = found.iter().find(|found| found.rule.name == "missing-tracing-support").unwrap();
    assert_eq!((found.phase, found.errno), (Phase::Attach, None));
    // One cause is told once, with all who are concerned.
    let found =
        lint("missing-tracing-support__near_several", &configured("7.3", "CONFIG_BPF_EVENTS=n")).findings;
    let refused = found.iter().filter(|found| found.level == Level::Error);
    let told: Vec<_> = refused.map(|found| (&*found.message, found.locations.len())).collect();
    assert_eq!(
        told,
        [
            (
                "program 'demo_running' calls 'bpf_trace_printk', which a kernel without CONFIG_BPF_EVENTS lacks, and so does 'demo_stopping'",
                2
            ),
            (
                "program 'demo_quiescent' calls 'bpf_probe_read_kernel', which a kernel without CONFIG_BPF_EVENTS lacks",
                1
            ),
        ]
    );
    // A question does not say again whom it is about.
    let edited =
        configured("7.3", "CONFIG_BPF_EVENTS=n\nCONFIG_FUNCTION_TRACER=n\nCONFIG_FTRACE_SYSCALLS=n\n");
    let data = fixture("missing-tracing-support__near_programs");
    let object = Object::open(&data, "edited").unwrap();
    let kernel = Kernel::new(&edited).unwrap();
    let open = checks::check_on(&object, Some(&kernel), &Options::default().loader(Loader::Scx)).undecided;
    let open: Vec<_> = open.iter().filter(|open| open.rule.name == "missing-tracing-support").collect();
    let [open] = &open[..] else { panic!("{open:?}") };
    let words = "traces, which the kernel cannot do without CONFIG_BPF_EVENTS, and so does 'trace_yield'; the loader may leave it out";
    assert_eq!((&*open.reason, open.locations.len()), (words, 2));
    // Where the types may be missing or do not show it, nobody knows without the configuration.
    let mut bare = target_of("bare", built_in("7.3").btf);
    bare.partial = Some("it was cut".into());
    let open = lint("missing-ksym__near_runqueues", &bare).undecided.remove(0);
    assert_eq!(open.rule.name, "missing-ksym");
    assert_eq!((open.decided_by, open.locations.len()), (vec![DecidedBy::Kconfig], 1));
    assert!(!open.reason.contains("--kconfig"), "{}", open.reason);
    assert!(undecided("missing-tracing-support__near_helper", &bare).contains(&"missing-tracing-support"));
    // One question for all who ask it: those that call helpers, and those that trace.
    let open = lint("missing-tracing-support__near_several", &bare).undecided;
    let open: Vec<_> = open.iter().filter(|open| open.rule.name == "missing-tracing-support").collect();
    let [open] = &open[..] else { panic!("{open:?}") };
    let words = "calls a helper that came with tracing (CONFIG_BPF_EVENTS), and so do 'demo_stopping', 'demo_quiescent'; ";
    assert!(open.reason.starts_with(words), "{}", open.reason);
    assert_eq!((&*open.subject.name, open.locations.len()), ("demo_running", 3));
    // And where they are whole, they do: this one has no function that traces.
    bare.partial = None;
    assert_eq!(rules("missing-tracing-support__near_helper", &bare), ["missing-tracing-support"]);
}

#[test]
fn modules_without_types_offer_nothing() {
    let stem = "missing-attach-target__near_there";
    let kernel = |lines: &str| configured("7.3", lines);
    let target = kernel("# CONFIG_DEBUG_INFO_BTF_MODULES is not set\n");
    let kernel = Kernel::new(&target).unwrap();
    assert_eq!(kernel.attach_target(Some("xfs"), "xfs_open", Kind::Func), Lookup::Absent);
    assert_eq!(kernel.kfunc("bpf_ct_insert_entry"), Lookup::Absent);
    let release = built_in("7.3");
    let kernel = Kernel::new(&release).unwrap();
    assert!(matches!(kernel.attach_target(Some("xfs"), "xfs_open", Kind::Func), Lookup::Unknown(_)));
    assert_eq!(rules(stem, &target), [""; 0]);
}

/// The least kernel of an arm64 machine with pages of that size.
fn arm64(page: u32) -> Target {
    let add = move |btf: &mut Builder| {
        let long = btf.int("unsigned long", 8, false);
        btf.composite("user_pt_regs", 8, &[Field::new("pstate", long, 0)]);
        btf.composite("bpf_ringbuf", page * 2, &[Field::new("consumer_pos", long, page * 8)]);
    };
    target_of("arm64", least(true, add))
}

#[test]
fn a_kernel_for_another_machine_is_judged_by_its_own_pages_and_compiler() {
    let arena = |stem: &str, target: &Target| {
        let outcome = lint(stem, target);
        let found = outcome.findings.iter().filter(|found| found.level > Level::Note);
        let found = found.map(|found| found.rule.name).filter(|rule| rule.contains("arena"));
        let open = outcome.undecided.iter().map(|open| open.rule.name).filter(|rule| rule.contains("arena"));
        (found.collect::<Vec<_>>(), open.collect::<Vec<_>>())
    };
    let (small, large) = (arm64(4096), arm64(16384));
    // 4 GiB in pages of 4 KiB are 16 in pages of 16.
    assert_eq!(arena("invalid-arena-definition__near_4g", &small), (vec![], vec![]));
    assert_eq!(
        arena("invalid-arena-definition__near_4g", &large),
        (vec!["invalid-arena-definition"], vec![])
    );
    // What is too large for two small pages fits into two large ones.
    assert_eq!(
        arena("arena-globals-too-large__two_pages", &small),
        (vec!["arena-globals-too-large"], vec![])
    );
    assert_eq!(arena("arena-globals-too-large__two_pages", &large), (vec![], vec![]));
    // The compiler for x86-64 refuses these, that for arm64 takes them where the processor can.
    for stem in ["unsupported-arena-access__fetch_or", "unsupported-arena-access__near_add"] {
        assert_eq!(arena(stem, &small), (vec![], vec!["unsupported-arena-access"]), "{stem}");
    }
}

#[test]
fn types_of_one_name_that_disagree() {
    let release = built_in("7.3");
    let add = |first: u32| {
        move |btf: &mut Builder| {
            let int = btf.int("int", 4, true);
            let fields = [Field::new("pid", int, first), Field::new("tgid", int, first + 32)];
            btf.composite("task_struct", 16, &fields);
        }
    };
    let twice = target_of("twice", extended(&release.btf, add(0)));
    let stem = "ambiguous-core-relocation__near_one";
    assert_eq!(rules(stem, &release), [""; 0]);
    assert_eq!(rules(stem, &twice), ["ambiguous-core-relocation"]);
    let found = lint(stem, &twice).findings;
    assert!(found[0].kernel_message.as_ref().unwrap().contains("ambiguity"), "{found:?}");
    // Two that agree are as good as one.
    let agreeing = |btf: &mut Builder| {
        let int = btf.int("int", 4, true);
        btf.composite("task_struct", 24, &[Field::new("pid", int, 0)]);
    };
    let same = target_of("same", least(true, agreeing));
    assert!(!rules("changed-op-signature__near_all", &same).contains(&"ambiguous-core-relocation"));
    assert!(!rules("arena-argument-without-arena__kfunc", &same).contains(&"ambiguous-core-relocation"));
}

#[test]
fn enums_of_64_bits_that_were_cut() {
    let cut = |btf: &mut Builder| {
        let name = btf.string("SCX_DSQ_LOCAL_ON");
        btf.raw(Kind::Enum, "scx_dsq_id_flags", 1, 8, &[name, 0]);
    };
    let whole = |btf: &mut Builder| {
        btf.enum64("scx_dsq_id_flags", &[("SCX_DSQ_LOCAL_ON", 3 << 62)]);
    };
    let stem = "truncated-enum64__near_whole";
    assert_eq!(rules(stem, &target_of("cut", least(true, cut))), ["truncated-enum64"]);
    assert_eq!(rules(stem, &target_of("whole", least(true, whole))), [""; 0]);
    // Who does not read them has nothing to fear.
    assert_eq!(rules("no-sched-ext__near_any", &target_of("cut", least(true, cut))), [""; 0]);
    // scx's user space reads them for its own constants.
    let edited = rules("unknown-ops-member__near_cleared", &target_of("cut", least(true, cut)));
    assert!(edited.contains(&"truncated-enum64"), "{edited:?}");
}

#[test]
fn kfuncs_that_show_an_argument_of_the_kernel() {
    let add = |twin: bool| {
        move |btf: &mut Builder| {
            let uint = btf.int("unsigned int", 4, false);
            let aux = btf.composite("bpf_prog_aux", 8, &[]);
            let aux = btf.refer(Kind::Const, "", aux);
            let aux = btf.ptr(aux);
            let shown = btf.proto(uint, &[("aux", aux)]);
            let hidden = btf.proto(uint, &[]);
            btf.func("scx_bpf_dispatch_nr_slots", if twin { hidden } else { shown });
            if twin {
                btf.func("scx_bpf_dispatch_nr_slots_impl", shown);
            }
            let queued = btf.proto(uint, &[("dsq_id", uint)]);
            btf.func("scx_bpf_dsq_nr_queued", queued);
        }
    };
    let stem = "implicit-kfunc-arguments__near_hidden";
    // One error about the kernel: what follows from its fault is kept back.
    let shown = target_of("shown", least(true, add(false)));
    assert_eq!(rules(stem, &shown), ["implicit-kfunc-arguments", "unknown-ops-member"]);
    let outcome = lint(stem, &shown);
    let fault = outcome.findings.iter().find(|found| found.rule.name == "implicit-kfunc-arguments").unwrap();
    assert_eq!((fault.level, fault.phase), (Level::Error, Phase::Load));
    assert!(fault.message.starts_with("the kernel's BTF is defective, not the object"), "{}", fault.message);
    assert!(fault.kernel_message.as_ref().unwrap().contains("func_proto"), "{fault:?}");
    let help = fault.help.as_deref().unwrap();
    assert!(help.contains("pahole 1.26") && help.contains("kept back"), "{help}");
    let hidden = rules(stem, &target_of("hidden", least(true, add(true))));
    assert!(!hidden.contains(&"implicit-kfunc-arguments"), "{hidden:?}");
    assert!(!hidden.contains(&"mismatched-kfunc"), "{hidden:?}");
    // Kernels like that are in the field.
    match kernels_at_hand().iter().find(|(version, _)| version.starts_with("7.1.13")) {
        Some((version, path)) => {
            let found = full_btf(version, path);
            assert_eq!(rules(stem, &found), ["implicit-kfunc-arguments"]);
        }
        None => skipped("no kernel 7.1.13, whose kfuncs show what they should hide"),
    }
}

#[test]
fn the_kernel_that_maps_arenas_always() {
    let release = built_in("7.3");
    let with_bit = |bit: i64| {
        let add = move |btf: &mut Builder| {
            btf.enumeration("", &[("BPF_F_ARENA_MAP_ALWAYS", bit)]);
        };
        target_of("always", extended(&release.btf, add))
    };
    let always = with_bit(1 << 20);
    assert_eq!(Kernel::new(&always).unwrap().arena_rule(), KernelArenaRule::Always(1 << 20));
    assert_eq!(rules("good__realistic_cid", &always), [""; 0]);
    assert_eq!(rules("good__realistic_cid", &release), ["unknown-map-flag"]);
    assert_eq!(rules("unknown-map-flag__always", &always), [""; 0]);
    // The same scheduler without the flag.
    assert_eq!(rules("unknown-struct-ops-type__cid", &always), ["arena-not-always-mapped"]);
    assert_eq!(rules("unknown-struct-ops-type__cid", &release), [""; 0]);
    // The bit is the kernel's.
    let other = with_bit(1 << 24);
    assert!(rules("good__realistic_cid", &other).contains(&"arena-not-always-mapped"));
}

/// Every word of a report but where it came from.
fn words(outcome: &Outcome) -> Vec<String> {
    let findings = outcome.findings.iter().map(|f| {
        format!(
            "{} {:?} {:?} {:?} {:?} {:?} {} {:?} {:?}",
            f.rule.name,
            f.level,
            f.phase,
            f.errno,
            f.kernel_message,
            f.subject,
            f.message,
            f.help,
            f.locations
        )
    });
    let open = outcome
        .undecided
        .iter()
        .map(|u| format!("{} undecided {:?} {:?} {}", u.rule.name, u.subject, u.phase, u.reason));
    findings.chain(open).collect()
}

/// Where the reports of two targets differ, over every fixture and every recorded object.
fn differences(one: &Target, other: &Target) -> Vec<String> {
    let kernels = [Kernel::new(one).unwrap(), Kernel::new(other).unwrap()];
    let mut wrong = Vec::new();
    for path in fixture_objects().iter().chain(&corpus_objects()) {
        let data = std::fs::read(path).unwrap();
        let Ok(object) = Object::open(&data, &name(path)) else { continue };
        let checker = Checker::new(&object);
        // Of a snapshot and of a bare BTF other flags of kfuncs are known, and so another number of programs can be walked.
        let is_walked = |line: &String| line.contains("the verifier refuses ");
        let lint = |kernel| {
            let mut lines = words(&checker.check(Some(kernel), &Options::default(), &Values::default()));
            lines.retain(|line| !is_walked(line));
            lines
        };
        let (one, other) = (lint(&kernels[0]), lint(&kernels[1]));
        let only = |a: &[String], b: &[String]| -> Vec<String> {
            a.iter().filter(|line| !b.contains(line)).cloned().collect()
        };
        if one != other {
            wrong.push(format!("{}:\n  {:?}\n  {:?}", name(path), only(&one, &other), only(&other, &one)));
        }
    }
    wrong
}

/// The whole BTF of a kernel.
fn full_btf(version: &str, path: &Path) -> Target {
    let bytes = std::fs::read(path).unwrap();
    target_of(version, image::extract(&bytes).unwrap().btf.into_owned())
}

/// The release whose BTF the kernel of this file has, if it is built in.
fn release_of(full: &Target) -> Option<&'static Release> {
    let sha256 = snapshot::sha256(&full.btf);
    RELEASES.iter().find(|release| release.btf_sha256 == sha256)
}

/// A snapshot of a target, read back.
fn reduced(target: &Target) -> Target {
    let meta = snapshot::Meta { name: target.name.clone(), ..snapshot::Meta::default() };
    let meta = meta.describing(&target.btf).unwrap();
    let bytes = snapshot::write(&target.btf, None, None, &meta).unwrap();
    // Its name is a version, which the kernel at hand did not say.
    Target { release: None, ..target::from_file(&target.name, &bytes).unwrap() }
}

#[test]
fn every_snapshot_and_every_built_in_release_gives_the_report_of_its_kernel() {
    let kernels = kernels_at_hand();
    if kernels.is_empty() {
        return;
    }
    let differs = |(version, path): &(String, PathBuf)| {
        let full = full_btf(version, path);
        let mut wrong = differences(&full, &reduced(&full));
        // One that is healthier than the kernel that it stands for answers otherwise, and one that knows that it is partial.
        if let Some(mut named) = release_of(&full).map(|release| built_in(release.name))
            && named.partial.is_none()
            && named.cut.as_ref().is_some_and(|cut| cut.meta.derived.is_empty())
        {
            // As a file that does not say its release: nothing is assumed of it.
            (named.source, named.release) = (Source::File, None);
            wrong.extend(differences(&full, &named));
        }
        (!wrong.is_empty()).then(|| format!("{version}\n{}", wrong.join("\n")))
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let halves = kernels.chunks(kernels.len().div_ceil(2));
        let threads: Vec<_> =
            halves.map(|half| scope.spawn(|| half.iter().filter_map(differs).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
