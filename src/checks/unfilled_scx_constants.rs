//! `unfilled-scx-constants`.

use super::context::Context;
use crate::elf::SymbolKind;
use crate::finding::{Outcome, Subject};

rule! {
    /// Constants that scx's user space fills in are zero, and the loader is said to fill in nothing.
    ///
    /// ## Why it matters
    /// scx's headers read kernel constants such as `SCX_DSQ_LOCAL` and `SCX_SLICE_DFL` from variables named `__SCX_*`, which `SCX_OPS_OPEN` and
    /// `scx_ops_open!` set before the load. Loaded as it is, the scheduler uses 0 in their place: it attaches, and is ejected for what it then does.
    /// ## Fix
    /// Load it with scx's user space. `--loader scx`, the default for such objects, models that.
    /// ## Sources
    /// scx `enum_defs.autogen.h`, `SCX_ENUM_INIT`; libbpf loads `.rodata` as the file has it.
    pub UNFILLED_SCX_CONSTANTS: "unfilled-scx-constants", family: Object, level: Warning, phase: Run, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    if cx.load.is_edited() || cx.schedulers().next().is_none() {
        return;
    }
    let object = cx.object;
    let constants = object.elf.symbols.iter().filter(|symbol| symbol.kind == SymbolKind::Object);
    let names: Vec<&str> = constants
        .filter_map(|symbol| symbol.name.as_deref())
        .filter(|name| name.starts_with("__SCX_"))
        .collect();
    let Some(first) = names.first() else { return };
    let subject = Subject::object(object);
    let message = match names.len() {
        1 => format!("{first} is 0 in the file, and the loader is said to fill in nothing"),
        more => format!(
            "{first} and {} more constants are 0 in the file, and the loader is said to fill in nothing",
            more - 1
        ),
    };
    out.found(&UNFILLED_SCX_CONSTANTS, subject.clone(), message)
        .help("load it with scx's user space (--loader scx models that)");
    if cx.kernel.is_some() {
        out.undecided(
            &UNFILLED_SCX_CONSTANTS,
            subject,
            "runs with 0 in the place of kernel constants, and what it then does is not foreseen",
        );
    }
}
