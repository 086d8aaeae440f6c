//! Callbacks of struct_ops types (`check_struct_ops_btf_id`).

use super::{Hook, KernelPrototype, KnownArgument, KnownKind, Ops, Program};
use crate::btf::Kind;
use crate::errno::Errno;
use crate::kernel::exceptions::Fact;
use crate::kernel::{Home, Kernel, Lookup, OpsMember};
use crate::load::{Load, MemberFate};
use crate::object::{FuncIdx, MapType, MemberInit};
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::{Flags, TypeRef};
use crate::verifier::bpf_check::rules::{Era, Rules};

impl Ops {
    /// By the name of the type.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "sched_ext_ops" => Self::Scx,
            "sched_ext_ops_cid" => Self::ScxCid,
            "bpf_dummy_ops" => Self::Dummy,
            "tcp_congestion_ops" => Self::TcpCongestion,
            "Qdisc_ops" => Self::Qdisc,
            _ => return None,
        })
    }

    /// The type is the scheduler class's.
    pub fn is_scx(self) -> bool {
        matches!(self, Self::Scx | Self::ScxCid)
    }
}

/// Where a program is a callback: the ops variable's type, and the kernel's member.
fn place<'a>(load: &'a Load<'_, '_>, program: FuncIdx) -> Step<Option<(&'a str, &'a OpsMember<'a>)>> {
    for ((_, value), fate) in load.object.ops().zip(&load.ops) {
        for (member, reached) in value.members.iter().zip(&fate.members) {
            if !matches!(member.value, MemberInit::Program(callback) if callback == program) {
                continue;
            }
            let found = match (&fate.ops_type, reached) {
                (Lookup::Unknown(reason), _) | (_, MemberFate::Unknown(reason)) => {
                    return Err(Stop::Unknown(reason.clone()));
                }
                (Lookup::Found(ops_type), MemberFate::Matched(index))
                    if load.object[value.map].autocreate =>
                {
                    ops_type.members.get(*index as usize)
                }
                _ => None,
            };
            let Some(found) = found else {
                return Err(Stop::unmodelled("the callback does not come to the kernel's type"));
            };
            return Ok(Some((&value.type_name, found)));
        }
    }
    Ok(None)
}

/// What a callback is.
pub(super) fn of(load: &Load<'_, '_>, kernel: &Kernel<'_>, program: FuncIdx, sleepable: bool) -> Step<Hook> {
    let mut hook = Hook::new(load, Program::StructOps(Ops::Scx), sleepable);
    if !hook.gpl_compatible {
        let message = "struct ops programs must have a GPL compatible license";
        return Err(Stop::einval(Why::License, message));
    }
    let Some((type_name, member)) = place(load, program)? else {
        return Err(Stop::refused(Why::Attach, Errno::ENOTSUPP, ""));
    };
    let Some(ops) = Ops::of(type_name) else {
        return Err(Stop::unmodelled(format!("callbacks of struct {type_name}")));
    };
    // The type of another subsystem may be there and not be registered; so it is with the congestion control of 6.12.107.
    if !ops.is_scx() && !Rules::of(kernel).since(Era::V6_16) {
        return Err(Stop::unmodelled(format!("whether the kernel registers struct {type_name}")));
    }
    let Some(id) = member.proto else {
        return Err(Stop::unmodelled("the callback does not come to the kernel's type"));
    };
    hook.program = Program::StructOps(ops);
    hook.name = member.name.to_owned();
    let prototype = KernelPrototype { home: Home::Vmlinux, id };
    hook.prototype = Some(prototype);
    supported(kernel, ops, type_name, member, sleepable)?;
    hook.arguments = marked(kernel, prototype, ops, member)?;
    let has_arena = hook.arguments.iter().any(|argument| argument.kind == KnownKind::Arena);
    let uses_arena = || load.object.maps_of(program).iter().any(|used| is_arena(load, used.map));
    if has_arena && !uses_arena() {
        let name = member.name;
        let message = format!("arena argument of {name} requires a program with an associated arena");
        return Err(Stop::einval(Why::Arena, message));
    }
    Ok(hook)
}

fn is_arena(load: &Load<'_, '_>, map: crate::object::MapIdx) -> bool {
    load.object[map].map_type == MapType::ARENA
}

/// The kernel lets programs implement the member (`bpf_struct_ops_supported`, `check_member`).
fn supported(
    kernel: &Kernel<'_>,
    ops: Ops,
    type_name: &str,
    member: &OpsMember<'_>,
    sleepable: bool,
) -> Step {
    let name = member.name;
    let refused = |errno| {
        let message = format!("attach to unsupported member {name} of struct {type_name}");
        Err(Stop::refused(Why::Attach, errno, message))
    };
    if member.stubless {
        return refused(Errno::ENOTSUPP);
    }
    match ops {
        Ops::Scx | Ops::ScxCid if sleepable => match member.may_sleep(kernel) {
            Lookup::Found(true) => Ok(()),
            Lookup::Unknown(reason) => Err(Stop::Unknown(reason)),
            _ => refused(Errno::EINVAL),
        },
        Ops::Dummy if sleepable && name != "test_sleepable" => refused(Errno::EINVAL),
        Ops::TcpCongestion if matches!(name, "get_info" | "key" | "flags" | "owner" | "name") => {
            Err(Stop::unmodelled(format!("member {name} of struct {type_name}")))
        }
        Ops::TcpCongestion | Ops::Qdisc if sleepable => {
            Err(Stop::unmodelled(format!("sleepable callbacks of struct {type_name}")))
        }
        _ => Ok(()),
    }
}

/// Arguments that the kernel's stub has marks for (`prepare_arg_info`).
fn marked(
    kernel: &Kernel<'_>,
    prototype: KernelPrototype,
    ops: Ops,
    member: &OpsMember<'_>,
) -> Step<Vec<KnownArgument>> {
    let btf = kernel.btf();
    let params = kernel.params(prototype.id);
    let stub = member.stub_arguments(kernel);
    if !stub.is_empty() && stub.len() != params.len() {
        return Err(Stop::unmodelled("the kernel's stub of the callback has other arguments"));
    }
    let by_name = member.nullable_argument(kernel).filter(|_| ops.is_scx() && stub.is_empty());
    let has_arena = kernel.is(Fact::ArenaArguments);
    let mut offset = 0;
    let mut arguments = Vec::new();
    for (number, (_, ty)) in params.iter().enumerate() {
        let mark = stub.get(number).copied().unwrap_or_default();
        let pointee = btf.resolve(*ty).filter(|(_, ty)| ty.kind() == Kind::Ptr);
        let pointee = pointee.and_then(|(_, pointer)| btf.resolve(pointer.target()));
        let object = pointee.filter(|(_, ty)| matches!(ty.kind(), Kind::Struct | Kind::Union));
        let object = object.map(|(id, _)| KnownKind::Object(TypeRef::kernel(id)));
        let arena = mark.ends_with("__arena") || mark.ends_with("__arena__nullable");
        let refcounted = mark.ends_with("__ref");
        let nullable = mark.ends_with("__nullable") || by_name == Some(number);
        let found = match object {
            _ if arena && has_arena => Some((KnownKind::Arena, Flags::NONE)),
            Some(object) if nullable => Some((object, Flags::TRUSTED.with(Flags::MAYBE_NULL))),
            Some(object) if refcounted => Some((object, Flags::TRUSTED)),
            _ => None,
        };
        if let Some((kind, flags)) = found {
            let refcounted = refcounted && !nullable && kind != KnownKind::Arena;
            arguments.push(KnownArgument { offset, kind, flags, refcounted, ref_id: 0 });
        }
        let size = btf.size_of(*ty).unwrap_or(8);
        offset += (size as i64 + 7) / 8 * 8;
    }
    Ok(arguments)
}
