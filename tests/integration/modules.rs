//! Kernels with loaded modules, whose split BTF is looked through for what vmlinux lacks.

use scx_lint::btf::build::{Builder, Field};
use scx_lint::btf::{Btf, Kind, TypeId};
use scx_lint::checks::{self, Options};
use scx_lint::finding::Outcome;
use scx_lint::kernel::snapshot::{self, Meta};
use scx_lint::kernel::target;
use scx_lint::kernel::{ConfigOrigin, Home, Kernel, Lookup, Modules, Source, Target};
use scx_lint::load::{CoreFate, ExternFate, Load, Loader};
use scx_lint::object::Object;
use scx_lint::rule::Level;

use super::root;

/// Types of the kernel below, by what they are.
const INT: TypeId = TypeId(1);
const TASK: TypeId = TypeId(5);

/// The least kernel with sched_ext that the fixtures need; its task_struct is declared, or has a member too.
fn vmlinux(with_task: bool) -> Vec<u8> {
    let mut btf = Builder::new();
    let int = btf.int("int", 4, true);
    let char = btf.int("char", 1, true);
    let comm = btf.array(char, 16);
    let task = if with_task {
        btf.composite(
            "task_struct",
            24,
            &[Field::new("pid", int, 0), Field::new("tgid", int, 32), Field::new("comm", comm, 64)],
        )
    } else {
        btf.fwd("task_struct", false)
    };
    assert_eq!(btf.ptr(task), TASK);
    let running = btf.proto(TypeId::VOID, &[("", TASK)]);
    let running = btf.ptr(running);
    let text = btf.array(char, 128);
    let members = [Field::new("running", running, 0), Field::new("name", text, 64)];
    let ops = btf.composite("sched_ext_ops", 136, &members);
    btf.composite(
        "bpf_struct_ops_sched_ext_ops",
        256,
        &[Field::new("common", int, 0), Field::new("data", ops, 512)],
    );
    // Names that a module's types of the same name take over.
    btf.composite("names", 8, &[Field::new("scx_bpf_no_such_kfunc", int, 0)]);
    // What shows that the kernel can trace, and that its modules have types.
    let nothing = btf.proto(TypeId::VOID, &[]);
    for function in ["trace_call_bpf", "ftrace_location", "init_syscall_trace"] {
        btf.func(function, nothing);
    }
    btf.composite("btf_module", 8, &[]);
    btf.finish()
}

/// A module on such a kernel.
fn module(base: &[u8], add: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut module = Builder::split(&Btf::parse(base).unwrap());
    add(&mut module);
    module.finish()
}

/// A module's name and what adds its types.
type Described<'a> = (&'a str, &'a dyn Fn(&mut Builder));

/// A running kernel with modules of these names and types.
fn running(base: Vec<u8>, modules: &[Described<'_>]) -> Target {
    let modules = modules.iter().map(|(name, add)| ((*name).to_owned(), module(&base, add)));
    let modules = modules.collect();
    let mut target = Target::running("host", base, modules);
    target.set_config("CONFIG_KALLSYMS_ALL=y\n".to_owned(), ConfigOrigin::System);
    target
}

/// The function that a fixture looks for, taking so many integers.
fn kfunc(count: usize) -> impl Fn(&mut Builder) {
    move |btf| {
        let proto = btf.proto(TypeId::VOID, &vec![("what", INT); count]);
        btf.func("scx_bpf_no_such_kfunc", proto);
    }
}

fn fixture(stem: &str) -> Vec<u8> {
    std::fs::read(root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"))).unwrap()
}

fn lint(stem: &str, target: &Target) -> Outcome {
    let data = fixture(stem);
    let object = Object::open(&data, stem).unwrap();
    checks::check_on(&object, Some(&Kernel::new(target).unwrap()), &Options::default())
}

/// Rules that find more than a note, and those that cannot tell with why.
fn judge(stem: &str, target: &Target) -> (Vec<&'static str>, Vec<(&'static str, String)>) {
    let outcome = lint(stem, target);
    // A task that is declared and no more is none to a verifier: of these kernels it refuses what is handed one.
    let found = outcome.findings.iter().filter(|finding| {
        finding.level > Level::Note && !finding.message.starts_with("the verifier refuses ")
    });
    let open = outcome.undecided.iter().map(|open| (open.rule.name, open.reason.to_string()));
    (found.map(|finding| finding.rule.name).collect(), open.collect())
}

/// The one extern of a fixture, as the load resolves it.
fn external(stem: &str, target: &Target) -> ExternFate {
    let data = fixture(stem);
    let object = Object::open(&data, stem).unwrap();
    let kernel = Kernel::new(target).unwrap();
    let mut externs = Load::new(&object, Some(&kernel), Loader::Plain).externs;
    assert_eq!(externs.len(), 1);
    externs.remove(0)
}

const CLEAN: (Vec<&str>, Vec<(&str, String)>) = (Vec::new(), Vec::new());

#[test]
fn a_kfunc_of_a_module() {
    let stem = "missing-kfunc__unloaded";
    let none = running(vmlinux(true), &[]);
    assert_eq!(judge(stem, &none), (vec!["missing-kfunc"], vec![]));
    // One that has something else of that name only.
    let other = |btf: &mut Builder| {
        btf.composite("scx_bpf_no_such_kfunc", 4, &[Field::new("scx_bpf_no_such_kfunc", INT, 0)]);
    };
    assert_eq!(judge(stem, &running(vmlinux(true), &[("other", &other)])), (vec!["missing-kfunc"], vec![]));

    let fitting = running(vmlinux(true), &[("other", &other), ("fitting", &kfunc(1))]);
    assert_eq!(judge(stem, &fitting), CLEAN);
    let ExternFate::Kfunc(found) = external(stem, &fitting) else { panic!("not resolved") };
    assert_eq!(found.home, Home::Module(1));
    let kernel = Kernel::new(&fitting).unwrap();
    assert_eq!(kernel.kfunc("scx_bpf_no_such_kfunc"), Lookup::Found(found));
    assert_eq!(kernel.name_of(found.home), "fitting");
    let first = kernel.btf().len() as u32;
    // The prototype is the module's first type, the function its second.
    assert_eq!((found.proto, found.func), (TypeId(first), TypeId(first + 1)));
    assert_eq!(kernel.kfunc_params(found), [("what", INT)]);
    assert_eq!(kernel.signature("scx_bpf_no_such_kfunc", found), "void scx_bpf_no_such_kfunc(int what)");
    let btf = kernel.btf_of(found.home);
    assert_eq!(btf.name(&btf.get(found.func).unwrap()), "scx_bpf_no_such_kfunc");
}

#[test]
fn a_kfunc_of_a_module_with_another_prototype() {
    let stem = "missing-kfunc__unloaded";
    let target = running(vmlinux(true), &[("some_module", &kfunc(2))]);
    assert_eq!(judge(stem, &target), (vec!["mismatched-kfunc"], vec![]));
    let found = lint(stem, &target).findings.remove(0);
    let quote = found.kernel_message.unwrap();
    assert!(quote.ends_with("incompatible with some_module"), "{quote}");
    let theirs = "the kernel has 'void scx_bpf_no_such_kfunc(int what, int what)': takes 1 argument here, 2";
    assert!(found.message.contains(theirs), "{}", found.message);
    assert!(
        matches!(external(stem, &target), ExternFate::MismatchedKfunc(kfunc) if kfunc.home == Home::Module(0))
    );
    // A weak one is then as good as missing.
    let weak = |count: usize| {
        move |btf: &mut Builder| {
            let params = [("p", TASK), ("slice", INT), ("more", INT)];
            let proto = btf.proto(INT, &params[..count]);
            btf.func("scx_bpf_task_set_slice", proto);
        }
    };
    let stem = "unguarded-weak-kfunc__missing";
    let target = running(vmlinux(true), &[("some_module", &weak(3))]);
    assert_eq!(judge(stem, &target), (vec!["unguarded-weak-kfunc"], vec![]));
    assert!(
        matches!(external(stem, &target), ExternFate::NullMismatched(kfunc) if kfunc.home == Home::Module(0))
    );
    let target = running(vmlinux(true), &[("some_module", &weak(2))]);
    assert!(matches!(external(stem, &target), ExternFate::Kfunc(kfunc) if kfunc.home == Home::Module(0)));
}

#[test]
fn the_module_that_was_loaded_first_counts() {
    let stem = "missing-kfunc__unloaded";
    let (fits, differs) = (&kfunc(1), &kfunc(2));
    assert_eq!(judge(stem, &running(vmlinux(true), &[("b", fits), ("a", differs)])), CLEAN);
    let target = running(vmlinux(true), &[("b", differs), ("a", fits)]);
    assert_eq!(judge(stem, &target), (vec!["mismatched-kfunc"], vec![]));
    // And vmlinux before all.
    let mut base = Builder::new();
    let int = base.int("int", 4, true);
    let proto = base.proto(TypeId::VOID, &[("a", int), ("b", int)]);
    let func = base.func("scx_bpf_no_such_kfunc", proto);
    let target = running(base.finish(), &[("a", fits)]);
    let found = Kernel::new(&target).unwrap().kfunc("scx_bpf_no_such_kfunc").found().unwrap();
    assert_eq!((found.home, found.func, found.proto), (Home::Vmlinux, func, proto));
}

#[test]
fn a_kfunc_of_a_module_that_no_extern_can_name() {
    let stem = "flavored-kfunc-never-resolves__v2";
    let flavored = |btf: &mut Builder| {
        let proto = btf.proto(INT, &[("p", TASK)]);
        btf.func("scx_bpf_dsq_insert___v2", proto);
    };
    let fires = |modules: &[Described<'_>]| {
        judge(stem, &running(vmlinux(true), modules)).0.contains(&"flavored-kfunc-never-resolves")
    };
    assert!(!fires(&[]));
    assert!(fires(&[("some_module", &flavored)]));
}

#[test]
fn what_a_snapshot_leaves_out_with_the_modules_is_unknown() {
    let stem = "missing-ksym__int";
    let snapshot = |modules: &Modules| {
        let meta = Meta { partial: modules.left_out(), ..Meta::default() };
        let bytes = snapshot::write(&vmlinux(true), None, None, &meta).unwrap();
        judge(stem, &target::from_file("taken.snapshot", bytes).unwrap())
    };
    assert_eq!(snapshot(&Modules::loaded(Vec::new())), (vec!["missing-ksym"], vec![]));
    let (found, open) = snapshot(&Modules::loaded(vec![("some_module".to_owned(), Vec::new())]));
    assert_eq!(found, Vec::<&str>::new());
    assert_eq!(open, [("missing-ksym", "the snapshot leaves out modules that were loaded: 1".to_owned())]);
}

#[test]
fn a_variable_of_a_module() {
    let stem = "missing-ksym__int";
    let of = |ty: fn(&mut Builder) -> TypeId| {
        running(
            vmlinux(true),
            &[("some_module", &move |btf: &mut Builder| {
                let ty = ty(btf);
                btf.var("no_such_variable_anywhere", ty, 1);
            })],
        )
    };
    assert_eq!(judge(stem, &running(vmlinux(true), &[])), (vec!["missing-ksym"], vec![]));
    let target = of(|_| INT);
    assert_eq!(judge(stem, &target), CLEAN);
    let first = Kernel::new(&target).unwrap().btf().len() as u32;
    assert_eq!(external(stem, &target), ExternFate::Variable(Home::Module(0), TypeId(first)));
    // Modifiers and typedefs do not count.
    let target = of(|btf| {
        let named = btf.typedef("number", INT);
        btf.refer(Kind::Const, "", named)
    });
    assert_eq!(external(stem, &target), ExternFate::Variable(Home::Module(0), TypeId(first + 2)));
    for stem in ["missing-ksym__int", "missing-ksym__near_weak"] {
        let target = of(|_| TASK);
        assert_eq!(judge(stem, &target), (vec!["mismatched-ksym"], vec![]), "{stem}");
        assert_eq!(external(stem, &target), ExternFate::MismatchedVariable(Home::Module(0), TypeId(first)));
    }
}

#[test]
fn attach_targets_in_modules() {
    let function = |btf: &mut Builder| {
        let proto = btf.proto(INT, &[]);
        btf.func("no_such_function_anywhere", proto);
    };
    let tracepoint = |btf: &mut Builder| {
        let proto = btf.proto(TypeId::VOID, &[("", TypeId::VOID)]);
        let ptr = btf.ptr(proto);
        btf.typedef("btf_trace_no_such_tracepoint", ptr);
    };
    let target = running(vmlinux(true), &[("nf_one", &tracepoint), ("nf_two", &function)]);
    let none = running(vmlinux(true), &[("nf_one", &|_| {})]);
    for stem in ["missing-attach-target__fentry", "missing-attach-target__tracepoint"] {
        assert_eq!(judge(stem, &target), CLEAN, "{stem}");
        assert_eq!(judge(stem, &none), (vec!["missing-attach-target"], vec![]), "{stem}");
    }
    let kernel = Kernel::new(&target).unwrap();
    let at = |module: Option<&str>| kernel.attach_target(module, "no_such_function_anywhere", Kind::Func);
    assert_eq!(at(None), Lookup::Found(Home::Module(1)));
    assert_eq!(at(Some("nf_two")), Lookup::Found(Home::Module(1)));
    assert_eq!(at(Some("nf_one")), Lookup::Absent);
    assert_eq!(at(Some("vmlinux")), Lookup::Absent);
    assert_eq!(at(Some("not_loaded")), Lookup::Absent);
    // libbpf compares the first letters only.
    assert_eq!(at(Some("nf")), Lookup::Found(Home::Module(1)));
    // A file does not tell which modules will be there.
    let mut file = running(vmlinux(true), &[]);
    file.modules = Modules::unknown();
    let kernel = Kernel::new(&file).unwrap();
    assert!(matches!(kernel.attach_target(Some("nf_two"), "any", Kind::Func), Lookup::Unknown(_)));
    assert_eq!(kernel.attach_target(None, "any", Kind::Func), Lookup::Absent);
}

#[test]
fn types_that_only_modules_have() {
    let stem = "unresolved-core-relocation__field";
    let of = |at: u32| {
        move |btf: &mut Builder| {
            btf.composite("task_struct", 8, &[Field::new("no_such_field", INT, at)]);
        }
    };
    let fate = |target: &Target| {
        let data = fixture(stem);
        let object = Object::open(&data, stem).unwrap();
        let kernel = Kernel::new(target).unwrap();
        let core = Load::new(&object, Some(&kernel), Loader::Plain).core;
        let used = core.iter().find(|used| used.subject == "task_struct.no_such_field").unwrap();
        (used.home, used.fate.clone())
    };
    // A declaration in vmlinux is no candidate.
    let none = running(vmlinux(false), &[]);
    assert_eq!(judge(stem, &none).0, ["unresolved-core-relocation"]);
    assert_eq!(fate(&none).0, None);
    let one = running(vmlinux(false), &[("empty", &|_| {}), ("one", &of(32))]);
    assert_eq!(judge(stem, &one), CLEAN);
    assert_eq!(fate(&one), (Some(Home::Module(1)), CoreFate::Value(4)));
    // Where vmlinux has a type of the name, modules are not looked at, whether it has the field or not.
    let shadowed = running(vmlinux(true), &[("one", &of(32))]);
    assert_eq!(judge(stem, &shadowed).0, ["unresolved-core-relocation"]);
    assert!(matches!(fate(&shadowed), (None, CoreFate::Poison(_))));
    // All modules are looked at, and have to agree.
    let agreeing = running(vmlinux(false), &[("one", &of(32)), ("two", &of(32))]);
    assert_eq!(fate(&agreeing), (Some(Home::Module(0)), CoreFate::Value(4)));
    let differing = running(vmlinux(false), &[("one", &of(32)), ("two", &of(0))]);
    assert_eq!(judge(stem, &differing).0, ["ambiguous-core-relocation"]);
}

/// The kernel takes ops of modules; what they ask is not looked at, so that nothing is said of them.
#[test]
fn struct_ops_of_a_module() {
    let stem = "unknown-struct-ops-type__other";
    let target = running(vmlinux(true), &[]);
    assert_eq!(judge(stem, &target), (vec!["unknown-struct-ops-type"], vec![]));
    let with_type = |btf: &mut Builder| {
        let ops = btf.composite("made_up_ops", 8, &[]);
        btf.composite("bpf_struct_ops_made_up_ops", 128, &[Field::new("data", ops, 512)]);
    };
    let target = running(vmlinux(true), &[("some_module", &with_type)]);
    let (found, open) = judge(stem, &target);
    assert_eq!(found, [""; 0]);
    let says = |(rule, reason): &(&str, String)| {
        *rule == "unknown-struct-ops-type" && reason.contains("module 'some_module' has the type")
    };
    assert!(open.iter().any(says), "{open:?}");
}

#[test]
fn a_module_that_cannot_be_read_answers_nothing() {
    let base = vmlinux(false);
    let good = module(&base, kfunc(1));
    let broken =
        || vec![("good".to_owned(), good.clone()), ("bad".to_owned(), good[..good.len() - 4].to_vec())];
    let parsed = Target::running("host", base.clone(), broken());
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("vmlinux"), &base).unwrap();
    std::fs::create_dir(temp.path().join("bad")).unwrap();
    let mut read = Target::running("host", base, Vec::new());
    read.modules = Modules::in_folder(temp.path(), temp.path().join("none"));
    for (target, why) in
        [(parsed, "the BTF of module 'bad' is broken: "), (read, "the BTF of module 'bad' cannot be read: ")]
    {
        for (stem, rule) in [
            ("missing-kfunc__unloaded", "missing-kfunc"),
            ("missing-ksym__int", "missing-ksym"),
            ("missing-attach-target__fentry", "missing-attach-target"),
            ("missing-attach-target__tracepoint", "missing-attach-target"),
            ("unresolved-core-relocation__field", "unresolved-core-relocation"),
            ("unguarded-weak-kfunc__missing", "unguarded-weak-kfunc"),
            ("unknown-struct-ops-type__cid", "unknown-struct-ops-type"),
        ] {
            let (found, open) = judge(stem, &target);
            assert_eq!(found, [""; 0], "{stem}");
            assert!(
                open.iter().any(|(open, reason)| *open == rule && reason.contains(why)),
                "{stem}: {open:?}"
            );
        }
        // Nobody asks for it where vmlinux has all.
        assert_eq!(judge("no-sched-ext__near_any", &target), CLEAN);
    }
}

#[test]
fn modules_are_read_when_a_name_is_not_in_the_kernel() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("btf");
    let base = vmlinux(true);
    let mut target = Target::running("host", base.clone(), Vec::new());
    target.modules = Modules::in_folder(&folder, temp.path().join("modules"));
    // There is no such folder yet, and nobody notices.
    for stem in ["no-sched-ext__near_any", "ambiguous-core-relocation__near_one"] {
        assert_eq!(judge(stem, &target), CLEAN, "{stem}");
    }
    std::fs::create_dir(&folder).unwrap();
    for (name, count) in [("a", 2), ("b", 1)] {
        std::fs::write(folder.join(name), module(&base, kfunc(count))).unwrap();
    }
    std::fs::write(temp.path().join("modules"), "a 1 0 - Live 0x0\nb 1 0 - Live 0x0\n").unwrap();
    assert_eq!(judge("missing-kfunc__unloaded", &target), CLEAN);
    // That was the only time.
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(judge("missing-kfunc__unloaded", &target), CLEAN);
}

#[test]
fn kfuncs_that_modules_are_known_to_register() {
    let mut target = running(vmlinux(true), &[]);
    let name = "bpf_ct_release";
    // All modules are known, and none has it.
    assert_eq!(Kernel::new(&target).unwrap().kfunc(name), Lookup::Absent);
    target.modules = Modules::unknown();
    target.source = Source::File;
    assert!(matches!(Kernel::new(&target).unwrap().kfunc(name), Lookup::Unknown(_)));
    assert_eq!(Kernel::new(&target).unwrap().kfunc("scx_bpf_no_such_kfunc"), Lookup::Absent);
}

#[test]
fn a_module_may_hold_anything() {
    let base = vmlinux(false);
    let good = module(&base, |btf| {
        kfunc(2)(btf);
        btf.composite("task_struct", 8, &[Field::new("no_such_field", INT, 32)]);
        btf.var("no_such_variable_anywhere", INT, 1);
    });
    let stems = ["missing-kfunc__unloaded", "missing-ksym__int", "unresolved-core-relocation__field"];
    let objects: Vec<_> = stems.iter().map(|stem| fixture(stem)).collect();
    let objects: Vec<_> = objects.iter().map(|data| Object::open(data, "any").unwrap()).collect();
    let mut rng = fastrand::Rng::with_seed(3);
    let (mut whole, mut broken) = (0, 0);
    for _ in 0..4000 {
        let mut bytes = good.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = if rng.bool() { rng.u8(..) } else { bytes[at] ^ 1 << rng.u8(..8) };
        }
        if rng.u8(..) < 20 {
            bytes.truncate(rng.usize(..bytes.len()));
        }
        let target = Target::running("host", base.clone(), vec![("any".to_owned(), bytes)]);
        let kernel = Kernel::new(&target).unwrap();
        match kernel.module_btfs() {
            Some(Ok(btfs)) => whole += btfs.len(),
            _ => broken += 1,
        }
        for object in &objects {
            checks::check_on(object, Some(&kernel), &Options::default());
        }
    }
    assert!(whole > 100 && broken > 100, "{whole} {broken}");
}
