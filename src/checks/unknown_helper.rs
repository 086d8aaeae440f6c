//! `unknown-helper`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Op;
use crate::kernel::{Kernel, Lookup, helpers};

rule! {
    /// A call to a helper number that no kernel has.
    ///
    /// ## Why it matters
    /// Helpers are numbered 1 to 211 in every kernel from {releases}; new functions are kfuncs. The verifier refuses other numbers.
    /// ## Fix
    /// Call the function as a kfunc (`__ksym`), or correct the declaration.
    /// ## Sources
    /// kernel `check_helper_call`, `__BPF_FUNC_MAX_ID`.
    pub UNKNOWN_HELPER: "unknown-helper", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    let last = match cx.kernel.map(Kernel::helpers) {
        Some(Lookup::Found(count)) => i32::try_from(count).unwrap_or(i32::MAX) - 1,
        _ => helpers::LAST,
    };
    for (program, function, _) in cx.loaded() {
        let subject = Subject::program(object, program);
        let unknown = |_, op: Op| op.helper().is_some_and(|id| !(1..=last).contains(&id));
        let what = |_: &_| "calls a helper that no kernel has".to_owned();
        let call = cx.walks_any(program, unknown);
        let call = call.or_undecided(out, &UNKNOWN_HELPER, subject.clone(), what);
        let Some(((site, at), op)) = call else { continue };
        let id = op.helper().unwrap_or_default();
        let name = if id == 0 { "unspec" } else { "unknown" };
        let message = format!("program '{}' calls helper #{id}, the last one is #{last}", function.name);
        out.found(&UNKNOWN_HELPER, subject, message)
            .errno(Errno::EINVAL)
            .quote(format!("invalid func {name}#{id}"))
            .help("correct the helper's declaration, or call a kfunc (__ksym)")
            .via(Site::Insn(site, at), program, "this call");
    }
}
