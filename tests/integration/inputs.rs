//! What may be named on the command line: programs that embed objects, folders, patterns, sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::root;
use super::tools::{compile, missing, run, scratch, skipped, tool};

fn scx_lint(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
    command.current_dir(folder).env_remove("BPF_CLANG").args(arguments).output().unwrap()
}

fn report(folder: &Path, arguments: &[&str]) -> Value {
    let output = scx_lint(folder, &[&["--format", "json"], arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// Path, name in the executable, name of the object, and input error of each object of a report.
fn objects(report: &Value) -> Vec<(String, Option<String>, String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    report["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| {
            (
                text(&object["path"]).unwrap(),
                text(&object["embedded"]["name"]),
                text(&object["name"]).unwrap(),
                text(&object["error"]["code"]),
            )
        })
        .collect()
}

fn paths(report: &Value) -> Vec<String> {
    objects(report).into_iter().map(|(path, ..)| path).collect()
}

fn fixture(stem: &str) -> PathBuf {
    root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"))
}

/// A user-space loader that libbpf-cargo and rustc built, with two skeletons.
fn cargo_program() -> Option<PathBuf> {
    tool("clang-19")?;
    // A package of its own, which the published one leaves out.
    if !root().join("tests/embed").exists() {
        skipped("tests/embed is not part of the published package");
        return None;
    }
    let target = root().join("target/embed");
    let build = |more: &[&str]| {
        Command::new(env!("CARGO"))
            .current_dir(root().join("tests/embed"))
            .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
            .arg(&target)
            .args(more)
            .env_remove("RUSTFLAGS")
            .output()
            .unwrap()
    };
    let mut output = build(&["--offline"]);
    if !output.status.success() {
        output = build(&[]);
    }
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        missing(&format!("tests/embed does not build here: {why}"));
        return None;
    }
    Some(target.join("release/embed"))
}

#[test]
fn both_skeletons_of_a_libbpf_cargo_program_are_linted() {
    let Some(program) = cargo_program() else { return };
    let folder = scratch("cargo-program");
    fs::copy(&program, folder.join("loader")).unwrap();
    run(Command::new("strip").current_dir(&folder).args(["-s", "-o", "stripped", "loader"]));
    for name in ["loader", "stripped"] {
        let output = scx_lint(&folder, &["--format", "json", name]);
        assert_eq!(output.status.code(), Some(1));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = objects(&report);
        let mut names: Vec<_> = found
            .iter()
            .map(|(_, embedded, object, _)| (embedded.clone().unwrap(), object.clone()))
            .collect();
        names.sort();
        let pair = |name: &str| (name.to_owned(), name.to_owned());
        // Without symbols a string tells, unless the compiler made instructions of it; then nothing is said rather than a guess.
        if name == "stripped" {
            let unnamed = (String::new(), "stripped".to_owned());
            let known = [pair("central_bpf"), pair("qmap_bpf"), unnamed];
            assert!(names.len() == 2 && names.iter().all(|name| known.contains(name)), "{names:?}");
        } else {
            assert_eq!(names, [pair("central_bpf"), pair("qmap_bpf")]);
        }
        let is_cid = |object: &Value| object["struct_ops"][0]["members"].as_array().unwrap().len() > 4;
        let qmap = report["objects"].as_array().unwrap().iter().position(is_cid).unwrap();
        let kernel_names: Vec<&str> = report["objects"][qmap]["maps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|map| map["kernel_name"].as_str().unwrap())
            .collect();
        // The names of the maps follow: what bpftool shows of the running scheduler.
        assert!(name == "stripped" || kernel_names.contains(&"qmap_bpf.bss"), "{kernel_names:?}");
        let errors: Vec<&Value> =
            report["findings"].as_array().unwrap().iter().filter(|f| f["level"] == "error").collect();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0]["rule"], "missing-arena");
        assert_eq!(errors[0]["object"], json!(1 - qmap));
        // Packed without a gap: one ends where the other begins, and the offsets are where the bytes are.
        let bytes = fs::read(folder.join(name)).unwrap();
        for object in report["objects"].as_array().unwrap() {
            let offset = usize::try_from(object["embedded"]["offset"].as_u64().unwrap()).unwrap();
            assert_eq!(&bytes[offset..offset + 4], b"\x7fELF");
        }
    }
    let text = String::from_utf8(scx_lint(&folder, &["stripped"]).stdout).unwrap();
    let named = text.contains("stripped(central_bpf): will not attach: missing-arena");
    let placed = text
        .lines()
        .any(|line| line.starts_with("stripped(+0x") && line.contains("): will not attach: missing-arena"));
    assert!(named || placed, "{text}");
    // Named as a folder, the program is found; the same file in a second place is not linted twice.
    fs::remove_file(folder.join("stripped")).unwrap();
    fs::hard_link(folder.join("loader"), folder.join("loader-1234")).unwrap();
    assert_eq!(paths(&report(&folder, &["."])), ["./loader", "./loader"]);
}

#[test]
fn a_bpftool_skeleton_in_a_c_program_is_linted() {
    let (Some(bpftool), Some(gcc)) = (tool("bpftool"), tool("gcc")) else { return };
    let folder = scratch("c-program");
    let build = |object: &str, more: &[&str], skeleton: &str, program: &str| {
        let mut command = Command::new(&bpftool);
        let header = run(command.current_dir(&folder).args(["gen", "skeleton", object]).args(more)).stdout;
        fs::write(folder.join("s.skel.h"), header).unwrap();
        let text = format!(
            "typedef unsigned long long u64;\n#include \"s.skel.h\"\n\
             int main(void) {{ struct {skeleton} *s = {skeleton}__open(); {skeleton}__destroy(s); return !s; }}\n"
        );
        fs::write(folder.join("main.c"), text).unwrap();
        let mut command = Command::new(&gcc);
        run(command.current_dir(&folder).args(["-O2", "-o", program, "main.c", "-lbpf"]));
        run(Command::new("strip").current_dir(&folder).args(["-s", program]));
    };
    let named = |program: &str| {
        let found = objects(&report(&folder, &[program]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].3, None);
        (found[0].1.clone().unwrap(), found[0].2.clone())
    };
    fs::copy(fixture("good__realistic_cpu"), folder.join("scx_demo.bpf.o")).unwrap();
    build("scx_demo.bpf.o", &[], "scx_demo_bpf", "scx_demo");
    assert_eq!(named("scx_demo"), ("scx_demo_bpf".to_owned(), "scx_demo_bpf".to_owned()));
    // As the kernel's Makefile does it; the linker keeps the source's name in the object.
    let Some(clang) = tool("clang-19") else { return };
    let source = root().join("fixtures/src/good__realistic_cpu.bpf.c");
    fs::copy(source, folder.join("scx_other.bpf.c")).unwrap();
    compile(&clang, &folder, "scx_other.bpf.c", "compiled.o");
    run(Command::new(&bpftool).current_dir(&folder).args(["gen", "object", "linked.bpf.o", "compiled.o"]));
    build("linked.bpf.o", &["name", "scx_other"], "scx_other", "program");
    assert_eq!(named("program"), ("scx_other".to_owned(), "scx_other".to_owned()));
}

#[test]
fn a_program_without_an_object_is_nothing_to_check() {
    let folder = scratch("no-object");
    let output = scx_lint(&folder, &["/bin/sh"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("or a program that embeds one"));
    fs::copy("/bin/sh", folder.join("sh")).unwrap();
    let output = scx_lint(&folder, &["."]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("no BPF object"));
}

#[test]
fn folders_are_searched_with_an_eye_on_gitignore() {
    let folder = scratch("folders");
    let put = |path: &str, stem: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(fixture(stem), path).unwrap();
    };
    fs::write(folder.join(".gitignore"), "/target\n*.o\nbuild/\n").unwrap();
    put("target/debug/a.bpf.o", "good__realistic_cpu");
    put("build/b.bpf.o", "good__realistic_cid");
    put("src/c.bpf.o", "missing-arena__no_arena");
    put("src/deep/er/d.o", "stack-overflow__chain");
    put(".hidden/e.bpf.o", "good__realistic_cpu");
    fs::write(folder.join("src/c.bpf.c"), "this does not compile, and need not: its object is there")
        .unwrap();
    fs::write(folder.join("src/main.c"), "int main(void) { return 0; }").unwrap();
    assert_eq!(paths(&report(&folder, &["."])), ["./src/c.bpf.o", "./src/deep/er/d.o"]);
    assert_eq!(paths(&report(&folder, &["target"])), ["target/debug/a.bpf.o"]);
    assert_eq!(
        paths(&report(&folder, &["build", "src"])),
        ["build/b.bpf.o", "src/c.bpf.o", "src/deep/er/d.o"]
    );
    assert_eq!(
        paths(&report(&folder, &["**/*.bpf.o", "src"])).len(),
        5,
        "patterns do not ignore, nothing twice"
    );
    assert_eq!(paths(&report(&folder, &["src/c*"])), ["src/c.bpf.c", "src/c.bpf.o"]);
    let nothing = report(&folder, &["src/m*.c"]);
    assert_eq!(objects(&nothing)[0].3.as_deref(), Some("no-inputs"));
}

/// What a stranger tries first after the objects.
#[test]
fn a_fixtures_source_compiles_from_anywhere() {
    let Some(clang) = tool("clang-19") else { return };
    for (folder, path) in [
        (root(), "fixtures/src/good__realistic_cid.bpf.c"),
        (&*root().join("fixtures/src"), "good__realistic_cid.bpf.c"),
        (Path::new("/"), root().join("fixtures/src/missing-arena__no_arena.bpf.c").to_str().unwrap()),
    ] {
        let output = scx_lint(folder, &["--clang", clang.to_str().unwrap(), path]);
        let expected = if path.contains("good") { 0 } else { 1 };
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{path}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        assert!(output.stderr.is_empty(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What may hold a scheduler and cannot be looked into is told of: nobody takes it for clean.
#[test]
fn what_a_search_cannot_read_is_told_of() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(folder.join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    for path in ["open", "closed", "listed", "listed/deep"] {
        fs::create_dir(folder.join(path)).unwrap();
    }
    for path in ["open/a.bpf.o", "closed/b.bpf.o", "open/c.bpf.o", "open/program", "open/key"] {
        fs::copy(fixture("good__realistic_cpu"), folder.join(path)).unwrap();
    }
    let program = folder.join("scx-lint");
    fs::copy(env!("CARGO_BIN_EXE_scx-lint"), &program).unwrap();
    for (path, bits) in [
        ("", 0o755),
        ("closed", 0o700),
        ("open/c.bpf.o", 0o600),
        ("open/program", 0o711),
        ("open/key", 0o600),
    ] {
        mode(path, bits);
    }
    // For root nothing is closed: somebody else looks. Whoever is not root may not look into what has no bit for them.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        ["closed", "open/c.bpf.o", "open/program", "open/key"].iter().for_each(|path| mode(path, 0));
        mode("open/program", 0o111);
    }
    let report = |input: &str| {
        let mut command = Command::new(&program);
        command.current_dir(folder).args(["--no-config", "--format", "json", input]);
        if is_root {
            command.uid(65534).gid(65534);
        }
        let output = command.output().unwrap();
        let found = objects(&serde_json::from_slice(&output.stdout).unwrap());
        let seen = found.into_iter().map(|(path, .., error)| (path, error.unwrap_or_default()));
        (output.status.code(), seen.collect::<Vec<_>>())
    };
    let seen = |rows: &[(&str, &str)]| -> Vec<(String, String)> {
        rows.iter().map(|(path, code)| ((*path).to_owned(), (*code).to_owned())).collect()
    };
    let denied = "permission-denied";
    let all = [
        ("./open/a.bpf.o", ""),
        ("./open/c.bpf.o", denied),
        ("./closed", denied),
        ("./open/program", denied),
    ];
    assert_eq!(report("."), (Some(2), seen(&all)));
    assert_eq!(report("closed"), (Some(2), seen(&[("closed", denied)])));
    assert_eq!(report("listed").1, seen(&[("listed", "no-inputs")]));
    let (code, found) = report("*/*.bpf.o");
    assert!(code == Some(2) && found.contains(&("closed".to_owned(), denied.to_owned())), "{found:?}");
    if !is_root {
        mode("closed", 0o700);
    }
}

#[test]
fn sources_are_compiled_and_their_errors_shown() {
    let Some(clang) = tool("clang-19") else { return };
    let folder = scratch("sources");
    let clang = clang.to_str().unwrap();
    let include = root().join("fixtures/include");
    let source = fs::read_to_string(root().join("fixtures/src/missing-arena__no_arena.bpf.c")).unwrap();
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("sub/sched.bpf.c"), &source).unwrap();
    let output = scx_lint(&folder, &["--clang", clang, "sub/sched.bpf.c"]);
    assert_eq!(output.status.code(), Some(2));
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(err.contains("sub/sched.bpf.c:2:10: fatal error: 'fixture.h' file not found"), "{err}");
    // Every format has the compiler's first error, and what to do about that one.
    assert!(out.contains("refuses the source: sub/sched.bpf.c:2:10: fatal error: 'fixture.h' file"), "{out}");
    assert!(out.contains("--cflag"), "{out}");
    fs::write(folder.join("slip.bpf.c"), "int f( {\n").unwrap();
    let out = String::from_utf8(scx_lint(&folder, &["--clang", clang, "slip.bpf.c"]).stdout).unwrap();
    assert!(out.contains(": slip.bpf.c:1:8: error: expected parameter declarator\n"), "{out}");
    // Files of flags that are no use are named; one that is a pipe is not waited for.
    fs::write(folder.join("compile_commands.json"), "[{").unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("compile_flags.txt")).status().unwrap().success());
    let out = String::from_utf8(scx_lint(&folder, &["--clang", clang, "slip.bpf.c"]).stdout).unwrap();
    for (file, why) in [("compile_commands.json", "EOF"), ("compile_flags.txt", "is no regular file")] {
        let words = format!("passed over: {}: {why}", folder.canonicalize().unwrap().join(file).display());
        assert!(out.contains(&words), "{out}");
        fs::remove_file(folder.join(file)).unwrap();
    }
    // What is no compiler may succeed and give nothing.
    let out = String::from_utf8(scx_lint(&folder, &["--clang", "/bin/true", "slip.bpf.c"]).stdout).unwrap();
    assert!(out.contains("/bin/true succeeded and wrote no object; is it a clang?"), "{out}");
    let flags = [format!("-I{}", include.display()), "-Wno-int-conversion".to_owned()];
    let with_flags =
        ["--clang", clang, "--cflag", &flags[0], "--cflag", &flags[1], "-A", "no-hotplug-callbacks"];
    let found = report(&folder, &[&with_flags[..], &["sub/sched.bpf.c"]].concat());
    assert_eq!(found["objects"][0]["name"], "sched");
    assert_eq!(found["findings"][0]["rule"], "missing-arena");
    assert_eq!(found["findings"][0]["locations"][0]["file"], "./sub/sched.bpf.c");
    // The same flags out of a compilation database, relative to its folder.
    let command =
        format!("clang -target bpf -O2 -Wno-int-conversion -I'{}' -c sched.bpf.c -o x.o", include.display());
    let database = json!([{ "directory": "sub", "file": "sched.bpf.c", "command": command }]);
    fs::write(folder.join("compile_commands.json"), database.to_string()).unwrap();
    let found = report(&folder, &["--clang", clang, "sub/sched.bpf.c", "sub"]);
    assert_eq!(found["findings"][0]["rule"], "missing-arena", "{found}");
    assert_eq!(found["objects"].as_array().unwrap().len(), 1, "what was named is not found again");
    // A file of flags for all sources below it, where no database has the source.
    fs::remove_file(folder.join("compile_commands.json")).unwrap();
    fs::write(folder.join("compile_flags.txt"), format!("{}\n\n -Wno-int-conversion\r\n", flags[0])).unwrap();
    let found = report(&folder, &["--clang", clang, "sub/sched.bpf.c"]);
    assert_eq!(found["findings"][0]["locations"][0]["file"], "./sub/sched.bpf.c", "{found}");
    fs::create_dir_all(folder.join("inc")).unwrap();
    fs::write(folder.join("inc/empty.h"), "").unwrap();
    fs::write(folder.join("compile_flags.txt"), "-Iinc\n").unwrap();
    fs::write(folder.join("sub/other.bpf.c"), "#include <empty.h>\nint f( {").unwrap();
    let out =
        String::from_utf8(scx_lint(&folder.join("sub"), &["--clang", clang, "other.bpf.c"]).stdout).unwrap();
    assert!(
        out.contains("other.bpf.c:2:8: error: ") && out.contains("(with the flags of compile_flags.txt)"),
        "{out}"
    );
    fs::write(folder.join("compile_flags.txt"), flags.join("\n")).unwrap();
    // Without a clang in sight the message says what to do.
    let output = Command::new(env!("CARGO_BIN_EXE_scx-lint"))
        .current_dir(&folder)
        .env_remove("BPF_CLANG")
        .env("PATH", folder.join("nothing"))
        .arg("sub/sched.bpf.c")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("BPF_CLANG"));
    // BPF_CLANG is taken, and the newest clang-NN without it.
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(clang, bin.join("clang-19")).unwrap();
    for (name, value) in [("PATH", bin.to_str().unwrap()), ("BPF_CLANG", clang)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
        command.current_dir(&folder).env_remove("BPF_CLANG").env("PATH", "/nowhere").env(name, value);
        let output = command.args(["--format", "concise", "sub/sched.bpf.c"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn many_inputs_come_out_in_the_order_of_the_arguments() {
    let folder = scratch("order");
    let names: Vec<String> = (0..60).map(|i| format!("{}.bpf.o", (i * 37) % 60)).collect();
    for (i, name) in names.iter().enumerate() {
        let stem = ["missing-arena__no_arena", "good__realistic_cid", "stack-overflow__chain"][i % 3];
        fs::copy(fixture(stem), folder.join(name)).unwrap();
    }
    let arguments: Vec<&str> = names.iter().map(String::as_str).collect();
    let first = report(&folder, &arguments);
    assert_eq!(paths(&first), names);
    for _ in 0..3 {
        assert_eq!(report(&folder, &arguments), first);
    }
}

#[test]
fn a_cut_or_mangled_program_is_no_harm() {
    let folder = scratch("mangled");
    // A host ELF header in front of two objects, packed.
    let mut data = fs::read("/bin/true").unwrap()[..1024].to_vec();
    data.extend(fs::read(fixture("missing-arena__no_arena")).unwrap());
    data.extend(fs::read(fixture("good__realistic_cid__be")).unwrap());
    fs::write(folder.join("whole"), &data).unwrap();
    assert_eq!(objects(&report(&folder, &["whole"])).len(), 2, "both byte orders");
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..60 {
        let mut mutant = data.clone();
        for _ in 0..random.usize(1..30) {
            let at = random.usize(20..mutant.len());
            mutant[at] = random.u8(..);
        }
        mutant.truncate(random.usize(64..=mutant.len()));
        fs::write(folder.join("mutant"), mutant).unwrap();
        let code = scx_lint(&folder, &["--format", "json", "mutant"]).status.code();
        assert!(matches!(code, Some(0..=2)), "round {round}: {code:?}");
    }
}
