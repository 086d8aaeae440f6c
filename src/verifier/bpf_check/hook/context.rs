//! Accesses to the context (`check_ctx_access`, `btf_ctx_access`, each program type's `is_valid_access`).

use super::lists;
use super::{KernelPrototype, KnownKind, Ops, Program};
use crate::btf::{Btf, Kind as BtfKind, Param, Type, TypeId};
use crate::kernel::Home;
use crate::verifier::bpf_check::checker::Checker;
use crate::verifier::bpf_check::mem::Access;
use crate::verifier::bpf_check::names::kind_word;
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::{BtfOf, Flags, Kind, Reg, TypeRef};
use crate::verifier::bpf_check::rules::Era;
use crate::verifier::bpf_check::scalar::Scalar;

/// Bytes of a context of arguments (`MAX_BPF_FUNC_ARGS`).
const ARGUMENT_BYTES: i64 = 8 * 12;
/// Bytes of a tracepoint's record (`PERF_MAX_TRACE_SIZE`).
const TRACE_BYTES: i64 = 8192;
/// Bytes of the context of a syscall program.
const SYSCALL_BYTES: i64 = 0xffff;
/// Arguments of a function whose prototype is not known (`MAX_BPF_FUNC_REG_ARGS`).
const REGISTER_ARGUMENTS: i64 = 5;

/// What is read from the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// A number.
    Scalar,
    /// What the function returned.
    Returned,
    /// A pointer.
    Pointer { kind: Kind, flags: Flags, ref_id: u32 },
}

/// An access that is not allowed: the line that says more, if any.
type Invalid = Option<String>;

/// What an access gives: content, an access that is not allowed, or not known.
type Answer = Step<Result<Content, Invalid>>;

fn invalid(message: impl Into<String>) -> Answer {
    Ok(Err(Some(message.into())))
}

const NOT_ALLOWED: Answer = Ok(Err(None));

impl Checker<'_, '_> {
    /// An access to the context (`check_ctx_access`); a load puts what it reads into its register.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_context(&mut self, base: &Reg, access: Access) -> Step {
        let off = self.context_offset(base, access)?;
        let size = access.size();
        let content = match self.context_content(off, access)? {
            Ok(content) => content,
            Err(message) => {
                let refused = || format!("invalid bpf_context access off={off} size={size}");
                return Err(Stop::eacces(Why::Context, message.unwrap_or_else(refused)));
            }
        };
        if let Content::Pointer { ref_id, .. } = content
            && ref_id != 0
            && !self.state.holds(ref_id)
        {
            let message = format!("invalid bpf_context access off={off}. Reference may already be released");
            return Err(Stop::eacces(Why::Context, message));
        }
        let Some(register) = access.value.filter(|_| !access.write) else { return Ok(()) };
        let made = match content {
            Content::Scalar => Reg::unknown(),
            Content::Returned => match self.hook.program {
                Program::Lsm if self.hook.returns(self.kernel) != Some(TypeId::VOID) => {
                    let before = *self.reg(register);
                    if !self.rules.since(Era::V7_1) && before != Reg::unknown() && before.is_init() {
                        // Older kernels keep what they knew of the register before.
                        return Err(Stop::unmodelled(
                            "what an LSM hook returned, in a register that held something",
                        ));
                    }
                    let (min, max) = lists::lsm_range(&self.hook.name);
                    Reg::scalar(Scalar::unknown().within_s32(min, max, &self.rules.scalar))
                }
                _ => Reg::unknown(),
            },
            Content::Pointer { kind, flags, ref_id } => {
                let mut made = Reg::new(kind, flags);
                if ref_id != 0 {
                    made.id = ref_id;
                    made.ref_obj_id = ref_id;
                } else if flags.has(Flags::MAYBE_NULL) {
                    made.id = self.new_id();
                }
                made
            }
        };
        *self.reg_mut(register) = made;
        Ok(())
    }

    /// Where the access goes, once the pointer was found to be fit for one.
    fn context_offset(&mut self, base: &Reg, access: Access) -> Step<i64> {
        let off = i64::from(access.off);
        if base.offset() == Some(0) {
            if self.hook.program == Program::Syscall && self.rules.since(Era::V7_2) {
                let name = format!("R{}", access.base);
                self.check_region(base, &name, off, access.size(), SYSCALL_BYTES as u64, false)?;
            }
            return Ok(off);
        }
        if self.rules.since(Era::V7_1) && !self.rules.since(Era::V7_2) {
            return Err(Stop::unmodelled("offsets from the context"));
        }
        let name = format!("R{}", access.base);
        let is_new = self.rules.since(Era::V7_2);
        if is_new && self.hook.program == Program::Syscall {
            self.check_region(base, &name, off, access.size(), SYSCALL_BYTES as u64, false)?;
        } else {
            let fixed_ok = is_new && self.hook.program != Program::PerfEvent;
            self.check_ptr_off(base, &name, fixed_ok)?;
        }
        Ok(off.wrapping_add(base.value.umax().cast_signed()))
    }

    /// What is there, by the type of the program.
    fn context_content(&self, off: i64, access: Access) -> Answer {
        let size = access.size();
        let aligned = off % size == 0;
        match self.hook.program {
            Program::Kprobe { .. } => {
                let Some(bytes) = self.registers_size() else {
                    return Err(Stop::unmodelled("the registers of this machine"));
                };
                let fits = off >= 0 && off < bytes && aligned && off + size <= bytes;
                // 6.18.15 takes it, 6.18.44 does not.
                if fits && access.write && self.hook.writes_registers && !self.rules.since(Era::V7_1) {
                    return Err(Stop::unmodelled("writes to a probe's registers"));
                }
                if fits && (!access.write || self.hook.writes_registers) {
                    Ok(Ok(Content::Scalar))
                } else {
                    NOT_ALLOWED
                }
            }
            Program::Tracepoint => {
                let fits = (8..TRACE_BYTES).contains(&off) && aligned;
                if fits && !access.write { Ok(Ok(Content::Scalar)) } else { NOT_ALLOWED }
            }
            Program::RawTracepoint | Program::RawTracepointWritable => {
                let is_buffer = self.hook.program == Program::RawTracepointWritable && off == 0;
                if is_buffer && (size != 8 || access.write) || !is_argument(off, access) {
                    return NOT_ALLOWED;
                }
                Ok(Ok(match is_buffer {
                    true => Content::Pointer { kind: Kind::TpBuffer, flags: Flags::NONE, ref_id: 0 },
                    false => Content::Scalar,
                }))
            }
            Program::PerfEvent => self.perf_event_content(off, access),
            Program::Syscall => {
                if (0..SYSCALL_BYTES).contains(&off) {
                    Ok(Ok(Content::Scalar))
                } else {
                    NOT_ALLOWED
                }
            }
            Program::StructOps(Ops::Qdisc) if self.hook.name == "enqueue" && (16..24).contains(&off) => {
                Err(Stop::unmodelled("the list of packets to be freed"))
            }
            Program::Lsm | Program::LsmCgroup => {
                if access.write {
                    return Err(Stop::unmodelled("a store to the context of an LSM program"));
                }
                self.argument_content(off, access)
            }
            _ if !is_argument(off, access) => NOT_ALLOWED,
            _ => self.argument_content(off, access),
        }
    }

    /// `struct pt_regs` of the kernel, bytes.
    fn registers_size(&self) -> Option<i64> {
        let id = self.kernel.find("pt_regs", BtfKind::Struct)?;
        self.kernel.btf().get(id).map(|ty| i64::from(ty.size()))
    }

    /// `struct bpf_perf_event_data`: the registers, then two numbers, of which parts may be read.
    fn perf_event_content(&self, off: i64, access: Access) -> Answer {
        let Some(registers) = self.registers_size() else {
            return Err(Stop::unmodelled("the registers of this machine"));
        };
        let size = access.size();
        let in_range = off >= 0 && off < registers + 16 && off % size == 0;
        if !in_range || access.write {
            return NOT_ALLOWED;
        }
        // A part of a number of 8 bytes begins where one of that size may.
        let fits = if off >= registers { size <= 8 } else { size == 8 };
        if fits { Ok(Ok(Content::Scalar)) } else { NOT_ALLOWED }
    }

    /// An argument of what the program attaches to, or what that returned (`btf_ctx_access`).
    fn argument_content(&self, off: i64, access: Access) -> Answer {
        let name = &self.hook.name;
        let size = access.size();
        if off % 8 != 0 {
            return invalid(format!("func '{name}' offset {off} is not multiple of 8"));
        }
        let Some(prototype) = self.hook.prototype else {
            return if off / 8 < REGISTER_ARGUMENTS { Ok(Ok(Content::Scalar)) } else { NOT_ALLOWED };
        };
        let btf = self.kernel.btf_of(prototype.home);
        let Some(proto) = btf.get(prototype.id).and_then(|ty| ty.func_proto()) else {
            return Err(Stop::unmodelled(format!("the prototype of {name}")));
        };
        let params: Vec<Param> = proto.params().collect();
        let Some(number) = argument_number(&btf, &params, proto.ret(), off) else {
            return Err(Stop::unmodelled(format!("the prototype of {name}")));
        };
        // The first argument of a tracepoint's function is none of the program's.
        let hidden = usize::from(self.hook.program == Program::TpBtf);
        let shown = params.get(hidden..).unwrap_or_default();
        let missing = || invalid(format!("func '{name}' doesn't have {}-th argument", number + 1));
        if number > shown.len() {
            return missing();
        }
        let mut content = Content::Scalar;
        let ty = if let Some(param) = shown.get(number) {
            param.ty
        } else {
            match self.hook.program {
                Program::Lsm => content = Content::Returned,
                Program::LsmCgroup | Program::Fexit | Program::Fsession => {}
                Program::ModifyReturn => {
                    let small = btf.resolve(proto.ret()).map(|(_, ty)| (is_small_int(&ty), ty.kind()));
                    if let Some((false, kind)) = small {
                        let word = kind_word(kind);
                        return invalid(format!("ret type {word} not allowed for fmod_ret"));
                    }
                }
                _ => return missing(),
            }
            proto.ret()
        };
        let Some((id, ty)) = btf.resolve(ty) else {
            return Err(Stop::unmodelled(format!("the prototype of {name}")));
        };
        if is_small_int(&ty)
            || matches!(ty.kind(), BtfKind::Enum | BtfKind::Enum64)
            || ty.composite().is_some()
        {
            return Ok(Ok(content));
        }
        if ty.kind() != BtfKind::Ptr {
            let (of, word) = (btf.name(&ty), kind_word(ty.kind()));
            return invalid(format!(
                "func '{name}' arg{number} '{of}' has type {word}. Only pointer access is allowed"
            ));
        }
        if size != 8 {
            return invalid(format!("func '{name}' size {size} must be 8"));
        }
        let _ = id;
        self.pointer_content(&btf, prototype, &ty, number, shown.get(number), off, content)
    }

    /// An argument that is a pointer.
    #[expect(clippy::too_many_arguments, reason = "what is known of an argument of the context")]
    fn pointer_content(
        &self,
        btf: &Btf<'_>,
        prototype: KernelPrototype,
        pointer: &Type<'_>,
        number: usize,
        param: Option<&Param>,
        off: i64,
        scalar: Content,
    ) -> Answer {
        let name = &self.hook.name;
        let known = self.hook.arguments.iter().find(|argument| argument.offset == off);
        if let Some(argument) = known
            && !matches!(argument.kind, KnownKind::Object(_))
        {
            let kind = if argument.kind == KnownKind::Arena { Kind::Arena } else { Kind::Buf };
            return Ok(Ok(Content::Pointer { kind, flags: argument.flags, ref_id: 0 }));
        }
        let Some((pointee, target)) = btf.resolve(pointer.target()) else {
            return Err(Stop::unmodelled(format!("the prototype of {name}")));
        };
        if target.composite().is_none() {
            // 6.12 takes pointers to numbers and nothing.
            return match target.kind() {
                BtfKind::Void | BtfKind::Int => Ok(Ok(scalar)),
                _ if self.rules.since(Era::V7_2) => Ok(Ok(scalar)),
                BtfKind::Fwd
                    if self.kernel.absent::<()>(btf.name(&target)) != crate::kernel::Lookup::Absent =>
                {
                    Err(Stop::unmodelled(format!("the prototype of {name}")))
                }
                kind if self.rules.era == Era::V6_12 => {
                    let word = kind_word(kind);
                    invalid(format!("func '{name}' arg{number} type {word} is not a struct"))
                }
                _ => Err(Stop::unmodelled("arguments that point to what is no struct")),
            };
        }
        if let Some(argument) = known
            && let KnownKind::Object(ty) = argument.kind
        {
            let (kind, flags, ref_id) = (Kind::BtfId(ty), argument.flags, argument.ref_id);
            return Ok(Ok(Content::Pointer { kind, flags, ref_id }));
        }
        let Some(mut flags) = self.argument_trust() else {
            return Err(Stop::unmodelled(format!("whether the arguments of {name} are trusted")));
        };
        let param_name = param.map(|param| btf.str(param.name)).unwrap_or_default();
        if param_name.ends_with("__nullable") {
            flags = flags.with(Flags::MAYBE_NULL);
        }
        if self.hook.program == Program::TpBtf {
            let Some(argument) = lists::event_argument(name, number, &self.rules) else {
                return Err(Stop::unmodelled(format!("which arguments of {name} may be NULL")));
            };
            if argument.error {
                return Ok(Ok(Content::Scalar));
            }
            let of_module = !argument.listed && prototype.home != Home::Vmlinux;
            if argument.nullable || of_module {
                flags = flags.with(Flags::MAYBE_NULL);
            }
        }
        let tag = self.first_tag(btf, pointer.target());
        if tag == Some("user") {
            flags = flags.with(Flags::USER);
        } else if tag == Some("percpu") {
            flags = flags.with(Flags::PERCPU);
        }
        let mut ty = self.type_at(BtfOf::Kernel(prototype.home), pointee);
        if self.hook.program == Program::StructOps(Ops::TcpCongestion) && btf.name(&target) == "sock" {
            match self.kernel.find("tcp_sock", BtfKind::Struct) {
                Some(id) => ty = TypeRef::kernel(id),
                None => return Err(Stop::unmodelled("struct tcp_sock")),
            }
        }
        Ok(Ok(Content::Pointer { kind: Kind::BtfId(ty), flags, ref_id: 0 }))
    }

    /// The flag that arguments have for being arguments (`prog_args_trusted`).
    fn argument_trust(&self) -> Option<Flags> {
        let trusted = match self.hook.program {
            Program::TpBtf | Program::Iter | Program::StructOps(_) => true,
            Program::Lsm | Program::LsmCgroup => lists::trusted_lsm_hook(&self.hook.name, &self.rules)?,
            _ => false,
        };
        Some(if trusted { Flags::TRUSTED } else { Flags::NONE })
    }

    /// The tag of what a pointer points to that counts: the first one, directly behind the pointer in 6.12.
    fn first_tag<'b>(&self, btf: &Btf<'b>, pointee: TypeId) -> Option<&'b str> {
        let mut id = pointee;
        // As long as any chain of modifiers is.
        for _ in 0..32 {
            let ty = btf.get(id)?;
            match ty.kind() {
                BtfKind::TypeTag if matches!(btf.name(&ty), "user" | "percpu" | "rcu") => {
                    return Some(btf.name(&ty));
                }
                BtfKind::Const
                | BtfKind::Volatile
                | BtfKind::Restrict
                | BtfKind::Typedef
                | BtfKind::TypeTag => {
                    if !self.rules.since(Era::V7_2) {
                        return None;
                    }
                    id = ty.target();
                }
                _ => return None,
            }
        }
        None
    }
}

/// It is one of the arguments, by place and size (`bpf_tracing_ctx_access`).
fn is_argument(off: i64, access: Access) -> bool {
    (0..ARGUMENT_BYTES).contains(&off) && !access.write && off % access.size() == 0
}

/// An integer of at most 8 bytes.
fn is_small_int(ty: &Type<'_>) -> bool {
    ty.kind() == BtfKind::Int && ty.size() <= 8
}

/// The number of the argument at an offset; that of the result is the number of arguments (`btf_ctx_arg_idx`).
fn argument_number(btf: &Btf<'_>, params: &[Param], returned: TypeId, off: i64) -> Option<usize> {
    let mut end = 0;
    let types = params.iter().map(|param| param.ty).chain([returned]);
    for (number, ty) in types.enumerate() {
        let (_, ty) = btf.resolve(ty)?;
        let size = match ty.kind() {
            BtfKind::Ptr => 8,
            BtfKind::Void => 0,
            _ => i64::from(ty.size()),
        };
        end += (size + 7) / 8 * 8;
        if u64::from(off as u32) < end as u64 {
            return Some(number);
        }
    }
    Some(params.len() + 1)
}
