//! What a row of the table of helpers is made of, in the kernel's words (`struct bpf_func_proto`).

/// A helper.
#[derive(Debug, Clone, Copy)]
pub struct Helper {
    /// Its number (`enum bpf_func_id`).
    pub id: i32,
    /// Its name without `bpf_`.
    pub name: &'static str,
    /// What it returns (`enum bpf_return_type`).
    pub ret: Return,
    /// What it takes (`enum bpf_arg_type`).
    pub args: &'static [Arg],
    /// Bits of [`marks`].
    pub marks: u8,
    /// Bits of [`callers`].
    pub callers: u16,
}

/// What a helper returns: the base of `enum bpf_return_type`, and its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Return {
    /// The base.
    pub kind: ReturnKind,
    /// Bits of [`flags`].
    pub flags: u16,
}

/// What a helper takes: the base of `enum bpf_arg_type`, and its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arg {
    /// The base.
    pub kind: ArgKind,
    /// Bits of [`flags`].
    pub flags: u16,
}

/// The bases of `enum bpf_return_type`.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnKind {
    Integer,
    Void,
    PtrToMapValue,
    PtrToSocket,
    PtrToTcpSock,
    PtrToSockCommon,
    PtrToMem,
    PtrToMemOrBtfId,
    PtrToBtfId,
}

/// The bases of `enum bpf_arg_type`, as far as helpers use them.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    Anything,
    ConstAllocSizeOrZero,
    ConstMapPtr,
    KptrXchgDest,
    MemSize,
    MemSizeOrZero,
    PtrToBtfId,
    PtrToBtfIdSockCommon,
    PtrToConstStr,
    PtrToCtx,
    PtrToDynptr,
    PtrToFunc,
    PtrToMapKey,
    PtrToMapValue,
    PtrToMem,
    PtrToPercpuBtfId,
    PtrToRingbufMem,
    PtrToSockCommon,
    PtrToSpinLock,
    PtrToStack,
    PtrToTimer,
    Scalar,
}

/// Bits of `enum bpf_type_flag`, as far as helpers use them; the kernel numbers them otherwise.
#[allow(missing_docs)]
pub mod flags {
    pub const MAYBE_NULL: u16 = 1;
    pub const RDONLY: u16 = 1 << 1;
    pub const RINGBUF: u16 = 1 << 2;
    pub const RELEASE: u16 = 1 << 3;
    pub const UNINIT: u16 = 1 << 4;
    pub const FIXED_SIZE: u16 = 1 << 5;
    pub const TRUSTED: u16 = 1 << 6;
    pub const ALIGNED: u16 = 1 << 7;
    pub const WRITE: u16 = 1 << 8;
    pub const DYNPTR_LOCAL: u16 = 1 << 9;
    pub const DYNPTR_RINGBUF: u16 = 1 << 10;
}

/// What else the verifier knows of a helper.
pub mod marks {
    /// Only programs under the GPL may call it (`gpl_only`).
    pub const GPL: u8 = 1;
    /// It may sleep (`might_sleep`), by the sources of every kernel that was read.
    pub const SLEEPS: u8 = 1 << 1;
    /// What it returns must be given back (`is_acquire_function`), whatever the map.
    pub const ACQUIRES: u8 = 1 << 2;
    /// Of the number that it returns some verifier knows a range (`do_refine_retval_range`).
    pub const RANGED: u8 = 1 << 3;
    /// It may sleep by the sources of some kernels, by those of others it does not.
    pub const SLEEPS_SOMEWHERE: u8 = 1 << 4;
    /// For sleepable programs it has a prototype of its own, which may sleep by the sources of some kernels.
    pub const VARIANT_SLEEPS_SOMEWHERE: u8 = 1 << 5;
}

/// Which programs may call a helper: by the functions that offer it to their types.
pub mod callers {
    /// All that may use BPF beyond the network (`bpf_base_func_proto`): among them the callbacks of sched_ext, from 6.16.
    pub const BASE: u16 = 1;
    /// The callbacks of sched_ext in 6.12 (`bpf_scx_get_func_proto`).
    pub const SCX_OWN: u16 = 1 << 1;
    /// Programs of type syscall (`syscall_prog_func_proto`).
    pub const SYSCALL: u16 = 1 << 2;
    /// All programs that trace (`bpf_tracing_func_proto`), or those of fentry and the like (`tracing_prog_func_proto`).
    pub const TRACING: u16 = 1 << 3;
    /// Kprobes (`kprobe_prog_func_proto`).
    pub const KPROBE: u16 = 1 << 4;
    /// Tracepoints (`tp_prog_func_proto`).
    pub const TRACEPOINT: u16 = 1 << 5;
    /// Raw tracepoints (`raw_tp_prog_func_proto`).
    pub const RAW_TRACEPOINT: u16 = 1 << 6;
    /// Perf events (`pe_prog_func_proto`).
    pub const PERF_EVENT: u16 = 1 << 7;
    /// LSM programs (`bpf_lsm_func_proto`).
    pub const LSM: u16 = 1 << 8;
    /// Programs of the network, of cgroups and others.
    pub const ELSEWHERE: u16 = 1 << 9;
}

pub(super) const fn helper(
    id: i32,
    name: &'static str,
    ret: Return,
    args: &'static [Arg],
    marks: u8,
    callers: u16,
) -> Helper {
    Helper { id, name, ret, args, marks, callers }
}

pub(super) const fn ret(kind: ReturnKind, flags: u16) -> Return {
    Return { kind, flags }
}

pub(super) const fn arg(kind: ArgKind, flags: u16) -> Arg {
    Arg { kind, flags }
}
