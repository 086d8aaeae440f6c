//! What the documentation tells people to type works.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use scx_lint::kernel::builtin;

use super::root;
use super::tools::{run, scratch, tool};

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.extend(
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "fixtures/README.md"].map(|name| root().join(name)),
    );
    pages.sort();
    pages
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The path with scx-lint's folder first.
fn path() -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_scx-lint")).parent().unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
fn commands_of_the_pages_run() {
    let Some(_) = tool("clang-19") else { return };
    let folder = scratch("docs-commands");
    let put = |path: &str, stem: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o")), path).unwrap();
    };
    put("sched.bpf.o", "good__realistic_cpu");
    put("target/release/sched.bpf.o", "good__realistic_cpu");
    fs::create_dir(folder.join("src")).unwrap();
    fs::copy(root().join("fixtures/src/good__realistic_cpu.bpf.c"), folder.join("src/sched.bpf.c")).unwrap();
    fs::create_dir(folder.join("include")).unwrap();
    for header in fs::read_dir(root().join("fixtures/include")).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(header.path(), folder.join("include").join(header.file_name())).unwrap();
    }
    // What the fixtures' own build says to the compiler.
    fs::write(folder.join("scx-lint.toml"), "[clang]\nflags = [\"-w\", \"-Wno-int-conversion\"]\n").unwrap();
    fs::create_dir_all(folder.join("home/.local/share/bash-completion/completions")).unwrap();
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let indented = text
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .filter(|line| line.starts_with("scx-lint "));
        let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let quoted = quoted.filter(|code| {
            code.starts_with("scx-lint ") && !code.contains(['-', ' ']) || code.contains(" > ~/")
        });
        for command in indented.chain(quoted).filter(|command| !command.contains("$<")) {
            // A kernel is asked by the tests of live mode; this machine's may have no sched_ext, or no BTF.
            let elsewhere = ["--attach", "--vm", "--kernel host", "VERSION"];
            if elsewhere.iter().any(|word| command.contains(word)) || command.contains("scx-lint_") {
                continue;
            }
            let mut shell = Command::new("bash");
            shell
                .current_dir(&folder)
                .env("PATH", path())
                .env("HOME", folder.join("home"))
                .env_remove("BPF_CLANG");
            let output = shell.args(["-c", command]).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}: {command}: {}", page.display(), both(&output));
            count += 1;
        }
    }
    assert!(count >= 8, "{count} commands");
    let completions = folder.join("home/.local/share/bash-completion/completions/scx-lint");
    assert!(fs::read_to_string(completions).unwrap().contains("complete "));
}

#[test]
fn options_and_files_of_the_pages_exist() {
    let help = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_scx-lint")).args(arguments).arg("--help").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let ours =
        [&[][..], &["inspect"], &["rules"], &["kernel", "info"], &["kernel", "snapshot"]].map(help).concat();
    // Of cargo, and of the tests' own program.
    let others = ["release", "features", "locked", "path", "target", "test", "example", "example's"];
    // Live options are there with the feature only.
    let live = fs::read_to_string(root().join("docs/live.md")).unwrap();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let name = page.strip_prefix(root()).unwrap().display();
        // The rules' pages name options of other tools.
        let options = if page.ends_with("docs/rules.md") { "" } else { text.as_str() };
        for word in options.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
            let Some(option) =
                word.strip_prefix("--").filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
            else {
                continue;
            };
            let known =
                ours.contains(&format!("--{option}")) || others.contains(&option) || live.contains(word);
            assert!(known, "{name}: --{option}");
        }
        // Links between the pages.
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                assert!(page.parent().unwrap().join(file).exists(), "{name}: {link}");
            }
        }
        // Files of the project, as they are named in code.
        for code in text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let folders = ["docs/", "scripts/", "src/", "fixtures/", "schema/", "tests/", ".ci/"];
            let word = code.split([' ', '#']).next().unwrap();
            if folders.iter().any(|folder| word.starts_with(folder))
                && !word.contains(['*', '<'])
                && !["src/bpf", "src/linked/"].iter().any(|other| word.starts_with(other))
                && word.chars().all(|c| !c.is_ascii_uppercase() || name.to_string() != "fixtures/README.md")
            {
                assert!(root().join(word).exists() || word.contains("snapshots"), "{name}: {word}");
            }
        }
    }
}

/// The fenced blocks of a language in docs/ci.md.
fn block(language: &str) -> String {
    let text = fs::read_to_string(root().join("docs/ci.md")).unwrap();
    let block = text.split(&format!("```{language}\n")).nth(1).unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_recipe_for_just_runs() {
    let Some(just) = tool("just") else { return };
    let folder = scratch("just");
    fs::create_dir_all(folder.join("target/release")).unwrap();
    let object = folder.join("target/release/sched.bpf.o");
    // Building is not what is looked at.
    fs::write(folder.join("justfile"), block("just").replace("cargo build --release", "true")).unwrap();
    for (stem, status) in [("good__realistic_cpu", 0), ("missing-arena__no_arena", 1)] {
        fs::copy(root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o")), &object).unwrap();
        let output =
            Command::new(&just).current_dir(&folder).arg("lint").env("PATH", path()).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{}", both(&output));
    }
}

#[test]
fn the_recipe_for_build_rs_ends_the_build() {
    let folder = scratch("build-rs");
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(folder.join("src/main.rs"), "fn main() {}\n").unwrap();
    let manifest = format!(
        "[package]\nname = \"sched\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[build-dependencies]\n\
         scx-lint = {{ path = {:?}, default-features = false }}\n",
        root()
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let script = format!(
        "fn main() {{\n    let out = std::path::PathBuf::from(\".\");\n    println!(\"cargo::rerun-if-changed=sched.bpf.o\");\n{}}}\n",
        block("rust")
    );
    fs::write(folder.join("build.rs"), script).unwrap();
    for (stem, fine) in [("good__realistic_cpu", true), ("missing-arena__no_arena", false)] {
        fs::copy(root().join(format!("fixtures/obj/clang-19/{stem}.bpf.o")), folder.join("sched.bpf.o"))
            .unwrap();
        let mut command = Command::new(env!("CARGO"));
        command
            .current_dir(&folder)
            .env_remove("RUSTFLAGS")
            .env("CARGO_TARGET_DIR", root().join("target/new-rule"));
        let output = command.args(["build", "--quiet", "--offline"]).output().unwrap();
        assert_eq!(output.status.success(), fine, "{}", both(&output));
        assert_eq!(both(&output).contains("missing-arena: no member program"), !fine, "{}", both(&output));
    }
}

/// What `cargo publish` sends has what its tests need, and nothing that was made.
#[test]
fn the_package_is_complete_and_small() {
    if !root().join("oracle").exists() {
        eprintln!("SKIPPED: this is the package");
        return;
    }
    let mut command = Command::new(env!("CARGO"));
    let list =
        run(command.current_dir(root()).args(["package", "--list", "--allow-dirty", "--offline"])).stdout;
    let list = String::from_utf8(list).unwrap();
    for file in [
        "fixtures/obj/clang-19/good__realistic_cid.bpf.o",
        "src/kernel/builtin/7.3.snapshot",
        "tests/data/crashers/lint-line-zero",
        "action.yml",
        "LICENSE-MIT",
        "NOTICE",
        "CHANGELOG.md",
    ] {
        assert!(list.lines().any(|line| line == file), "{file} is missing");
    }
    for folder in ["target/", "oracle/", "fuzz/", "tests/embed/", "fixtures/build/"] {
        assert!(!list.lines().any(|line| line.starts_with(folder)), "{folder} is in the package");
    }
    let size: u64 =
        list.lines().filter_map(|line| fs::metadata(root().join(line)).ok()).map(|data| data.len()).sum();
    // Half of it, the snapshots, is compressed already; the rest shrinks to a quarter.
    assert!(size < 12 << 20, "{size} bytes before compression; crates.io takes 10 MB of what is compressed");
}

/// Every file of a folder that has one of these extensions.
fn files(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if path.is_dir() {
            files(&path, extensions, found);
        } else if extensions.contains(&extension) {
            found.push(path);
        }
    }
}

/// The range of the releases is taken from their list. What names it all the same: the README, where `scripts/builtin-kernels`
/// keeps it, pages that are written from the code, and what was read of the kernel's in those very releases.
#[test]
fn no_sentence_names_the_range_of_the_releases_by_itself() {
    let range = builtin::range();
    let mut paths = pages();
    for (folder, extension) in
        [("src", "rs"), ("tests/integration", "rs"), ("tests/live", "rs"), ("examples", "rs")]
    {
        files(&root().join(folder), &[extension], &mut paths);
    }
    for folder in ["fixtures/src", "fixtures/include"] {
        files(&root().join(folder), &["c", "h"], &mut paths);
    }
    let is_generated = |path: &Path| path.ends_with("docs/rules.md");
    let mut wrong = Vec::new();
    for path in paths.iter().filter(|path| !is_generated(path)) {
        let text = fs::read_to_string(path).unwrap();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.contains(&range)) {
            // As in "`scx_kf_allowed` (6.12 to 7.0)" and "`SCX_OPS_ALL_FLAGS` of 6.12 to 7.0".
            let of_the_kernel = ["` (", "` of "].iter().any(|of| line.contains(&format!("{of}{range}")));
            let kept = path.ends_with("README.md") && line.contains(&format!("kernels {range}"));
            if !of_the_kernel && !kept && !path.ends_with("src/kernel/builtin.rs") {
                wrong.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(
        readme.contains(&format!("kernels {range} ")),
        "scripts/builtin-kernels writes the range into the README"
    );
}
