//! Inputs to one document, in parallel and in the order of the arguments.

use rayon::prelude::*;

use crate::checks::{self, Options};
use crate::input::{self, Compiler, Part, Target};
use crate::kernel::Kernel;
use crate::object::Object;
use crate::report::Document;

/// Lints every object of every input for every kernel, or for none.
pub(super) fn examine(
    arguments: &[String],
    kernels: &[Kernel<'_>],
    compiler: &Compiler,
    options: &(impl Fn(&str) -> Options + Sync),
) -> Document {
    let targets = input::expand(arguments);
    let parts: Vec<Document> =
        targets.par_iter().map(|target| one(target, kernels, compiler, options)).collect();
    let mut document = Document::default();
    for kernel in kernels {
        document.add_kernel(kernel);
    }
    for part in parts {
        document.append(part);
    }
    if document.objects.is_empty() {
        document.add_error(
            &arguments.join(" "),
            "no-inputs",
            "none of these files is a BPF object".to_owned(),
        );
    }
    document
}

/// The document of one input.
fn one(
    target: &Target,
    kernels: &[Kernel<'_>],
    compiler: &Compiler,
    options: &impl Fn(&str) -> Options,
) -> Document {
    let mut document = Document::default();
    let path = &target.path;
    if let Some(error) = &target.error {
        document.add_error(path, &error.code, error.message.clone());
        return document;
    }
    let loaded = match input::load(path, compiler) {
        Ok(loaded) => loaded,
        Err(error) => {
            document.add_error(path, &error.code, error.message);
            return document;
        }
    };
    let options = options(path);
    for part in &loaded.parts {
        let Some(bytes) = loaded.bytes.get(part.range.clone()) else { continue };
        match Object::open(bytes, &part.name) {
            // A pattern as wide as `build/*` means the objects among what is there.
            Err(_) if !target.named && !path.ends_with(".o") && part.embedded.is_none() => {}
            Err(error) => document.add_error(path, error.code(), error.to_string()),
            Ok(object) => lint(&mut document, path, part, &object, kernels, &options),
        }
    }
    document
}

fn lint(
    document: &mut Document,
    path: &str,
    part: &Part,
    object: &Object<'_>,
    kernels: &[Kernel<'_>],
    options: &Options,
) {
    let mut outcomes: Vec<_> = kernels
        .par_iter()
        .enumerate()
        .map(|(index, kernel)| (Some(index), checks::check_on(object, Some(kernel), options)))
        .collect();
    if kernels.is_empty() {
        outcomes.push((None, checks::check(object, options)));
    }
    document.add(path, object, checks::loader_name(object, options), &outcomes);
    if let Some(last) = document.objects.last_mut() {
        last.embedded.clone_from(&part.embedded);
    }
}
