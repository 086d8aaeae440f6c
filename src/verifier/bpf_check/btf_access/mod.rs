//! Loads and stores through pointers to kernel objects (`check_ptr_to_btf_access`, `btf_struct_access`).

mod kptr;
mod variable;
mod walk;
mod write;

use std::rc::Rc;

pub use self::walk::{DEPTH, WalkResult, Walked, Walks, struct_walk};

use self::walk::{Keeps, Place};
use super::checker::Checker;
use super::graph::is_non_owning;
use super::mem::Access;
use super::refusal::{Step, Stop, Why};
use super::reg::{BtfOf, Flags, Kind, MapRef, Reg, TypeRef};
use super::rules::Era;
use crate::btf::{Kind as BtfKind, TypeId};
use crate::errno::Errno;
use crate::insn::Width;
use crate::kernel::{Home, Lookup};
use crate::object::MapType;

/// Flags of a trusted pointer (`BPF_REG_TRUSTED_MODIFIERS`).
const TRUSTED: Flags = Flags::ALLOC.with(Flags::TRUSTED).with(Flags::NON_OWN_REF);

impl Checker<'_, '_> {
    /// What is at an offset of a type.
    fn walk(&mut self, ty: TypeRef, off: i32, size: u32, flexible: bool) -> Step<Rc<Place>> {
        let key = (ty, off, size, flexible);
        if let Some(known) = self.records.walks.get(&key) {
            return Ok(Rc::clone(known));
        }
        let place = self.in_btf(ty.btf, |btf| walk::walk(btf, &self.rules, ty.id, off, size, flexible))??;
        let place = Rc::new(place);
        self.records.walks.insert(key, Rc::clone(&place));
        Ok(place)
    }

    /// It is trusted for what it is (`is_trusted_reg`, of a pointer to a type).
    fn is_trusted_object(&self, reg: &Reg) -> bool {
        self.is_referenced(reg) || reg.flags.any(TRUSTED) && reg.flags.without(TRUSTED) == Flags::NONE
    }

    /// An access through a pointer to a type; a load puts what it reads into its register.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_btf_access(&mut self, base: &Reg, ty: TypeRef, access: Access) -> Step {
        self.check_object_access(base, ty, access, access.width.bytes().into())
    }

    /// An object is passed as so many bytes of memory; `register` holds it.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_object_memory(
        &mut self,
        base: &Reg,
        ty: TypeRef,
        register: u8,
        size: u32,
        write: bool,
    ) -> Step {
        let access = Access {
            base: register,
            off: 0,
            width: Width::B8,
            write,
            value: None,
            imm: None,
            sign: false,
            strict: false,
        };
        self.check_object_access(base, ty, access, size)
    }

    /// An object of the program's is owned, or something else keeps it: before 7.3 the verifier took it for its own mistake if not.
    fn check_lives(&self, base: &Reg) -> Step {
        let kept = is_non_owning(base) || base.flags.has(Flags::RCU) || self.is_referenced(base);
        if kept || self.rules.since(Era::V7_3) {
            return Ok(());
        }
        let message = match self.rules.era {
            Era::V6_12 => "verifier internal error: ref_obj_id for allocated object must be non-zero",
            Era::V7_2 => "verifier bug: allocated object must have a referenced id",
            _ => "verifier bug: ref_obj_id for allocated object must be non-zero",
        };
        Err(Stop::refused(Why::UntrustedPointer, Errno::EFAULT, message))
    }

    fn check_object_access(&mut self, base: &Reg, ty: TypeRef, access: Access, size: u32) -> Step {
        let of_kernel = ty.btf != BtfOf::Object;
        if !self.hook.gpl_compatible && of_kernel {
            let name = self.name_of_type(ty);
            let message = format!("Cannot access kernel 'struct {name}' from non-GPL compatible program");
            return Err(Stop::einval(Why::License, message));
        }
        let off = self.object_offset(base, ty, access)?;
        let number = access.base;
        let refused = |name: String, what: &str| {
            let message = format!("R{number} is ptr_{name} access {what} memory: off={off}");
            Err(Stop::eacces(Why::KernelField, message))
        };
        if base.flags.has(Flags::USER) {
            return refused(self.name_of_type(ty), "user");
        }
        if base.flags.has(Flags::PERCPU) {
            return refused(self.name_of_type(ty), "percpu");
        }
        let allocated = base.flags.has(Flags::ALLOC);
        if access.write {
            let may_fault = self.rules.since(Era::V7_3) && base.flags == Flags::NONE;
            if base.flags.has(Flags::UNTRUSTED) || may_fault {
                return self.check_untrusted_write(ty, off, size, access.base);
            }
            if !allocated && self.has_own_writes() {
                return self.check_object_write(ty, off, size, access.base);
            }
            if !allocated {
                return Err(read_only());
            }
        }
        if allocated {
            self.check_lives(base)?;
            self.check_special_fields(ty, off, size)?;
        }
        let place = self.walk(ty, off, size, !allocated)?;
        let Some(register) = access.value.filter(|_| !access.write) else { return Ok(()) };
        let made = match *place {
            Place::Scalar => Reg::unknown(),
            Place::Pointer { .. } if allocated => Reg::unknown(),
            Place::Untrusted => Reg::new(Kind::Mem(0), Flags::RDONLY.with(Flags::UNTRUSTED)),
            Place::Pointer { id, flags, keeps } => {
                let flags = self.pointer_flags(base, flags, keeps);
                let mut made = Reg::new(Kind::BtfId(self.type_at(ty.btf, id)), flags);
                if flags.has(Flags::MAYBE_NULL) {
                    made.id = self.new_id();
                }
                made
            }
        };
        *self.reg_mut(register) = made;
        Ok(())
    }

    /// A store through a pointer that is not trusted. Up to 7.0 the program type's own rules were asked first; the fix went to
    /// stable series that were still kept then.
    fn check_untrusted_write(&mut self, ty: TypeRef, off: i32, size: u32, base: u8) -> Step {
        if self.rules.since(Era::V7_2) || !self.has_own_writes() {
            return Err(read_only());
        }
        match (self.check_object_write(ty, off, size, base), self.rules.era) {
            (written, Era::V6_16 | Era::V6_17) => written,
            (Ok(()), _) => Err(Stop::unmodelled(
                "stores through an untrusted pointer, which some releases of the series refuse",
            )),
            (Err(Stop::Refused { .. }), _) => Err(read_only()),
            (unknown, _) => unknown,
        }
    }

    /// A type by its id in a BTF: those below a module's own are the kernel's.
    pub fn type_at(&self, btf: BtfOf, id: TypeId) -> TypeRef {
        match btf {
            BtfOf::Kernel(home @ Home::Module(_)) if id < self.kernel.btf_of(home).first_id() => {
                TypeRef::kernel(id)
            }
            btf => TypeRef { btf, id },
        }
    }

    /// Where the access goes in the object.
    fn object_offset(&self, base: &Reg, ty: TypeRef, access: Access) -> Step<i32> {
        let number = access.base;
        let Some(fixed) = base.offset() else {
            let name = self.name_of_type(ty);
            let message = format!(
                "R{number} is ptr_{name} invalid variable offset: off={}, var_off={}",
                access.off,
                base.value.var_off()
            );
            return Err(Stop::eacces(Why::KernelField, message));
        };
        let off = (fixed as i32).wrapping_add(access.off);
        if off < 0 {
            let name = self.name_of_type(ty);
            let message = format!("R{number} is ptr_{name} invalid negative access: off={off}");
            return Err(Stop::eacces(Why::KernelField, message));
        }
        Ok(off)
    }

    /// A special field of an allocated object is not accessed by an instruction.
    fn check_special_fields(&mut self, ty: TypeRef, off: i32, size: u32) -> Step {
        let record = self.type_record(ty)?;
        let (start, end) = (i64::from(off), i64::from(off) + i64::from(size));
        for field in &record.fields {
            let (from, to) = (i64::from(field.offset), i64::from(field.offset) + i64::from(field.size));
            if start < to && from < end {
                let message = format!("direct access to {} is disallowed", field.kind.name());
                return Err(Stop::eacces(Why::Kptr, message));
            }
        }
        Ok(())
    }

    /// The flags of a pointer that is read from an object.
    fn pointer_flags(&self, base: &Reg, flags: Flags, keeps: Keeps) -> Flags {
        let cleared = |flags: Flags| flags.without(TRUSTED.with(Flags::RCU));
        if base.flags.has(Flags::UNTRUSTED) {
            return Flags::UNTRUSTED;
        }
        if !self.is_trusted_object(base) && !base.flags.has(Flags::RCU) {
            return cleared(flags);
        }
        if keeps.trusted {
            return flags.with(Flags::TRUSTED);
        }
        if keeps.trusted_or_null {
            return flags.with(Flags::TRUSTED).with(Flags::MAYBE_NULL);
        }
        if !self.in_rcu() || base.may_be_null() {
            return Flags::UNTRUSTED;
        }
        if keeps.rcu {
            flags.with(Flags::RCU)
        } else if flags.has(Flags::RCU) || keeps.rcu_or_null {
            let flags = flags.with(Flags::RCU).with(Flags::MAYBE_NULL);
            if keeps.rcu_or_null { flags.without(Flags::UNTRUSTED) } else { flags }
        } else if flags.any(Flags::PERCPU.with(Flags::USER)) {
            flags
        } else {
            cleared(flags)
        }
    }

    /// An access to the kernel's own struct of a map (`check_ptr_to_map_access`).
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_map_struct_access(&mut self, base: &Reg, map: MapRef, access: Access) -> Step {
        let map_type = self.map(map)?.map_type;
        let Some(name) = struct_of(map_type) else {
            return Err(Stop::unmodelled("the kernel's struct of the map"));
        };
        let id = match self.kernel.lookup(name, BtfKind::Struct) {
            Lookup::Found(id) => id,
            Lookup::Absent => return Err(Stop::unmodelled("the kernel's struct of the map")),
            Lookup::Unknown(reason) => return Err(Stop::Unknown(reason)),
        };
        let Some(off) = base.offset().map(|fixed| (fixed as i32).wrapping_add(access.off)) else {
            return Err(Stop::unmodelled("a variable offset from a map"));
        };
        if off < 0 {
            let message = format!("R{} is {name} invalid negative access: off={off}", access.base);
            return Err(Stop::eacces(Why::KernelField, message));
        }
        if access.write {
            return Err(Stop::eacces(Why::ReadOnly, format!("only read from {name} is supported")));
        }
        let ty = TypeRef::kernel(id);
        let place = self.walk(ty, off, access.width.bytes().into(), true)?;
        let Some(register) = access.value else { return Ok(()) };
        let made = match *place {
            Place::Scalar => Reg::unknown(),
            Place::Untrusted => Reg::new(Kind::Mem(0), Flags::RDONLY.with(Flags::UNTRUSTED)),
            Place::Pointer { id, flags, .. } => Reg::new(Kind::BtfId(TypeRef::kernel(id)), flags),
        };
        *self.reg_mut(register) = made;
        Ok(())
    }
}

/// A store to what may only be read.
fn read_only() -> Stop {
    Stop::refused(Why::ReadOnly, Errno::EACCES, "only read is supported")
}

/// The kernel's struct of the maps of a type (`map_btf_id`).
fn struct_of(map_type: MapType) -> Option<&'static str> {
    Some(match map_type {
        MapType::ARRAY
        | MapType::PERCPU_ARRAY
        | MapType::PROG_ARRAY
        | MapType::PERF_EVENT_ARRAY
        | MapType::CGROUP_ARRAY
        | MapType::ARRAY_OF_MAPS => "bpf_array",
        MapType::HASH
        | MapType::LRU_HASH
        | MapType::PERCPU_HASH
        | MapType::LRU_PERCPU_HASH
        | MapType::HASH_OF_MAPS => "bpf_htab",
        MapType::LPM_TRIE => "lpm_trie",
        MapType::STACK_TRACE => "bpf_stack_map",
        MapType::QUEUE | MapType::STACK => "bpf_queue_stack",
        MapType::RINGBUF | MapType::USER_RINGBUF => "bpf_ringbuf_map",
        MapType::SK_STORAGE | MapType::TASK_STORAGE | MapType::INODE_STORAGE | MapType::CGRP_STORAGE => {
            "bpf_local_storage_map"
        }
        MapType::CGROUP_STORAGE | MapType::PERCPU_CGROUP_STORAGE => "bpf_cgroup_storage_map",
        MapType::DEVMAP | MapType::DEVMAP_HASH => "bpf_dtab",
        MapType::CPUMAP => "bpf_cpu_map",
        MapType::XSKMAP => "xsk_map",
        MapType::SOCKMAP => "bpf_stab",
        MapType::SOCKHASH => "bpf_shtab",
        MapType::REUSEPORT_SOCKARRAY => "reuseport_array",
        MapType::BLOOM_FILTER => "bpf_bloom_filter",
        MapType::ARENA => "bpf_arena",
        _ => return None,
    })
}
