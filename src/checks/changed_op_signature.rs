//! `changed-op-signature`.

use super::context::Context;
use super::shared::declared::Sides;
use crate::btf::TypeId;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Lookup;
use crate::object::{InsnIdx, OpsIdx};
use crate::verifier::{Holds, MAX_ARGUMENTS};

rule! {
    /// A callback reads an argument that the kernel's callback does not have.
    ///
    /// ## Why it matters
    /// libbpf does not compare the prototypes of callbacks. The verifier takes them from the kernel's BTF, and refuses a read of an argument beyond
    /// the last. In cid-form, `enable` has its second argument from 7.3 on.
    /// ## Example
    /// ```c
    /// void BPF_STRUCT_OPS(demo_enqueue, struct task_struct *p, u64 enq_flags, u64 extra, u64 more) { ... more ... }
    /// ```
    /// ## Fix
    /// Read the arguments that the kernel gives; where kernels differ, write a program for each.
    /// ## Sources
    /// kernel `btf_ctx_access`, `bpf_scx_is_valid_access`.
    pub CHANGED_OP_SIGNATURE: "changed-op-signature", family: StructOps, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (program, function, _) in cx.loaded() {
        for (index, _, member) in cx.callbacks_of(program) {
            let Lookup::Found(ops_type) = &cx.load.ops[index.0].ops_type else { continue };
            let count = ops_type.member(member).and_then(|member| member.argument_count(kernel));
            let Some(count) = count else { continue };
            let returns = ops_type.member(member).is_some_and(|member| member.returns(kernel));
            let of_kernel = ops_type.member(member).map(|member| member.ty);
            let sides = of_kernel.zip(member_type(cx, index, member));
            let sides =
                sides.and_then(|(theirs, ours)| Sides::of_member(cx.object, kernel, member, ours, theirs));
            let beyond = cx.walk(program).accesses().iter().filter_map(|access| {
                let argument = usize::try_from(access.insn.off).ok()? / 8;
                (access.base == Holds::Context && (count..MAX_ARGUMENTS).contains(&argument))
                    .then_some((access.at(program), (access.at, argument)))
            });
            let subject = Subject::program(cx.object, program);
            let message = |argument: usize| {
                format!(
                    "program '{}' reads argument {} of '{member}', which has {count}",
                    function.name,
                    argument + 1
                )
            };
            let what = |&(_, argument): &(usize, usize)| message(argument);
            let answer = cx.walks(program, beyond);
            let Some((at, argument)) = answer.or_undecided(out, &CHANGED_OP_SIGNATURE, subject.clone(), what)
            else {
                continue;
            };
            let mut text = message(argument);
            let mut help = "read only the arguments that the kernel gives the callback".to_owned();
            if let Some(sides) = &sides {
                text = format!("{text}: declared as {}", sides.words());
                help = format!("{help}: {}", sides.kernel);
            }
            out.found(&CHANGED_OP_SIGNATURE, subject, text)
                .errno(Errno::EACCES)
                .quote(format!(
                    "func '{member}' doesn't have {}-th argument",
                    numbered(argument, count, returns)
                ))
                .help(help)
                .at(Site::Insn(program, InsnIdx(at)), "this argument");
        }
    }
}

/// The type of a member as the ops variable's type has it.
fn member_type(cx: &Context<'_, '_>, index: OpsIdx, name: &str) -> Option<TypeId> {
    let (object, btf) = (cx.object, cx.object.btf.as_ref()?);
    let ty = btf.get(object[object[index].map].type_id)?.composite()?;
    ty.members().find(|member| btf.str(member.name) == name).map(|member| member.ty)
}

/// How the kernel counts an argument beyond the last (`btf_ctx_arg_idx`): a value that is returned stands behind them, and
/// everything after that is one.
fn numbered(argument: usize, count: usize, returns: bool) -> usize {
    if returns && argument == count { count + 1 } else { count + 2 }
}
