//! What several rules need; no rule is here.

pub(super) mod callees;
pub(super) mod callers;
pub(super) mod constants;
pub(super) mod context_use;
pub(super) mod core_uses;
pub(super) mod kfunc_calls;
pub(super) mod member_arenas;
pub(super) mod ops_values;
pub(super) mod refusal;
pub(super) mod walk;
