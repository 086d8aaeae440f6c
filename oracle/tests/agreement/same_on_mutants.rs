//! Objects nobody built. `MUTANTS` (2000) says how many, `MUTANT_SEED` (1) which.

use std::collections::BTreeMap;
use std::fs;

use fastrand::Rng;
use scx_lint_oracle::client::Oracle;
use scx_lint_oracle::compare::{Opening, brief, of_libbpf, of_ours};
use scx_lint_oracle::mutate::{Base, minimise};

use crate::{libbpf, objects, ours};

/// Both sides' words if one accepts what the other refuses. What libbpf does not survive is nobody's yardstick, and
/// neither is an answer that depends on memory beyond the object, as far as asking twice shows; but "cannot tell" on
/// our side is a difference, for libbpf always can.
fn disagreement(libbpf: &mut Oracle, bytes: &[u8], name: &str) -> Option<String> {
    let theirs = of_libbpf(&libbpf.open_memory(name, bytes).unwrap());
    let ours = of_ours(&ours(bytes, name), 0);
    match (&theirs, &ours) {
        (Opening::Accepted, Opening::Accepted)
        | (Opening::Refused(_), Opening::Refused(_))
        | (Opening::Undecided(_), _) => None,
        _ => Some(format!("libbpf {}, ours {}", brief(&theirs), brief(&ours))),
    }
}

#[test]
fn opens_mutants_like_libbpf() {
    let setting = |name, default| std::env::var(name).map_or(default, |v: String| v.parse().unwrap());
    let (count, seed) = (setting("MUTANTS", 2000), setting("MUTANT_SEED", 1));
    let mut rng = Rng::with_seed(seed);
    let mut libbpf = libbpf();
    let bases: Vec<_> = objects()
        .into_iter()
        .filter(|path| libbpf.open_file(path.to_str().unwrap()).unwrap()["ok"] == true)
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), Base::new(fs::read(path).unwrap()))
        })
        .collect();
    // One example per kind of disagreement: the field changed and both answers, without numbers.
    let mut seen: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for _ in 0..count {
        let (name, base) = &bases[rng.usize(..bases.len())];
        let mutant = base.mutant(&mut rng);
        if disagreement(&mut libbpf, &mutant.apply(&base.bytes), name).is_none() {
            continue;
        }
        let small = minimise(&mutant, |m| disagreement(&mut libbpf, &m.apply(&base.bytes), name).is_some());
        // Between two runs libbpf may change its mind about what lies beyond a buffer.
        let Some(words) = disagreement(&mut libbpf, &small.apply(&base.bytes), name) else { continue };
        let kind =
            small.edits.iter().map(|e| e.what.as_str()).chain([words.as_str()]).collect::<Vec<_>>().join(" ");
        let kind = kind.chars().filter(|c| !c.is_ascii_digit()).collect();
        seen.entry(kind).or_insert_with(|| (0, format!("{name}: {small}: {words}"))).0 += 1;
    }
    let total: usize = seen.values().map(|(n, _)| n).sum();
    let lines: Vec<_> = seen.values().map(|(n, example)| format!("{n} like {example}")).collect();
    assert!(
        seen.is_empty(),
        "seed {seed}: {total} of {count} mutants are judged differently:\n{}",
        lines.join("\n")
    );
}
