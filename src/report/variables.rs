//! The lines of maps and ops variables that the object does not record, out of the C files on this machine.

use std::collections::HashMap;

use super::document::Document;
use super::location::LocationDoc;
use super::sources::Sources;

impl Document {
    /// Looks for the lines of maps and ops variables in the C files that are on this machine; objects without DWARF have none.
    pub fn find_variables(&mut self, sources: &Sources) {
        let mut read: HashMap<(usize, String), Vec<String>> = HashMap::new();
        for finding in &mut self.findings {
            let object = finding.object;
            for location in &mut finding.locations {
                let files = location.variable.iter().flat_map(|variable| &variable.files);
                for file in files {
                    read.entry((object, file.clone())).or_insert_with(|| {
                        sources.lines(file, &self.objects[object].path).unwrap_or_default()
                    });
                }
                location.find(&|file| read.get(&(object, file.to_owned())).map_or(&[], Vec::as_slice));
            }
        }
    }
}

impl LocationDoc {
    /// Looks for the variable in the C files, where they are on this machine. The text of the line is not part of the report: it would
    /// be another one where the files are not.
    fn find<'l>(&mut self, lines: &impl Fn(&str) -> &'l [String]) {
        let Some(variable) = self.variable.take() else { return };
        for file in variable.files {
            if let Some(at) = lines(&file).iter().position(|line| defines(line, &variable.name)) {
                self.line = u32::try_from(at + 1).ok();
                self.file = Some(file);
                return;
            }
        }
    }
}

/// Is this the line of a map's or an ops variable's definition that names it: `} tasks SEC(".maps");`, `SCX_OPS_DEFINE(demo_ops,`,
/// `struct sched_ext_ops demo_ops = {`.
fn defines(line: &str, name: &str) -> bool {
    let line = line.trim();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let comment = ["//", "/*", "*"].iter().any(|start| line.starts_with(start));
    !comment
        && line.match_indices(name).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + name.len()..]);
            let whole = !before.ends_with(is_word) && !after.starts_with(is_word);
            let section = [".maps\"", ".struct_ops"].iter().any(|section| after.contains(section));
            let before = before.trim_end();
            let macro_name = before.strip_suffix('(').unwrap_or_default();
            let ops = macro_name.ends_with("OPS_DEFINE")
                || before.rsplit(' ').next().is_some_and(|ty| ty.starts_with("sched_ext_ops"));
            whole && (after.trim_start().starts_with("SEC(") && section || ops)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_told_from_uses() {
        for (line, name) in [
            ("} tasks SEC(\".maps\");", "tasks"),
            ("struct tasks_map tasks SEC(\".maps\");", "tasks"),
            ("SCX_OPS_DEFINE(demo_ops,", "demo_ops"),
            ("\tSCX_OPS_CID_OPS_DEFINE(demo_ops,", "demo_ops"),
            ("struct sched_ext_ops demo_ops = {", "demo_ops"),
            ("SEC(\".struct_ops.link\") struct sched_ext_ops_cid demo_ops = {", "demo_ops"),
        ] {
            assert!(defines(line, name), "{line}");
        }
        for (line, name) in [
            ("\tbpf_map_lookup_elem(&tasks, &key);", "tasks"),
            ("// } tasks SEC(\".maps\");", "tasks"),
            ("} other_tasks SEC(\".maps\");", "tasks"),
            ("} tasks2 SEC(\".maps\");", "tasks"),
            ("\tdemo_ops.flags |= 1;", "demo_ops"),
        ] {
            assert!(!defines(line, name), "{line}");
        }
    }
}
