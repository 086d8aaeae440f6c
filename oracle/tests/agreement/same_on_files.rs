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
