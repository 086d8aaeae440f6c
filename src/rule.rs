//! What a rule is: its name, its page, how loud it is and when it bites.

use crate::kernel::builtin;

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
    /// Its page: Markdown, one leading space on each line. `{releases}` stands for the range of the built-in releases.
    pub doc: &'static str,
}

/// A name belongs to one rule.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Rule {}

impl Rule {
    /// The first sentence of its page, without the full stop.
    pub fn summary(&self) -> &'static str {
        let line = self.doc.lines().next().unwrap_or_default().trim();
        line.strip_suffix('.').unwrap_or(line)
    }

    /// What the page says under a heading.
    pub fn section(&self, heading: &str) -> Option<String> {
        let page = self.page();
        let (_, rest) = page.split_once(&format!("## {heading}\n"))?;
        Some(rest.split("\n## ").next().unwrap_or(rest).trim().to_owned())
    }

    /// The page as Markdown.
    pub fn page(&self) -> String {
        let lines = self.doc.lines().map(|line| line.strip_prefix(' ').unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n").replace("{releases}", &builtin::range())
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
    Kfunc,
    Extern,
    Map,
    CoRe,
    Kernel,
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
            Self::Kfunc => "kfunc",
            Self::Extern => "extern",
            Self::Map => "map",
            Self::CoRe => "CO-RE",
            Self::Kernel => "kernel",
        }
    }
}

/// When the problem would bite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Phase {
    /// `bpf_object__open`: libbpf reads the file.
    #[default]
    Open,
    /// `bpf_object__load`: maps are created, programs verified.
    Load,
    /// Attach: the struct_ops value is updated and linked, the scheduler enabled.
    Attach,
    /// While the scheduler runs: it would be ejected.
    Run,
}

impl Phase {
    /// All phases, in the order in which an object goes through them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Load, Self::Attach, Self::Run];

    /// The word used in JSON and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Load => "load",
            Self::Attach => "attach",
            Self::Run => "run",
        }
    }
}

/// How loud a finding is; the user may change it for every rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Not reported.
    Allow,
    /// Worth knowing; never fails a run.
    Note,
    /// Probably a mistake, though the kernel takes it.
    Warning,
    /// libbpf or the kernel refuses the object, or ejects the scheduler.
    Error,
}

impl Level {
    /// The word used in JSON and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Defines a rule; its doc comment is the rule's page.
macro_rules! rule {
    ($(#[doc = $doc:literal])+ pub $ident:ident: $name:literal, family: $family:ident, level: $level:ident,
     phase: $phase:ident, since: $since:literal;) => {
        $(#[doc = $doc])+
        pub static $ident: $crate::rule::Rule = $crate::rule::Rule {
            name: $name,
            family: $crate::rule::Family::$family,
            level: $crate::rule::Level::$level,
            phase: $crate::rule::Phase::$phase,
            since: $since,
            doc: concat!($($doc, "\n"),+),
        };
    };
}
