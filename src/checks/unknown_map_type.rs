//! `unknown-map-type`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Lookup;
use crate::kernel::map_types::MAP_TYPES;

rule! {
    /// A map of a type that the kernel does not know.
    ///
    /// ## Why it matters
    /// libbpf creates every declared map before it loads a program, used or not.
    /// ## Fix
    /// Let the loader switch the map off where the kernel lacks its type (`bpf_map__set_autocreate`), or require a later kernel.
    /// ## Sources
    /// kernel `map_create`; `enum bpf_map_type`.
    pub UNKNOWN_MAP_TYPE: "unknown-map-type", family: Map, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let newest = MAP_TYPES.len() as u64;
    for declared in cx.declared_maps() {
        let (subject, ty) = (Subject::map(cx.object, declared.index), declared.map.map_type);
        let known = match cx.kernel.map(crate::kernel::Kernel::map_types) {
            None => newest,
            Some(Lookup::Found(types)) => types,
            Some(Lookup::Absent) => continue,
            Some(Lookup::Unknown(reason)) => {
                if u64::from(ty.0) >= newest {
                    out.undecided(&UNKNOWN_MAP_TYPE, subject, reason);
                }
                continue;
            }
        };
        if u64::from(ty.0) < known {
            continue;
        }
        let name = ty.to_string();
        let message = format!("{} is of type {name}, which the kernel does not know", declared.words());
        if cx.load.is_edited() {
            out.undecided(&UNKNOWN_MAP_TYPE, subject, format!("{message}, and the loader may leave it out"));
            continue;
        }
        out.found(&UNKNOWN_MAP_TYPE, subject, message)
            .errno(Errno::EINVAL)
            .quote(declared.failure(Errno::EINVAL))
            .help("let the loader switch the map off where the kernel lacks its type")
            .at(Site::Map(declared.index), format!("type {}", ty.0));
    }
}
