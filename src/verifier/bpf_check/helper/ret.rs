//! What a helper returns.

use super::super::checker::Checker;
use super::super::record::FieldKind;
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::{BtfOf, Flags, Kind, Reg};
use super::super::rules::Era;
use super::super::scalar::Scalar;
use super::callbacks::pointer;
use super::meta::Meta;
use crate::btf::Kind as BtfKind;
use crate::errno::Errno;
use crate::kernel::helpers::kinds::{ReturnKind, flags};
use crate::kernel::{Arch, helpers};
use crate::object::MapType;

/// Errors are numbers from -4095 on (`MAX_ERRNO`).
const MAX_ERRNO: i64 = 4095;
/// Most CPUs that a kernel can be built for on x86-64 (`NR_CPUS`).
const MAX_CPUS: u32 = 8192;

/// Helpers that give another pointer to the socket that they are given (`is_ptr_cast_function`).
const CASTS: [&str; 8] = [
    "tcp_sock",
    "sk_fullsock",
    "skc_to_tcp_sock",
    "skc_to_tcp6_sock",
    "skc_to_udp6_sock",
    "skc_to_mptcp_sock",
    "skc_to_tcp_timewait_sock",
    "skc_to_tcp_request_sock",
];

/// The table's flags of what is returned as a register's.
fn reg_flags(of: u16) -> Flags {
    let mut found = Flags::NONE;
    for (bit, flag) in [
        (flags::MAYBE_NULL, Flags::MAYBE_NULL),
        (flags::RDONLY, Flags::RDONLY),
        (flags::RINGBUF, Flags::RINGBUF),
        (flags::TRUSTED, Flags::TRUSTED),
    ] {
        if of & bit != 0 {
            found = found.with(flag);
        }
    }
    found
}

impl Checker<'_, '_> {
    /// r0 after the call.
    ///
    /// # Errors
    /// It is not modelled.
    pub(super) fn set_result(&mut self, meta: &Meta, by_cpu_of_object: bool) -> Step {
        let ret = meta.helper.ret;
        let flags = reg_flags(ret.flags);
        let mut r0 = match ret.kind {
            ReturnKind::Integer => Reg::unknown(),
            ReturnKind::Void => Reg::not_init(),
            ReturnKind::PtrToMapValue => self.map_value(meta, flags)?,
            ReturnKind::PtrToSocket => Reg::new(Kind::Socket, flags),
            ReturnKind::PtrToSockCommon => Reg::new(Kind::SockCommon, flags),
            ReturnKind::PtrToTcpSock => Reg::new(Kind::TcpSock, flags),
            ReturnKind::PtrToMem => Reg::new(Kind::Mem(meta.mem_size as u32), flags),
            ReturnKind::PtrToMemOrBtfId => self.by_cpu(meta, flags, by_cpu_of_object)?,
            ReturnKind::PtrToBtfId if meta.helper.id == helpers::KPTR_XCHG => {
                let field = meta.kptr.and_then(|field| Some((field, field.target?)));
                let Some((field, target)) = field else { return Err(Stop::unmodelled("a kptr")) };
                let mut flags = flags;
                if target.btf == BtfOf::Object {
                    flags = flags.with(Flags::ALLOC);
                    if field.kind == FieldKind::KptrPercpu {
                        flags = flags.with(Flags::PERCPU);
                    }
                }
                pointer(target, flags)
            }
            ReturnKind::PtrToBtfId => pointer(self.result_struct(meta.helper)?, flags),
        };
        if r0.may_be_null() && r0.id == 0 {
            r0.id = self.new_id();
        }
        if CASTS.contains(&meta.helper.name) && meta.reference.is_some() {
            return Err(Stop::unmodelled("a socket that is held under two types"));
        }
        if self.acquires(meta)? {
            let id = self.acquire_reference(0);
            r0.id = id;
            r0.ref_obj_id = id;
        }
        if meta.is("dynptr_data")
            && let Some(given) = meta.dynptr
        {
            r0.parent_id = given.id;
            if !self.rules.since(Era::V7_2) {
                r0.ref_obj_id = given.ref_obj_id;
            }
        }
        *self.reg_mut(0) = r0;
        self.refine_result(meta);
        Ok(())
    }

    /// `is_acquire_function`.
    fn acquires(&self, meta: &Meta) -> Step<bool> {
        if meta.helper.acquires() {
            return Ok(true);
        }
        let Some((map, _)) = meta.map.filter(|_| meta.helper.id == helpers::MAP_LOOKUP_ELEM) else {
            return Ok(false);
        };
        Ok(matches!(self.map(map)?.map_type, MapType::SOCKMAP | MapType::SOCKHASH))
    }

    /// The value of a map, or NULL.
    fn map_value(&mut self, meta: &Meta, flags: Flags) -> Step<Reg> {
        let Some((map, uid)) = meta.map else { return Err(Stop::unmodelled("the value of no map")) };
        let max = u64::from(self.map(map)?.max_entries);
        let is_lookup = meta.helper.id == helpers::MAP_LOOKUP_ELEM;
        let mut flags = flags;
        // A key is a signed number to the kernel here.
        let in_range = meta.key.is_some_and(|key| key < max && key.cast_signed() >= 0);
        if is_lookup && in_range && self.elides_null(map)? {
            flags = flags.without(Flags::MAYBE_NULL);
        }
        let mut reg = Reg::new(Kind::MapValue(map), flags);
        reg.map_uid = uid;
        if !flags.has(Flags::MAYBE_NULL) {
            let record = self.map_record(map)?;
            if record.has(|kind| matches!(kind, FieldKind::SpinLock | FieldKind::ResSpinLock)) {
                reg.id = self.new_id();
            }
        }
        if !self.rules.since(Era::V7_3) {
            return Ok(reg);
        }
        if flags.has(Flags::MAYBE_NULL) && reg.id == 0 {
            reg.id = self.new_id();
        }
        let found = self.map(map)?;
        if found.inner.is_some() && !map.inner {
            reg.kind = Kind::MapPtr(super::super::reg::MapRef { map: map.map, inner: true });
            reg.map_uid = reg.id;
        } else {
            match found.map_type {
                MapType::XSKMAP => (reg.kind, reg.map_uid) = (Kind::XdpSock, 0),
                MapType::SOCKMAP | MapType::SOCKHASH => (reg.kind, reg.map_uid) = (Kind::Socket, 0),
                _ => {}
            }
        }
        Ok(reg)
    }

    /// This CPU's or another's copy of a variable of the kernel, or of an object of the program.
    fn by_cpu(&self, meta: &Meta, flags: Flags, of_object: bool) -> Step<Reg> {
        let Some(ty) = meta.ret else { return Err(Stop::unmodelled("per-CPU data of no type")) };
        let found = self.in_btf(ty.btf, |btf| {
            let (_, found) = btf.resolve(ty.id)?;
            if matches!(found.kind(), BtfKind::Struct | BtfKind::Union) {
                return Some(None);
            }
            Some(Some(btf.resolve_size(ty.id).map_err(|errno| (errno, btf.name(&found).to_owned()))))
        })?;
        match found {
            None => Err(Stop::unmodelled("per-CPU data of a type that is not known")),
            Some(None) if of_object => Ok(pointer(ty, Flags::ALLOC.with(Flags::RCU))),
            Some(None) => Ok(pointer(ty, flags.without(Flags::RDONLY))),
            Some(Some(Ok(size))) => Ok(Reg::new(Kind::Mem(u32::try_from(size).unwrap_or(u32::MAX)), flags)),
            Some(Some(Err((Errno(errno), name)))) => {
                let message = format!("unable to resolve the size of type '{name}': -{errno}");
                Err(Stop::einval(Why::WrongArgument, message))
            }
        }
    }

    /// What is known of a number that is returned (`do_refine_retval_range`).
    fn refine_result(&mut self, meta: &Meta) {
        let rules = self.rules.scalar;
        let is_x86 = self.kernel.arch_or_usual() == Arch::X86_64;
        let r0 = self.reg_mut(0);
        if !r0.is_scalar() {
            return;
        }
        match meta.helper.name {
            "get_stack"
            | "get_task_stack"
            | "probe_read_str"
            | "probe_read_kernel_str"
            | "probe_read_user_str" => {
                // An int of the kernel's takes the low half of the size.
                let max = i64::from(meta.max_size as i32);
                r0.value = r0.value.with_signed_bounds(-MAX_ERRNO, max, &rules);
            }
            // As many as a kernel can be built for; how many there are is not known, see the call.
            "get_smp_processor_id" if is_x86 => r0.value = Scalar::up_to(MAX_CPUS - 1, &rules),
            _ => {}
        }
    }
}
