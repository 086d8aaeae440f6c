//! How long a lint takes: reading an object, reading and judging it, for no kernel and for all releases, and the whole
//! process, for no kernel, for all releases and for one whole BTF.
//!
//! `cargo bench` runs over the recorded objects of real schedulers where this machine has them beside the package,
//! otherwise over the fixtures. The largest object and one of middle size are shown by name, the rest in one sum.
//! `cargo bench -p scx-lint-oracle` holds the second number against libbpf's own open.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use divan::Bencher;
use divan::counter::BytesCount;
use scx_lint::btf::{Btf, Kind};
use scx_lint::checks::{self, Checker, Options};
use scx_lint::kernel::{Kernel, target};
use scx_lint::load::{Knowledge, Values};
use scx_lint::object::Object;
use scx_lint::verifier::reach::Analysis;

fn main() {
    divan::main();
}

/// An object, or all of them.
struct Input {
    name: String,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Input {
    fn bytes(&self) -> BytesCount {
        BytesCount::new(self.files.iter().map(|(_, data)| data.len()).sum::<usize>())
    }
}

fn objects_in(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect();
    found.sort_by_key(|(_, data)| data.len());
    found
}

fn inputs() -> Vec<Input> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = objects_in(&root.join("../shared/corpus/objects"));
    if files.is_empty() {
        files = objects_in(&root.join("fixtures/obj/clang-19"));
    }
    let one = |index: usize| {
        let (path, data) = &files[index];
        let name = path.file_name().unwrap().to_string_lossy();
        Input {
            name: format!("{name} ({} kB)", data.len() / 1000),
            files: vec![(path.clone(), data.clone())],
        }
    };
    let (middle, largest) = (one(files.len() / 2), one(files.len() - 1));
    let all = Input { name: format!("all {}", files.len()), files };
    vec![middle, largest, all]
}

#[divan::bench(args = inputs())]
fn open(bencher: Bencher<'_, '_>, input: &Input) {
    bencher.counter(input.bytes()).bench(|| {
        for (_, data) in &input.files {
            divan::black_box(Object::open(divan::black_box(data), "bench.bpf.o").is_ok());
        }
    });
}

#[divan::bench(args = inputs())]
fn open_and_rules(bencher: Bencher<'_, '_>, input: &Input) {
    let options = Options::default();
    bencher.counter(input.bytes()).bench(|| {
        for (_, data) in &input.files {
            if let Ok(object) = Object::open(divan::black_box(data), "bench.bpf.o") {
                divan::black_box(checks::check(&object, &options));
            }
        }
    });
}

/// One process for each object, from exec to exit.
#[divan::bench(args = inputs(), sample_count = 50, sample_size = 1)]
fn whole_process(bencher: Bencher<'_, '_>, input: &Input) {
    processes(bencher, input, &[]);
}

/// The same, for all built-in releases.
#[divan::bench(args = largest(), sample_count = 50, sample_size = 1)]
fn whole_process_all_releases(bencher: Bencher<'_, '_>, input: &Input) {
    processes(bencher, input, &["--kernel", "all"]);
}

/// The same, for the kernel whose whole BTF is in the file that `SCX_LINT_BENCH_BTF` names, or the running one's.
#[divan::bench(args = largest(), sample_count = 50, sample_size = 1)]
fn whole_process_whole_btf(bencher: Bencher<'_, '_>, input: &Input) {
    processes(bencher, input, &["--kernel", &whole_btf()]);
}

fn whole_btf() -> String {
    std::env::var("SCX_LINT_BENCH_BTF").unwrap_or_else(|_| "/sys/kernel/btf/vmlinux".to_owned())
}

/// The largest object alone.
fn largest() -> Vec<Input> {
    inputs().into_iter().nth(1).into_iter().collect()
}

fn processes(bencher: Bencher<'_, '_>, input: &Input, options: &[&str]) {
    bencher.counter(input.bytes()).bench(|| {
        for (path, _) in &input.files {
            let status = Command::new(env!("CARGO_BIN_EXE_scx-lint"))
                .args(options)
                .arg(path)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(matches!(status.code(), Some(0..=2)), "{}: {status}", path.display());
        }
    });
}

/// Unpacking a built-in release and reading its types.
#[divan::bench]
fn built_in_release(bencher: Bencher<'_, '_>) {
    bencher.bench(|| {
        for target in target::load(divan::black_box("7.3")).unwrap() {
            divan::black_box(Kernel::new(&target).unwrap().has_sched_ext());
        }
    });
}

/// Opening and judging an object for all built-in releases, which are unpacked before.
#[divan::bench(args = inputs())]
fn all_releases(bencher: Bencher<'_, '_>, input: &Input) {
    let targets = target::load("all").unwrap();
    let kernels: Vec<Kernel<'_>> = targets.iter().map(|target| Kernel::new(target).unwrap()).collect();
    let options = Options::default();
    bencher.counter(input.bytes()).bench(|| {
        for (_, data) in &input.files {
            let Ok(object) = Object::open(divan::black_box(data), "bench.bpf.o") else { continue };
            let checker = Checker::new(&object);
            for kernel in &kernels {
                divan::black_box(checker.check(Some(kernel), &options, &Values::default()));
            }
        }
    });
}

/// What the verifier walks of every program of an object, with nothing known of the kernel.
#[divan::bench(args = inputs())]
fn reachability(bencher: Bencher<'_, '_>, input: &Input) {
    let objects: Vec<Object<'_>> =
        input.files.iter().filter_map(|(_, data)| Object::open(data, "bench.bpf.o").ok()).collect();
    let knowledge = Knowledge::default();
    bencher.counter(input.bytes()).bench(|| {
        for object in &objects {
            let analysis = Analysis::new(divan::black_box(object), &knowledge);
            for (program, ..) in object.programs() {
                divan::black_box(analysis.program(program));
            }
        }
    });
}

/// Parsing, checking and indexing a kernel's whole BTF; `cargo bench -p scx-lint-oracle --bench btf` holds it against libbpf.
#[divan::bench]
fn whole_btf_indexed(bencher: Bencher<'_, '_>) {
    let bytes = std::fs::read(whole_btf()).unwrap();
    bencher.counter(BytesCount::of_slice(&bytes)).bench(|| {
        let btf = Btf::parse(divan::black_box(&bytes)).unwrap();
        divan::black_box(btf.names().find("sched_ext_ops", Kind::Struct));
        divan::black_box(btf.names().enumerator("SCX_OPS_ALL_FLAGS"));
    });
}
