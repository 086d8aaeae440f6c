//! Objects of the kernel passed to a kfunc (`process_kf_arg_ptr_to_btf_id`), and whether they are trusted.

use super::super::btf_match::Matched;
use super::super::checker::Checker;
use super::super::names::type_name;
use super::super::names::{kind_word, register_name};
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::{BtfOf, Flags, Kind, Reg, TypeRef};
use super::super::rules::Era;
use super::meta::{Meta, Param, ParamKind, Pointee};
use crate::btf::Kind as BtfKind;
use crate::kernel::kfunc_flags::KfuncFlags;

impl Checker<'_, '_> {
    /// A pointer is trusted (`is_trusted_reg`).
    pub fn is_trusted(&self, reg: &Reg) -> bool {
        let trusted = Flags::ALLOC.with(Flags::TRUSTED).with(Flags::NON_OWN_REF);
        let is_safe = !has_unsafe_flags(reg);
        let is_listed = matches!(reg.kind, Kind::MapPtr(_) | Kind::Socket | Kind::SockCommon | Kind::TcpSock);
        self.is_referenced(reg) || is_safe && (is_listed || reg.flags.any(trusted))
    }

    pub(super) fn untrusted(&self, register: u8, rcu: bool) -> Stop {
        let register = register_name(register);
        let what = if rcu { "must be a rcu pointer" } else { "must be referenced or trusted" };
        Stop::einval(Why::UntrustedPointer, format!("{register} {what}"))
    }

    /// An object of the kernel's (`KF_ARG_PTR_TO_BTF_ID`).
    pub(super) fn check_object(&mut self, meta: &Meta, param: &Param, register: u8, reg: &Reg) -> Step {
        let is_map = param.kind == ParamKind::Map;
        let Some(declared) = param.pointee.as_ref() else {
            return Err(Stop::unmodelled("a pointer to a type that is not known"));
        };
        let of_map = if is_map { self.pointee_of_map() } else { None };
        if is_map && of_map.is_none() {
            return Err(Stop::unmodelled("a kernel whose struct bpf_map is not known"));
        }
        let wanted = of_map.as_ref().unwrap_or(declared);
        let home = if is_map { crate::kernel::Home::Vmlinux } else { meta.home };
        let name = self.argument_name(register);
        let found = self.kernel_type_of(reg);
        if self.rules.since(Era::V7_3) {
            let Some(found) = found else { return self.no_object(wanted, param, register, reg) };
            if !self.is_trusted(reg) || has_unsafe_flags(reg) {
                if !meta.has(KfuncFlags::RCU) {
                    return Err(self.untrusted(register, false));
                }
                if !reg.flags.has(Flags::RCU) {
                    return Err(self.untrusted(register, true));
                }
            }
            return self.match_object(meta, wanted, home, found, register, reg);
        }
        let is_listed = !matches!(reg.kind, Kind::BtfId(_)) && found.is_some();
        let is_usable =
            matches!(reg.kind, Kind::BtfId(_)) && (!has_unsafe_flags(reg) || reg.flags.has(Flags::RCU));
        if !is_listed && !is_usable {
            let trusted = Flags::ALLOC.with(Flags::TRUSTED).with(Flags::NON_OWN_REF);
            let rest = Flags(reg.flags.0 & trusted.0);
            let (is, expected) = (type_name(reg.kind, reg.flags), type_name(reg.kind, rest));
            let message = format!("{name} is {is} expected {expected} or socket");
            return Err(Stop::einval(Why::UntrustedPointer, message));
        }
        let Some(found) = found else { return Err(Stop::unmodelled("no object")) };
        self.match_object(meta, wanted, home, found, register, reg)
    }

    fn pointee_of_map(&self) -> Option<Pointee> {
        let id = self.kernel.find("bpf_map", BtfKind::Struct)?;
        Some(Pointee {
            id,
            kind: BtfKind::Struct,
            name: "bpf_map".to_owned(),
            scalar_struct: false,
            size: None,
        })
    }

    /// No object is passed where one is asked for: memory will do for a struct of numbers (7.3).
    fn no_object(&mut self, wanted: &Pointee, param: &Param, register: u8, reg: &Reg) -> Step {
        if param.kind != ParamKind::Map && wanted.scalar_struct {
            return self.check_memory_arg(param, register, reg);
        }
        let register_is = type_name(reg.kind, reg.flags);
        let (kind, of) = (wanted.kind_str(), &wanted.name);
        let listed = match of.as_str() {
            "sock" => " or sock",
            "sock_common" => " or sock_common",
            "tcp_sock" => " or tcp_sock",
            "bpf_map" => " or map_ptr",
            _ => "",
        };
        let name = register_name(register);
        let message = format!("{name} is {register_is} expected {kind} {of}{listed}");
        let why = if reg.is_scalar() { Why::NumberAsPointer } else { Why::WrongArgument };
        Err(Stop::einval(why, message))
    }

    /// The types agree (`process_kf_arg_ptr_to_btf_id`).
    fn match_object(
        &mut self,
        meta: &Meta,
        wanted: &Pointee,
        home: crate::kernel::Home,
        found: Option<TypeRef>,
        register: u8,
        reg: &Reg,
    ) -> Step {
        let Some(found) = found else {
            return Err(Stop::unmodelled("a type of the kernel that is not known"));
        };
        let need = TypeRef { btf: BtfOf::Kernel(home), id: wanted.id };
        let resolved = self.in_btf(found.btf, |btf| {
            let (id, ty) = btf.resolve(found.id)?;
            Some((id, ty.kind(), btf.name(&ty).to_owned()))
        })?;
        let Some((id, kind, found_name)) = resolved else {
            return Err(Stop::unmodelled("a type that is not known"));
        };
        let strict = meta.has(KfuncFlags::RELEASE) && self.is_referenced(reg)
            || is_nocast_alias(&found_name, &wanted.name);
        let off = reg.offset().unwrap_or(0);
        let matched =
            self.match_struct(TypeRef { id, ..found }, off, need, strict, !reg.flags.has(Flags::ALLOC))?;
        let projects = matches!(
            (wanted.name.as_str(), found_name.as_str()),
            ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff")
        );
        if matched.is_yes() || projects {
            return Ok(());
        }
        let at = match self.rules.names_registers {
            true => register_name(register).to_owned(),
            false => format!("args#{}", register - 1),
        };
        let message = format!(
            "kernel function {} {at} expected pointer to {} {} but {} has a pointer to {} {found_name}",
            meta.name,
            wanted.kind_str(),
            wanted.name,
            register_name(register),
            kind_word(kind),
        );
        // What the walk through the struct says comes first.
        let message = match matched {
            Matched::No(Some(first)) => first,
            _ => message,
        };
        Err(Stop::einval(Why::WrongArgument, message))
    }
}

/// Flags that make no pointer safer (`bpf_type_has_unsafe_modifiers`).
fn has_unsafe_flags(reg: &Reg) -> bool {
    let safe = Flags::ALLOC.with(Flags::TRUSTED).with(Flags::NON_OWN_REF);
    reg.flags.without(safe) != Flags::NONE
}

/// One name is the other with `___init` (`btf_type_ids_nocast_alias`).
fn is_nocast_alias(one: &str, other: &str) -> bool {
    one.strip_suffix("___init") == Some(other) || other.strip_suffix("___init") == Some(one)
}
