//! `disallowed-helper`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Op;
use crate::kernel::exceptions;
use crate::kernel::helpers::{self, Helper};
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

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, entry) in cx.loaded() {
        let is_callback =
            object.schedulers().any(|(_, ops)| ops.callbacks().any(|(_, used)| used == program));
        if !is_callback {
            continue;
        }
        let subject = Subject::program(object, program);
        let offered = |helper: &Helper| exceptions::offers_helper(cx.kernel, helper);
        let sleeps = |helper: &Helper| helper.may_sleep() && !entry.sleepable;
        let works = |code| kfunc_calls::may_sleep_as_work(cx, program, code);
        let refused = |code: FuncIdx, op: Op| {
            let helper = op.helper().and_then(helpers::get);
            helper.is_some_and(|helper| !offered(helper) || sleeps(helper) && !works(code))
        };
        let what = |_: &_| "calls a helper that sched_ext does not offer".to_owned();
        let call = cx.walks_any(program, refused);
        let call = call.or_undecided(out, &DISALLOWED_HELPER, subject.clone(), what);
        let Some(((site, at), op)) = call else { continue };
        let id = op.helper().unwrap_or_default();
        let sleeps = helpers::get(id).is_some_and(|helper| sleeps(helper) && offered(helper));
        let why = if sleeps {
            "which may sleep, and the program may not"
        } else {
            "which sched_ext does not offer"
        };
        let message = format!("program '{}' calls helper #{id}, {why}", function.name);
        let name = cx.kernel.and_then(|kernel| kernel.helper_name(id));
        let helper = name.map_or_else(String::new, |name| format!(" {name}#{id}"));
        out.found(&DISALLOWED_HELPER, subject, message)
            .errno(Errno::EINVAL)
            .quote(if sleeps {
                // Older kernels do not name it, and say "a non-sleepable prog".
                "non-sleepable prog".to_owned()
            } else {
                format!("program of this type cannot use helper{helper}")
            })
            .help("use a kfunc or a ring buffer, or move the call into a tracing program")
            .via(Site::Insn(site, at), program, "this call");
    }
}
