//! Small objects made to keep whoever follows types, calls and paths busy: none of them takes more than a bounded number of steps.
//!
//! They are made in memory. Each is linted with every rule, without a kernel, for a built-in one, and for one whose types are its own.

use std::process::Command;
use std::time::{Duration, Instant};

use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use scx_lint::Options;
use scx_lint::kernel::{Kernel, target};

use super::builder::{Btf, KIND_INT, KIND_STRUCT, data_sec, insn};
use super::tools;

type Code = Vec<[u8; 8]>;

/// An object with one `syscall` program, functions in `.text` that follow each other, one global variable, and CO-RE records of the
/// program's first instruction.
struct Case {
    btf: Btf,
    program: Code,
    text: Vec<Code>,
    global: Option<(u32, u32)>,
    /// Type, access string, kind; and how often.
    records: Vec<(u32, String, u32)>,
}

const MOV: [u8; 8] = [0xbf, 0x33, 0, 0, 0, 0, 0, 0];
const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

/// `if r<left> == <imm> goto +<off>`
fn branch(left: u8, imm: u8, off: i16) -> [u8; 8] {
    let [a, b] = off.to_le_bytes();
    [0x15, left, a, b, imm, 0, 0, 0]
}

/// `call` of what lies so many slots behind the next instruction.
fn call(slots: i32) -> [u8; 8] {
    insn(0x85, 0x10, slots)
}

impl Case {
    fn new() -> Self {
        let mut btf = Btf::new();
        btf.add("int", KIND_INT, 0, 4, &[1 << 24 | 32]);
        Self { btf, program: vec![insn(0xb7, 0, 0)], text: Vec::new(), global: None, records: Vec::new() }
    }

    /// Code in place of the program's own, which ends with an exit.
    fn run(code: impl IntoIterator<Item = [u8; 8]>) -> Self {
        let program = code.into_iter().chain([insn(0xb7, 0, 0)]).collect();
        Self { program, ..Self::new() }
    }

    /// Functions that call others by number; the program calls the first. Each has a frame of its own.
    fn calls(functions: &[Vec<usize>]) -> Self {
        let len = |calls: &Vec<usize>| calls.len() + 3;
        let starts: Vec<usize> = functions
            .iter()
            .scan(0, |start, calls| {
                *start += len(calls);
                Some(*start - len(calls))
            })
            .collect();
        let text = functions.iter().zip(&starts).map(|(calls, start)| {
            let mut code = vec![insn(0x7a, 0x0a, 0)];
            // Eight bytes below r10.
            code[0][2..4].copy_from_slice(&(-40i16).to_le_bytes());
            for callee in calls {
                let here = start + code.len();
                code.push(call(starts[*callee] as i32 - here as i32 - 1));
            }
            code.extend([insn(0xb7, 0, 0), EXIT]);
            code
        });
        let text = text.collect();
        Self { text, program: vec![call(-1), insn(0xb7, 0, 0)], ..Self::new() }
    }

    fn build(mut self) -> (Vec<u8>, Vec<u8>) {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
        let license = object.add_section(Vec::new(), "license".into(), SectionKind::Data);
        object.append_section_data(license, b"GPL\0", 1);
        let symbol = |name: String, kind, section, value, size| Symbol {
            name: name.into_bytes(),
            value,
            size,
            kind,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        };
        let text = object.add_section(Vec::new(), ".text".into(), SectionKind::Text);
        for (index, code) in self.text.iter().enumerate() {
            let bytes = code.as_flattened();
            let at = object.append_section_data(text, bytes, 8);
            let mut function = symbol(format!("f{index}"), SymbolKind::Text, text, at, bytes.len() as u64);
            // Static: the verifier goes into it.
            function.scope = SymbolScope::Compilation;
            object.add_symbol(function);
        }
        self.program.push(EXIT);
        let program = object.add_section(Vec::new(), "syscall".into(), SectionKind::Text);
        let bytes = self.program.as_flattened();
        object.append_section_data(program, bytes, 8);
        object.add_symbol(symbol("prog".to_owned(), SymbolKind::Text, program, 0, bytes.len() as u64));
        if let Some((ty, size)) = self.global {
            let bss = object.add_section(Vec::new(), ".bss".into(), SectionKind::UninitializedData);
            object.append_section_bss(bss, size.into(), 8);
            object.add_symbol(symbol("global".to_owned(), SymbolKind::Data, bss, 0, size.into()));
            data_sec(&mut self.btf, ".bss", &[("global".to_owned(), ty, size)]);
        }
        if !self.records.is_empty() {
            let mut records = Vec::new();
            let section = self.btf.string("syscall");
            let mut strings = std::collections::HashMap::new();
            for (ty, access, kind) in &self.records {
                let btf = &mut self.btf;
                let access = *strings.entry(access.as_str()).or_insert_with(|| btf.string(access));
                records.extend([0, *ty, access, *kind]);
            }
            let mut ext = vec![0x9f, 0xeb, 1, 0];
            let len = 12 + 4 * records.len() as u32;
            for word in
                [32, 0, 0, 0, 0, 0, len, 16, section, self.records.len() as u32].iter().chain(&records)
            {
                ext.extend_from_slice(&u32::to_le_bytes(*word));
            }
            let section = object.add_section(Vec::new(), ".BTF.ext".into(), SectionKind::Other);
            object.append_section_data(section, &ext, 4);
        }
        let btf = self.btf.finish();
        let section = object.add_section(Vec::new(), ".BTF".into(), SectionKind::Other);
        object.append_section_data(section, &btf, 4);
        (object.write().unwrap(), btf)
    }
}

/// Structs of two members of the next one each, so many deep, above a type; gives the id of the first. Members are numbered from
/// `bit` on.
fn doubling(btf: &mut Btf, depth: usize, bottom: u32, names: [&str; 2], bit: u32) -> u32 {
    let mut below = bottom;
    for level in 0..depth {
        let members = names.map(|name| if name.is_empty() { 0 } else { btf.string(name) });
        let rows = [members[0], below, bit, members[1], below, bit];
        below = btf.add(&format!("level{level}"), KIND_STRUCT, 2, 4, &rows);
    }
    below
}

/// A struct with two members of itself.
fn itself(btf: &mut Btf, names: [&str; 2]) -> u32 {
    let [a, b] = names.map(|name| if name.is_empty() { 0 } else { btf.string(name) });
    let own = btf.add("itself", KIND_STRUCT, 0, 4, &[]);
    // Ids follow each other.
    btf.add("twice", KIND_STRUCT, 2, 4, &[a, own + 1, 0, b, own + 1, 0])
}

fn layers(depth: usize, calls: usize) -> Vec<Vec<usize>> {
    (0..depth).map(|level| if level + 1 < depth { vec![level + 1; calls] } else { Vec::new() }).collect()
}

/// All of them by name.
fn cases() -> Vec<(&'static str, Case)> {
    let mut cases = Vec::new();
    let mut add = |name, case| cases.push((name, case));
    let global = |make: &dyn Fn(&mut Btf) -> u32| {
        let mut case = Case::new();
        let ty = make(&mut case.btf);
        case.global = Some((ty, 4));
        case
    };
    add("a struct with two members of itself", global(&|btf| itself(btf, ["a", "b"])));
    add("structs with two members of the next", global(&|btf| doubling(btf, 60, 1, ["a", "b"], 0)));
    add("the same without names", global(&|btf| doubling(btf, 60, 1, ["", ""], 0)));
    add(
        "a lock below them, where no lock may be",
        global(&|btf| {
            let lock = btf.add("bpf_spin_lock", KIND_STRUCT, 0, 4, &[]);
            doubling(btf, 30, lock, ["a", "b"], 8)
        }),
    );
    let records = |count: usize, kind: u32, access: &str, make: &dyn Fn(&mut Btf) -> u32| {
        let mut case = Case::new();
        let ty = make(&mut case.btf);
        case.records = vec![(ty, access.to_owned(), kind); count];
        case
    };
    const MEMBERS: usize = 50_000;
    let wide = |btf: &mut Btf| {
        let name = btf.string("m");
        let own = btf.add("narrow", KIND_STRUCT, 0, 4, &[]) + 1;
        let rows: Vec<u32> = (0..MEMBERS).flat_map(|_| [name, own, 0]).collect();
        btf.add("wide", KIND_STRUCT, MEMBERS, 4, &rows)
    };
    let way = format!("0{}", format!(":{}", MEMBERS - 1).repeat(20));
    add("long ways through wide structs", records(5_000, 2, &way, &wide));
    add("many members without a name", records(2_000, 2, "0:0", &|btf| itself(btf, ["", "b"])));
    add("types that match", records(3_000, 12, "0", &|btf| doubling(btf, 30, 1, ["a", "b"], 0)));
    add("types of one name that match", records(3_000, 12, "0", &|btf| doubling(btf, 30, 1, ["a", "a"], 0)));
    add("twelve levels of four calls", Case::calls(&layers(12, 4)));
    add("sixteen levels of a hundred calls", Case::calls(&layers(16, 100)));
    add("functions that all call each other", Case::calls(&vec![(0..14).collect(); 14]));
    add("a chain of ten thousand functions", Case::calls(&layers(10_000, 1)));
    add("one function that is called everywhere", Case::calls(&[vec![1; 20_000], vec![]]));
    let diamonds = |inner: [u8; 8]| (0..20_000).flat_map(move |at| [branch(1, at as u8, 1), inner]);
    add("diamonds", Case::run(diamonds(MOV)));
    add(
        "diamonds that tell their paths apart",
        Case::run([insn(0xb7, 6, 0)].into_iter().chain(diamonds(insn(0x07, 6, 1)))),
    );
    // Every second one leads to the first of the rest, which are joints all.
    let far = (0..10_000u32).map(|at| branch(1, at as u8, i16::try_from(9_999 - at).unwrap()));
    let joints = (0..30_000).map(|_| branch(2, 0, 0));
    add("branches over each other into a long row", Case::run(far.chain(joints)));
    let spills = (0..4_000i16).map(|at| {
        let [a, b] = (-8 - 8 * at).to_le_bytes();
        [0x7b, 0x1a, a, b, 0, 0, 0, 0]
    });
    add("the context all over a stack", Case::run(spills.chain((0..50_000).map(|_| MOV))));
    // `r<n> += 1; ...; if r<n> != r1 goto back`
    let starts = (0..4).map(|register| insn(0xb7, 6 + register, 0));
    let ends = (0..4u8).flat_map(|register| {
        let [a, b] = (-2 - 3 * i16::from(register)).to_le_bytes();
        [insn(0x07, 6 + register, 1), MOV, [0x5d, 0x10 | (6 + register), a, b, 0, 0, 0, 0]]
    });
    add("loops in loops", Case::run(starts.chain(ends)));
    cases
}

/// Lints an object with all rules, on no kernel, a built-in one, and one that has its types.
fn lint(object: &[u8], btf: &[u8], builtin: &Kernel<'_>) -> usize {
    let none = scx_lint::lint_for("worst.bpf.o", object, &[], &Options::default());
    let one = scx_lint::lint_for("worst.bpf.o", object, std::slice::from_ref(builtin), &Options::default());
    let target = target::from_file("own", btf).unwrap();
    let own = Kernel::new(&target)
        .map(|kernel| scx_lint::lint_for("worst.bpf.o", object, &[kernel], &Options::default()));
    assert!(none.objects.iter().all(|object| object.error.is_none()), "{:?}", none.objects[0].error);
    none.findings.len() + one.findings.len() + own.map_or(0, |own| own.undecided.len())
}

#[test]
fn no_small_object_keeps_the_rules_busy() {
    let targets = target::load("7.3").unwrap();
    let builtin = Kernel::new(&targets[0]).unwrap();
    for (name, case) in cases() {
        let (object, btf) = case.build();
        let started = Instant::now();
        lint(&object, &btf, &builtin);
        // Generous: an unoptimized build on a busy machine takes some seconds at most. What is not bounded takes minutes to years.
        let took = started.elapsed();
        eprintln!("{took:>10.1?} {:>9} bytes: {name}", object.len());
        assert!(took < Duration::from_secs(60), "{name}: {took:?}");
    }
}

/// The same without a clock: the instructions that the command takes for all of them, as valgrind counts them.
#[test]
fn no_small_object_takes_more_than_so_many_instructions() {
    let Some(valgrind) = tools::tool("valgrind") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, case) in cases() {
        let (object, _) = case.build();
        // Those that showed a fault, and others that are quick to count.
        if object.len() > 40_000 {
            continue;
        }
        let path = folder.path().join("worst.bpf.o");
        std::fs::write(&path, &object).unwrap();
        let count = instructions(&valgrind, &["--format", "json", path.to_str().unwrap()]);
        eprintln!("{count:>12} instructions: {name}");
        assert!(count < 400_000_000, "{name}: {count} instructions");
    }
}

/// A report on four times as many objects takes four times as long, in every format that gathers what belongs to one.
#[test]
fn a_report_on_many_objects_is_linear() {
    let Some(valgrind) = tools::tool("valgrind") else { return };
    let folder = tempfile::tempdir().unwrap();
    let object = super::root().join("fixtures/obj/clang-19/idle-kfunc-without-builtin-idle__near_scx.bpf.o");
    let paths: Vec<String> = (0..160)
        .map(|number| {
            let path = folder.path().join(format!("{number}.bpf.o"));
            std::fs::copy(&object, &path).unwrap();
            path.display().to_string()
        })
        .collect();
    for format in ["full", "concise", "markdown", "html", "junit"] {
        let count = |objects: usize| {
            let mut arguments = vec!["--kernel", "7.2,7.3", "--format", format];
            arguments.extend(paths[..objects].iter().map(String::as_str));
            instructions(&valgrind, &arguments)
        };
        // What does not depend on the objects at all is taken away.
        let (one, some, many) = (count(1), count(40), count(160));
        let (some, many) = (some - one, many - one);
        eprintln!("{format}: {some} instructions for 39 more objects, {many} for 159");
        assert!(many < some * 5, "{format}: {some} instructions for 39 more objects, {many} for 159");
    }
}

/// The instructions that the command takes, as valgrind counts them.
fn instructions(valgrind: &std::path::Path, arguments: &[&str]) -> u64 {
    let output = Command::new(valgrind)
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .args([env!("CARGO_BIN_EXE_scx-lint"), "--no-config"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let count =
        said.lines().find_map(|line| line.split_once(" refs:")).map(|(_, count)| count.replace(',', ""));
    count.unwrap_or_else(|| panic!("{said}")).trim().parse().unwrap()
}

/// What showed the faults, where it is at hand; the cases above are made after it.
#[test]
fn what_was_found_ends() {
    let folder = super::root().join("../shared/faults");
    for name in ["min_self2.o", "expo_nr_local.o", "expoanon_nr_local.o", "chain.bpf.o"] {
        let Ok(object) = std::fs::read(folder.join(name)) else {
            return tools::skipped("no recorded faults beside the package");
        };
        let started = Instant::now();
        scx_lint::lint_for(name, &object, &[], &Options::default());
        assert!(started.elapsed() < Duration::from_secs(60), "{name}: {:?}", started.elapsed());
    }
}
