//! The rules: pure functions of an object and the options, one file each.
//!
//! Without a kernel a rule reports an error only where every kernel from 6.12 to 7.3 that has the
//! struct_ops type would refuse the object.

use crate::finding::{Level, Outcome, Phase};
use crate::object::Object;

/// A rule; its documentation is the comment at its definition.
#[derive(Debug)]
pub struct Rule {
    /// The name by which it is allowed, denied and explained.
    pub name: &'static str,
    /// The family it belongs to.
    pub family: Family,
    /// Level unless the user says otherwise.
    pub level: Level,
    /// When it bites.
    pub phase: Phase,
    /// The version of scx-lint that brought it.
    pub since: &'static str,
    /// Its page: Markdown, one leading space on each line.
    pub doc: &'static str,
}

impl Rule {
    /// The first sentence of its page, without the full stop.
    pub fn summary(&self) -> &'static str {
        let line = self.doc.lines().next().unwrap_or_default().trim();
        line.strip_suffix('.').unwrap_or(line)
    }

    /// The page as Markdown.
    pub fn page(&self) -> String {
        self.doc.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    }
}

/// Families of rules, as the list of rules groups them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Family {
    Object,
    Arena,
    StructOps,
    OpsValues,
    Program,
    Map,
}

impl Family {
    /// The word used in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Arena => "arena",
            Self::StructOps => "struct_ops",
            Self::OpsValues => "ops values",
            Self::Program => "program",
            Self::Map => "map",
        }
    }
}

/// Defines a rule; its doc comment is the rule's page.
macro_rules! rule {
    ($(#[doc = $doc:literal])+ pub $ident:ident: $name:literal, family: $family:ident, level: $level:ident,
     phase: $phase:ident, since: $since:literal;) => {
        $(#[doc = $doc])+
        pub static $ident: $crate::checks::Rule = $crate::checks::Rule {
            name: $name,
            family: $crate::checks::Family::$family,
            level: $crate::finding::Level::$level,
            phase: $crate::finding::Phase::$phase,
            since: $since,
            doc: concat!($($doc, "\n"),+),
        };
    };
}

/// Which arena rule applies (`--arena-rule`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArenaRule {
    /// What the kernel enforces; without a kernel the strict form.
    #[default]
    Auto,
    /// Exactly one arena, created with `BPF_F_ARENA_MAP_ALWAYS`.
    Always,
    /// Exactly one arena, as kernels 7.2 and 7.3 have it.
    One,
}

/// What user space is taken to do between open and load (`--loader`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loader {
    /// `Scx` where the object has `__SCX_*` variables, else `Plain`.
    #[default]
    Auto,
    /// Nothing.
    Plain,
    /// What `SCX_OPS_OPEN` and `scx_ops_open!` do.
    Scx,
}

/// What the user may choose.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Which arena rule.
    pub arena_rule: ArenaRule,
    /// Which loader.
    pub loader: Loader,
    /// Levels by rule name; the last one for a rule counts.
    pub levels: Vec<(String, Level)>,
}

/// What a check looks at.
#[derive(Debug)]
pub struct Context<'a, 'd> {
    /// The object.
    pub object: &'a Object<'d>,
    /// What the user chose.
    pub options: &'a Options,
    /// User space may change values, sizes and what is loaded: the loader is scx's.
    pub edited: bool,
}

type Check = fn(&Context<'_, '_>, &mut Outcome);

/// All rules with their checks. A check that serves several rules stands with the first of them.
macro_rules! registry {
    ($($module:ident: $($rule:ident),+;)+) => {
        $(mod $module;)+

        /// All rules, by family.
        pub static RULES: &[&Rule] = &[$($(&$module::$rule),+),+];

        const CHECKS: &[Check] = &[$($module::check),+];
    };
}

registry! {
    refusals: MISSING_BTF, MALFORMED_BTF, LEGACY_MAPS, REFUSED_SYMBOL, INVALID_RELOCATION, UNRESOLVED_EXTERN,
        SEVERAL_ARENAS_IN_OBJECT, ARENA_GLOBALS_WITHOUT_ARENA, ARENA_GLOBALS_TOO_LARGE, INVALID_STRUCT_OPS_MEMBER;
    map_definition: INVALID_MAP_DEFINITION;
    arena_rule: MULTIPLE_ARENAS, MISSING_ARENA, ARENA_NOT_ALWAYS_MAPPED;
}

/// The rule of that name.
pub fn find(name: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.name == name)
}

/// Runs every check over an object.
pub fn check(object: &Object<'_>, options: &Options) -> Outcome {
    let cx = Context { object, options, edited: is_edited(object, options) };
    let mut outcome = Outcome::default();
    for check in CHECKS {
        check(&cx, &mut outcome);
    }
    let level = |rule: &Rule| {
        options.levels.iter().rev().find(|(name, _)| name == rule.name).map(|(_, level)| *level)
    };
    for finding in &mut outcome.findings {
        finding.level = level(finding.rule).unwrap_or(finding.level);
    }
    outcome.findings.retain(|finding| finding.level != Level::Allow);
    outcome.undecided.retain(|undecided| level(undecided.rule) != Some(Level::Allow));
    outcome.findings.sort_by_key(|finding| (std::cmp::Reverse(finding.level), finding.phase));
    outcome
}

/// Has the loader of scx a hand in the object: `__SCX_*` constants mark the objects that its headers made.
fn is_edited(object: &Object<'_>, options: &Options) -> bool {
    match options.loader {
        Loader::Plain => false,
        Loader::Scx => true,
        Loader::Auto => object.elf.symbols.iter().any(|symbol| {
            symbol.kind == crate::elf::SymbolKind::Object
                && symbol.name.as_deref().is_some_and(|name| name.starts_with("__SCX_"))
        }),
    }
}
