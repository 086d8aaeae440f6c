//! Every rule on every fixture: what a fixture says of itself is what the rules say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use scx_lint::checks::{self, ArenaRule, Options, RULES};
use scx_lint::errno::Errno;
use scx_lint::finding::Outcome;
use scx_lint::kernel::builtin::RELEASES;
use scx_lint::kernel::{Kernel, target};
use scx_lint::load::Loader;
use scx_lint::object::Object;
use scx_lint::rule::Level;
use scx_lint::verifier::bpf_check::{self, Why};

use super::{fixture_objects, name, root};

/// Where a fixture is linted: with no kernel named, or for a built-in release.
type Column = Option<&'static str>;

/// No kernel, then every built-in release, oldest first.
fn columns() -> Vec<Column> {
    std::iter::once(None).chain(RELEASES.iter().map(|release| Some(release.name))).collect()
}

/// Expectations: rules that must fire, with their phase, and rules that must not; and where.
#[derive(Default)]
struct Expected {
    fires: BTreeSet<(Column, String, String)>,
    silent: BTreeSet<(Column, String)>,
}

impl Expected {
    /// A fixture that speaks of kernels at all says what fires on each of them.
    fn speaks_of_kernels(&self) -> bool {
        self.fires.iter().any(|(at, ..)| at.is_some()) || self.silent.iter().any(|(at, _)| at.is_some())
    }
}

/// The places that `7.1`, `6.12,7.1-7.2`, `7.1-` (from 7.1 on) and `all` name.
fn places(kernels: &str) -> Vec<Column> {
    let position = |name: &str| {
        let at = RELEASES.iter().position(|release| release.name == name);
        at.unwrap_or_else(|| panic!("tag for kernel '{name}', which is not built in"))
    };
    if kernels == "all" {
        return columns().split_off(1);
    }
    let newest = RELEASES.len() - 1;
    let mut places = Vec::new();
    for part in kernels.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, "")) => (position(first), newest),
            closed => {
                let (first, last) = closed.unwrap_or((part, part));
                assert!(
                    position(last) < newest,
                    "tag for kernels '{part}': for releases to come write '{first}-'"
                );
                (position(first), position(last))
            }
        };
        assert!(first <= last, "tag for kernels '{part}', newer before older");
        places.extend(RELEASES[first..=last].iter().map(|release| Some(release.name)));
    }
    places
}

/// Reads the tags of an object; for one that cannot carry them, the manifest.
fn expected(path: &Path, object: &Object<'_>) -> Expected {
    let manifest = std::fs::read_to_string(root().join("fixtures/MANIFEST.toml")).unwrap();
    let stem = name(path).trim_end_matches(".bpf.o").to_owned();
    let entry = manifest.split("[[object]]").find(|entry| entry.contains(&format!("name = \"{stem}\"\n")));
    let line = entry.and_then(|entry| entry.lines().find(|line| line.starts_with("expect = ")));
    let tags: Vec<String> = match (line, &object.btf) {
        (Some(line), _) => serde_json::from_str(line.strip_prefix("expect = ").unwrap()).unwrap(),
        (None, Some(btf)) => btf
            .decl_tags()
            .filter_map(|(_, _, text)| text.strip_prefix("expect:").map(str::to_owned))
            .collect(),
        (None, None) => Vec::new(),
    };
    let mut expected = Expected::default();
    for tag in tags {
        let (text, phase) = match tag.strip_prefix('!') {
            Some(text) => (text, None),
            None => {
                let (text, phase) = tag.split_once(':').expect("a tag has a phase");
                (text, Some(phase))
            }
        };
        let (rule, places) = match text.split_once('@') {
            Some((rule, kernels)) => (rule, places(kernels)),
            None => (text, vec![None]),
        };
        assert!(checks::find(rule).is_some(), "{stem}: tag for unknown rule {rule}");
        for at in places {
            match phase {
                Some(phase) => expected.fires.insert((at, rule.to_owned(), phase.to_owned())),
                None => expected.silent.insert((at, rule.to_owned())),
            };
        }
    }
    expected
}

/// What the rules say of a fixture at one place: a rule, its level or none where it is undecided, and the phase.
type Verdicts = BTreeSet<(&'static str, Option<Level>, &'static str)>;

fn verdicts(outcome: &Outcome) -> Verdicts {
    let findings = outcome.findings.iter().map(|f| (f.rule.name, Some(f.level), f.phase.as_str()));
    let undecided = outcome.undecided.iter().map(|u| (u.rule.name, None, u.phase.as_str()));
    findings.chain(undecided).collect()
}

/// What is found in a fixture at one place.
#[derive(Clone)]
struct Found {
    verdicts: Verdicts,
    /// The rules that quote words of libbpf or the kernel, with these.
    quotes: BTreeSet<(&'static str, String)>,
    /// The verifier's words, and what kind of mistake the walk takes them for.
    refusals: BTreeSet<(String, Why)>,
}

fn found(outcome: &Outcome) -> Found {
    let quotes = outcome.findings.iter().filter_map(|f| Some((f.rule.name, f.kernel_message.clone()?)));
    let refusals = outcome.verifications.iter().filter_map(|(_, verification)| match &verification.outcome {
        bpf_check::Outcome::Refused(refusal) => Some((refusal.message.clone(), refusal.why)),
        _ => None,
    });
    Found { verdicts: verdicts(outcome), quotes: quotes.collect(), refusals: refusals.collect() }
}

/// Every fixture at every place, in the order of [`fixture_objects`] and [`columns`].
fn everything() -> &'static [Vec<Found>] {
    static DONE: OnceLock<Vec<Vec<Found>>> = OnceLock::new();
    DONE.get_or_init(|| {
        let data: Vec<_> =
            fixture_objects().iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect();
        let column = |kernel: Option<&Kernel<'_>>| -> Vec<Found> {
            let lint = |(name, data): &(String, Vec<u8>)| {
                let object = Object::open(data, name).unwrap();
                found(&checks::check_on(&object, kernel, &Options::default()))
            };
            data.iter().map(lint).collect()
        };
        // A column each: a kernel is read once.
        let columns: Vec<Vec<Found>> = std::thread::scope(|scope| {
            let work: Vec<_> = columns()
                .into_iter()
                .map(|at| {
                    scope.spawn(move || match at {
                        None => column(None),
                        Some(release) => {
                            let target = target::load(release).unwrap().remove(0);
                            column(Some(&Kernel::new(&target).unwrap()))
                        }
                    })
                })
                .collect();
            work.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        (0..data.len()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect()
    })
}

#[test]
fn fixtures_get_what_they_expect_and_nothing_else() {
    let mut wrong = Vec::new();
    for (path, found) in fixture_objects().iter().zip(everything()) {
        let data = std::fs::read(path).unwrap();
        let object = Object::open(&data, &name(path)).unwrap();
        let expected = expected(path, &object);
        for (at, found) in columns().into_iter().zip(found) {
            if at.is_some() && !expected.speaks_of_kernels() {
                continue;
            }
            let place = at.map_or(String::new(), |release| format!(" on {release}"));
            let mut says = |what: &str, rule: &str, phase: &str| {
                wrong.push(format!("{}{place}: {what}: {rule} ({phase})", name(path)));
            };
            let tag = |rule: &str, phase: &str| (at, rule.to_owned(), phase.to_owned());
            for (rule, level, phase) in &found.verdicts {
                let Some(level) = level else { continue };
                if *level > Level::Note && !expected.fires.contains(&tag(rule, phase)) {
                    says("fires unasked", rule, phase);
                }
                if expected.silent.contains(&(at, (*rule).to_owned())) {
                    says("near miss fires", rule, phase);
                }
            }
            for (_, rule, phase) in expected.fires.iter().filter(|(place, ..)| *place == at) {
                let fires = |&(name, level, when): &(&str, Option<Level>, &str)| {
                    name == rule && level.is_some() && when == phase
                };
                if !found.verdicts.iter().any(fires) {
                    says("does not fire", rule, phase);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What every rule says of every fixture, with no kernel and for every built-in release, as it was when somebody last
/// looked: `E`, `W` and `N` for a finding by its level, `?` for an open question, then the phase.
#[test]
fn the_matrix_is_as_it_was() {
    let mut rows: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    for (path, found) in fixture_objects().iter().zip(everything()) {
        for (column, found) in found.iter().enumerate() {
            for (rule, level, phase) in &found.verdicts {
                let letter = match level {
                    Some(Level::Error) => 'E',
                    Some(Level::Warning) => 'W',
                    Some(Level::Note) => 'N',
                    Some(Level::Allow) => unreachable!("an allowed rule reports nothing"),
                    None => '?',
                };
                let fixture = name(path).trim_end_matches(".bpf.o").to_owned();
                let row = rows.entry((rule, fixture)).or_insert_with(|| vec![String::new(); found_columns()]);
                let gap = if row[column].is_empty() { "" } else { " " };
                row[column] = format!("{}{gap}{letter}:{phase}", row[column]);
            }
        }
    }
    let mut text = String::from("rule\tfixture");
    for at in columns() {
        text += &format!("\t{}", at.unwrap_or("none"));
    }
    text += "\n";
    for ((rule, fixture), cells) in rows {
        let cells: Vec<_> = cells.iter().map(|cell| if cell.is_empty() { "-" } else { cell }).collect();
        text += &format!("{rule}\t{fixture}\t{}\n", cells.join("\t"));
    }
    let path = root().join("tests/snapshots/matrix.tsv");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (old.lines().collect(), text.lines().collect());
    let gone = old.difference(&new).map(|line| format!("-{line}"));
    let came = new.difference(&old).map(|line| format!("+{line}"));
    let mut diff: Vec<_> = gone.chain(came).collect();
    diff.sort_by(|a, b| a[1..].cmp(&b[1..]));
    assert!(
        diff.is_empty(),
        "tests/snapshots/matrix.tsv differs; if the new rows are right, write them with UPDATE_SNAPSHOTS=1 cargo test the_matrix\n{}",
        diff.join("\n")
    );
}

/// The words that the walk foresees mean in the table of words what the walk takes them for.
#[test]
fn words_mean_what_the_walk_says() {
    let mut count = BTreeSet::new();
    for (path, found) in fixture_objects().iter().zip(everything()) {
        let refusals = found.iter().flat_map(|found| &found.refusals);
        // Before 7.2 a store into a kernel's struct is refused without a word.
        for (message, why) in refusals.filter(|(message, _)| !message.is_empty()) {
            assert_eq!(Why::of_message(message), Some(*why), "{}: {message}", name(path));
            count.insert(why);
        }
    }
    assert!(count.len() > 25, "{count:?}");
}

/// Whoever pastes the words that a rule quotes is told of that rule.
#[test]
fn words_that_rules_quote_lead_to_these_rules() {
    let mut wrong = BTreeSet::new();
    for (path, found) in fixture_objects().iter().zip(everything()) {
        for (rule, words) in found.iter().flat_map(|found| &found.quotes) {
            let about = checks::about(words);
            // A kernel without the ops type lacks kfuncs too, and libbpf comes to these first.
            let is_extern = *rule == "unknown-struct-ops-type" && words.starts_with("extern ");
            let is_general = *rule == checks::refused_by_verifier().name || is_extern || words.is_empty();
            if !is_general && about.iter().all(|about| about.name != *rule) {
                let about: Vec<_> = about.iter().map(|rule| rule.name).collect();
                wrong.insert(format!("{}: {rule}: '{words}' leads to {about:?}", name(path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

fn found_columns() -> usize {
    RELEASES.len() + 1
}

/// The headers of the fixtures declare what 7.3 declares, so what is fine there finds nothing amiss on 7.3. They declare
/// the flag of the always-mapped rule too, so that rule is taken to be in force.
#[test]
fn an_object_is_silent_on_the_kernel_it_was_built_for() {
    let target = target::load("7.3").unwrap().remove(0);
    let kernel = Kernel::new(&target).unwrap();
    let mut options = Options::default();
    options.arena_rule = ArenaRule::Always;
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in fixture_objects() {
        let is_fine = name(&path).starts_with("good__") || name(&path).contains("__near_");
        if !is_fine {
            continue;
        }
        let data = std::fs::read(&path).unwrap();
        let object = Object::open(&data, &name(&path)).unwrap();
        let expected = expected(&path, &object);
        seen += 1;
        for finding in checks::check_on(&object, Some(&kernel), &options).findings {
            let asked = expected.fires.iter().any(|(_, rule, _)| rule == finding.rule.name);
            if finding.level > Level::Note && !asked {
                wrong.push(format!("{}: {}: {}", name(&path), finding.rule.name, finding.message));
            }
        }
    }
    assert!(seen > 50, "only {seen} fixtures");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn constants_of_scx_are_missed_by_a_naked_loader() {
    let path = root().join("fixtures/obj/clang-19/unfilled-scx-constants__near_auto.bpf.o");
    let data = std::fs::read(&path).unwrap();
    let object = Object::open(&data, "constants.bpf.o").unwrap();
    let fires = |loader: Option<Loader>| {
        let outcome = checks::check(&object, &Options::default().loader(loader));
        outcome.findings.iter().any(|finding| finding.rule.name == "unfilled-scx-constants")
    };
    assert!(fires(Some(Loader::Plain)));
    assert!(!fires(None));
    assert!(!fires(Some(Loader::Scx)));
}

/// Rules whose firing case is built in memory: an object of a million instructions is no file to keep, and no compiler
/// writes broken BTF; one needs another loader, and the last seven a kernel that no built-in release is
/// (`small_kernels.rs`).
const IN_MEMORY: [&str; 10] = [
    "oversized-program",
    "malformed-btf",
    "unfilled-scx-constants",
    "no-sched-ext",
    "ambiguous-core-relocation",
    "truncated-enum64",
    "implicit-kfunc-arguments",
    "timer-under-preempt-rt",
    "throw-without-unwinder",
    "missing-tracing-support",
];

#[test]
fn every_rule_has_a_fixture_that_fires_and_one_that_must_not() {
    let mut fires = BTreeSet::new();
    let mut silent = BTreeSet::new();
    for path in fixture_objects() {
        let data = std::fs::read(&path).unwrap();
        let object = Object::open(&data, &name(&path)).unwrap();
        let expected = expected(&path, &object);
        silent.extend(expected.silent.into_iter().map(|(_, rule)| rule));
        fires.extend(expected.fires.into_iter().map(|(_, rule, _)| rule));
    }
    for rule in RULES {
        let in_memory = IN_MEMORY.contains(&rule.name);
        assert!(in_memory || fires.contains(rule.name), "no fixture fires {}", rule.name);
        assert!(silent.contains(rule.name), "no fixture is a near miss of {}", rule.name);
    }
}

#[test]
fn broken_btf_is_refused_as_libbpf_refuses_it() {
    let path = root().join("fixtures/obj/clang-19/good__realistic_cpu.bpf.o");
    let mut data = std::fs::read(&path).unwrap();
    let rules = |data: &[u8]| -> Vec<&'static str> {
        let object = Object::open(data, "broken.bpf.o").unwrap();
        let outcome = checks::check(&object, &Options::default());
        outcome.findings.iter().filter(|f| f.level == Level::Error).map(|f| f.rule.name).collect()
    };
    assert!(rules(&data).is_empty());
    let magic = data.windows(4).position(|window| window == [0x9f, 0xeb, 1, 0]).unwrap();
    // The first type gets a kind that does not exist.
    data[magic + 24 + 7] = 0x1f;
    assert_eq!(rules(&data), ["malformed-btf"]);
}

/// An object of one syscall program of so many instructions, the last of them an exit.
fn long_program(count: usize) -> Vec<u8> {
    use object::write::{Object as Writer, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
    let mut writer = Writer::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let mut code = [0xb7, 0, 0, 0, 0, 0, 0, 0].repeat(count);
    let last = code.len() - 8;
    code[last] = 0x95;
    let section = writer.add_section(Vec::new(), b"syscall".to_vec(), SectionKind::Text);
    writer.append_section_data(section, &code, 8);
    writer.add_symbol(Symbol {
        name: b"long".to_vec(),
        value: 0,
        size: code.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    writer.write().unwrap()
}

#[test]
fn a_million_instructions_are_the_most() {
    let fires = |count| {
        let data = long_program(count);
        let object = Object::open(&data, "long.bpf.o").unwrap();
        assert_eq!(object.programs().count(), 1);
        let outcome = checks::check(&object, &Options::default());
        outcome.findings.iter().any(|finding| finding.rule.name == "oversized-program")
    };
    assert!(fires(1_000_001));
    assert!(!fires(1_000_000));
}

#[test]
fn a_finding_of_the_arena_rule_names_members_and_the_line() {
    let path = root().join("fixtures/obj/clang-19/multiple-arenas__two_members.bpf.o");
    let data = std::fs::read(&path).unwrap();
    let document = scx_lint::lint(&data, &Options::default());
    let finding = document.findings.iter().find(|finding| finding.rule.name == "multiple-arenas").unwrap();
    let lines: Vec<_> = finding.locations.iter().filter_map(|l| l.text.as_deref()).map(str::trim).collect();
    assert_eq!(lines, ["TOUCH(arena);", "TOUCH(other);"]);
    assert!(finding.locations[0].label.contains("member 'running' (demo_running)"));
    assert_eq!(
        finding.kernel_message.as_deref(),
        Some("sched_ext: cid-form scheduler uses multiple arena maps")
    );
    assert_eq!(finding.errno, Some(Errno::EINVAL));
}

/// Did every phase pass, and every ops variable of the object attach.
fn worked(outcome: &serde_json::Value) -> bool {
    let maps = outcome["attach"].as_object();
    outcome["open"] == "pass"
        && outcome["load"] == "pass"
        && maps.is_some_and(|maps| !maps.is_empty() && maps.values().all(|value| value == "pass"))
}

/// An object that some kernel took, as recorded beside the package, gets no error, the rule of kernels to come aside.
#[test]
fn no_false_alarm_on_objects_that_worked() {
    let truth = root().join("../shared/corpus/truth");
    let mut tried = BTreeSet::new();
    for entry in std::fs::read_dir(truth).into_iter().flatten() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let outcomes: serde_json::Value = serde_json::from_str(&text).unwrap();
        let outcomes = outcomes.as_object().unwrap().iter();
        tried.extend(outcomes.filter(|(_, outcome)| worked(outcome)).map(|(name, _)| name.clone()));
    }
    let objects = super::corpus_objects();
    assert!(objects.is_empty() || tried.len() > 10, "{tried:?}");
    let mut wrong = Vec::new();
    for path in objects.iter().filter(|path| tried.contains(&name(path))) {
        let data = std::fs::read(path).unwrap();
        let object = Object::open(&data, &name(path)).unwrap();
        for finding in checks::check(&object, &Options::default()).findings {
            if finding.level == Level::Error && finding.rule.name != "arena-not-always-mapped" {
                wrong.push(format!("{}: {}", name(path), finding.rule.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A value that is not in the file is the loader's to set: what follows from its absence is an error without a loader of scx,
/// and open with one.
#[test]
fn what_the_loader_may_set_is_open() {
    let mut count = 0;
    for path in fixture_objects() {
        let Some((rule, _)) =
            name(&path).split_once("__near_scx.").map(|(rule, rest)| (rule.to_owned(), rest))
        else {
            continue;
        };
        let data = std::fs::read(&path).unwrap();
        let object = Object::open(&data, &rule).unwrap();
        let says = |loader: Option<Loader>| {
            let outcome = checks::check(&object, &Options::default().loader(loader));
            let found =
                outcome.findings.iter().any(|found| found.rule.name == rule && found.level == Level::Error);
            (found, outcome.undecided.iter().any(|open| open.rule.name == rule))
        };
        assert_eq!(says(Some(Loader::Plain)), (true, false), "{rule}, plain");
        assert_eq!(says(Some(Loader::Scx)), (false, true), "{rule}, scx");
        assert_eq!(says(None), (false, true), "{rule}, auto");
        count += 1;
    }
    assert!(count >= 5, "{count} fixtures");
}
