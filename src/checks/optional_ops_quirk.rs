//! `optional-ops-quirk`.

use super::context::Context;
use crate::finding::{Outcome, Site, Subject};

rule! {
    /// A section `?.struct_ops` holds several ops variables, of which only the first is optional.
    ///
    /// ## Why it matters
    /// libbpf leaves out the first variable of such a section and creates all that follow, so their programs load too.
    /// ## Fix
    /// Keep one ops variable per optional section, or switch the others off in the loader (`bpf_map__set_autocreate`).
    /// ## Sources
    /// libbpf `init_struct_ops_maps` (1.6 to 1.8).
    pub OPTIONAL_OPS_QUIRK: "optional-ops-quirk", family: StructOps, level: Warning, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, ops) in cx.object.ops().filter(|(_, ops)| ops.optional_section) {
        let map = &cx.object[ops.map];
        if map.autocreate {
            let message = format!(
                "ops variable '{}' is created although its section starts with '?': libbpf leaves out the first variable only",
                map.name
            );
            out.found(&OPTIONAL_OPS_QUIRK, Subject::struct_ops(cx.object, index), message)
                .help("keep one ops variable per optional section, or switch it off in the loader")
                .at(Site::StructOps(index), "not the first of its section");
        }
    }
}
