//! `failing-init`.

use super::context::Context;
use crate::finding::{Outcome, Site, Subject};

rule! {
    /// `init` or `init_task` returns an error whatever happens.
    ///
    /// ## Why it matters
    /// The call that attaches succeeds all the same, and the scheduler is disabled at once; the reason is only in what `exit` is given and in the
    /// kernel's log.
    /// ## Example
    /// ```c
    /// s32 BPF_STRUCT_OPS_SLEEPABLE(demo_init) { return -EINVAL; }
    /// ```
    /// ## Fix
    /// Return 0 where nothing failed. Where the error stands for what user space has not set yet, name the loader: `--loader scx`
    /// takes the variables that it may set as unknown.
    /// ## Sources
    /// kernel `scx_ops_enable` (6.12), `scx_enable` (6.16 to 7.0), `scx_root_enable` (7.1 to 7.3), `scx_ops_init_task`, `ops_sanitize_err`.
    pub FAILING_INIT: "failing-init", family: Program, level: Error, phase: Attach, since: "0.1.0";
}

/// Callbacks that are called while any scheduler is enabled: there is always a task.
const MEMBERS: [&str; 2] = ["init", "init_task"];

/// `MAX_ERRNO`.
const MAX_ERRNO: i32 = 4095;

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, ops) in cx.schedulers() {
        for member in MEMBERS {
            let Some(program) = ops.callback(member) else { continue };
            // The kernel takes the lower half as an int.
            let Some(value) = cx.walk(program).returned().map(|value| value as u32 as i32) else {
                continue;
            };
            if value == 0 {
                continue;
            }
            let quote = if (-MAX_ERRNO..0).contains(&value) {
                format!("ops.{member}() failed ({value})")
            } else {
                format!("ops.{member}() returned an invalid errno {value}")
            };
            let message =
                format!("'{member}' returns {value} whatever happens, so the scheduler is never enabled");
            out.found(&FAILING_INIT, Subject::struct_ops(cx.object, index), message)
                .quote(quote)
                .help("return 0 where nothing failed")
                .at(Site::Function(program), "this callback");
        }
    }
}
