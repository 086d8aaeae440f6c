//! `deprecated-kfunc`.

use super::context::Context;
use crate::finding::{Outcome, Subject};
use crate::kernel::kfuncs::{Gone, Successor, row_of};
use crate::load::ExternFate;
use crate::object::{ExternIdx, ExternKind, Object};

rule! {
    /// Refers to a kfunc that later kernels do not have.
    ///
    /// ## Why it matters
    /// A strong extern keeps the whole object from loading there.
    /// ## Fix
    /// Use the successor where the kernel has it (`bpf_ksym_exists()`), and declare the old one weak. Do without one that has none.
    /// ## Sources
    /// The kfuncs of 6.12, 6.16, 6.17, 7.2 and 7.3: the old dispatch names went away after 6.16, `scx_bpf_cpu_rq` after 7.2.
    pub DEPRECATED_KFUNC: "deprecated-kfunc", family: Kfunc, level: Note, phase: Load, since: "0.1.0";
}

fn use_instead(successor: &str) -> String {
    format!("use {successor} where the kernel has it, and declare this one weak")
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (number, external) in cx.object.externs.iter().enumerate() {
        let index = ExternIdx(number);
        // A weak one is prepared for the day; a missing one has a finding of its own.
        let here = cx.kernel.is_none() || matches!(cx.load.external(index), ExternFate::Kfunc(_));
        if external.kind != ExternKind::Kfunc || external.weak || !here {
            continue;
        }
        let row = row_of(Object::essential_name(external.name));
        let Some(Gone { last, successor }) = row.and_then(|row| row.gone) else { continue };
        let help = match successor {
            Some(Successor::Renamed(name, _)) => use_instead(name),
            Some(Successor::Others(names, _)) => use_instead(&names.join(" or ")),
            None => "declare it weak, and do without it where it is not there (bpf_ksym_exists())".to_owned(),
        };
        let message = format!("kfunc '{}' is in no kernel after {last}", external.name);
        out.found(&DEPRECATED_KFUNC, Subject::external(external.name), message).help(help);
    }
}
