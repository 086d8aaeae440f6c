//! From an object to a report on it: the checks for each kernel, then what the user allows.
//!
//! The library, the command line and live mode all come here.

#[cfg(feature = "cli")]
use rayon::prelude::*;

use crate::checks::{Checker, Options};
use crate::finding::Outcome;
use crate::kernel::Kernel;
use crate::load::Values;
use crate::object::Object;
use crate::report::Document;
use crate::suppress::{self, Allow};

/// Lints an object for kernels, or without one where none is named. `path` stands for the object in the report, and
/// `values` are what user space is said to set.
pub fn lint(
    path: &str,
    object: &Object<'_>,
    kernels: &[&Kernel<'_>],
    values: &Values,
    allows: &[Allow],
    options: &Options,
) -> Document {
    let mut document = Judged::new(path, object, kernels, values, options).report(allows);
    document.conclude();
    document
}

/// An object with what the checks say of it on each kernel.
#[derive(Debug)]
pub struct Judged<'a, 'd> {
    path: &'a str,
    object: &'a Object<'d>,
    kernels: &'a [&'a Kernel<'a>],
    /// What user space is said to set.
    values: Vec<String>,
    /// One for each kernel; one for none where none is named.
    outcomes: Vec<(Option<usize>, Outcome)>,
}

impl<'a, 'd> Judged<'a, 'd> {
    /// Runs the checks.
    pub fn new(
        path: &'a str,
        object: &'a Object<'d>,
        kernels: &'a [&'a Kernel<'a>],
        values: &Values,
        options: &Options,
    ) -> Self {
        let checker = Checker::new(object);
        let on = |number: usize| (Some(number), checker.check(Some(kernels[number]), options, values));
        let outcomes = match kernels.len() {
            0 => vec![(None, checker.check(None, options, values))],
            count => for_each(count, on),
        };
        let values = values.settings.iter().map(|setting| setting.assignment.to_string()).collect();
        Self { path, object, kernels, values, outcomes }
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
        document.assumptions.libbpf = self.object.libbpf.as_str();
        document.add(self.path, self.object, &self.outcomes);
        document.objects[0].values = self.values;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Answer;
    use crate::suppress::AppliesTo;

    fn fixture(name: &str) -> Vec<u8> {
        let path = format!("{}/fixtures/obj/clang-19/{name}.bpf.o", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap()
    }

    #[test]
    fn what_is_allowed_is_foreseen_all_the_same() {
        let data = fixture("missing-arena__no_arena");
        let object = Object::open(&data, "sched.bpf.o").unwrap();
        let targets = crate::kernel::target::load("6.18,7.3").unwrap();
        let kernels: Vec<Kernel<'_>> = targets.iter().map(|target| Kernel::new(target).unwrap()).collect();
        let kernels: Vec<&Kernel<'_>> = kernels.iter().collect();
        let everywhere = AppliesTo::Config { object: None, program: None, map: None };
        let allow = Allow::new("missing-arena".to_owned(), "a test".to_owned(), everywhere);
        let judged = Judged::new("sched.bpf.o", &object, &kernels, &Values::default(), &Options::default());
        let foreseen = judged.foreseen();
        let report = judged.report(&[allow]);

        let names: Vec<&str> = report.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        assert_eq!(names, ["6.18", "7.3"]);
        assert!(report.findings.iter().all(|finding| finding.rule.name != "missing-arena"));
        assert_eq!(report.suppressed[0].rule.name, "missing-arena");
        assert_eq!(report.verdicts[1].attach, Answer::Pass);

        assert_eq!(foreseen.len(), 2);
        let on = &foreseen[1];
        assert_eq!((on.kernels[0].name.as_str(), on.verdicts[0].attach), ("7.3", Answer::Fail));
        let found = on.findings.iter().find(|finding| finding.rule.name == "missing-arena").unwrap();
        assert_eq!(found.kernels, [0]);
    }

    #[test]
    fn without_a_kernel_there_is_one_answer() {
        let data = fixture("missing-arena__no_arena");
        let object = Object::open(&data, "sched.bpf.o").unwrap();
        let report = lint("sched.bpf.o", &object, &[], &Values::default(), &[], &Options::default());
        assert_eq!((report.kernels.len(), report.verdicts.len()), (0, 1));
        assert_eq!(report.verdicts[0].kernel, None);
        let judged = Judged::new("sched.bpf.o", &object, &[], &Values::default(), &Options::default());
        assert_eq!(judged.foreseen().len(), 1);
    }
}
