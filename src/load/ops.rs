//! Ops variables against a kernel's struct_ops types (libbpf `bpf_map__init_kern_struct_ops`).

use super::loader::Loader;
use super::scx_loader;
use super::values::Values;
use crate::btf::{Btf, Kind, TypeId};
use crate::kernel::{DecidedBy, Kernel, Lookup, OpsType, Reason};
use crate::object::{Member, MemberInit, Object, OpsIdx, ProgramKind};

/// What becomes of an ops variable.
#[derive(Debug)]
pub struct OpsFate<'k> {
    /// The kernel's type.
    pub ops_type: Lookup<OpsType<'k>>,
    /// What becomes of each member, in the object's order.
    pub members: Vec<MemberFate>,
}

/// What becomes of a member of an ops variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberFate {
    /// Copied to the kernel's member of this index.
    Matched(u32),
    /// The kernel lacks it and it is zero: left out.
    Skipped,
    /// The kernel lacks it and user space clears it before the load.
    Cleared,
    /// The kernel lacks it and it is set: the load fails.
    Missing,
    /// A bitfield on either side: the load fails.
    Bitfield,
    /// Another BTF kind in the kernel: the load fails.
    OtherKind(Kind, Kind),
    /// A pointer that is set to something that is no program: the load fails.
    NoProgram,
    /// A program where the kernel has no function pointer: the load fails.
    NoFunctionPointer,
    /// Another size in the kernel, bytes: the load fails.
    OtherSize(u64, u64),
    /// The kernel's type is not known.
    Unknown(Reason),
}

impl MemberFate {
    /// The value comes to the kernel, if the load gets so far.
    pub fn reaches_kernel(&self) -> bool {
        !matches!(self, Self::Skipped | Self::Cleared | Self::Missing)
    }
}

/// All ops variables of an object; those that are not created are matched all the same, for whoever asks.
pub(super) fn resolve<'a>(
    object: &Object<'_>,
    kernel: Option<&'a Kernel<'a>>,
    loader: Loader,
    values: &Values,
) -> Vec<OpsFate<'a>> {
    object.ops().map(|(index, _)| one(object, kernel, index, loader, values)).collect()
}

fn one<'a>(
    object: &Object<'_>,
    kernel: Option<&'a Kernel<'a>>,
    index: OpsIdx,
    loader: Loader,
    values: &Values,
) -> OpsFate<'a> {
    let ops = &object[index];
    let unknown = |reason: Reason| OpsFate {
        members: vec![MemberFate::Unknown(reason.clone()); ops.members.len()],
        ops_type: Lookup::Unknown(reason),
    };
    let (Some(kernel), Some(btf)) = (kernel, object.btf.as_ref()) else {
        return unknown(Reason::from("no kernel is named").decided_by(DecidedBy::Kernel));
    };
    let ops_type = match kernel.ops_type(&ops.type_name) {
        Lookup::Found(ops_type) => ops_type,
        Lookup::Absent => {
            let members = vec![MemberFate::Unknown("the kernel lacks the type".into()); ops.members.len()];
            return OpsFate { ops_type: Lookup::Absent, members };
        }
        Lookup::Unknown(reason) => return unknown(reason),
    };
    let local = btf.get(object[ops.map].type_id).and_then(|ty| ty.composite());
    let types = local.into_iter().flat_map(|ty| ty.members());
    let members = ops.members.iter().zip(types).enumerate();
    let members = members.map(|(at, (member, ty))| {
        let cleared = loader == Loader::Scx && scx_loader::clears(member.name);
        // A callback can be told to be NULL only, and a number to be another.
        let told = values.member(object, index, at);
        let member = &match (member.value, told) {
            (MemberInit::Program(_), Some(0)) => return MemberFate::Cleared,
            (MemberInit::Scalar(_), Some(value)) => {
                Member { value: MemberInit::Scalar(value), ..member.clone() }
            }
            _ => member.clone(),
        };
        match member_fate(object, btf, kernel, &ops_type, member, ty) {
            MemberFate::Missing if cleared => MemberFate::Cleared,
            fate => fate,
        }
    });
    let members = members.collect();
    OpsFate { ops_type: Lookup::Found(ops_type), members }
}

fn member_fate(
    object: &Object<'_>,
    btf: &Btf<'_>,
    kernel: &Kernel<'_>,
    ops_type: &OpsType<'_>,
    member: &Member<'_>,
    local: crate::btf::Member,
) -> MemberFate {
    let Some(target) = ops_type.member(member.name) else {
        return if is_zero(member.value) { MemberFate::Skipped } else { MemberFate::Missing };
    };
    if local.bitfield_size != 0 || target.bitfield_size != 0 {
        return MemberFate::Bitfield;
    }
    let kind = |btf: &Btf<'_>, id: TypeId| btf.resolve(id).map_or(Kind::Void, |(_, ty)| ty.kind());
    let (ours, theirs) = (kind(btf, local.ty), kind(kernel.btf(), target.ty));
    if ours != theirs {
        return MemberFate::OtherKind(ours, theirs);
    }
    if ours == Kind::Ptr {
        return match member.value {
            MemberInit::Program(program) => {
                let is_ops =
                    object[program].entry.as_ref().is_some_and(|e| e.kind == ProgramKind::STRUCT_OPS);
                match (is_ops, target.proto) {
                    (false, _) => MemberFate::NoProgram,
                    (true, None) => MemberFate::NoFunctionPointer,
                    (true, Some(_)) => MemberFate::Matched(target.index),
                }
            }
            value if is_zero(value) => MemberFate::Matched(target.index),
            _ => MemberFate::NoProgram,
        };
    }
    let size = |btf: &Btf<'_>, id| btf.size_of(id).unwrap_or(0);
    let (ours, theirs) = (size(btf, local.ty), size(kernel.btf(), target.ty));
    if ours == theirs { MemberFate::Matched(target.index) } else { MemberFate::OtherSize(ours, theirs) }
}

/// Is every byte of the value zero.
pub fn is_zero(value: MemberInit<'_>) -> bool {
    match value {
        MemberInit::Null => true,
        MemberInit::Program(_) => false,
        MemberInit::Scalar(value) => value == 0,
        MemberInit::Bytes(bytes) => bytes.iter().all(|&b| b == 0),
    }
}
