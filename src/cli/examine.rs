//! Inputs to one document, in parallel and in the order of the arguments.

use std::ffi::{OsStr, OsString};

use rayon::prelude::*;

use super::ask::Sample;
use super::progress::Progress;
use crate::checks::{self, Checker, Options};
use crate::finding::Outcome;
use crate::input::{self, Compiler, Part, Target};
use crate::kernel::Kernel;
use crate::object::Object;
use crate::report::Document;
use crate::suppress::{self, Allow};

/// How inputs are linted.
pub(super) struct Plan<'a, F> {
    /// The targets.
    pub(super) kernels: &'a [&'a Kernel<'a>],
    /// How sources are compiled.
    pub(super) compiler: &'a Compiler,
    /// What the configuration allows.
    pub(super) allows: &'a [Allow],
    /// What the user chose for an input.
    pub(super) options: F,
}

/// Lints every object of every input for every kernel. With `keep` the objects are given back.
pub(super) fn examine<F: Fn(&str) -> Options + Sync>(
    arguments: &[OsString],
    plan: &Plan<'_, F>,
    keep: bool,
    progress: Progress,
) -> (Document, Vec<Sample>) {
    let targets = input::expand(arguments);
    progress.start(targets.len());
    let parts: Vec<(Document, Vec<Sample>)> =
        targets.par_iter().map(|target| plan.one(target, keep, &progress)).collect();
    drop(progress);
    let mut document = Document::default();
    let mut samples = Vec::new();
    for kernel in plan.kernels {
        document.add_kernel(kernel);
    }
    for (part, mut kept) in parts {
        kept.iter_mut().for_each(|sample| sample.object += document.objects.len());
        samples.append(&mut kept);
        document.append(part);
    }
    if document.objects.is_empty() {
        document.add_error(
            &arguments.join(OsStr::new(" ")).to_string_lossy(),
            "no-inputs",
            "none of these files is a BPF object".to_owned(),
        );
    }
    (document, samples)
}

impl<F: Fn(&str) -> Options + Sync> Plan<'_, F> {
    /// The document of one input.
    fn one(&self, target: &Target, keep: bool, progress: &Progress) -> (Document, Vec<Sample>) {
        let done = self.examined(target, keep, progress);
        progress.step();
        done
    }

    fn examined(&self, target: &Target, keep: bool, progress: &Progress) -> (Document, Vec<Sample>) {
        let mut document = Document::default();
        let mut samples = Vec::new();
        let path = &target.shown();
        if let Some(error) = &target.error {
            document.add_error(path, &error.code, error.message.clone());
            return (document, samples);
        }
        let loaded = match input::load(&target.path, self.compiler, &|words| progress.say(words)) {
            Ok(loaded) => loaded,
            Err(error) => {
                document.add_error(path, &error.code, error.message);
                return (document, samples);
            }
        };
        let options = (self.options)(path);
        for part in &loaded.parts {
            let Some(bytes) = loaded.bytes.get(part.range.clone()) else { continue };
            match Object::open(bytes, &part.name) {
                // A pattern as wide as `build/*` means the objects among what is there.
                Err(_) if !target.named && !path.ends_with(".o") && part.embedded.is_none() => {}
                Err(error) => document.add_error(path, error.code(), error.to_string()),
                Ok(object) => {
                    let number = document.objects.len();
                    self.lint(&mut document, path, part, &object, &options);
                    if keep {
                        samples.push(Sample {
                            object: number,
                            path: path.clone(),
                            title: document.objects[number].title(),
                            file_name: part.name.clone(),
                            data: bytes.to_vec(),
                        });
                    }
                }
            }
        }
        (document, samples)
    }

    fn lint(&self, document: &mut Document, path: &str, part: &Part, object: &Object<'_>, options: &Options) {
        let checker = Checker::new(object);
        let on = |index: usize| (Some(index), checker.check(Some(self.kernels[index]), options));
        let mut outcomes: Vec<(Option<usize>, Outcome)> =
            (0..self.kernels.len()).into_par_iter().map(on).collect();
        if outcomes.is_empty() {
            outcomes.push((None, checker.check(None, options)));
        }
        let mut all: Vec<&mut Outcome> = outcomes.iter_mut().map(|(_, outcome)| outcome).collect();
        let suppressed = suppress::apply(object, path, self.allows, &mut all);
        document.add(path, object, checks::loader_name(object, options), &outcomes);
        document.add_suppressed(suppressed);
        if let Some(last) = document.objects.last_mut() {
            last.embedded.clone_from(&part.embedded);
        }
    }
}
