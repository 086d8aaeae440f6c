//! What error numbers mean.

use crate::errno::Errno;
use crate::rule::Phase::{self, Attach, Load, Open};

/// What an error number of libbpf or the kernel means at a phase, where it means one thing.
pub fn meaning(errno: Errno, phase: Phase) -> Option<&'static str> {
    Some(match (phase, errno) {
        (Attach, Errno::EBUSY) => "another scheduler is enabled, or this one's last detach is not finished",
        (Attach, Errno::EINVAL) => "the kernel refuses the ops; the kernel log may say why",
        (Attach, Errno::E2BIG) => "a value in the ops is too large",
        (Attach, Errno::ENODEV) => "a sub-scheduler needs a root scheduler",
        (Attach, Errno::EOPNOTSUPP) => "the parent scheduler takes no sub-schedulers",
        (Attach, Errno::ENOENT) => "no cgroup has the id in sub_cgroup_id",
        (_, Errno::ENOMEM) => "the kernel is out of memory, or an area that it allocates would be too large",
        (Open, Errno::LIBBPF_ERRNO__FORMAT) => "not a BPF object that libbpf can read",
        (Open, Errno::ENOENT) => "something that the file names is missing from it",
        (Open, Errno::EINVAL) => "libbpf refuses a definition in the file",
        (Open, Errno::EOPNOTSUPP) => "libbpf does not support a definition in the file",
        (Load, Errno::EPERM) => "no permission: loading needs CAP_BPF and CAP_PERFMON",
        (Load, Errno::ESRCH) => "the kernel lacks a type, function or variable that the object needs",
        (Load, Errno::EACCES) => "the verifier refuses an access or call",
        (Load, Errno::E2BIG) => "too large: a program for the verifier, or a map",
        (Load, Errno::EOPNOTSUPP) => {
            "the kernel does not support an op, a map or a helper that the object uses"
        }
        (Load, Errno::ENOTSUPP) => "the kernel does not support an op or a type",
        (Load, Errno::LIBBPF_ERRNO__RELOC) => "libbpf cannot relocate an instruction",
        (Load, Errno::LIBBPF_ERRNO__ENDIAN) => "compiled for the other byte order",
        _ => return None,
    })
}
