//! `invalid-address-space-cast`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Op;

rule! {
    /// A cast between address spaces other than 0 and 1.
    ///
    /// ## Why it matters
    /// The verifier knows the casts 1 to 0 and 0 to 1 only.
    /// ## Fix
    /// Use address space 1 (`__arena`) for arena pointers.
    /// ## Sources
    /// kernel `check_alu_op` (up to 7.0, verified instructions), `check_alu_fields` (from 7.1, all instructions).
    pub INVALID_ADDRESS_SPACE_CAST: "invalid-address-space-cast", family: Arena, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, _) in object.programs().filter(|(_, _, entry)| entry.autoload) {
        let subject = Subject::program(object, program);
        let wrong = |_, op: Op| match op {
            Op::AddrSpaceCast { spaces, .. } => !matches!(spaces, 1 | 0x1_0000),
            _ => false,
        };
        let what = |_: &_| "casts between unknown address spaces".to_owned();
        let cast = cx.walks_any(program, wrong);
        let cast = cast.or_undecided(out, &INVALID_ADDRESS_SPACE_CAST, subject.clone(), what);
        let Some(((site, insn), _)) = cast else { continue };
        let message = format!("program '{}' casts between unknown address spaces", function.name);
        out.found(&INVALID_ADDRESS_SPACE_CAST, subject, message)
            .errno(Errno::EINVAL)
            .quote("addr_space_cast insn can only convert between address space 1 and 0")
            .help("use address space 1 for arena pointers")
            .via(Site::Insn(site, insn), program, "the cast");
    }
}
