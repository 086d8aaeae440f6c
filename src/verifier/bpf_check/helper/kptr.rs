//! Kptrs that are exchanged (`process_kptr_func`, `map_kptr_match_type`).

use super::super::args::Argument;
use super::super::btf_match::Matched;
use super::super::checker::Checker;
use super::super::names::type_name;
use super::super::record::{Field, FieldKind};
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::{BtfOf, Flags, Kind, TypeRef};
use super::super::rules::Era;
use super::meta::Meta;

impl Checker<'_, '_> {
    /// The kptr that is exchanged.
    pub(super) fn take_kptr(&mut self, arg: Argument<'_>, meta: &mut Meta) -> Step {
        let reg = arg.reg;
        let refused = |message: String| Err(Stop::einval(Why::Kptr, message));
        let record = match reg.kind {
            Kind::MapValue(map) => {
                if !self.map_has_btf(map)? {
                    let name = self.map_name(map);
                    return refused(format!("map '{name}' has to have BTF in order to use bpf_kptr_xchg"));
                }
                meta.map = Some((map, meta.map.map_or(0, |(_, uid)| uid)));
                self.map_record(map)?
            }
            Kind::BtfId(ty) => self.type_record(ty)?,
            _ => return Err(Stop::unmodelled("a kptr in neither a map nor an object")),
        };
        let name = arg.name;
        let Some(off) = reg.offset() else {
            return refused(format!(
                "{name} doesn't have constant offset. kptr has to be at the constant offset"
            ));
        };
        let is_kptr = |kind: FieldKind| {
            matches!(kind, FieldKind::KptrUnref | FieldKind::KptrRef | FieldKind::KptrPercpu)
        };
        if !record.has(is_kptr) {
            return refused(format!("{name} has no valid kptr"));
        }
        let found = u32::try_from(off).ok().and_then(|off| record.find(off, is_kptr));
        let refused = |message: String| Err(Stop::eacces(Why::Kptr, message));
        let Some(field) = found else { return refused(format!("off={off} doesn't point to kptr")) };
        if field.kind == FieldKind::KptrUnref {
            return refused(format!("off={off} kptr isn't referenced kptr"));
        }
        meta.kptr = Some(field);
        Ok(())
    }

    /// A pointer goes with a kptr that it is stored into (`map_kptr_match_type`). The caller's errno is what counts.
    ///
    /// # Errors
    /// It does not.
    pub fn match_kptr(&mut self, field: Field, arg: Argument<'_>) -> Step {
        let reg = arg.reg;
        let Some(target) = field.target else { return Err(Stop::unmodelled("a kptr to an unknown type")) };
        let Kind::BtfId(ty) = reg.kind else { return Err(self.wrong_kptr(field, target, arg, "")) };
        let percpu = field.kind == FieldKind::KptrPercpu;
        let mut allowed = Flags::MAYBE_NULL;
        if ty.btf == BtfOf::Object {
            allowed = allowed.with(Flags::ALLOC);
            if percpu {
                allowed = allowed.with(Flags::PERCPU);
            }
        } else {
            allowed = allowed.with(Flags::TRUSTED).with(Flags::RCU);
            if field.kind == FieldKind::KptrUnref {
                allowed = allowed.with(Flags::UNTRUSTED);
            }
        }
        // Up to 7.1 what is no per-CPU object goes into a per-CPU kptr all the same.
        let mixed = percpu != reg.flags.has(Flags::PERCPU) && self.rules.since(Era::V7_2);
        if reg.flags.without(allowed) != Flags::NONE || mixed {
            return Err(self.wrong_kptr(field, target, arg, ""));
        }
        self.check_ptr_off(reg, arg.name, true)?;
        let off = reg.offset().unwrap_or_default();
        let strict = field.kind != FieldKind::KptrUnref;
        match self.match_struct(ty, off, target, strict, !reg.flags.has(Flags::ALLOC))? {
            Matched::Yes => Ok(()),
            Matched::No(Some(line)) => Err(Stop::einval(Why::Kptr, line)),
            Matched::No(None) => {
                let name = self.name_of_type(ty);
                Err(self.wrong_kptr(field, target, arg, &name))
            }
        }
    }

    fn wrong_kptr(&self, field: Field, target: TypeRef, arg: Argument<'_>, name: &str) -> Stop {
        let shown = type_name(arg.reg.kind, arg.reg.flags);
        let target = self.name_of_type(target);
        let or = match field.kind {
            FieldKind::KptrUnref => format!(" or untrusted_ptr_{target}"),
            _ => String::new(),
        };
        let message =
            format!("invalid kptr access, {} type={shown}{name} expected=ptr_{target}{or}", arg.name);
        Stop::einval(Why::Kptr, message)
    }
}
