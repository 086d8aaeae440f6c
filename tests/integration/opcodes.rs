//! Opcodes are taken apart in src/insn alone.

use std::path::Path;

use super::root;

/// What the code says of opcodes outside src/insn: the field is private there, and its number serves to be printed.
fn arithmetic(source: &str) -> Vec<&str> {
    // It may be an argument of a message: one on a line of its own, or one that a macro prints. Kept in a variable, a field or a closure it
    // could be taken apart anywhere.
    let prints = |line: &str| {
        let bare = line.strip_suffix(',').unwrap_or(line).strip_suffix(".opcode()");
        let is_path = |path: &str| path.chars().all(|c| c.is_alphanumeric() || "_.()[]".contains(c));
        let rest = line.split("opcode()").nth(1).unwrap_or_default().trim_start();
        let is_last = rest.starts_with([')', ',']);
        let printed = ["format!(", "write!(", "writeln!("].iter().any(|print| line.contains(print));
        bare.is_some_and(is_path) || printed && is_last
    };
    let takes_apart =
        |line: &&str| (line.contains(".opcode()") || line.contains("::opcode")) && !prints(line);
    let product = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
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
        "let class = insn.opcode() as usize % 8;",
        "let c = insn.opcode();",
        "let (at, code) = (at, insn.opcode());",
        "Parts { code: object.code[at].opcode() }",
        "insns.map(Insn::opcode)",
    ] {
        assert_eq!(arithmetic(line), [line]);
    }
    for line in
        ["format!(\"code 0x{:x}\", insn.opcode())", "insn.opcode(),", "object[function].code[at].opcode()"]
    {
        assert!(arithmetic(line).is_empty(), "{line}");
    }
    // A test-only import at the head of a file ends nothing.
    let rest =
        "#[cfg(test)]\nuse x;\nlet c = insn.opcode();\n#[cfg(test)]\nmod tests {\nlet c = insn.opcode();\n}";
    assert_eq!(arithmetic(rest), ["let c = insn.opcode();"]);
}
