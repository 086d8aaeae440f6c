//! Arguments that point to memory, and what else helpers, kfuncs and global functions ask of arguments alike.

use super::checker::Checker;
use super::mem::Access;
use super::names::{register_name, type_name};
use super::record::FieldKind;
use super::refusal::{Step, Stop, Why};
use super::reg::{Flags, Kind, MapRef, Reg};
use super::rules::Era;
use crate::errno::Errno;
use crate::insn::Width;
use crate::kernel::Lookup;
use crate::kernel::exceptions::Fact;
use crate::object::{F_RDONLY_PROG, MapOrigin, MapType};

/// Sizes from this one on are no size (`BPF_MAX_VAR_SIZ`).
pub const MAX_SIZE: u64 = 1 << 29;

/// An argument as a call finds it.
#[derive(Debug, Clone, Copy)]
pub struct Argument<'r> {
    /// What it holds.
    pub reg: &'r Reg,
    /// What messages call it: `R1`.
    pub name: &'r str,
    /// The register that it is in; `None` for one on the stack.
    pub number: Option<u8>,
}

impl<'r> Argument<'r> {
    /// The argument in a register.
    pub fn in_register(number: u8, reg: &'r Reg) -> Self {
        Self { reg, name: register_name(number), number: Some(number) }
    }

    /// It is of none of the types that are expected (`check_reg_type`).
    pub fn unexpected(&self, expected: &str) -> Stop {
        let reg = self.reg;
        let message = format!("{} type={} expected={expected}", self.name, self.type_name());
        let why = match reg.kind {
            Kind::Scalar => Why::NumberAsPointer,
            _ if reg.may_be_null() => Why::NullArgument,
            _ if reg.flags.has(Flags::UNTRUSTED) => Why::UntrustedPointer,
            _ => Why::WrongArgument,
        };
        Stop::eacces(why, message)
    }

    fn type_name(&self) -> String {
        type_name(self.reg.kind, self.reg.flags)
    }
}

/// What is done with memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is read.
    Read,
    /// It is written to.
    Write,
    /// Both, in that order.
    Both,
}

impl Use {
    /// The accesses, true for a write.
    fn each(self) -> &'static [bool] {
        match self {
            Self::Read => &[false],
            Self::Write => &[true],
            Self::Both => &[false, true],
        }
    }
}

impl Checker<'_, '_> {
    /// The name of a map as messages give it: a template has none.
    pub fn map_name(&self, map: MapRef) -> &str {
        if map.inner { "" } else { &self.object[map.map].kernel_name }
    }

    /// The kernel was told the types of a map.
    ///
    /// # Errors
    /// As [`Self::map`].
    pub fn map_has_btf(&self, map: MapRef) -> Step<bool> {
        let map = self.map(map)?;
        Ok(map.key_type.0 != 0 || map.value_type.0 != 0)
    }

    /// Programs cannot write to a map, and user space cannot any more (`bpf_map_is_rdonly`).
    ///
    /// # Errors
    /// User space may have frozen it, and it is not known whether it did.
    pub fn is_frozen(&self, map: MapRef) -> Step<bool> {
        let found = self.map(map)?;
        Ok(match found.origin {
            _ if found.flags & F_RDONLY_PROG == 0 => false,
            MapOrigin::Rodata | MapOrigin::Kconfig => !map.inner,
            _ => false,
        })
    }

    /// The load or store of a helper or kfunc at a pointer (`check_helper_mem_access`). With `raw` a stack that it writes to
    /// need not hold anything; true is returned where the caller has to mark it as written then.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_helper_mem_access(
        &mut self,
        arg: Argument<'_>,
        size: i64,
        write: bool,
        zero_ok: bool,
        raw: bool,
    ) -> Step<bool> {
        let reg = arg.reg;
        match reg.kind {
            Kind::Packet => Err(Stop::unmodelled("packets passed to a call")),
            Kind::MapKey(_) | Kind::Mem(_) | Kind::Buf
                if write && (matches!(reg.kind, Kind::MapKey(_)) || reg.flags.has(Flags::RDONLY)) =>
            {
                let message = format!("{} cannot write into {}", arg.name, arg.type_name());
                Err(Stop::eacces(Why::ReadOnly, message))
            }
            Kind::MapKey(map) => {
                let key_size = self.map(map)?.key_size;
                self.check_region(reg, arg.name, 0, size, key_size.into(), false)?;
                Ok(false)
            }
            Kind::MapValue(_) => {
                self.check_map_access_type(reg, 0, size, write)?;
                self.check_map_access(reg, arg.name, 0, size, zero_ok, false)?;
                Ok(false)
            }
            Kind::Mem(mem_size) => {
                self.check_region(reg, arg.name, 0, size, mem_size.into(), zero_ok)?;
                Ok(false)
            }
            Kind::Buf => match reg.offset() {
                Some(0..) => Ok(false),
                _ => Err(Stop::unmodelled("a buffer at an offset that is not known")),
            },
            Kind::Stack(_) => {
                self.check_stack_range(reg, arg.name, 0, size, zero_ok, write, raw)?;
                Ok(raw && reg.offset().is_some())
            }
            Kind::BtfId(ty) => {
                let (Some(register), Ok(size)) = (arg.number, u32::try_from(size)) else {
                    return Err(Stop::unmodelled("a struct of the kernel passed as memory"));
                };
                // Before 7.2 all accesses were taken for reads.
                let write = write && self.rules.since(Era::V7_2);
                self.check_object_memory(reg, ty, register, size, write)?;
                Ok(false)
            }
            Kind::Ctx => self.check_context_as_memory(arg, size, write, zero_ok),
            _ => Self::no_memory(arg, size, zero_ok),
        }
    }

    /// The context passed as memory: programs of type syscall alone may do so now, others could where nothing rewrites accesses.
    fn check_context_as_memory(
        &mut self,
        arg: Argument<'_>,
        size: i64,
        write: bool,
        zero_ok: bool,
    ) -> Step<bool> {
        let kind = self.program_kind();
        if self.rules.since(Era::V7_1) {
            if kind != "syscall" {
                return Self::no_memory(arg, size, zero_ok);
            }
            self.check_region(arg.reg, arg.name, 0, size, u16::MAX.into(), zero_ok)?;
            return Ok(false);
        }
        if self.rules.since(Era::V7_0) || kind == "perf_event" {
            return Err(Stop::unmodelled("the context passed as memory"));
        }
        if size == 0 {
            // Without a word.
            return if zero_ok {
                Ok(false)
            } else {
                Err(Stop::unmodelled("the context passed as no memory"))
            };
        }
        let Ok(last) = i32::try_from(size - 1) else {
            return Err(Stop::unmodelled("the context passed as memory"));
        };
        self.check_mem_access(arg.reg, as_if(arg, last, Width::B1, write))?;
        Ok(false)
    }

    fn no_memory(arg: Argument<'_>, size: i64, zero_ok: bool) -> Step<bool> {
        if zero_ok && size == 0 && arg.reg.is_null() {
            return Ok(false);
        }
        Err(arg.unexpected("fp"))
    }

    /// A pointer and how much is there (`check_mem_size_reg`); true as in [`Self::check_helper_mem_access`].
    ///
    /// # Errors
    /// The size is no size, or memory lies outside.
    pub fn check_mem_size(
        &mut self,
        mem: Argument<'_>,
        size: Argument<'_>,
        used: Use,
        zero_ok: bool,
        raw: bool,
    ) -> Step<bool> {
        let value = size.reg.value;
        // What may not be filled as a whole must hold something.
        let raw = raw && value.var_off().is_const();
        if value.smin() < 0 {
            let message =
                format!("{} min value is negative, either use unsigned or 'var &= const'", size.name);
            return Err(Stop::eacces(Why::OutOfBounds, message));
        }
        if value.umin() == 0 && !zero_ok {
            let (min, max) = (value.umin() as i64, value.umax() as i64);
            let message = format!("{} invalid zero-sized read: u64=[{min},{max}]", size.name);
            return Err(Stop::eacces(Why::OutOfBounds, message));
        }
        if value.umax() >= MAX_SIZE {
            let message =
                format!("{} unbounded memory access, use 'var &= const' or 'if (var < const)'", size.name);
            return Err(Stop::eacces(Why::OutOfBounds, message));
        }
        let bytes = value.umax() as i64;
        let mut later = false;
        for write in used.each() {
            later |= self.check_helper_mem_access(mem, bytes, *write, zero_ok, raw)?;
        }
        match size.number {
            Some(number) => self.mark_precise(number)?,
            None => return Err(Stop::unmodelled("a size passed on the stack")),
        }
        Ok(later)
    }

    /// A pointer to so many bytes, or NULL (`check_mem_reg`); true as in [`Self::check_helper_mem_access`].
    ///
    /// # Errors
    /// Memory lies outside.
    pub fn check_mem(&mut self, arg: Argument<'_>, size: u32, used: Use, raw: bool) -> Step<bool> {
        if arg.reg.is_null() {
            if let Some(number) = arg.number.filter(|_| self.rules.since(Era::V7_3)) {
                self.mark_precise(number)?;
            }
            return Ok(false);
        }
        if i32::try_from(size).is_err() {
            let message = format!("{} memory size {size} is too large", arg.name);
            return match self.rules.since(Era::V7_3) {
                true => Err(Stop::eacces(Why::OutOfBounds, message)),
                false => Err(Stop::unmodelled("2 GiB of memory")),
            };
        }
        let mut later = false;
        for write in used.each() {
            later |= self.check_helper_mem_access(arg, size.into(), *write, true, raw)?;
        }
        Ok(later)
    }

    /// A timer, work queue or task work in a map's value (`check_map_field_pointer`).
    ///
    /// # Errors
    /// It is none.
    pub fn check_map_field(&mut self, arg: Argument<'_>, kind: FieldKind) -> Step<MapRef> {
        let name = kind.name();
        let Kind::MapValue(map) = arg.reg.kind else { return Err(Stop::unmodelled("a field of no map")) };
        let refused = |message: String| Err(Stop::einval(Why::Timer, message));
        let Some(off) = arg.reg.offset() else {
            return refused(format!(
                "{} doesn't have constant offset. {name} has to be at the constant offset",
                arg.name
            ));
        };
        let map_name = self.map_name(map).to_owned();
        if !self.map_has_btf(map)? {
            return refused(format!("map '{map_name}' has to have BTF in order to use {name}"));
        }
        let record = self.map_record(map)?;
        let Some(field) = record.fields.iter().find(|field| field.kind == kind) else {
            return refused(format!("map '{map_name}' has no valid {name}"));
        };
        if i64::from(field.offset) != off {
            return refused(format!(
                "off {off} doesn't point to 'struct {name}' that is at {}",
                field.offset
            ));
        }
        Ok(map)
    }

    /// A timer in a map's value (`process_timer_func`).
    ///
    /// # Errors
    /// It is none, or the kernel is one for real time.
    pub fn check_timer(&mut self, arg: Argument<'_>) -> Step<MapRef> {
        let real_time = || match self.kernel.knows(Fact::PreemptRt) {
            Lookup::Absent => Ok(()),
            Lookup::Found(()) => {
                let message = "bpf_timer cannot be used for PREEMPT_RT.";
                Err(Stop::refused(Why::Timer, Errno::EOPNOTSUPP, message))
            }
            Lookup::Unknown(reason) => Err(Stop::Unknown(reason)),
        };
        let first = self.rules.since(Era::V7_2);
        if first {
            real_time()?;
        }
        let real_time = if first { Ok(()) } else { real_time() };
        let map = self.check_map_field(arg, FieldKind::Timer)?;
        real_time?;
        Ok(map)
    }

    /// A string that does not change (`check_arg_const_str`): where it begins, in which map.
    ///
    /// # Errors
    /// It may change, or has no end.
    pub fn check_const_str(&mut self, arg: Argument<'_>) -> Step<(MapRef, u64)> {
        let name = arg.name;
        let Kind::MapValue(map) = arg.reg.kind else { return Err(Stop::unmodelled("a string in no map")) };
        let found = self.map(map)?;
        let (map_type, value_size) = (found.map_type, found.value_size);
        let refused = |message: String| Err(Stop::eacces(Why::WrongArgument, message));
        if map_type == MapType::INSN_ARRAY && self.rules.since(Era::V7_2) {
            return refused(format!("{name} points to insn_array map which cannot be used as const string"));
        }
        if map_type == MapType::PERCPU_ARRAY {
            return match self.rules.since(Era::V7_3) {
                true => {
                    refused(format!("{name} points to percpu_array map which cannot be used as const string"))
                }
                false => Err(Stop::unmodelled("a string in a map per CPU")),
            };
        }
        if !self.is_frozen(map)? {
            return refused(format!("{name} does not point to a readonly map'"));
        }
        let Some(off) = arg.reg.offset() else {
            return refused(format!("{name} is not a constant address'"));
        };
        self.check_map_access(arg.reg, name, 0, i64::from(value_size).saturating_sub(off), false, false)?;
        let start = u64::try_from(off).map_err(|_| Stop::unmodelled("a string before its map"))?;
        match self.string_at(map, start)? {
            Some(_) => Ok((map, start)),
            None => Err(Stop::einval(Why::WrongArgument, "string is not zero-terminated")),
        }
    }

    /// The string at a place of a map that does not change; `None` where it has no end.
    ///
    /// # Errors
    /// A byte is not known.
    pub fn string_at(&mut self, map: MapRef, start: u64) -> Step<Option<Vec<u8>>> {
        let end = u64::from(self.map(map)?.value_size);
        let mut bytes = Vec::new();
        for at in start..end {
            match self.constant(map.map, at, 1) {
                Some(0) => return Ok(Some(bytes)),
                Some(byte) => bytes.push(byte as u8),
                None => return Err(Stop::unmodelled("a string that is not known before the load")),
            }
        }
        Ok(None)
    }

    /// The program type by its name in lower case.
    pub fn program_kind(&self) -> &'static str {
        let program = self.prog.subprogs.first().map(|entry| entry.function);
        let entry = program.and_then(|program| self.object[program].entry.as_ref());
        entry.map_or("unspec", |entry| entry.kind.as_str())
    }
}

/// An access as if by an instruction that neither stores a register nor loads one.
pub fn as_if(arg: Argument<'_>, off: i32, width: Width, write: bool) -> Access {
    let base = arg.number.unwrap_or_default();
    Access { base, off, width, write, value: None, imm: None, sign: false, strict: false }
}
