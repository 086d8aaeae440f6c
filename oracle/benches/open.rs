//! How long libbpf takes to open and close an object in memory: median and quartiles per object.
//!
//! `cargo bench -p scx-lint-oracle -- [FILE...]`; without files, the fixtures that open, and the corpus if there is
//! one. To compare, add a row to [`CONTESTANTS`]: all of them see each object in turn within one run, so that they
//! share the machine's mood.

use std::ffi::CString;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scx_lint_oracle::view::{Opened, capture_messages};

/// One way to read an object: a name and what is timed. False means that it was refused.
type Contestant = (&'static str, fn(&[u8]) -> bool);

const CONTESTANTS: &[Contestant] = &[
    ("libbpf open+close", |bytes| {
        let name = CString::default();
        Opened::from_memory(&name, black_box(bytes)).is_ok()
    }),
    ("scx-lint open+rules", |bytes| {
        let options = scx_lint::checks::Options::default();
        let opened = scx_lint::object::Object::open(black_box(bytes), "");
        opened.is_ok_and(|object| {
            black_box(scx_lint::checks::check(&object, &options));
            object.refusals.is_empty()
        })
    }),
];

/// Rounds per object; a round runs every contestant once.
const ROUNDS: usize = 101;

fn objects() -> Vec<PathBuf> {
    let given: Vec<PathBuf> =
        std::env::args_os().skip(1).filter(|a| a != "--bench").map(PathBuf::from).collect();
    if !given.is_empty() {
        return given;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared = std::env::var_os("SCX_LINT_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let mut found = Vec::new();
    let mut todo = vec![root.join("fixtures/obj"), shared.join("corpus/objects")];
    while let Some(dir) = todo.pop() {
        for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "o") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn main() {
    capture_messages();
    println!(
        "{:<48} {:>9}  {:<20} {:>9} {:>9} {:>9}",
        "object", "bytes", "", "25% us", "median us", "75% us"
    );
    let mut all = vec![Vec::new(); CONTESTANTS.len()];
    for path in objects() {
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Also warms caches. What one side refuses early says nothing about speed.
        if !CONTESTANTS.iter().all(|(_, run)| run(&bytes)) {
            println!("{name:<48} {:>9}  refused", bytes.len());
            continue;
        }
        let mut times = vec![Vec::with_capacity(ROUNDS); CONTESTANTS.len()];
        for _ in 0..ROUNDS {
            for (times, (_, run)) in times.iter_mut().zip(CONTESTANTS) {
                let start = Instant::now();
                black_box(run(&bytes));
                times.push(start.elapsed());
            }
        }
        for ((times, (who, _)), all) in times.iter_mut().zip(CONTESTANTS).zip(&mut all) {
            let [low, median, high] = quartiles(times);
            all.push(median);
            row(&name, bytes.len(), who, [low, median, high]);
        }
    }
    for (medians, (who, _)) in all.iter_mut().zip(CONTESTANTS).filter(|(medians, _)| !medians.is_empty()) {
        row(&format!("{} objects (of their medians)", medians.len()), 0, who, quartiles(medians));
    }
}

fn quartiles(times: &mut [Duration]) -> [Duration; 3] {
    times.sort();
    [1, 2, 3].map(|quarter| times[(times.len() - 1) * quarter / 4])
}

fn row(name: &str, bytes: usize, who: &str, times: [Duration; 3]) {
    let [low, median, high] = times.map(|t| t.as_secs_f64() * 1e6);
    println!("{name:<48} {bytes:>9}  {who:<20} {low:>9.1} {median:>9.1} {high:>9.1}");
}
