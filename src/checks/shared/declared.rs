//! What the object declares beside what the kernel has, in words.

use crate::btf::{Btf, Kind, PrototypeDifference, TypeId, prototype_differences};
use crate::kernel::{Home, Kernel, Kfunc};
use crate::object::{Extern, Object};

/// A declaration of the object and the kernel's, and what differs.
pub(in crate::checks) struct Sides {
    /// The object's, as C has it.
    pub(in crate::checks) here: String,
    /// The kernel's.
    pub(in crate::checks) kernel: String,
    /// What differs, one part a phrase.
    marks: Vec<String>,
}

impl Sides {
    /// A kfunc. `None` where the object has no types.
    pub(in crate::checks) fn of_kfunc(
        object: &Object<'_>,
        external: &Extern<'_>,
        kernel: &Kernel<'_>,
        kfunc: Kfunc,
    ) -> Option<Self> {
        let local = object.btf.as_ref()?;
        let target = kernel.btf_of(kfunc.home);
        let proto = local.get(external.type_id)?.target();
        let name = Object::essential_name(external.name);
        Some(Self {
            here: local.declaration(proto, external.name),
            kernel: target.declaration(kfunc.proto, name),
            marks: marks(local, proto, &target, kfunc.proto),
        })
    }

    /// A variable, by the VAR of the kernel.
    pub(in crate::checks) fn of_variable(
        object: &Object<'_>,
        external: &Extern<'_>,
        kernel: &Kernel<'_>,
        (home, var): (Home, TypeId),
    ) -> Option<Self> {
        let local = object.btf.as_ref()?;
        let target = kernel.btf_of(home);
        let ours = local.get(external.type_id)?.target();
        let theirs = target.get(var)?.target();
        Some(Self {
            here: local.declaration(ours, external.name),
            kernel: target.declaration(theirs, external.name),
            marks: only_declared(local, ours, &target, theirs).into_iter().collect(),
        })
    }

    /// A member of an ops variable, by its types there and in the kernel.
    pub(in crate::checks) fn of_member(
        object: &Object<'_>,
        kernel: &Kernel<'_>,
        member: &str,
        ours: TypeId,
        theirs: TypeId,
    ) -> Option<Self> {
        let (local, target) = (object.btf.as_ref()?, kernel.btf());
        let pointee = |btf: &Btf<'_>, id| match btf.resolve(id) {
            Some((_, ty)) if ty.kind() == Kind::Ptr => ty.target(),
            _ => id,
        };
        Some(Self {
            here: local.declaration(ours, member),
            kernel: target.declaration(theirs, member),
            marks: marks(local, pointee(local, ours), target, pointee(target, theirs)),
        })
    }

    /// `'int f(u32)', the kernel has 'void f(u32)': returns 'int' here, 'void' in the kernel`.
    pub(in crate::checks) fn words(&self) -> String {
        let mut words = format!("'{}', the kernel has '{}'", self.here, self.kernel);
        if !self.marks.is_empty() {
            words.push_str(": ");
            words.push_str(&self.marks.join("; "));
        }
        words
    }
}

/// The differences of two prototypes as phrases.
fn marks(local: &Btf<'_>, ours: TypeId, target: &Btf<'_>, theirs: TypeId) -> Vec<String> {
    let pair = |ours, theirs| {
        let (here, there) = (local.declaration(ours, ""), target.declaration(theirs, ""));
        let why = only_declared(local, ours, target, theirs).map(|why| format!(", {why}"));
        format!("'{here}' here, '{there}' in the kernel{}", why.unwrap_or_default())
    };
    let name = |number: usize| format!("argument {}", number + 1);
    let phrase = |difference| match difference {
        PrototypeDifference::Count(ours, theirs) => {
            format!("takes {} here, {theirs} in the kernel", arguments(ours))
        }
        PrototypeDifference::Param(number, ours, theirs) => {
            format!("{}: {}", name(number), pair(ours, theirs))
        }
        PrototypeDifference::Return(ours, theirs) => format!("returns {}", pair(ours, theirs)),
    };
    prototype_differences(local, ours, target, theirs).into_iter().map(phrase).collect()
}

fn arguments(count: usize) -> String {
    match count {
        0 => "no argument".to_owned(),
        1 => "1 argument".to_owned(),
        count => format!("{count} arguments"),
    }
}

/// Two types that are written alike and are not: one of them is a struct that is declared and never defined.
fn only_declared(local: &Btf<'_>, ours: TypeId, target: &Btf<'_>, theirs: TypeId) -> Option<String> {
    let is_forward = |btf: &Btf<'_>, id| {
        let mut id = id;
        for _ in 0..8 {
            let (_, ty) = btf.resolve(id)?;
            match ty.kind() {
                Kind::Ptr => id = ty.target(),
                kind => return Some(kind == Kind::Fwd),
            }
        }
        None
    };
    match (is_forward(local, ours)?, is_forward(target, theirs)?) {
        (true, false) => Some("which is declared here without its members".to_owned()),
        (false, true) => Some("which the kernel's types declare without its members".to_owned()),
        _ => None,
    }
}
