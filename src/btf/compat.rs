//! Whether a type of the object and one of the kernel are the same for libbpf's purposes (`relo_core.c` of libbpf).
//!
//! Three relations, from loose to strict: fields that a CO-RE access may go through, types that a kfunc, typed ksym or
//! `bpf_core_type_exists` may stand for, and `bpf_core_type_matches`.

use super::ids::{StrOff, TypeId};
use super::names::essential;
use super::section::Btf;
use super::types::{Composite, Kind, Type};
use crate::errno::Errno;

/// How deep pointers, arrays, prototypes and members are followed (`depth`, `level` in libbpf).
pub(super) const DEPTH: u32 = 32;

/// Comparisons before an answer is given up. libbpf has no such limit, and types of the right shape (prototypes that
/// take two of the next prototype each, 32 deep) would keep it busy for years. Real ones take thousands.
const STEPS: u32 = 1 << 20;

/// What is left to spend on comparing types.
#[derive(Debug)]
pub struct Budget(u32);

impl Budget {
    /// As much as one question may cost.
    pub(super) fn new() -> Self {
        Self(STEPS)
    }

    /// As much as so many questions about one object may cost together. Few take more than a thousand steps.
    pub fn for_questions(count: usize) -> Self {
        const EACH: usize = 1 << 10;
        Self(u32::try_from(count.saturating_mul(EACH)).unwrap_or(u32::MAX).saturating_add(4 * STEPS))
    }

    pub(super) fn spend(&mut self) -> Result<(), Errno> {
        self.0 = self.0.checked_sub(1).ok_or(Errno::E2BIG)?;
        Ok(())
    }

    /// Asks one question, which may cost no more than any, and pays for it.
    pub(super) fn ask<T>(&mut self, question: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.0.min(STEPS);
        let mut own = Self(before);
        let answer = question(&mut own);
        self.0 -= before - own.0;
        answer
    }

    /// It was not enough.
    pub(super) fn is_spent(&self) -> bool {
        self.0 == 0
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
    types_are_compat_within(local, local_id, target, target_id, &mut Budget::new())
}

/// The same as one of many questions.
///
/// # Errors
/// As for [`types_are_compat`].
pub fn types_are_compat_within(
    local: &Btf<'_>,
    local_id: TypeId,
    target: &Btf<'_>,
    target_id: TypeId,
    budget: &mut Budget,
) -> Result<bool, Errno> {
    budget.ask(|budget| Pair { local, target }.are_compat(local_id, target_id, DEPTH, budget))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::build::{Builder, Field};

    type Question = fn(&Btf<'_>, TypeId, &Btf<'_>, TypeId) -> Result<bool, Errno>;

    /// Asks about two types of one BTF, one of which plays the kernel's.
    fn ask(build: &Builder, question: Question, local: TypeId, target: TypeId) -> Result<bool, Errno> {
        let bytes = build.finish();
        let btf = Btf::parse(&bytes).unwrap();
        question(&btf, local, &btf, target)
    }

    #[test]
    fn types_are_compared_by_shape() {
        let mut build = Builder::new();
        let (int, long) = (build.int("int", 4, true), build.int("unsigned long", 8, false));
        let (a, b) = (build.composite("a", 4, &[]), build.composite("b", 8, &[]));
        let (narrow, wide) = (build.enumeration("e", &[]), build.enum64("f", &[]));
        let fwd = build.fwd("a", false);
        let [to_a, to_b, to_fwd, to_void] = [a, b, fwd, TypeId::VOID].map(|to| build.ptr(to));
        let konst = build.refer(Kind::Const, "", int);
        let named = build.typedef("t", int);
        let (three, four) = (build.array(int, 3), build.array(long, 4));
        let takes = [to_a, to_b, to_fwd, konst].map(|ty| build.proto(int, &[("x", ty)]));
        let returns_void = build.proto(TypeId::VOID, &[("x", to_a)]);
        let yes = [
            (int, long),
            (a, b),
            (narrow, wide),
            (to_a, to_b),
            (three, four),
            (takes[0], takes[1]),
            (konst, konst),
            (TypeId::VOID, TypeId::VOID),
        ];
        let no = [
            (int, narrow),
            (a, fwd),
            (to_a, to_fwd),
            (to_void, to_a),
            (int, to_a),
            (takes[0], takes[2]),
            (takes[0], takes[3]),
            (takes[0], returns_void),
            // The roots themselves are compared as they are.
            (int, konst),
            (int, named),
        ];
        for (local, target) in yes {
            assert_eq!(ask(&build, types_are_compat, local, target), Ok(true), "{local} {target}");
        }
        for (local, target) in no {
            assert_eq!(ask(&build, types_are_compat, local, target), Ok(false), "{local} {target}");
            assert_eq!(ask(&build, types_are_compat, target, local), Ok(false), "{target} {local}");
        }
    }

    #[test]
    fn depth_is_limited() {
        let mut build = Builder::new();
        let mut ty = build.int("int", 4, true);
        for _ in 0..31 {
            ty = build.ptr(ty);
        }
        assert_eq!(ask(&build, types_are_compat, ty, ty), Ok(true));
        let deeper = build.ptr(ty);
        assert_eq!(ask(&build, types_are_compat, deeper, deeper), Err(Errno::EINVAL));
        assert_eq!(ask(&build, types_match, deeper, deeper), Err(Errno::EINVAL));
    }

    #[test]
    fn cycles_end() {
        let mut build = Builder::new();
        // The first type has the id 1.
        let typedef = build.typedef("t", TypeId(1));
        assert_eq!(typedef, TypeId(1));
        let array = build.array(TypeId(typedef.0 + 1), 1);
        for question in [types_are_compat as Question, types_match, fields_are_compat] {
            assert_eq!(ask(&build, question, typedef, typedef), Err(Errno::EINVAL));
            assert!(ask(&build, question, array, array).is_err());
        }
        // Prototypes that take two of the next each.
        let mut build = Builder::new();
        let mut proto = build.proto(TypeId::VOID, &[]);
        for _ in 0..31 {
            proto = build.proto(TypeId::VOID, &[("a", proto), ("b", proto)]);
        }
        assert_eq!(ask(&build, types_are_compat, proto, proto), Err(Errno::E2BIG));
        assert_eq!(ask(&build, types_match, proto, proto), Err(Errno::E2BIG));
    }

    #[test]
    fn matching_is_a_subset() {
        let mut build = Builder::new();
        let (int, uint) = (build.int("int", 4, true), build.int("unsigned int", 4, false));
        let (small, large) = (
            build.composite("s___x", 4, &[Field::new("a", int, 0)]),
            build.composite("s", 8, &[Field::new("b", uint, 0), Field::new("a", int, 32)]),
        );
        let other = build.composite("s", 8, &[Field::new("b", int, 0), Field::new("a", uint, 32)]);
        assert_eq!(ask(&build, types_match, small, large), Ok(true));
        assert_eq!(ask(&build, types_match, large, small), Ok(false));
        assert_eq!(ask(&build, types_match, small, other), Ok(false));
        assert_eq!(ask(&build, types_match, int, uint), Ok(false));
        // Behind a pointer only name and kind count, and a declaration will do.
        let (fwd, fwd_union) = (build.fwd("s", false), build.fwd("s", true));
        let [to_small, to_other, to_fwd, to_union] = [small, other, fwd, fwd_union].map(|to| build.ptr(to));
        assert_eq!(ask(&build, types_match, to_small, to_other), Ok(true));
        assert_eq!(ask(&build, types_match, to_small, to_fwd), Ok(true));
        assert_eq!(ask(&build, types_match, to_fwd, to_small), Ok(true));
        assert_eq!(ask(&build, types_match, to_small, to_union), Ok(false));
        assert_eq!(ask(&build, types_match, to_union, to_small), Ok(false));
        assert_eq!(ask(&build, types_match, small, fwd), Ok(false));
        let (three, four) = (build.array(int, 3), build.array(int, 4));
        assert_eq!(ask(&build, types_match, three, four), Ok(false));
        // Enumerators by name, whatever their value; the width has to be the same.
        let (one, two) = (build.enumeration("e", &[("A", 1)]), build.enumeration("e", &[("B", 1), ("A", 2)]));
        let wide = build.enum64("e", &[("A", 1)]);
        assert_eq!(ask(&build, types_match, one, two), Ok(true));
        assert_eq!(ask(&build, types_match, two, one), Ok(false));
        assert_eq!(ask(&build, types_match, one, wide), Ok(false));
    }

    #[test]
    fn fields_are_compared_loosely() {
        let mut build = Builder::new();
        let (int, long) = (build.int("int", 4, true), build.int("unsigned long", 8, false));
        let (structure, union) = (build.composite("a", 4, &[]), build.union("b", 8, &[]));
        let (e, same, anonymous, f) = (
            build.enumeration("e___x", &[]),
            build.enum64("e", &[]),
            build.enumeration("", &[]),
            build.enumeration("f", &[]),
        );
        let (to_int, to_union) = (build.ptr(int), build.ptr(union));
        let (three, four) = (build.array(int, 3), build.array(long, 4));
        let (single, double) = (build.float("float", 4), build.float("double", 8));
        let shifted = build.raw(Kind::Int, "old", 0, 4, &[1 << 24 | 3 << 16 | 5]);
        for (local, target) in [
            (int, long),
            (structure, union),
            (e, same),
            (e, anonymous),
            (to_int, to_union),
            (three, four),
            (single, double),
        ] {
            assert_eq!(ask(&build, fields_are_compat, local, target), Ok(true), "{local} {target}");
        }
        for (local, target) in
            [(e, f), (int, e), (int, three), (structure, to_int), (int, shifted), (int, single)]
        {
            assert_eq!(ask(&build, fields_are_compat, local, target), Ok(false), "{local} {target}");
        }
    }
}
