//! `invalid-address-space-cast`.

use super::context::Context;
use super::shared::insn_fields;
use super::shared::surely::Surely;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Op;
use crate::object::InsnIdx;

rule! {
    /// A cast between address spaces other than 0 and 1.
    ///
    /// ## Why it matters
    /// The verifier knows the casts 1 to 0 and 0 to 1 only. It refuses others where it comes to them, and since 7.1 everywhere.
    /// ## Fix
    /// Use address space 1 (`__arena`) for arena pointers.
    /// ## Sources
    /// kernel `check_alu_op` (up to 7.0, verified instructions), `check_alu_fields` (from 7.1, all instructions).
    pub INVALID_ADDRESS_SPACE_CAST: "invalid-address-space-cast", family: Arena, level: Error, phase: Load, since: "0.1.0";
}

fn is_wrong(op: Op) -> bool {
    matches!(op, Op::AddrSpaceCast { spaces, .. } if !matches!(spaces, 1 | 0x1_0000))
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, _) in cx.loaded() {
        let subject = Subject::program(object, program);
        let casts = object.code_of(program).flat_map(|(index, code)| {
            let wrong = code.ops().iter().enumerate().filter(|(_, op)| is_wrong(**op));
            wrong.map(move |(at, _)| (index, InsnIdx(at)))
        });
        let (site, insn) = match insn_fields::looks_at(cx, program, casts.map(|at| (at, at))) {
            Surely::Sure(at) => at,
            Surely::Open(_, branch, (function, insn)) => {
                let what = branch.before("casts between unknown address spaces");
                out.undecided(&INVALID_ADDRESS_SPACE_CAST, subject, insn_fields::open(&what)).via(
                    Site::Insn(function, insn),
                    program,
                    "this cast",
                );
                continue;
            }
            Surely::No => continue,
        };
        let message = format!("program '{}' casts between unknown address spaces", function.name);
        out.found(&INVALID_ADDRESS_SPACE_CAST, subject, message)
            .errno(Errno::EINVAL)
            .quote("addr_space_cast insn can only convert between address space 1 and 0")
            .help("use address space 1 for arena pointers")
            .via(Site::Insn(site, insn), program, "the cast");
    }
}
