//! What the user may choose about how an object is judged.

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
///
/// It will grow: start from [`Options::default`] and set what differs.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// Which arena rule.
    pub arena_rule: ArenaRule,
    /// The value of `BPF_F_ARENA_MAP_ALWAYS` where no kernel tells it; `None` for the first free map flag.
    pub arena_flag: Option<u32>,
    /// Which loader.
    pub loader: Loader,
    /// Levels by rule name; the last one for a rule counts.
    pub levels: Vec<(String, Level)>,
}

impl Options {
    /// With another arena rule.
    pub fn arena_rule(mut self, arena_rule: ArenaRule) -> Self {
        self.arena_rule = arena_rule;
        self
    }

    /// With another loader.
    pub fn loader(mut self, loader: Loader) -> Self {
        self.loader = loader;
        self
    }

    /// With a rule at another level.
    pub fn level(mut self, rule: &str, level: Level) -> Self {
        self.levels.push((rule.to_owned(), level));
        self
    }
}
