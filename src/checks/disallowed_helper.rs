//! `disallowed-helper`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Insn;
use crate::kernel::exceptions;
use crate::object::FuncIdx;

rule! {
    /// A callback calls a helper that struct_ops programs of sched_ext may not call.
    ///
    /// ## Why it matters
    /// sched_ext offers the helpers of `bpf_base_func_proto` and task storage. Others, for instance `bpf_perf_event_output` or
    /// `bpf_d_path`, are refused by the verifier where it comes to the call, and so is `bpf_copy_from_user`, which may sleep, in a program
    /// that may not (`SEC("struct_ops.s/...")` programs may).
    /// ## Fix
    /// Use a kfunc or a ring buffer, or move the call into a tracing program.
    /// ## Sources
    /// kernel `bpf_scx_get_func_proto` (6.12), `bpf_base_func_proto` (6.16 to 7.3).
    pub DISALLOWED_HELPER: "disallowed-helper", family: Program, level: Error, phase: Load, since: "0.1.0";
}

/// What some built-in release allows: `bpf_base_func_proto` of 6.17, which holds all that 6.12 has.
const ALLOWED: [i32; 74] = [
    1, 2, 3, 5, 6, 7, 8, 12, 14, 15, 16, 17, 22, 35, 37, 42, 55, 80, 87, 88, 89, 93, 94, 105, 106, 109, 112,
    113, 114, 115, 117, 118, 120, 123, 125, 130, 131, 132, 133, 134, 141, 148, 149, 153, 154, 156, 157, 158,
    164, 165, 169, 170, 171, 172, 175, 176, 177, 180, 181, 182, 191, 194, 195, 197, 198, 199, 200, 201, 202,
    203, 208, 209, 210, 211,
];

/// Those that may sleep: `bpf_copy_from_user`, `bpf_copy_from_user_task`.
pub(super) const SLEEPING: [i32; 2] = [148, 191];

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, entry) in object.programs() {
        let is_callback =
            object.schedulers().any(|(_, ops)| ops.callbacks().any(|(_, used)| used == program));
        if !is_callback || !entry.autoload {
            continue;
        }
        let subject = Subject::program(object, program);
        let offered = |id| {
            ALLOWED.contains(&id) && cx.kernel.is_none_or(|kernel| exceptions::offers_helper(kernel, id))
        };
        let sleeps = |id| SLEEPING.contains(&id) && !entry.sleepable;
        let works = |code| kfunc_calls::may_sleep_as_work(object, program, code);
        let refused = |code: FuncIdx, insn: Insn| {
            let id = insn.helper().filter(|id| (1..=211).contains(id));
            id.is_some_and(|id| !offered(id) || sleeps(id) && !works(code))
        };
        let what = |_: &_| "calls a helper that sched_ext does not offer".to_owned();
        let call = cx.walks_any(program, refused);
        let call = call.or_undecided(out, &DISALLOWED_HELPER, subject.clone(), what);
        let Some(((site, at), insn)) = call else { continue };
        let id = insn.imm;
        let why = if sleeps(id) && offered(id) {
            "which may sleep, and the program may not"
        } else {
            "which sched_ext does not offer"
        };
        let message = format!("program '{}' calls helper #{id}, {why}", function.name);
        let name = cx.kernel.and_then(|kernel| kernel.helper_name(id));
        let helper = name.map_or_else(String::new, |name| format!(" {name}#{id}"));
        out.found(&DISALLOWED_HELPER, subject, message)
            .errno(Errno::EINVAL)
            .quote(if sleeps(id) && offered(id) {
                // Older kernels do not name it, and say "a non-sleepable prog".
                "non-sleepable prog".to_owned()
            } else {
                format!("program of this type cannot use helper{helper}")
            })
            .help("use a kfunc or a ring buffer, or move the call into a tracing program")
            .via(Site::Insn(site, at), program, "this call");
    }
}
