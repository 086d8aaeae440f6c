//! Objects nobody built. `MUTANTS` (2000) says how many, `MUTANT_SEED` (1) which; with `MUTANT_STRICT=1` the two sides
//! must also agree on why an object is refused and on what is in one that opens.

use std::collections::BTreeMap;
use std::fs;

use fastrand::Rng;
use scx_lint_oracle::client::Oracle;
use scx_lint_oracle::compare::{Opening, brief, differences, of_libbpf, of_ours};
use scx_lint_oracle::mutate::{Base, Mutant, minimise};

use crate::{libbpf, objects, ours};

/// What the two sides disagree about, or nothing. What libbpf does not survive is nobody's yardstick; but "cannot
/// tell" on our side is a difference, for libbpf always can.
fn disagreement(libbpf: &mut Oracle, bytes: &[u8], name: &str, strict: bool) -> Option<String> {
    let answer = libbpf.open_memory(name, bytes).unwrap();
    let report = ours(bytes, name);
    let (theirs, ours) = (of_libbpf(&answer), of_ours(&report, 0));
    match (&theirs, &ours) {
        (Opening::Undecided(_), _) => None,
        (Opening::Accepted, Opening::Accepted) | (Opening::Refused(_), Opening::Refused(_)) => {
            let differences = if strict { differences(&answer, &report, 0) } else { Vec::new() };
            (!differences.is_empty()).then(|| differences.join(", "))
        }
        _ => Some(format!("libbpf {}, ours {}", brief(&theirs), brief(&ours))),
    }
}

/// A disagreement without what differs from mutant to mutant: names, numbers and places.
fn kind(words: &str) -> String {
    let common = |word: &&str| word.chars().all(|c| c.is_ascii_alphabetic() || "()[]-:;,\"".contains(c));
    words.split_whitespace().filter(common).collect::<Vec<_>>().join(" ")
}

#[test]
fn opens_mutants_like_libbpf() {
    let setting = |name, default| std::env::var(name).map_or(default, |v: String| v.parse().unwrap());
    let (count, seed) = (setting("MUTANTS", 2000), setting("MUTANT_SEED", 1));
    let strict = std::env::var_os("MUTANT_STRICT").is_some_and(|v| v == "1");
    let mut rng = Rng::with_seed(seed);
    let mut libbpf = libbpf();
    let bases: Vec<_> = objects()
        .into_iter()
        .filter(|path| libbpf.open_file(path.to_str().unwrap()).unwrap()["ok"] == true)
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), Base::new(fs::read(path).unwrap()))
        })
        .collect();
    // One example per kind of disagreement.
    let mut seen: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for _ in 0..count {
        let (name, base) = &bases[rng.usize(..bases.len())];
        let mutant = base.mutant(&mut rng);
        let mut judge = |m: &Mutant| disagreement(&mut libbpf, &m.apply(&base.bytes), name, strict);
        let Some(words) = judge(&mutant) else { continue };
        let (times, _) = seen.entry(kind(&words)).or_insert_with(|| {
            let small = minimise(&mutant, |m| judge(m).is_some_and(|w| kind(&w) == kind(&words)));
            (0, format!("{name}: {small}: {}", judge(&small).unwrap_or_else(|| words.clone())))
        });
        *times += 1;
    }
    let total: usize = seen.values().map(|(n, _)| n).sum();
    let lines: Vec<_> = seen.values().map(|(n, example)| format!("{n} like {example}")).collect();
    assert!(
        seen.is_empty(),
        "seed {seed}: {total} of {count} mutants are judged differently:\n{}",
        lines.join("\n")
    );
}
