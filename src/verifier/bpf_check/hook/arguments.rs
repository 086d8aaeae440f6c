//! What functions are given: the program its context, a global function what its prototype says (`btf_prepare_func_args`).

use std::rc::Rc;

use super::Program;
use crate::btf::{Btf, Kind as BtfKind, Type, TypeId, essential_name};
use crate::errno::Errno;
use crate::kernel::Lookup;
use crate::verifier::bpf_check::checker::Checker;
use crate::verifier::bpf_check::names::kind_word;
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::{DynptrKind, Flags, Kind, Reg, TypeRef};
use crate::verifier::bpf_check::rules::Era;

/// Most arguments in registers (`MAX_BPF_FUNC_REG_ARGS`).
const REGISTERS: usize = 5;
/// Most arguments at all (`MAX_BPF_FUNC_ARGS`).
const MOST: usize = 12;

/// An argument of a function of the program, as calls are held against it (`struct bpf_subprog_arg_info`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobalArg {
    /// `ARG_ANYTHING`: a number.
    Scalar,
    /// `ARG_PTR_TO_CTX`.
    Ctx,
    /// `ARG_PTR_TO_DYNPTR`.
    Dynptr,
    /// `ARG_PTR_TO_MEM`.
    Mem {
        /// Bytes.
        size: u32,
        /// `MAYBE_NULL`, or `RDONLY` and `UNTRUSTED`.
        flags: Flags,
    },
    /// `ARG_PTR_TO_BTF_ID`.
    BtfId {
        /// The kernel's type.
        ty: TypeRef,
        /// `TRUSTED` or `UNTRUSTED`, and `MAYBE_NULL`.
        flags: Flags,
    },
    /// `ARG_PTR_TO_ARENA`.
    Arena,
}

/// The prototype of a function of the program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prototype {
    /// Its arguments.
    pub args: Vec<GlobalArg>,
    /// It returns nothing (`subprog_returns_void`).
    pub returns_void: bool,
}

/// Marks of an argument (`enum btf_arg_tag`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tags {
    ctx: bool,
    nonnull: bool,
    trusted: bool,
    untrusted: bool,
    nullable: bool,
    arena: bool,
}

impl Tags {
    fn any(self) -> bool {
        self != Self::default()
    }
}

impl Checker<'_, '_> {
    /// The registers as a function of the program finds them: of the program itself its context, of a global function
    /// what its prototype says (`do_check_common`, `btf_prepare_func_args`).
    ///
    /// # Errors
    /// A global function with a prototype that is refused.
    pub fn enter(&mut self, subprog: usize) -> Step {
        if subprog == 0 {
            *self.reg_mut(1) = Reg::new(Kind::Ctx, Flags::NONE);
            for at in 0..self.hook.arguments.len() {
                if self.hook.arguments[at].refcounted {
                    self.hook.arguments[at].ref_id = self.acquire_reference(0);
                }
            }
            return Ok(());
        }
        let prototype = self.func_args(subprog)?;
        if self.is_exception_callback(subprog) {
            self.state.frame_mut().in_exception_callback = true;
            if prototype.returns_void {
                return Err(Stop::einval(Why::Exception, "exception cb cannot return void"));
            }
            if prototype.args != [GlobalArg::Scalar] {
                let message = "exception cb only supports single integer argument";
                return Err(Stop::einval(Why::Exception, message));
            }
        }
        for (number, arg) in (1..=REGISTERS as u8).zip(&prototype.args) {
            let mut reg = match *arg {
                GlobalArg::Scalar | GlobalArg::Arena => Reg::unknown(),
                GlobalArg::Ctx => Reg::new(Kind::Ctx, Flags::NONE),
                GlobalArg::Dynptr => Reg::new(Kind::Dynptr(DynptrKind::Local), Flags::NONE),
                GlobalArg::Mem { size, flags } => Reg::new(Kind::Mem(size), flags),
                GlobalArg::BtfId { ty, flags } => Reg::new(Kind::BtfId(ty), flags),
            };
            let has_id = match *arg {
                GlobalArg::Dynptr | GlobalArg::BtfId { .. } => true,
                GlobalArg::Mem { flags, .. } => flags.has(Flags::MAYBE_NULL) || !self.rules.since(Era::V7_2),
                _ => false,
            };
            if has_id {
                reg.id = self.new_id();
            }
            *self.reg_mut(number) = reg;
        }
        Ok(())
    }

    /// The program names a function for exceptions, and it is this one.
    pub fn is_exception_callback(&self, subprog: usize) -> bool {
        let (Some(btf), Some(main), Some(own)) =
            (&self.object.btf, self.func_type(0), self.func_type(subprog))
        else {
            return false;
        };
        let name = btf.get(own).map(|ty| btf.name(&ty)).unwrap_or_default();
        let mut tags = btf.decl_tags().filter(|(of, component, _)| *of == main && *component == -1);
        tags.any(|(_, _, tag)| tag.strip_prefix("exception_callback:") == Some(name))
    }

    /// The FUNC of a function of the program, by its function info.
    pub fn func_type(&self, subprog: usize) -> Option<TypeId> {
        let function = &self.object[self.prog.subprogs.get(subprog)?.function];
        let btf = self.object.btf.as_ref()?;
        let section = self.object.elf.section_at(function.section.0)?;
        let mut infos = self.object.ext.as_ref()?.funcs(btf, &section.name);
        infos.find(|info| info.insn_off as usize == function.start * 8).map(|info| info.type_id)
    }

    /// What a function of the program takes and returns (`btf_prepare_func_args`).
    ///
    /// # Errors
    /// The kernel refuses the prototype: that ends the load for a global function only.
    pub fn func_args(&mut self, subprog: usize) -> Step<Rc<Prototype>> {
        if let Some(known) = self.hook.prototypes.get(&subprog) {
            return Ok(Rc::clone(known));
        }
        let made = Rc::new(self.prepare(subprog)?);
        self.hook.prototypes.insert(subprog, Rc::clone(&made));
        Ok(made)
    }

    /// A function of the program returns nothing (`subprog_returns_void`).
    ///
    /// # Errors
    /// It is not known.
    pub fn is_void(&self, subprog: usize) -> Step<bool> {
        let returns = || {
            let btf = self.object.btf.as_ref()?;
            let func = btf.get(self.func_type(subprog)?)?;
            let proto = btf.get(func.target())?.func_proto()?;
            btf.resolve(proto.ret()).map(|(_, ty)| ty.kind() == BtfKind::Void)
        };
        returns().ok_or_else(|| Stop::unmodelled("a function of the program without a prototype"))
    }

    fn prepare(&self, subprog: usize) -> Step<Prototype> {
        let unknown = || Stop::unmodelled("a function of the program without a prototype");
        let btf = self.object.btf.as_ref().ok_or_else(unknown)?;
        let func = self.func_type(subprog).ok_or_else(unknown)?;
        let func_ty = btf.get(func).ok_or_else(unknown)?;
        let proto = btf.get(func_ty.target()).and_then(|ty| ty.func_proto()).ok_or_else(unknown)?;
        let name = btf.name(&func_ty);
        let is_global = self.prog.subprogs.get(subprog).is_some_and(|known| known.is_global);
        let params: Vec<_> = proto.params().collect();
        self.check_count(name, params.len(), is_global)?;
        let returns_void = self.check_return_type(btf, name, proto.ret(), subprog)?;
        let mut args = Vec::with_capacity(params.len());
        for (number, param) in params.iter().enumerate() {
            let tags = self.tags(btf, func, number, param.ty, is_global)?;
            args.push(self.arg(btf, name, number, param.ty, tags, is_global)?);
        }
        Ok(Prototype { args, returns_void })
    }

    fn check_count(&self, name: &str, count: usize, is_global: bool) -> Step {
        if count <= REGISTERS {
            return Ok(());
        }
        let refused = |errno, message| Err(Stop::refused(Why::GlobalFunction, errno, message));
        if !self.rules.since(Era::V7_1) {
            let message = format!("Global function {name}() with {count} > 5 args. Buggy compiler.");
            return refused(Errno::EINVAL, message);
        }
        if !self.rules.since(Era::V7_2) {
            return Err(Stop::unmodelled("functions with more than five arguments"));
        }
        if count > MOST {
            let message = format!("kernel supports at most 12 parameters, function {name} has {count}");
            return refused(Errno::EFAULT, message);
        }
        if is_global {
            let message = format!("global function {name} has {count} > 5 args, stack args not supported");
            return refused(Errno::EINVAL, message);
        }
        Err(Stop::unmodelled("functions with more than five arguments"))
    }

    /// It returns a number, or what else this kernel takes; whether it returns nothing.
    fn check_return_type(&self, btf: &Btf<'_>, name: &str, returned: TypeId, subprog: usize) -> Step<bool> {
        let Some((_, ty)) = btf.resolve(returned) else {
            return Err(Stop::unmodelled("a function of the program without a prototype"));
        };
        let is_void = ty.kind() == BtfKind::Void;
        let is_scalar = matches!(ty.kind(), BtfKind::Int | BtfKind::Enum | BtfKind::Enum64);
        let refused = |errno, message| Err(Stop::refused(Why::GlobalFunction, errno, message));
        if is_scalar || is_void && self.rules.since(Era::V7_1) {
            return Ok(is_void);
        }
        if !self.rules.since(Era::V7_1) {
            let message =
                format!("Global function {name}() doesn't return scalar. Only those are supported.");
            return refused(Errno::EINVAL, message);
        }
        if subprog > 0 && ty.kind() == BtfKind::Ptr && has_arena_tag(btf, ty.target()) {
            return match self.rules.since(Era::V7_2) {
                true => Ok(false),
                false => Err(Stop::unmodelled("functions that return arena pointers")),
            };
        }
        let errno = if self.rules.since(Era::V7_2) { Errno::EOPNOTSUPP } else { Errno::EINVAL };
        let message =
            format!("Global function {name}() return value not void or scalar. Only those are supported.");
        refused(errno, message)
    }

    /// Marks of an argument (`btf_scan_decl_tags`, `btf_scan_type_tags`).
    fn tags(&self, btf: &Btf<'_>, func: TypeId, number: usize, ty: TypeId, is_global: bool) -> Step<Tags> {
        let mut tags = Tags::default();
        let refused = |message| Err(Stop::refused(Why::GlobalFunction, Errno::EOPNOTSUPP, message));
        for (of, component, text) in btf.decl_tags() {
            let Some(tag) = text.strip_prefix("arg:") else { continue };
            if of != func || component != number as i32 {
                continue;
            }
            if !is_global {
                return refused(format!("arg#{number} type tag is not supported in static functions"));
            }
            match tag {
                "ctx" => tags.ctx = true,
                "nonnull" => tags.nonnull = true,
                "trusted" => tags.trusted = true,
                "nullable" => tags.nullable = true,
                "arena" => tags.arena = true,
                "untrusted" if self.rules.since(Era::V6_17) => tags.untrusted = true,
                _ => return refused(format!("arg#{number} has unsupported set of tags")),
            }
        }
        if let Some((_, pointer)) = btf.resolve(ty)
            && pointer.kind() == BtfKind::Ptr
            && has_arena_tag(btf, pointer.target())
        {
            if self.rules.since(Era::V7_2) {
                tags.arena = true;
            } else if self.rules.since(Era::V7_1) {
                return Err(Stop::unmodelled("arena arguments that are tagged by their type"));
            }
        }
        Ok(tags)
    }

    /// One argument.
    fn arg(
        &self,
        btf: &Btf<'_>,
        name: &str,
        number: usize,
        ty: TypeId,
        tags: Tags,
        is_global: bool,
    ) -> Step<GlobalArg> {
        let refused = |message: String| Err(Stop::einval(Why::GlobalFunction, message));
        let invalid = || refused(format!("arg#{number} has invalid combination of tags"));
        let Some((_, resolved)) = btf.resolve(ty) else {
            return Err(Stop::unmodelled("a function of the program without a prototype"));
        };
        if resolved.kind() != BtfKind::Ptr {
            if tags.any() {
                return refused(format!("arg#{number} has pointer tag, but is not a pointer type"));
            }
            return match resolved.kind() {
                BtfKind::Int | BtfKind::Enum | BtfKind::Enum64 => Ok(GlobalArg::Scalar),
                kind => {
                    let word = kind_word(kind);
                    refused(format!("Arg#{number} type {word} in {name}() is not supported yet."))
                }
            };
        }
        let Some((pointee_id, pointee)) = btf.resolve(resolved.target()) else {
            return Err(Stop::unmodelled("a function of the program without a prototype"));
        };
        if tags.ctx || self.is_context_type(btf, &resolved, &pointee) {
            if (Tags { ctx: false, ..tags }).any() {
                return invalid();
            }
            if tags.ctx {
                self.validate_context_type(btf, number, &resolved, &pointee)?;
            }
            return Ok(GlobalArg::Ctx);
        }
        let is_struct = matches!(pointee.kind(), BtfKind::Struct | BtfKind::Union)
            || pointee.kind() == BtfKind::Fwd && !pointee.is_fwd_union();
        if is_struct && btf.name(&pointee) == "bpf_dynptr" {
            return if tags.any() { invalid() } else { Ok(GlobalArg::Dynptr) };
        }
        if tags.trusted {
            if tags.nonnull {
                return invalid();
            }
            let ty = self.kernel_type(btf, number, &pointee)?;
            let null = if tags.nullable { Flags::MAYBE_NULL } else { Flags::NONE };
            return Ok(GlobalArg::BtfId { ty, flags: Flags::TRUSTED.with(null) });
        }
        if tags.untrusted {
            if (Tags { untrusted: false, ..tags }).any() {
                return refused(format!("arg#{number} untrusted cannot be combined with any other tags"));
            }
            let flags = Flags::RDONLY.with(Flags::UNTRUSTED);
            if pointee.kind() == BtfKind::Void || is_primitive(&pointee) {
                return Ok(GlobalArg::Mem { size: 0, flags });
            }
            let ty = self.kernel_type(btf, number, &pointee)?;
            if self.kernel.btf().get(ty.id).is_none_or(|ty| ty.composite().is_none()) {
                return Err(Stop::unmodelled("an untrusted argument that is no struct"));
            }
            return Ok(GlobalArg::BtfId { ty, flags: Flags::UNTRUSTED });
        }
        if tags.arena {
            if (Tags { arena: false, ..tags }).any() {
                return refused(format!("arg#{number} arena cannot be combined with any other tags"));
            }
            return Ok(GlobalArg::Arena);
        }
        if !is_global {
            return refused(format!("arg#{number} of a static function is not taken apart"));
        }
        if tags.nullable {
            return invalid();
        }
        match btf.resolve_size(pointee_id) {
            Ok(size) if size <= u64::from(u32::MAX) => {
                let flags = if tags.nonnull { Flags::NONE } else { Flags::MAYBE_NULL };
                Ok(GlobalArg::Mem { size: size as u32, flags })
            }
            _ => {
                let (word, of) = (kind_word(pointee.kind()), btf.name(&pointee));
                refused(format!("arg#{number} reference type('{word} {of}') size cannot be determined: -22"))
            }
        }
    }

    /// A pointer to it is one to the context, by its name alone (`btf_is_prog_ctx_type`).
    fn is_context_type(&self, btf: &Btf<'_>, pointer: &Type<'_>, pointee: &Type<'_>) -> bool {
        let is_kprobe = matches!(self.hook.program, Program::Kprobe { .. });
        if is_kprobe && is_user_registers(btf, pointer) {
            return true;
        }
        if !matches!(pointee.kind(), BtfKind::Struct | BtfKind::Union) {
            return false;
        }
        let context = match self.hook.program {
            Program::Kprobe { .. } => "pt_regs",
            Program::PerfEvent => "bpf_perf_event_data",
            Program::RawTracepoint | Program::RawTracepointWritable => "bpf_raw_tracepoint_args",
            _ => return false,
        };
        // Also the typedef's name, given to a struct.
        btf.name(pointee) == context || is_kprobe && btf.name(pointee) == USER_REGISTERS
    }

    /// What a context that is marked as one may be declared as (`btf_validate_prog_ctx_type`).
    fn validate_context_type(
        &self,
        btf: &Btf<'_>,
        number: usize,
        pointer: &Type<'_>,
        pointee: &Type<'_>,
    ) -> Step {
        let program = self.hook.program;
        let refused = |message: String| Err(Stop::einval(Why::GlobalFunction, message));
        let is_kprobe = matches!(program, Program::Kprobe { .. });
        if (is_kprobe || program == Program::PerfEvent) && is_user_registers(btf, pointer) {
            return Ok(());
        }
        if pointee.kind() == BtfKind::Void {
            return Ok(());
        }
        let name = btf.name(pointee);
        if name.is_empty() {
            return refused(format!("arg#{number} type doesn't have a name"));
        }
        let is_struct = pointee.kind() == BtfKind::Struct || pointee.kind() == BtfKind::Union;
        let is_u64 = pointee.kind() == BtfKind::Int && pointee.size() == 8;
        let raw = matches!(program, Program::RawTracepoint | Program::RawTracepointWritable);
        let allowed = match program {
            Program::Kprobe { .. } | Program::PerfEvent => is_struct && name == "pt_regs",
            Program::TpBtf => is_u64 || is_struct && name == "bpf_raw_tracepoint_args",
            Program::Iter => is_struct && name.starts_with("bpf_iter__"),
            Program::Fentry | Program::Fexit | Program::ModifyReturn | Program::Fsession => is_u64,
            Program::Lsm | Program::LsmCgroup | Program::StructOps(_) => is_u64,
            Program::Tracepoint | Program::Syscall => true,
            _ => raw && is_u64,
        };
        if allowed {
            return Ok(());
        }
        let context = match program {
            Program::Kprobe { .. } => "pt_regs",
            Program::PerfEvent => "bpf_perf_event_data",
            _ if raw => "bpf_raw_tracepoint_args",
            _ => return refused(format!("arg#{number} should be void pointer")),
        };
        if is_struct && name == context {
            return Ok(());
        }
        refused(format!("arg#{number} should be `struct {context} *`"))
    }

    /// The kernel's type of that name and kind (`btf_get_ptr_to_btf_id`).
    fn kernel_type(&self, btf: &Btf<'_>, number: usize, pointee: &Type<'_>) -> Step<TypeRef> {
        let (word, name) = (kind_word(pointee.kind()), btf.name(pointee));
        let why = |errno, what: &str| {
            let message = format!("arg#{number} reference type('{word} {name}') {what}");
            Err(Stop::refused(Why::GlobalFunction, errno, message))
        };
        if name.is_empty() {
            return why(Errno::EINVAL, "candidate matching error: -22");
        }
        let essential = essential_name(name);
        let kernel = self.kernel.btf();
        let names = kernel.names();
        let ids = names.essential(essential).into_iter();
        let mut found = ids.filter(|id| kernel.get(*id).is_some_and(|ty| ty.kind() == pointee.kind()));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(TypeRef::kernel(id)),
            (Some(_), Some(_)) => why(Errno::ESRCH, "is ambiguous"),
            (None, _) => match self.kernel.find_anywhere(essential, pointee.kind()) {
                Lookup::Absent => why(Errno::ENOENT, "has no matches"),
                Lookup::Found(_) => Err(Stop::unmodelled("an argument of a module's type")),
                Lookup::Unknown(reason) => Err(Stop::Unknown(reason)),
            },
        }
    }
}

/// The typedef of what kprobes and perf events are given.
const USER_REGISTERS: &str = "bpf_user_pt_regs_t";

/// A pointer to `bpf_user_pt_regs_t`, by that name.
fn is_user_registers(btf: &Btf<'_>, pointer: &Type<'_>) -> bool {
    let mut id = pointer.target();
    // As long as any chain of qualifiers is.
    for _ in 0..32 {
        let Some(ty) = btf.get(id) else { return false };
        match ty.kind() {
            BtfKind::Const | BtfKind::Volatile | BtfKind::Restrict | BtfKind::TypeTag => id = ty.target(),
            BtfKind::Typedef => return btf.name(&ty) == USER_REGISTERS,
            _ => return false,
        }
    }
    false
}

/// One of the modifiers of what a pointer points to is the tag `arena`.
fn has_arena_tag(btf: &Btf<'_>, pointee: TypeId) -> bool {
    let mut id = pointee;
    for _ in 0..32 {
        let Some(ty) = btf.get(id) else { return false };
        match ty.kind() {
            BtfKind::TypeTag if btf.name(&ty) == "arena" => return true,
            BtfKind::Const | BtfKind::Volatile | BtfKind::Restrict | BtfKind::TypeTag | BtfKind::Typedef => {
                id = ty.target();
            }
            _ => return false,
        }
    }
    false
}

/// A number (`btf_type_is_primitive`).
fn is_primitive(ty: &Type<'_>) -> bool {
    let is_int = ty.kind() == BtfKind::Int && matches!(ty.size(), 1 | 2 | 4 | 8);
    is_int || matches!(ty.kind(), BtfKind::Enum | BtfKind::Enum64)
}
