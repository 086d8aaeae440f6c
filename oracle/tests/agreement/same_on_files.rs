//! Every object we have, as it is.

use scx_lint_oracle::compare::differences;

use crate::{libbpf, objects, report};

#[test]
fn opens_like_libbpf() {
    let mut libbpf = libbpf();
    let objects = objects();
    let ours = report(&objects);
    let mut lines = Vec::new();
    for (index, path) in objects.iter().enumerate() {
        let theirs = libbpf.open_file(path.to_str().unwrap()).unwrap();
        let name = path.file_name().unwrap().to_string_lossy();
        lines.extend(differences(&theirs, &ours, index).iter().map(|line| format!("{name}: {line}")));
    }
    assert!(
        lines.is_empty(),
        "{} differences in {} objects:\n{}",
        lines.len(),
        objects.len(),
        lines.join("\n")
    );
}

/// Do these words stand in the line in this order, with anything between them: names are left out of the quotes.
fn holds_in_order(line: &str, words: &str) -> bool {
    let mut rest = line;
    words.split(' ').all(|word| match rest.find(word) {
        Some(at) => {
            rest = &rest[at + word.len()..];
            true
        }
        None => false,
    })
}

#[test]
fn quotes_libbpf_on_what_is_no_object() {
    let mut libbpf = libbpf();
    let inputs: Vec<_> =
        objects().into_iter().filter(|path| path.to_string_lossy().contains("/malformed/")).collect();
    assert!(inputs.len() > 20);
    let ours = report(&inputs);
    let mut wrong = Vec::new();
    for (index, path) in inputs.iter().enumerate() {
        let theirs = libbpf.open_file(path.to_str().unwrap()).unwrap();
        let message = ours["objects"][index]["error"]["message"].as_str().unwrap_or_default();
        let quote = message
            .split_once("(libbpf: ")
            .and_then(|(_, rest)| rest.split_once("); "))
            .map(|(words, _)| words);
        let lines = theirs["messages"].as_array().unwrap();
        let agrees = match quote {
            Some(words) => lines.iter().any(|line| holds_in_order(line.as_str().unwrap_or_default(), words)),
            None => message.contains("(libbpf refuses it without a word)") && lines.is_empty(),
        };
        if !agrees {
            wrong.push(format!("{}: {message}; libbpf: {lines:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
