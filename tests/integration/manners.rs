//! Terminals, shells, manual pages, and the pages that are generated.

use std::fs;
use std::process::{Command, Output};

use scx_lint::kernel::builtin;

use super::root;
use super::tools::{run, scratch, tool};

fn scx_lint(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scx-lint")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn completions_work_in_the_shells_themselves() {
    let folder = scratch("completions");
    for shell in ["bash", "zsh", "fish"] {
        let output = scx_lint(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        fs::write(folder.join(shell), output.stdout).unwrap();
    }
    if let Some(bash) = tool("bash") {
        let ask = |words: &str, count: usize| {
            let script = format!(
                "source ./bash; COMP_WORDS=({words}); COMP_CWORD={count}; last=${{COMP_WORDS[$COMP_CWORD]}}; \
                 _scx__lint scx-lint \"$last\" \"${{COMP_WORDS[$((COMP_CWORD-1))]}}\"; echo \"${{COMPREPLY[@]}}\"; \
                 complete -p scx-lint"
            );
            text(&run(Command::new(&bash).current_dir(&folder).args(["--norc", "-c", &script])))
        };
        assert!(ask("scx-lint --arena-r", 1).starts_with("--arena-rule\n"));
        assert!(ask("scx-lint --format s", 2).starts_with("sarif\n"));
        assert!(ask("scx-lint comp", 1).starts_with("completions\n"));
        assert!(ask("scx-lint completions f", 2).contains("fish\n"));
        assert!(ask("scx-lint x", 1).contains("complete ") && ask("scx-lint x", 1).contains("-F _scx__lint"));
    }
    if let Some(zsh) = tool("zsh") {
        let script = "autoload -U compinit && compinit -u -D && source ./zsh && print -r -- ${_comps[scx-lint]} && whence -w _scx-lint";
        let output = text(&run(Command::new(zsh).current_dir(&folder).args(["-f", "-c", script])));
        assert_eq!(output, "_scx-lint\n_scx-lint: function\n");
    }
    if let Some(fish) = tool("fish") {
        let script = "source ./fish; complete -C 'scx-lint --arena-r'; complete -C 'scx-lint --format=gitl'";
        let mut command = Command::new(fish);
        let output =
            run(command.current_dir(&folder).env("HOME", &folder).args(["--no-config", "-c", script]));
        assert!(
            text(&output).contains("--arena-rule") && text(&output).contains("gitlab"),
            "{}",
            text(&output)
        );
    }
}

#[test]
fn the_manual_page_is_read_by_man() {
    let folder = scratch("man");
    fs::write(folder.join("scx-lint.1"), scx_lint(&["man"]).stdout).unwrap();
    let Some(man) = tool("man") else { return };
    let mut command = Command::new(man);
    command.current_dir(&folder).env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8").env("PAGER", "cat");
    let output = run(command.args(["--warnings", "-l", "./scx-lint.1"]));
    // It fills lines with spaces.
    let page = text(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["SYNOPSIS", "--arena-rule", "--format", "SCX-LINT INSPECT", "--graph", "Exit status: 0"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn the_version_tells_how_old_the_kernels_are() {
    let version = text(&scx_lint(&["--version"]));
    let newest = builtin::RELEASES.iter().map(|release| release.date).max().unwrap();
    assert!(
        version.starts_with(&format!(
            "scx-lint {} (kernels {}, ",
            env!("CARGO_PKG_VERSION"),
            builtin::range()
        )),
        "{version}"
    );
    assert!(version.trim_end().ends_with(&format!("as of {newest})")), "{version}");
}

#[test]
fn error_numbers_are_explained() {
    for (word, parts) in [
        ("EINVAL", ["at attach:", "invalid-ops-name"]),
        ("-22", ["EINVAL (22)", "arena-not-always-mapped"]),
        ("524", ["ENOTSUPP (524)", "Unknown error 524"]),
        ("EBUSY", ["another scheduler is enabled", "ops.exit"]),
    ] {
        let output = scx_lint(&["explain", word]);
        assert_eq!(output.status.code(), Some(0), "{word}");
        for part in parts {
            assert!(text(&output).contains(part), "{word}: {part}");
        }
    }
    for (word, hint) in [("EINVALL", "did you mean 'EINVAL'?"), ("99999", "unknown error number")] {
        let output = scx_lint(&["explain", word]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(hint));
    }
}

#[test]
fn a_terminal_that_has_links_gets_them() {
    let folder = scratch("links");
    let pages = "https://example.org/rules.md";
    fs::write(folder.join("scx-lint.toml"), format!("rule-pages = \"{pages}\"\n")).unwrap();
    let object = root().join("fixtures/obj/clang-19/missing-arena__no_arena.bpf.o");
    let report = |links: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
        command.current_dir(&folder).env("FORCE_HYPERLINK", links).arg(&object);
        text(&command.output().unwrap())
    };
    assert!(report("1").contains(&format!("\x1b]8;;{pages}#missing-arena\x1b\\")), "{:?}", report("1"));
    assert!(!report("0").contains("\x1b]8"));
    // The same address goes into the other formats.
    for format in ["sarif", "markdown", "html"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
        let output = command.current_dir(&folder).args(["--format", format]).arg(&object).output().unwrap();
        assert!(text(&output).contains(&format!("{pages}#missing-arena")), "{format}");
    }
}

#[test]
fn tables_keep_to_the_width() {
    let object = root().join("fixtures/obj/clang-19/good__realistic_cid.bpf.o");
    for width in [60, 100, 200] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
        let output = command.env("COLUMNS", width.to_string()).arg("inspect").arg(&object).output().unwrap();
        let longest = text(&output).lines().skip(1).map(|line| line.chars().count()).max().unwrap();
        // A last column never gets less than 20 characters.
        assert!(longest <= width.max(100), "{width}: {longest}");
    }
}

#[test]
fn the_rules_page_is_current() {
    let committed = fs::read_to_string(root().join("docs/rules.md")).unwrap();
    let current = text(&scx_lint(&["rules", "--markdown"]));
    assert!(committed == current, "write it again: scx-lint rules --markdown > docs/rules.md");
    for rule in scx_lint::checks::RULES {
        assert!(current.contains(&format!("\n## {}\n", rule.name)));
    }
}
