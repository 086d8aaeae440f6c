//! Whether a type of the object and one of the kernel are the same for libbpf's purposes (`relo_core.c` of libbpf 1.7).
//!
//! Three relations, from loose to strict: fields that a CO-RE access may go through, types that a kfunc, typed ksym or
//! `bpf_core_type_exists` may stand for, and `bpf_core_type_matches`.

use super::names::essential;
use super::{Btf, Composite, Kind, StrOff, Type, TypeId};
use crate::errno::Errno;

/// How deep pointers, arrays, prototypes and members are followed (`depth`, `level` in libbpf).
pub(super) const DEPTH: u32 = 32;

/// Comparisons before an answer is given up. libbpf has no such limit, and types of the right shape (prototypes that
/// take two of the next prototype each, 32 deep) would keep it busy for years. Real ones take thousands.
const STEPS: u32 = 1 << 20;

/// What is left to spend on one question.
pub(super) struct Budget(u32);

impl Budget {
    pub(super) fn new() -> Self {
        Self(STEPS)
    }

    pub(super) fn spend(&mut self) -> Result<(), Errno> {
        self.0 = self.0.checked_sub(1).ok_or(Errno::E2BIG)?;
        Ok(())
    }
}

/// One type in each BTF.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a, 'l, 't> {
    pub(super) local: &'a Btf<'l>,
    pub(super) target: &'a Btf<'t>,
}

/// Do kinds agree, either enum for the other (`btf_kind_core_compat`).
pub(super) fn kinds_are_compat(local: Kind, target: Kind) -> bool {
    let is_enum = |kind| matches!(kind, Kind::Enum | Kind::Enum64);
    local == target || is_enum(local) && is_enum(target)
}

/// Can values of the local type stand for values of the target type (libbpf `bpf_core_types_are_compat`). Only the
/// shape counts: names below the root, sizes and signs do not, and what kind a struct pointed at is does.
///
/// This is what a kfunc's or typed ksym's declaration has to be to the kernel's; there an error is a no.
///
/// # Errors
/// `EINVAL` for a cycle and for more than 32 levels, which libbpf gives up on, and `E2BIG` where we do.
pub fn types_are_compat(
    local: &Btf<'_>,
    local_id: TypeId,
    target: &Btf<'_>,
    target_id: TypeId,
) -> Result<bool, Errno> {
    Pair { local, target }.are_compat(local_id, target_id, DEPTH, &mut Budget::new())
}

/// Does the local type fit into the target type (libbpf `bpf_core_types_match`, behind `bpf_core_type_matches`): local
/// members and enumerators exist by name, members match in turn, integers and arrays are equal; behind pointers only
/// name and kind count. The names of the roots are the caller's to compare where they are typedefs.
///
/// # Errors
/// As for [`types_are_compat`].
pub fn types_match(
    local: &Btf<'_>,
    local_id: TypeId,
    target: &Btf<'_>,
    target_id: TypeId,
) -> Result<bool, Errno> {
    Pair { local, target }.match_types(local_id, target_id, false, DEPTH, &mut Budget::new())
}

/// May a CO-RE access that goes through a field of the local type go through one of the target type (libbpf
/// `bpf_core_fields_are_compat`).
///
/// # Errors
/// As for [`types_are_compat`]; the depth of arrays is not limited.
pub fn fields_are_compat(
    local: &Btf<'_>,
    local_id: TypeId,
    target: &Btf<'_>,
    target_id: TypeId,
) -> Result<bool, Errno> {
    Pair { local, target }.fields_are_compat(local_id, target_id, &mut Budget::new())
}

impl<'l, 't> Pair<'_, 'l, 't> {
    /// Both without modifiers and typedefs.
    fn resolve(&self, local_id: TypeId, target_id: TypeId) -> Result<(Type<'l>, Type<'t>), Errno> {
        match (self.local.resolve(local_id), self.target.resolve(target_id)) {
            (Some((_, local)), Some((_, target))) => Ok((local, target)),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn are_compat(
        &self,
        mut local_id: TypeId,
        mut target_id: TypeId,
        level: u32,
        budget: &mut Budget,
    ) -> Result<bool, Errno> {
        let kind = |btf: &Btf<'_>, id| btf.get(id).map(|ty| ty.kind()).ok_or(Errno::EINVAL);
        if !kinds_are_compat(kind(self.local, local_id)?, kind(self.target, target_id)?) {
            return Ok(false);
        }
        for _ in 0..DEPTH {
            budget.spend()?;
            let (local, target) = self.resolve(local_id, target_id)?;
            if !kinds_are_compat(local.kind(), target.kind()) {
                return Ok(false);
            }
            match local.kind() {
                Kind::Void | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Fwd => {
                    return Ok(true);
                }
                Kind::Int => return Ok(local.int_offset() == 0 && target.int_offset() == 0),
                Kind::Ptr => (local_id, target_id) = (local.target(), target.target()),
                Kind::Array => (local_id, target_id) = elements(&local, &target)?,
                Kind::FuncProto => {
                    if local.vlen() != target.vlen() {
                        return Ok(false);
                    }
                    for (local, target) in params(&local, &target) {
                        let level = level.checked_sub(1).ok_or(Errno::EINVAL)?;
                        // Modifiers come off before the first look at the kinds.
                        let bare = |btf: &Btf<'_>, id| btf.resolve(id).map(|(id, _)| id).ok_or(Errno::EINVAL);
                        let (local, target) = (bare(self.local, local)?, bare(self.target, target)?);
                        if !self.are_compat(local, target, level, budget)? {
                            return Ok(false);
                        }
                    }
                    (local_id, target_id) = (local.target(), target.target());
                }
                _ => return Ok(false),
            }
        }
        Err(Errno::EINVAL)
    }

    pub(super) fn fields_are_compat(
        &self,
        mut local_id: TypeId,
        mut target_id: TypeId,
        budget: &mut Budget,
    ) -> Result<bool, Errno> {
        loop {
            budget.spend()?;
            let (local, target) = self.resolve(local_id, target_id)?;
            if local.composite().is_some() && target.composite().is_some() {
                return Ok(true);
            }
            if !kinds_are_compat(local.kind(), target.kind()) {
                return Ok(false);
            }
            match local.kind() {
                Kind::Ptr | Kind::Float => return Ok(true),
                Kind::Fwd | Kind::Enum | Kind::Enum64 => {
                    let local = essential(self.local.bytes(local.name()));
                    let target = essential(self.target.bytes(target.name()));
                    return Ok(local.is_empty() || target.is_empty() || local == target);
                }
                Kind::Int => return Ok(local.int_offset() == 0 && target.int_offset() == 0),
                Kind::Array => {
                    // An array of itself would go on for ever in libbpf; here the budget ends it.
                    (local_id, target_id) = elements(&local, &target)?;
                }
                _ => return Ok(false),
            }
        }
    }

    /// Equal but for flavours, or both empty (`bpf_core_names_match`).
    fn names_match(&self, local: StrOff, target: StrOff) -> bool {
        let (local, target) = (self.local.bytes(local), self.target.bytes(target));
        essential(local) == essential(target)
    }

    pub(super) fn match_types(
        &self,
        mut local_id: TypeId,
        mut target_id: TypeId,
        mut behind_pointer: bool,
        level: u32,
        budget: &mut Budget,
    ) -> Result<bool, Errno> {
        if level == 0 {
            return Err(Errno::EINVAL);
        }
        for _ in 0..DEPTH {
            budget.spend()?;
            let (local, target) = self.resolve(local_id, target_id)?;
            if !self.names_match(local.name(), target.name()) {
                return Ok(false);
            }
            let (from, to) = (local.kind(), target.kind());
            match from {
                Kind::Fwd => {
                    let of = if local.is_fwd_union() { Kind::Union } else { Kind::Struct };
                    return Ok(if from == to {
                        local.is_fwd_union() == target.is_fwd_union()
                    } else {
                        behind_pointer && to == of
                    });
                }
                Kind::Enum | Kind::Enum64 => {
                    return if target.enumerators().is_some() {
                        self.match_enums(&local, &target, budget)
                    } else {
                        Ok(false)
                    };
                }
                Kind::Struct | Kind::Union if behind_pointer => {
                    // Kind flags of anything but a FWD mean something else, and are not looked at.
                    let fwd_of = if target.is_fwd_union() { Kind::Union } else { Kind::Struct };
                    return Ok(from == to || to == Kind::Fwd && from == fwd_of);
                }
                _ if from != to => return Ok(false),
                Kind::Void => return Ok(true),
                Kind::Struct | Kind::Union => {
                    let (Some(local), Some(target)) = (local.composite(), target.composite()) else {
                        return Ok(false);
                    };
                    return self.match_members(local, target, behind_pointer, level, budget);
                }
                Kind::Int => {
                    let sign = |ty: &Type<'_>| ty.int_encoding() & 1;
                    return Ok(local.size() == target.size() && sign(&local) == sign(&target));
                }
                Kind::Ptr => {
                    behind_pointer = true;
                    (local_id, target_id) = (local.target(), target.target());
                }
                Kind::Array => {
                    let len = |ty: &Type<'_>| ty.array().map(|array| array.nelems);
                    if len(&local) != len(&target) {
                        return Ok(false);
                    }
                    (local_id, target_id) = elements(&local, &target)?;
                }
                Kind::FuncProto => {
                    if local.vlen() != target.vlen() {
                        return Ok(false);
                    }
                    for (local, target) in params(&local, &target) {
                        if !self.match_types(local, target, behind_pointer, level - 1, budget)? {
                            return Ok(false);
                        }
                    }
                    (local_id, target_id) = (local.target(), target.target());
                }
                _ => return Ok(false),
            }
        }
        Err(Errno::EINVAL)
    }

    fn match_enums(&self, local: &Type<'_>, target: &Type<'_>, budget: &mut Budget) -> Result<bool, Errno> {
        if local.size() != target.size() || local.vlen() > target.vlen() {
            return Ok(false);
        }
        for local in local.enumerators().into_iter().flat_map(|values| values.values()) {
            let targets = target.enumerators().into_iter().flat_map(|values| values.values());
            let mut found = false;
            for target in targets {
                budget.spend()?;
                if self.names_match(local.name, target.name) {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn match_members(
        &self,
        local: Composite<'_>,
        target: Composite<'_>,
        behind_pointer: bool,
        level: u32,
        budget: &mut Budget,
    ) -> Result<bool, Errno> {
        if local.members().len() > target.members().len() {
            return Ok(false);
        }
        'local: for local in local.members() {
            for target in target.members() {
                budget.spend()?;
                if self.names_match(local.name, target.name)
                    && self.match_types(local.ty, target.ty, behind_pointer, level - 1, budget)?
                {
                    continue 'local;
                }
            }
            return Ok(false);
        }
        Ok(true)
    }
}

fn elements(local: &Type<'_>, target: &Type<'_>) -> Result<(TypeId, TypeId), Errno> {
    match (local.array(), target.array()) {
        (Some(local), Some(target)) => Ok((local.elem, target.elem)),
        _ => Err(Errno::EINVAL),
    }
}

fn params(local: &Type<'_>, target: &Type<'_>) -> impl Iterator<Item = (TypeId, TypeId)> {
    let types = |ty: &Type<'_>| {
        let proto = ty.func_proto();
        proto.into_iter().flat_map(|proto| proto.params().map(|param| param.ty)).collect::<Vec<_>>()
    };
    types(local).into_iter().zip(types(target))
}
