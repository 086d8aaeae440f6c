//! Who calls a kfunc, in the kernel's eyes: the callbacks that a program serves, or its type.

use super::super::context::Context;
use crate::kernel::kfuncs::Caller;
use crate::object::{Form, FuncIdx, Object, ProgramKind};

/// One role of a program.
pub(in crate::checks) struct Role<'a> {
    /// What the permission depends on.
    pub(in crate::checks) caller: Caller<'a>,
}

/// Every role of a program: one for each member that it serves. None for a struct_ops program that no map names.
pub(in crate::checks) fn roles<'a>(cx: &Context<'a, '_>, program: FuncIdx) -> Vec<Role<'a>> {
    let object: &Object<'_> = cx.object;
    let Some(entry) = object[program].entry.as_ref() else { return Vec::new() };
    let plain = |caller| vec![Role { caller }];
    match entry.kind.as_str() {
        _ if entry.kind == ProgramKind::STRUCT_OPS => {
            let other = object.ops().any(|(index, ops)| {
                ops.form() == Form::Other && cx.load.callbacks(index).any(|(_, used)| used == program)
            });
            if other {
                return plain(Caller::OtherStructOps);
            }
            let places = cx.callbacks_of(program).into_iter();
            places.map(|(_, ops, member)| Role { caller: Caller::Op { form: ops.form(), member } }).collect()
        }
        "syscall" => plain(Caller::Syscall),
        "tracing" | "tracepoint" | "raw_tracepoint" | "raw_tracepoint_writable" | "perf_event" | "lsm" => {
            plain(Caller::Tracing)
        }
        // One that replaces a function takes on the type of the program that it is attached to.
        "unspec" | "ext" => Vec::new(),
        _ => plain(Caller::Other),
    }
}
