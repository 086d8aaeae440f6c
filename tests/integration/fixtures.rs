//! Every rule on every fixture: what a fixture says of itself is what the rules say.

use std::collections::BTreeSet;
use std::path::Path;

use scx_lint::checks::{self, Options, RULES};
use scx_lint::finding::Level;
use scx_lint::object::Object;

use super::{fixture_objects, name, root};

/// Expectations: rules that must fire, with their phase, and rules that must not.
#[derive(Default)]
struct Expected {
    fires: BTreeSet<(String, String)>,
    silent: BTreeSet<String>,
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
        match tag.strip_prefix('!') {
            Some(rule) => {
                assert!(checks::find(rule).is_some(), "{stem}: tag for unknown rule {rule}");
                expected.silent.insert(rule.to_owned());
            }
            None => {
                let (rule, phase) = tag.split_once(':').expect("a tag has a phase");
                assert!(checks::find(rule).is_some(), "{stem}: tag for unknown rule {rule}");
                expected.fires.insert((rule.to_owned(), phase.to_owned()));
            }
        }
    }
    expected
}

#[test]
fn fixtures_get_what_they_expect_and_nothing_else() {
    let mut wrong = Vec::new();
    for path in fixture_objects() {
        let data = std::fs::read(&path).unwrap();
        let object = Object::open(&data, &name(&path)).unwrap();
        let outcome = checks::check(&object, &Options::default());
        let expected = expected(&path, &object);
        let found: BTreeSet<_> = outcome
            .findings
            .iter()
            .map(|finding| ((finding.rule.name.to_owned(), finding.phase.as_str().to_owned()), finding.level))
            .collect();
        for (pair, _) in
            found.iter().filter(|(pair, level)| *level > Level::Note && !expected.fires.contains(pair))
        {
            wrong.push(format!("{}: fires unasked: {pair:?}", name(&path)));
        }
        for pair in expected.fires.iter().filter(|pair| !found.iter().any(|(found, _)| found == *pair)) {
            wrong.push(format!("{}: does not fire: {pair:?}", name(&path)));
        }
        for ((rule, _), _) in found.iter().filter(|((rule, _), _)| expected.silent.contains(rule)) {
            wrong.push(format!("{}: near miss fires: {rule}", name(&path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rules whose firing case is built in memory: an object of a million instructions is no file to keep, and no compiler
/// writes broken BTF.
const IN_MEMORY: [&str; 2] = ["oversized-program", "malformed-btf"];

#[test]
fn every_rule_has_a_fixture_that_fires_and_one_that_must_not() {
    let mut fires = BTreeSet::new();
    let mut silent = BTreeSet::new();
    for path in fixture_objects() {
        let data = std::fs::read(&path).unwrap();
        let object = Object::open(&data, &name(&path)).unwrap();
        let expected = expected(&path, &object);
        silent.extend(expected.silent);
        fires.extend(expected.fires.into_iter().map(|(rule, _)| rule));
    }
    for rule in RULES.iter().filter(|rule| !IN_MEMORY.contains(&rule.name)) {
        assert!(fires.contains(rule.name), "no fixture fires {}", rule.name);
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
    let object = Object::open(&data, "multiple.bpf.o").unwrap();
    let outcome = checks::check(&object, &Options::default());
    let mut document = scx_lint::report::Document::default();
    document.add("multiple.bpf.o", &object, "plain", &[(None, outcome)]);
    let finding = document.findings.iter().find(|finding| finding.rule == "multiple-arenas").unwrap();
    let lines: Vec<_> = finding.locations.iter().filter_map(|l| l.text.as_deref()).map(str::trim).collect();
    assert_eq!(lines, ["TOUCH(arena);", "TOUCH(other);"]);
    assert!(finding.locations[0].label.contains("member 'running' (demo_running)"));
    assert_eq!(
        finding.kernel_message.as_deref(),
        Some("sched_ext: cid-form scheduler uses multiple arena maps")
    );
    assert_eq!(finding.errno.as_deref(), Some("EINVAL"));
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
