//! `direct-task-write`.

use super::context::Context;
use super::shared::core_uses;
use super::shared::surely::Surely;
use crate::btf::Kind;
use crate::btf::core::RelocationKind;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Kernel;
use crate::kernel::exceptions::Fact;
use crate::load::CoreFate;
use crate::object::{Form, FuncIdx, InsnIdx};
use crate::rule::Level;
use crate::verifier::Base;

rule! {
    /// A callback writes to a task directly.
    ///
    /// ## Why it matters
    /// Of a task only `scx.slice`, `scx.dsq_vtime` and `scx.disallow` may be written, and from 7.3 on in cid-form only the last. 7.1 and 7.2 warn of
    /// writes to the first two. A store at a fixed offset, without CO-RE, is judged by where it lands in the kernel's task.
    /// ## Example
    /// ```c
    /// p->scx.slice = SCX_SLICE_DFL;   /* cid-form on 7.3 */
    /// ```
    /// ## Fix
    /// `scx_bpf_task_set_slice(p, slice)`, `scx_bpf_task_set_dsq_vtime(p, vtime)`; they are in kernels from 6.19 on.
    /// ## Sources
    /// kernel `bpf_scx_btf_struct_access`, `bpf_scx_cid_btf_struct_access` (7.3).
    pub DIRECT_TASK_WRITE: "direct-task-write", family: Program, level: Error, phase: Load, since: "0.1.0";
}

/// May the field be written: freely, at the price of a warning, or not.
fn verdict(cx: &Context<'_, '_>, form: Form, field: &str) -> Option<Level> {
    match field {
        "task_struct.scx.disallow" => None,
        "task_struct.scx.slice" | "task_struct.scx.dsq_vtime" => {
            let kernel = cx.kernel?;
            match form {
                Form::Cid if kernel.is(Fact::TaskWriteRefusedInCidForm) => Some(Level::Error),
                _ if kernel.is(Fact::TaskWriteWarns) => Some(Level::Warning),
                _ => None,
            }
        }
        _ => Some(Level::Error),
    }
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, ..) in cx.loaded() {
        let Some(form) = cx.callbacks_of(program).first().map(|(_, ops, _)| ops.form()) else { continue };
        let mut seen: Vec<&str> = Vec::new();
        for used in core_uses::of(cx, program) {
            let field = used.subject.as_str();
            let insn = cx.object[used.function].code.get(used.insn.0);
            let is_store = insn.is_some_and(|insn| insn.op().is_store());
            let poisoned = matches!(used.fate, CoreFate::Poison(_) | CoreFate::Refused { .. });
            if used.kind != Some(RelocationKind::FieldByteOffset)
                || !is_store
                || poisoned
                || !field.starts_with("task_struct.")
                || seen.contains(&field)
            {
                continue;
            }
            let Some(level) = verdict(cx, form, field) else { continue };
            let at = (used.function, used.insn);
            let answer = cx.walks(program, [(at, ())]);
            if answer == Surely::No {
                continue;
            }
            seen.push(field);
            let subject = Subject::program(cx.object, program);
            let what = |_: &_| format!("writes {field}, which the verifier refuses");
            // A warning comes wherever the verifier may come.
            if level != Level::Error || answer.or_undecided(out, &DIRECT_TASK_WRITE, subject, what).is_some()
            {
                report(cx, out, program, at, field, level);
            }
        }
        if let Some(kernel) = cx.kernel {
            check_unrelocated(cx, kernel, out, program, form);
        }
    }
}

/// Stores without a CO-RE record, through a register that surely holds an argument: a task, at an offset that the compiler
/// knew. They may hit a field that may be written, or not.
fn check_unrelocated(
    cx: &Context<'_, '_>,
    kernel: &Kernel<'_>,
    out: &mut Outcome,
    program: FuncIdx,
    form: Form,
) {
    let is_load = |(function, insn): (FuncIdx, InsnIdx)| {
        cx.object[function].code.get(insn.0).is_some_and(|load| load.op().is_plain_load())
    };
    for (function, code) in cx.object.code_of(program) {
        for (at, op) in code.ops().iter().enumerate().filter(|(_, op)| op.is_plain_store()) {
            let Some(to) = op.memory() else { continue };
            let at = InsnIdx(at);
            // Only an argument of type task_struct is known not to be NULL and loaded at once.
            let offset = match cx.walk(program).regs_at((function, at)).base() {
                Some(Base::Object { made, offset, nullable: false }) if is_load(made) => {
                    i64::from(offset) + i64::from(to.off)
                }
                _ => continue,
            };
            if cx.load.core.iter().any(|used| used.function == function && used.insn == at) {
                continue;
            }
            let Some(field) = field_at(kernel, offset, to.width.bytes().into()) else { continue };
            let Some(level) = verdict(cx, form, &field) else { continue };
            report(cx, out, program, (function, at), &field, level);
            return;
        }
    }
}

/// The field that a store into a task hits as a whole, of those that may be written; else a name for where it goes. `None`
/// where the kernel does not tell.
fn field_at(kernel: &Kernel<'_>, offset: i64, width: i64) -> Option<String> {
    let task = kernel.find("task_struct", Kind::Struct)?;
    let scx = kernel.member(task, "scx")?;
    let (entity, _) = kernel.btf().resolve(scx.ty)?;
    for (name, size) in [("slice", 8), ("dsq_vtime", 8), ("disallow", 1)] {
        let member = kernel.member(entity, name)?;
        let start = i64::from(scx.bit_offset / 8) + i64::from(member.bit_offset / 8);
        if start <= offset && offset + width <= start + size {
            return Some(format!("task_struct.scx.{name}"));
        }
    }
    Some(format!("offset {offset} of a task_struct"))
}

/// Says that a program writes to a field.
fn report(
    cx: &Context<'_, '_>,
    out: &mut Outcome,
    program: FuncIdx,
    (site, at): (FuncIdx, InsnIdx),
    field: &str,
    level: Level,
) {
    let function = &cx.object[program];
    let subject = Subject::program(cx.object, program);
    let help = match field {
        "task_struct.scx.slice" => "call scx_bpf_task_set_slice(p, slice) where the kernel has it (6.19)",
        "task_struct.scx.dsq_vtime" => {
            "call scx_bpf_task_set_dsq_vtime(p, vtime) where the kernel has it (6.19)"
        }
        _ => "keep the value in task local storage",
    };
    let message = match level {
        Level::Error => format!("program '{}' writes {field}, which it may not", function.name),
        _ => format!("program '{}' writes {field} directly, which is deprecated", function.name),
    };
    let finding = out.found(&DIRECT_TASK_WRITE, subject, message).level(level).help(help).via(
        Site::Insn(site, at),
        program,
        "this write",
    );
    if level == Level::Error {
        finding.errno(Errno::EACCES);
        if cx.kernel.is_none_or(|kernel| kernel.is(Fact::TaskWriteRefusalSpeaks)) {
            finding.quote("cannot write into ptr_task_struct");
        }
    } else {
        finding.quote(
            "sched_ext: Writing directly to p->scx.slice/dsq_vtime is deprecated, use scx_bpf_task_set_slice/dsq_vtime()",
        );
    }
}
