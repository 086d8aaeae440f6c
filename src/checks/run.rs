//! Runs every check over an object.

use std::cmp::Reverse;

use super::alone;
use super::context::Context;
use super::options::Options;
use super::refused_by_verifier;
use super::registry::REGISTRY;
use super::target_fault;
use crate::finding::{Outcome, ProgramFate, Subject, SubjectKind};
use crate::kernel::Kernel;
use crate::load::{Knowledge, Load, Loader, Values};
use crate::object::{FuncIdx, Object};
use crate::rule::{Family, Level, Rule};
use crate::verifier::bpf_check::Verification;
use crate::verifier::{Kept, Verifier};

/// Runs every check over an object, with no kernel in view.
pub fn check(object: &Object<'_>, options: &Options) -> Outcome {
    check_on(object, None, options)
}

/// Runs every check over an object, for one kernel or none. For several kernels a [`Checker`] saves work.
pub fn check_on(object: &Object<'_>, kernel: Option<&Kernel<'_>>, options: &Options) -> Outcome {
    Checker::new(object).check(kernel, options, &Values::default())
}

/// An object, with what the checks find out about it once and for all kernels.
#[derive(Debug)]
pub struct Checker<'a, 'd> {
    object: &'a Object<'d>,
    kept: Kept,
}

impl<'a, 'd> Checker<'a, 'd> {
    /// Nothing is found out yet.
    pub fn new(object: &'a Object<'d>) -> Self {
        Self { object, kept: Kept::new(object) }
    }

    /// The object.
    pub(super) fn object(&self) -> &'a Object<'d> {
        self.object
    }

    /// Runs every check once. What the verifier makes of some programs may be known.
    pub(super) fn pass(
        &self,
        kernel: Option<&Kernel<'_>>,
        options: &Options,
        values: &Values,
        known: &[(FuncIdx, Verification)],
    ) -> Outcome {
        let mut outcome = self.judge(kernel, options, values, known);
        if target_fault::is_in(&outcome)
            && let Some(healed) = kernel.and_then(Kernel::healed)
        {
            target_fault::explain(&mut outcome, self.judge(Some(&healed), options, values, &[]));
        }
        finish(outcome, options)
    }

    /// What the rules say, at their own levels.
    fn judge(
        &self,
        kernel: Option<&Kernel<'_>>,
        options: &Options,
        values: &Values,
        known: &[(FuncIdx, Verification)],
    ) -> Outcome {
        let Prepared { load, knowledge } = self.prepare(kernel, options, values);
        let verifier = self.verifier(&load, &knowledge).knowing(known);
        #[cfg(feature = "cli")]
        verifier.walk_all(
            self.object.programs().map(|(program, ..)| program).filter(|&program| load.autoload(program)),
        );
        let cx = Context::new(&load, options, &verifier);
        Outcome { loader: load.loader, ..run(&cx) }
    }

    /// What becomes of each program by itself: the rules are asked about every one, whether it loads with the object or not, and
    /// what user levels, a hopeless object or a fault of the kernel would keep back counts.
    pub(super) fn programs(
        &self,
        kernel: &Kernel<'_>,
        options: &Options,
        values: &Values,
        known: &[(FuncIdx, Verification)],
    ) -> Vec<ProgramFate> {
        let Prepared { load, .. } = self.prepare(Some(kernel), options, values);
        let programs: Vec<FuncIdx> = self.object.programs().map(|(program, ..)| program).collect();
        let loaded: Vec<FuncIdx> =
            programs.iter().copied().filter(|&program| load.is_wanted(program)).collect();
        let loads = |program: FuncIdx| loaded.contains(&program);
        let load = load.with_all_programs();
        let knowledge = load.knowledge();
        let verifier = self.verifier(&load, &knowledge).knowing(known);
        #[cfg(feature = "cli")]
        verifier.walk_all(programs.iter().copied());
        let cx = Context::new(&load, options, &verifier);
        let said = run_all(&cx);
        let fates = alone::fates(&cx, &said, &programs, loads);
        let rows = programs.iter().zip(fates);
        rows.map(|(&program, fate)| ProgramFate { program, autoload: loads(program), fate }).collect()
    }

    /// Follows the load.
    pub(super) fn prepare<'k>(
        &self,
        kernel: Option<&'k Kernel<'k>>,
        options: &Options,
        values: &Values,
    ) -> Prepared<'k, 'd>
    where
        'a: 'k,
    {
        let loader = options.loader.unwrap_or_else(|| Loader::of(self.object));
        let load = Load::with_values(self.object, kernel, loader, values.clone());
        let knowledge = load.knowledge();
        Prepared { load, knowledge }
    }

    /// What the verifier makes of a load.
    pub(super) fn verifier<'k>(
        &'k self,
        load: &'k Load<'k, 'd>,
        knowledge: &'k Knowledge,
    ) -> Verifier<'k, 'd> {
        Verifier::new(load, knowledge, &self.kept)
    }
}

/// A load, and what the verifier will know.
pub(super) struct Prepared<'k, 'd> {
    pub(super) load: Load<'k, 'd>,
    pub(super) knowledge: Knowledge,
}

fn run(cx: &Context<'_, '_>) -> Outcome {
    let object = cx.object;
    // A kernel that lacks the type of every scheduler in the object is told so: which of its functions and fields the
    // programs would miss besides does not matter to anyone.
    let hopeless = object.schedulers().next().is_some() && cx.schedulers().next().is_none();
    run_those(cx, |rule| !(hopeless && matches!(rule.family, Family::Kfunc | Family::Extern | Family::CoRe)))
}

fn run_all(cx: &Context<'_, '_>) -> Outcome {
    run_those(cx, |_| true)
}

fn run_those(cx: &Context<'_, '_>, wanted: impl Fn(&Rule) -> bool) -> Outcome {
    let mut outcome = Outcome::default();
    for (rule, check) in REGISTRY {
        if wanted(rule) {
            check(cx, &mut outcome);
        }
    }
    refused_by_verifier::tell_rest(cx, &mut outcome);
    place(cx.object, &mut outcome);
    outcome
}

/// What a rule says no place of is shown where it is defined, an extern where it is used first.
fn place(object: &Object<'_>, outcome: &mut Outcome) {
    let label = |subject: &Subject| match subject.kind {
        SubjectKind::Extern => "referred to here".to_owned(),
        kind => format!("this {}", kind.noun()),
    };
    for open in outcome.undecided.iter_mut().filter(|open| open.locations.is_empty()) {
        if let Some(site) = open.subject.site(object) {
            let label = label(&open.subject);
            open.at(site, label);
        }
    }
    let externs = outcome.findings.iter_mut().filter(|found| found.subject.kind == SubjectKind::Extern);
    for found in externs.filter(|found| found.locations.is_empty()) {
        if let Some(site) = found.subject.site(object) {
            let label = label(&found.subject);
            found.at(site, label);
        }
    }
}

/// The levels that the user chose, and the order of reports.
fn finish(mut outcome: Outcome, options: &Options) -> Outcome {
    let level = |rule: &Rule| {
        options.levels.iter().rev().find(|(name, _)| name == rule.name).map(|(_, level)| *level)
    };
    for finding in &mut outcome.findings {
        finding.refuses = finding.level == Level::Error;
        finding.level = level(finding.rule).unwrap_or(finding.level);
    }
    outcome.findings.retain(|finding| finding.level != Level::Allow);
    outcome.undecided.retain(|undecided| level(undecided.rule) != Some(Level::Allow));
    outcome.findings.sort_by_key(|finding| (Reverse(finding.level), finding.phase));
    outcome
}
