//! The arguments of a kfunc (`check_kfunc_args`).

use super::super::args::{Argument, Use};
use super::super::checker::Checker;
use super::super::dynptr::{DynptrUse, GivenDynptr};
use super::super::graph::{Graph, is_non_owning};
use super::super::names::type_name;
use super::super::names::{kind_word, register_name};
use super::super::record::{Field, FieldKind};
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::{DynptrKind, Flags, Kind, MapRef, Reg, TypeRef};
use super::super::rules::Era;
use super::meta::{Meta, Param, ParamKind};
use super::special::Special;
use crate::btf::Kind as BtfKind;
use crate::kernel::kfunc_flags::KfuncFlags;

/// What the arguments of a call tell (`struct bpf_call_arg_meta`).
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// The constant that was passed.
    pub constant: Option<u64>,
    /// How much memory is returned.
    pub returned_size: Option<u64>,
    /// It may only be read.
    pub returns_rdonly: bool,
    /// The reference among the arguments: its id.
    pub reference: u32,
    /// How many references were passed.
    pub references: u32,
    /// The register whose reference is given back.
    pub released: Option<u8>,
    /// An object that is owned was passed.
    pub owning: bool,
    /// The type of the object that was passed.
    pub object: Option<TypeRef>,
    /// The root of the list or tree.
    pub root: Option<Field>,
    /// The dynptr that was passed.
    pub dynptr: Option<GivenDynptr>,
    /// The iterator that was passed: frame and slot.
    pub iter: Option<(usize, usize)>,
    /// The function that will be called, by subprogram.
    pub callback: Option<u32>,
    /// The map that was passed, and which lookup it is of.
    pub map: Option<(MapRef, u32)>,
}

impl Call {
    /// An argument holds a reference (`update_ref_obj`).
    pub fn reference(&mut self, reg: &Reg) {
        self.reference = reg.ref_obj_id;
        self.references += 1;
    }
}

/// What an argument is taken for, by what is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// NULL, which may be passed.
    Null,
    /// An object of the kernel's.
    Object,
    /// Memory of the size of the type.
    Memory,
    /// Memory with its size in the next argument.
    Sized,
    /// A function.
    Callback,
    /// An address in an arena.
    Arena,
    /// What its declaration says.
    Declared,
}

impl Checker<'_, '_> {
    /// Looks at each argument.
    ///
    /// # Errors
    /// One is refused, or not modelled.
    pub(super) fn check_kfunc_args(&mut self, meta: &Meta, call: &mut Call) -> Step {
        let used = meta.params.iter().rposition(|param| param.kind != ParamKind::Ignored);
        if meta.params.len() > 5 && used.is_some_and(|last| last >= 5) {
            return Err(Stop::unmodelled("a kfunc with arguments on the stack"));
        }
        let later = self.rules.since(Era::V7_2);
        if later && meta.has(KfuncFlags::RELEASE) {
            call.released = Some(1);
        }
        let mut skip = false;
        for (param, register) in meta.params.iter().zip(1..=5) {
            if std::mem::take(&mut skip) || param.kind == ParamKind::Ignored {
                continue;
            }
            skip = self.check_kfunc_arg(meta, call, param, register)?;
        }
        if !later && meta.has(KfuncFlags::RELEASE) && call.released.is_none() {
            let message = format!("release kernel function {} expects refcounted PTR_TO_BTF_ID", meta.name);
            return Err(Stop::einval(Why::UnownedRelease, message));
        }
        Ok(())
    }

    /// Arguments of a kfunc must be trusted, whatever they are.
    fn wants_trust(&self, meta: &Meta) -> bool {
        self.rules.since(Era::V7_0) || meta.has(KfuncFlags::TRUSTED_ARGS) || meta.has(KfuncFlags::RELEASE)
    }

    /// Looks at one argument; true where the next one was looked at with it.
    fn check_kfunc_arg(&mut self, meta: &Meta, call: &mut Call, param: &Param, register: u8) -> Step<bool> {
        let reg = *self.reg(register);
        let name = self.argument_name(register);
        let newest = self.rules.since(Era::V7_3);
        let is_pointer = param.type_kind == BtfKind::Ptr;
        if !is_pointer && param.kind == ParamKind::Unrecognized {
            let kind = kind_word(param.type_kind);
            return Err(Stop::einval(Why::WrongArgument, format!("Unrecognized {name} type {kind}")));
        }
        if !is_pointer && !newest {
            self.check_scalar_arg(call, param, register, &reg)?;
            return Ok(false);
        }
        let is_null = reg.is_null();
        let checks_null = self.wants_trust(meta) || meta.has(KfuncFlags::RCU);
        // What became `__nullable` with 7.0.
        let nullable = param.nullable || self.rules.since(Era::V7_0) && param.optional;
        if is_pointer && checks_null && (is_null || reg.may_be_null()) && !nullable {
            let which =
                if self.rules.names_registers { name } else { format!("arg{}", register.saturating_sub(1)) };
            let message = format!("Possibly NULL pointer passed to trusted {which}");
            return Err(Stop::eacces(Why::NullArgument, message));
        }
        let is_dynptr = matches!(param.kind, ParamKind::Dynptr { .. });
        let is_referenced = self.is_referenced(&reg);
        if self.rules.since(Era::V7_2)
            && call.released == Some(register)
            && !is_dynptr
            && !is_referenced
            && !is_null
        {
            let message =
                format!("release kfunc {} expects referenced PTR_TO_BTF_ID passed to {name}", meta.name);
            return Err(Stop::einval(Why::UnownedRelease, message));
        }
        if is_referenced {
            if !self.rules.since(Era::V7_2) && meta.has(KfuncFlags::RELEASE) {
                if call.references > 0 {
                    return Err(Stop::unmodelled("two references passed to a kfunc that gives one back"));
                }
                call.released = Some(register);
            }
            call.reference(&reg);
        }
        let taken = self.taken_for(meta, param, register, &reg, nullable)?;
        if taken == Taken::Null {
            if newest {
                self.mark_precise(register)?;
            }
            return Ok(false);
        }
        if !newest {
            self.check_trust(meta, param, taken, register, &reg)?;
        }
        self.check_arg_place(meta, call, param, taken, register, &reg)?;
        if !is_pointer {
            self.check_scalar_arg(call, param, register, &reg)?;
            if matches!(param.kind, ParamKind::MemSize | ParamKind::ConstMemSize) {
                self.check_size_of_last(register, &reg)?;
            }
            return Ok(false);
        }
        self.check_pointer_arg(meta, call, param, taken, register, &reg)?;
        Ok(taken == Taken::Sized && !newest)
    }

    /// `get_kfunc_ptr_arg_type`, where what is passed matters.
    fn taken_for(&self, meta: &Meta, param: &Param, register: u8, reg: &Reg, nullable: bool) -> Step<Taken> {
        let newest = self.rules.since(Era::V7_3);
        let size_is_number = register < 5 && self.reg(register + 1).is_scalar();
        let sized = param.sized && (newest || size_is_number);
        if nullable && reg.is_null() && param.kind != ParamKind::Ctx {
            // With a size NULL is looked at with it, from 7.0 to 7.2.
            if newest || !sized || !self.rules.since(Era::V7_0) {
                return Ok(Taken::Null);
            }
        }
        if param.kind != ParamKind::Pointer {
            return Ok(Taken::Declared);
        }
        let Some(pointee) = param.pointee.as_ref() else {
            return Err(Stop::unmodelled("a pointer to a type that is not known"));
        };
        let (is_struct, is_number) = (pointee.is_struct(), pointee.is_scalar() || pointee.scalar_struct);
        let is_void = pointee.kind == BtfKind::Void;
        if newest {
            return match () {
                () if param.callback => Ok(Taken::Callback),
                () if param.arena => match self.has_arena() {
                    true => Ok(Taken::Arena),
                    false => Err(Stop::unmodelled("an arena argument in a program without an arena")),
                },
                () if sized && (is_void || is_number) => Ok(Taken::Sized),
                () if !sized && is_struct => Ok(Taken::Object),
                () if !sized && is_number => Ok(Taken::Memory),
                () => Err(Stop::unmodelled("a kfunc's argument that the verifier does not know")),
            };
        }
        let name = self.argument_name(register);
        if self.kernel_type_of(reg).is_some() {
            if !is_struct {
                let at = if self.rules.names_registers { name } else { format!("args#{}", register - 1) };
                let (kind, of) = (pointee.kind_str(), &pointee.name);
                return Err(Stop::einval(
                    Why::WrongArgument,
                    format!("kernel function {} {at} pointer type {kind} {of} is not supported", meta.name),
                ));
            }
            return Ok(Taken::Object);
        }
        if param.callback {
            return Ok(Taken::Callback);
        }
        if !(is_number || sized && is_void) {
            let (kind, of) = (pointee.kind_str(), &pointee.name);
            let void = if sized { "void, " } else { "" };
            let why = if reg.is_scalar() { Why::NumberAsPointer } else { Why::WrongArgument };
            return Err(Stop::einval(
                why,
                format!("{name} pointer type {kind} {of} must point to {void}scalar, or struct with scalar"),
            ));
        }
        Ok(if sized { Taken::Sized } else { Taken::Memory })
    }

    /// The kernel's type that a register points to (`PTR_TO_BTF_ID`, `reg2btf_ids`).
    pub(super) fn kernel_type_of(&self, reg: &Reg) -> Option<Option<TypeRef>> {
        let name = match reg.kind {
            Kind::BtfId(ty) => return Some(Some(ty)),
            Kind::MapPtr(_) => "bpf_map",
            Kind::Socket => "socket",
            Kind::SockCommon => "sock_common",
            Kind::TcpSock => "tcp_sock",
            _ => return None,
        };
        // The kernel's name of a socket is another.
        let name = if name == "socket" { "sock" } else { name };
        Some(self.kernel.find(name, BtfKind::Struct).map(TypeRef::kernel))
    }

    /// Trust, as it is asked for before what the argument is, up to 7.2.
    fn check_trust(&mut self, meta: &Meta, param: &Param, taken: Taken, register: u8, reg: &Reg) -> Step {
        if param.kind == ParamKind::Map && taken == Taken::Declared {
            let has_map = match reg.kind {
                Kind::MapPtr(_) | Kind::MapValue(_) | Kind::MapKey(_) | Kind::BtfId(_) | Kind::Mem(_) => true,
                Kind::Scalar | Kind::Ctx | Kind::Stack(_) => false,
                _ => return Err(Stop::unmodelled("another pointer passed as a map")),
            };
            if !has_map {
                let message = format!("pointer in {} isn't map pointer", register_name(register));
                return Err(Stop::einval(Why::Map, message));
            }
        }
        let asks = taken == Taken::Object || matches!(param.kind, ParamKind::Map | ParamKind::AllocObject);
        let rcu = meta.has(KfuncFlags::RCU);
        if !asks || !(self.wants_trust(meta) || rcu) || self.is_trusted(reg) {
            return Ok(());
        }
        match rcu {
            false => Err(self.untrusted(register, false)),
            true if !reg.flags.has(Flags::RCU) => Err(self.untrusted(register, true)),
            true => Ok(()),
        }
    }

    /// What was added to the pointer (`check_func_arg_reg_off`).
    fn check_arg_place(
        &mut self,
        meta: &Meta,
        call: &Call,
        param: &Param,
        taken: Taken,
        register: u8,
        reg: &Reg,
    ) -> Step {
        let released = match self.rules.since(Era::V7_2) {
            true => call.released == Some(register),
            false => meta.has(KfuncFlags::RELEASE) && reg.ref_obj_id != 0,
        };
        let name = register_name(register);
        let is_dynptr = matches!(param.kind, ParamKind::Dynptr { .. });
        if released {
            if is_dynptr && matches!(reg.kind, Kind::Stack(_)) {
                return Ok(());
            }
            let early = !self.rules.since(Era::V7_1);
            if reg.offset() != Some(0) && !(early && reg.offset().is_none()) {
                let message = format!(
                    "{name} must have zero offset when passed to release func or trusted arg to kfunc"
                );
                return Err(Stop::einval(Why::UnownedRelease, message));
            }
            if early {
                return self.check_ptr_off(reg, name, false);
            }
        }
        if param.kind == ParamKind::RefcountedKptr && taken == Taken::Declared && self.is_object(reg) {
            // Its offset tells which object it is, where the kernel looks at it.
            return self.check_ptr_off(reg, name, !self.rules.since(Era::V7_2));
        }
        self.check_reg_offset(Argument::in_register(register, reg), param.kind != ParamKind::Ctx)
    }

    /// A number.
    fn check_scalar_arg(&mut self, call: &mut Call, param: &Param, register: u8, reg: &Reg) -> Step {
        let name = register_name(register);
        let refused = |message: String| Err(Stop::einval(Why::WrongArgument, message));
        if !reg.is_scalar() {
            return refused(format!("{name} is not a scalar"));
        }
        let newest = self.rules.since(Era::V7_3);
        match param.kind {
            ParamKind::Const => self.constant_arg(call, register, reg),
            ParamKind::ConstMemSize if newest => self.constant_arg(call, register, reg),
            ParamKind::ReturnedSize { rdonly } => {
                call.returns_rdonly |= rdonly;
                if call.returned_size.is_some() {
                    return Err(Stop::unmodelled("two sizes of what is returned"));
                }
                let Some(size) = reg.constant() else { return refused(format!("{name} is not a const")) };
                if size > u64::from(u32::MAX) {
                    let what = if newest { "allocation size" } else { "rdonly/rdwr_buf_size" };
                    return refused(format!("{name} {what} exceeds u32 max"));
                }
                self.mark_precise(register)?;
                call.returned_size = Some(size);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn constant_arg(&mut self, call: &mut Call, register: u8, reg: &Reg) -> Step {
        if call.constant.is_some() {
            return Err(Stop::unmodelled("two constants passed to a kfunc"));
        }
        let Some(constant) = reg.constant() else {
            let message = format!("{} must be a known constant", register_name(register));
            return Err(Stop::einval(Why::WrongArgument, message));
        };
        self.mark_precise(register)?;
        call.constant = Some(constant);
        Ok(())
    }

    /// The size of the memory in the register before (7.3).
    fn check_size_of_last(&mut self, register: u8, reg: &Reg) -> Step {
        let memory = *self.reg(register - 1);
        if memory.is_null() {
            return Ok(());
        }
        let memory = Argument::in_register(register - 1, &memory);
        self.check_mem_size(memory, Argument::in_register(register, reg), Use::Both, true, false)?;
        Ok(())
    }

    /// Memory with its size in the next register (up to 7.2).
    fn check_sized(&mut self, call: &mut Call, param: &Param, register: u8, reg: &Reg) -> Step {
        let size = *self.reg(register + 1);
        if !(reg.is_null() && (param.nullable || param.optional)) {
            let arg = Argument::in_register(register + 1, &size);
            let mut memory = *reg;
            memory.flags = memory.flags.without(Flags::MAYBE_NULL);
            let memory = Argument::in_register(register, &memory);
            self.check_mem_size(memory, arg, Use::Both, true, false)?;
        }
        if call.constant.is_none()
            && let Some(constant) = size.constant()
        {
            call.constant = Some(constant);
        }
        Ok(())
    }

    fn check_pointer_arg(
        &mut self,
        meta: &Meta,
        call: &mut Call,
        param: &Param,
        taken: Taken,
        register: u8,
        reg: &Reg,
    ) -> Step {
        let name = self.argument_name(register);
        let argument = Argument::in_register(register, reg);
        let refused = |why, message: String| Err(Stop::einval(why, message));
        match taken {
            Taken::Null => return Ok(()),
            Taken::Object => return self.check_object(meta, param, register, reg),
            Taken::Memory => return self.check_memory_arg(param, register, reg),
            // From 7.3 on the size looks at both.
            Taken::Sized if self.rules.since(Era::V7_3) => return Ok(()),
            Taken::Sized => return self.check_sized_with_constant(meta, call, param, register, reg),
            Taken::Callback => {
                let Kind::Func(subprog) = reg.kind else {
                    let name = if self.rules.names_registers { name } else { format!("arg{}", register - 1) };
                    return refused(Why::WrongArgument, format!("{name} expected pointer to func"));
                };
                call.callback = Some(subprog);
                return Ok(());
            }
            Taken::Arena => {
                if !matches!(reg.kind, Kind::Arena | Kind::Scalar) {
                    return refused(Why::Arena, format!("{name} is not a pointer to arena or scalar"));
                }
                return Ok(());
            }
            Taken::Declared => {}
        }
        match param.kind {
            ParamKind::Ctx => {
                if reg.kind != Kind::Ctx || reg.flags != Flags::NONE {
                    let found = type_name(reg.kind, reg.flags);
                    let message = format!("{name} expected pointer to ctx, but got {found}");
                    return refused(Why::WrongArgument, message);
                }
                Ok(())
            }
            ParamKind::AllocObject => self.check_alloc_object(meta, call, &name, reg),
            ParamKind::RefcountedKptr => {
                if !self.is_object(reg) {
                    return refused(Why::Graph, format!("{name} is neither owning or non-owning ref"));
                }
                let early = !self.rules.since(Era::V7_2);
                call.owning = !is_non_owning(reg) && (early || self.is_referenced(reg));
                if !self.reg_record(reg)?.has(|kind| kind == FieldKind::Refcount) {
                    let message = format!("{name} doesn't point to a type with bpf_refcount field");
                    return refused(Why::Graph, message);
                }
                call.object = object_type(reg);
                Ok(())
            }
            ParamKind::Dynptr { uninit } => self.check_dynptr_arg(meta, call, register, uninit),
            ParamKind::Iter => {
                if meta.is(Special::IterCssTaskNew) && !self.may_walk_css_tasks() {
                    let message = "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs";
                    return refused(Why::Iterator, message.to_owned());
                }
                self.process_iter(meta, call, register)
            }
            ParamKind::ListHead => self.process_graph_root(Graph::List, call, register),
            ParamKind::RbRoot => self.process_graph_root(Graph::Rbtree, call, register),
            ParamKind::ListNode { nonown_allowed } => {
                self.process_graph_node(Graph::List, meta, nonown_allowed, call, register)
            }
            ParamKind::RbNode => self.process_graph_node(Graph::Rbtree, meta, false, call, register),
            ParamKind::ConstStr => {
                if !matches!(reg.kind, Kind::MapValue(_)) || reg.flags != Flags::NONE {
                    return refused(Why::WrongArgument, format!("{name} doesn't point to a const string"));
                }
                self.check_const_str(argument)?;
                Ok(())
            }
            ParamKind::ConstMap => {
                let Kind::MapPtr(map) = reg.kind else {
                    let message = format!("pointer in {} isn't map pointer", register_name(register));
                    return refused(Why::Map, message);
                };
                self.check_map_of_field(call, register, map, reg.map_uid)
            }
            ParamKind::Map => {
                if !self.rules.since(Era::V7_3)
                    && let Kind::MapPtr(map) = reg.kind
                {
                    self.check_map_of_field(call, register, map, reg.map_uid)?;
                }
                self.check_object(meta, param, register, reg)
            }
            ParamKind::Workqueue | ParamKind::Timer | ParamKind::TaskWork => {
                if !matches!(reg.kind, Kind::MapValue(_)) || reg.flags != Flags::NONE {
                    return refused(Why::Timer, format!("{name} doesn't point to a map value"));
                }
                let map = match param.kind {
                    ParamKind::Timer => self.check_timer(argument)?,
                    ParamKind::TaskWork => self.check_map_field(argument, FieldKind::TaskWork)?,
                    _ => self.check_map_field(argument, FieldKind::Workqueue)?,
                };
                call.map = Some((map, reg.map_uid));
                Ok(())
            }
            ParamKind::IrqFlag => self.process_irq_flag(meta, register),
            ParamKind::ResSpinLock => self.process_res_spin_lock(meta, register),
            _ => Err(Stop::unmodelled("a kfunc's argument that the verifier does not know")),
        }
    }

    fn check_sized_with_constant(
        &mut self,
        meta: &Meta,
        call: &mut Call,
        param: &Param,
        register: u8,
        reg: &Reg,
    ) -> Step {
        let is_const =
            meta.params.get(usize::from(register)).is_some_and(|next| next.kind == ParamKind::ConstMemSize);
        let before = call.constant;
        self.check_sized(call, param, register, reg)?;
        if !is_const {
            call.constant = before;
            return Ok(());
        }
        if before.is_some() {
            return Err(Stop::unmodelled("two constants passed to a kfunc"));
        }
        if call.constant.is_none() {
            let message = format!("{} must be a known constant", register_name(register + 1));
            return Err(Stop::einval(Why::WrongArgument, message));
        }
        Ok(())
    }

    /// An object of the program's that is given back.
    fn check_alloc_object(&mut self, meta: &Meta, call: &mut Call, name: &str, reg: &Reg) -> Step {
        let refused = |message: String| Err(Stop::einval(Why::Graph, message));
        let suffix = if self.rules.since(Era::V7_1) { "" } else { "_impl" };
        let is_type = matches!(reg.kind, Kind::BtfId(_));
        match reg.flags {
            Flags::ALLOC if is_type => {
                if !meta.is(Special::ObjDrop) {
                    return refused(format!("{name} expected for bpf_obj_drop{suffix}()"));
                }
            }
            flags if is_type && flags == Flags::ALLOC.with(Flags::PERCPU) => {
                if !meta.is(Special::PercpuObjDrop) {
                    return refused(format!("{name} expected for bpf_percpu_obj_drop{suffix}()"));
                }
            }
            _ => return refused(format!("{name} expected pointer to allocated object")),
        }
        if !self.is_referenced(reg) {
            return refused("allocated object must be referenced".to_owned());
        }
        call.object = object_type(reg);
        Ok(())
    }

    fn check_dynptr_arg(&mut self, meta: &Meta, call: &mut Call, register: u8, uninit: bool) -> Step {
        let kind = match meta.special {
            Some(Special::DynptrFromSkb) => Some(DynptrKind::Skb),
            Some(Special::DynptrFromXdp) => Some(DynptrKind::Xdp),
            Some(Special::DynptrFromSkbMeta) => Some(DynptrKind::SkbMeta),
            Some(Special::DynptrFromFile | Special::DynptrFileDiscard) => Some(DynptrKind::File),
            Some(Special::DynptrClone) if uninit => call.dynptr.map(|dynptr| dynptr.kind),
            _ => None,
        };
        let later = self.rules.since(Era::V7_2);
        let usage = match kind {
            Some(kind) if uninit => DynptrUse::Makes(kind),
            None if uninit => return Err(Stop::unmodelled("a dynptr of a kind that is not known")),
            kind if meta.is(Special::DynptrFileDiscard) => DynptrUse::Releases(kind),
            kind => DynptrUse::Reads(kind),
        };
        if uninit && call.references > 1 && call.dynptr.is_none() && later {
            return Err(Stop::unmodelled("two references passed to a kfunc that makes a dynptr"));
        }
        let clone_of = call.dynptr.filter(|_| uninit);
        let given = self.process_dynptr(register, usage, call.reference, clone_of)?;
        if given.is_some() {
            call.dynptr = given;
            if meta.is(Special::DynptrFileDiscard) {
                call.released = Some(register);
            }
        }
        Ok(())
    }

    /// `check_css_task_iter_allowlist`.
    fn may_walk_css_tasks(&self) -> bool {
        let program = self.prog.subprogs.first().map(|entry| entry.function);
        let is_iter = program.is_some_and(|program| self.object[program].section().class == "iter");
        self.program_kind() == "lsm" || self.program_kind() == "tracing" && is_iter || self.state.in_sleepable
    }

    /// A map that goes with the field of a map's value that was passed before.
    fn check_map_of_field(&mut self, call: &mut Call, register: u8, map: MapRef, uid: u32) -> Step {
        if let Some((known, known_uid)) = call.map
            && (known != map || known_uid != uid)
        {
            let newest = self.rules.since(Era::V7_3);
            let record = self.map_record(if newest { known } else { map })?;
            let has = |wanted| record.has(|kind| kind == wanted);
            let what = match () {
                () if newest && has(FieldKind::Timer) => "timer",
                () if has(FieldKind::TaskWork) && self.rules.since(Era::V6_18) => "bpf_task_work",
                () if newest || has(FieldKind::Workqueue) => "workqueue",
                () => {
                    call.map = Some((map, uid));
                    return Ok(());
                }
            };
            let (field, at) = (register_name(register - 1), register_name(register));
            let message = format!(
                "{what} pointer in {field} map_uid={known_uid} doesn't match map pointer in {at} map_uid={uid}"
            );
            return Err(Stop::einval(Why::Timer, message));
        }
        call.map = Some((map, uid));
        Ok(())
    }

    /// Memory of the size of the type.
    pub(super) fn check_memory_arg(&mut self, param: &Param, register: u8, reg: &Reg) -> Step {
        let Some(pointee) = param.pointee.as_ref() else {
            return Err(Stop::unmodelled("a pointer to a type that is not known"));
        };
        let Some(size) = pointee.size.and_then(|size| u32::try_from(size).ok()) else {
            return Err(Stop::unmodelled("a kfunc's argument without a size"));
        };
        let mut memory = *reg;
        if !self.rules.since(Era::V7_3) {
            memory.flags = memory.flags.without(Flags::MAYBE_NULL);
        }
        self.check_mem(Argument::in_register(register, &memory), size, Use::Both, false)?;
        Ok(())
    }
}

fn object_type(reg: &Reg) -> Option<TypeRef> {
    match reg.kind {
        Kind::BtfId(ty) => Some(ty),
        _ => None,
    }
}
