//! What the user may choose about how an object is judged.

use crate::libbpf::Libbpf;
use crate::load::Loader;
use crate::rule::Level;

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

/// What the user may choose.
///
/// It will grow: start from [`Options::default`] and set what differs.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// Which arena rule.
    pub arena_rule: ArenaRule,
    /// The value of `BPF_F_ARENA_MAP_ALWAYS` where no kernel tells it; `None` for the first free map flag.
    pub arena_flag: Option<u32>,
    /// What user space is taken to do between open and load (`--loader`); `None` for the loader that the object is made for.
    pub loader: Option<Loader>,
    /// The libbpf of the loader (`--libbpf`); whoever opens the object must open it with this one.
    pub libbpf: Libbpf,
    /// Levels by rule name; the last one for a rule counts.
    pub levels: Vec<(String, Level)>,
    /// Say what becomes of each program by itself on each kernel (`programs_on` of JSON).
    pub programs: bool,
}

impl Options {
    /// With another arena rule.
    pub fn arena_rule(mut self, arena_rule: ArenaRule) -> Self {
        self.arena_rule = arena_rule;
        self
    }

    /// With that loader, or with the one that the object is made for.
    pub fn loader(mut self, loader: impl Into<Option<Loader>>) -> Self {
        self.loader = loader.into();
        self
    }

    /// With a loader that links that libbpf.
    pub fn libbpf(mut self, libbpf: Libbpf) -> Self {
        self.libbpf = libbpf;
        self
    }

    /// With what becomes of each program by itself on each kernel.
    pub fn programs(mut self, programs: bool) -> Self {
        self.programs = programs;
        self
    }

    /// With a rule at another level.
    pub fn level(mut self, rule: &str, level: Level) -> Self {
        self.levels.push((rule.to_owned(), level));
        self
    }
}
