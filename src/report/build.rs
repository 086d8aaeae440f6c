//! From what the checks say to a document.

use std::cmp::Reverse;

use super::describe::describe;
use super::document::{ConfigDoc, Document, KernelDoc};
use super::findings::{FindingDoc, SuppressedDoc, UndecidedDoc, UnmatchedDoc};
use super::objects::{InputError, ObjectDoc};
use super::programs_on::ProgramOn;
use super::verdict::verdict;
use crate::finding::Outcome;
use crate::kernel::{Kernel, builtin};
use crate::load::Loader;
use crate::object::Object;
use crate::rule::Level;

impl Document {
    /// A document without objects, for these kernels; their places are what outcomes are given for.
    pub fn for_kernels(kernels: &[&Kernel<'_>]) -> Self {
        let mut document = Self::default();
        for kernel in kernels {
            document.add_kernel(kernel);
        }
        document
    }

    /// Adds an input that could not be read.
    pub fn add_error(&mut self, path: &str, code: &str, message: String) {
        self.summary.objects += 1;
        self.objects.push(ObjectDoc {
            path: path.to_owned(),
            embedded: None,
            name: String::new(),
            license: String::new(),
            byte_order: None,
            loader: Loader::Plain,
            values: Vec::new(),
            error: Some(InputError { code: code.to_owned(), message }),
            sentence: String::new(),
            struct_ops: Vec::new(),
            programs: Vec::new(),
            maps: Vec::new(),
        });
    }

    /// Adds a target; its index is what outcomes are given for.
    pub fn add_kernel(&mut self, kernel: &Kernel<'_>) -> usize {
        self.kernels.push(KernelDoc {
            name: kernel.name.to_owned(),
            release: kernel.release.map(str::to_owned),
            source: kernel.source,
            arena_rule: kernel.arena_rule(),
            arch: kernel.arch().found().map(|arch| kernel.arch_name(arch)),
            page_size: kernel.page_size().found(),
            config: ConfigDoc {
                origin: kernel.config.origin(),
                assumed: kernel
                    .config
                    .assumed()
                    .map(|release| builtin::config::options_of(release).collect()),
            },
            foreign: kernel.foreign_words(),
        });
        self.summary.kernels += 1;
        self.kernels.len() - 1
    }

    /// Adds an object and what the checks said about it for each target; `None` stands for no target.
    ///
    /// Findings and open questions that are equal but for the kernel become one.
    pub fn add(&mut self, path: &str, object: &Object<'_>, outcomes: &[(Option<usize>, Outcome)]) {
        let number = self.objects.len();
        // The loader depends on the object and on what the user says of it, not on the kernel.
        let loader = outcomes.first().map_or(Loader::of(object), |(_, outcome)| outcome.loader);
        self.summary.objects += 1;
        self.objects.push(describe(path, object, loader));
        let (mut findings, mut undecided): (Vec<FindingDoc>, Vec<UndecidedDoc>) = (Vec::new(), Vec::new());
        for (kernel, outcome) in outcomes {
            let doc = &self.objects[number];
            self.verdicts.push(verdict(doc, number, *kernel, None, outcome));
            if object.struct_ops.len() > 1 {
                for (_, ops) in object.ops() {
                    self.verdicts.push(verdict(doc, number, *kernel, Some(&object[ops.map].name), outcome));
                }
            }
            if let Some(kernel) = *kernel {
                let rows = outcome.programs.iter();
                self.programs_on.extend(rows.map(|of| ProgramOn::of(number, kernel, object, of)));
            }
            for finding in &outcome.findings {
                let doc = FindingDoc::of(number, object, finding);
                match findings.iter_mut().find(|known| known.is_same(&doc)) {
                    Some(known) => known.kernels.extend(*kernel),
                    None => findings.push(FindingDoc { kernels: kernel.iter().copied().collect(), ..doc }),
                }
            }
            for open in &outcome.undecided {
                let doc = UndecidedDoc::of(number, object, open);
                match undecided.iter_mut().find(|known| known.is_same(&doc)) {
                    Some(known) => known.kernels.extend(*kernel),
                    None => undecided.push(UndecidedDoc { kernels: kernel.iter().copied().collect(), ..doc }),
                }
            }
        }
        // The order of one outcome: errors first, early phases first.
        findings.sort_by_key(|finding| (Reverse(finding.level), finding.phase));
        for finding in &findings {
            match finding.level {
                Level::Error => self.summary.errors += 1,
                Level::Warning => self.summary.warnings += 1,
                Level::Note | Level::Allow => self.summary.notes += 1,
            }
        }
        self.summary.undecided += undecided.len();
        self.findings.extend(findings);
        self.undecided.extend(undecided);
    }

    /// Adds the objects of another document, linted with the same kernels.
    pub fn append(&mut self, mut other: Self) {
        let first = self.objects.len();
        other.verdicts.iter_mut().for_each(|verdict| verdict.object += first);
        other.programs_on.iter_mut().for_each(|row| row.object += first);
        other.findings.iter_mut().for_each(|finding| finding.object += first);
        other.undecided.iter_mut().for_each(|undecided| undecided.object += first);
        other.suppressed.iter_mut().for_each(|suppressed| suppressed.object += first);
        other.unmatched_allows.iter_mut().for_each(|allow| allow.object = allow.object.map(|n| n + first));
        self.objects.append(&mut other.objects);
        self.verdicts.append(&mut other.verdicts);
        self.programs_on.append(&mut other.programs_on);
        self.findings.append(&mut other.findings);
        self.undecided.append(&mut other.undecided);
        self.suppressed.append(&mut other.suppressed);
        self.unmatched_allows.append(&mut other.unmatched_allows);
        self.passed_over.append(&mut other.passed_over);
        self.summary.objects += other.summary.objects;
        self.summary.errors += other.summary.errors;
        self.summary.warnings += other.summary.warnings;
        self.summary.notes += other.summary.notes;
        self.summary.undecided += other.summary.undecided;
        self.summary.allowed += other.summary.allowed;
    }

    /// Adds what the user's allows did to the object added last.
    pub fn add_suppressed(&mut self, suppressed: Vec<SuppressedDoc>, unmatched: Vec<UnmatchedDoc>) {
        let number = self.objects.len().saturating_sub(1);
        self.summary.allowed += suppressed.len();
        let of = |finding| SuppressedDoc { object: number, ..finding };
        self.suppressed.extend(suppressed.into_iter().map(of));
        let at = |allow| UnmatchedDoc { object: Some(number), ..allow };
        self.unmatched_allows.extend(unmatched.into_iter().map(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Phase;

    #[test]
    fn errors_come_first_and_early_phases_before_late_ones() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/obj/clang-19/missing-arena__no_arena.bpf.o");
        let data = std::fs::read(path).unwrap();
        let object = Object::open(&data, "sched.bpf.o").unwrap();
        let rule = crate::checks::find("missing-arena").unwrap();
        let subject = crate::finding::Subject::object(&object);
        let mut outcome = Outcome::default();
        for (level, phase) in [
            (Level::Note, Phase::Open),
            (Level::Warning, Phase::Run),
            (Level::Error, Phase::Run),
            (Level::Error, Phase::Load),
            (Level::Warning, Phase::Open),
        ] {
            let words = format!("{} {}", level.as_str(), phase.as_str());
            outcome.found(rule, subject.clone(), words).level(level).phase(phase);
        }
        let mut document = Document::default();
        let outcomes = [(Some(0), outcome.clone()), (Some(1), outcome)];
        document.add("sched.bpf.o", &object, &outcomes);
        let order: Vec<&str> = document.findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(order, ["error load", "error run", "warning open", "warning run", "note open"]);
        assert!(document.findings.iter().all(|finding| finding.kernels == [0, 1]));
        let summary = &document.summary;
        assert_eq!((summary.errors, summary.warnings, summary.notes), (2, 2, 1));
    }
}
