//! Types whose fields keep trust: what a program reads from them it may hand on, though it is no argument of its own.
//!
//! The verifier keeps the list in its own types: beside `struct task_struct` there is `struct task_struct__safe_rcu` with the members
//! whose pointers RCU protects, and so on (kernel `BTF_TYPE_SAFE_RCU`, `btf_nested_type_is_trusted`). So each kernel's BTF tells its own.

use super::kernel::Kernel;
use crate::btf::Kind;

/// What a pointer is that was read from a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Protected by RCU.
    Rcu,
    /// Protected by RCU, or NULL.
    RcuOrNull,
    /// Trusted.
    Trusted,
    /// Trusted, or NULL.
    TrustedOrNull,
}

impl Trust {
    /// All of them, with what the names of the verifier's types end in.
    const ALL: [(&'static str, Self); 4] = [
        ("__safe_rcu", Self::Rcu),
        ("__safe_rcu_or_null", Self::RcuOrNull),
        ("__safe_trusted", Self::Trusted),
        ("__safe_trusted_or_null", Self::TrustedOrNull),
    ];

    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rcu => "rcu",
            Self::RcuOrNull => "rcu or null",
            Self::Trusted => "trusted",
            Self::TrustedOrNull => "trusted or null",
        }
    }
}

/// A field that keeps trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedField<'d> {
    /// The struct.
    pub of: &'d str,
    /// The member.
    pub field: &'d str,
    /// What is read from it.
    pub trust: Trust,
}

impl<'d> Kernel<'d> {
    /// The fields that keep trust, in the order of the BTF; none where its verifier's types were cut.
    pub fn trusted_fields(&self) -> Vec<TrustedField<'d>> {
        let btf = self.btf();
        let structs = btf.types().filter(|(_, ty)| ty.kind() == Kind::Struct);
        let fields = structs.filter_map(|(_, ty)| {
            let name = btf.name(&ty);
            let found = Trust::ALL.iter().find_map(|(end, trust)| Some((name.strip_suffix(end)?, *trust)));
            let (of, trust) = found?;
            let members = ty.composite()?.members();
            Some(members.map(move |member| TrustedField { of, field: btf.str(member.name), trust }))
        });
        fields.flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::TypeId;
    use crate::kernel::builtin::RELEASES;
    use crate::kernel::target;

    /// Has a struct a member of that name, if need be in one without a name.
    fn has_member(kernel: &Kernel<'_>, id: TypeId, name: &str) -> bool {
        let members = kernel.btf().get(id).and_then(|ty| ty.composite());
        members.into_iter().flat_map(|ty| ty.members()).any(|member| match kernel.btf().str(member.name) {
            "" => has_member(kernel, member.ty, name),
            found => found == name,
        })
    }

    #[test]
    fn every_release_lists_fields_that_its_types_have() {
        for release in RELEASES {
            let target = target::load(release.name).unwrap().remove(0);
            let kernel = Kernel::new(&target).unwrap();
            let fields = kernel.trusted_fields();
            let has = |of, field, trust| fields.contains(&TrustedField { of, field, trust });
            assert!(has("task_struct", "cpus_ptr", Trust::Rcu), "{}", release.name);
            assert!(has("task_struct", "real_parent", Trust::Rcu), "{}", release.name);
            assert!(has("mm_struct", "exe_file", Trust::RcuOrNull), "{}", release.name);
            assert!(has("file", "f_inode", Trust::Trusted), "{}", release.name);
            for known in Trust::ALL.map(|(_, trust)| trust) {
                assert!(fields.iter().any(|field| field.trust == known), "{known:?} of {}", release.name);
            }
            for TrustedField { of, field, .. } in fields {
                // The small configuration of 6.12 has fewer types than its verifier speaks of.
                let Some(id) = kernel.find(of, Kind::Struct) else { continue };
                assert!(has_member(&kernel, id, field), "{of}.{field} of {}", release.name);
            }
        }
    }
}
