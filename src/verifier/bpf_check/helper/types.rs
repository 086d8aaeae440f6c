//! Which registers an argument may be in (`check_reg_type`, `check_func_arg_reg_off`).

use super::super::args::Argument;
use super::super::btf_match::Matched;
use super::super::checker::Checker;
use super::super::names::type_name;
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::{BtfOf, DynptrKind, Flags, Kind, MapRef, Reg, TypeRef};
use super::super::rules::Era;
use super::meta::Meta;
use crate::btf::TypeId;
use crate::kernel::helpers::kinds::{Arg, ArgKind, flags};
use crate::kernel::{Home, helpers};
use crate::object::MapIdx;

/// A type that an argument may have: any register of the kind, with exactly these flags.
type Expected = (Kind, Flags);

const MAP: MapRef = MapRef { map: MapIdx(0), inner: false };
const TYPE: Kind = Kind::BtfId(TypeRef { btf: BtfOf::Kernel(Home::Vmlinux), id: TypeId::VOID });

const SOCK: &[Expected] = &[
    (Kind::SockCommon, Flags::NONE),
    (Kind::Socket, Flags::NONE),
    (Kind::TcpSock, Flags::NONE),
    (Kind::XdpSock, Flags::NONE),
];
const SOCK_OR_TYPE: &[Expected] = &[
    (Kind::SockCommon, Flags::NONE),
    (Kind::Socket, Flags::NONE),
    (Kind::TcpSock, Flags::NONE),
    (Kind::XdpSock, Flags::NONE),
    (TYPE, Flags::NONE),
    (TYPE, Flags::TRUSTED),
];
const MEM: &[Expected] = &[
    (Kind::Stack(0), Flags::NONE),
    (Kind::Packet, Flags::NONE),
    // Another kind of packet, which is not modelled: its place in the message.
    (Kind::Packet, Flags::UNINIT),
    (Kind::MapKey(MAP), Flags::NONE),
    (Kind::MapValue(MAP), Flags::NONE),
    (Kind::Mem(0), Flags::NONE),
    (Kind::Mem(0), Flags::RINGBUF),
    (Kind::Buf, Flags::NONE),
    (TYPE, Flags::TRUSTED),
];
/// With the context, which is memory since 7.1.
const MEM_OR_CONTEXT: &[Expected] =
    &[MEM[0], MEM[1], MEM[2], MEM[3], MEM[4], MEM[5], MEM[6], MEM[7], MEM[8], (Kind::Ctx, Flags::NONE)];
const SPIN_LOCK: &[Expected] = &[(Kind::MapValue(MAP), Flags::NONE), (TYPE, Flags::ALLOC)];
const SCALAR: &[Expected] = &[(Kind::Scalar, Flags::NONE)];
const CONTEXT: &[Expected] = &[(Kind::Ctx, Flags::NONE)];
const RINGBUF_MEM: &[Expected] = &[(Kind::Mem(0), Flags::RINGBUF)];
const MAP_PTR: &[Expected] = &[(Kind::MapPtr(MAP), Flags::NONE)];
const BTF_PTR: &[Expected] = &[(TYPE, Flags::NONE), (TYPE, Flags::TRUSTED), (TYPE, Flags::RCU)];
const PERCPU: &[Expected] = &[
    (TYPE, Flags::PERCPU),
    (TYPE, Flags(Flags::PERCPU.0 | Flags::RCU.0)),
    (TYPE, Flags(Flags::PERCPU.0 | Flags::TRUSTED.0)),
];
const FUNC: &[Expected] = &[(Kind::Func(0), Flags::NONE)];
const STACK: &[Expected] = &[(Kind::Stack(0), Flags::NONE)];
const MAP_VALUE: &[Expected] = &[(Kind::MapValue(MAP), Flags::NONE)];
const KPTR_DEST: &[Expected] = &[
    (Kind::MapValue(MAP), Flags::NONE),
    (TYPE, Flags::ALLOC),
    (TYPE, Flags(Flags::ALLOC.0 | Flags::NON_OWN_REF.0)),
    (TYPE, Flags(Flags::ALLOC.0 | Flags::NON_OWN_REF.0 | Flags::RCU.0)),
];
const DYNPTR: &[Expected] = &[(Kind::Stack(0), Flags::NONE), (Kind::Dynptr(DynptrKind::Local), Flags::NONE)];

impl Checker<'_, '_> {
    fn compatible(&self, kind: ArgKind) -> Option<&'static [Expected]> {
        Some(match kind {
            ArgKind::Anything => return None,
            ArgKind::PtrToMapKey | ArgKind::PtrToMapValue | ArgKind::PtrToMem => {
                if self.rules.since(Era::V7_1) { MEM_OR_CONTEXT } else { MEM }
            }
            ArgKind::MemSize | ArgKind::MemSizeOrZero | ArgKind::ConstAllocSizeOrZero | ArgKind::Scalar => {
                SCALAR
            }
            ArgKind::ConstMapPtr => MAP_PTR,
            ArgKind::PtrToCtx => CONTEXT,
            ArgKind::PtrToSockCommon => SOCK,
            ArgKind::PtrToBtfIdSockCommon => SOCK_OR_TYPE,
            ArgKind::PtrToBtfId => BTF_PTR,
            ArgKind::PtrToSpinLock => SPIN_LOCK,
            ArgKind::PtrToRingbufMem => RINGBUF_MEM,
            ArgKind::PtrToPercpuBtfId => PERCPU,
            ArgKind::PtrToFunc => FUNC,
            ArgKind::PtrToStack => STACK,
            ArgKind::PtrToConstStr | ArgKind::PtrToTimer => MAP_VALUE,
            ArgKind::KptrXchgDest if self.rules.since(Era::V7_2) => KPTR_DEST,
            ArgKind::KptrXchgDest => &KPTR_DEST[..2],
            ArgKind::PtrToDynptr => DYNPTR,
        })
    }

    /// A register has a type that the argument takes (`check_reg_type`).
    ///
    /// # Errors
    /// It has not, or that is not known.
    pub(super) fn check_reg_type(&mut self, arg: Argument<'_>, asked: Arg, meta: &Meta) -> Step {
        let reg = arg.reg;
        let Some(compatible) = self.compatible(asked.kind) else { return Ok(()) };
        let has = |flag: u16| asked.flags & flag != 0;
        let mut folded = reg.flags;
        if has(flags::RDONLY) {
            folded = folded.without(Flags::RDONLY);
        }
        if has(flags::MAYBE_NULL) {
            folded = folded.without(Flags::MAYBE_NULL);
        }
        if asked.kind == ArgKind::PtrToMem {
            folded = folded.without(Flags::DYNPTR_SKB.with(Flags::DYNPTR_XDP));
        }
        let is_kptr_xchg = meta.helper.id == helpers::KPTR_XCHG;
        if is_kptr_xchg && arg.number == Some(2) && folded.has(Flags::ALLOC) {
            folded = folded.without(Flags::ALLOC.with(Flags::PERCPU));
        }
        let is_kind = |kind: Kind| std::mem::discriminant(&kind) == std::mem::discriminant(&reg.kind);
        if !compatible.iter().any(|(kind, flags)| is_kind(*kind) && *flags == folded) {
            return Err(self.wrong_type(arg, compatible));
        }
        let Kind::BtfId(ty) = reg.kind else { return Ok(()) };
        if matches!(asked.kind, ArgKind::PtrToMapKey | ArgKind::PtrToMapValue | ArgKind::PtrToMem) {
            if has(flags::RDONLY) {
                return Ok(());
            }
            let shown = type_name(reg.kind, reg.flags);
            let message = format!(
                "bpf_{}() may write into memory pointed by {} type={shown}",
                meta.helper.name, arg.name
            );
            return Err(Stop::eacces(Why::ReadOnly, message));
        }
        let plain = reg.flags.without(Flags::MAYBE_NULL);
        if [Flags::NONE, Flags::TRUSTED, Flags::RCU].contains(&plain) {
            return self.check_reg_struct(arg, ty, asked, meta);
        }
        if reg.flags.has(Flags::ALLOC) {
            let locks = matches!(meta.helper.id, helpers::SPIN_LOCK | helpers::SPIN_UNLOCK);
            if !locks && !is_kptr_xchg {
                return Err(Stop::unmodelled("an object of the program passed to a helper"));
            }
            if is_kptr_xchg && arg.number == Some(2) {
                return self.check_kptr_source(arg, meta);
            }
            return Ok(());
        }
        if PERCPU.iter().any(|(_, flags)| *flags == reg.flags) {
            return Ok(());
        }
        Err(Stop::unmodelled("a pointer that the kernel does not expect here"))
    }

    fn wrong_type(&self, arg: Argument<'_>, compatible: &[Expected]) -> Stop {
        let mut expected = String::new();
        for (kind, flags) in compatible {
            if !expected.is_empty() {
                expected.push_str(", ");
            }
            if flags.has(Flags::UNINIT) {
                expected.push_str("pkt_meta");
            } else {
                expected.push_str(&type_name(*kind, *flags));
            }
        }
        arg.unexpected(&expected)
    }

    /// A pointer to a struct of the kernel is one to what is asked for.
    fn check_reg_struct(&mut self, arg: Argument<'_>, ty: TypeRef, asked: Arg, meta: &Meta) -> Step {
        let reg = arg.reg;
        let releases = asked.flags & flags::RELEASE != 0;
        if reg.may_be_null() && (asked.flags & flags::MAYBE_NULL == 0 || releases) {
            let name = match self.rules.since(Era::V7_2) {
                true => arg.name.to_owned(),
                false => format!("arg{}", arg.number.unwrap_or_default()),
            };
            let message = format!("Possibly NULL pointer passed to helper {name}");
            return Err(Stop::eacces(Why::NullArgument, message));
        }
        if meta.helper.id == helpers::KPTR_XCHG {
            return self.check_kptr_source(arg, meta);
        }
        let number = arg.number.unwrap_or_default();
        let need = match asked.kind {
            ArgKind::PtrToBtfIdSockCommon => self.kernel_struct("sock_common")?,
            _ => self.argument_struct(meta.helper, number)?,
        };
        if self.rules.since(Era::V7_2) {
            self.check_ptr_off(reg, arg.name, true)?;
        }
        let Some(off) = reg.offset().filter(|off| *off >= 0) else {
            return Err(Stop::unmodelled("a pointer to a struct of the kernel at an unknown offset"));
        };
        match self.match_struct(ty, off, need, releases, !reg.flags.has(Flags::ALLOC))? {
            Matched::Yes => Ok(()),
            Matched::No(line) => {
                let words = || {
                    let (have, need) = (self.name_of_type(ty), self.name_of_type(need));
                    format!("{} is of type {have} but {need} is expected", arg.name)
                };
                Err(Stop::eacces(Why::WrongArgument, line.unwrap_or_else(words)))
            }
        }
    }

    /// What is stored into a kptr goes with it.
    fn check_kptr_source(&mut self, arg: Argument<'_>, meta: &Meta) -> Step {
        let Some(field) = meta.kptr else { return Err(Stop::unmodelled("an exchange without a kptr")) };
        // The caller of the comparison answers for it with another error.
        self.match_kptr(field, arg).map_err(|stop| match stop {
            Stop::Refused { why, message, .. } => Stop::eacces(why, message),
            other => other,
        })
    }

    /// An argument points where it was handed out, as far as that is asked (`check_func_arg_reg_off`).
    ///
    /// # Errors
    /// It does not.
    pub(super) fn check_arg_offset(&mut self, arg: Argument<'_>, asked: Arg) -> Step {
        let reg = arg.reg;
        if asked.flags & flags::RELEASE != 0 {
            if asked.kind == ArgKind::PtrToDynptr && matches!(reg.kind, Kind::Stack(_)) {
                return Ok(());
            }
            if reg.offset() != Some(0) {
                if !self.rules.since(Era::V7_1) && reg.offset().is_none() {
                    return self.check_ptr_off(reg, arg.name, false);
                }
                let message = format!(
                    "{} must have zero offset when passed to release func or trusted arg to kfunc",
                    arg.name
                );
                return Err(Stop::einval(Why::UnownedRelease, message));
            }
            if !self.rules.since(Era::V7_1) {
                return Ok(());
            }
        }
        let is_memory = asked.kind != ArgKind::PtrToCtx;
        self.check_reg_offset(arg, is_memory)
    }

    /// The same for any call: `memory` tells an argument that is memory from one that is the context.
    ///
    /// # Errors
    /// Something was added to what must be as it was handed out.
    pub fn check_reg_offset(&mut self, arg: Argument<'_>, memory: bool) -> Step {
        let reg = arg.reg;
        let flags = reg.flags;
        let fixed_ok = match reg.kind {
            Kind::Stack(_)
            | Kind::Packet
            | Kind::MapKey(_)
            | Kind::MapValue(_)
            | Kind::Arena
            | Kind::Scalar
                if flags == Flags::NONE =>
            {
                return Ok(());
            }
            Kind::Mem(_) if [Flags::NONE, Flags::RDONLY, Flags::RINGBUF].contains(&flags) => return Ok(()),
            Kind::Buf if [Flags::NONE, Flags::RDONLY].contains(&flags) => return Ok(()),
            Kind::BtfId(_) => [
                Flags::NONE,
                Flags::ALLOC,
                Flags::TRUSTED,
                Flags::RCU,
                Flags::ALLOC.with(Flags::NON_OWN_REF),
                Flags::ALLOC.with(Flags::NON_OWN_REF).with(Flags::RCU),
            ]
            .contains(&flags),
            Kind::Ctx if memory && self.rules.since(Era::V7_1) && self.program_kind() == "syscall" => {
                return Ok(());
            }
            // Nothing is known of it, the offset included.
            Kind::NotInit => {
                return self.check_ptr_off(&Reg { kind: Kind::NotInit, ..Reg::unknown() }, arg.name, false);
            }
            _ => false,
        };
        self.check_ptr_off(reg, arg.name, fixed_ok)
    }
}
