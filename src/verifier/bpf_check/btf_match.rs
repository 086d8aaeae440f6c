//! Whether a pointer to one type may be passed where another is asked for (`btf_struct_ids_match`).

use super::btf_access::{DEPTH, WalkResult, Walked, struct_walk};
use super::checker::Checker;
use super::refusal::{Step, Stop};
use super::reg::{BtfOf, TypeRef};
use crate::btf::Btf;
use crate::kernel::Home;

/// What comes of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matched {
    /// The pointer points to such a type, or to one at its start.
    Yes,
    /// It does not; with the line that the kernel prints on the way, if any.
    No(Option<String>),
}

impl Matched {
    /// It does.
    pub fn is_yes(&self) -> bool {
        *self == Self::Yes
    }
}

impl Checker<'_, '_> {
    /// Asks the BTF that a type is of.
    ///
    /// # Errors
    /// The object has none.
    pub fn in_btf<R>(&self, of: BtfOf, ask: impl FnOnce(&Btf<'_>) -> R) -> Step<R> {
        match of {
            BtfOf::Kernel(Home::Vmlinux) => Ok(ask(self.kernel.btf())),
            BtfOf::Kernel(home) => Ok(ask(&self.kernel.btf_of(home))),
            BtfOf::Object => match self.object.btf.as_ref() {
                Some(btf) => Ok(ask(btf)),
                None => Err(Stop::unmodelled("an object without types")),
            },
        }
    }

    /// The name of a type as messages give it (`btf_type_name`); empty where it has none.
    pub fn name_of_type(&self, ty: TypeRef) -> String {
        let name = |btf: &Btf<'_>| btf.get(ty.id).map(|found| btf.name(&found).to_owned());
        self.in_btf(ty.btf, name).ok().flatten().unwrap_or_default()
    }

    /// Both are one type (`btf_types_are_same`): modules share the types of the kernel.
    pub fn is_same_type(&self, one: TypeRef, other: TypeRef) -> bool {
        let is_shared = || match (one.btf, other.btf) {
            (BtfOf::Kernel(_), BtfOf::Kernel(_)) => (one.id.0 as usize) < self.kernel.btf().len(),
            _ => false,
        };
        one.id == other.id && (one.btf == other.btf || is_shared())
    }

    /// A pointer to `have`, moved by `off`, points to `need`, or to a struct that has it at its start (`btf_struct_ids_match`).
    /// With `strict` it must be the type itself; with `flexible` an array without a size at the end of a struct goes on.
    ///
    /// # Errors
    /// A type on the way is not known.
    pub fn match_struct(
        &self,
        have: TypeRef,
        off: i64,
        need: TypeRef,
        strict: bool,
        flexible: bool,
    ) -> Step<Matched> {
        if off == 0 && self.is_same_type(have, need) {
            return Ok(Matched::Yes);
        }
        if strict {
            return Ok(Matched::No(None));
        }
        let walk = |btf: &Btf<'_>| {
            let (mut at, mut off) = (have.id, off);
            for _ in 0..DEPTH {
                match struct_walk(btf, &self.rules, at, off, 1, flexible) {
                    Ok(Walked { place: WalkResult::Struct(found), .. }) => {
                        if self.is_same_type(TypeRef { btf: have.btf, id: found }, need) {
                            return Ok(Matched::Yes);
                        }
                        (at, off) = (found, 0);
                    }
                    Ok(_) => return Ok(Matched::No(None)),
                    Err(Stop::Refused { message, .. }) => return Ok(Matched::No(Some(message))),
                    Err(stop) => return Err(stop),
                }
            }
            Err(Stop::unmodelled("a type that is too deep"))
        };
        self.in_btf(have.btf, walk)?
    }
}
