//! Where a finding is, as services that show it beside the code want it: a path inside the repository and a line.

use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::location::LocationDoc;
use super::objects::ObjectDoc;
use super::runs::live_rule;
use super::sources::Sources;
use crate::rule::Rule;

/// The repository that paths are given relative to.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Its root folder, absolute.
    pub root: PathBuf,
    /// The folder that relative paths are relative to, absolute.
    pub cwd: PathBuf,
    /// Where the C files are.
    pub sources: Sources,
    /// Address of the page with all rules, each under an anchor of its name; `None` where there is no such page.
    pub rule_pages: Option<String>,
}

/// A place in a file that a service can show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path, with `/`, not encoded; relative to the repository's root if `inside`.
    pub path: String,
    /// The file is inside the repository.
    pub inside: bool,
    /// Line, 1-based; `None` for the file as a whole.
    pub line: Option<u32>,
    /// Column, 1-based.
    pub column: Option<u32>,
    /// What to see there.
    pub label: String,
    /// The program that the place belongs to.
    pub program: Option<String>,
    /// The line's text as the object records it.
    pub text: Option<String>,
}

/// What a path keeps unencoded in a URI (RFC 3986 `pchar` and `/`).
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// Percent-encodes a path.
pub(super) fn encode(path: &str) -> String {
    percent_encode(path.as_bytes(), PATH).to_string()
}

impl Place {
    /// The path as a URI reference: relative, or `file:///...`.
    pub fn uri(&self) -> String {
        if self.inside {
            // A colon in the first segment would read as a scheme; it is encoded anyway.
            encode(&self.path)
        } else {
            format!("file://{}", encode(&self.path))
        }
    }
}

impl Repository {
    /// The places that have a C line, those inside the repository first and of these the most telling; the path of the object
    /// that they are places of where none has.
    pub fn places(&self, object: &ObjectDoc, locations: &[LocationDoc]) -> Vec<Place> {
        let object = &object.path;
        let mut places: Vec<Place> = locations
            .iter()
            .filter_map(|location| {
                let (file, line) = (location.file.as_deref()?, location.line?);
                let (path, inside) = self.source(file, object);
                Some(Place {
                    path,
                    inside,
                    line: Some(line.max(1)),
                    column: location.column,
                    label: location.label.clone(),
                    program: location.program.clone(),
                    text: location.text.clone(),
                })
            })
            .collect();
        // A header of the system is nothing that the repository's readers can change.
        places.sort_by_key(|place| !place.inside);
        if places.is_empty() {
            places.push(self.object(object));
        }
        places
    }

    /// The same for services that show nothing outside of the repository: the object leads where no C line is inside, if it is.
    pub fn places_inside(&self, object: &ObjectDoc, locations: &[LocationDoc]) -> Vec<Place> {
        let mut places = self.places(object, locations);
        let own = self.object(&object.path);
        if own.inside && !places[0].inside {
            places.insert(0, own);
        }
        places
    }

    /// The place of an input as a whole.
    pub fn object(&self, object: &str) -> Place {
        let (path, inside) = self.relative(&self.cwd.join(object));
        Place { path, inside, line: None, column: None, label: String::new(), program: None, text: None }
    }

    /// The address of a rule's page. What a real kernel did has none: it is no rule that can be allowed.
    pub fn rule_page(&self, rule: &Rule) -> Option<String> {
        let page = self.rule_pages.as_ref().filter(|_| live_rule(rule.name).is_none())?;
        Some(format!("{page}#{}", rule.name))
    }

    /// The path of a C file that an object names.
    fn source(&self, file: &str, object: &str) -> (String, bool) {
        let remapped = self.sources.remapped(file);
        let found = self.sources.find(file, object).or_else(|| self.sources.find(&remapped, object));
        self.relative(&self.cwd.join(found.unwrap_or_else(|| PathBuf::from(&remapped))))
    }

    /// A path below the root, or an absolute one.
    fn relative(&self, path: &Path) -> (String, bool) {
        let path = normal(path);
        match path.strip_prefix(normal(&self.root)) {
            Ok(inside) if !inside.as_os_str().is_empty() => (inside.display().to_string(), true),
            _ => (path.display().to_string(), false),
        }
    }
}

/// Resolves `.` and `..` in the text alone: the file may not exist on this machine.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> Repository {
        Repository {
            root: PathBuf::from("/repo"),
            cwd: PathBuf::from("/repo/build"),
            sources: Sources::default(),
            rule_pages: None,
        }
    }

    #[test]
    fn paths_are_relative_to_the_repository_where_they_are_inside() {
        let repository = repository();
        let source = |file: &str| repository.source(file, "out/a.bpf.o");
        assert_eq!(source("../src/a.bpf.c"), ("src/a.bpf.c".to_owned(), true));
        assert_eq!(source("/repo/src/./a.bpf.c"), ("src/a.bpf.c".to_owned(), true));
        assert_eq!(source("a.bpf.c"), ("build/a.bpf.c".to_owned(), true));
        assert_eq!(source("/usr/include/vmlinux.h"), ("/usr/include/vmlinux.h".to_owned(), false));
        assert_eq!(source("../../other/a.bpf.c"), ("/other/a.bpf.c".to_owned(), false));
    }

    #[test]
    fn uris_are_encoded() {
        let repository = repository();
        assert_eq!(repository.object("my sched#1.bpf.o").uri(), "build/my%20sched%231.bpf.o");
        assert_eq!(repository.object("a:b.o").uri(), "build/a%3Ab.o");
        assert_eq!(repository.object("/elsewhere/ü.o").uri(), "file:///elsewhere/%C3%BC.o");
    }
}
