//! What the table of helpers does not say: types and sizes of arguments and results, and prototypes that programs of one kind, or one
//! kernel, have for themselves.

use super::super::checker::Checker;
use super::super::refusal::{Step, Stop};
use super::super::reg::TypeRef;
use super::super::rules::Era;
use super::offer::Caller;
use crate::btf::Kind;
use crate::kernel::helpers::Helper;
use crate::kernel::helpers::kinds::{Arg, ArgKind, flags};

/// The struct that an argument points to, by helper and register (`arg_btf_id`).
const ARGUMENTS: [(&str, u8, &str); 28] = [
    ("seq_printf", 1, "seq_file"),
    ("seq_write", 1, "seq_file"),
    ("seq_printf_btf", 1, "seq_file"),
    ("task_pt_regs", 1, "task_struct"),
    ("d_path", 1, "path"),
    ("inode_storage_get", 2, "inode"),
    ("inode_storage_delete", 2, "inode"),
    ("copy_from_user_task", 4, "task_struct"),
    ("get_task_stack", 1, "task_struct"),
    ("find_vma", 1, "task_struct"),
    ("cgrp_storage_get", 2, "cgroup"),
    ("cgrp_storage_delete", 2, "cgroup"),
    ("task_storage_get", 2, "task_struct"),
    ("task_storage_delete", 2, "task_struct"),
    ("bprm_opts_set", 1, "linux_binprm"),
    ("ima_inode_hash", 1, "inode"),
    ("ima_file_hash", 1, "file"),
    ("sock_from_file", 1, "file"),
    ("skb_output", 1, "sk_buff"),
    ("xdp_output", 1, "xdp_buff"),
    ("xdp_get_buff_len", 1, "xdp_buff"),
    ("tcp_send_ack", 1, "tcp_sock"),
    ("sk_storage_get", 2, "sock_common"),
    ("sk_storage_delete", 2, "sock_common"),
    ("get_socket_cookie", 1, "sock_common"),
    ("skc_to_tcp6_sock", 1, "sock_common"),
    ("skc_to_tcp_sock", 1, "sock_common"),
    ("skc_to_unix_sock", 1, "sock_common"),
];

/// The struct that is returned (`ret_btf_id`).
const RESULTS: [(&str, &str); 10] = [
    ("get_current_task_btf", "task_struct"),
    ("task_pt_regs", "pt_regs"),
    ("skc_to_tcp6_sock", "tcp6_sock"),
    ("skc_to_tcp_sock", "tcp_sock"),
    ("skc_to_tcp_timewait_sock", "tcp_timewait_sock"),
    ("skc_to_tcp_request_sock", "tcp_request_sock"),
    ("skc_to_udp6_sock", "udp6_sock"),
    ("skc_to_unix_sock", "unix_sock"),
    ("skc_to_mptcp_sock", "mptcp_sock"),
    ("sock_from_file", "socket"),
];

/// Sizes of memory that an argument points to, bytes (`arg_size`).
const SIZES: [(&str, u8, u32); 5] = [
    ("get_func_arg", 3, 8),
    ("get_func_ret", 2, 8),
    ("strtol", 4, 8),
    ("strtoul", 4, 8),
    ("kallsyms_lookup_name", 4, 8),
];

/// Arguments that are written to, which prototypes say since 7.0.
const WRITTEN_SINCE_7_0: [(&str, u8); 4] =
    [("d_path", 2), ("snprintf_btf", 1), ("snprintf", 1), ("read_branch_records", 2)];

const fn arg(kind: ArgKind, flags: u16) -> Arg {
    Arg { kind, flags }
}

impl Checker<'_, '_> {
    /// What a helper takes in a register, as this program and this kernel have it.
    pub(super) fn helper_arg(&self, helper: &Helper, number: u8, caller: Caller) -> Option<Arg> {
        let mut found = *helper.args.get(usize::from(number).checked_sub(1)?)?;
        let traces = matches!(caller, Caller::Tracing(_) | Caller::Syscall);
        let traces_or_lsm = traces || matches!(caller, Caller::Lsm(_));
        match (helper.name, number) {
            ("sk_storage_get" | "sk_storage_delete", 2) if traces => {
                found = arg(ArgKind::PtrToBtfId, flags::MAYBE_NULL);
            }
            ("sk_storage_get" | "sk_storage_delete", 2) => {
                found = arg(ArgKind::PtrToBtfIdSockCommon, flags::MAYBE_NULL);
            }
            ("get_socket_cookie", 1) if traces_or_lsm => {
                found = arg(ArgKind::PtrToBtfIdSockCommon, flags::MAYBE_NULL);
            }
            ("xdp_get_buff_len", 1) if traces_or_lsm => found = arg(ArgKind::PtrToBtfId, 0),
            ("get_stack", 2) if !self.rules.since(Era::V7_0) && is_raw(caller) => {
                found = arg(ArgKind::PtrToMem, flags::RDONLY);
            }
            ("kallsyms_lookup_name", 1) if !self.rules.since(Era::V7_0) => found.flags &= !flags::RDONLY,
            (name, number) if !self.rules.since(Era::V7_0) && WRITTEN_SINCE_7_0.contains(&(name, number)) => {
                found.flags &= !flags::WRITE;
            }
            _ => {}
        }
        Some(found)
    }

    /// The struct of that name in the kernel.
    ///
    /// # Errors
    /// It is not known, or the kernel has none.
    pub(super) fn kernel_struct(&self, name: &str) -> Step<TypeRef> {
        match self.kernel.lookup(name, Kind::Struct) {
            crate::kernel::Lookup::Found(id) => Ok(TypeRef::kernel(id)),
            crate::kernel::Lookup::Absent => {
                Err(Stop::unmodelled(format!("the kernel has no struct {name}")))
            }
            crate::kernel::Lookup::Unknown(reason) => Err(Stop::Unknown(reason)),
        }
    }

    /// The struct that an argument must point to.
    ///
    /// # Errors
    /// It is not known.
    pub(super) fn argument_struct(&self, helper: &Helper, number: u8) -> Step<TypeRef> {
        let found = ARGUMENTS.iter().find(|(name, at, _)| *name == helper.name && *at == number);
        match found {
            Some((.., name)) => self.kernel_struct(name),
            None => Err(Stop::unmodelled(format!("what argument {number} of bpf_{} points to", helper.name))),
        }
    }

    /// The struct that a helper returns a pointer to.
    ///
    /// # Errors
    /// It is not known.
    pub(super) fn result_struct(&self, helper: &Helper) -> Step<TypeRef> {
        match RESULTS.iter().find(|(name, _)| *name == helper.name) {
            Some((_, name)) => self.kernel_struct(name),
            None => Err(Stop::unmodelled(format!("what bpf_{} returns", helper.name))),
        }
    }
}

/// Prototypes of raw tracepoints.
fn is_raw(caller: Caller) -> bool {
    matches!(caller, Caller::RawTracepoint | Caller::Tracing(_) | Caller::Lsm(_) | Caller::Syscall)
}

/// How much an argument points to, bytes.
pub(super) fn argument_size(helper: &Helper, number: u8) -> Step<u32> {
    let found = SIZES.iter().find(|(name, at, _)| *name == helper.name && *at == number);
    found.map(|(.., size)| *size).ok_or_else(|| {
        Stop::unmodelled(format!("how much argument {number} of bpf_{} points to", helper.name))
    })
}
