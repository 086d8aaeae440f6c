//! Inputs to one document, in parallel and in the order of the arguments.

use std::ffi::{OsStr, OsString};

use rayon::prelude::*;

use super::ask::Sample;
use super::progress::Progress;
use super::values::Settings;
use crate::checks::Options;
use crate::input::{self, Compiler, Expanded, InputFile, Part};
use crate::kernel::Kernel;
use crate::lint::Judged;
use crate::object::Object;
use crate::report::{Document, PassedDoc, PassedOver};
use crate::suppress::Allow;

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
    /// What user space is said to set.
    pub(super) settings: &'a Settings,
}

/// Lints every object of every input for every kernel. With `keep` the objects are given back.
pub(super) fn examine<F: Fn(&str) -> Options + Sync>(
    arguments: &[OsString],
    plan: &Plan<'_, F>,
    keep: bool,
    progress: Progress,
) -> (Document, Vec<Sample>) {
    let Expanded { files: targets, passed } = input::expand(arguments, plan.compiler.folders);
    progress.start(targets.len());
    let parts: Vec<(Document, Vec<Sample>)> =
        targets.par_iter().map(|target| plan.one(target, keep, &progress)).collect();
    drop(progress);
    let mut document = Document::for_kernels(plan.kernels);
    document.passed_over = passed;
    let mut samples = Vec::new();
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
    fn one(&self, target: &InputFile, keep: bool, progress: &Progress) -> (Document, Vec<Sample>) {
        let done = self.examined(target, keep, progress);
        progress.step();
        done
    }

    fn examined(&self, target: &InputFile, keep: bool, progress: &Progress) -> (Document, Vec<Sample>) {
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
        for words in &loaded.dropped {
            document.passed_over.push(PassedDoc::new(path, PassedOver::Flags, words));
        }
        let here = |part: &&Part| {
            let offset = part.embedded.as_ref().map_or(0, |embedded| embedded.offset);
            target.only.as_ref().is_none_or(|only| only.contains(&offset))
        };
        for part in loaded.parts.iter().filter(here) {
            let Some(bytes) = loaded.bytes.get(part.range.clone()) else { continue };
            match Object::open_with(bytes, &part.name, options.libbpf) {
                // A pattern as wide as `build/*` means the objects among what is there.
                Err(_) if !target.named && !path.ends_with(".o") && part.embedded.is_none() => {}
                Err(error) => document.add_error(path, error.code(), error.to_string()),
                Ok(object) => {
                    let number = document.objects.len();
                    let values = match self.settings.of(path, &object, self.kernels) {
                        Ok(values) => values,
                        Err(why) => {
                            document.add_error(path, "value", why);
                            continue;
                        }
                    };
                    let judged = Judged::new(path, &object, self.kernels, &values, &options);
                    let foreseen = if keep { judged.foreseen() } else { Vec::new() };
                    document.append(judged.report(self.allows));
                    document.objects[number].embedded.clone_from(&part.embedded);
                    if keep {
                        samples.push(Sample {
                            object: number,
                            file_name: part.name.clone(),
                            data: bytes.to_vec(),
                            values,
                            foreseen,
                        });
                    }
                }
            }
        }
        (document, samples)
    }
}
