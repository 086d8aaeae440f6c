//! A finding points at the scheduler's own line: also where the code is that of a header, and where DWARF alone knows the line.

use std::fs;
use std::path::Path;
use std::process::Command;

use scx_lint::Options;
use scx_lint::kernel::{Kernel, target};
use scx_lint::report::Document;

use super::root;
use super::tools::{run, tool};

/// The number of the line of a fixture's source that has a text.
fn line_of(fixture: &str, text: &str) -> u32 {
    let source = fs::read_to_string(root().join(format!("fixtures/src/{fixture}.bpf.c"))).unwrap();
    let at = source.lines().position(|line| line.contains(text)).unwrap();
    u32::try_from(at).unwrap() + 1
}

/// A fixture compiled here, with its DWARF.
fn with_dwarf(fixture: &str, flags: &[&str]) -> Option<Vec<u8>> {
    let clang = tool("clang-19")?;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo.bpf.o");
    let mut command = Command::new(clang);
    command.args(["--target=bpf", "-g", "-O2", "-mcpu=v3", "-I../include", "-fdebug-compilation-dir=."]);
    command.args([
        "-Wno-unused-function",
        "-Wno-uninitialized",
        "-Wno-initializer-overrides",
        "-Wno-return-type",
        "-Wno-int-conversion",
    ]);
    command.args(flags).args(["-c", &format!("{fixture}.bpf.c"), "-o"]).arg(&out);
    run(command.current_dir(root().join("fixtures/src")));
    Some(fs::read(out).unwrap())
}

fn committed(fixture: &str) -> Vec<u8> {
    fs::read(root().join(format!("fixtures/obj/clang-19/{fixture}.bpf.o"))).unwrap()
}

fn lint(object: &[u8], kernel: &str) -> Document {
    let targets = target::load(kernel).unwrap();
    let kernels: Vec<Kernel<'_>> = targets.iter().map(|target| Kernel::new(target).unwrap()).collect();
    scx_lint::lint_for("demo.bpf.o", object, &kernels, &Options::default())
}

/// File name, line, and whether it is that of inlined code, of each place of a rule's finding.
fn places(document: &Document, rule: &str) -> Vec<(Option<String>, Option<u32>, bool)> {
    let finding = document.findings.iter().find(|finding| finding.rule.name == rule).expect(rule);
    let name = |path: &String| Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
    finding
        .locations
        .iter()
        .map(|location| (location.file.as_ref().map(name), location.line, location.inlined))
        .collect()
}

const CALL: &str = "missing-kfunc__inlined";
const BEGIN: &str = "deprecated-op__inlined";

#[test]
fn code_of_a_header_is_blamed_on_the_scheduler() {
    let found = places(&lint(&committed(CALL), "7.3"), "missing-kfunc");
    let [(Some(file), Some(line), false), (Some(header), Some(_), true)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!((file.as_str(), header.as_str()), ("missing-kfunc__inlined.bpf.c", "inlined.h"));
    // Without DWARF it is the nearest line that the object has.
    assert!(line.abs_diff(line_of(CALL, "consume(7)")) <= 1, "{line}");
}

#[test]
fn a_program_begins_at_its_own_line() {
    let found = places(&lint(&committed(BEGIN), "7.3"), "deprecated-op");
    let file = Some(format!("{BEGIN}.bpf.c"));
    let own = found.iter().find(|(found, ..)| *found == file).unwrap_or_else(|| panic!("{found:?}"));
    let (opening, end) = (line_of(BEGIN, "void OP("), line_of(BEGIN, "EXPECT(\"deprecated-op:attach"));
    assert!((opening..end).contains(&own.1.unwrap()), "{found:?}");
    assert!(found.iter().all(|(file, ..)| file.as_deref() != Some("inlined.h")), "{found:?}");
}

#[test]
fn dwarf_knows_the_line_of_the_call_and_of_variables() {
    for flags in [&["-gdwarf-5"][..], &["-gdwarf-4"]] {
        let Some(object) = with_dwarf(CALL, flags) else { return };
        let document = lint(&object, "7.3");
        let found = places(&document, "missing-kfunc");
        let file = Some(format!("{CALL}.bpf.c"));
        assert_eq!(found[0], (file, Some(line_of(CALL, "consume(7)")), false), "{flags:?}");
        assert!(found[1].2 && found[1].0.as_deref() == Some("inlined.h"), "{found:?}");
        // The path and the text are those of the line records.
        let location =
            &document.findings.iter().find(|f| f.rule.name == "missing-kfunc").unwrap().locations[0];
        assert_eq!(location.file.as_deref(), Some("./missing-kfunc__inlined.bpf.c"));

        let Some(object) = with_dwarf(BEGIN, flags) else { return };
        let found = places(&lint(&object, "7.3"), "deprecated-op");
        let file = Some(format!("{BEGIN}.bpf.c"));
        let lines = [line_of(BEGIN, "void OP("), line_of(BEGIN, "CPU_OPS(")];
        for (name, line, _) in &found {
            assert!(*name == file && lines.contains(&line.unwrap()), "{found:?}");
        }
        // A map, and an ops variable.
        let Some(object) = with_dwarf("multiple-arenas__two_members", flags) else { return };
        let document = lint(&object, "7.3");
        let finding = document.findings.iter().find(|f| f.rule.name == "multiple-arenas").unwrap();
        assert!(finding.locations.iter().all(|location| location.line.is_some()), "{:?}", finding.locations);
    }
}

/// As after libbpf's static linker, or a build that strips.
#[test]
fn without_dwarf_nothing_else_changes() {
    let Some(object) = with_dwarf(CALL, &[]) else { return };
    let sight = |object: &[u8]| {
        let document = lint(object, "7.3");
        let findings = document.findings.iter();
        findings.map(|finding| (finding.rule.name, finding.message.clone())).collect::<Vec<_>>()
    };
    assert_eq!(sight(&object), sight(&committed(CALL)));
}

/// Whatever is done to it, DWARF neither stops nor holds up anything.
#[test]
fn broken_dwarf_is_as_good_as_none() {
    let Some(object) = with_dwarf(CALL, &[]) else { return };
    let start = object.windows(2).position(|window| window == b"\x05\x00").unwrap_or(0);
    let mut random = fastrand::Rng::with_seed(5);
    let target = target::load("7.3").unwrap().remove(0);
    let kernels = [Kernel::new(&target).unwrap()];
    for _ in 0..300 {
        let mut mutant = object.clone();
        for _ in 0..random.usize(1..20) {
            let at = random.usize(start..mutant.len());
            mutant[at] = random.u8(..);
        }
        scx_lint::lint_for("mutant.bpf.o", &mutant, &kernels, &Options::default());
    }
}
