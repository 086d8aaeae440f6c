//! No input makes the library panic, hang or run away with memory.

use std::time::{Duration, Instant};

use scx_lint::checks::{self, Options};
use scx_lint::object::Object;
use scx_lint::report::Document;

use super::{corpus_objects, fixture_objects, name};

/// Opens, checks and describes; whatever comes of it is fine.
fn swallow(data: &[u8]) {
    if let Ok(object) = Object::open(data, "mutant.bpf.o") {
        let options = Options::default();
        let outcome = checks::check(&object, &options);
        let mut document = Document::default();
        document.add("mutant.bpf.o", &object, &[(None, outcome)]);
        serde_json::to_vec(&document).unwrap();
    }
}

fn fixture(stem: &str) -> Vec<u8> {
    let path = fixture_objects().into_iter().find(|path| name(path) == format!("{stem}.bpf.o"));
    std::fs::read(path.expect("the fixture is there")).unwrap()
}

#[test]
fn truncated_at_every_byte() {
    let data = fixture("good__realistic_cid");
    for end in 0..data.len() {
        swallow(&data[..end]);
    }
}

#[test]
fn every_header_word_at_its_extremes() {
    let data = fixture("missing-arena__near_timer");
    let table = usize::try_from(u64::from_le_bytes(*data[40..].first_chunk().unwrap())).unwrap();
    for at in (0..64).chain(table..data.len()) {
        for width in [2, 4, 8] {
            for value in [[0; 8], [0xff; 8], [0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]] {
                let mut mutant = data.clone();
                let end = (at + width).min(mutant.len());
                mutant[at..end].copy_from_slice(&value[..end - at]);
                swallow(&mutant);
            }
        }
    }
}

#[test]
fn a_hundred_thousand_random_byte_flips() {
    let started = Instant::now();
    let mut random = fastrand::Rng::with_seed(0x5cb1);
    let fixtures: Vec<Vec<u8>> = fixture_objects()
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .filter(|data| data.len() < 16 << 10)
        .collect();
    for _ in 0..100_000 {
        let mut mutant = random.choice(&fixtures).unwrap().clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..mutant.len());
            mutant[at] = random.u8(..);
        }
        swallow(&mutant);
    }
    // Generous: a debug build on a busy machine takes seconds. A hang would take for ever.
    assert!(started.elapsed() < Duration::from_secs(300), "{:?}", started.elapsed());
}

#[test]
fn random_words_in_btf() {
    let data = fixture("good__realistic_cpu");
    let magic = data.windows(4).position(|window| window == [0x9f, 0xeb, 1, 0]).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut mutant = data.clone();
        // Small numbers make cycles among types.
        let at = (magic + 4 * random.usize(..600)).min(mutant.len() - 4);
        let value = if random.bool() { random.u32(..64) } else { random.u32(..) };
        mutant[at..at + 4].copy_from_slice(&value.to_le_bytes());
        swallow(&mutant);
    }
}

/// Scheduler of so many programs, each of which reaches all of as many subprograms.
fn dense(count: usize) -> Vec<u8> {
    use super::builder::{ARRAY, FunctionSpec, MapSpec, Spec};
    let chain = (0..count)
        .map(|n| FunctionSpec { maps: vec![n], calls: if n + 1 < count { vec![n + 1] } else { vec![] } });
    Spec {
        ops_type: "sched_ext_ops",
        maps: (0..count).map(|_| MapSpec { map_type: ARRAY, flags: 0 }).collect(),
        programs: (0..count).map(|_| FunctionSpec { maps: vec![], calls: vec![0] }).collect(),
        outsider: None,
        subprograms: chain.collect(),
    }
    .build()
}

/// A scheduler whose symbols all have one name, as long as half of the file, that is no UTF-8 either.
fn shared_name(count: usize) -> Vec<u8> {
    let mut data = dense(count);
    let len = data.len();
    let word = |data: &[u8], at: usize| u64::from_le_bytes(*data[at..].first_chunk().unwrap());
    let table = usize::try_from(word(&data, 40)).unwrap();
    let headers = (table..len).step_by(64).filter(|at| at + 64 <= len);
    let of_type =
        |data: &[u8], kind: u8| headers.clone().find(|at| data[at + 4] == kind && data[at + 5] == 0).unwrap();
    let symbols = of_type(&data, 2);
    let strings = headers.clone().nth(data[symbols + 40].into()).unwrap();
    let (start, size) = (
        usize::try_from(word(&data, symbols + 24)).unwrap(),
        usize::try_from(word(&data, symbols + 32)).unwrap(),
    );
    for entry in (start + 24..start + size).step_by(24) {
        data[entry..entry + 4].copy_from_slice(&1u32.to_le_bytes());
    }
    // The string table moves to the end.
    data[strings + 24..strings + 32].copy_from_slice(&(len as u64).to_le_bytes());
    data[strings + 32..strings + 40].copy_from_slice(&(len as u64 + 2).to_le_bytes());
    data.push(0);
    data.extend(std::iter::repeat_n(0xff, len));
    data.push(0);
    data
}

/// Runs the command on a file with so many bytes of data (heap, stack aside) to use, as the kernel counts them
/// (`RLIMIT_DATA`), and gives its exit status and the code of the input error.
fn within(bytes: usize, path: &std::path::Path, format: &str) -> (Option<i32>, Option<String>) {
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -d \"$1\"; shift; exec \"$@\"", "sh"])
        .arg((bytes / 1024).to_string())
        .args([env!("CARGO_BIN_EXE_scx-lint"), "--format", format])
        .arg(path)
        .output()
        .unwrap();
    let code = serde_json::from_slice::<serde_json::Value>(&output.stdout)
        .ok()
        .and_then(|report| report["objects"][0]["error"]["code"].as_str().map(str::to_owned));
    (output.status.code(), code)
}

/// What the command may take for an input of so many bytes, whose programs have so many instructions.
fn allowance(len: usize, insns: usize) -> usize {
    3 * len + (8 << 20) + (insns << 10)
}

/// Instructions of an object's programs, each with the functions that are linked to it.
fn instructions(path: &std::path::Path) -> usize {
    let data = std::fs::read(path).unwrap();
    let Ok(object) = Object::open(&data, "sched.bpf.o") else { return 0 };
    let linked = |program| object.code_of(program).map(|(_, function)| function.code.len()).sum::<usize>();
    object.programs().map(|(program, ..)| linked(program)).sum()
}

#[test]
fn memory_stays_below_three_inputs_and_eight_megabytes() {
    let mut paths = fixture_objects();
    paths.extend(corpus_objects());
    paths.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    // The small ones are all alike.
    let from = paths.len().saturating_sub(25);
    let mut long = paths.clone();
    long.sort_by_key(|path| instructions(path));
    for path in paths[from..].iter().chain(long.iter().rev().take(5)) {
        let len = usize::try_from(std::fs::metadata(path).unwrap().len()).unwrap();
        for format in ["full", "json"] {
            let (status, _) = within(allowance(len, instructions(path)), path, format);
            assert!(matches!(status, Some(0 | 1)), "{}: {status:?}", path.display());
        }
    }
    // The measure can fail.
    let path = paths.last().unwrap();
    assert!(!matches!(within(128 << 10, path, "json").0, Some(0 | 1)));
}

#[test]
fn what_is_made_to_grow_is_not_read() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, data) in [("dense.o", dense(1500)), ("shared-name.o", shared_name(500))] {
        let path = folder.join(name);
        std::fs::write(&path, &data).unwrap();
        let started = Instant::now();
        let (status, code) = within(allowance(data.len(), 0), &path, "json");
        assert_eq!((status, code.as_deref()), (Some(2), Some("too-complex")), "{name}");
        assert!(started.elapsed() < Duration::from_secs(5), "{name}: {:?}", started.elapsed());
    }
    // As many as the kernel takes are read.
    let path = folder.join("many.o");
    std::fs::write(&path, dense(64)).unwrap();
    assert!(matches!(within(allowance(100_000, 0), &path, "json"), (Some(0 | 1), None)));
}
