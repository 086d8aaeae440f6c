//! What is known of each call before code is walked (`bpf_get_call_summary`, `bpf_helper_stack_access_bytes`,
//! `bpf_kfunc_stack_access_bytes`).

use super::super::checker::Checker;
use super::super::prog::Link;
use super::constants::{Constant, Constants};
use crate::btf::{Kind, TypeId};
use crate::insn::{Callee, Op};
use crate::kernel::helpers;
use crate::kernel::helpers::kinds::{ArgKind, Helper, ReturnKind, flags};
use crate::kernel::kfunc_flags::KfuncFlags;
use crate::kernel::{Home, Lookup};
use crate::object::MapIdx;

/// Whom an instruction calls.
#[derive(Debug, Clone)]
pub enum Call {
    /// Nobody, a function of the program, or somebody of whom nothing is known.
    Other,
    /// A helper.
    Helper(&'static Helper),
    /// A kfunc.
    Kfunc(KfuncCall),
}

/// A kfunc that is called.
#[derive(Debug, Clone)]
pub struct KfuncCall {
    /// Its name in the kernel.
    pub name: String,
    /// Its flags, where known.
    pub flags: Lookup<KfuncFlags>,
    /// The BTF of its prototype.
    pub home: Home,
    /// Its prototype, with what the kernel itself adds.
    pub proto: TypeId,
    /// Arguments that the kernel adds and that the prototype does not show.
    pub hidden: usize,
}

/// How much stack a call reads or writes at an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// Nothing.
    Nothing,
    /// So many bytes may be read.
    Reads(i64),
    /// So many bytes are written.
    Writes(i64),
    /// Not known how many are read.
    Unknown,
}

/// Bytes of stack of a frame.
const STACK: i64 = 512;

impl KfuncCall {
    /// The kfunc that an instruction calls.
    pub fn of(checker: &Checker<'_, '_>, insn: usize) -> Option<Self> {
        let slot = checker.prog.slots.get(insn)?;
        let Link::Kfunc(_, kfunc) = slot.link else { return None };
        let kernel = checker.kernel;
        let name = {
            let btf = kernel.btf_of(kfunc.home);
            btf.get(kfunc.func).map(|ty| btf.name(&ty).to_owned())?
        };
        let flags = kernel.kfunc_flags(&name);
        let is_implicit = matches!(kernel.kfunc_has(&name, KfuncFlags::IMPLICIT_ARGS), Lookup::Found(true));
        let (mut proto, mut hidden) = (kfunc.proto, 0);
        if is_implicit {
            let twin = kernel.find(&format!("{name}_impl"), Kind::Func);
            match twin.filter(|_| kfunc.home == Home::Vmlinux).and_then(|id| kernel.btf().get(id)) {
                Some(func) => proto = func.target(),
                None => hidden = 1,
            }
        }
        Some(Self { name, flags, home: kfunc.home, proto, hidden })
    }

    /// It has a flag, for sure.
    pub fn has(&self, flag: KfuncFlags) -> bool {
        matches!(self.flags, Lookup::Found(flags) if flags.contains(flag))
    }

    fn params(&self, checker: &Checker<'_, '_>) -> usize {
        let btf = checker.kernel.btf_of(self.home);
        let params =
            btf.get(self.proto).and_then(|ty| ty.func_proto()).map_or(0, |proto| proto.params().count());
        params + self.hidden
    }

    fn is_void(&self, checker: &Checker<'_, '_>) -> bool {
        let btf = checker.kernel.btf_of(self.home);
        btf.get(self.proto).is_some_and(|ty| ty.target() == TypeId::VOID)
    }
}

/// Whom each instruction calls.
pub fn summaries(checker: &Checker<'_, '_>) -> Vec<Call> {
    let of = |insn: usize| match checker.prog.slots[insn].op {
        Op::Call(Callee::Helper(number)) if !matches!(checker.prog.slots[insn].link, Link::Poison(_)) => {
            helpers::get(number).map_or(Call::Other, Call::Helper)
        }
        Op::Call(Callee::Kfunc) => KfuncCall::of(checker, insn).map_or(Call::Other, Call::Kfunc),
        _ => Call::Other,
    };
    (0..checker.prog.len()).map(of).collect()
}

impl Call {
    /// How many arguments it takes, if known.
    pub fn params(&self, checker: &Checker<'_, '_>) -> Option<usize> {
        match self {
            Self::Other => None,
            Self::Helper(helper) => Some(helper.args.len()),
            Self::Kfunc(kfunc) => Some(kfunc.params(checker)),
        }
    }

    /// It returns nothing.
    pub fn is_void(&self, checker: &Checker<'_, '_>) -> bool {
        match self {
            Self::Other => false,
            Self::Helper(helper) => helper.ret.kind == ReturnKind::Void,
            Self::Kfunc(kfunc) => kfunc.is_void(checker),
        }
    }

    /// What it saves may be left out by the kernel (`allow_fastcall`, `KF_FASTCALL`).
    pub fn is_fastcall(&self) -> bool {
        match self {
            Self::Other => false,
            Self::Helper(helper) => helper.id == helpers::GET_SMP_PROCESSOR_ID,
            Self::Kfunc(kfunc) => kfunc.has(KfuncFlags::FASTCALL),
        }
    }

    /// The stack that it touches at an argument, the first one is 0.
    pub fn touches(
        &self,
        checker: &Checker<'_, '_>,
        constants: &Constants,
        insn: usize,
        arg: usize,
    ) -> Touched {
        match self {
            Self::Other => Touched::Unknown,
            Self::Helper(helper) => helper_touches(checker, constants, insn, helper, arg),
            Self::Kfunc(kfunc) => kfunc_touches(checker, constants, insn, kfunc, arg),
        }
    }
}

fn helper_touches(
    checker: &Checker<'_, '_>,
    constants: &Constants,
    insn: usize,
    helper: &Helper,
    arg: usize,
) -> Touched {
    let Some(taken) = helper.args.get(arg) else { return Touched::Unknown };
    let is_written = taken.flags & flags::UNINIT != 0;
    let of = |size: i64| match size {
        0 => Touched::Nothing,
        size if is_written => Touched::Writes(size),
        size => Touched::Reads(size),
    };
    match taken.kind {
        ArgKind::PtrToMapKey | ArgKind::PtrToMapValue => {
            let is_key = taken.kind == ArgKind::PtrToMapKey;
            let maps = helper.args[..arg].iter().position(|arg| arg.kind == ArgKind::ConstMapPtr);
            let map = maps.and_then(|at| match constants.get(insn, at as u8 + 1) {
                Constant::Map(map) => Some(map),
                _ => None,
            });
            let size = |map: MapIdx| {
                let map = &checker.object[map];
                if is_key { map.key_size } else { map.value_size }
            };
            match map {
                Some(map) => of(size(map).into()),
                None => match largest(checker, is_key) {
                    0 => Touched::Unknown,
                    size => of(size.into()),
                },
            }
        }
        ArgKind::PtrToMem => {
            if taken.flags & flags::FIXED_SIZE != 0 {
                return fixed_size(helper, arg).map_or(Touched::Unknown, of);
            }
            let next = helper.args.get(arg + 1).map(|arg| arg.kind);
            if !matches!(next, Some(ArgKind::MemSize | ArgKind::MemSizeOrZero)) {
                return Touched::Unknown;
            }
            match constants.get(insn, arg as u8 + 2) {
                Constant::Number(size) => of(i64::from(size)),
                _ if is_written => Touched::Nothing,
                _ => Touched::Reads(STACK),
            }
        }
        ArgKind::PtrToDynptr => of(16),
        ArgKind::PtrToStack => Touched::Nothing,
        _ => Touched::Unknown,
    }
}

/// The largest key or value of a map that the program uses.
fn largest(checker: &Checker<'_, '_>, is_key: bool) -> u32 {
    let mut most = 0;
    for slot in &checker.prog.slots {
        let (Link::Map(map) | Link::MapValue(map, _)) = slot.link else { continue };
        let map = &checker.object[map];
        let size = |map: &crate::object::Map<'_>| if is_key { map.key_size } else { map.value_size };
        most = most.max(size(map)).max(map.inner.as_deref().map_or(0, size));
    }
    most
}

/// Bytes of memory of a fixed size that a helper takes (`arg_size`).
fn fixed_size(helper: &Helper, arg: usize) -> Option<i64> {
    Some(match (helper.name, arg) {
        ("strtol" | "strtoul", 3) | ("get_func_arg", 2) | ("get_func_ret", 1) => 8,
        ("kallsyms_lookup_name", 3) => 8,
        ("check_mtu", 2) => 4,
        ("tcp_raw_gen_syncookie_ipv4" | "tcp_raw_check_syncookie_ipv4", 0) => 20,
        ("tcp_raw_gen_syncookie_ipv6" | "tcp_raw_check_syncookie_ipv6", 0) => 40,
        ("tcp_raw_check_syncookie_ipv4" | "tcp_raw_check_syncookie_ipv6", 1) => 20,
        _ => return None,
    })
}

fn kfunc_touches(
    checker: &Checker<'_, '_>,
    constants: &Constants,
    insn: usize,
    kfunc: &KfuncCall,
    arg: usize,
) -> Touched {
    let btf = checker.kernel.btf_of(kfunc.home);
    let Some(proto) = btf.get(kfunc.proto).and_then(|ty| ty.func_proto()) else { return Touched::Unknown };
    let mut params = proto.params().skip(arg);
    let Some(param) = params.next() else { return Touched::Nothing };
    let Some((_, ty)) = btf.resolve(param.ty) else { return Touched::Unknown };
    if ty.kind() != Kind::Ptr {
        return Touched::Nothing;
    }
    let name = btf.str(param.name);
    let is_written = arg == 0 && kfunc.has(KfuncFlags::ITER_NEW) || name.ends_with("__uninit");
    let of = |size: i64| match size {
        0 => Touched::Nothing,
        size if is_written => Touched::Writes(size),
        size => Touched::Reads(size),
    };
    let target = btf.resolve(ty.target());
    if target.is_some_and(|(_, ty)| ty.kind() == Kind::Struct && btf.name(&ty) == "bpf_dynptr") {
        return of(16);
    }
    if let Some(next) = params.next() {
        let next = btf.str(next.name);
        if next.ends_with("__sz") || next.ends_with("__szk") {
            return match constants.get(insn, arg as u8 + 2) {
                Constant::Number(size) => of(i64::from(size)),
                _ => Touched::Reads(STACK),
            };
        }
    }
    match target.and_then(|(id, _)| btf.size_of(id)) {
        Some(size) => of(size as i64),
        None => Touched::Unknown,
    }
}
