//! What a target kernel offers: types, kfuncs, ops members, and the rules that it enforces.
//!
//! Every question is answered out of the kernel's BTF: distributions backport, so a release string
//! proves little. What BTF cannot show stands in [`exceptions`] and [`kfuncs`]. An answer is found,
//! absent, or unknown with its reason: where the BTF at hand was cut, or is that of a smaller
//! configuration, a name that is missing proves nothing.

pub mod builtin;
pub mod exceptions;
pub mod image;
pub mod kfuncs;
mod ops;
pub mod snapshot;
pub mod target;

use std::borrow::Cow;

use crate::btf::{self, Btf, Kind, TypeId};

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
    /// Split BTF of modules that are loaded, where they are known: of this machine's kernel.
    pub modules: Vec<Vec<u8>>,
    /// What was cut from the BTF; `None` for one that is whole.
    pub cut: Option<snapshot::Cut>,
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
    module_data: &'d [Vec<u8>],
    partial: Option<&'d Reason>,
    cut: Option<&'d snapshot::Cut>,
    arena_rule: KernelArenaRule,
}

/// A kfunc as a kernel's BTF declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kfunc {
    /// Its FUNC.
    pub func: TypeId,
    /// Its FUNC_PROTO.
    pub proto: TypeId,
}

impl<'d> Kernel<'d> {
    /// Reads a target.
    ///
    /// # Errors
    /// Its BTF is broken.
    pub fn new(target: &'d Target) -> Result<Self, btf::Error> {
        let btf = Btf::parse(&target.btf)?;
        let mut kernel = Self {
            name: &target.name,
            source: target.source,
            release: target.release.as_deref(),
            kconfig: target.kconfig.as_deref(),
            btf,
            module_data: &target.modules,
            partial: target.partial.as_ref(),
            cut: target.cut.as_ref(),
            arena_rule: KernelArenaRule::None,
        };
        kernel.arena_rule = kernel.read_arena_rule();
        Ok(kernel)
    }

    /// Its types.
    pub fn btf(&self) -> &Btf<'d> {
        &self.btf
    }

    /// The lowest id of that name and kind in vmlinux (libbpf `btf__find_by_name_kind`).
    pub fn find(&self, name: &str, kind: Kind) -> Option<TypeId> {
        self.btf.names().find(name, kind)
    }

    /// What it means that a name is not in the BTF.
    pub fn absent<T>(&self, name: &str) -> Lookup<T> {
        if self.is_in_a_module(name) {
            return Lookup::Unknown(
                "a loaded module has the name, and modules' types are not looked at".into(),
            );
        }
        match self.partial {
            Some(reason) if !is_own_surface(name) => Lookup::Unknown(reason.clone()),
            _ => Lookup::Absent,
        }
    }

    /// [`Self::find`] with the reason where it is not there.
    pub fn lookup(&self, name: &str, kind: Kind) -> Lookup<TypeId> {
        self.find(name, kind).map_or_else(|| self.absent(name), Lookup::Found)
    }

    /// A function that was cut from the BTF has this name.
    fn is_cut_function(&self, name: &str) -> bool {
        // A list that does not unpack is that of a damaged snapshot, whose checksum was right.
        self.cut.is_some_and(|cut| cut.has_function(name).unwrap_or(false))
    }

    /// Is there a function of that name, traceable or not.
    pub fn function(&self, name: &str) -> Lookup<()> {
        if self.find(name, Kind::Func).is_some() || self.is_cut_function(name) {
            Lookup::Found(())
        } else {
            self.absent(name)
        }
    }

    /// A loaded module of this machine's kernel has something of that name, which libbpf would find there. What it is, is
    /// not looked at.
    fn is_in_a_module(&self, name: &str) -> bool {
        let wanted = [&[0], name.as_bytes(), &[0]].concat();
        self.module_data.iter().any(|module| memchr::memmem::find(module, &wanted).is_some())
    }

    /// The function that an extern without flavour resolves to (libbpf `bpf_object__resolve_ksym_func_btf_id`).
    pub fn kfunc(&self, name: &str) -> Lookup<Kfunc> {
        match self.find(name, Kind::Func).and_then(|func| Some((func, self.btf.get(func)?))) {
            Some((func, ty)) => Lookup::Found(Kfunc { func, proto: ty.target() }),
            None if self.is_cut_function(name) => {
                Lookup::Unknown("the kernel's prototype of the function was cut from this snapshot".into())
            }
            None if exceptions::is_module_kfunc(name) => {
                Lookup::Unknown("modules register such kfuncs, and modules' types are not known".into())
            }
            None => self.absent(name),
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

    /// The struct_ops type of that name, without flavour (libbpf `find_struct_ops_kern_types`).
    pub fn ops_type(&self, name: &str) -> Lookup<OpsType<'d>> {
        let wrapper = self.lookup(&format!("bpf_struct_ops_{name}"), Kind::Struct);
        match (wrapper, self.find(name, Kind::Struct)) {
            (Lookup::Found(wrapper), Some(id)) => Lookup::Found(OpsType::read(self, name, wrapper, id)),
            (Lookup::Found(_), None) => Lookup::Absent,
            (Lookup::Absent, _) => Lookup::Absent,
            (Lookup::Unknown(reason), _) => Lookup::Unknown(reason),
        }
    }

    /// What it asks of the arenas of a cid-form scheduler.
    pub fn arena_rule(&self) -> KernelArenaRule {
        self.arena_rule
    }

    /// The value of a map flag. The flags stand in an anonymous enum, the same that holds `BPF_F_NO_PREALLOC`.
    pub fn map_flag(&self, name: &str) -> Option<u32> {
        self.any_enumerator(name).and_then(|value| u32::try_from(value).ok())
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

    /// Parameters of a prototype: name and type.
    pub fn params(&self, proto: TypeId) -> Vec<(&'d str, TypeId)> {
        let proto = self.btf.get(proto).and_then(|ty| ty.func_proto());
        let params = proto.into_iter().flat_map(|proto| proto.params());
        params.map(|param| (self.btf.str(param.name), param.ty)).collect()
    }

    /// A prototype as C spells it, types by name: `void scx_bpf_kick_cpu(int cpu, u64 flags)`.
    pub fn signature(&self, name: &str, proto: TypeId) -> String {
        let ret =
            self.btf.get(proto).and_then(|ty| ty.func_proto()).map_or(TypeId::VOID, |proto| proto.ret());
        let params = self.params(proto).into_iter().map(|(name, ty)| {
            let ty = self.spelling(ty);
            if ty.ends_with('*') { format!("{ty}{name}") } else { format!("{ty} {name}") }
        });
        let params = params.collect::<Vec<_>>().join(", ");
        let ret = self.spelling(ret);
        let gap = if ret.ends_with('*') { "" } else { " " };
        format!("{ret}{gap}{name}({})", if params.is_empty() { "void" } else { &params })
    }

    /// A parameter's type as C spells it, as far as a prototype needs.
    fn spelling(&self, id: TypeId) -> String {
        let mut id = id;
        let mut suffix = String::new();
        for _ in 0..8 {
            let Some(ty) = self.btf.get(id) else { break };
            let name = self.btf.name(&ty);
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

    /// Names of 64-bit enums that the BTF encodes as 8-byte ENUM, whose values have 32 bits.
    pub fn truncated_enums(&self) -> Vec<&'d str> {
        let enums = self.btf.truncated_enums().iter().filter_map(|&id| self.btf.get(id));
        enums.map(|ty| self.btf.name(&ty)).filter(|name| !name.is_empty()).collect()
    }

    /// Does the prototype's last parameter belong to the kernel, which would fill it in if the BTF had been
    /// converted (KF_IMPLICIT_ARGS): a kfunc with a `struct bpf_prog_aux *aux` and no `NAME_impl` twin cannot be called.
    pub fn has_leaked_aux(&self, name: &str, kfunc: Kfunc) -> bool {
        let is_aux = self.params(kfunc.proto).last().is_some_and(|&(param, ty)| {
            let pointee = self.btf.resolve(ty).filter(|(_, ty)| ty.kind() == Kind::Ptr);
            let target = pointee.and_then(|(_, ty)| self.btf.resolve(ty.target()));
            param.starts_with("aux") && target.is_some_and(|(_, ty)| self.btf.name(&ty) == "bpf_prog_aux")
        });
        is_aux && !name.ends_with("_impl") && self.find(&format!("{name}_impl"), Kind::Func).is_none()
    }
}

/// A name that only this scheduler class uses: there a BTF is whole, whatever the configuration.
fn is_own_surface(name: &str) -> bool {
    let name = name.trim_start_matches('_').to_ascii_lowercase();
    ["scx_", "bpf_scx_", "sched_ext", "bpf_struct_ops_sched_ext", "bpf_iter_scx"]
        .iter()
        .any(|own| name.starts_with(own))
}
