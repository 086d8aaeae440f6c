//! No input makes the library panic, hang or run away with memory.

use std::time::{Duration, Instant};

use scx_lint::checks::{self, Options};
use scx_lint::object::Object;
use scx_lint::report::Document;

use super::{fixture_objects, name};

/// Opens, checks and describes; whatever comes of it is fine.
fn swallow(data: &[u8]) {
    if let Ok(object) = Object::open(data, "mutant.bpf.o") {
        let options = Options::default();
        let outcome = checks::check(&object, &options);
        let mut document = Document::default();
        document.add("mutant.bpf.o", &object, "plain", &[(None, outcome)]);
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
