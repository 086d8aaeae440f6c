//! `unreachable-instruction`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::flow::Fault;
use crate::object::InsnIdx;

rule! {
    /// Code that no path of control comes to.
    ///
    /// ## Why it matters
    /// The verifier refuses instructions that no branch leads to. A branch that is never taken is fine.
    /// ## Fix
    /// Remove the code; look at inline assembly, and at functions that never return.
    /// ## Sources
    /// kernel `check_cfg`.
    pub UNREACHABLE_INSTRUCTION: "unreachable-instruction", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, _) in cx.loaded() {
        let mut start = 0;
        let mut found = None;
        for (index, function) in object.code_of(program) {
            match cx.verifier.fault(index) {
                Some(Fault::Unreachable(at)) if found.is_none() => found = Some((index, at, start + at)),
                Some(Fault::Unreachable(_)) | None => {}
                // The flow itself is broken; that is another rule's.
                Some(_) => {
                    found = None;
                    break;
                }
            }
            start += function.code.len();
        }
        let Some((site, at, linked)) = found else { continue };
        let message = format!("instruction {at} of '{}' is never reached", object[site].name);
        out.found(&UNREACHABLE_INSTRUCTION, Subject::program(object, program), message)
            .errno(Errno::EINVAL)
            .quote(format!("unreachable insn {linked}"))
            .help("remove the code")
            .via(Site::Insn(site, InsnIdx(at)), program, format!("in program '{}'", function.name));
    }
}
