//! The struct_ops types of a kernel, member by member.

use super::exceptions::{self, Fact};
use super::forms::cpu_name;
use super::kernel::{Home, Kernel};
use super::lookup::Lookup;
use crate::btf::{Kind, TypeId};

/// A struct_ops type of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsType<'d> {
    /// Its struct, what `attach_btf_id` names.
    pub id: TypeId,
    /// Size of the wrapper `struct bpf_struct_ops_<name>`: the map's value size, bytes.
    pub value_size: u32,
    /// Its members, in order.
    pub members: Vec<OpsMember<'d>>,
}

/// A member of a kernel's struct_ops type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsMember<'d> {
    /// Name.
    pub name: &'d str,
    /// Index, what `expected_attach_type` names.
    pub index: u32,
    /// Type.
    pub ty: TypeId,
    /// Width of a bitfield; 0 for an ordinary member.
    pub bitfield_size: u8,
    /// The prototype of a callback.
    pub proto: Option<TypeId>,
    /// The prototype of the kernel's own stub, whose parameter names carry marks such as `__nullable`;
    /// `None` for data, or where the kernel has no stub of a known name.
    stub: Option<TypeId>,
    /// A callback for which this kernel has no stub though it has for others: it cannot be implemented.
    pub stubless: bool,
}

/// Callbacks with an argument that may be NULL in every built-in release, the second in both, and what it is called.
pub const NULLABLE_ARGUMENTS: [(&str, &str); 2] = [("dispatch", "prev"), ("yield", "to")];

/// The argument of a callback that may be NULL, if any, where nothing is known of the kernel; 0 is the first.
pub fn usual_nullable_argument(member: &str) -> Option<usize> {
    NULLABLE_ARGUMENTS.iter().any(|(known, _)| *known == member).then_some(1)
}

impl<'d> Kernel<'d> {
    /// The struct_ops type of that name, without flavour (libbpf `find_struct_ops_kern_types`).
    pub fn ops_type(&self, name: &str) -> Lookup<OpsType<'d>> {
        let wrapper = self.find_anywhere(&format!("bpf_struct_ops_{name}"), Kind::Struct);
        match (wrapper, self.find(name, Kind::Struct)) {
            (Lookup::Found((home @ Home::Module(_), _)), _) => Lookup::Unknown(
                format!(
                    "module '{}' has the type, and struct_ops of modules are not looked at",
                    self.name_of(home)
                )
                .into(),
            ),
            (Lookup::Found((_, wrapper)), Some(id)) => Lookup::Found(OpsType::read(self, name, wrapper, id)),
            (Lookup::Found(_), None) => Lookup::Absent,
            (Lookup::Absent, _) => Lookup::Absent,
            (Lookup::Unknown(reason), _) => Lookup::Unknown(reason),
        }
    }
}

impl<'d> OpsType<'d> {
    fn read(kernel: &Kernel<'d>, name: &str, wrapper: TypeId, id: TypeId) -> Self {
        let btf = kernel.btf();
        let composite = btf.get(id).and_then(|ty| ty.composite());
        let members = composite.into_iter().flat_map(|ty| ty.members()).enumerate().map(|(index, member)| {
            let member_name = btf.str(member.name);
            let pointee =
                btf.resolve(member.ty).filter(|(_, ty)| ty.kind() == Kind::Ptr).map(|(_, ty)| ty.target());
            let proto = pointee.and_then(|id| btf.resolve(id)).filter(|(_, ty)| ty.kind() == Kind::FuncProto);
            let stub = proto.as_ref().and_then(|_| stub(kernel, name, member_name));
            OpsMember {
                name: member_name,
                index: index as u32,
                ty: member.ty,
                bitfield_size: member.bitfield_size,
                proto: proto.map(|(id, _)| id),
                stub,
                stubless: exceptions::is_stubless(kernel, name, member_name),
            }
        });
        let value_size = btf.get(wrapper).map_or(0, |ty| ty.size());
        Self { id, value_size, members: members.collect() }
    }

    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&OpsMember<'d>> {
        self.members.iter().find(|member| member.name == name)
    }
}

/// The prototype of a callback's stub. cid-form shares the stubs of cpu-form but for those whose arguments differ.
fn stub(kernel: &Kernel<'_>, ops: &str, member: &str) -> Option<TypeId> {
    let own = kernel.find(&format!("{ops}__{member}"), Kind::Func);
    let shared = || kernel.find(&format!("sched_ext_ops__{}", cpu_name(member)), Kind::Func);
    let func = own.or_else(|| if ops.starts_with("sched_ext_ops") { shared() } else { None })?;
    kernel.btf().get(func).map(|ty| ty.target())
}

impl OpsMember<'_> {
    /// Index of the first argument whose stub parameter has a mark, e.g. `__nullable` or `__arena`.
    fn marked(&self, kernel: &Kernel<'_>, mark: &str) -> Option<usize> {
        kernel.params(self.stub?).iter().position(|(name, _)| name.ends_with(mark))
    }

    /// Names of the arguments of the kernel's stub, marks included; none where there is no stub of a known name.
    pub fn stub_arguments<'k>(&self, kernel: &Kernel<'k>) -> Vec<&'k str> {
        let params = self.stub.map(|stub| kernel.params(stub));
        params.into_iter().flatten().map(|(name, _)| name).collect()
    }

    /// The argument that may be NULL, if any; 0 is the first.
    pub fn nullable_argument(&self, kernel: &Kernel<'_>) -> Option<usize> {
        if self.stub.is_some() {
            return self.marked(kernel, "__nullable");
        }
        usual_nullable_argument(self.name).filter(|_| kernel.is(Fact::NullableByMember))
    }

    /// What the kernel's stub calls an argument, a mark such as `__nullable` cut off; 0 is the first.
    pub fn argument_name<'k>(&self, kernel: &Kernel<'k>, argument: usize) -> Option<&'k str> {
        let (name, _) = *kernel.params(self.stub?).get(argument)?;
        name.split("__").next().filter(|name| !name.is_empty())
    }

    /// The argument that is an arena address, if any; 0 is the first.
    pub fn arena_argument(&self, kernel: &Kernel<'_>) -> Option<usize> {
        self.marked(kernel, "__arena")
    }

    /// Number of arguments of a callback.
    pub fn argument_count(&self, kernel: &Kernel<'_>) -> Option<usize> {
        Some(kernel.params(self.proto?).len())
    }

    /// Does a callback return anything.
    pub fn returns(&self, kernel: &Kernel<'_>) -> bool {
        let proto = self.proto.and_then(|id| kernel.btf().get(id)).and_then(|ty| ty.func_proto());
        proto.is_some_and(|proto| proto.ret() != TypeId::VOID)
    }

    /// May a program for this callback be loaded as sleepable (`bpf_scx_check_member`).
    pub fn may_sleep(&self, kernel: &Kernel<'_>) -> Lookup<bool> {
        exceptions::may_sleep(kernel, self.name)
    }
}
