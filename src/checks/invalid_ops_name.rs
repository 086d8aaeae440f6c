//! `invalid-ops-name`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};

rule! {
    /// The scheduler's name is empty, too long or holds a character that the kernel does not take.
    ///
    /// ## Why it matters
    /// The kernel takes 1 to 127 characters out of letters, digits, `_` and `.`, with a NUL after them; else EINVAL, without a word. A `-` is refused.
    /// ## Example
    /// ```c
    /// .name = "my-scheduler"
    /// ```
    /// ## Fix
    /// `.name = "my_scheduler"`
    /// ## Sources
    /// kernel `bpf_scx_init_member`, `bpf_obj_name_cpy`.
    pub INVALID_OPS_NAME: "invalid-ops-name", family: OpsValues, level: Error, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, _) in cx.schedulers() {
        let Some((name, ends)) = cx.ops_name(index) else {
            out.undecided(
                &INVALID_OPS_NAME,
                Subject::member(cx.object, index, "name"),
                "the name is empty, which the loader may set before load",
            )
            .decided_by_member(cx.object, index, "name");
            continue;
        };
        let bad = name.iter().find(|&&b| !(b.is_ascii_alphanumeric() || b == b'_' || b == b'.'));
        let problem = match (name, bad) {
            ([], _) => "is empty".to_owned(),
            (_, Some(&b)) => format!("holds '{}'", char::from(b).escape_default()),
            _ if !ends => format!("fills all {} bytes, without a NUL", name.len()),
            _ => continue,
        };
        let shown = String::from_utf8_lossy(&name[..name.len().min(40)]);
        let message = format!("ops name \"{}\" {problem}", shown.escape_debug());
        out.found(&INVALID_OPS_NAME, Subject::member(cx.object, index, "name"), message)
            .errno(Errno::EINVAL)
            .help("use 1 to 127 letters, digits, '_' and '.'")
            .at(Site::StructOps(index), "in this ops variable");
    }
}
