//! Kfuncs as a kernel's BTF declares them.

use super::exceptions::{self, Fact};
use super::kernel::{Home, Kernel};
use super::lookup::{DecidedBy, Lookup, Reason};
use crate::btf::{Btf, Kind, TypeId};

/// A kfunc as a kernel's BTF declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kfunc {
    /// Its FUNC.
    pub func: TypeId,
    /// Its FUNC_PROTO.
    pub proto: TypeId,
    /// The BTF that both ids count in.
    pub home: Home,
}

impl<'d> Kernel<'d> {
    /// The function that an extern without flavour resolves to (libbpf `bpf_object__resolve_ksym_func_btf_id`).
    pub fn kfunc(&self, name: &str) -> Lookup<Kfunc> {
        if self.find(name, Kind::Func).is_none() {
            if self.is_cut_function(name) {
                let reason =
                    Reason::from("the kernel's prototype of the function was cut from this snapshot");
                return Lookup::Unknown(reason.decided_by(DecidedBy::Image));
            }
            let may_be_in_module =
                !self.modules.is_known() && self.knows(Fact::ModuleTypes) != Lookup::Absent;
            if may_be_in_module && exceptions::is_module_kfunc(name) {
                let reason = Reason::from("modules register such kfuncs, and modules' types are not known");
                return Lookup::Unknown(reason.decided_by(DecidedBy::Run));
            }
        }
        self.find_anywhere(name, Kind::Func).map(|(home, func)| {
            let proto = self.btf_of(home).get(func).map_or(TypeId::VOID, |ty| ty.target());
            Kfunc { func, proto, home }
        })
    }

    /// What a tracing program attaches to, and where it is: `module` as in `fentry/module:function`, where given
    /// (libbpf `find_kernel_btf_id`).
    pub fn attach_target(&self, module: Option<&str>, name: &str, kind: Kind) -> Lookup<Home> {
        // Compared for as long as the name given is (`strncmp`).
        if module.is_none_or(|module| "vmlinux".starts_with(module)) {
            let cut = kind == Kind::Func && self.is_cut_function(name);
            if cut || self.find(name, kind).is_some() {
                return Lookup::Found(Home::Vmlinux);
            }
        } else if self.knows(Fact::ModuleTypes) == Lookup::Absent {
            return Lookup::Absent;
        } else if !self.modules.is_known() {
            return Lookup::Unknown("the types of that module are not known".into());
        }
        let wanted = |own: &str| module.is_none_or(|module| own.starts_with(module));
        self.find_in_modules(name, kind, wanted).map(|(home, _)| home)
    }

    /// Parameters of a prototype of the kernel itself: name and type.
    pub fn params(&self, proto: TypeId) -> Vec<(&'d str, TypeId)> {
        params(self.btf(), proto)
    }

    /// Parameters of a kfunc: name and type, which counts in the kfunc's home.
    pub fn kfunc_params(&self, kfunc: Kfunc) -> Vec<(&str, TypeId)> {
        params(&self.btf_of(kfunc.home), kfunc.proto)
    }

    /// A kfunc as C declares it, without the `const`s, which nothing compares: `void scx_bpf_kick_cpu(int cpu, u64 flags)`.
    pub fn signature(&self, name: &str, kfunc: Kfunc) -> String {
        self.btf_of(kfunc.home).declaration(kfunc.proto, name).replace("const ", "")
    }

    /// Does the prototype's last parameter belong to the kernel, which would fill it in if the BTF had been
    /// converted (KF_IMPLICIT_ARGS): a kfunc with a `struct bpf_prog_aux *aux` and no `NAME_impl` twin cannot be called.
    pub fn has_leaked_aux(&self, name: &str, kfunc: Kfunc) -> bool {
        let btf = self.btf_of(kfunc.home);
        let is_aux = params(&btf, kfunc.proto).last().is_some_and(|&(param, ty)| {
            let pointee = btf.resolve(ty).filter(|(_, ty)| ty.kind() == Kind::Ptr);
            let target = pointee.and_then(|(_, ty)| btf.resolve(ty.target()));
            param.starts_with("aux") && target.is_some_and(|(_, ty)| btf.name(&ty) == "bpf_prog_aux")
        });
        is_aux && !name.ends_with("_impl") && btf.names().find(&format!("{name}_impl"), Kind::Func).is_none()
    }
}

/// Parameters of a prototype: name and type.
fn params<'b>(btf: &Btf<'b>, proto: TypeId) -> Vec<(&'b str, TypeId)> {
    let proto = btf.get(proto).and_then(|ty| ty.func_proto());
    let params = proto.into_iter().flat_map(|proto| proto.params());
    params.map(|param| (btf.str(param.name), param.ty)).collect()
}
