//! The README shows what the program prints.

use std::process::Command;

use super::root;

/// The text blocks of the README that show a command and its output, as the command, its output and the exit status
/// that the paragraph above promises.
fn transcripts(readme: &str) -> Vec<(String, String, i32)> {
    let mut found = Vec::new();
    let mut rest = readme;
    while let Some((before, block)) = rest.split_once("```text\n$ ") {
        let (block, after) = block.split_once("```").expect("the block ends");
        let (command, output) = block.split_once('\n').expect("the command is a line");
        let (_, promise) =
            before.rsplit_once("exit status ").expect("the paragraph above names the exit status");
        let digits: String = promise.chars().take_while(char::is_ascii_digit).collect();
        found.push((command.to_owned(), output.to_owned(), digits.parse().unwrap()));
        rest = after;
    }
    found
}

#[test]
fn transcripts_are_what_the_program_prints() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let found = transcripts(&readme);
    assert!(found.iter().any(|(.., status)| *status == 0) && found.iter().any(|(.., status)| *status == 1));
    for (command, expected, status) in found {
        let arguments: Vec<&str> =
            command.strip_prefix("scx-lint ").expect("our command").split(' ').collect();
        let output = Command::new(env!("CARGO_BIN_EXE_scx-lint"))
            .current_dir(root().join("fixtures/src"))
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .env_remove("COLUMNS")
            .env_remove("LC_ALL")
            .env_remove("LC_CTYPE")
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm")
            .args(&arguments)
            .output()
            .unwrap();
        let trimmed =
            |text: &str| text.trim().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(trimmed(&String::from_utf8(output.stdout).unwrap()), trimmed(&expected), "{command}");
        assert_eq!(output.status.code(), Some(status), "{command}");
        assert!(output.stderr.is_empty(), "{command}");
    }
}

#[test]
fn every_file_and_option_that_the_readme_names_exists() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let help = Command::new(env!("CARGO_BIN_EXE_scx-lint")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut files = 0;
    for word in readme.split(|c: char| c.is_whitespace() || matches!(c, '`' | '(' | ')' | ',' | ':' | ';')) {
        // `--release` is cargo's.
        if let Some(option) = word.strip_prefix("--").filter(|option| option.starts_with(char::is_alphabetic))
        {
            let known = option == "release" || help.contains(&format!("--{option}"));
            assert!(known, "option --{option}");
        }
        if word.starts_with("fixtures/") || word.starts_with("schema/") || word == ".ci/run" {
            assert!(root().join(word.trim_end_matches('.')).exists(), "{word}");
            files += 1;
        }
    }
    assert!(files >= 3);
}
