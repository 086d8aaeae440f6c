//! Which arenas the member programs of a cid-form scheduler use: what the kernel's `bpf_scx_reg_cid` collects.

use super::super::context::Context;
use crate::finding::{Finding, Site};
use crate::object::{Form, FuncIdx, MapIdx, MapType, MapUse, OpsIdx};

/// A cid-form scheduler and its arenas.
pub(in crate::checks) struct MemberArenas<'a> {
    /// The ops variable.
    pub(in crate::checks) ops: OpsIdx,
    /// Its name.
    pub(in crate::checks) name: &'a str,
    /// Member, program, and where it uses an arena.
    uses: Vec<(&'a str, FuncIdx, MapUse)>,
    /// The distinct arenas, in order of first use.
    pub(in crate::checks) arenas: Vec<MapIdx>,
}

/// Every cid-form scheduler that libbpf creates.
pub(in crate::checks) fn of<'a>(cx: &Context<'a, '_>) -> impl Iterator<Item = MemberArenas<'a>> {
    let object = cx.object;
    cx.schedulers().filter(|(_, ops)| ops.form() == Form::Cid).map(move |(ops, value)| {
        let mut found =
            MemberArenas { ops, name: &object[value.map].name, uses: Vec::new(), arenas: Vec::new() };
        for (member, program) in cx.load.callbacks(ops) {
            for &at in object.maps_of(program) {
                if object[at.map].map_type == MapType::ARENA {
                    found.uses.push((member, program, at));
                    if !found.arenas.contains(&at.map) {
                        found.arenas.push(at.map);
                    }
                }
            }
        }
        found
    })
}

impl MemberArenas<'_> {
    /// Shows every member program and the line that makes it use its arena.
    pub(in crate::checks) fn show(&self, finding: &mut Finding, cx: &Context<'_, '_>) {
        for (member, program, at) in &self.uses {
            let (program_name, arena) = (&cx.object[*program].name, &cx.object[at.map].name);
            let label = format!("member '{member}' ({program_name}) uses arena '{arena}'");
            finding.via(Site::Insn(at.function, at.insn), *program, label);
        }
    }
}
