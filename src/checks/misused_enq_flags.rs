//! `misused-enq-flags`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::finding::{Outcome, Subject};
use crate::kernel::exceptions::Fact;
use crate::kernel::kfuncs::{PassedIn, Queues, Way};
use crate::kernel::ops_flags::{DSQ_BUILTIN, DSQ_GLOBAL, DSQ_LOCAL, DSQ_LOCAL_ON, ENQ_INTERNAL};
use crate::kernel::{cpu_name, kfuncs};

rule! {
    /// Inserts or moves a task in a way that the kernel does not take for that DSQ.
    ///
    /// ## Why it matters
    /// The upper eight bits of the flags are the kernel's own. `SCX_ENQ_IMMED` (7.1) and `SCX_ENQ_RESCUE` (7.3) are for the local DSQ of a CPU.
    /// The DSQs that the kernel makes itself, `SCX_DSQ_GLOBAL` and the local ones, keep no order by vtime, and nothing can be moved from them:
    /// the kernel takes tasks from `SCX_DSQ_GLOBAL` on its own. Anything else gets the scheduler ejected. Looked at are calls with constants
    /// for arguments, also in the struct that `__scx_bpf_dsq_insert_vtime` takes, and `__SCX_*` constants as scx's loaders fill them for the kernel.
    /// ## Example
    /// ```c
    /// scx_bpf_dsq_insert(p, SHARED_DSQ, SCX_SLICE_DFL, SCX_ENQ_IMMED);
    /// ```
    /// ## Fix
    /// Insert into `SCX_DSQ_LOCAL` or `SCX_DSQ_LOCAL_ON | cpu`, or drop the flag; for an order by vtime create a DSQ.
    /// ## Sources
    /// kernel `scx_dsq_insert_preamble`, `scx_vet_enq_flags` (7.1), `dispatch_enqueue`, `find_user_dsq`; guests of 6.18, 7.1 and 7.3.
    pub MISUSED_ENQ_FLAGS: "misused-enq-flags", family: Kfunc, level: Error, phase: Run, since: "0.1.0";
}

/// The words with which the kernel ejects a scheduler for these arguments, and what to do instead. `at_once`: a task inserted
/// into the local DSQ is put there on its own CPU; one that comes from another CPU is moved without a look at the order.
fn ejection(
    cx: &Context<'_, '_>,
    way: Way,
    dsq: Option<u64>,
    flags: Option<u64>,
    at_once: bool,
) -> Option<(String, &'static str)> {
    let flagged = |text| (text, "insert into SCX_DSQ_LOCAL or SCX_DSQ_LOCAL_ON | cpu, or drop the flag");
    let internal = flags.filter(|flags| flags & ENQ_INTERNAL != 0);
    if way == Way::Consume {
        let dsq = dsq.filter(|dsq| dsq & DSQ_BUILTIN != 0);
        // The kernels that have this flag look at the flags first; of those before it is not known.
        return match internal {
            Some(flags) if cx.kernel?.is(Fact::MoveLooksAtFlagsFirst) => {
                Some(flagged(format!("invalid enq_flags {flags:#x}")))
            }
            _ => Some((
                format!("invalid DSQ ID {:#018x}", dsq?),
                "move from a DSQ that scx_bpf_create_dsq() made",
            )),
        };
    }
    if let Some(flags) = internal {
        return Some(flagged(format!("invalid enq_flags {flags:#x}")));
    }
    let dsq = dsq?;
    let is_local = dsq == DSQ_LOCAL || dsq & DSQ_LOCAL_ON == DSQ_LOCAL_ON;
    if let (Some(flags), Some(kernel), false) = (flags, cx.kernel, is_local) {
        let is_set = |name| kernel.any_enumerator(name).is_some_and(|bit| flags & bit != 0);
        if let Some(name) = ["SCX_ENQ_IMMED", "SCX_ENQ_RESCUE"].into_iter().find(|name| is_set(name)) {
            return Some(flagged(format!("{name} on a non-local DSQ {dsq:#x}")));
        }
    }
    let known = dsq == DSQ_GLOBAL || dsq == DSQ_LOCAL && at_once;
    (way == Way::InsertByVtime && known).then(|| {
        (
            "cannot use vtime ordering for built-in DSQs".to_owned(),
            "insert into a DSQ that scx_bpf_create_dsq() made",
        )
    })
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, _) in cx.loaded() {
        let places = cx.callbacks_of(program);
        if places.is_empty() {
            continue;
        }
        let at_once = places.iter().all(|(.., member)| matches!(cpu_name(member), "enqueue" | "select_cpu"));
        for call in kfunc_calls::of(cx, program) {
            let queues = kfuncs::row_of(call.name).and_then(|row| row.queues);
            let Some(Queues { way, dsq, flags }) = queues else { continue };
            // Without a kernel only a strong extern is sure to be called where the object loads.
            let called = cx.has_kfunc(call.index);
            if !called {
                continue;
            }
            let regs = cx.walk(program).regs_at(call.at());
            let held = |place| match place {
                PassedIn::Register(register) => regs.constant(register),
                PassedIn::Member(register, offset) => regs.pointed(register, offset),
            };
            let Some((text, help)) = ejection(cx, way, held(dsq), flags.and_then(held), at_once) else {
                continue;
            };
            let subject = Subject::program(cx.object, program);
            let what =
                |_: &_| format!("calls '{}', which would get the scheduler ejected ({text})", call.name);
            let answer = cx.runs(program, call.at(), call);
            let Some(call) = answer.or_undecided(out, &MISUSED_ENQ_FLAGS, subject.clone(), what) else {
                continue;
            };
            let message = format!("program '{}' calls '{}': {text}", function.name, call.name);
            out.found(&MISUSED_ENQ_FLAGS, subject, message).quote(text).help(help).via(
                call.site(),
                program,
                "this call",
            );
            break;
        }
    }
}
