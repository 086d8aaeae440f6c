//! Folders as builds leave them, and as somebody who means harm would.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use scx_lint::kernel::builtin;
use serde_json::Value;

use super::root;
use super::tools::{compile, run, scratch, tool};

fn scx_lint(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
    command.current_dir(folder).env_remove("BPF_CLANG").args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn text_of(folder: &Path, arguments: &[&str]) -> String {
    text(&scx_lint(folder, arguments))
}

fn report(folder: &Path, arguments: &[&str]) -> Value {
    let output = scx_lint(folder, &[&["--format", "json"], arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
}

/// The objects of a report, as text reports call them.
fn titles(report: &Value) -> Vec<String> {
    let title = |object: &Value| {
        let path = object["path"].as_str().unwrap();
        let embedded = &object["embedded"];
        match embedded["name"].as_str() {
            None => path.to_owned(),
            Some("") => format!("{path}(+{:#x})", embedded["offset"].as_u64().unwrap()),
            Some(name) => format!("{path}({name})"),
        }
    };
    report["objects"].as_array().unwrap().iter().map(title).collect()
}

/// Path and reason of what was passed over.
fn passed(report: &Value) -> Vec<(String, String)> {
    let rows = report["passed_over"].as_array().cloned().unwrap_or_default();
    let word = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.iter().map(|row| (word(row, "path"), word(row, "why"))).collect()
}

fn errors(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["level"] == "error")
        .map(|finding| finding["rule"].as_str().unwrap())
        .collect()
}

/// What Cargo and a build script with several BPF sources leave in `target/release`: the program beside its copy in `deps`, and in the
/// build script's folder the object of each source, what they are linked to, and headers.
fn cargo_tree(name: &str) -> Option<PathBuf> {
    let (clang, bpftool) = (tool("clang-19")?, tool("bpftool")?);
    let folder = scratch(name);
    let out = folder.join("target/release/build/scx_demo-0123/out");
    fs::create_dir_all(&out).unwrap();
    fs::create_dir_all(folder.join("target/release/deps")).unwrap();
    for part in ["ops", "one-arena"] {
        let source = root().join(format!("fixtures/src/linked/{part}.bpf.c"));
        compile(&clang, &out, source.to_str().unwrap(), &format!("{part}.bpf.o"));
    }
    run(Command::new(bpftool).current_dir(&out).args([
        "gen",
        "object",
        "bpf.bpf.o",
        "one-arena.bpf.o",
        "ops.bpf.o",
    ]));
    fs::write(out.join("bpf_skel.rs"), "// not read").unwrap();
    let mut program = fs::read("/bin/true").unwrap();
    program.extend(fs::read(out.join("bpf.bpf.o")).unwrap());
    for path in ["scx_demo", "deps/scx_demo-4567"] {
        fs::write(folder.join("target/release").join(path), &program).unwrap();
    }
    Some(folder)
}

#[test]
fn of_a_build_the_program_is_judged_and_nothing_else() {
    let Some(folder) = cargo_tree("build-folder") else { return };
    let found = report(&folder, &["--kernel", "all", "target/release"]);
    let [title] = &titles(&found)[..] else { panic!("{:?}", titles(&found)) };
    assert!(title.starts_with("target/release/scx_demo(+0x"), "{title}");
    let kernels = found["kernels"].as_array().unwrap();
    assert_eq!(kernels.len(), builtin::RELEASES.len());
    // The type of cid-form schedulers is new in 7.2, and its kernels do not know the flag of the arena; the parts would add more.
    let out = "target/release/build/scx_demo-0123/out";
    let alone = report(&folder, &["--kernel", "all", &format!("{out}/bpf.bpf.o")]);
    assert_eq!(errors(&found), errors(&alone));
    assert!(!errors(&found).contains(&"unresolved-extern"));
    let why = |path: &str, why: &str| (format!("{out}/{path}"), why.to_owned());
    let copy = passed(&found).into_iter().find(|(path, _)| path.starts_with("target/release/deps/")).unwrap();
    assert_eq!(copy.1, "copy");
    for one in
        [why("bpf.bpf.o", "copy"), why("ops.bpf.o", "link-input"), why("one-arena.bpf.o", "link-input")]
    {
        assert!(passed(&found).contains(&one), "{one:?}: {:?}", passed(&found));
    }
    assert_eq!(passed(&found).len(), 4);
    // What is passed over is said with -v.
    for format in ["full", "concise"] {
        let verbose = text(&scx_lint(&folder, &["-v", "--format", format, "target/release"]));
        assert!(verbose.contains(&format!("{out}/ops.bpf.o: linked into {title}\n")), "{verbose}");
        assert!(verbose.contains(&format!("{out}/bpf.bpf.o: the same object as {title}\n")), "{verbose}");
        let quiet = text(&scx_lint(&folder, &["--format", format, "target/release"]));
        assert!(!quiet.contains("ops.bpf.o"), "{quiet}");
    }
    // Without the program, the object that it holds.
    let build = report(&folder, &["target/release/build"]);
    assert_eq!(titles(&build), [format!("{out}/bpf.bpf.o")]);
    assert_eq!(passed(&build).len(), 2);
}

#[test]
fn what_the_user_names_is_judged_whatever_it_is() {
    let Some(folder) = cargo_tree("named-part") else { return };
    let out = "target/release/build/scx_demo-0123/out";
    let part = format!("{out}/ops.bpf.o");
    let alone = report(&folder, &[&part]);
    assert_eq!(titles(&alone), [part.as_str()]);
    assert!(errors(&alone).contains(&"unresolved-extern"), "{:?}", errors(&alone));
    let beside = report(&folder, &["target", &part]);
    assert_eq!(titles(&beside).len(), 2, "{:?}", titles(&beside));
    assert_eq!(titles(&beside)[1], part);
    assert!(!passed(&beside).iter().any(|(path, _)| *path == part), "{:?}", passed(&beside));
    // The best place of an object is the one that was named.
    let whole = format!("{out}/bpf.bpf.o");
    assert_eq!(titles(&report(&folder, &["target", &whole])), [whole.as_str()]);
    let pattern = report(&folder, &[&format!("{out}/*.bpf.o")]);
    assert_eq!(titles(&pattern).len(), 3, "a pattern is what the shell makes of it");
    // Two objects that only together are one, and the one is not there: each is what somebody would load.
    fs::remove_file(folder.join(&whole)).unwrap();
    assert_eq!(titles(&report(&folder, &[out])).len(), 2);
}

/// Nobody takes for searched what was not: folders that are not entered, links, and what whoever opens it may wait for.
#[test]
fn what_a_search_leaves_aside_is_said() {
    let folder = scratch("left-aside");
    let object = root().join("fixtures/obj/clang-19/good__realistic_cpu.bpf.o");
    for path in [".hidden/deep", "target/debug", "src", "elsewhere"] {
        fs::create_dir_all(folder.join("tree").join(path)).unwrap();
    }
    fs::write(folder.join("tree/.gitignore"), "/target\n*.o\n").unwrap();
    fs::write(folder.join("tree/.hidden/.gitignore"), "deep\n").unwrap();
    for path in [".hidden/a.bpf.o", "target/debug/b.bpf.o", "src/c.bpf.o"] {
        fs::copy(&object, folder.join("tree").join(path)).unwrap();
    }
    let link = |target: &str, path: &str| symlink(target, folder.join("tree").join(path)).unwrap();
    link("../src/c.bpf.o", "elsewhere/link.bpf.o");
    link("gone.bpf.o", "elsewhere/dangling.bpf.o");
    link("../src", "elsewhere/folder");
    // What nobody takes for an input: an editor's lock, and a link of another name.
    link("somebody@host.1234", "elsewhere/.#c.bpf.c~");
    link("../src/c.bpf.o", "elsewhere/link");
    let mut fifos = Command::new("mkfifo");
    fifos.args(["fifo.bpf.o", "fifo.bpf.c", "pipe"].map(|name| folder.join("tree/src").join(name)));
    run(&mut fifos);
    let _socket = UnixListener::bind(folder.join("tree/src/socket.bpf.o")).unwrap();
    let found = report(&folder, &["tree"]);
    assert_eq!(titles(&found), ["tree/src/c.bpf.o"]);
    let expected = [
        ("tree/.hidden", "hidden", "not searched: a hidden folder; one that is named is"),
        ("tree/elsewhere/dangling.bpf.o", "dangling", "a link to gone.bpf.o, which is not there"),
        ("tree/elsewhere/folder", "link", "not followed: a link to ../src; one that is named is"),
        ("tree/elsewhere/link.bpf.o", "link", "not followed: a link to ../src/c.bpf.o; one that is named is"),
        ("tree/src/fifo.bpf.c", "special", "not read: a FIFO, expected a regular file"),
        ("tree/src/fifo.bpf.o", "special", "not read: a FIFO, expected a regular file"),
        ("tree/src/socket.bpf.o", "special", "not read: a socket, expected a regular file"),
        ("tree/target", "ignored", "not searched: an ignored folder; one that is named is"),
    ];
    let words = expected.map(|(path, why, _)| (path.to_owned(), why.to_owned()));
    assert_eq!(passed(&found), words);
    for format in ["full", "concise"] {
        let verbose = text_of(&folder, &["-v", "--format", format, "tree"]);
        for (path, _, words) in expected {
            assert!(verbose.contains(&format!("{path}: {words}\n")), "{verbose}");
        }
        let quiet = text_of(&folder, &["--format", format, "tree"]);
        assert!(expected.iter().all(|(path, ..)| !quiet.contains(path)), "{quiet}");
    }
    // What is named is searched, and nothing is said of it; a link that is named is followed.
    let named = report(&folder, &["tree", "tree/.hidden", "tree/elsewhere/link.bpf.o"]);
    let whys: Vec<(String, String)> = passed(&named);
    assert!(!whys.iter().any(|(path, _)| path == "tree/.hidden" || path.ends_with("link.bpf.o")), "{whys:?}");
    assert!(whys.contains(&("tree/.hidden/deep".to_owned(), "ignored".to_owned())), "{whys:?}");
    assert!(titles(&named).contains(&"tree/elsewhere/link.bpf.o".to_owned()), "{:?}", titles(&named));
    // Where nothing else can be judged, what is ignored is searched after all.
    let ignored = report(&folder, &["tree/target"]);
    assert_eq!((titles(&ignored).len(), passed(&ignored)), (1, Vec::new()));
    // A folder of such things alone holds nothing to check, and does not wait for anything.
    fs::remove_file(folder.join("tree/src/c.bpf.o")).unwrap();
    let alone = report(&folder, &["tree/src"]);
    assert_eq!(alone["objects"][0]["error"]["code"], "no-inputs");
    assert_eq!(passed(&alone).len(), 3);
}

/// Several programs with some objects in common: each object once, and none lost.
#[test]
fn programs_share_objects() {
    let folder = scratch("shared-objects");
    let object = |stem: &str| fs::read(root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"))).unwrap();
    let host = fs::read("/bin/true").unwrap();
    let (a, b, c) =
        (object("good__realistic_cpu"), object("good__realistic_cid"), object("missing-arena__no_arena"));
    fs::create_dir(folder.join("deep")).unwrap();
    fs::write(folder.join("one"), [&host[..], &a, &b].concat()).unwrap();
    fs::write(folder.join("two"), [&host[..], &b, &c].concat()).unwrap();
    fs::write(folder.join("deep/three"), [&host[..], &c, &a].concat()).unwrap();
    let found = report(&folder, &["."]);
    let of =
        |path: &str| titles(&found).iter().filter(|title| title.starts_with(&format!("./{path}("))).count();
    assert_eq!((of("one"), of("two"), of("deep/three")), (2, 1, 0), "{:?}", titles(&found));
    assert_eq!(passed(&found).len(), 3);
    assert_eq!(titles(&report(&folder, &["one", "two"])).len(), 4, "what is named is judged");
}

/// Crates that are linked together may each have a skeleton of one name, as those of scx have.
#[test]
fn objects_of_one_name_have_titles_of_their_own() {
    let Some(gcc) = tool("gcc") else { return };
    let folder = scratch("one-name");
    let mut text = String::new();
    for (number, stem) in ["good__realistic_cpu", "missing-arena__no_arena"].iter().enumerate() {
        let object = root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"));
        text.push_str(&format!(
            "asm(\".section .rodata\\n.type {symbol}, @object\\n{symbol}: .incbin \\\"{}\\\"\\n.size {symbol}, . - {symbol}\\n.text\");\n",
            object.display(),
            symbol = format!("_ZN{}3imp4DATA17h0123456789abcde{number}E", ["1a8bpf_skel", "1b8bpf_skel"][number])
        ));
    }
    fs::write(folder.join("main.c"), text + "int main(void) { return 0; }\n").unwrap();
    run(Command::new(gcc).current_dir(&folder).args(["-o", "program", "main.c"]));
    let found = report(&folder, &["program"]);
    assert_eq!(titles(&found), ["program(bpf_bpf)"; 2], "the skeletons' own name");
    let said = text_of(&folder, &["-A", "no-hotplug-callbacks", "program"]);
    let offsets: Vec<u64> = found["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| object["embedded"]["offset"].as_u64().unwrap())
        .collect();
    for offset in offsets {
        assert!(
            said.lines().any(|line| line.starts_with(&format!("program(bpf_bpf+{offset:#x}): "))),
            "{said}"
        );
    }
}

/// A folder of somebody else, with everything beside the source that makes a compiler run something.
#[test]
fn a_hostile_folder_runs_nothing() {
    let Some(clang) = tool("clang-19") else { return };
    let clang = clang.to_str().unwrap();
    let folder = scratch("hostile-folder");
    let ran = folder.join("ran");
    let evil = folder.join("evil");
    fs::write(&evil, format!("#!/bin/sh\necho \"$@\" >> {}\nexit 1\n", ran.display())).unwrap();
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o755)).unwrap();
    // A library whose constructor leaves a mark, where there is a compiler for it.
    let library = folder.join("evil.so");
    if let Some(cc) = tool("gcc") {
        let code = format!(
            "#include <stdio.h>\n__attribute__((constructor)) static void mark(void) {{ FILE *f = fopen(\"{}\", \"a\"); if (f) fclose(f); }}",
            ran.display()
        );
        fs::write(folder.join("evil.c"), code).unwrap();
        run(Command::new(cc).current_dir(&folder).args(["-shared", "-fPIC", "-o", "evil.so", "evil.c"]));
    }
    let fixture = root().join("fixtures");
    fs::copy(fixture.join("src/good__realistic_cpu.bpf.c"), folder.join("sched.bpf.c")).unwrap();
    let include = format!("-I{}", fixture.join("include").display());
    let good = [include.as_str(), "-w", "-Wno-int-conversion"];
    let attacks: [Vec<String>; 5] = [
        vec![format!("-fplugin={}", library.display())],
        ["-Xclang", "-load", "-Xclang", library.to_str().unwrap()].map(str::to_owned).to_vec(),
        vec![format!("-fpass-plugin={}", library.display())],
        vec![format!("@{}", folder.join("flags").display())],
        vec![format!("-B{}", folder.display()), "-fno-integrated-as".to_owned()],
    ];
    fs::write(folder.join("flags"), format!("-fplugin={}\n", library.display())).unwrap();
    // Clang does run it, or nothing is proven.
    let mut command = Command::new(clang);
    command.current_dir(&folder).args(["--target=bpf", "-c", "sched.bpf.c", "-o", "/dev/null"]).args(good);
    let _ = command.args(&attacks[0]).output().unwrap();
    if library.exists() {
        assert!(ran.exists(), "the library has no constructor that marks");
        fs::remove_file(&ran).unwrap();
    }
    for attack in &attacks {
        for file in ["compile_flags.txt", "compile_commands.json", "scx-lint.toml"] {
            let flags: Vec<&str> = good.into_iter().chain(attack.iter().map(String::as_str)).collect();
            let words = match file {
                "compile_flags.txt" => flags.join("\n"),
                "scx-lint.toml" => format!("[clang]\nflags = {flags:?}\n"),
                _ => {
                    let arguments: Vec<&str> = [&["clang"], &flags[..], &["-c", "sched.bpf.c"]].concat();
                    serde_json::json!([{ "directory": folder, "file": "sched.bpf.c", "arguments": arguments }]).to_string()
                }
            };
            fs::write(folder.join(file), words).unwrap();
            let output = scx_lint(&folder, &["-v", "--clang", clang, "--compile", "."]);
            let said = text(&output);
            assert_eq!(output.status.code(), Some(0), "{file} {attack:?}: {said}");
            assert!(
                said.contains(&format!("left out, as they do more than describe a source: {}", attack[0])),
                "{file}: {said}"
            );
            assert!(!ran.exists(), "{file} {attack:?} ran something");
            fs::remove_file(folder.join(file)).unwrap();
        }
    }
    // A configuration that lies there names no program; one that is given does.
    fs::write(folder.join("compile_flags.txt"), good.join("\n")).unwrap();
    fs::write(folder.join("scx-lint.toml"), "[clang]\npath = \"./evil\"\n").unwrap();
    let output = scx_lint(&folder, &["sched.bpf.c"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("names './evil' as the compiler"), "{}", text(&output));
    assert!(!ran.exists());
    assert_eq!(scx_lint(&folder, &["--clang", clang, "sched.bpf.c"]).status.code(), Some(0));
    scx_lint(&folder, &["--config", "scx-lint.toml", "sched.bpf.c"]);
    assert!(ran.exists(), "what the user gives is run");
    fs::remove_file(&ran).unwrap();
    // A path is one from here, wherever the compiler is run: of two programs of one name it is ours.
    let (here, theirs) = (folder.join("here"), folder.join("theirs"));
    for place in [&here, &theirs] {
        fs::create_dir_all(place.join("bin")).unwrap();
    }
    fs::copy(&evil, theirs.join("bin/clang")).unwrap();
    symlink(clang, here.join("bin/clang")).unwrap();
    fs::rename(folder.join("sched.bpf.c"), theirs.join("sched.bpf.c")).unwrap();
    let arguments: Vec<&str> = ["clang"].into_iter().chain(good).chain(["-c", "sched.bpf.c"]).collect();
    let entry = serde_json::json!([{ "directory": theirs, "file": "sched.bpf.c", "arguments": arguments }]);
    fs::write(theirs.join("compile_commands.json"), entry.to_string()).unwrap();
    let output = scx_lint(&here, &["--no-config", "--clang", "bin/clang", "../theirs/sched.bpf.c"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(!ran.exists(), "a program of the folder was run");
}

#[test]
fn sources_in_folders_are_compiled_when_asked() {
    let Some(clang) = tool("clang-19") else { return };
    let clang = clang.to_str().unwrap();
    let folder = scratch("sources-in-folders");
    let fixture = root().join("fixtures");
    fs::copy(fixture.join("src/good__realistic_cpu.bpf.c"), folder.join("sched.bpf.c")).unwrap();
    let include = format!("-I{}", fixture.join("include").display());
    let options = ["--clang", clang, "--cflag", &include, "--cflag", "-w", "--cflag", "-Wno-int-conversion"];
    let ask = |more: &[&str]| report(&folder, &[&options[..], more].concat());
    let alone = ask(&["."]);
    assert_eq!(alone["objects"][0]["error"]["code"], "no-inputs");
    let words = alone["objects"][0]["error"]["message"].as_str().unwrap();
    assert!(words.contains("--compile compiles its BPF source"), "{words}");
    assert_eq!(passed(&alone), [("./sched.bpf.c".to_owned(), "not-compiled".to_owned())]);
    assert_eq!(titles(&ask(&["--compile", "."])), ["./sched.bpf.c"]);
    assert_eq!(titles(&ask(&["sched.bpf.c"])), ["sched.bpf.c"]);
    assert_eq!(titles(&ask(&["*.bpf.c"])), ["sched.bpf.c"]);
    // Beside an object of another source it is told of, so that nobody takes the folder for clean.
    fs::copy(fixture.join("obj/clang-19/good__realistic_cid.bpf.o"), folder.join("other.bpf.o")).unwrap();
    assert_eq!(titles(&ask(&["."])), ["./other.bpf.o"]);
    let said = text(&scx_lint(&folder, &["."]));
    assert!(said.contains("1 BPF source without an object not compiled; --compile"), "{said}");
    let said = text(&scx_lint(&folder, &["-v", "."]));
    assert!(said.contains("./sched.bpf.c: not compiled"), "{said}");
    fs::rename(folder.join("other.bpf.o"), folder.join("sched.bpf.o")).unwrap();
    assert_eq!(passed(&ask(&["."])), [], "its object is there");
}
