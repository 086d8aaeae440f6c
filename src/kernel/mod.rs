//! What a target kernel offers: types, kfuncs, ops members, and the rules that it enforces.
//!
//! Every question is answered out of the kernel's BTF: distributions backport, so a release string
//! proves little. What BTF cannot show stands in [`exceptions`] and [`kfuncs`]. An answer is found,
//! absent, or unknown with its reason: where the BTF at hand was cut, or is that of a smaller
//! configuration, a name that is missing proves nothing.

#[cfg(test)]
mod at_hand;
pub mod builtin;
pub mod exceptions;
pub mod image;
pub mod kfuncs;
mod modules;
mod ops;
pub mod snapshot;
pub mod target;

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::btf::{self, Btf, Kind, TypeId};

pub use modules::{Module, Modules};
pub use ops::{OpsMember, OpsType, cpu_name};

/// Why a question has no answer: one sentence, lower case, no full stop.
pub type Reason = Cow<'static, str>;

/// The answer to a question about a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It is there.
    Found(T),
    /// It is not there.
    Absent,
    /// The data at hand does not tell.
    Unknown(Reason),
}

impl<T> Lookup<T> {
    /// What was found.
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(value) => Some(value),
            _ => None,
        }
    }

    /// Turns what was found into something else.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(value) => Lookup::Found(f(value)),
            Self::Absent => Lookup::Absent,
            Self::Unknown(reason) => Lookup::Unknown(reason),
        }
    }
}

impl Lookup<()> {
    /// Whether it is there, for those who ask yes or no: absence is an answer too.
    pub fn holds(self) -> Lookup<bool> {
        match self {
            Self::Found(()) => Lookup::Found(true),
            Self::Absent => Lookup::Found(false),
            Self::Unknown(reason) => Lookup::Unknown(reason),
        }
    }
}

/// Where a target comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A release that this program carries.
    BuiltIn,
    /// A file that the user named.
    File,
    /// The kernel of this machine.
    Host,
}

impl Source {
    /// The word used in JSON and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::File => "file",
            Self::Host => "host",
        }
    }
}

/// A target as bytes, before anything is asked of it.
#[derive(Debug)]
pub struct Target {
    /// How the user named it.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// Its release, e.g. `7.3.4`; `None` where nothing tells.
    pub release: Option<String>,
    /// The contents of its `.BTF`.
    pub btf: Vec<u8>,
    /// Its configuration, one `CONFIG_X=y` a line; `None` where nothing tells.
    pub kconfig: Option<String>,
    /// Why a name outside the scheduler's own surface may be missing though kernels of this release have
    /// it; `None` for a BTF that is whole and stands for itself.
    pub partial: Option<Reason>,
    /// The modules that are loaded, where they are known: those of this machine's kernel.
    pub modules: Modules,
    /// What was cut from the BTF; `None` for one that is whole.
    pub cut: Option<snapshot::Cut>,
}

impl Target {
    /// A running kernel out of the BTF of its vmlinux and the split BTF of its modules by name, in the order of loading.
    pub fn running(name: impl Into<String>, btf: Vec<u8>, modules: Vec<(String, Vec<u8>)>) -> Self {
        Self {
            name: name.into(),
            source: Source::Host,
            release: None,
            btf,
            kconfig: None,
            partial: None,
            modules: Modules::loaded(modules),
            cut: None,
        }
    }
}

/// Which arena rule a kernel enforces for cid-form schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelArenaRule {
    /// It has no cid-form schedulers.
    None,
    /// Exactly one arena (7.2, 7.3).
    One,
    /// Exactly one arena, created with the flag of this value.
    Always(u32),
}

impl KernelArenaRule {
    /// The word used in JSON and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::One => "one",
            Self::Always(_) => "always",
        }
    }
}

/// How a kernel keeps a kfunc to the callbacks that may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KfuncGate {
    /// A mask in the task, checked when the kfunc runs: the scheduler is ejected (6.12 to 7.0).
    RunTime,
    /// A filter of the verifier: the program does not load (7.1 and later).
    Verifier,
}

/// A target kernel.
#[derive(Debug)]
pub struct Kernel<'d> {
    /// How the user named it.
    pub name: &'d str,
    /// Where it comes from.
    pub source: Source,
    /// Its release, e.g. `7.3.4`.
    pub release: Option<&'d str>,
    /// Its configuration, one `CONFIG_X=y` a line.
    pub kconfig: Option<&'d str>,
    btf: Btf<'d>,
    modules: &'d Modules,
    /// What parsing the modules found out, in their order: their BTF continues that of this struct, and a struct cannot
    /// borrow from itself.
    indexes: OnceLock<Result<Vec<btf::Index>, Reason>>,
    partial: Option<&'d Reason>,
    cut: Option<&'d snapshot::Cut>,
    arena_rule: OnceLock<KernelArenaRule>,
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

/// A kfunc as a kernel's BTF declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kfunc {
    /// Its FUNC.
    pub func: TypeId,
    /// Its FUNC_PROTO.
    pub proto: TypeId,
    /// The BTF that both ids count in.
    pub home: Home,
}

impl<'d> Kernel<'d> {
    /// Reads a target.
    ///
    /// # Errors
    /// Its BTF is broken.
    pub fn new(target: &'d Target) -> Result<Self, btf::Error> {
        let btf = Btf::parse(&target.btf)?;
        Ok(Self {
            name: &target.name,
            source: target.source,
            release: target.release.as_deref(),
            kconfig: target.kconfig.as_deref(),
            btf,
            modules: &target.modules,
            indexes: OnceLock::new(),
            partial: target.partial.as_ref(),
            cut: target.cut.as_ref(),
            arena_rule: OnceLock::new(),
        })
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
            Some(reason) if !is_own_surface(name) => Lookup::Unknown(reason.clone()),
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
    fn find_in_modules(
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

    /// What a tracing program attaches to, and where it is: `module` as in `fentry/module:function`, where given
    /// (libbpf `find_kernel_btf_id`).
    pub fn attach_target(&self, module: Option<&str>, name: &str, kind: Kind) -> Lookup<Home> {
        // Compared for as long as the name given is (`strncmp`).
        if module.is_none_or(|module| "vmlinux".starts_with(module)) {
            let cut = kind == Kind::Func && self.is_cut_function(name);
            if cut || self.find(name, kind).is_some() {
                return Lookup::Found(Home::Vmlinux);
            }
        } else if !self.modules.is_known() {
            return Lookup::Unknown("the types of that module are not known".into());
        }
        let wanted = |own: &str| module.is_none_or(|module| own.starts_with(module));
        self.find_in_modules(name, kind, wanted).map(|(home, _)| home)
    }

    /// A function that was cut from the BTF has this name.
    fn is_cut_function(&self, name: &str) -> bool {
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

    /// The function that an extern without flavour resolves to (libbpf `bpf_object__resolve_ksym_func_btf_id`).
    pub fn kfunc(&self, name: &str) -> Lookup<Kfunc> {
        if self.find(name, Kind::Func).is_none() {
            if self.is_cut_function(name) {
                return Lookup::Unknown(
                    "the kernel's prototype of the function was cut from this snapshot".into(),
                );
            }
            if !self.modules.is_known() && exceptions::is_module_kfunc(name) {
                return Lookup::Unknown(
                    "modules register such kfuncs, and modules' types are not known".into(),
                );
            }
        }
        self.find_anywhere(name, Kind::Func).map(|(home, func)| {
            let proto = self.btf_of(home).get(func).map_or(TypeId::VOID, |ty| ty.target());
            Kfunc { func, proto, home }
        })
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

    /// The struct_ops type of that name, without flavour (libbpf `find_struct_ops_kern_types`).
    pub fn ops_type(&self, name: &str) -> Lookup<OpsType<'d>> {
        let wrapper = self.find_anywhere(&format!("bpf_struct_ops_{name}"), Kind::Struct);
        match (wrapper, self.find(name, Kind::Struct)) {
            (Lookup::Found((home @ Home::Module(_), _)), _) => Lookup::Unknown(
                format!(
                    "module '{}' has the type, and struct_ops of modules are not looked at",
                    self.name_of(home)
                )
                .into(),
            ),
            (Lookup::Found((_, wrapper)), Some(id)) => Lookup::Found(OpsType::read(self, name, wrapper, id)),
            (Lookup::Found(_), None) => Lookup::Absent,
            (Lookup::Absent, _) => Lookup::Absent,
            (Lookup::Unknown(reason), _) => Lookup::Unknown(reason),
        }
    }

    /// What it asks of the arenas of a cid-form scheduler.
    pub fn arena_rule(&self) -> KernelArenaRule {
        *self.arena_rule.get_or_init(|| self.read_arena_rule())
    }

    /// The value of a map flag. The flags stand in an anonymous enum, the same that holds `BPF_F_NO_PREALLOC`.
    pub fn map_flag(&self, name: &str) -> Option<u32> {
        self.any_enumerator(name).and_then(|value| u32::try_from(value).ok())
    }

    /// The name of a helper as the verifier prints it, out of `enum bpf_func_id`.
    pub fn helper_name(&self, helper: i32) -> Option<String> {
        let id = self.find("bpf_func_id", Kind::Enum)?;
        let values = self.btf.get(id)?.enumerators()?;
        let value = values.values().find(|value| i64::from(helper) == value.value as i64)?;
        Some(format!("bpf_{}", self.btf.str(value.name).strip_prefix("BPF_FUNC_")?))
    }

    /// Ops flags that it takes (`SCX_OPS_ALL_FLAGS`).
    pub fn ops_flags(&self) -> Lookup<u64> {
        self.enumerator("scx_ops_flags", "SCX_OPS_ALL_FLAGS")
    }

    /// One more than the highest map type that it knows (`__MAX_BPF_MAP_TYPE`).
    pub fn map_types(&self) -> Lookup<u64> {
        self.enumerator("bpf_map_type", "__MAX_BPF_MAP_TYPE")
    }

    /// One more than the highest helper that it knows (`__BPF_FUNC_MAX_ID`).
    pub fn helpers(&self) -> Lookup<u64> {
        self.enumerator("bpf_func_id", "__BPF_FUNC_MAX_ID")
    }

    /// Frames of a call chain (`MAX_CALL_FRAMES`), read off `bpf_verifier_state.frame`.
    pub fn max_call_frames(&self) -> Lookup<u32> {
        let frames = || {
            let id = self.find("bpf_verifier_state", Kind::Struct)?;
            let member = self.member(id, "frame")?;
            Some(self.btf.resolve(member.ty)?.1.array()?.nelems)
        };
        frames().map_or(Lookup::Unknown("the kernel's BTF has no bpf_verifier_state".into()), Lookup::Found)
    }

    /// Largest `dispatch_max_batch` whose per-CPU buffer can be allocated: `PCPU_MIN_UNIT_SIZE` less the
    /// header, over the size of `struct scx_dsp_buf_ent`.
    pub fn max_dispatch_batch(&self) -> Lookup<u64> {
        const PCPU_MIN_UNIT_SIZE: u64 = 32 << 10;
        let limit = || {
            let size = |id| self.btf.get(id).map(|ty| u64::from(ty.size()));
            let entry = size(self.find("scx_dsp_buf_ent", Kind::Struct)?).filter(|&size| size > 0)?;
            let own = self.find("scx_sched_pcpu", Kind::Struct);
            let header = match own.filter(|&id| self.member(id, "dsp_ctx").is_some()) {
                Some(id) => size(id)?,
                None => size(self.find("scx_dsp_ctx", Kind::Struct)?)?,
            };
            Some(PCPU_MIN_UNIT_SIZE.saturating_sub(header) / entry)
        };
        limit().map_or(Lookup::Unknown("the kernel's BTF has no scx_dsp_buf_ent".into()), Lookup::Found)
    }

    /// The member of a struct or union by name, at top level.
    pub fn member(&self, id: TypeId, name: &str) -> Option<btf::Member> {
        let ty = self.btf.get(id)?.composite()?;
        ty.members().find(|member| self.btf.bytes(member.name) == name.as_bytes())
    }

    /// Parameters of a prototype of the kernel itself: name and type.
    pub fn params(&self, proto: TypeId) -> Vec<(&'d str, TypeId)> {
        params(&self.btf, proto)
    }

    /// Parameters of a kfunc: name and type, which counts in the kfunc's home.
    pub fn kfunc_params(&self, kfunc: Kfunc) -> Vec<(&str, TypeId)> {
        params(&self.btf_of(kfunc.home), kfunc.proto)
    }

    /// A kfunc as C declares it, types by name: `void scx_bpf_kick_cpu(int cpu, u64 flags)`.
    pub fn signature(&self, name: &str, kfunc: Kfunc) -> String {
        let btf = self.btf_of(kfunc.home);
        let proto = btf.get(kfunc.proto).and_then(|ty| ty.func_proto());
        let ret = spelling(&btf, proto.map_or(TypeId::VOID, |proto| proto.ret()));
        let params = params(&btf, kfunc.proto).into_iter().map(|(name, ty)| {
            let ty = spelling(&btf, ty);
            if ty.ends_with('*') { format!("{ty}{name}") } else { format!("{ty} {name}") }
        });
        let params = params.collect::<Vec<_>>().join(", ");
        let gap = if ret.ends_with('*') { "" } else { " " };
        format!("{ret}{gap}{name}({})", if params.is_empty() { "void" } else { &params })
    }

    /// Names of 64-bit enums that the BTF encodes as 8-byte ENUM, whose values have 32 bits.
    pub fn truncated_enums(&self) -> Vec<&'d str> {
        let enums = self.btf.truncated_enums().iter().filter_map(|&id| self.btf.get(id));
        enums.map(|ty| self.btf.name(&ty)).filter(|name| !name.is_empty()).collect()
    }

    /// Does the prototype's last parameter belong to the kernel, which would fill it in if the BTF had been
    /// converted (KF_IMPLICIT_ARGS): a kfunc with a `struct bpf_prog_aux *aux` and no `NAME_impl` twin cannot be called.
    pub fn has_leaked_aux(&self, name: &str, kfunc: Kfunc) -> bool {
        let btf = self.btf_of(kfunc.home);
        let is_aux = params(&btf, kfunc.proto).last().is_some_and(|&(param, ty)| {
            let pointee = btf.resolve(ty).filter(|(_, ty)| ty.kind() == Kind::Ptr);
            let target = pointee.and_then(|(_, ty)| btf.resolve(ty.target()));
            param.starts_with("aux") && target.is_some_and(|(_, ty)| btf.name(&ty) == "bpf_prog_aux")
        });
        is_aux && !name.ends_with("_impl") && btf.names().find(&format!("{name}_impl"), Kind::Func).is_none()
    }
}

/// Parameters of a prototype: name and type.
fn params<'b>(btf: &Btf<'b>, proto: TypeId) -> Vec<(&'b str, TypeId)> {
    let proto = btf.get(proto).and_then(|ty| ty.func_proto());
    let params = proto.into_iter().flat_map(|proto| proto.params());
    params.map(|param| (btf.str(param.name), param.ty)).collect()
}

/// A parameter's type as C spells it, as far as a prototype needs.
fn spelling(btf: &Btf<'_>, id: TypeId) -> String {
    let mut id = id;
    let mut suffix = String::new();
    for _ in 0..8 {
        let Some(ty) = btf.get(id) else { break };
        let name = btf.name(&ty);
        let prefix = match ty.kind() {
            Kind::Ptr => {
                suffix.insert(0, '*');
                id = ty.target();
                continue;
            }
            Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                id = ty.target();
                continue;
            }
            Kind::Void => "void",
            Kind::Struct | Kind::Fwd => "struct ",
            Kind::Union => "union ",
            Kind::Enum | Kind::Enum64 => "enum ",
            _ => "",
        };
        let gap = if suffix.is_empty() { "" } else { " " };
        return format!("{prefix}{name}{gap}{suffix}");
    }
    format!("?{suffix}")
}

/// A name that only this scheduler class uses: there a BTF is whole, whatever the configuration.
fn is_own_surface(name: &str) -> bool {
    let name = name.trim_start_matches('_').to_ascii_lowercase();
    ["scx_", "bpf_scx_", "sched_ext", "bpf_struct_ops_sched_ext", "bpf_iter_scx"]
        .iter()
        .any(|own| name.starts_with(own))
}
