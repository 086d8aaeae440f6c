//! `unsupported-percpu-data`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::exceptions::Fact;
use crate::kernel::{Kernel, Lookup};
use crate::object::MapOrigin;

rule! {
    /// A program uses a variable of a `.percpu` section on a kernel that cannot give its address.
    ///
    /// ## Why it matters
    /// libbpf 1.8 makes a per-CPU array of the section. Where the kernel takes no address in such a map, as before 7.3, it leaves the map out, and the
    /// verifier refuses every program that refers to it, whether the code is reached or not.
    /// ## Example
    /// ```c
    /// u64 counter SEC(".percpu");
    /// ```
    /// ## Fix
    /// Declare a map of type `BPF_MAP_TYPE_PERCPU_ARRAY` and look the element up.
    /// ## Sources
    /// libbpf `bpf_object__create_maps`, `probe_kern_percpu_data` (1.8); kernel `percpu_array_map_direct_value_addr` (7.3); guests of 6.12, 6.18, 7.1 to 7.3.
    pub UNSUPPORTED_PERCPU_DATA: "unsupported-percpu-data", family: Map, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let supports = match cx.kernel.map(|kernel: &Kernel<'_>| kernel.knows(Fact::PercpuData)) {
        // Without a kernel: some do.
        None | Some(Lookup::Found(())) => return,
        Some(other) => other,
    };
    for (program, function, _) in cx.loaded() {
        let mut uses = cx.object.maps_of(program).iter();
        let Some(used) = uses.find(|used| cx.object[used.map].origin == MapOrigin::Percpu) else { continue };
        let (subject, section) = (Subject::program(cx.object, program), &cx.object[used.map].name);
        let does = format!("uses data of section '{section}', whose address the kernel cannot give");
        match &supports {
            Lookup::Unknown(reason) => {
                let reason = reason.within(|why| format!("uses data of section '{section}', and {why}"));
                out.undecided(&UNSUPPORTED_PERCPU_DATA, subject, reason);
            }
            _ if cx.load.is_edited() && !is_ops(cx, program) => {
                let reason = format!("{does}; the loader may leave it out");
                out.undecided(&UNSUPPORTED_PERCPU_DATA, subject, reason);
            }
            _ => {
                let message = format!("program '{}' {does}", function.name);
                out.found(&UNSUPPORTED_PERCPU_DATA, subject, message)
                    .errno(Errno::EINVAL)
                    .quote("is not pointing to valid bpf_map")
                    .help("declare a map of type BPF_MAP_TYPE_PERCPU_ARRAY and look the element up")
                    .via(Site::Insn(used.function, used.insn), program, "used here");
            }
        }
    }
}

/// Is a program a callback, which loads with its ops variable.
fn is_ops(cx: &Context<'_, '_>, program: crate::object::FuncIdx) -> bool {
    !cx.callbacks_of(program).is_empty()
}
