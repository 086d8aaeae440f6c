//! Opcodes are taken apart in src/insn alone.

use std::path::Path;

use super::root;

/// What the code says of opcodes outside src/insn: the field is private there, and its number serves to be printed.
fn arithmetic(source: &str) -> Vec<&str> {
    let operates = |rest: &str| {
        let rest = rest.trim_start();
        ["&", "|", "^", "<<", ">>", "==", "!=", " as"].iter().any(|operator| rest.starts_with(operator))
    };
    let takes_apart = |line: &&str| {
        line.match_indices("opcode()").any(|(at, call)| operates(&line[at + call.len()..]))
            || line.contains("match ") && line.contains(".opcode() {")
            || line.contains("matches!(") && line.contains(".opcode(),")
    };
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    product.lines().map(str::trim).filter(takes_apart).collect()
}

fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn nothing_but_insn_takes_opcodes_apart() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    files.retain(|path| !path.starts_with(root().join("src/insn")));
    assert!(files.len() > 100);
    for path in files {
        // Test-only files build instructions out of bytes, and compare what comes out.
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        assert_eq!(arithmetic(&source), Vec::<&str>::new(), "{}", path.display());
    }
}

#[test]
fn a_line_that_takes_an_opcode_apart_is_found() {
    for line in [
        "let class = insn.opcode() & 7;",
        "if insn.opcode() == 0x85 {",
        "match insn.opcode() {",
        "matches!(insn.opcode(), 0x15 | 0x55)",
        "let op = insn.opcode() >> 4;",
    ] {
        assert_eq!(arithmetic(line), [line]);
    }
    assert!(arithmetic("format!(\"code 0x{:x}\", insn.opcode())").is_empty());
}
