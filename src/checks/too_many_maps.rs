//! `too-many-maps`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::object::Referent;

rule! {
    /// A program that uses more than 64 maps.
    ///
    /// ## Why it matters
    /// The verifier lists the maps that a program and the functions appended to it name, dead code included; 64 are the most. Each of the data
    /// sections counts as one map, and so does each jump table.
    /// ## Fix
    /// Share maps: keep what lies in many small maps in one, or put variables into one data section.
    /// ## Sources
    /// kernel `__add_used_map` (`MAX_USED_MAPS`).
    pub TOO_MANY_MAPS: "too-many-maps", family: Program, level: Error, phase: Load, since: "0.1.0";
}

const LIMIT: usize = 64;

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, _) in cx.loaded() {
        let uses = object.maps_of(program);
        // libbpf makes one map for each start of a table.
        let tables = object.refs_of(program).filter_map(|(_, reference)| match reference.target {
            Referent::JumpTable { offset, .. } => Some(offset),
            _ => None,
        });
        let tables = tables.collect::<std::collections::HashSet<_>>().len();
        let count = uses.len() + tables;
        if count <= LIMIT {
            continue;
        }
        let message = format!("program '{}' uses {count} maps, the verifier takes {LIMIT}", function.name);
        let finding = out
            .found(&TOO_MANY_MAPS, Subject::program(object, program), message)
            .errno(Errno::E2BIG)
            .quote(format!("The total number of maps per program has reached the limit of {LIMIT}"))
            .help("keep what lies in many small maps in one");
        if let Some(at) = uses.get(LIMIT) {
            finding.via(Site::Insn(at.function, at.insn), program, "the first map too many");
        }
    }
}
