//! `kernel-object-write`.

use super::context::Context;
use crate::btf::{Btf, Kind, TypeId};
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::exceptions::Fact;
use crate::load::{CoreFate, MemberFate};
use crate::object::{FuncIdx, InsnIdx, MemberInit};
use crate::verifier::{Access, Holds};

rule! {
    /// A callback writes to a kernel object that it is handed.
    ///
    /// ## Why it matters
    /// Callbacks read the kernel's objects through their arguments. Written to may be some fields of a task alone (`direct-task-write`), and what lies in
    /// an arena; any other write is refused by the verifier, before 7.2 without a word.
    /// ## Example
    /// ```c
    /// void BPF_STRUCT_OPS(demo_exit, struct scx_exit_info *info) { info->exit_code = 1; }
    /// ```
    /// ## Fix
    /// Keep what the scheduler knows about an object in a map or in local storage.
    /// ## Sources
    /// kernel `bpf_scx_btf_struct_access`, `bpf_scx_cid_btf_struct_access` (7.3), `check_ptr_to_btf_access`.
    pub KERNEL_OBJECT_WRITE: "kernel-object-write", family: Program, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, _) in cx.loaded() {
        let writes = cx.walk(program).accesses().iter().filter_map(|access| {
            let name = object_of(cx, program, written(access)?)?;
            Some((access.at(program), (access, name)))
        });
        let place = |(access, name): (&Access, &str)| place(cx, program, InsnIdx(access.at), name, access);
        let subject = Subject::program(cx.object, program);
        let what = |&write: &(&Access, &str)| format!("writes {}, which the verifier refuses", place(write));
        let answer = cx.walks(program, writes);
        let Some(write) = answer.or_undecided(out, &KERNEL_OBJECT_WRITE, subject.clone(), what) else {
            continue;
        };
        let message = format!("program '{}' writes {}, which it may not", function.name, place(write));
        let (access, name) = write;
        let finding = out
            .found(&KERNEL_OBJECT_WRITE, subject, message)
            .errno(Errno::EACCES)
            .help("keep the value in a map or in local storage")
            .at(Site::Insn(program, InsnIdx(access.at)), "this write");
        if cx.kernel.is_none_or(|kernel| kernel.is(Fact::TaskWriteRefusalSpeaks)) {
            finding.quote(format!("cannot write into ptr_{name}"));
        }
    }
}

/// The argument that a plain store goes through.
fn written(access: &Access) -> Option<usize> {
    match access.base {
        Holds::Argument(argument) if access.insn.op().is_plain_store() => Some(usize::from(argument)),
        _ => None,
    }
}

/// The struct that an argument of a callback points to, if a program may not write to it: by the kernel's types, without a
/// kernel by the object's own.
fn object_of<'a>(cx: &Context<'a, '_>, program: FuncIdx, argument: usize) -> Option<&'a str> {
    let object = cx.object;
    let (index, ops, member) = cx.callbacks_of(program).into_iter().next()?;
    let at = ops.members.iter().position(|known| known.name == member)?;
    if !matches!(ops.members[at].value, MemberInit::Program(_)) {
        return None;
    }
    let name = match cx.kernel {
        Some(kernel) => {
            let crate::kernel::Lookup::Found(ops_type) = &cx.load.ops[index.0].ops_type else { return None };
            if !matches!(cx.load.ops[index.0].members[at], MemberFate::Matched(_)) {
                return None;
            }
            let member = ops_type.member(member)?;
            if member.arena_argument(kernel) == Some(argument) {
                return None;
            }
            let (_, param) = *kernel.params(member.proto?).get(argument)?;
            pointee(kernel.btf(), param, &[Kind::Struct])?
        }
        None => {
            let btf = object.btf.as_ref()?;
            let (_, ty) = btf.resolve(object[ops.map].type_id)?;
            let member = ty.composite()?.member(at)?;
            let (_, pointer) = btf.resolve(member.ty)?;
            let param = btf.resolve(pointer.target())?.1.func_proto()?.params().nth(argument)?;
            pointee(btf, param.ty, &[Kind::Struct, Kind::Fwd])?
        }
    };
    // Tasks have a rule of their own; a mask of cids is in an arena, or will be.
    (!matches!(name, "" | "task_struct" | "scx_cmask")).then_some(name)
}

/// The name of the struct that a pointer points to.
fn pointee<'a>(btf: &Btf<'a>, pointer: TypeId, kinds: &[Kind]) -> Option<&'a str> {
    let (_, pointer) = btf.resolve(pointer).filter(|(_, ty)| ty.kind() == Kind::Ptr)?;
    let (_, target) = btf.resolve(pointer.target()).filter(|(_, ty)| kinds.contains(&ty.kind()))?;
    Some(btf.name(&target))
}

/// Where a store goes, in words: the field by its CO-RE record, else an offset.
fn place(cx: &Context<'_, '_>, program: FuncIdx, at: InsnIdx, name: &str, access: &Access) -> String {
    let recorded = cx.load.core.iter().find(|used| used.function == program && used.insn == at);
    match recorded {
        Some(used) if !matches!(used.fate, CoreFate::Poison(_) | CoreFate::Refused { .. }) => {
            used.subject.clone()
        }
        _ => format!("byte {} of a {name}", access.insn.off),
    }
}
