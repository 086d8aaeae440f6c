//! `program-in-several-members`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::load::scx_loader;
use crate::object::OpsIdx;

rule! {
    /// One program is the callback of two different members, or of two ops types.
    ///
    /// ## Why it matters
    /// A struct_ops program is verified as one member of one type. libbpf refuses the second use. The same member of several ops variables of
    /// one type is fine.
    /// ## Fix
    /// Write one small program per member and share a subprogram.
    /// ## Sources
    /// libbpf `bpf_map__init_kern_struct_ops`.
    pub PROGRAM_IN_SEVERAL_MEMBERS: "program-in-several-members", family: StructOps, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    let created = || object.ops().filter(|(_, ops)| object[ops.map].autocreate);
    for (program, function, _) in object.programs() {
        let mut uses: Vec<(OpsIdx, &str)> = Vec::new();
        for (index, ops) in created() {
            let members = ops.callbacks().filter(|(_, used)| *used == program);
            uses.extend(members.map(|(member, _)| (index, member)));
        }
        let Some(&(first, member)) = uses.first() else { continue };
        let differs = |&(index, other): &(OpsIdx, &str)| {
            other != member || object[index].type_name != object[first].type_name
        };
        let Some(&(index, other)) = uses.iter().find(|used| differs(used)) else { continue };
        let subject = Subject::program(object, program);
        if cx.load.is_edited() && (scx_loader::clears(member) || scx_loader::clears(other)) {
            out.undecided(
                &PROGRAM_IN_SEVERAL_MEMBERS,
                subject,
                format!("is callback '{member}' and '{other}', one of which the loader may clear"),
            );
            continue;
        }
        let place = |index: OpsIdx, member: &str| format!("'{}.{member}'", object[object[index].map].name);
        let message = format!(
            "program '{}' is the callback of {} and of {}",
            function.name,
            place(first, member),
            place(index, other)
        );
        out.found(&PROGRAM_IN_SEVERAL_MEMBERS, subject, message)
            .errno(Errno::EINVAL)
            .quote(format!(
                "struct_ops init_kern {} func ptr {other}: invalid reuse of prog {} in sec {} with type 27",
                object[object[index].map].name, function.name, function.section_name
            ))
            .help("write one program per member and let them call a common function")
            .at(Site::Function(program), "this program");
    }
}
