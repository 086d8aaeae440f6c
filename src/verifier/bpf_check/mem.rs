//! Loads, stores and atomic operations (`check_mem_access` and what it asks).

use super::checker::{Checker, MAX_ON_MACHINE, MAX_ON_VALUES};
use super::names::{register_name, type_name};
use super::refusal::{Step, Stop, Why};
use super::reg::{Flags, Kind, MAX_VAR_OFF, MapRef, Reg};
use super::rules::Era;
use crate::errno::Errno;
use crate::insn::{AtomicOp, LoadMode, Memory, Op, Operand, Width};
use crate::load::{ExternFact, name_at, number};
use crate::object::{ExternIdx, F_RDONLY_PROG, F_WRONLY_PROG, Map, MapIdx, MapOrigin, MapType, Object};

/// A load or store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The register that holds the address.
    pub base: u8,
    /// What is added to it, bytes.
    pub off: i32,
    /// How much.
    pub width: Width,
    /// It is a store.
    pub write: bool,
    /// The register that is stored or loaded into; `None` where something unknown is stored, or what is loaded does not matter.
    pub value: Option<u8>,
    /// The number that is stored (`BPF_ST`).
    pub imm: Option<i32>,
    /// The load extends by the sign.
    pub sign: bool,
    /// The address must be aligned whatever the pointer.
    pub strict: bool,
}

impl Access {
    /// Bytes.
    pub fn size(&self) -> i64 {
        i64::from(self.width.bytes())
    }

    fn new(memory: Memory, write: bool, value: Option<u8>) -> Self {
        Self {
            base: memory.base,
            off: memory.off.into(),
            width: memory.width,
            write,
            value,
            imm: None,
            sign: false,
            strict: false,
        }
    }
}

/// A load through it may fault, so that it is made one that survives that (`bpf_may_fault_on_deref`).
fn may_fault(kind: Kind, flags: Flags) -> bool {
    matches!(kind, Kind::BtfId(_)) && flags == Flags::NONE || flags.has(Flags::UNTRUSTED)
}

/// Two paths may go through one instruction with this kind of pointer and another (`reg_type_mismatch_ok`).
fn may_mix(kind: Kind, flags: Flags) -> bool {
    match kind {
        Kind::Ctx
        | Kind::Socket
        | Kind::SockCommon
        | Kind::TcpSock
        | Kind::XdpSock
        | Kind::BtfId(_)
        | Kind::Arena => false,
        Kind::Mem(_) => !may_fault(kind, flags),
        _ => true,
    }
}

impl Checker<'_, '_> {
    /// A load, store or atomic instruction.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_memory(&mut self, op: Op) -> Step {
        let is_newer =
            matches!(op, Op::Load { mode: LoadMode::Acquire, .. } | Op::Store { release: true, .. });
        if is_newer && !self.rules.since(Era::V6_16) {
            let imm = self.slot().insn.imm;
            return Err(Stop::einval(
                Why::Atomic,
                format!("BPF_ATOMIC uses invalid atomic opcode {imm:02x}"),
            ));
        }
        match op {
            Op::Load { dst, from, mode } => self.check_load(dst, from, mode),
            Op::Store { to, value, release } => self.check_store(to, value, release),
            Op::Atomic { at, op, operand, fetch } => self.check_atomic(at, op, operand, fetch),
            _ => Err(Stop::unmodelled("memory")),
        }
    }

    fn check_load(&mut self, dst: u8, from: Memory, mode: LoadMode) -> Step {
        self.read(from.base)?;
        self.may_write(dst)?;
        let base = *self.reg(from.base);
        let acquire = mode == LoadMode::Acquire;
        if acquire && !self.atomic_is_ok(&base, true)? {
            let name = type_name(base.kind, base.flags);
            let message = format!("BPF_ATOMIC loads from R{} {name} is not allowed", from.base);
            return Err(Stop::eacces(Why::Atomic, message));
        }
        let sign = mode == LoadMode::SignExtend;
        let access = Access { sign, strict: acquire, ..Access::new(from, false, Some(dst)) };
        self.check_mem_access(&base, access)?;
        self.save_pointer_kind(&base, !acquire)
    }

    fn check_store(&mut self, to: Memory, value: Operand, release: bool) -> Step {
        self.read_operand(value)?;
        self.read(to.base)?;
        let base = *self.reg(to.base);
        let access = match value {
            Operand::Reg(register) => Access { strict: release, ..Access::new(to, true, Some(register)) },
            Operand::Imm(imm) => Access { imm: Some(imm), ..Access::new(to, true, None) },
        };
        self.check_mem_access(&base, access)?;
        self.save_pointer_kind(&base, false)?;
        if release && !self.atomic_is_ok(&base, false)? {
            let name = type_name(base.kind, base.flags);
            let message = format!("BPF_ATOMIC stores into R{} {name} is not allowed", to.base);
            return Err(Stop::eacces(Why::Atomic, message));
        }
        Ok(())
    }

    fn check_atomic(&mut self, at: Memory, op: AtomicOp, operand: u8, fetch: bool) -> Step {
        if op == AtomicOp::Unknown {
            let imm = self.slot().insn.imm;
            return Err(Stop::einval(
                Why::Atomic,
                format!("BPF_ATOMIC uses invalid atomic opcode {imm:02x}"),
            ));
        }
        if !matches!(at.width, Width::B4 | Width::B8) {
            return Err(Stop::einval(Why::Atomic, "invalid atomic operand size"));
        }
        self.read(operand)?;
        self.read(at.base)?;
        if op == AtomicOp::CmpXchg {
            self.read(0)?;
        }
        let base = *self.reg(at.base);
        if !self.atomic_is_ok(&base, false)? {
            let name = type_name(base.kind, base.flags);
            let message = format!("BPF_ATOMIC stores into R{} {name} is not allowed", at.base);
            return Err(Stop::eacces(Why::Atomic, message));
        }
        let loads = match op {
            AtomicOp::CmpXchg => Some(0),
            _ => fetch.then_some(operand),
        };
        if let Some(register) = loads {
            self.may_write(register)?;
            *self.reg_mut(register) = Reg::unknown();
        }
        let access = Access { strict: true, ..Access::new(at, false, None) };
        // The register with the address may be the one that is loaded into.
        let base = *self.reg(at.base);
        self.check_mem_access(&base, access)?;
        if loads.is_some() {
            self.check_mem_access(&base, Access { value: loads, ..access })?;
        }
        let base = if loads == Some(at.base) { *self.reg(at.base) } else { base };
        self.save_pointer_kind(&base, false)?;
        self.check_mem_access(&base, Access { write: true, ..access })
    }

    /// An atomic instruction may go through this kind of pointer (`atomic_ptr_type_ok`).
    fn atomic_is_ok(&self, base: &Reg, load: bool) -> Step<bool> {
        Ok(match base.kind {
            Kind::Ctx | Kind::Packet | Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock => {
                false
            }
            Kind::Arena => self.arena_atomics()?,
            kind if load && self.rules.since(Era::V7_3) => !may_fault(kind, base.flags),
            _ => true,
        })
    }

    /// The JIT has atomic instructions on arenas (`bpf_jit_supports_insn`).
    fn arena_atomics(&self) -> Step<bool> {
        use crate::kernel::{Arch, Lookup};
        match (self.kernel.arch_or_usual(), self.rules.since(Era::V6_16)) {
            (Arch::X86_64, true) => Ok(true),
            (Arch::X86_64, false) => match self.kernel.function("bpf_jit_supports_insn") {
                Lookup::Found(()) => Ok(!matches!(self.slot().op, Op::Load { .. } | Op::Store { .. })),
                _ => Err(Stop::unmodelled("atomic instructions on arenas before 6.16")),
            },
            _ => Err(Stop::unmodelled("atomic instructions on arenas, which the processor decides")),
        }
    }

    /// Paths that go through one instruction with different kinds of pointers are told (`save_aux_ptr_type`).
    fn save_pointer_kind(&mut self, base: &Reg, mix_trust: bool) -> Step {
        let is_memory = |kind| matches!(kind, Kind::Mem(_) | Kind::BtfId(_));
        let same = |one: Kind, other: Kind| std::mem::discriminant(&one) == std::mem::discriminant(&other);
        let insn = self.insn;
        match self.aux[insn].pointer {
            None => self.aux[insn].pointer = Some((base.kind, base.flags)),
            Some((kind, flags)) => {
                let differs = !same(kind, base.kind) || flags != base.flags;
                if differs && (!may_mix(kind, flags) || !may_mix(base.kind, base.flags)) {
                    if !(mix_trust && is_memory(kind) && is_memory(base.kind)) {
                        let message = "same insn cannot be used with different pointers";
                        return Err(Stop::einval(Why::WrongArgument, message));
                    }
                    let faults = may_fault(kind, flags) || may_fault(base.kind, base.flags);
                    let memory = matches!(kind, Kind::Mem(_)) || matches!(base.kind, Kind::Mem(_));
                    let merged = if memory { Kind::Mem(0) } else { kind };
                    let flags = match (faults, memory) {
                        (true, true) => Flags::RDONLY.with(Flags::UNTRUSTED),
                        (true, false) => Flags::UNTRUSTED,
                        (false, _) => Flags(flags.with(base.flags).0 & Flags::RDONLY.0),
                    };
                    self.aux[insn].pointer = Some((merged, flags));
                }
            }
        }
        Ok(())
    }

    /// The map of the object that a register's map is, or the template of what it holds.
    pub fn map(&self, map: MapRef) -> Step<&Map<'_>> {
        let outer = &self.object[map.map];
        if !map.inner {
            return Ok(outer);
        }
        outer.inner.as_deref().ok_or_else(|| Stop::unmodelled("a map in a map that has no template"))
    }

    /// An access to memory of known size at a register plus an offset (`check_mem_region_access`); `name` is the register's.
    ///
    /// # Errors
    /// It may lie outside.
    pub fn check_region(
        &self,
        reg: &Reg,
        name: &str,
        off: i64,
        size: i64,
        mem_size: u64,
        zero_ok: bool,
    ) -> Step {
        let outside = |start: i64| {
            let fits = start >= 0
                && (size > 0 || size == 0 && zero_ok)
                && (start as u64).checked_add(size.unsigned_abs()).is_some_and(|end| end <= mem_size);
            (!fits).then(|| {
                let message = match reg.kind {
                    Kind::MapKey(_) => {
                        format!("invalid access to map key, key_size={mem_size} off={start} size={size}")
                    }
                    Kind::MapValue(_) => {
                        format!("invalid access to map value, value_size={mem_size} off={start} size={size}")
                    }
                    Kind::Ctx => {
                        format!("invalid access to context, ctx_size={mem_size} off={start} size={size}")
                    }
                    _ => format!("invalid access to memory, mem_size={mem_size} off={start} size={size}"),
                };
                Stop::eacces(Why::OutOfBounds, message)
            })
        };
        let smin = reg.value.smin();
        let least = smin.saturating_add(off);
        // Before 7.1 what is known for certain was kept apart, and not looked at here.
        let looked_at = self.rules.since(Era::V7_1) || reg.value.constant().is_none();
        if looked_at && smin < 0 && (smin == i64::MIN || i32::try_from(least).is_err() || least < 0) {
            let message = format!(
                "{name} min value is negative, either use unsigned index or do a if (index >=0) check."
            );
            return Err(Stop::eacces(Why::OutOfBounds, message));
        }
        // The kernel holds an offset in 32 bits.
        if let Some(stop) = outside(i64::from(least as i32)) {
            return Err(stop);
        }
        let umax = reg.value.umax();
        if umax >= MAX_VAR_OFF as u64 {
            let message =
                format!("{name} unbounded memory access, make sure to bounds check any such access");
            return Err(Stop::eacces(Why::OutOfBounds, message));
        }
        match outside(umax as i64 + off) {
            Some(stop) => Err(stop),
            None => Ok(()),
        }
    }

    /// An access to the value of a map, by an instruction (`direct`) or a helper (`check_map_access`).
    ///
    /// # Errors
    /// It may lie outside, or touch a special field.
    pub fn check_map_access(
        &mut self,
        reg: &Reg,
        name: &str,
        off: i64,
        size: i64,
        zero_ok: bool,
        direct: bool,
    ) -> Step {
        let Kind::MapValue(map) = reg.kind else { return Err(Stop::unmodelled("a map's value")) };
        let is_table = self.map(map)?.map_type == MapType::INSN_ARRAY;
        if is_table {
            return Err(Stop::unmodelled("reads of a jump table's map"));
        }
        let value_size = self.map(map)?.value_size;
        self.check_region(reg, name, off, size, value_size.into(), zero_ok)?;
        let record = self.map_record(map)?;
        let (smin, umax) = (reg.value.smin(), reg.value.umax() as i64);
        for field in &record.fields {
            let start = i64::from(field.offset);
            if smin + off >= start + i64::from(field.size) || start >= umax + off + size {
                continue;
            }
            let kind = field.kind.name();
            let refuse = |message: String| Err(Stop::eacces(Why::Kptr, message));
            if !field.kind.is_pointer() {
                return refuse(format!("{kind} cannot be accessed directly by load/store"));
            }
            if !direct {
                return refuse(format!("{kind} cannot be accessed indirectly by helper"));
            }
            let Some(fixed) = reg.offset() else {
                return refuse(format!("{kind} access cannot have variable offset"));
            };
            if start != off + fixed {
                return refuse(format!("{kind} access misaligned expected={start} off={}", off + fixed));
            }
            if size != 8 {
                return refuse(format!("{kind} access size must be BPF_DW"));
            }
        }
        Ok(())
    }

    /// What may be done with the values of a map at all (`check_map_access_type`).
    ///
    /// # Errors
    /// The map's flags forbid it.
    pub fn check_map_access_type(&self, reg: &Reg, off: i64, size: i64, write: bool) -> Step {
        let Kind::MapValue(map) = reg.kind else { return Err(Stop::unmodelled("a map's value")) };
        let map = self.map(map)?;
        let (forbidden, what) = if write {
            (map.flags & F_RDONLY_PROG != 0, "write into map forbidden")
        } else {
            (map.flags & F_WRONLY_PROG != 0, "read from map forbidden")
        };
        if !forbidden {
            return Ok(());
        }
        let off = if self.rules.since(Era::V7_1) { reg.value.smin().wrapping_add(off) } else { off };
        let message = format!("{what}, value_size={} off={off} size={size}", map.value_size);
        Err(Stop::eacces(Why::ReadOnly, message))
    }

    /// A pointer is used as it was handed out (`__check_ptr_off_reg`).
    ///
    /// # Errors
    /// Something was added to it.
    pub fn check_ptr_off(&self, reg: &Reg, name: &str, fixed_ok: bool) -> Step {
        let kind = type_name(reg.kind, reg.flags);
        let refuse = |message| Err(Stop::eacces(Why::PointerArithmetic, message));
        let Some(off) = reg.offset() else {
            return refuse(format!("variable {kind} access var_off={} disallowed", reg.value.var_off()));
        };
        if off < 0 {
            return refuse(format!("negative offset {kind} ptr {name} off={off} disallowed"));
        }
        if !fixed_ok && off != 0 {
            return refuse(format!("dereference of modified {kind} ptr {name} off={off} disallowed"));
        }
        Ok(())
    }

    /// An address is aligned (`check_ptr_alignment`).
    fn check_alignment(&self, base: &Reg, access: Access) -> Step {
        let (what, strict) = match base.kind {
            Kind::Arena | Kind::Packet => return Ok(()),
            Kind::Stack(_) => ("stack ", true),
            Kind::MapKey(_) => ("key ", access.strict),
            Kind::MapValue(_) => ("value ", access.strict),
            Kind::Ctx => ("context ", access.strict),
            Kind::Socket => ("sock ", access.strict),
            Kind::SockCommon => ("sock_common ", access.strict),
            Kind::TcpSock => ("tcp_sock ", access.strict),
            Kind::XdpSock => ("xdp_sock ", access.strict),
            _ => ("", access.strict),
        };
        let size = access.size();
        if !strict || size == 1 {
            return Ok(());
        }
        let off = i64::from(access.off);
        let var_off = base.value.var_off();
        let address = var_off.add(super::tnum::Tnum::const_(off.cast_unsigned()));
        if address.is_aligned(size as u64) {
            return Ok(());
        }
        // Before the constant part became one with the rest it was printed apart.
        let message = match base.offset() {
            Some(fixed) if !self.rules.since(Era::V7_1) => {
                format!("misaligned {what}access off 0+{fixed}+{off} size {size}")
            }
            _ if !self.rules.since(Era::V7_1) => {
                format!("misaligned {what}access off {var_off}+0+{off} size {size}")
            }
            Some(fixed) => format!("misaligned {what}access off {fixed}+{off} size {size}"),
            None => format!("misaligned {what}access off {var_off}+{off} size {size}"),
        };
        Err(Stop::eacces(Why::Misaligned, message))
    }

    /// An access to memory by an instruction, or as if by one (`check_mem_access`); `base` is the register as it is.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_mem_access(&mut self, base: &Reg, access: Access) -> Step {
        self.check_alignment(base, access)?;
        let name = register_name(access.base);
        let (off, size) = (i64::from(access.off), access.size());
        let loads = (!access.write).then_some(access.value).flatten();
        let invalid = |base: &Reg| {
            let why = match base.kind {
                Kind::Scalar => Why::NumberAsPointer,
                _ if base.may_be_null() => Why::NullDereference,
                _ => Why::WrongArgument,
            };
            let kind = type_name(base.kind, base.flags);
            Err(Stop::eacces(why, format!("{name} invalid mem access '{kind}'")))
        };
        let read_only = |base: &Reg| {
            let kind = type_name(base.kind, base.flags);
            Err(Stop::eacces(Why::ReadOnly, format!("{name} cannot write into {kind}")))
        };
        match base.kind {
            Kind::MapKey(map) if !base.may_be_null() => {
                if access.write {
                    return Err(Stop::eacces(
                        Why::ReadOnly,
                        format!("write to change key {name} not allowed"),
                    ));
                }
                let key_size = self.map(map)?.key_size;
                self.check_region(base, name, off, size, key_size.into(), false)?;
                self.load_unknown(loads);
            }
            Kind::MapValue(map) if !base.may_be_null() => {
                self.check_map_access_type(base, off, size, access.write)?;
                self.check_map_access(base, name, off, size, false, true)?;
                let field = match base.offset().map(|fixed| u32::try_from(fixed + off)) {
                    Some(Ok(at)) => self.map_record(map)?.find(at, |kind| kind.is_pointer()),
                    _ => None,
                };
                match field {
                    Some(field) => self.check_kptr_access(field, access)?,
                    None => self.load_from_map(base, map, access, loads)?,
                }
            }
            Kind::Mem(mem_size) => {
                let read_only_memory = base.flags.has(Flags::RDONLY);
                let untrusted = read_only_memory && base.flags.has(Flags::UNTRUSTED);
                if base.may_be_null() {
                    return invalid(base);
                }
                if access.write && read_only_memory {
                    return read_only(base);
                }
                if !untrusted {
                    self.check_region(base, name, off, size, mem_size.into(), false)?;
                }
                self.load_unknown(loads);
            }
            Kind::Ctx if base.flags == Flags::NONE => self.check_context(base, access)?,
            Kind::Stack(_) => self.check_stack(base, access)?,
            Kind::BtfId(ty) if !base.may_be_null() => self.check_btf_access(base, ty, access)?,
            Kind::MapPtr(map) if !base.may_be_null() => self.check_map_struct_access(base, map, access)?,
            Kind::Buf if !base.may_be_null() || !self.rules.since(Era::V7_1) => {
                // 6.18.15 takes a buffer that may be NULL, 6.12.107, 6.18.44 and 7.1 do not.
                if base.may_be_null() {
                    return Err(Stop::unmodelled("a buffer that may be NULL"));
                }
                let read_only_memory = base.flags.has(Flags::RDONLY);
                if read_only_memory && access.write {
                    return read_only(base);
                }
                self.check_buffer(base, if read_only_memory { "rdonly" } else { "rdwr" }, access)?;
                self.load_unknown(loads);
            }
            Kind::TpBuffer => {
                self.check_buffer(base, "tracepoint", access)?;
                self.load_unknown(loads);
            }
            Kind::Arena => self.load_unknown(loads),
            Kind::Packet | Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock
                if !base.may_be_null() =>
            {
                if access.write && base.kind != Kind::Packet {
                    return read_only(base);
                }
                return Err(Stop::unmodelled("fields of sockets and packets"));
            }
            _ => return invalid(base),
        }
        if let Some(register) = loads
            && self.reg(register).is_scalar()
            && size < 8
        {
            let mut reg = *self.reg(register);
            if access.sign {
                let keeps = reg.value.umax() < 1 << (8 * size - 1);
                reg.value = reg.value.sign_extended(access.width.bytes(), &self.rules.scalar);
                if !keeps {
                    reg.clear_id();
                }
            } else {
                reg.value = reg.value.truncated(access.width.bytes(), &self.rules.scalar);
            }
            *self.reg_mut(register) = reg;
        }
        Ok(())
    }

    /// A register is loaded with something.
    pub fn load_unknown(&mut self, register: Option<u8>) {
        if let Some(register) = register {
            *self.reg_mut(register) = Reg::unknown();
        }
    }

    /// What is loaded from a map's value (`check_map_mem_read`).
    fn load_from_map(&mut self, base: &Reg, map: MapRef, access: Access, loads: Option<u8>) -> Step {
        let Some(register) = loads else { return Ok(()) };
        let info = self.map(map)?;
        // Frozen are the maps that libbpf freezes: constants, and the configuration.
        let is_frozen = matches!(info.origin, MapOrigin::Rodata | MapOrigin::Kconfig)
            && info.flags & F_RDONLY_PROG != 0
            && !map.inner;
        let Some(fixed) = base.offset().filter(|_| is_frozen) else {
            self.load_unknown(loads);
            return Ok(());
        };
        let at = (fixed + i64::from(access.off)).cast_unsigned();
        let value = self.frozen_value(map.map, at, access.width.bytes());
        *self.reg_mut(register) = match value {
            None => Reg::unknown(),
            Some(value) if access.sign => {
                let shift = 64 - 8 * u32::from(access.width.bytes());
                Reg::known((value << shift).cast_signed().wrapping_shr(shift).cast_unsigned())
            }
            Some(value) => Reg::known(value),
        };
        Ok(())
    }

    /// An access to a buffer whose end is found out at run time (`__check_buffer_access`).
    fn check_buffer(&self, base: &Reg, what: &str, access: Access) -> Step {
        let (name, off) = (register_name(access.base), access.off);
        let Some(fixed) = base.offset() else {
            let var_off = base.value.var_off();
            let message = format!("{name} invalid variable buffer offset: off={off}, var_off={var_off}");
            return Err(Stop::refused(Why::OutOfBounds, Errno::EACCES, message));
        };
        if fixed + i64::from(off) < 0 {
            let message = if self.rules.since(Era::V7_1) {
                format!("{name} invalid negative {what} buffer offset: off={off}, var_off={fixed}")
            } else {
                format!("{name} invalid {what} buffer access: off={off}, size={}", access.size())
            };
            return Err(Stop::eacces(Why::OutOfBounds, message));
        }
        Ok(())
    }

    /// The bytes of a map that is frozen before the program is loaded; `None` where they are not known: user space may set them, or
    /// the kernel's configuration says.
    fn frozen_value(&mut self, map: MapIdx, at: u64, bytes: u8) -> Option<u64> {
        let (object, is_kconfig) = (self.object, self.object[map].origin == MapOrigin::Kconfig);
        let value =
            if is_kconfig { self.kconfig_value(map, at, bytes) } else { self.constant(map, at, bytes) };
        if value.is_none() {
            let name = || {
                let (name, who) = if is_kconfig {
                    (kconfig_name(object, map, at), "the kernel's configuration decides")
                } else {
                    (name_at(object, map, at), "user space may set")
                };
                name.map_or_else(|| format!("{who} what is read"), |name| format!("{who} '{name}'")).into()
            };
            self.depends_on(name, if is_kconfig { MAX_ON_MACHINE } else { MAX_ON_VALUES });
        }
        value
    }

    /// Bytes of a map that user space fills before the load; `None` where they are not known.
    pub(super) fn constant(&mut self, map: MapIdx, at: u64, bytes: u8) -> Option<u64> {
        self.reads.insert((map, at, bytes));
        self.knowledge.rodata_value(self.object, map, at, bytes)
    }

    /// The bytes of a configuration value.
    fn kconfig_value(&self, map: MapIdx, at: u64, bytes: u8) -> Option<u64> {
        (0..self.object.externs.len()).map(ExternIdx).find_map(|index| {
            let (_, start) = self.object.kconfig_place(index).filter(|(home, _)| *home == map)?;
            let Some(ExternFact::Value(value)) = self.knowledge.externs.get(index.0) else { return None };
            let from = usize::try_from(at.checked_sub(start)?).ok()?;
            let raw = value.get(from..from.checked_add(usize::from(bytes))?)?;
            Some(number(raw, self.object.elf.byte_order))
        })
    }
}

/// The option of the kernel's configuration at a byte of a map: the last that starts there or before.
fn kconfig_name(object: &Object<'_>, map: MapIdx, at: u64) -> Option<String> {
    let places = (0..object.externs.len()).map(ExternIdx).filter_map(|index| {
        let (home, start) = object.kconfig_place(index)?;
        (home == map && start <= at).then_some((start, index))
    });
    places.max().map(|(_, index)| object[index].name.to_string())
}
