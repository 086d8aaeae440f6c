//! What programs do and the kernel refuses by its configuration, or may: what is sure, and one question about all the rest.

use super::super::context::Context;
use super::surely::{Branch, Surely};
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::{Lookup, Reason};
use crate::object::{FuncIdx, Object};
use crate::rule::Rule;
use crate::verifier::At;

/// What a program does, in words that go on after its name.
pub(in crate::checks) struct Deed {
    /// On a kernel that refuses it: `uses a timer, which a kernel for real time refuses`.
    pub(in crate::checks) refused: &'static str,
    /// On one of which that is not known: `calls a helper that came with tracing (CONFIG_BPF_EVENTS)`.
    pub(in crate::checks) unknown: &'static str,
}

/// The programs that surely do it on a kernel that is known to refuse it, each with the place that `look` gives. Of the others one
/// question stays, which names them: nobody knows the kernel, or a branch lies before the place.
pub(in crate::checks) fn surely<T>(
    cx: &Context<'_, '_>,
    out: &mut Outcome,
    rule: &'static Rule,
    refuses: &Lookup<()>,
    deed: &Deed,
    look: impl Fn(FuncIdx) -> Surely<(At, T)>,
) -> Vec<(FuncIdx, At, T)> {
    let mut sure = Vec::new();
    let mut open = Vec::new();
    if *refuses == Lookup::Absent {
        return sure;
    }
    let is_known = *refuses == Lookup::Found(());
    for (program, ..) in cx.loaded() {
        match look(program) {
            Surely::Sure((at, what)) if is_known => sure.push((program, at, what)),
            Surely::Sure((at, _)) | Surely::Open((at, _), ..) => open.push((program, at)),
            Surely::No => {}
        }
    }
    let Some((&(first, _), others)) = open.split_first() else { return sure };
    let others = so_do(cx.object, others.iter().map(|(program, _)| *program));
    let reason = match refuses {
        Lookup::Unknown(reason) => reason.within(|why| format!("{}{others}; {why}", deed.unknown)),
        _ => Reason::from(Branch::OfVerifier.before(deed.refused) + &others),
    };
    let question = out.undecided(rule, Subject::program(cx.object, first), reason);
    for &(program, (function, insn)) in &open {
        question.via(Site::Insn(function, insn), program, "this call");
    }
    sure
}

/// `, and so does 'b'`: one cause is told once, about the first program, with the others.
pub(in crate::checks) fn so_do(object: &Object<'_>, others: impl IntoIterator<Item = FuncIdx>) -> String {
    let others: Vec<String> = others.into_iter().map(|other| format!("'{}'", object[other].name)).collect();
    match &*others {
        [] => String::new(),
        [other] => format!(", and so does {other}"),
        others => format!(", and so do {}", others.join(", ")),
    }
}
