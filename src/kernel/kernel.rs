//! A kernel, its BTF and that of its modules, and what is asked of them by name.

use std::sync::OnceLock;

use super::arch::Arch;
use super::config::KernelConfig;
use super::gates::KernelArenaRule;
use super::kfunc_flags::KfuncSets;
use super::lookup::{DecidedBy, Lookup, Reason};
use super::modules::{Module, Modules};
use super::target::{Source, Target};
use super::{builtin, snapshot};
use crate::btf::{self, Btf, Kind, TypeId};

/// A target kernel.
#[derive(Debug)]
pub struct Kernel<'d> {
    /// How the user named it.
    pub name: &'d str,
    /// Where it comes from.
    pub source: Source,
    /// Its release, e.g. `7.3.4`.
    pub release: Option<&'d str>,
    /// What `uname -v` says: `#1 SMP PREEMPT_DYNAMIC Debian 7.3.4-1 (2026-11-15)`; where known.
    pub build: Option<&'d str>,
    /// Its configuration.
    pub config: KernelConfig<'d>,
    /// The architecture that its image says.
    pub(super) arch_of_image: Option<Arch>,
    target: &'d Target,
    btf: Btf<'d>,
    pub(super) modules: &'d Modules,
    /// What parsing the modules found out, in their order: their BTF continues that of this struct, and a struct cannot
    /// borrow from itself.
    indexes: OnceLock<Result<Vec<btf::Index>, Reason>>,
    partial: Option<&'d Reason>,
    pub(super) cut: Option<&'d snapshot::Cut>,
    /// The words of `.BTF_ids`, where the target is an image.
    pub(super) btf_ids: Option<&'d [u32]>,
    /// Kept for [`Self::kfunc_sets`].
    pub(super) kfunc_sets: OnceLock<Option<KfuncSets>>,
    /// Kept for [`Self::kfunc_flags`]: a kfunc whose flags show that the bits mean something else here.
    pub(super) contradiction: OnceLock<Option<&'static str>>,
    /// Kept for [`Self::arch`].
    pub(super) arch: OnceLock<Option<Arch>>,
    /// Kept for [`Self::arena_rule`].
    pub(super) arena_rule: OnceLock<KernelArenaRule>,
}

/// Which BTF of a kernel has something: ids from the end of vmlinux on mean another type in each module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Home {
    /// The kernel itself.
    #[default]
    Vmlinux,
    /// The module of this number, in the order of loading.
    Module(usize),
}

impl<'d> Kernel<'d> {
    /// Reads a target.
    ///
    /// # Errors
    /// Its BTF is broken.
    pub fn new(target: &'d Target) -> Result<Self, btf::Error> {
        let btf = Btf::parse(&target.btf)?;
        let (text, origin) = (target.kconfig.as_deref(), target.kconfig_origin);
        let config = match target.source {
            Source::BuiltIn => {
                KernelConfig::new(text, origin, builtin::find(&target.name).map(|release| release.name))
            }
            Source::File => KernelConfig::of_release(text, origin, target.release.as_deref()),
            Source::Host => KernelConfig::new(text, origin, None),
        };
        Ok(Self {
            name: &target.name,
            source: target.source,
            release: target.release.as_deref(),
            build: target.build.as_deref(),
            config,
            arch_of_image: target.arch,
            target,
            btf,
            modules: &target.modules,
            indexes: OnceLock::new(),
            partial: target.partial.as_ref(),
            cut: target.cut.as_ref(),
            btf_ids: target.btf_ids.as_deref(),
            kfunc_sets: OnceLock::new(),
            contradiction: OnceLock::new(),
            arch: OnceLock::new(),
            arena_rule: OnceLock::new(),
        })
    }

    /// The same kernel with the defects of its BTF set right; `None` for one without. Its types are read anew each time: few
    /// kernels are like that.
    pub fn healed(&self) -> Option<Self> {
        Kernel::new(self.target.healed()?).ok()
    }

    /// Its types; without those of modules.
    pub fn btf(&self) -> &Btf<'d> {
        &self.btf
    }

    /// The types of the kernel, or of one of its modules with the kernel's below them. A module that this kernel does not
    /// have reads as the kernel alone.
    pub fn btf_of(&self, home: Home) -> Btf<'_> {
        let module = |index: usize| {
            let module = self.modules.get()?.ok()?.get(index)?;
            self.module_btf(module, self.indexes.get()?.as_ref().ok()?.get(index)?).ok()
        };
        match home {
            Home::Vmlinux => self.btf.view(),
            Home::Module(index) => module(index).unwrap_or_else(|| self.btf.view()),
        }
    }

    /// What libbpf calls a BTF of the kernel: `vmlinux`, or the module's name.
    pub fn name_of(&self, home: Home) -> &'d str {
        match home {
            Home::Vmlinux => "vmlinux",
            Home::Module(index) => {
                let module = self.modules.get().and_then(|modules| modules.ok()?.get(index));
                module.map_or("", |module| module.name.as_str())
            }
        }
    }

    /// Types of all modules, in the order of loading, each with the kernel's below them: read when first asked for, as
    /// libbpf does (`load_module_btfs`). `None` where it is not known which modules are loaded.
    ///
    /// # Errors
    /// One of them cannot be read or is broken. libbpf then gives up on an object that needs any, whichever it needs.
    pub fn module_btfs(&self) -> Option<Result<Vec<Btf<'_>>, Reason>> {
        let modules = match self.modules.get()? {
            Ok(modules) => modules,
            Err(reason) => return Some(Err(reason.clone())),
        };
        let indexes = self.indexes.get_or_init(|| {
            let parse = |module: &Module| {
                let parsed = Btf::parse_split(module.data.as_ref().map_err(Clone::clone)?, &self.btf);
                parsed.map(Btf::into_index).map_err(|error| {
                    Reason::from(format!("the BTF of module '{}' is broken: {error}", module.name))
                })
            };
            modules.iter().map(parse).collect()
        });
        let indexes = match indexes {
            Ok(indexes) => indexes,
            Err(reason) => return Some(Err(reason.clone())),
        };
        Some(modules.iter().zip(indexes).map(|(module, index)| self.module_btf(module, index)).collect())
    }

    /// A module's types. What can fail has been seen not to when the index was made.
    fn module_btf<'k>(&'k self, module: &'k Module, index: &'k btf::Index) -> Result<Btf<'k>, Reason> {
        let data = module.data.as_ref().map_err(Clone::clone)?;
        Btf::with_index(data, &self.btf, index)
            .map_err(|error| format!("the BTF of module '{}' is broken: {error}", module.name).into())
    }

    /// The lowest id of that name and kind in vmlinux (libbpf `btf__find_by_name_kind`).
    pub fn find(&self, name: &str, kind: Kind) -> Option<TypeId> {
        self.btf.names().find(name, kind)
    }

    /// What it means that a name is not in the kernel's own BTF, nor in that of any module that is known.
    pub fn absent<T>(&self, name: &str) -> Lookup<T> {
        match self.partial {
            Some(reason) if !is_own_surface(name) => {
                Lookup::Unknown(reason.clone().decided_by(DecidedBy::Image))
            }
            _ => Lookup::Absent,
        }
    }

    /// [`Self::find`] with the reason where it is not there.
    pub fn lookup(&self, name: &str, kind: Kind) -> Lookup<TypeId> {
        self.find(name, kind).map_or_else(|| self.absent(name), Lookup::Found)
    }

    /// The first of that name and kind in vmlinux, then in the modules that are known to be loaded, in the order of loading
    /// (libbpf `find_ksym_btf_id`).
    pub fn find_anywhere(&self, name: &str, kind: Kind) -> Lookup<(Home, TypeId)> {
        match self.find(name, kind) {
            Some(id) => Lookup::Found((Home::Vmlinux, id)),
            None => self.find_in_modules(name, kind, |_| true),
        }
    }

    /// The first of that name and kind in a module that is asked for. As in libbpf a module has all that vmlinux has.
    pub(super) fn find_in_modules(
        &self,
        name: &str,
        kind: Kind,
        wanted: impl Fn(&str) -> bool,
    ) -> Lookup<(Home, TypeId)> {
        match self.module_btfs() {
            None => self.absent(name),
            Some(Err(reason)) => Lookup::Unknown(reason),
            Some(Ok(modules)) => {
                let homes = (0..).map(Home::Module).zip(modules);
                let mut found = homes
                    .filter(|(home, _)| wanted(self.name_of(*home)))
                    .filter_map(|(home, btf)| Some((home, btf.names().find(name, kind)?)));
                found.next().map_or_else(|| self.absent(name), Lookup::Found)
            }
        }
    }

    /// A function that was cut from the BTF has this name.
    pub(super) fn is_cut_function(&self, name: &str) -> bool {
        // A list that does not unpack is that of a damaged snapshot, whose checksum was right.
        self.cut.is_some_and(|cut| cut.has_function(name).unwrap_or(false))
    }

    /// Is there a function of that name in vmlinux, traceable or not.
    pub fn function(&self, name: &str) -> Lookup<()> {
        if self.find(name, Kind::Func).is_some() || self.is_cut_function(name) {
            Lookup::Found(())
        } else {
            self.absent(name)
        }
    }

    /// An enumerator of the kernel and its value; the first enum of that name that holds it.
    pub fn enumerator(&self, type_name: &str, name: &str) -> Lookup<u64> {
        let ids = self.btf.names().all(type_name).into_iter();
        for ty in ids.filter_map(|id| self.btf.get(id)) {
            let values = ty.enumerators().into_iter().flat_map(|values| values.values());
            for value in values {
                if self.btf.bytes(value.name) == name.as_bytes() {
                    return Lookup::Found(value.value);
                }
            }
        }
        self.absent(name)
    }

    /// An enumerator of any enum, an anonymous one too.
    pub fn any_enumerator(&self, name: &str) -> Option<u64> {
        self.btf.names().enumerator(name).map(|(_, value)| value)
    }

    /// Does it have schedulers in BPF at all (CONFIG_SCHED_CLASS_EXT).
    pub fn has_sched_ext(&self) -> bool {
        self.find("bpf_struct_ops_sched_ext_ops", Kind::Struct).is_some()
    }

    /// The member of a struct or union by name, at top level.
    pub fn member(&self, id: TypeId, name: &str) -> Option<btf::Member> {
        let ty = self.btf.get(id)?.composite()?;
        ty.members().find(|member| self.btf.bytes(member.name) == name.as_bytes())
    }

    /// Names of 64-bit enums that the BTF encodes as 8-byte ENUM, whose values have 32 bits.
    pub fn truncated_enums(&self) -> Vec<&'d str> {
        let enums = self.btf.truncated_enums().iter().filter_map(|&id| self.btf.get(id));
        enums.map(|ty| self.btf.name(&ty)).filter(|name| !name.is_empty()).collect()
    }
}

/// A name that only this scheduler class uses: there a BTF is whole, whatever the configuration.
fn is_own_surface(name: &str) -> bool {
    let name = name.trim_start_matches('_').to_ascii_lowercase();
    ["scx_", "bpf_scx_", "sched_ext", "bpf_struct_ops_sched_ext", "bpf_iter_scx"]
        .iter()
        .any(|own| name.starts_with(own))
}
