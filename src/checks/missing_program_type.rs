//! `missing-program-type`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::object::ProgramKind;

rule! {
    /// A section name that stands for no program type.
    ///
    /// ## Why it matters
    /// libbpf takes a program's type from its section name and will not load one without a type.
    /// ## Example
    /// ```c
    /// SEC("struct_opsx/enqueue")
    /// ```
    /// ## Fix
    /// Correct the name; put `?` before it for a program that the loader gives its type.
    /// ## Sources
    /// libbpf `section_defs`, `bpf_object_load_prog`.
    pub MISSING_PROGRAM_TYPE: "missing-program-type", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, entry) in cx.loaded() {
        if entry.kind == ProgramKind::UNSPEC {
            let section = &function.section_name;
            let (when, help) = if entry.since > cx.object.libbpf {
                (
                    format!(" before libbpf {}", entry.since),
                    format!(
                        "link libbpf {}, or put '?' before the name where an older one loads",
                        entry.since
                    ),
                )
            } else {
                (String::new(), "correct the section name, e.g. SEC(\"struct_ops/enqueue\")".to_owned())
            };
            let message = format!(
                "section '{section}' of program '{}' stands for no program type{when}",
                function.name
            );
            out.found(&MISSING_PROGRAM_TYPE, Subject::program(cx.object, program), message)
                .errno(Errno::EINVAL)
                .quote(format!(
                    "prog '{}': missing BPF prog type, check ELF section name '{section}'",
                    function.name
                ))
                .help(help)
                .at(Site::Function(program), "this program");
        }
    }
}
