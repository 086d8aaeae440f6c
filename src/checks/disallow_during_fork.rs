//! `disallow-during-fork`.

use super::context::Context;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::{Op, Operand};
use crate::kernel::exceptions::Fact;
use crate::load::CoreFate;
use crate::object::FuncIdx;
use crate::verifier::{Access, Holds};

rule! {
    /// `init_task` sets `p->scx.disallow` for tasks that are being forked too.
    ///
    /// ## Why it matters
    /// A task can be kept out of the scheduler while the scheduler is enabled, not while the task is forked: from 7.1 on the kernel ends the scheduler
    /// at the first fork for which `init_task` sets the field. Before, it does so for a task alone whose policy is SCHED_EXT.
    /// `init_task` is told which of the two it is by `args->fork`; a callback that reads it is taken to know. For which tasks a branch leads to the store
    /// is up to the scheduler, and not looked at.
    /// ## Example
    /// ```c
    /// s32 BPF_STRUCT_OPS(demo_init_task, struct task_struct *p, struct scx_init_task_args *args)
    /// {
    ///     p->scx.disallow = true;
    ///     return 0;
    /// }
    /// ```
    /// ## Fix
    /// `if (!args->fork) p->scx.disallow = true;`, and `SCX_OPS_SWITCH_PARTIAL` where few tasks are to be scheduled.
    /// ## Sources
    /// kernel `scx_init_task`, `__scx_init_task` (7.2).
    pub DISALLOW_DURING_FORK: "disallow-during-fork", family: Program, level: Error, phase: Run, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, ops) in cx.schedulers() {
        let Some(program) = ops.callback("init_task").filter(|program| cx.load.autoload(*program)) else {
            continue;
        };
        let knows = cx.walk(program).accesses().iter().any(|access| access.base == Holds::Argument(1));
        let mut stores = cx.walk(program).accesses().iter().filter(|access| disallows(cx, program, access));
        let (false, Some(store)) = (knows, stores.next()) else { continue };
        let at = store.at(program);
        let value = match store.insn.op() {
            Op::Store { value: Operand::Imm(imm), .. } => Some(imm as u64),
            _ => cx.walk(program).regs_at(at).constant(store.insn.src),
        };
        // The kernel looks at the field once the callback is through: a second store may take the first back.
        let sets = stores.next().is_none() && value.is_some_and(|value| value & 0xff != 0);
        if !sets || !cx.walk(program).is_unavoidable(at) {
            continue;
        }
        let subject = Subject::struct_ops(cx.object, index);
        if cx.kernel.is_some_and(|kernel| kernel.is(Fact::DisallowNeverDuringFork)) {
            let message = "'init_task' sets p->scx.disallow for every task, forked ones included";
            out.found(&DISALLOW_DURING_FORK, subject, message)
                .quote("ops.init_task() set task->scx.disallow for")
                .help("set it only if args->fork is false")
                .at(Site::Insn(at.0, at.1), "this store");
        } else {
            let reason = "'init_task' sets p->scx.disallow for every task: kernels from 7.1 on end the scheduler when one forks, those before when one of policy SCHED_EXT does";
            out.undecided(&DISALLOW_DURING_FORK, subject, reason).at(Site::Insn(at.0, at.1), "this store");
        }
    }
}

/// Is this a store to `scx.disallow` of the task that a callback is handed first.
fn disallows(cx: &Context<'_, '_>, program: FuncIdx, access: &Access) -> bool {
    access.insn.op().is_plain_store()
        && access.base == Holds::Argument(0)
        && cx.load.core.iter().any(|used| {
            used.function == program
                && used.insn.0 == access.at
                && used.subject == "task_struct.scx.disallow"
                && !matches!(used.fate, CoreFate::Poison(_) | CoreFate::Refused { .. })
        })
}
