//! The C files that objects name, on this machine.

use std::path::{Path, PathBuf};

/// Largest C file that is read, bytes; a `vmlinux.h` has 5 MB.
const MOST: u64 = 32 << 20;

/// Where the C files are.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Folders to look under.
    pub roots: Vec<PathBuf>,
    /// Path prefixes to replace.
    pub remap: Vec<(String, String)>,
    /// Address of the page with all rules, for a terminal that can follow links.
    pub rule_pages: Option<String>,
}

impl Sources {
    /// The path to show for a recorded one.
    pub(super) fn remapped(&self, file: &str) -> String {
        let rule = self
            .remap
            .iter()
            .find_map(|(from, to)| Some(format!("{to}{}", file.strip_prefix(from.as_str())?)));
        rule.unwrap_or_else(|| file.to_owned())
    }

    /// A source file, at the first place that has it: as it stands, beside the object, under the roots.
    pub(super) fn find(&self, file: &str, object: &str) -> Option<PathBuf> {
        let path = Path::new(file);
        let beside = Path::new(object).parent().map(|folder| folder.join(path));
        let name = path.file_name().map(Path::new);
        let under = self.roots.iter().flat_map(|root| {
            let relative = path.strip_prefix("/").unwrap_or(path);
            [Some(root.join(relative)), name.map(|name| root.join(name))].into_iter().flatten()
        });
        std::iter::once(path.to_owned()).chain(beside).chain(under).find(|place| place.is_file())
    }

    /// The lines of a source file.
    pub(super) fn lines(&self, file: &str, object: &str) -> Option<Vec<String>> {
        let text = crate::regular::read(&self.find(file, object)?, MOST).ok()?;
        Some(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remapping_replaces_the_start_of_a_path() {
        let sources = Sources {
            roots: Vec::new(),
            remap: vec![("/build/".into(), "src/".into())],
            ..Sources::default()
        };
        assert_eq!(sources.remapped("/build/a.bpf.c"), "src/a.bpf.c");
        assert_eq!(sources.remapped("b.bpf.c"), "b.bpf.c");
    }
}
