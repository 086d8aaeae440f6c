//! From an object to a report on it: the checks for each kernel, then what the user allows.
//!
//! The library, the command line and live mode all come here.

#[cfg(feature = "cli")]
use rayon::prelude::*;

use crate::checks::{Checker, Options};
use crate::finding::Outcome;
use crate::kernel::Kernel;
use crate::object::Object;
use crate::report::Document;
use crate::suppress::{self, Allow};

/// Lints an object for kernels, or without one where none is named. `path` stands for the object in the report.
pub fn lint(
    path: &str,
    object: &Object<'_>,
    kernels: &[&Kernel<'_>],
    allows: &[Allow],
    options: &Options,
) -> Document {
    Judged::new(path, object, kernels, options).report(allows)
}

/// An object with what the checks say of it on each kernel.
#[derive(Debug)]
pub struct Judged<'a, 'd> {
    path: &'a str,
    object: &'a Object<'d>,
    kernels: &'a [&'a Kernel<'a>],
    /// One for each kernel; one for none where none is named.
    outcomes: Vec<(Option<usize>, Outcome)>,
}

impl<'a, 'd> Judged<'a, 'd> {
    /// Runs the checks.
    pub fn new(
        path: &'a str,
        object: &'a Object<'d>,
        kernels: &'a [&'a Kernel<'a>],
        options: &Options,
    ) -> Self {
        let checker = Checker::new(object);
        let on = |number: usize| (Some(number), checker.check(Some(kernels[number]), options));
        let outcomes = match kernels.len() {
            0 => vec![(None, checker.check(None, options))],
            count => for_each(count, on),
        };
        Self { path, object, kernels, outcomes }
    }

    /// What is foreseen on each kernel, or for none, whatever the user allows: what a real kernel's doings are held against.
    pub fn foreseen(&self) -> Vec<Document> {
        let on = |(number, outcome): &(Option<usize>, Outcome)| {
            let kernel = number.and_then(|number| self.kernels.get(number)).copied();
            let mut document = Document::for_kernels(kernel.as_slice());
            document.add(self.path, self.object, &[(number.map(|_| 0), outcome.clone())]);
            document
        };
        self.outcomes.iter().map(on).collect()
    }

    /// The report, without what is allowed.
    pub fn report(mut self, allows: &[Allow]) -> Document {
        let mut outcomes: Vec<&mut Outcome> = self.outcomes.iter_mut().map(|(_, outcome)| outcome).collect();
        let suppressed = suppress::apply(self.object, self.path, allows, &mut outcomes);
        let mut document = Document::for_kernels(self.kernels);
        document.add(self.path, self.object, &self.outcomes);
        document.add_suppressed(suppressed.findings, suppressed.unmatched);
        document
    }
}

/// What becomes of each number below `count`, in order.
#[cfg(feature = "cli")]
fn for_each<T: Send>(count: usize, job: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    (0..count).into_par_iter().map(job).collect()
}

/// What becomes of each number below `count`, in order.
#[cfg(not(feature = "cli"))]
fn for_each<T>(count: usize, job: impl Fn(usize) -> T) -> Vec<T> {
    (0..count).map(job).collect()
}
