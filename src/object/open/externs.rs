//! Undefined symbols (libbpf `bpf_object__collect_externs`).

use std::collections::HashMap;

use super::Opening;
use crate::btf::{Btf, Kind, Linkage, TypeId};
use crate::errno::Errno;
use crate::object::external::{Extern, ExternKind};
use crate::object::refusal::{Cause, Item};

impl<'d> Opening<'d> {
    /// Collects externs and sorts them as libbpf does.
    pub(super) fn externs(&mut self) {
        let undefined: Vec<_> = self
            .object
            .elf
            .symbols
            .iter()
            .enumerate()
            .filter(|(_, symbol)| symbol.is_extern())
            .filter_map(|(index, symbol)| Some((index, symbol.name.clone()?, symbol.binding)))
            .filter(|(_, name, _)| !name.is_empty())
            .collect();
        let Some(btf) = self.object.btf.take() else {
            if let Some((_, name, _)) = undefined.first() {
                let text = format!("failed to find BTF for extern '{name}': -3");
                self.refuse(Cause::Extern, Errno::ESRCH, Item::Extern(name.to_string()), text);
            }
            return;
        };
        let index = Names::of(&btf, !undefined.is_empty());
        for (symbol, name, binding) in undefined {
            let weak = binding == crate::elf::Binding::Weak;
            match resolve(&btf, &index, symbol, &name, weak) {
                Ok(external) => self.object.externs.push(external),
                Err((errno, text)) => self.refuse(Cause::Extern, errno, Item::Extern(name.to_string()), text),
            }
        }
        self.object.externs.sort_by(|a, b| {
            let rank = |kind| u8::from(kind != ExternKind::Kconfig);
            let layout = |e: &Extern<'_>| (std::cmp::Reverse(e.layout.0), e.layout.1);
            (rank(a.kind), layout(a), a.name).cmp(&(rank(b.kind), layout(b), b.name))
        });
        self.unreferenced(&btf);
        self.object.btf = Some(btf);
    }

    /// Members of a used extern DATASEC that no symbol is left for.
    fn unreferenced(&mut self, btf: &Btf<'d>) {
        for (section, kconfig) in [(".ksyms", false), (".kconfig", true)] {
            let mut sections =
                btf.types().filter(|(_, ty)| ty.kind() == Kind::DataSec && btf.name(ty) == section);
            let used = self.object.externs.iter().any(|e| (e.kind == ExternKind::Kconfig) == kconfig);
            let Some(data_sec) = sections.next().and_then(|(_, ty)| ty.data_sec()).filter(|_| used) else {
                continue;
            };
            for var in data_sec.vars() {
                let Some(ty) = btf.get(var.ty) else { continue };
                let name = btf.name(&ty);
                if !self.object.externs.iter().any(|e| e.name == name) {
                    let kind = if kconfig { "var" } else { ty.kind().as_str() };
                    let text = format!("failed to find extern definition for BTF {kind} '{name}'");
                    self.refuse(Cause::Extern, Errno::ESRCH, Item::Extern(name.to_owned()), text);
                }
            }
        }
    }
}

/// Variables and functions by name, and the DATASEC that holds each; the lowest id counts.
#[derive(Default)]
struct Names<'d> {
    symbols: HashMap<&'d [u8], TypeId>,
    sections: HashMap<TypeId, TypeId>,
}

impl<'d> Names<'d> {
    fn of(btf: &Btf<'d>, needed: bool) -> Self {
        let mut names = Self::default();
        for (id, ty) in btf.types().filter(|_| needed) {
            match ty.kind() {
                Kind::Var | Kind::Func => {
                    names.symbols.entry(btf.bytes(ty.name())).or_insert(id);
                }
                Kind::DataSec => {
                    for var in ty.data_sec().into_iter().flat_map(|section| section.vars()) {
                        names.sections.entry(var.ty).or_insert(id);
                    }
                }
                _ => {}
            }
        }
        names
    }
}

fn resolve<'d>(
    btf: &Btf<'d>,
    index: &Names<'d>,
    symbol: usize,
    name: &str,
    weak: bool,
) -> Result<Extern<'d>, (Errno, String)> {
    let not_found = |code: i32| format!("failed to find BTF for extern '{name}': {code}");
    let found = index.symbols.get(name.as_bytes()).and_then(|&id| Some((id, btf.get(id)?)));
    let (id, ty) = found.ok_or_else(|| (Errno::ENOENT, not_found(-2)))?;
    if ty.linkage() != Some(Linkage::Extern) {
        return Err((Errno::EINVAL, not_found(-22)));
    }
    let section =
        index.sections.get(&id).and_then(|&section| btf.get(section)).map(|section| btf.name(&section));
    let section = section.ok_or_else(|| {
        let text = format!("failed to find BTF for extern '{name}' {id} section: -2");
        (Errno::ENOENT, text)
    })?;
    let (kind, layout) = match (section, ty.kind()) {
        (".kconfig", Kind::Func) => {
            let text = format!("extern function {name} is unsupported under .kconfig section");
            return Err((Errno::EOPNOTSUPP, text));
        }
        (".kconfig", _) => (ExternKind::Kconfig, kconfig_layout(btf, name, ty.target())?),
        (".ksyms", Kind::Func) => (ExternKind::Kfunc, (0, 0)),
        (".ksyms", _) => (ExternKind::Ksym, (0, 0)),
        (other, _) => return Err((Errno::EOPNOTSUPP, format!("unrecognized extern section '{other}'"))),
    };
    Ok(Extern { name: btf.name(&ty), kind, weak, type_id: id, symbol, layout })
}

/// Alignment and size of a kconfig value, which must be of a type that libbpf can fill.
fn kconfig_layout(btf: &Btf<'_>, name: &str, ty: TypeId) -> Result<(u32, u32), (Errno, String)> {
    let size = btf.size_of(ty).and_then(|size| u32::try_from(size).ok()).filter(|&size| size > 0);
    let size = size
        .ok_or_else(|| (Errno::EINVAL, format!("failed to resolve size of extern (kcfg) '{name}': -22")))?;
    let align = btf.align_of(ty).ok_or_else(|| {
        (Errno::EINVAL, format!("failed to determine alignment of extern (kcfg) '{name}': 0"))
    })?;
    if is_kconfig_value(btf, ty, true) {
        Ok((align, size))
    } else {
        Err((Errno::EOPNOTSUPP, format!("extern (kcfg) '{name}': type is unsupported")))
    }
}

/// bool, char, integers, `enum libbpf_tristate`, and arrays of char (libbpf `find_kcfg_type`).
fn is_kconfig_value(btf: &Btf<'_>, ty: TypeId, array: bool) -> bool {
    let Some((_, ty)) = btf.resolve(ty) else { return false };
    match ty.kind() {
        Kind::Int if ty.is_bool() => ty.size() == 1 && array,
        Kind::Int if array => matches!(ty.size(), 1 | 2 | 4 | 8),
        Kind::Int => ty.size() == 1,
        Kind::Enum => ty.size() == 4 && btf.name(&ty) == "libbpf_tristate" && array,
        Kind::Enum64 => btf.name(&ty) == "libbpf_tristate" && array,
        Kind::Array if array => {
            ty.array().is_some_and(|a| a.nelems > 0 && is_kconfig_value(btf, a.elem, false))
        }
        _ => false,
    }
}
