//! What a kfunc returns (`check_special_kfunc` and what follows it in `check_kfunc_call`).

use super::super::checker::Checker;
use super::super::record::FieldKind;
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::{BtfOf, DynptrKind, Flags, Kind, Reg, TypeRef};
use super::super::rules::Era;
use super::super::scalar::Scalar;
use super::arguments::Call;
use super::meta::{Meta, Pointee, Returned, is_scalar_struct};
use super::special::Special;
use crate::btf::{Kind as BtfKind, TypeId};
use crate::kernel::kfunc_flags::KfuncFlags;

/// Most bytes of an object per CPU (`BPF_GLOBAL_PERCPU_MA_MAX_SIZE`).
const MAX_PERCPU: u32 = 512;

fn refused<T>(message: impl Into<String>) -> Step<T> {
    Err(Stop::einval(Why::Kfunc, message))
}

impl Checker<'_, '_> {
    /// Fills r0, after r0 to r5 were cleared.
    ///
    /// # Errors
    /// What is returned is refused, or not modelled.
    pub(super) fn kfunc_returns(&mut self, meta: &Meta, call: &Call) -> Step {
        let acquires = meta.has(KfuncFlags::ACQUIRE);
        let is_struct = matches!(&meta.returned, Returned::Pointer(pointee) if pointee.is_struct());
        let makes_object =
            meta.special.is_some_and(|special| special.is_new() || special == Special::RefcountAcquire);
        if acquires && !is_struct && !makes_object {
            return refused("acquire kernel function does not return PTR_TO_BTF_ID");
        }
        match &meta.returned {
            Returned::Void => Ok(()),
            Returned::Other => Err(Stop::unmodelled("what a kfunc returns")),
            Returned::Scalar(_) => {
                let takes_lock = meta.special.is_some_and(Special::takes_res_spin_lock);
                *self.reg_mut(0) = if takes_lock { Reg::known(0) } else { Reg::unknown() };
                Ok(())
            }
            Returned::Pointer(pointee) => {
                let mut reg = match self.special_returns(meta, call, pointee)? {
                    Some(reg) => reg,
                    None => self.pointer_returned(meta, call, pointee)?,
                };
                self.mark_returned(meta, call, pointee, &mut reg)?;
                *self.reg_mut(0) = reg;
                Ok(())
            }
        }
    }

    /// NULL, references, and what is not owned.
    fn mark_returned(&mut self, meta: &Meta, call: &Call, pointee: &Pointee, reg: &mut Reg) -> Step {
        let keeps = meta.is(Special::RefcountAcquire) && call.owning;
        if meta.has(KfuncFlags::RET_NULL) && !keeps {
            reg.flags = reg.flags.with(Flags::MAYBE_NULL);
            reg.id = self.new_id();
        }
        let is_node = matches!(pointee.name.as_str(), "bpf_rb_node" | "bpf_list_node");
        if meta.has(KfuncFlags::ACQUIRE) {
            let id = self.acquire_reference(0);
            (reg.id, reg.ref_obj_id) = (id, id);
        } else if is_node
            && meta.special.is_some_and(|special| special.is_list() || special.is_rbtree())
            && let Kind::BtfId(ty) = reg.kind
        {
            if self.state.active_locks == 0 {
                return Err(Stop::unmodelled("a node that no lock protects"));
            }
            let flags = self.non_owning_flags(ty)?;
            reg.flags = reg.flags.with(flags);
        }
        // A maybe-NULL object is none that a lock is looked for in.
        if reg.id == 0 && reg.flags.has(Flags::ALLOC) {
            let record = self.reg_record(reg)?;
            if record.has(|kind| matches!(kind, FieldKind::SpinLock | FieldKind::ResSpinLock)) {
                reg.id = self.new_id();
            }
        }
        Ok(())
    }

    /// A pointer that is returned as the prototype says.
    fn pointer_returned(&mut self, meta: &Meta, call: &Call, pointee: &Pointee) -> Step<Reg> {
        if pointee.kind == BtfKind::Void {
            return Ok(Reg::unknown());
        }
        let later = self.rules.since(Era::V7_2);
        let protected = meta.has(KfuncFlags::RCU_PROTECTED);
        if pointee.kind != BtfKind::Struct {
            let is_cookie = meta.is(Special::SessionCookie);
            let given = call.returned_size.filter(|size| *size > 0 || self.rules.since(Era::V7_3));
            let (size, rdonly) = match (given, pointee.size) {
                (Some(size), _) => (size, call.returns_rdonly),
                (None, Some(size)) => (size, !is_cookie),
                (None, None) => {
                    let (kind, name) = (pointee.kind_str(), &pointee.name);
                    return refused(format!(
                        "kernel function {} returns pointer type {kind} {name} is not supported",
                        meta.name
                    ));
                }
            };
            let Ok(size) = u32::try_from(size) else { return Err(Stop::unmodelled("4 GiB of memory")) };
            let mut flags = if rdonly { Flags::RDONLY } else { Flags::NONE };
            if protected && later {
                flags = flags.with(Flags::RCU);
            }
            let mut reg = Reg::new(Kind::Mem(size), flags);
            if call.reference != 0 {
                if later && call.references > 1 {
                    return Err(Stop::unmodelled("two references passed to a kfunc that returns memory"));
                }
                if later {
                    reg.parent_id = call.reference;
                } else {
                    reg.ref_obj_id = call.reference;
                }
            }
            return Ok(reg);
        }
        let iter_is_rcu = meta.has(KfuncFlags::ITER_NEXT)
            && call
                .iter
                .is_some_and(|(frame, slot)| self.state.frames[frame].stack[slot].reg.flags.has(Flags::RCU));
        let flags = match () {
            () if meta.is(Special::GetKmemCache) => Flags::UNTRUSTED,
            () if protected && self.rules.since(Era::V6_18) || iter_is_rcu => Flags::RCU,
            () if self.rules.since(Era::V7_0) || meta.has(KfuncFlags::ITER_NEXT) => Flags::TRUSTED,
            () => Flags::NONE,
        };
        Ok(Reg::new(Kind::BtfId(TypeRef { btf: BtfOf::Kernel(meta.home), id: pointee.id }), flags))
    }

    /// What the verifier knows of a kfunc by name; `None` where the prototype tells (`check_special_kfunc`).
    fn special_returns(&mut self, meta: &Meta, call: &Call, pointee: &Pointee) -> Step<Option<Reg>> {
        let Some(special) = meta.special else { return Ok(None) };
        Ok(Some(match special {
            Special::ObjNew | Special::PercpuObjNew => self.new_object(special, call)?,
            Special::RefcountAcquire => {
                let Some(ty) = call.object else { return Err(Stop::unmodelled("no object")) };
                Reg::new(Kind::BtfId(ty), Flags::ALLOC)
            }
            _ if matches!(pointee.name.as_str(), "bpf_list_node" | "bpf_rb_node") => {
                let Some(root) = call.root else { return Err(Stop::unmodelled("a node without a root")) };
                self.graph_node(root)?
            }
            Special::CastToKernCtx => return Err(Stop::unmodelled("bpf_cast_to_kern_ctx")),
            Special::RdonlyCast => self.cast(call)?,
            Special::DynptrSlice | Special::DynptrSliceRdwr => {
                let (Some(size), Some(dynptr)) = (call.constant, call.dynptr) else {
                    return Err(Stop::unmodelled("a slice without a size"));
                };
                let flag = dynptr.kind.flag();
                let rdwr = special == Special::DynptrSliceRdwr;
                if rdwr && !self.may_write_packets(dynptr.kind)? {
                    return refused("the prog does not allow writes to packet data");
                }
                let flags = if rdwr { flag } else { flag.with(Flags::RDONLY) };
                let mut slice = Reg::new(Kind::Mem(size as u32), flags);
                slice.parent_id = dynptr.id;
                slice
            }
            _ => return Ok(None),
        }))
    }

    /// Whatever the dynptr points to, the program type is what is asked (`may_access_direct_pkt_data`).
    fn may_write_packets(&self, _kind: DynptrKind) -> Step<bool> {
        match self.program_kind() {
            "struct_ops"
            | "tracing"
            | "lsm"
            | "kprobe"
            | "tracepoint"
            | "raw_tracepoint"
            | "raw_tracepoint_writable"
            | "perf_event"
            | "syscall" => Ok(false),
            other => Err(Stop::unmodelled(format!("packets in programs of type {other}"))),
        }
    }

    fn new_object(&mut self, special: Special, call: &Call) -> Step<Reg> {
        let percpu = special == Special::PercpuObjNew;
        let Some(id) = call.constant else { return Err(Stop::unmodelled("an object of no type")) };
        let Ok(id) = u32::try_from(id) else {
            return refused("local type ID argument must be in range [0, U32_MAX]");
        };
        let Some(btf) = self.object.btf.as_ref() else {
            return refused("bpf_obj_new/bpf_percpu_obj_new requires prog BTF");
        };
        let id = TypeId(id);
        let found = btf.get(id).filter(|ty| ty.kind() == BtfKind::Struct);
        let Some(ty) = found else {
            return refused("bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct");
        };
        let object = TypeRef::object(id);
        if !percpu {
            return Ok(Reg::new(Kind::BtfId(object), Flags::ALLOC));
        }
        if ty.size() > MAX_PERCPU {
            let size = ty.size();
            return refused(format!("bpf_percpu_obj_new type size ({size}) is greater than {MAX_PERCPU}"));
        }
        if !is_scalar_struct(btf, id, 0) {
            return refused("bpf_percpu_obj_new type ID argument must be of a struct of scalars");
        }
        if !self.type_record(object)?.fields.is_empty() {
            return refused("bpf_percpu_obj_new type ID argument must not contain special fields");
        }
        Ok(Reg::new(Kind::BtfId(object), Flags::ALLOC.with(Flags::PERCPU)))
    }

    fn cast(&mut self, call: &Call) -> Step<Reg> {
        let Some(id) = call.constant else { return Err(Stop::unmodelled("a cast to no type")) };
        let to_void = self.rules.since(Era::V7_2);
        if id == 0 {
            // A cast to void came with 6.17 or so.
            return match (to_void, self.rules.era) {
                (true, _) => Ok(Reg::new(Kind::Mem(0), Flags::RDONLY.with(Flags::UNTRUSTED))),
                (false, Era::V6_12) => refused("kfunc bpf_rdonly_cast type ID argument must be of a struct"),
                (false, _) => Err(Stop::unmodelled("a cast to void")),
            };
        }
        let found = u32::try_from(id).ok().and_then(|id| self.kernel.btf().get(TypeId(id)));
        match found.map(|ty| ty.kind()) {
            Some(BtfKind::Struct | BtfKind::Union) => {
                Ok(Reg::new(Kind::BtfId(TypeRef::kernel(TypeId(id as u32))), Flags::UNTRUSTED))
            }
            // Ids of a snapshot that was cut are not the kernel's.
            _ => Err(Stop::unmodelled("a cast to what is no struct")),
        }
    }

    /// An error code that a call returns on a path of its own.
    pub(super) fn error_code(&self) -> Reg {
        Reg::scalar(Scalar::unknown().within_s32(-4095, -1, &self.rules.scalar))
    }
}
