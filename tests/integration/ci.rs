//! The places where a scheduler passes by: pre-commit, GitHub's action, the scaffold for a new rule, and the recipes of the docs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::root;
use super::tools::{compile, copy_of_the_project, run, scratch, tool};

/// The path with scx-lint's folder first.
fn path() -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_scx-lint")).parent().unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(folder).args([
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "-c",
        "commit.gpgsign=false",
    ]);
    run(command.env("GIT_CONFIG_GLOBAL", "/dev/null").args(arguments));
}

/// A scheduler's source, which does not attach or does.
fn source(good: bool) -> String {
    let name = if good { "good__realistic_cid" } else { "missing-arena__no_arena" };
    fs::read_to_string(root().join(format!("fixtures/src/{name}.bpf.c"))).unwrap()
}

/// What a project writes down once about its sources.
fn config() -> String {
    let include = root().join("fixtures/include");
    format!("[clang]\nflags = [\"-I{}\", \"-w\", \"-Wno-int-conversion\"]\n", include.display())
}

#[test]
fn pre_commit_runs_the_hooks() {
    let (Some(pre_commit), Some(_)) = (tool("pre-commit"), tool("clang-19")) else { return };
    let folder = scratch("pre-commit");
    // What pre-commit clones: the project, as far as it concerns it.
    let hooks = folder.join("hooks");
    fs::create_dir(&hooks).unwrap();
    fs::copy(root().join(".pre-commit-hooks.yaml"), hooks.join(".pre-commit-hooks.yaml")).unwrap();
    git(&hooks, &["init", "-q", "."]);
    git(&hooks, &["add", "."]);
    git(&hooks, &["commit", "-qm", "hooks"]);
    git(&hooks, &["tag", "v1"]);
    let project = folder.join("project");
    fs::create_dir(&project).unwrap();
    git(&project, &["init", "-q", "."]);
    let write = |name: &str, text: &str| fs::write(project.join(name), text).unwrap();
    write(
        ".pre-commit-config.yaml",
        &format!(
            "repos:\n  - repo: {}\n    rev: v1\n    hooks:\n      - id: scx-lint\n      - id: scx-lint-objects\n",
            hooks.display()
        ),
    );
    write("scx-lint.toml", &config());
    write("notes.c", "not BPF, and not looked at");
    let attempt = || {
        git(&project, &["add", "-A"]);
        let mut command = Command::new(&pre_commit);
        command.current_dir(&project).args(["run", "--color", "never"]).env("PATH", path());
        command.env("PRE_COMMIT_HOME", folder.join("home")).env_remove("BPF_CLANG");
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap()
    };
    write("sched.bpf.c", &source(false));
    let output = attempt();
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    let text = both(&output);
    assert!(text.contains("missing-arena") && text.contains("./sched.bpf.c:6:"), "{text}");
    assert!(text.contains("scx-lint (objects)") && text.contains("(no files to check)Skipped"), "{text}");
    write("sched.bpf.c", &source(true));
    let output = attempt();
    assert_eq!(output.status.code(), Some(0), "{}", both(&output));
    assert!(
        both(&output).contains("scx-lint (sources)") && both(&output).contains("Passed"),
        "{}",
        both(&output)
    );
    let object = root().join("fixtures/obj/clang-19/missing-arena__no_arena.bpf.o");
    fs::copy(object, project.join("sched.bpf.o")).unwrap();
    let output = attempt();
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(both(&output).contains("sched.bpf.o: will not attach"), "{}", both(&output));
}

/// Runs the shell part of the action as a step would.
fn action(folder: &Path, inputs: &[(&str, &str)]) -> (Output, String, String) {
    for file in ["output", "summary"] {
        fs::write(folder.join(file), "").unwrap();
    }
    let defaults = [
        ("OBJECTS", ""),
        ("KERNELS", ""),
        ("FORMAT", "github"),
        ("VM", ""),
        ("ARGS", ""),
        ("SARIF", "true"),
        ("SUMMARY", "true"),
    ];
    let mut command = Command::new("bash");
    command.current_dir(folder).arg(root().join("action/lint.sh")).env("PATH", path());
    for (name, value) in defaults.iter().chain(inputs) {
        command.env(format!("INPUT_{name}"), value);
    }
    command.env("GITHUB_OUTPUT", folder.join("output")).env("GITHUB_STEP_SUMMARY", folder.join("summary"));
    let output = command.env("RUNNER_TEMP", folder).env("GITHUB_WORKSPACE", folder).output().unwrap();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    (output, read("output"), read("summary"))
}

#[test]
fn the_action_writes_log_summary_and_sarif() {
    let folder = scratch("action");
    for stem in ["missing-arena__no_arena", "good__realistic_cid"] {
        let object = root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o"));
        fs::copy(object, folder.join(format!("{stem}.bpf.o"))).unwrap();
    }
    let (output, outputs, summary) = action(&folder, &[("OBJECTS", "*.bpf.o"), ("KERNELS", "7.2,7.3")]);
    assert_eq!(output.status.code(), Some(0), "the verdict is another step's: {}", both(&output));
    assert!(both(&output).contains("::error file="), "{}", both(&output));
    assert!(outputs.contains("status=1\n"), "{outputs}");
    assert!(summary.contains("| scheduler | 7.2 | 7.3 |"), "{summary}");
    let sarif = outputs.lines().find_map(|line| line.strip_prefix("sarif=")).unwrap();
    let log: serde_json::Value = serde_json::from_str(&fs::read_to_string(sarif).unwrap()).unwrap();
    assert!(!log["runs"][0]["results"].as_array().unwrap().is_empty());
    let (_, outputs, _) = action(
        &folder,
        &[("OBJECTS", "good__realistic_cid.bpf.o"), ("ARGS", "--arena-rule always"), ("SARIF", "false")],
    );
    assert_eq!(outputs, "status=0\n");
    let (_, outputs, _) = action(&folder, &[("OBJECTS", "absent.bpf.o")]);
    assert!(outputs.contains("status=2\n"), "{outputs}");
    let (output, outputs, _) = action(&folder, &[]);
    assert!(both(&output).contains("names nothing") && outputs == "status=2\n", "{}", both(&output));
}

#[test]
fn the_actions_description_fits_its_scripts() {
    let Some(python) = tool("python") else { return };
    let script = "import sys, yaml, re
for name in sys.argv[1:]:
    yaml.safe_load(open(name))
action = yaml.safe_load(open('action.yml'))
given = {variable for step in action['runs']['steps'] for variable in step.get('env', {})}
used = set(re.findall(r'INPUT_[A-Z]+', open('action/lint.sh').read() + open('action/install.sh').read()))
assert used <= given, used - given
named = set(re.findall(r'inputs\\.([a-z]+)', open('action.yml').read()))
assert named == set(action['inputs']), named ^ set(action['inputs'])
for hook in yaml.safe_load(open('.pre-commit-hooks.yaml')):
    assert {'id', 'name', 'entry', 'language', 'files'} <= set(hook), hook
release = yaml.safe_load(open('.github/workflows/release.yml'))
assert 'scripts/release' in str(release), release
print('fits')";
    let mut command = Command::new(python);
    command.current_dir(root()).args(["-c", script, "action.yml", ".pre-commit-hooks.yaml"]);
    let output = run(command.arg(".github/workflows/release.yml"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "fits\n");
}

/// A copy of what a rule's author touches, in a folder of its own.
fn copy_for_a_rule() -> PathBuf {
    let folder = copy_of_the_project("new-rule", &[]);
    let path = folder.join("Cargo.toml");
    // The example that a test adds: cargo looks for none where the package lists them.
    let example = "\n[[example]]\nname = \"say\"\npath = \"examples/say.rs\"\n";
    fs::write(&path, fs::read_to_string(&path).unwrap() + example).unwrap();
    folder
}

#[test]
fn a_new_rule_compiles_fires_and_spares_its_near_miss() {
    let (Some(_), Some(clang)) = (tool("python3"), tool("clang-19")) else { return };
    let folder = copy_for_a_rule();
    let scaffold = |arguments: &[&str]| {
        let mut command = Command::new("python3");
        command.current_dir(&folder).arg("scripts/new-rule").args(arguments).output().unwrap()
    };
    assert_eq!(scaffold(&["badname", "Arena", "Error", "Load"]).status.code(), Some(1));
    assert_eq!(scaffold(&["bad-family", "Nonsense", "Error", "Load"]).status.code(), Some(1));
    assert_eq!(scaffold(&["missing-arena", "Arena", "Error", "Load"]).status.code(), Some(1), "there is one");
    let output = scaffold(&["oopsed-ops", "OpsValues", "Error", "Attach"]);
    assert_eq!(output.status.code(), Some(0), "{}", both(&output));
    // A small program around the library says what the rule finds.
    fs::create_dir_all(folder.join("examples")).unwrap();
    fs::write(
        folder.join("examples/say.rs"),
        "//! Says.
        fn main() { for path in std::env::args().skip(1) {
            let report = scx_lint::lint(&std::fs::read(path).unwrap(), &scx_lint::Options::default());
            println!(\"{}\", report.findings.iter().filter(|f| f.rule.name == \"oopsed-ops\" && f.phase == scx_lint::rule::Phase::Attach).count());
        } }",
    )
    .unwrap();
    for case in ["fires", "near"] {
        let (source, object) = (format!("oopsed-ops__{case}.bpf.c"), format!("../../{case}.bpf.o"));
        compile(&clang, &folder.join("fixtures/src"), &source, &object);
    }
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(&folder)
        .env_remove("RUSTFLAGS")
        .env("CARGO_TARGET_DIR", root().join("target/new-rule"));
    command.args(["run", "--quiet", "--offline", "--no-default-features", "--example", "say", "--"]);
    let output = command.args(["fires.bpf.o", "near.bpf.o"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n0\n", "{}", both(&output));
}

/// The fenced blocks of a language in a Markdown file.
fn blocks(file: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    text.split(&format!("```{language}\n"))
        .skip(1)
        .map(|rest| rest.split_once("```").expect("the block ends").0.to_owned())
        .collect()
}

#[test]
fn the_three_set_ups_of_the_readme_work() {
    let folder = scratch("set-ups");
    let put = |path: &str, stem: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o")), path).unwrap();
    };
    // make, as printed.
    let [makefile] = &blocks("README.md", "make")[..] else { panic!("one block for make") };
    fs::write(folder.join("Makefile"), makefile).unwrap();
    let make =
        || Command::new("make").current_dir(&folder).arg("check").env("PATH", path()).output().unwrap();
    put("sched.bpf.o", "missing-arena__no_arena");
    let output = make();
    assert!(!output.status.success() && both(&output).contains("missing-arena"), "{}", both(&output));
    put("sched.bpf.o", "good__realistic_cpu");
    let output = make();
    assert!(output.status.success(), "{}", both(&output));
    // GitHub: the step's inputs, given to the action's script.
    let yaml = blocks("README.md", "yaml");
    let [pre_commit, step] = &yaml[..] else { panic!("two blocks of YAML") };
    let Some(python) = tool("python") else { return };
    let inputs = |text: &str| {
        let script = "import sys, yaml\nstep, = yaml.safe_load(sys.argv[1])\nfor item in step['with'].items(): print(*item, sep='=')";
        let output = run(Command::new(&python).args(["-c", script, text]));
        String::from_utf8(output.stdout).unwrap()
    };
    let inputs = inputs(step);
    let inputs: Vec<(String, &str)> = inputs
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_uppercase(), value))
        .collect();
    let inputs: Vec<(&str, &str)> = inputs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    put("target/release/sched.bpf.o", "missing-arena__no_arena");
    let (output, outputs, summary) = action(&folder, &inputs);
    assert!(outputs.contains("status=1\n") && summary.contains("| 7.2 | 7.3 |"), "{}", both(&output));
    // pre-commit, with this tree in place of the address.
    let (Some(program), Some(_)) = (tool("pre-commit"), tool("clang-19")) else { return };
    let (hooks, project) = (folder.join("hooks"), folder.join("project"));
    fs::create_dir_all(&hooks).unwrap();
    fs::create_dir_all(&project).unwrap();
    fs::copy(root().join(".pre-commit-hooks.yaml"), hooks.join(".pre-commit-hooks.yaml")).unwrap();
    for arguments in
        [&["init", "-q", "."][..], &["add", "."], &["commit", "-qm", "hooks"], &["tag", "v0.1.0"]]
    {
        git(&hooks, arguments);
    }
    let pre_commit = pre_commit.replace("https://github.com/OWNER/scx-lint", hooks.to_str().unwrap());
    assert!(pre_commit.contains("set-ups"), "the address is in the block");
    fs::write(project.join(".pre-commit-config.yaml"), pre_commit).unwrap();
    fs::write(project.join("scx-lint.toml"), config()).unwrap();
    fs::write(project.join("sched.bpf.c"), source(false)).unwrap();
    git(&project, &["init", "-q", "."]);
    git(&project, &["add", "-A"]);
    let mut command = Command::new(program);
    command.current_dir(&project).args(["run", "--color", "never"]).env("PATH", path());
    command
        .env("PRE_COMMIT_HOME", folder.join("home"))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("BPF_CLANG");
    let output = command.output().unwrap();
    assert!(output.status.code() == Some(1) && both(&output).contains("missing-arena"), "{}", both(&output));
}

#[test]
fn recipes_of_the_docs_are_sound() {
    let folder = scratch("recipes");
    let [config] = &blocks("docs/configuration.md", "toml")[..] else { panic!("one block of TOML") };
    fs::write(folder.join("scx-lint.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
    let output = command.current_dir(&folder).arg("--dump-config").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", both(&output));
    for key in ["kernels", "arena-flag-bit", "[levels]", "[clang]", "[[allow]]", "[[input]]"] {
        assert!(both(&output).contains(key), "{key}");
    }
    // make and GitLab's commands, as printed.
    let object = root().join("fixtures/obj/clang-19/missing-arena__no_arena.bpf.o");
    fs::remove_file(folder.join("scx-lint.toml")).unwrap();
    fs::create_dir(folder.join("build")).unwrap();
    fs::copy(&object, folder.join("build/sched.bpf.o")).unwrap();
    // The object is the newer one, else make builds it anew.
    fs::write(folder.join("sched.bpf.c"), "").unwrap();
    fs::copy(&object, folder.join("sched.bpf.o")).unwrap();
    let [makefile] = &blocks("docs/ci.md", "make")[..] else { panic!("one block for make") };
    fs::write(folder.join("Makefile"), makefile).unwrap();
    let output = Command::new("make").current_dir(&folder).arg("check").env("PATH", path()).output().unwrap();
    assert!(!output.status.success() && both(&output).contains("missing-arena"), "{}", both(&output));
    let gitlab =
        blocks("docs/ci.md", "yaml").into_iter().find(|block| block.contains("codequality")).unwrap();
    let commands: Vec<&str> =
        gitlab.lines().filter_map(|line| line.trim().strip_prefix("- scx-lint")).collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        let mut shell = Command::new("bash");
        shell
            .current_dir(&folder)
            .env("PATH", path())
            .args(["-c", &format!("scx-lint{command}")])
            .status()
            .unwrap();
    }
    let issues = fs::read_to_string(folder.join("gl-code-quality-report.json")).unwrap();
    assert!(issues.contains("missing-arena") && folder.join("junit.xml").is_file());
}
