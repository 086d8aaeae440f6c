//! What a kernel's BTF and id sets say of a kfunc (`fetch_kfunc_meta`, `get_kfunc_arg_type`).

use std::rc::Rc;

use super::super::checker::Checker;
use super::super::refusal::{Step, Stop};
use super::special::Special;
use crate::btf::{Btf, Kind as BtfKind, TypeId};
use crate::kernel::kfunc_flags::KfuncFlags;
use crate::kernel::{Home, Kfunc, Lookup};
use crate::object::ExternIdx;

/// What a parameter of a kfunc is for (`enum kfunc_ptr_arg_type`), as far as its declaration tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// Nothing is looked at: `__ign`, or filled in by the kernel.
    Ignored,
    /// A constant: `__k`.
    Const,
    /// The constant size of the memory before it: `__szk`.
    ConstMemSize,
    /// The size of the memory before it: `__sz`.
    MemSize,
    /// How much memory is returned; it may only be read.
    ReturnedSize {
        /// It may only be read.
        rdonly: bool,
    },
    /// A number.
    Anything,
    /// The context.
    Ctx,
    /// An object of the program's: `__alloc`.
    AllocObject,
    /// An object of the program's that counts references: `__refcounted_kptr`.
    RefcountedKptr,
    /// A dynptr; it is made: `__uninit`.
    Dynptr {
        /// It is made.
        uninit: bool,
    },
    /// An iterator.
    Iter,
    /// The head of a list.
    ListHead,
    /// A node of a list.
    ListNode {
        /// It need not be owned: `__nonown_allowed`.
        nonown_allowed: bool,
    },
    /// The root of a tree.
    RbRoot,
    /// A node of a tree.
    RbNode,
    /// A constant string: `__str`.
    ConstStr,
    /// A map of the program: `__const_map`.
    ConstMap,
    /// A map: `__map`.
    Map,
    /// A `bpf_wq`.
    Workqueue,
    /// A `bpf_timer`.
    Timer,
    /// A `bpf_task_work`.
    TaskWork,
    /// Interrupt flags: `__irq_flag`.
    IrqFlag,
    /// A `bpf_res_spin_lock`.
    ResSpinLock,
    /// Something else that is pointed to: memory or an object, whatever is passed.
    Pointer,
    /// Nothing that a verifier knows.
    Unrecognized,
}

/// What a parameter points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointee {
    /// The type without modifiers.
    pub id: TypeId,
    /// Its kind.
    pub kind: BtfKind,
    /// Its name.
    pub name: String,
    /// It is a struct of numbers (`__btf_type_is_scalar_struct`).
    pub scalar_struct: bool,
    /// Its size, where it has one.
    pub size: Option<u64>,
}

impl Pointee {
    /// A struct or union.
    pub fn is_struct(&self) -> bool {
        matches!(self.kind, BtfKind::Struct | BtfKind::Union)
    }

    /// A number.
    pub fn is_scalar(&self) -> bool {
        is_scalar(self.kind)
    }

    /// Its kind as messages spell it (`btf_type_str`).
    pub fn kind_str(&self) -> String {
        super::super::names::kind_word(self.kind)
    }
}

fn is_scalar(kind: BtfKind) -> bool {
    matches!(kind, BtfKind::Int | BtfKind::Enum | BtfKind::Enum64)
}

/// A parameter of a kfunc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// What it is for.
    pub kind: ParamKind,
    /// The kind of its type.
    pub type_kind: BtfKind,
    /// What it points to, where it is a pointer.
    pub pointee: Option<Pointee>,
    /// NULL may be passed: `__nullable`.
    pub nullable: bool,
    /// NULL may be passed with a size: `__opt`, which became `__nullable`.
    pub optional: bool,
    /// A function is passed.
    pub callback: bool,
    /// It is about an arena: `__arena`.
    pub arena: bool,
    /// The next parameter is its size.
    pub sized: bool,
}

/// What a kfunc returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returned {
    /// Nothing.
    Void,
    /// A number, of so many bytes.
    Scalar(u32),
    /// A pointer.
    Pointer(Pointee),
    /// Something else.
    Other,
}

/// A kfunc (`struct bpf_kfunc_call_arg_meta`, what does not depend on the call).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub home: Home,
    /// Its flags.
    pub flags: KfuncFlags,
    /// The verifier knows it by name.
    pub special: Option<Special>,
    /// Its parameters.
    pub params: Vec<Param>,
    /// What it returns.
    pub returned: Returned,
}

impl Meta {
    /// Has a flag.
    pub fn has(&self, flag: KfuncFlags) -> bool {
        self.flags.contains(flag)
    }

    /// The verifier knows it by this name.
    pub fn is(&self, special: Special) -> bool {
        self.special == Some(special)
    }

    /// It makes, asks or ends an iterator (`is_iter_kfunc`).
    pub fn is_iter(&self) -> bool {
        [KfuncFlags::ITER_NEW, KfuncFlags::ITER_NEXT, KfuncFlags::ITER_DESTROY]
            .iter()
            .any(|flag| self.has(*flag))
    }
}

/// Kfuncs that were looked at.
#[derive(Debug, Default)]
pub struct Kfuncs {
    known: Vec<(ExternIdx, Rc<Meta>)>,
}

impl Checker<'_, '_> {
    /// What is known of a kfunc.
    ///
    /// # Errors
    /// Its flags are not known.
    pub fn kfunc_meta(&mut self, index: ExternIdx, kfunc: Kfunc) -> Step<Rc<Meta>> {
        if let Some((_, meta)) = self.kfuncs.known.iter().find(|(known, _)| *known == index) {
            return Ok(Rc::clone(meta));
        }
        let btf = self.kernel.btf_of(kfunc.home);
        let func = btf.get(kfunc.func);
        let name = func.map_or("", |func| btf.name(&func)).to_owned();
        let flags = match self.kernel.kfunc_flags(&name) {
            Lookup::Found(flags) => flags,
            // No set has it: nobody may call it.
            Lookup::Absent => return Err(not_allowed(&name)),
            Lookup::Unknown(reason) => return Err(Stop::Unknown(reason)),
        };
        if flags.contains(KfuncFlags::IMPLICIT_ARGS) && self.kernel.has_leaked_aux(&name, kfunc) {
            return Err(Stop::unmodelled(format!(
                "kfunc '{name}' with an argument that the kernel should fill in"
            )));
        }
        let special = if kfunc.home == Home::Vmlinux { Special::of(&name) } else { None };
        let mut meta =
            Meta { name, home: kfunc.home, flags, special, params: Vec::new(), returned: Returned::Void };
        let proto = btf.get(kfunc.proto).and_then(|ty| ty.func_proto());
        let Some(proto) = proto else { return Err(Stop::unmodelled("a kfunc without a prototype")) };
        meta.returned = self.returned(&btf, proto.ret());
        let declared: Vec<(&str, TypeId)> =
            proto.params().map(|param| (btf.str(param.name), param.ty)).collect();
        for at in 0..declared.len() {
            let param = self.param(&btf, &meta, &declared, at);
            meta.params.push(param);
        }
        let meta = Rc::new(meta);
        self.kfuncs.known.push((index, Rc::clone(&meta)));
        Ok(meta)
    }

    fn returned(&self, btf: &Btf<'_>, id: TypeId) -> Returned {
        let Some((_, ty)) = btf.resolve(id) else { return Returned::Other };
        match ty.kind() {
            BtfKind::Void => Returned::Void,
            BtfKind::Ptr => match pointee(btf, ty.target()) {
                Some(pointee) => Returned::Pointer(pointee),
                None => Returned::Other,
            },
            kind if is_scalar(kind) => Returned::Scalar(ty.size()),
            _ => Returned::Other,
        }
    }

    fn param(&self, btf: &Btf<'_>, meta: &Meta, declared: &[(&str, TypeId)], at: usize) -> Param {
        let (name, id) = declared[at];
        let has = |suffix: &str| name.ends_with(suffix);
        let resolved = btf.resolve(id);
        let type_kind = resolved.as_ref().map_or(BtfKind::Void, |(_, ty)| ty.kind());
        let target = resolved.filter(|(_, ty)| ty.kind() == BtfKind::Ptr).map(|(_, ty)| ty.target());
        let pointee = target.and_then(|target| pointee(btf, target));
        let is_size = |(name, id): &(&str, TypeId)| {
            let kind = btf.resolve(*id).map_or(BtfKind::Void, |(_, ty)| ty.kind());
            is_scalar(kind) && (name.ends_with("__sz") || name.ends_with("__szk"))
        };
        let arena = has("__arena") || has("__arena__nullable");
        let mut param = Param {
            kind: ParamKind::Pointer,
            type_kind,
            nullable: has("__nullable") || has("__arena"),
            optional: has("__opt"),
            callback: pointee.as_ref().is_some_and(|pointee| pointee.kind == BtfKind::FuncProto),
            arena,
            sized: declared.get(at + 1).is_some_and(is_size),
            pointee: None,
        };
        let points_to = |of: &str| {
            pointee.as_ref().is_some_and(|pointee| pointee.kind == BtfKind::Struct && pointee.name == of)
        };
        let is_scx_ignored = has("__ign") || has("__prog") || points_to("bpf_prog_aux");
        param.kind = if is_scx_ignored {
            ParamKind::Ignored
        } else if is_scalar(type_kind) {
            match name {
                _ if has("__k") => ParamKind::Const,
                _ if has("__szk") => ParamKind::ConstMemSize,
                _ if has("__sz") => ParamKind::MemSize,
                "rdonly_buf_size" => ParamKind::ReturnedSize { rdonly: true },
                "rdwr_buf_size" => ParamKind::ReturnedSize { rdonly: false },
                _ => ParamKind::Anything,
            }
        } else if type_kind != BtfKind::Ptr {
            ParamKind::Unrecognized
        } else if matches!(
            meta.special,
            Some(Special::CastToKernCtx | Special::SessionIsReturn | Special::SessionCookie)
        ) || self.names_context(btf, target)
        {
            ParamKind::Ctx
        } else if has("__alloc") {
            ParamKind::AllocObject
        } else if has("__refcounted_kptr") {
            ParamKind::RefcountedKptr
        } else if points_to("bpf_dynptr") {
            ParamKind::Dynptr { uninit: has("__uninit") }
        } else if if meta.is_iter() { at == 0 } else { has("__iter") } {
            ParamKind::Iter
        } else if points_to("bpf_list_head") {
            ParamKind::ListHead
        } else if points_to("bpf_list_node") {
            ParamKind::ListNode { nonown_allowed: has("__nonown_allowed") }
        } else if points_to("bpf_rb_root") {
            ParamKind::RbRoot
        } else if points_to("bpf_rb_node") {
            ParamKind::RbNode
        } else if has("__str") {
            ParamKind::ConstStr
        } else if has("__const_map") {
            ParamKind::ConstMap
        } else if has("__map") {
            ParamKind::Map
        } else if points_to("bpf_wq") {
            ParamKind::Workqueue
        } else if points_to("bpf_timer") {
            ParamKind::Timer
        } else if points_to("bpf_task_work") {
            ParamKind::TaskWork
        } else if has("__irq_flag") {
            ParamKind::IrqFlag
        } else if points_to("bpf_res_spin_lock") {
            ParamKind::ResSpinLock
        } else {
            ParamKind::Pointer
        };
        param.pointee = pointee;
        param
    }

    /// A pointer to what programs of this type are given (`btf_is_prog_ctx_type`).
    fn names_context(&self, btf: &Btf<'_>, target: Option<TypeId>) -> bool {
        let kind = self.program_kind();
        let Some(mut id) = target else { return false };
        // A few types name no struct: their contexts are told by tags alone.
        let wanted = match kind {
            "kprobe" => ["bpf_user_pt_regs_t", "pt_regs", "user_pt_regs"].as_slice(),
            "perf_event" => ["bpf_perf_event_data"].as_slice(),
            _ => return false,
        };
        for _ in 0..32 {
            let Some(ty) = btf.get(id) else { return false };
            match ty.kind() {
                BtfKind::Typedef if btf.name(&ty) == "bpf_user_pt_regs_t" => return kind == "kprobe",
                BtfKind::Typedef
                | BtfKind::Const
                | BtfKind::Volatile
                | BtfKind::Restrict
                | BtfKind::TypeTag => {
                    id = ty.target();
                }
                BtfKind::Struct | BtfKind::Union => return wanted.contains(&btf.name(&ty)),
                _ => return false,
            }
        }
        false
    }
}

/// The program may not call it.
pub(super) fn not_allowed(name: &str) -> Stop {
    use super::super::refusal::Why;
    Stop::eacces(Why::Kfunc, format!("calling kernel function {name} is not allowed"))
}

fn pointee(btf: &Btf<'_>, id: TypeId) -> Option<Pointee> {
    let (id, ty) = btf.resolve(id)?;
    Some(Pointee {
        id,
        kind: ty.kind(),
        name: btf.name(&ty).to_owned(),
        scalar_struct: is_scalar_struct(btf, id, 0),
        size: btf.size_of(id),
    })
}

/// A struct of numbers, and of such structs (`__btf_type_is_scalar_struct`).
pub fn is_scalar_struct(btf: &Btf<'_>, id: TypeId, depth: usize) -> bool {
    let Some((_, ty)) = btf.resolve(id) else { return false };
    let Some(composite) = ty.composite() else { return false };
    composite.members().all(|member| {
        let Some((id, ty)) = btf.resolve(member.ty) else { return false };
        match ty.kind() {
            BtfKind::Struct | BtfKind::Union => depth < 3 && is_scalar_struct(btf, id, depth + 1),
            BtfKind::Array => ty.array().is_some_and(|array| {
                let elem = btf.resolve(array.elem);
                array.nelems > 0 && elem.is_some_and(|(_, elem)| is_scalar(elem.kind()))
            }),
            kind => is_scalar(kind),
        }
    })
}
