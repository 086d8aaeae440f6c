//! CO-RE records against a kernel (libbpf `bpf_object__relocate_core`).

use std::cell::OnceCell;
use std::collections::HashSet;

use crate::btf::core::{Candidates, Patched, Poison, Relocation, RelocationKind, Resolver, Slot};
use crate::btf::{Btf, Budget, CoreRelo};
use crate::errno::Errno;
use crate::kernel::{DecidedBy, Home, Kernel, Lookup, Reason};
use crate::libbpf::Libbpf;
use crate::object::{FuncIdx, InsnIdx, Object};

/// A CO-RE record that libbpf processes, and what becomes of it.
#[derive(Debug)]
pub struct CoreUse {
    /// The function that holds the instruction.
    pub function: FuncIdx,
    /// The instruction.
    pub insn: InsnIdx,
    /// What is asked; `None` for a number that libbpf does not know.
    pub kind: Option<RelocationKind>,
    /// What it is about, as C spells it: `task_struct.scx.slice`.
    pub subject: String,
    /// The access as libbpf prints it.
    pub spec: String,
    /// The BTF that has the type which the record resolved to; `None` where it resolved to none.
    pub home: Option<Home>,
    /// What becomes of it.
    pub fate: CoreFate,
}

/// What becomes of a CO-RE record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoreFate {
    /// The instruction is made to hold this value.
    Value(u64),
    /// The instruction is made invalid, which is an error where the verifier gets to it.
    Poison(Poison),
    /// The load fails, whatever reaches the instruction; what libbpf prints.
    Refused {
        /// What `bpf_object__load` returns.
        errno: Errno,
        /// libbpf's lines.
        lines: Vec<String>,
        /// Several types of the kernel disagree.
        ambiguous: bool,
    },
    /// The data at hand does not tell.
    Unknown(Reason),
}

/// All records of programs that libbpf loads, and of every function in `.text`, reached or not.
pub(super) fn resolve(
    object: &Object<'_>,
    kernel: Option<&Kernel<'_>>,
    autoload: impl Fn(FuncIdx) -> bool,
) -> Vec<CoreUse> {
    let (Some(btf), Some(ext)) = (object.btf.as_ref(), object.ext.as_ref()) else { return Vec::new() };
    let modules = OnceCell::new();
    let mut target = kernel.map(|kernel| TargetBtf {
        kernel,
        resolver: Resolver::new(btf, kernel.btf(), &[]),
        modules: &modules,
    });
    let mut budget = Budget::for_questions(ext.core_relo_count());
    let mut uses = Vec::new();
    let mut names = HashSet::new();
    for section in &object.elf.sections {
        // The records are those of the first section of that name.
        if !names.insert(&section.name) {
            continue;
        }
        for (number, record) in ext.core_relos(btf, &section.name).enumerate() {
            let slot = record.insn_off as usize / crate::insn::INSN_SIZE;
            let Some(function) = object.function_at(section.index, slot) else { continue };
            if object[function].entry.is_some() && !autoload(function) {
                continue;
            }
            let insn = InsnIdx(slot - object[function].start);
            uses.push(one(object, btf, target.as_mut(), (function, insn), &record, number, &mut budget));
        }
    }
    uses
}

/// A kernel whose types are looked through.
struct TargetBtf<'a, 'd, 't> {
    kernel: &'t Kernel<'t>,
    resolver: Resolver<'a, 'd, 't>,
    /// Types of its modules, once some were needed; none where nobody knows which are loaded.
    modules: &'a OnceCell<Result<Vec<Btf<'t>>, Reason>>,
}

impl<'a, 'd, 't> TargetBtf<'a, 'd, 't> {
    /// The candidates for a record.
    ///
    /// # Errors
    /// vmlinux has none, and modules cannot be looked through.
    fn candidates(&mut self, relocation: &Relocation<'d>) -> Result<&mut Candidates<'a, 't>, Reason> {
        let (kernel, modules) = (self.kernel, self.modules);
        let known = || modules.get_or_init(|| kernel.module_btfs().unwrap_or_else(|| Ok(Vec::new())));
        let found = self.resolver.candidates_with(relocation, || known().as_deref().unwrap_or_default());
        match modules.get() {
            Some(Err(reason)) if found.is_empty() => Err(reason.clone()),
            _ => Ok(found),
        }
    }

    /// Which BTF this is.
    fn home_of(&self, btf: &Btf<'t>) -> Option<Home> {
        if std::ptr::eq(btf, self.kernel.btf()) {
            return Some(Home::Vmlinux);
        }
        let modules = self.modules.get()?.as_ref().ok()?;
        modules.iter().position(|module| std::ptr::eq(module, btf)).map(Home::Module)
    }
}

fn one<'d>(
    object: &Object<'d>,
    btf: &Btf<'d>,
    target: Option<&mut TargetBtf<'_, 'd, '_>>,
    (function, insn): (FuncIdx, InsnIdx),
    record: &CoreRelo,
    number: usize,
    budget: &mut Budget,
) -> CoreUse {
    let code = object[function].code;
    let name = &object[function].name;
    let refused = |error: &crate::btf::core::CoreError| CoreFate::Refused {
        errno: error.errno,
        lines: error.lines(name, number),
        ambiguous: error.text.contains("ambiguity"),
    };
    let mut found = CoreUse {
        function,
        insn,
        kind: RelocationKind::new(record.kind),
        subject: String::new(),
        spec: String::new(),
        home: None,
        fate: CoreFate::Unknown(Reason::from("no kernel is named").decided_by(DecidedBy::Kernel)),
    };
    if let Some(line) = truncated(object, (function, insn), number) {
        found.fate = CoreFate::Refused { errno: Errno::EINVAL, lines: vec![line], ambiguous: false };
        return found;
    }
    let mut relocation = match Relocation::parse(btf, record) {
        Ok(relocation) => relocation,
        Err(error) => {
            // A broken record fails the load on every kernel.
            found.fate = refused(&error);
            return found;
        }
    };
    relocation.libbpf = object.libbpf;
    found.subject = relocation.subject();
    found.spec = relocation.spec.to_string();
    let Some(own) = code.get(insn.0) else { return found };
    let slot = Slot { index: insn.0, insn: own, next: code.get(insn.0 + 1) };
    let Some(target) = target else { return found };
    let kernel = target.kernel;
    let mut none = Candidates::default();
    let candidates = if relocation.kind == RelocationKind::TypeIdLocal {
        // The kernel is not asked.
        &mut none
    } else {
        match target.candidates(&relocation) {
            Ok(candidates) => candidates,
            Err(reason) => {
                found.fate = CoreFate::Unknown(reason);
                return found;
            }
        }
    };
    let resolution = relocation.resolve_within(btf, slot, candidates, budget);
    // Where any matched, those that did not are gone.
    let first = candidates.iter().next().map(|(btf, _)| btf);
    if resolution.as_ref().is_ok_and(|resolution| resolution.target.is_some()) {
        found.home = first.and_then(|btf| target.home_of(btf));
    }
    found.fate = match resolution {
        Err(error) if error.given_up => CoreFate::Unknown("the types are too entangled to compare".into()),
        Err(error) => refused(&error),
        Ok(resolution) => match resolution.outcome {
            Patched::Poison(poison @ (Poison::NoCandidate | Poison::NoMatch)) => {
                missing(kernel, btf, &relocation).map_or(CoreFate::Poison(poison), CoreFate::Unknown)
            }
            Patched::Poison(poison) => CoreFate::Poison(poison),
            Patched::Value => {
                let absent = relocation.kind.is_existence() && resolution.new == 0
                    || matches!(relocation.kind, RelocationKind::TypeSize | RelocationKind::TypeIdTarget)
                        && resolution.target.is_none();
                match missing(kernel, btf, &relocation).filter(|_| absent) {
                    Some(reason) => CoreFate::Unknown(reason),
                    None => CoreFate::Value(resolution.new),
                }
            }
        },
    };
    found
}

/// What libbpf says since 1.8 of a 64-bit load whose second half lies beyond the function's end.
fn truncated(object: &Object<'_>, (function, insn): (FuncIdx, InsnIdx), number: usize) -> Option<String> {
    let code = object[function].code;
    let is_cut = code.get(insn.0)?.is_ld_imm64() && code.get(insn.0 + 1).is_none();
    (is_cut && object.libbpf >= Libbpf::V1_8).then(|| {
        let name = &object[function].name;
        format!("prog '{name}': relo #{number}: insn #{} (LDIMM64) is truncated", insn.0)
    })
}

/// Why nothing follows from the kernel's BTF lacking what the record names; `None` where it follows that the kernel
/// lacks it.
fn missing(kernel: &Kernel<'_>, btf: &Btf<'_>, relocation: &Relocation<'_>) -> Option<Reason> {
    let name = |id| btf.get(id).map_or("", |ty| btf.name(&ty));
    let own =
        relocation.spec.accesses.iter().any(|access| kernel.absent::<()>(name(access.ty)) == Lookup::Absent);
    match kernel.absent::<()>(relocation.type_name()) {
        Lookup::Unknown(reason) if !own => Some(reason),
        _ => None,
    }
}
