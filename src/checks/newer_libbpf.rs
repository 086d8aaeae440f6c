//! `newer-libbpf`.

use super::context::Context;
use crate::finding::{Outcome, Site, Subject};
use crate::libbpf::Libbpf;
use crate::object::MapOrigin;

rule! {
    /// Needs a newer libbpf than many loaders link.
    ///
    /// ## Why it matters
    /// libbpf 1.7, which libbpf-rs 0.27 and scx's Rust schedulers link, does not know the section names `tp.s`, `tracepoint.s`, `raw_tp.s`,
    /// `raw_tracepoint.s`, `tp_btf.s`, `fentry.multi`, `fexit.multi` and `fsession.multi`: a program there has no type and the object does not load.
    /// It skips `.percpu` sections too, so that an object with code that uses one does not open. `--libbpf 1.7` judges the object so.
    /// ## Example
    /// ```c
    /// SEC("tp_btf.s/sys_enter") int BPF_PROG(demo, struct pt_regs *regs, long id) { return 0; }
    /// ```
    /// ## Fix
    /// Link libbpf 1.8, or do without: the program not sleepable, the variable in a map of type `BPF_MAP_TYPE_PERCPU_ARRAY`.
    /// ## Sources
    /// libbpf `section_defs`, `bpf_object__elf_collect` (1.7 and 1.8).
    pub NEWER_LIBBPF: "newer-libbpf", family: Program, level: Note, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, entry) in cx.loaded() {
        if entry.since > Libbpf::V1_7 && entry.since <= object.libbpf {
            let message = format!(
                "section '{}' of program '{}' needs libbpf {}: to an older one it stands for no program type",
                function.section_name, function.name, entry.since
            );
            out.found(&NEWER_LIBBPF, Subject::program(object, program), message)
                .help(format!("link libbpf {} in the loader", entry.since))
                .at(Site::Function(program), "this program");
        }
    }
    for index in object.maps_from(MapOrigin::Percpu) {
        let message = format!("section '{}' needs libbpf 1.8: an older one skips it", object[index].name);
        out.found(&NEWER_LIBBPF, Subject::map(object, index), message).help("link libbpf 1.8 in the loader");
    }
}
