//! How long a kernel's BTF takes to parse, check and index, beside libbpf's parsing (which builds no index): quartiles
//! over rounds, each of which runs every contestant once, and the ratio of the medians.
//!
//! `cargo bench -p scx-lint-oracle --bench btf -- [FILE...]`; without files, the running kernel's.

use std::ffi::CString;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scx_lint::btf::Btf;
use scx_lint_oracle::core::Types;

const ROUNDS: usize = 41;

/// One way to read a file or the bytes that are in it.
type Contestant = (&'static str, fn(&Path, &[u8]));

const CONTESTANTS: &[Contestant] = &[
    ("libbpf btf__parse_raw", |path, _| {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).unwrap_or_default();
        assert!(Types::from_file(&path).is_ok());
    }),
    ("libbpf btf__new", |_, bytes| assert!(Types::new(black_box(bytes)).is_ok())),
    ("read + parse + index", |path, _| {
        let bytes = std::fs::read(path).unwrap_or_default();
        assert!(Btf::parse(&bytes).is_ok_and(|btf| !black_box(btf.names().all("task_struct")).is_empty()));
    }),
    ("parse + index", |_, bytes| {
        assert!(Btf::parse(bytes).is_ok_and(|btf| !black_box(btf.names().all("task_struct")).is_empty()));
    }),
    ("parse", |_, bytes| assert!(black_box(Btf::parse(black_box(bytes))).is_ok())),
    ("parse + enumerators", |_, bytes| {
        assert!(
            Btf::parse(bytes)
                .is_ok_and(|btf| black_box(btf.names().enumerator("BPF_PROG_TYPE_STRUCT_OPS")).is_some())
        );
    }),
];

fn main() {
    let given: Vec<PathBuf> =
        std::env::args_os().skip(1).filter(|arg| arg != "--bench").map(PathBuf::from).collect();
    let files = if given.is_empty() { vec![PathBuf::from("/sys/kernel/btf/vmlinux")] } else { given };
    for path in files {
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        println!("{}: {} bytes", path.display(), bytes.len());
        let mut times = vec![Vec::with_capacity(ROUNDS); CONTESTANTS.len()];
        for _ in 0..ROUNDS {
            for (times, (_, run)) in times.iter_mut().zip(CONTESTANTS) {
                let start = Instant::now();
                run(&path, &bytes);
                times.push(start.elapsed());
            }
        }
        let mut base = None;
        for (times, (who, _)) in times.iter_mut().zip(CONTESTANTS) {
            times.sort();
            let [low, median, high] = [1, 2, 3].map(|quarter| ms(times[(times.len() - 1) * quarter / 4]));
            let ratio = median / *base.get_or_insert(median);
            println!("  {who:<24} {low:>7.2} {median:>7.2} {high:>7.2} ms  {ratio:>5.2} of btf__parse_raw");
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
