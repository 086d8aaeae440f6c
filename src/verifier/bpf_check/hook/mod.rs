//! What a program is: its type, what it attaches to, what it is given, may do with that, and must return.

mod arguments;
mod attach;
mod call;
mod context;
mod exit;
mod lists;
mod maps;
mod struct_ops;

pub use self::arguments::{GlobalArg, Prototype};

use rustc_hash::FxHashMap;
use std::rc::Rc;

use super::refusal::{Step, Stop};
use super::reg::{Flags, TypeRef};
use super::rules::{Era, Rules};
use crate::btf::{Kind as BtfKind, TypeId};
use crate::kernel::license::is_gpl_compatible;
use crate::kernel::{Home, Kernel};
use crate::load::Load;
use crate::object::{FuncIdx, ProgramKind};

/// What a program is, by its type and expected attach type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// A callback of a struct_ops type.
    StructOps(Ops),
    /// `BPF_TRACE_FENTRY`.
    Fentry,
    /// `BPF_TRACE_FEXIT`.
    Fexit,
    /// `BPF_TRACE_FSESSION`.
    Fsession,
    /// `BPF_MODIFY_RETURN`.
    ModifyReturn,
    /// `BPF_TRACE_FENTRY_MULTI`.
    FentryMulti,
    /// `BPF_TRACE_FEXIT_MULTI`.
    FexitMulti,
    /// `BPF_TRACE_FSESSION_MULTI`.
    FsessionMulti,
    /// `BPF_TRACE_RAW_TP`.
    TpBtf,
    /// `BPF_TRACE_ITER`.
    Iter,
    /// `BPF_LSM_MAC`.
    Lsm,
    /// `BPF_LSM_CGROUP`.
    LsmCgroup,
    /// `BPF_PROG_TYPE_KPROBE`.
    Kprobe {
        /// It is one for entry and return (`BPF_TRACE_KPROBE_SESSION`, `BPF_TRACE_UPROBE_SESSION`).
        session: bool,
    },
    /// `BPF_PROG_TYPE_TRACEPOINT`.
    Tracepoint,
    /// `BPF_PROG_TYPE_RAW_TRACEPOINT`.
    RawTracepoint,
    /// `BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE`.
    RawTracepointWritable,
    /// `BPF_PROG_TYPE_PERF_EVENT`.
    PerfEvent,
    /// `BPF_PROG_TYPE_SYSCALL`.
    Syscall,
}

/// A struct_ops type of which it is known what its verifier asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ops {
    /// `sched_ext_ops`.
    Scx,
    /// `sched_ext_ops_cid`.
    ScxCid,
    /// `bpf_dummy_ops`.
    Dummy,
    /// `tcp_congestion_ops`.
    TcpCongestion,
    /// `Qdisc_ops`.
    Qdisc,
}

impl Program {
    /// `BPF_PROG_TYPE_TRACING`.
    pub fn is_tracing(self) -> bool {
        matches!(
            self,
            Self::Fentry
                | Self::Fexit
                | Self::Fsession
                | Self::ModifyReturn
                | Self::FentryMulti
                | Self::FexitMulti
                | Self::FsessionMulti
                | Self::TpBtf
                | Self::Iter
        )
    }

    /// Of a type that traces, but for `BPF_PROG_TYPE_TRACING` (`is_tracing_prog_type`).
    pub fn traces(self) -> bool {
        matches!(
            self,
            Self::Kprobe { .. }
                | Self::Tracepoint
                | Self::PerfEvent
                | Self::RawTracepoint
                | Self::RawTracepointWritable
        )
    }

    /// `BPF_PROG_TYPE_LSM`.
    pub fn is_lsm(self) -> bool {
        matches!(self, Self::Lsm | Self::LsmCgroup)
    }

    /// A callback of a struct_ops type.
    pub fn is_struct_ops(self) -> bool {
        matches!(self, Self::StructOps(_))
    }

    /// Many functions are attached to (`is_tracing_multi`).
    fn is_multi(self) -> bool {
        matches!(self, Self::FentryMulti | Self::FexitMulti | Self::FsessionMulti)
    }

    /// By the program type and what the section's name says, as libbpf does.
    fn of(kind: ProgramKind, class: &str) -> Option<Self> {
        Some(match (kind.as_str(), class) {
            ("tracing", "fentry") => Self::Fentry,
            ("tracing", "fexit") => Self::Fexit,
            ("tracing", "fsession") => Self::Fsession,
            ("tracing", "fmod_ret") => Self::ModifyReturn,
            ("tracing", "fentry.multi") => Self::FentryMulti,
            ("tracing", "fexit.multi") => Self::FexitMulti,
            ("tracing", "fsession.multi") => Self::FsessionMulti,
            ("tracing", "tp_btf") => Self::TpBtf,
            ("tracing", "iter") => Self::Iter,
            ("lsm", "lsm") => Self::Lsm,
            ("lsm", "lsm_cgroup") => Self::LsmCgroup,
            ("kprobe", _) => Self::Kprobe { session: class.ends_with(".session") },
            ("tracepoint", _) => Self::Tracepoint,
            ("raw_tracepoint", _) => Self::RawTracepoint,
            ("raw_tracepoint_writable", _) => Self::RawTracepointWritable,
            ("perf_event", _) => Self::PerfEvent,
            ("syscall", _) => Self::Syscall,
            _ => return None,
        })
    }
}

/// A prototype of the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelPrototype {
    /// The BTF.
    pub home: Home,
    /// The FUNC_PROTO.
    pub id: TypeId,
}

/// An argument of which more is known than its type says (`struct bpf_ctx_arg_aux`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownArgument {
    /// Where it is in the context, bytes.
    pub offset: i64,
    /// What it is.
    pub kind: KnownKind,
    /// Its flags.
    pub flags: Flags,
    /// It comes with a reference.
    pub refcounted: bool,
    /// The reference, once the walk has begun; 0 is none.
    pub ref_id: u32,
}

/// What such an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownKind {
    /// An object.
    Object(TypeRef),
    /// A buffer.
    Buf,
    /// An address in an arena.
    Arena,
}

/// What kind of program it is.
#[derive(Debug, Clone)]
pub struct Hook {
    /// It was loaded as one that may sleep.
    pub sleepable: bool,
    /// By its type.
    pub program: Program,
    /// Its license is one that counts as GPL.
    pub gpl_compatible: bool,
    /// What it attaches to, as messages call it (`attach_func_name`).
    pub name: String,
    /// The FUNC or TYPEDEF that it attaches to, for tracing and LSM programs.
    pub target: Option<(Home, TypeId)>,
    /// The prototype of that (`attach_func_proto`).
    pub prototype: Option<KernelPrototype>,
    /// Arguments of which more is known.
    pub arguments: Vec<KnownArgument>,
    /// Registers in the context of a kprobe may be written.
    pub writes_registers: bool,
    /// Prototypes of the program's functions that were looked at.
    prototypes: FxHashMap<usize, Rc<Prototype>>,
}

impl Hook {
    /// Of a program (`bpf_check_attach_target` and what comes before it).
    ///
    /// # Errors
    /// What it attaches to is refused, or the program type is not modelled.
    pub fn of(load: &Load<'_, '_>, kernel: &Kernel<'_>, rules: &Rules, program: FuncIdx) -> Step<Self> {
        let function = &load.object[program];
        let Some(entry) = function.entry.as_ref() else { return Err(Stop::unmodelled("it is no program")) };
        if entry.kind == ProgramKind::STRUCT_OPS {
            return struct_ops::of(load, kernel, program, entry.sleepable);
        }
        let class = function.section().class;
        let Some(mut kind) = Program::of(entry.kind, class) else {
            return Err(Stop::unmodelled(format!("programs of type {}", entry.kind.as_str())));
        };
        // Those of uprobes came with 6.13; what a program of no such type attaches to is not looked at.
        if class == "uprobe.session" && !rules.since(Era::V6_16) {
            kind = Program::Kprobe { session: false };
        }
        let mut hook = Self::new(load, kind, entry.sleepable);
        attach::check(load, kernel, rules, program, &mut hook)?;
        let member = kernel.find("bpf_prog_aux", BtfKind::Struct);
        hook.writes_registers = member.is_some_and(|aux| kernel.member(aux, "kprobe_write_ctx").is_some());
        Ok(hook)
    }

    /// Of a program of which only the code's form is looked at.
    pub fn bare(load: &Load<'_, '_>) -> Self {
        Self::new(load, Program::Syscall, false)
    }

    /// Of a program that attaches to nothing yet.
    fn new(load: &Load<'_, '_>, program: Program, sleepable: bool) -> Self {
        Self {
            sleepable,
            program,
            gpl_compatible: is_gpl_compatible(&load.object.license),
            name: String::new(),
            target: None,
            prototype: None,
            arguments: Vec::new(),
            writes_registers: false,
            prototypes: FxHashMap::default(),
        }
    }

    /// It is a callback of a struct_ops type.
    pub fn is_struct_ops(&self) -> bool {
        self.program.is_struct_ops()
    }

    /// The type that the prototype gives back; `None` where nothing is known of it.
    pub fn returns(&self, kernel: &Kernel<'_>) -> Option<TypeId> {
        let KernelPrototype { home, id } = self.prototype?;
        Some(kernel.btf_of(home).get(id)?.func_proto()?.ret())
    }
}
