//! Of everything that a search finds, each object once, at its best place, and no object that another is linked from.
//!
//! A build leaves the same object in several places (Cargo: the program, `deps/`, a build script's `out/`), and beside it the objects that
//! it was linked from. Both are told by what is in the files.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use super::embedded;
use super::link::Linkage;
use super::load;
use crate::report::{Embedded, PassedDoc, PassedOver};

/// An object in a file.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Number of the file among the inputs.
    pub(super) file: usize,
    /// The user named the file.
    named: bool,
    path: PathBuf,
    /// Where a program holds it.
    pub(super) embedded: Option<Embedded>,
    /// Bytes.
    len: usize,
    /// Of the bytes; equal ones are compared.
    hash: u64,
    linkage: Option<Linkage>,
}

impl Candidate {
    /// The objects of a file. The number and the name of the input come later.
    pub(super) fn all_in(path: &Path, data: &[u8]) -> Vec<Self> {
        let one = |bytes: &[u8], embedded| {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            Self {
                file: 0,
                named: false,
                path: path.to_owned(),
                embedded,
                len: bytes.len(),
                hash: hasher.finish(),
                linkage: Linkage::of(bytes),
            }
        };
        if !embedded::is_host_elf(data) {
            return vec![one(data, None)];
        }
        let objects = embedded::find(data).into_iter();
        objects
            .filter_map(|found| {
                let start = usize::try_from(found.embedded.offset).ok()?;
                Some(one(data.get(start..start.checked_add(found.len)?)?, Some(found.embedded)))
            })
            .collect()
    }

    /// The same as an object of an input.
    pub(super) fn of(self, file: usize, named: bool) -> Self {
        Self { file, named, ..self }
    }

    /// As reports call it.
    fn title(&self) -> String {
        let path = self.path.to_string_lossy();
        self.embedded.as_ref().map_or_else(|| path.to_string(), |embedded| embedded.title(&path))
    }

    /// How good a place it is, the least being the best: what the user named, then what is installed and run, then what lies least deep.
    fn place(&self) -> (bool, bool, usize) {
        (!self.named, self.embedded.is_none(), self.path.components().count())
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        let mut data = load::read(&self.path).ok()?;
        if let Some(embedded) = &self.embedded {
            data.drain(..usize::try_from(embedded.offset).ok()?.min(data.len()));
            data.truncate(self.len);
        }
        Some(data)
    }

    fn is_copy_of(&self, other: &Self) -> bool {
        (self.hash, self.len) == (other.hash, other.len)
            && self.bytes().is_some_and(|bytes| other.bytes().is_some_and(|others| bytes == others))
    }
}

/// The numbers of the candidates that are not to be judged where they are, and what is said of each.
pub(super) fn pass_over(candidates: &[Candidate]) -> (HashSet<usize>, Vec<PassedDoc>) {
    let mut dropped = HashSet::new();
    let mut passed: Vec<(usize, PassedDoc)> = Vec::new();
    // Each content with its places, the best first.
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|&number| candidates[number].place());
    let mut by_hash: HashMap<(u64, usize), Vec<usize>> = HashMap::new();
    let mut copies: Vec<Vec<usize>> = Vec::new();
    for number in order {
        let candidate = &candidates[number];
        let known = by_hash.entry((candidate.hash, candidate.len)).or_default();
        match known.iter().find(|&&group| candidate.is_copy_of(&candidates[copies[group][0]])) {
            Some(&group) => copies[group].push(number),
            None => {
                known.push(copies.len());
                copies.push(vec![number]);
            }
        }
    }
    let wholes = Wholes::of(copies.iter().map(|places| &candidates[places[0]]));
    let is_part: Vec<bool> = (0..copies.len()).map(|group| wholes.of_part(group).next().is_some()).collect();
    for (group, places) in copies.iter().enumerate() {
        let best = &candidates[places[0]];
        let mut whole = wholes.of_part(group);
        // Of an object that is linked in two steps the last one is the one that is loaded.
        let whole = whole.clone().find(|&whole| !is_part[whole]).or_else(|| whole.next());
        // A file that a search finds and the user names too is one file, and nothing is said of it.
        let is_named_too = |path: &Path| {
            places.iter().any(|&number| candidates[number].named && candidates[number].path == path)
        };
        let others = places.iter().filter(|&&number| !candidates[number].named);
        let (why, words) = match whole.filter(|_| best.embedded.is_none()) {
            Some(whole) => {
                (PassedOver::LinkInput, format!("linked into {}", candidates[copies[whole][0]].title()))
            }
            None => (PassedOver::Copy, format!("the same object as {}", best.title())),
        };
        for &number in others.filter(|&&number| why == PassedOver::LinkInput || number != places[0]) {
            dropped.insert(number);
            if !is_named_too(&candidates[number].path) {
                passed.push((number, PassedDoc::new(candidates[number].title(), why, words.clone())));
            }
        }
    }
    passed.sort_by_key(|(number, _)| *number);
    (dropped, passed.into_iter().map(|(_, doc)| doc).collect())
}

/// Which contents are linked from which.
#[derive(Debug)]
struct Wholes<'a> {
    linkages: Vec<Option<&'a Linkage>>,
    /// The contents that define a name.
    by_name: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Wholes<'a> {
    fn of(contents: impl Iterator<Item = &'a Candidate>) -> Self {
        let linkages: Vec<Option<&Linkage>> = contents.map(|content| content.linkage.as_ref()).collect();
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (number, linkage) in linkages.iter().enumerate() {
            for name in linkage.iter().flat_map(|linkage| linkage.defined()) {
                by_name.entry(name).or_default().push(number);
            }
        }
        Self { linkages, by_name }
    }

    /// The contents that one is linked into.
    fn of_part(&self, part: usize) -> impl Iterator<Item = usize> + Clone {
        let linkage = self.linkages[part];
        // Every one of its names is in the whole: the rarest says where to look.
        let owners = linkage.and_then(|linkage| {
            linkage.defined().filter_map(|name| self.by_name.get(name)).min_by_key(|owners| owners.len())
        });
        owners.into_iter().flatten().copied().filter(move |&whole| {
            whole != part
                && linkage
                    .is_some_and(|part| self.linkages[whole].is_some_and(|whole| whole.is_linked_from(part)))
        })
    }
}
