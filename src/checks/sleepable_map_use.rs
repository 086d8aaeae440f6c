//! `sleepable-map-use`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::{Lookup, exceptions};

rule! {
    /// A sleepable program uses a map of a type that such programs may not use.
    ///
    /// ## Why it matters
    /// The verifier looks at the maps of a program before it walks the code: in a sleepable one a map of another type than hash, array, ring buffer,
    /// queue, local storage or arena is refused, even if dead code names it. Later kernels take more types.
    /// ## Fix
    /// Use the map from a program that does not sleep, or another type of map.
    /// ## Sources
    /// kernel `check_map_prog_compatibility`.
    pub SLEEPABLE_MAP_USE: "sleepable-map-use", family: Map, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (program, function, _) in cx.loaded().filter(|(_, _, entry)| entry.sleepable) {
        for at in cx.object.maps_of(program) {
            let map = &cx.object[at.map];
            match exceptions::sleepable_map(kernel, map.map_type) {
                Lookup::Found(true) => continue,
                Lookup::Unknown(reason) => {
                    out.undecided(&SLEEPABLE_MAP_USE, Subject::program(cx.object, program), reason).via(
                        Site::Insn(at.function, at.insn),
                        program,
                        format!("uses '{}'", map.name),
                    );
                    continue;
                }
                Lookup::Found(false) | Lookup::Absent => {}
            }
            let type_name = map.map_type.name().unwrap_or("?");
            let message =
                format!("sleepable program '{}' uses map '{}' of type {type_name}", function.name, map.name);
            out.found(&SLEEPABLE_MAP_USE, Subject::program(cx.object, program), message)
                .errno(Errno::EINVAL)
                .quote("Sleepable programs can only use array, hash, ringbuf and local storage maps")
                .help("use the map from a program that does not sleep, or another type of map")
                .via(Site::Insn(at.function, at.insn), program, format!("uses '{}'", map.name));
        }
    }
}
