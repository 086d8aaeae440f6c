//! The page "Adding a kernel release" of docs/contributing.md, with a release that does not exist: 7.3 with one kfunc less.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use object::write::Object as Writer;
use object::{Architecture, BinaryFormat, Endianness, SectionKind};
use scx_lint::btf::TypeId;
use scx_lint::kernel::builtin::{FIRST, LATEST, RELEASES};
use scx_lint::kernel::{Kernel, snapshot, target};

use super::root;
use super::small_kernels::extended;
use super::tools::{compile, copy_of_the_project, run, tool};

/// The invented release.
const NAME: &str = "7.4";
/// Its kernel.
const POINT: &str = "7.4.1";
/// What it has no more; no fixture calls it.
const GONE: &str = "scx_bpf_nr_node_ids";

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The BTF of the newest built-in release without a kfunc, and a kernel with it and the id sets of the others. Functions that
/// were cut are there again, by their names.
fn invented_kernel() -> (Vec<u8>, Vec<u8>) {
    let target = target::load(LATEST).unwrap().remove(0);
    let cut = target.cut.as_ref().unwrap().functions().unwrap();
    let mut btf = extended(&target.btf, |btf| {
        let proto = btf.proto(TypeId::VOID, &[]);
        for name in &cut {
            btf.func(name, proto);
        }
    });
    // Under another name it is not the kfunc; it stays one, of somebody else's, as its tag says.
    let name = format!("\0{GONE}\0");
    let at = btf.windows(name.len()).position(|bytes| bytes == name.as_bytes()).unwrap();
    btf[at + 1] = b'x';

    let kernel = Kernel::new(&target).unwrap();
    let sets = kernel.kfunc_sets().unwrap().words(Some);
    let ids: Vec<u8> = sets.into_iter().flat_map(u32::to_le_bytes).collect();
    let mut writer = Writer::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    for (name, data) in [(".BTF", &btf), (".BTF_ids", &ids)] {
        let section = writer.add_section(Vec::new(), name.into(), SectionKind::ReadOnlyData);
        writer.append_section_data(section, data, 4);
    }
    let mut image = writer.write().unwrap();
    // ET_EXEC, which a vmlinux is.
    image[16] = 2;
    (btf, image)
}

/// Cargo in the copy, with a target folder that stays for the next time. Built to be built quickly.
fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(folder).args(arguments).env_remove("RUSTFLAGS").env_remove("UPDATE_SNAPSHOTS");
    // The images at hand are of no release of the copy's, and lie elsewhere.
    command.env_remove("SCX_LINT_ALL_TOOLS");
    command.env("CARGO_TARGET_DIR", root().join("target/new-release")).env("CARGO_NET_OFFLINE", "true");
    command.env("CARGO_PROFILE_TEST_OPT_LEVEL", "0").env("CARGO_PROFILE_TEST_DEBUG", "0");
    command
}

/// Writes what follows from the list of releases, as `scripts/builtin-kernels` does; in the copy, with this project's program.
fn write_built_ins(folder: &Path, kernels: &Path) -> Output {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--locked", "--quiet", "--profile", "test", "--example", "builtin-kernels"]);
    command.arg("--manifest-path").arg(root().join("Cargo.toml")).arg("--").arg(kernels);
    command.current_dir(folder).output().unwrap()
}

#[test]
fn a_new_release_is_added_as_the_page_says() {
    let Some(clang) = tool("clang-19") else { return };
    let page = fs::read_to_string(root().join("docs/contributing.md")).unwrap();
    let folder = copy_of_the_project(
        "new-release",
        &["CHANGELOG.md", "CONTRIBUTING.md", "NOTICE", "SECURITY.md", "docs", "tests"],
    );

    // 1. A kernel.
    let kernels = folder.join("kernels");
    fs::create_dir(&kernels).unwrap();
    let (btf, image) = invented_kernel();
    fs::write(kernels.join(format!("vmlinuz-{POINT}")), image).unwrap();

    // 2. Its row, at first without the checksum.
    assert!(page.contains("scripts/builtin-kernels FOLDER"));
    let list = folder.join("src/kernel/builtin/releases.tsv");
    let releases = fs::read_to_string(&list).unwrap();
    let with_row = |checksum: &str| {
        let (comment, rows) = releases.split_once(&format!("\n{LATEST}\t")).unwrap();
        let row = format!("{NAME}\t{POINT}\t{checksum}\t2027-01-20\tan invented kernel");
        fs::write(&list, format!("{comment}\n{row}\n{LATEST}\t{rows}")).unwrap();
    };
    with_row("?");
    let output = write_built_ins(&folder, &kernels);
    let checksum = snapshot::sha256(&btf);
    assert!(!output.status.success() && text(&output).contains(&checksum), "{}", text(&output));
    with_row(&checksum);
    let output = write_built_ins(&folder, &kernels);
    assert!(output.status.success(), "{}", text(&output));
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(readme.contains(&format!("kernels {FIRST} to {NAME} ")), "the range in the README");
    assert!(fs::read_to_string(folder.join("NOTICE")).unwrap().contains("an invented kernel"));

    // 3. The row of what went away, as the page shows it.
    let gone = format!(
        "KfuncRow {{ gone: Some(Gone {{ last: \"{LATEST}\", successor: None }}), ..row(\"{GONE}\", ANY) }},\n"
    );
    assert!(page.contains(&gone));
    let table = folder.join("src/kernel/kfuncs/table.rs");
    let rows = fs::read_to_string(&table).unwrap();
    let row = format!("row(\"{GONE}\", ANY),\n");
    assert!(rows.contains(&row));
    fs::write(&table, rows.replace(&row, &gone)).unwrap();

    // 4. What is generated. The column of a copy is a copy of the column.
    assert!(page.contains("UPDATE_SNAPSHOTS=1 cargo test the_matrix\n"));
    assert!(page.contains("UPDATE_SNAPSHOTS=1 cargo test the_page_on_kernels\n"));
    let mut command = cargo(&folder, &["test", "--locked", "--lib", "the_page_on_kernels"]);
    run(command.env("UPDATE_SNAPSHOTS", "1"));
    let mut command = cargo(&folder, &["test", "--locked", "--test", "integration", "the_matrix"]);
    run(command.env("UPDATE_SNAPSHOTS", "1"));
    let matrix = fs::read_to_string(folder.join("tests/snapshots/matrix.tsv")).unwrap();
    for row in matrix.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        assert_eq!(cells.len(), RELEASES.len() + 4, "{row}");
        assert_eq!(cells[cells.len() - 1], cells[cells.len() - 2], "{row}");
    }
    let lint = |arguments: &[&str]| {
        let program = root().join("target/new-release/debug/scx-lint");
        text(&Command::new(program).current_dir(&folder).args(arguments).output().unwrap())
    };
    assert!(page.contains("cargo run -- rules --markdown > docs/rules.md\n"));
    fs::write(folder.join("docs/rules.md"), lint(&["rules", "--markdown"])).unwrap();

    // 4. The tests of the tables, then of fixtures, facts, kernels, pages and sentences.
    let output = cargo(&folder, &["test", "--locked", "--lib", "kernel::"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let mut command = cargo(&folder, &["test", "--locked", "--test", "integration", "--"]);
    command.args(["fixtures::fixtures_get", "fixtures::the_matrix", "facts::", "kernels::"]);
    command.args([
        "manners::the_rules",
        "manners::the_version",
        "docs::no_sentence",
        "--skip",
        "small_kernels::",
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));

    // What users see.
    let source = format!(
        "#include \"fixture.h\"\nLICENSE(\"GPL\");\nextern u32 {GONE}(void) __ksym;\n\
         void OP(demo_running, struct task_struct *p)\n{{\n\t{GONE}();\n}}\n\
         CPU_OPS(demo_ops, .running = (void *)demo_running, .name = \"demo\");\n"
    );
    fs::write(folder.join("fixtures/src/gone.bpf.c"), source).unwrap();
    compile(&clang, &folder.join("fixtures/src"), "gone.bpf.c", "../../gone.bpf.o");
    let range = format!("{FIRST} to {NAME}");
    let concise = ["--format", "concise", "gone.bpf.o", "--kernel"];
    let on = |kernel| lint(&[&concise[..], &[kernel]].concat());
    assert!(on(NAME).contains("[missing-kfunc]") && on(NAME).contains(GONE), "{}", on(NAME));
    assert!(on(NAME).contains(&format!("it went away in {NAME}")), "{}", on(NAME));
    assert!(!on(LATEST).contains("missing-kfunc"), "{}", on(LATEST));
    assert!(on(LATEST).contains(&format!("is in no kernel after {LATEST}")), "{}", on(LATEST));
    assert!(lint(&["kernel", "info", NAME]).contains("an invented kernel"));
    assert!(lint(&["--kernel", "9.9", "gone.bpf.o"]).contains(&format!("{LATEST}, {NAME};")));
    assert!(lint(&["--version"]).contains(&format!("(kernels {range}, as of 2027-01-20)")));
    assert!(lint(&["-v", "gone.bpf.o"]).contains(&range));
    assert!(lint(&["explain", "unknown-helper"]).contains(&format!("every kernel from {range};")));
    let fine = lint(&["--kernel", "all", "fixtures/obj/clang-19/no-sched-ext__near_any.bpf.o"]);
    assert!(fine.contains(&format!("works on {FIRST}-{NAME}")), "{fine}");
}
