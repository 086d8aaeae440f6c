//! `several-arenas-in-program`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::object::{MapType, MapUse};

rule! {
    /// One program uses two arenas.
    ///
    /// ## Why it matters
    /// The verifier ties a program to one arena: EBUSY when it meets the second.
    /// ## Fix
    /// Use one arena in a program and all functions that it calls.
    /// ## Sources
    /// kernel `check_map_prog_compatibility`.
    pub SEVERAL_ARENAS_IN_PROGRAM: "several-arenas-in-program", family: Arena, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, _) in cx.loaded() {
        let is_arena = |used: &MapUse| object[used.map].map_type == MapType::ARENA;
        let arenas: Vec<MapUse> = object.maps_of(program).iter().copied().filter(is_arena).collect();
        if arenas.len() < 2 {
            continue;
        }
        let message =
            format!("program '{}' uses {} arenas, the verifier takes one", function.name, arenas.len());
        let finding = out
            .found(&SEVERAL_ARENAS_IN_PROGRAM, Subject::program(object, program), message)
            .errno(Errno::EBUSY)
            .quote("Only one arena per program")
            .help("use one arena in a program and all functions that it calls");
        for used in arenas {
            let label = format!("uses arena '{}'", object[used.map].name);
            finding.via(Site::Insn(used.function, used.insn), program, label);
        }
    }
}
