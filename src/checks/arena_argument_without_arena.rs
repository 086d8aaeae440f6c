//! `arena-argument-without-arena`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Lookup;
use crate::kernel::exceptions::Fact;
use crate::load::ExternFate;
use crate::object::{MapType, ProgramKind};

rule! {
    /// A program with an arena argument, or with a call to a kfunc that takes one, uses no arena.
    ///
    /// ## Why it matters
    /// From 7.3 on `set_cmask` and `sub_caps_updated` are given an arena address, and kfuncs such as `scx_bpf_cid_override` and `scx_bpf_sub_grant`
    /// take one. The program must use an arena map, even if it ignores the argument and even if the call is in dead code.
    /// ## Example
    /// ```c
    /// void BPF_STRUCT_OPS(demo_set_cmask, struct task_struct *p, const struct scx_cmask *cmask) { }
    /// ```
    /// ## Fix
    /// Refer to the arena map in the program: `asm volatile("" :: "r"(&arena));`
    /// ## Sources
    /// kernel `check_struct_ops_btf_id`, `gen_kfunc_arg_proto` (7.3).
    pub ARENA_ARGUMENT_WITHOUT_ARENA: "arena-argument-without-arena", family: Arena, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel.filter(|kernel| kernel.is(Fact::ArenaArguments)) else { return };
    let object = cx.object;
    for (program, function, entry) in cx.loaded() {
        if object.maps_of(program).iter().any(|used| object[used.map].map_type == MapType::ARENA) {
            continue;
        }
        let subject = || Subject::program(object, program);
        let help = "refer to the arena map in the program, e.g. asm volatile(\"\" :: \"r\"(&arena))";
        // Prototypes of kfuncs are built before anything is walked.
        for call in kfunc_calls::of(cx, program) {
            let ExternFate::Kfunc(kfunc) = call.fate else { continue };
            let params = kernel.kfunc_params(*kfunc);
            let Some(at) = params.iter().position(|(name, _)| name.contains("__arena")) else { continue };
            let message = format!(
                "program '{}' calls '{}', which takes an arena address, and uses no arena",
                function.name, call.name
            );
            out.found(&ARENA_ARGUMENT_WITHOUT_ARENA, subject(), message)
                .errno(Errno::EINVAL)
                .quote(format!("R{} arena pointer requires a program with an associated arena", at + 1))
                .help(help)
                .via(call.site(), program, "this call");
            break;
        }
        if entry.kind != ProgramKind::STRUCT_OPS {
            continue;
        }
        for (index, _, member) in cx.callbacks_of(program) {
            let Lookup::Found(ops_type) = &cx.load.ops[index.0].ops_type else { continue };
            // One that cannot be implemented is refused before its arguments are looked at.
            let known = ops_type.member(member).filter(|member| !member.stubless);
            let Some(at) = known.and_then(|member| member.arena_argument(kernel)) else { continue };
            let message = format!(
                "argument {} of '{member}' is an arena address, and program '{}' uses no arena",
                at + 1,
                function.name
            );
            out.found(&ARENA_ARGUMENT_WITHOUT_ARENA, subject(), message)
                .errno(Errno::EINVAL)
                .quote(format!("arena argument of {member} requires a program with an associated arena"))
                .help(help)
                .at(Site::Function(program), "this program");
        }
    }
}
