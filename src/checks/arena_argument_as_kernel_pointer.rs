//! `arena-argument-as-kernel-pointer`.

use super::context::Context;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Lookup;
use crate::kernel::exceptions::Fact;
use crate::object::Form;
use crate::verifier::Holds;

rule! {
    /// `set_cmask` reads through an argument that is an arena address and that the kernel calls a pointer.
    ///
    /// ## Why it matters
    /// In 7.2 the second argument of `set_cmask` is an address inside the arena, but the kernel's types call it an ordinary struct pointer: the
    /// verifier lets the program read through it, and the kernel oopses when it does. From 7.3 on the argument is marked.
    /// ## Example
    /// ```c
    /// void BPF_STRUCT_OPS(demo_set_cmask, struct task_struct *p, const struct scx_cmask *cmask) { if (cmask->nr_cids) ... }
    /// ```
    /// ## Fix
    /// Cast it first: `struct scx_cmask __arena *mask = (void __arena *)(long)cmask;`, in a program that uses the arena.
    /// ## Sources
    /// kernel/sched/ext/ext.c `scx_call_op_set_cpumask` (7.2).
    pub ARENA_ARGUMENT_AS_KERNEL_POINTER: "arena-argument-as-kernel-pointer", family: Arena, level: Error, phase: Run, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    if !kernel.is(Fact::UnmarkedArenaArgument) {
        return;
    }
    for (index, _) in cx.schedulers().filter(|(_, ops)| ops.form() == Form::Cid) {
        if !matches!(cx.load.ops[index.0].ops_type, Lookup::Found(_)) {
            continue;
        }
        for (member, program) in cx.load.callbacks(index).filter(|(member, _)| *member == "set_cmask") {
            let reads = cx.walk(program).accesses().iter().filter(|access| access.base == Holds::Argument(1));
            let read = cx.walks(program, reads.map(|access| (access.at(program), access.at(program))));
            let subject = Subject::program(cx.object, program);
            let message = format!(
                "'{member}' reads through its second argument, an arena address, as a kernel pointer"
            );
            let rule = &ARENA_ARGUMENT_AS_KERNEL_POINTER;
            let Some((function, at)) = read.or_undecided(out, rule, subject.clone(), |_| message.clone())
            else {
                continue;
            };
            out.found(&ARENA_ARGUMENT_AS_KERNEL_POINTER, subject, message)
                .help("cast it to an __arena pointer first, in a program that uses the arena")
                .at(Site::Insn(function, at), "this access: the kernel oopses here");
        }
    }
}
